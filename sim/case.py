"""A plan that failed, kept in a file: what the tests replay for ever, whatever the drawing of plans
becomes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..exception import InvalidError
from ..node.world import NS_PER_S
from .network import Noise
from .plan import Plan


def save_case(path: Path, plan: Plan, check: str, what: str) -> None:
    """Write a plan down, with the check that it failed and what was wrong."""
    data = {"check": check, "what": what, "plan": plan.to_json()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def load_case(path: Path) -> tuple[Plan, str]:
    """The plan of a file, and the check that it failed when it was written.

    Raises:
        InvalidError: the file is no case.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Plan.from_json(data["plan"]), data["check"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{path} is no case of a simulation: {error}") from error


def keep_only(
    plan: Plan,
    keep: frozenset[int] | None = None,
    *,
    nodes: int | None = None,
    clients: int | None = None,
    seconds: float | None = None,
    quiet: bool = False,
    skip: float | None = None,
    luck: int = 0,
) -> Plan:
    """A smaller plan: faults by their index in the whole one, fewer nodes and clients, less time, no noise.

    `skip` lets it begin so many seconds later, without the faults before that; `luck` rolls all dice anew.
    """
    count = nodes or plan.nodes_count
    skip_ns = round((skip or 0.0) * NS_PER_S)
    span_ns = plan.span_ns - skip_ns
    if seconds is not None:
        span_ns = min(span_ns, round(seconds * NS_PER_S))
    faults = [
        replace(fault, at_ns=fault.at_ns - skip_ns)
        for index, fault in enumerate(plan.faults)
        if (keep is None or index in keep)
        and all(number < count for number in fault.nodes)
        and 0 <= fault.at_ns - skip_ns < span_ns
    ]
    heal_ns = None if plan.heal_ns is None else plan.heal_ns - skip_ns
    return replace(
        plan,
        faults=tuple(faults),
        nodes_count=count,
        clients_count=clients or plan.clients_count,
        span_ns=span_ns,
        heal_ns=heal_ns if heal_ns is not None and 0 <= heal_ns < span_ns else None,
        noise=Noise(jitter_ns=plan.noise.jitter_ns) if quiet else plan.noise,
        luck=luck,
    )
