"""What is simulated: which processes, which clients, and what must hold.

A scenario is a class, named on the command line by where it is: "package.module:Name" or
"folder/file.py:Name". Its class attributes are its settings; a wrong version of a system is a subclass that
changes one of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

from ..exception import InvalidError
from ..node.world import NS_PER_S, Address, Factory
from .check import Check, Watcher
from .fault import Kind
from .history import History
from .plan import KINDS, PROFILES, Plan, calmed, draw_plan

DEFAULT = "ringdict.sim.register:RegisterScenario"
"""The example that comes with ringdict: a small replicated register."""


class Caption(NamedTuple):
    """What a message is, for people."""

    kind: str
    key: object
    text: str


class Scenario:
    """Base of all scenarios. `nodes` and `clients` below are the addresses of all of them."""

    nodes_count: ClassVar[int] = 5
    clients_count: ClassVar[int] = 4
    span_s: ClassVar[float] = 20.0
    calm_s: ClassVar[float] = 0.0
    """So long after the start no fault happens: time for a system to come together."""
    without: ClassVar[frozenset[str]] = frozenset()
    """Kinds of faults that the system does not promise to survive."""
    kinds: ClassVar[Sequence[type[Kind]]] = ()
    """Kinds of faults that only this system can suffer, or that are yet to find their place."""
    checks: ClassVar[Sequence[Check]] = ()
    healed_s: ClassVar[float] = 0.0
    """The last so many seconds of every run are without faults and noise, for all; then there is no core that
    is healed while others are left broken."""

    def __init__(self, nodes: tuple[Address, ...], clients: tuple[Address, ...], history: History) -> None:
        self.nodes = nodes
        self.clients = clients
        self.history = history

    def node(self, number: int, /) -> Factory:
        """What runs on a node."""
        raise NotImplementedError

    def client(self, number: int, /) -> Factory:
        """What runs on a client. Clients do not crash."""
        raise NotImplementedError

    def watchers(self) -> Sequence[Watcher]:
        """Those that look on, made for this run."""
        return ()

    def caption(self, payload: bytes, /) -> Caption:
        """What a message is, for the report."""
        return Caption("message", None, f"{len(payload)} bytes")


def load(place: str) -> type[Scenario]:
    """The scenario at "module:Name" or "file.py:Name".

    Raises:
        InvalidError: there is none.
    """
    where, colon, name = place.rpartition(":")
    if not colon:
        raise InvalidError(f"{place!r}: say where a scenario is, as module:Name or file.py:Name")
    found = getattr(module_of(where), name, None)
    if not (isinstance(found, type) and issubclass(found, Scenario)):
        raise InvalidError(f"{where} has no scenario {name}")
    return found


def module_of(where: str) -> object:
    """The module of that name, or in that file.

    Raises:
        InvalidError: there is none.
    """
    return _from_file(Path(where)) if where.endswith(".py") else _from_module(where)


def _from_module(name: str) -> object:
    package = __name__.rpartition(".")[0].rpartition(".")[0]
    if name.startswith("ringdict."):  # whatever the folder is called that this package lies in
        name = package + name.removeprefix("ringdict")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidError(f"no module {name}: {error}") from error


def _from_file(path: Path) -> object:
    name = f"scenario:{path.resolve()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise InvalidError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def plan_for(
    place: str,
    seed: int,
    profile: str = "default",
    size: tuple[int, int, float] | None = None,
    *,
    live: bool | None = None,
) -> Plan:
    """The plan of one seed of a scenario; `size` (nodes, clients, seconds) instead of the scenario's own."""
    scenario = load(place)
    if profile not in PROFILES:
        raise InvalidError(f"no profile {profile!r}; known are {', '.join(PROFILES)}")
    nodes, clients, span_s = size or (scenario.nodes_count, scenario.clients_count, scenario.span_s)
    numbers = (nodes, clients, int(span_s * NS_PER_S))
    kinds = {name: kind for name, kind in kinds_of(place).items() if name not in scenario.without}
    if scenario.healed_s:
        heal_ns = max(0, numbers[2] - int(scenario.healed_s * NS_PER_S))
        plan = calmed(draw_plan(place, seed, profile, numbers, kinds, live=False), heal_ns)
    else:
        plan = draw_plan(place, seed, profile, numbers, kinds, live=live)
    calm_ns = int(scenario.calm_s * NS_PER_S)
    return replace(plan, faults=tuple(fault for fault in plan.faults if fault.at_ns >= calm_ns))


def kinds_of(place: str) -> Mapping[str, type[Kind]]:
    """All kinds of faults that plans of a scenario may have."""
    return {**KINDS, **{kind.name: kind for kind in load(place).kinds}}
