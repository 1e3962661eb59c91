"""What clients did, and what may not be in it: looked for by plain functions over a list of calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one client, by the clock that all processes of a host share."""

    client: str
    #: put, get, claim, release, lock, enter
    op: str
    key: str
    begin_ns: int
    end_ns: int
    #: ok, no, error, unknown
    outcome: str
    value: int = 0
    text: str = ""


def load(paths: Iterable[Path]) -> list[Call]:
    """The calls of all clients, in the order in which they ended, without what is no whole line."""
    calls: list[Call] = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                calls.append(Call(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return sorted(calls, key=lambda call: call.end_ns)


def export(calls: Sequence[Call], path: Path) -> None:
    """One call a line."""
    path.write_text("".join(json.dumps(asdict(call)) + "\n" for call in calls), encoding="utf-8")


def lost(calls: Iterable[Call], final: Mapping[str, int]) -> list[str]:
    """Puts that were acknowledged, and are gone in the end. Each key is one client's, whose values grow: what
    is there may be newer, since a put whose outcome is unknown may have happened."""
    acknowledged: dict[str, Call] = {}
    for call in calls:
        if call.op == "put" and call.outcome == "ok":
            before = acknowledged.get(call.key)
            if before is None or call.value > before.value:
                acknowledged[call.key] = call
    return [
        f"{key}: {call.value} was acknowledged to {call.client}, and in the end it is {final.get(key)}"
        for key, call in acknowledged.items()
        if final.get(key, -1) < call.value
    ]


def back_in_time(calls: Iterable[Call]) -> list[str]:
    """Reads of a client that miss what was acknowledged to it before. Its calls are one after the other."""
    found: list[str] = []
    own: dict[tuple[str, str], int] = {}
    for call in sorted(calls, key=lambda call: call.begin_ns):
        place = (call.client, call.key)
        if call.outcome == "ok" and call.op == "put":
            own[place] = max(own.get(place, -1), call.value)
        elif call.outcome == "ok" and call.op == "get" and call.value < own.get(place, -1):
            found.append(f"{call.client} put {own[place]} at {call.key}, and read {call.value}")
    return found


def double_grants(calls: Iterable[Call]) -> list[str]:
    """Claims that were granted while another client held them.

    A client holds from the moment at which it was told so until it begins to release: whatever the outcome of
    that is, it has let go.
    """
    found: list[str] = []
    ordered = sorted(calls, key=lambda call: call.end_ns if call.op == "claim" else call.begin_ns)
    holders: dict[str, Call] = {}
    for call in ordered:
        if call.op == "claim" and call.outcome == "ok":
            holder = holders.get(call.key)
            if holder is not None:
                found.append(
                    f"{call.key} was granted to {call.client} at {call.end_ns / NS_PER_S:.6f}, "
                    f"while {holder.client} had it from {holder.end_ns / NS_PER_S:.6f} on"
                )
            holders[call.key] = call
        elif call.op == "release":
            holder = holders.get(call.key)
            if holder is not None and holder.client == call.client:
                del holders[call.key]
    return found


def odd_tokens(calls: Iterable[Call]) -> list[str]:
    """Grants of a lock whose token is not above those of all that had ended before they began."""
    found: list[str] = []
    grants: dict[str, list[Call]] = {}
    for call in calls:
        if call.op == "lock" and call.outcome == "ok":
            grants.setdefault(call.key, []).append(call)
    for key, many in grants.items():
        seen: dict[int, Call] = {}
        for call in many:
            if call.value in seen:
                found.append(f"{key}: token {call.value} to {seen[call.value].client} and {call.client}")
            seen[call.value] = call
        highest, at = 0, 0
        ended = sorted(many, key=lambda call: call.end_ns)
        for call in sorted(many, key=lambda call: call.begin_ns):
            while at < len(ended) and ended[at].end_ns < call.begin_ns:
                highest = max(highest, ended[at].value)
                at += 1
            if call.value <= highest:
                found.append(f"{key}: {call.client} got token {call.value} after {highest}")
    return found


def slow(calls: Iterable[Call], op: str) -> tuple[int, float, float]:
    """Of the calls of one kind that went well: how many, and how long 99 of 100 and the slowest took, in
    seconds."""
    took = sorted(
        (call.end_ns - call.begin_ns) / NS_PER_S for call in calls if call.op == op and call.outcome == "ok"
    )
    return (len(took), took[int(0.99 * len(took))], took[-1]) if took else (0, 0.0, 0.0)
