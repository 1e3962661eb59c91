"""What is going to happen in one run, made first, as data, from a seed and a profile.

Swarm testing (Groce et al., 2012): a profile only says how bad each thing may get. For each seed every kind
is left out with one chance in three, else its rate is drawn from a range of magnitudes: so each run has a
face of its own, and what one fault hides another run shows. Every kind draws from a stream of its own, so
that a new kind shifts no other.

Half of the seeds end in *liveness mode*: at some instant a core, a majority of the nodes, is healed for good,
while the others are left dead, cut off, or half cut off, and the system must make progress within a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from . import breakdowns, cuts
from .config import MS, S
from .fault import Fault, Kind, log_uniform
from .network import Noise

KINDS: Mapping[str, type[Kind]] = {kind.name: kind for kind in (*cuts.KINDS, *breakdowns.KINDS)}
"""Every kind of fault that comes with the simulator."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How bad things may get."""

    loss: float = 0.15
    duplication: float = 0.10
    replay: float = 0.05
    late: float = 0.02
    jitter_ns: tuple[int, int] = (int(0.2 * MS), 10 * MS)
    rate_factor: float = 1.0
    """On the rates of all kinds of faults; 0: none of them."""
    always: tuple[str, ...] = ()
    """Kinds that are never left out."""
    zero_ratio: float = 1 / 3
    """The chance of each kind to be left out."""


