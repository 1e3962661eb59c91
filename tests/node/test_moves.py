"""How far a move is, as a node tells it; and how fast it may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ringdict.node.moves import Moves
from ringdict.node.replicas.pacing import Pacing
from ringdict.node.ringview import RingView
from ringdict.node.world import NS_PER_S, NodeId, World
from ringdict.ring.change import flip, found, join
from ringdict.ring.member import Member, MemberState

OLD, NEW = NodeId(b"1" * 16), NodeId(b"2" * 16)


class Clock:
    """Of a world, what these need: time, and calls later."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.calls: list[tuple[int, Callable[[], None]]] = []

    def now_ns(self) -> int:
        return self.at_ns

    def call_after(self, delay_ns: int, call: Callable[[], None]) -> None:
        self.calls.append((self.at_ns + delay_ns, call))


def test_what_is_moved_has_its_time_and_no_more_for_having_waited() -> None:
    clock = Clock()
    pacing = Pacing(cast("World", clock), 1_000)
    gone_on: list[int] = []
    for _ in range(3):
        pacing.after(500, lambda: gone_on.append(clock.at_ns))
    assert [at_ns for at_ns, _ in clock.calls] == [NS_PER_S // 2, NS_PER_S, 3 * NS_PER_S // 2]
    assert not gone_on
    clock.at_ns = 100 * NS_PER_S
    pacing.after(500, lambda: gone_on.append(clock.at_ns))
    assert clock.calls[-1][0] == clock.at_ns + NS_PER_S // 2, "a pause earns nothing"
    assert pacing.moved_bytes == 2_000


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    gone_on: list[int] = []
    Pacing(cast("World", clock), 0).after(1 << 30, lambda: gone_on.append(1))
    assert gone_on == [1]
    assert not clock.calls


def test_a_node_tells_what_it_takes_over_for_how_long_and_whom_it_waits_for() -> None:
    clock = Clock()
    moved = (10, 1_000)
    merged: set[int] = set()
    behind: list[NodeId] = [OLD]
    moves = Moves(
        cast("World", clock),
        ready=lambda partition: partition in merged,
        awaited=lambda partition: [] if partition in merged else [OLD],
        behind=lambda _: behind,
        moved=lambda: moved,
    )
    first = found(b"c" * 16, Member(OLD, MemberState.JOINING), 64, 1)
    second = join(first, Member(NEW, MemberState.JOINING))
    assert second.pending is not None
    moves.turned(RingView(first, NEW))
    assert moves.facts() is None, "at rest"
    moves.turned(RingView(second, NEW))
    clock.at_ns, moved = 2 * NS_PER_S, (15, 3_000)
    facts: Any = moves.facts()
    taking = facts["taking_partitions"]
    assert taking > 20
    assert facts == {
        "pending_partitions": taking, "taking_partitions": taking, "ready_partitions": 0, "since_s": 2.0,
        "moved_entries": 5, "moved_bytes": 2_000, "rate_bytes_s": 1_000.0, "waits_for": {OLD.hex(): taking},
    }  # fmt: skip
    behind.clear()
    mine = [number for number, row in enumerate(second.pending.rows()) if row[0] == second.number_of(NEW)]
    merged.update(mine[:3])
    facts = moves.facts()
    assert (facts["ready_partitions"], facts["waits_for"]) == (3, {OLD.hex(): taking - 3})
    moves.turned(RingView(flip(second, mine[:3]), NEW))
    facts = moves.facts()
    assert (facts["taking_partitions"], facts["since_s"]) == (taking - 3, 2.0), "it is one way"
