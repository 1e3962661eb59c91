"""What a node tells the clients on its host: which partitions they may read past it, and where.

Rules of this file:
1. It is told at once when a partition is not served any more (`changed`), and again and again as long as the
   node lives. That one is served may be told up to a second later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import NamedTuple, Self

from ..beat import until_beat_ns
from ..config import PAGE_LOOK_SHOWINGS, PAGE_SHOWN_INTERVAL_S
from ..network.message import AskFolder, Mark, Request, TellFolder
from ..network.wire import encode
from ..world import NS_PER_S, Address, NodeId, World

HEAD = Struct(">16sQ8sH")
"""Node, epoch, digest of the decree, how many partitions."""


class Serving(NamedTuple):
    """What a node serves, in an epoch: bit n of byte n // 8, from the lowest, is partition n."""

    node: NodeId
    mark: Mark
    partitions: bytes

    def encode(self) -> bytes:
        return HEAD.pack(self.node, *self.mark, 8 * len(self.partitions)) + self.partitions

    @classmethod
    def decode(cls, page: bytes) -> Self:
        """What stands on a page; `struct.error` if that is nothing."""
        node, epoch, digest, count = HEAD.unpack_from(page)
        return cls(NodeId(node), (epoch, digest), page[HEAD.size :].ljust(-(-count // 8), b"\0"))


_SHOWN_NS = int(PAGE_SHOWN_INTERVAL_S * NS_PER_S)


class Announcer:
    """Keeps the page of one node. `look` says what it serves now.

    Args:
        folder: where its entries are, for who may read them.
        host: the mark of its host (hostmark.py).
    """

    def __init__(self, world: World, look: Callable[[], Serving], folder: str, host: bytes) -> None:
        self._world = world
        self._look = look
        self._folder = folder
        self._host = host
        self._page = b""
        self._showings = 0

    def start(self) -> None:
        """Begin, and go on for ever."""
        if self._showings % PAGE_LOOK_SHOWINGS == 0:
            self.changed()
        else:
            self._world.publish(self._page)
        self._showings += 1
        self._world.call_after(until_beat_ns(self._world, _SHOWN_NS), self.start)

    def changed(self) -> None:
        """What `look` says may be less now."""
        self._page = self._look().encode()
        self._world.publish(self._page)

    def handlers(self) -> Mapping[type[Request], Callable[[Address, Request], None]]:
        """What it answers."""
        return {AskFolder: self._tell_folder}

    def _tell_folder(self, source: Address, request: Request) -> None:
        assert isinstance(request, AskFolder)
        here = request.host == self._host and any(self._host)
        self._world.send(source, encode(TellFolder(request.number, self._folder if here else "")))


def bits_of(partitions: list[int], count: int) -> bytes:
    """The bits of some of `count` partitions."""
    bits = bytearray(-(-count // 8))
    for partition in partitions:
        bits[partition >> 3] |= 1 << (partition & 7)
    return bytes(bits)
