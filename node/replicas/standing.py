"""What stands at keys, brought here before a write that goes by it: a touch, a put that keeps a time to live.

Rules of this file:
1. Within a tenure that began with all that the owners had, this node has what stands: nobody is asked. Where
   a tenure began above what this node has, or a replica told of something newer, the owners are. So they are
   for a put that keeps a time to live: it is newer than all that stands, and no replica would tell.
2. Who does not answer is not waited for: what it alone has is not gone by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...exception import Error
from ..config import FLOOR_TIMEOUT_S, FRAME_ROWS_MAX
from ..network.message import Reply
from ..network.peermessage import AskRows, Rows
from ..world import NS_PER_S, NodeId
from .writers import Writers

TIMEOUT_NS = int(FLOOR_TIMEOUT_S * NS_PER_S)


def bring(
    parts: Writers, wanted: Sequence[tuple[int, bytes]], then: Callable[[], None], *, anew: bool
) -> None:
    """Call once this node has what stands at these places, each with its partition: at once if it has it. The
    ring may have turned by then. `anew`: ask in any case."""
    view = parts.view

    def held() -> None:
        if view is not parts.view:
            then()
            return
        by_node: dict[NodeId, list[bytes]] = {}
        for partition, place in wanted:
            if anew or parts.tenures.lacks(partition):
                for node in view.owners(partition):
                    if node != parts.me and parts.bus.routable(node):
                        by_node.setdefault(node, []).append(place)
        left = len(by_node)

        def over() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                then()

        for node, places in by_node.items():
            _pull(parts, node, places, over)
        if not by_node:
            over()

    parts.tenures.hold(sorted({partition for partition, _ in wanted}), held)


def _pull(parts: Writers, node: NodeId, places: list[bytes], over: Callable[[], None]) -> None:
    """Take what a node has at these places, a frame's worth at a time."""

    def answered(reply: Reply | None) -> None:
        rows = reply.rows if isinstance(reply, Rows) else []
        fault_of = parts.replica.fault_of
        whole = [(place, raw) for place, raw in rows if place in places and not fault_of(place, raw)]
        if not whole:
            over()
            return
        left = places[places.index(whole[-1][0]) + 1 :]

        def applied(_error: Error | None, _newer: int) -> None:
            if left:
                _pull(parts, node, left, over)
            else:
                over()

        parts.replica.apply(whole, applied)

    question = AskRows(0, parts.view.mark, places[:FRAME_ROWS_MAX])
    parts.bus.ask(node, question, answered, TIMEOUT_NS)
