"""What `ringdict status --gossip` shows: every member that gossip knows of, be it dead or in no ring, as the
first node that answers sees it, and what each says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .operator import Answer

HEAD: Final = ("NODE", "ADDRESS", "STATE", "SINCE", "GENERATION", "INCARNATION", "RTT", "HEALTH", "DIGEST")
NUMBERS: Final = frozenset({3, 4, 5, 6, 7})
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def views(answers: Sequence[Answer]) -> set[str]:
    """The digests of all that answer: one, if all believe the same members to be alive."""
    told = [_gossip(answer) for answer in answers]
    return {str(gossip["digest"]) for gossip in told if "digest" in gossip}


def beliefs(answers: Sequence[Answer]) -> dict[str, str]:
    """What gossip says of each node, in the words of all who answered, where they differ."""
    words: dict[str, dict[str, None]] = {}
    for answer in answers:
        for member in _members(answer):
            words.setdefault(str(member["node"]), {})[str(member["state"])] = None
    return {node: "/".join(sorted(states)) for node, states in words.items()}


def rows(answers: Sequence[Answer], now_ms: int) -> tuple[str, list[tuple[str, ...]]]:
    """The node whose view it is, and a row for each that it knows of."""
    observer = next((answer for answer in answers if _members(answer)), None)
    if observer is None:
        return "", []
    states = beliefs(answers)
    own = {str(_gossip(answer).get("node")): _gossip(answer) for answer in answers}
    found: list[tuple[str, ...]] = []
    for member in _members(observer):
        node = str(member["node"])
        rtt_us = member.get("rtt_us")
        of_itself = own.get(node, {})
        found.append(
            (
                node[:12],
                str(member.get("service") or member.get("address") or "-"),
                states[node],
                _span((now_ms - int(member["since_ms"])) // 1000) if "since_ms" in member else "-",
                str(member.get("generation", "-")),
                str(member.get("incarnation", "-")),
                "-" if rtt_us is None else f"{rtt_us / 1000:.2f} ms",
                str(of_itself.get("health_points", "-")),
                str(of_itself.get("digest", "-")),
            )
        )
    return str(_gossip(observer).get("node"))[:12], found


def _gossip(answer: Answer) -> Mapping[str, Any]:
    gossip = (answer.status or {}).get("gossip")
    return gossip if isinstance(gossip, dict) else {}


def _members(answer: Answer) -> Sequence[Mapping[str, Any]]:
    members = _gossip(answer).get("members")
    return members if isinstance(members, list) else ()


def _span(seconds: int) -> str:
    """How long, in the largest unit of which it is two."""
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"