PROFILES: Mapping[str, Profile] = {
    "calm": Profile(loss=0, duplication=0, replay=0, late=0, rate_factor=0),
    "default": Profile(),
    # Faults as by default, and no frame is lost, late or doubled but by them.
    "lossless": Profile(loss=0, duplication=0, replay=0, late=0),
    "harsh": Profile(duplication=0.20, replay=0.11, rate_factor=2.0, zero_ratio=0.15),
    # Little but power cuts that hit a write.
    "power": Profile(rate_factor=6.0, zero_ratio=0.97, always=("crash-before-sync",)),
    # Processes that forget, while messages are long under way and not all of them know of each other.
    "restarts": Profile(
        loss=0.3,
        late=0.1,
        jitter_ns=(5 * MS, 20 * MS),
        rate_factor=8.0,
        zero_ratio=0.97,
        always=("bridge", "bounce", "slow-links"),
    ),
    # Nothing but two nodes that do not hear each other (sim/lockfault.py).
    "estranged": Profile(loss=0, duplication=0, replay=0, late=0, zero_ratio=1.0, always=("estrange",)),
    # Leaders that are taken from and know nothing of it (sim/lockfault.py), in a net that doubles and delays.
    "usurp": Profile(
        duplication=0.20,
        late=0.1,
        zero_ratio=0.5,
        always=("usurp", "forget", "straggle", "echo", "haunt"),
    ),
    # Split brains that no majority shows: A and B talk, B and C talk, A and C do not; and B forgets.
    "bridge": Profile(rate_factor=8.0, zero_ratio=0.97, always=("bridge", "crash-after-send")),
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, ready to be carried out. It is the whole of what `run` needs beside the scenario's code."""

    scenario: str
    """Where its code is: "module:Name" or "file.py:Name"."""
    seed: int
    profile: str
    nodes_count: int
    clients_count: int
    span_ns: int
    noise: Noise
    faults: tuple[Fault, ...]
    heal_ns: int | None = None
    """From then on the core is healed, and progress is demanded; None: never."""
    core: tuple[int, ...] = field(default=())
    luck: int = 0
    """Another number is another roll of all dice of the run, with the same faults (sim/shrink.py)."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        faults = [fault.to_json() for fault in self.faults]
        return data | {"noise": asdict(self.noise), "faults": faults, "core": list(self.core)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """From what `to_json` gave."""
        rest: dict[str, Any] = {
            "faults": tuple(Fault.from_json(fault) for fault in data["faults"]),
            "noise": Noise(**data["noise"]),
            "core": tuple(data["core"]),
        }
        return cls(**{**data, **rest})


def draw_plan(
    scenario: str,
    seed: int,
    profile_name: str,
    size: tuple[int, int, int],
    kinds: Mapping[str, type[Kind]] = KINDS,
    *,
    live: bool | None = None,
) -> Plan:
    """The plan that follows from a seed.

    Args:
        scenario: where its code is.
        seed: any whole number.
        profile_name: one of PROFILES.
        size: nodes, clients, and the span of the run in nanoseconds.
        kinds: those of faults that may happen, by name.
        live: whether the run ends in liveness mode; None: half of the seeds do.
    """
    nodes_count, clients_count, span_ns = size
    profile = PROFILES[profile_name]
    faults: list[Fault] = []
    for name, kind in kinds.items():
        faults += _draw_kind(kind, profile, Random(f"{seed}/plan/{name}"), nodes_count, span_ns)
    faults.sort(key=lambda fault: (fault.at_ns, fault.kind, fault.nodes))
    harmed, faults = _spare_majority(faults, kinds, nodes_count)
    plan = Plan(
        scenario, seed, profile_name, nodes_count, clients_count, span_ns,
        _draw_noise(profile, Random(f"{seed}/plan/noise")), tuple(faults),
    )  # fmt: skip
    dice = Random(f"{seed}/plan/heal")
    if live is None:
        live = dice.random() < 0.5
    return _with_heal(plan, dice, harmed) if live else plan


def calmed(plan: Plan, heal_ns: int) -> Plan:
    """The same plan, with everybody healed for good at an instant."""
    faults = [
        replace(fault, for_ns=min(fault.for_ns, heal_ns - fault.at_ns))
        for fault in plan.faults
        if fault.at_ns < heal_ns
    ]
    return replace(plan, faults=tuple(faults), heal_ns=heal_ns, core=tuple(range(plan.nodes_count)))


def _draw_noise(profile: Profile, dice: Random) -> Noise:
    def share(most: float) -> float:
        drawn = log_uniform(dice, most / 100, most) if most else 0.0
        return 0.0 if dice.random() < profile.zero_ratio else round(drawn, 5)

    low_ns, high_ns = profile.jitter_ns
    return Noise(
        loss=share(profile.loss),
        duplication=share(profile.duplication),
        replay=share(profile.replay),
        late=share(profile.late),
        jitter_ns=int(log_uniform(dice, low_ns, high_ns)),
    )


def _draw_kind(kind: type[Kind], profile: Profile, dice: Random, count: int, span_ns: int) -> list[Fault]:
    left_out = dice.random() < profile.zero_ratio and kind.name not in profile.always
    rate = log_uniform(dice, *kind.rate) * profile.rate_factor
    if left_out or not rate:
        return []
    faults: list[Fault] = []
    at_ns = int(dice.expovariate(rate) * S)
    while at_ns < span_ns:
        drawn = kind().draw(dice, count)
        faults.append(Fault(kind.name, at_ns, drawn.for_ns, drawn.nodes, drawn.amount))
        at_ns += max(MS, int(dice.expovariate(rate) * S))
    return faults


def _spare_majority(
    faults: list[Fault], kinds: Mapping[str, type[Kind]], count: int
) -> tuple[set[int], list[Fault]]:
    """Leave out what would harm more than a minority for ever; which nodes are harmed so, and the rest."""
    harmed: set[int] = set()
    kept: list[Fault] = []
    for fault in faults:
        if kinds[fault.kind].lasting:
            if len(harmed.union(fault.nodes)) > (count - 1) // 2:
                continue
            harmed.update(fault.nodes)
        kept.append(fault)
    return harmed, kept


def _with_heal(plan: Plan, dice: Random, harmed: set[int]) -> Plan:
    """The same plan, with a core that is healed for good, and the others left as they are, or worse."""
    count = plan.nodes_count
    whole = [number for number in range(count) if number not in harmed]
    core = tuple(sorted(dice.sample(whole, count // 2 + 1)))
    heal_ns = plan.span_ns // 2 + dice.randrange(plan.span_ns // 4)
    faults = [
        replace(fault, for_ns=min(fault.for_ns, heal_ns - fault.at_ns))
        for fault in plan.faults
        if fault.at_ns < heal_ns
    ]
    for number in range(count):
        if number not in core:
            kind = dice.choice(("crash", "isolate", "one-way", "none"))
            if kind != "none" and number not in harmed:
                amount = dice.randrange(2)
                faults.append(Fault(kind, heal_ns, plan.span_ns - heal_ns + S, (number,), amount))
    return replace(plan, faults=tuple(faults), heal_ns=heal_ns, core=core)
