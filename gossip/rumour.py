"""Rumours waiting to be told: each so often, those told least first, at most one state a node.

Rules of this file:
1. A word about a node replaces what waits about that node, another reporter's suspicion too: the first to
   have heard enough of them tells all others that the node is dead.
2. The own word goes first, always: nothing else can save this node from being declared dead.
"""

from __future__ import annotations

import math

from .config import BROADCASTS_MAX, RUMOURS_MAX
from .member import NodeId

WORD_BYTES_MIN = 32  # no word is shorter
MISSES_MAX = 8  # words that did not fit, before the search for one that does is given up


class _Rumour:
    __slots__ = ("data", "key", "sent")

    def __init__(self, key: tuple[NodeId, int], data: bytes) -> None:
        self.key = key
        self.data = data
        self.sent = 0


class Tiers:
    """Encoded words, in tiers by how often they were sent; oldest first within one."""

    def __init__(self, count_max: int) -> None:
        self.count_max = count_max
        self._tiers: list[dict[tuple[NodeId, int], _Rumour]] = [{}]
        self._all: dict[tuple[NodeId, int], _Rumour] = {}

    def __len__(self) -> int:
        return len(self._all)

    def put(self, key: tuple[NodeId, int], data: bytes) -> bool:
        """Add a word, or replace one; return False if another had to go for it."""
        self.drop(key)
        full = len(self._all) >= self.count_max
        if full:
            tier = next(tier for tier in reversed(self._tiers) if tier)
            self.drop(next(iter(tier)))
        self._all[key] = self._tiers[0][key] = _Rumour(key, data)
        return not full

    def drop(self, key: tuple[NodeId, int]) -> None:
        """Remove a word, if it is there."""
        old = self._all.pop(key, None)
        if old is not None:
            del self._tiers[old.sent][key]

    def take(self, room_bytes: int, sends_max: int) -> list[bytes]:
        """Return what fits, least sent first, and count it as sent."""
        taken: list[_Rumour] = []
        misses = 0
        for tier in self._tiers:
            for rumour in tier.values():
                if len(rumour.data) <= room_bytes:
                    room_bytes -= len(rumour.data)
                    taken.append(rumour)
                else:
                    misses += 1
                if room_bytes < WORD_BYTES_MIN or misses > MISSES_MAX:
                    break
            if room_bytes < WORD_BYTES_MIN or misses > MISSES_MAX:
                break
        for rumour in taken:
            self._sent(rumour, sends_max)
        return [rumour.data for rumour in taken]

    def _sent(self, rumour: _Rumour, sends_max: int) -> None:
        del self._tiers[rumour.sent][rumour.key]
        rumour.sent += 1
        if rumour.sent >= sends_max:
            del self._all[rumour.key]
            return
        while len(self._tiers) <= rumour.sent:
            self._tiers.append({})
        self._tiers[rumour.sent][rumour.key] = rumour


class Rumours:
    """All that a node has to tell: its own word, words about others, and broadcasts of the application."""

    def __init__(self, retransmit_ratio: int) -> None:
        self.crowded_out = 0  # words and broadcasts dropped because too many waited
        self._ratio = retransmit_ratio
        self._own: bytes | None = None
        self._own_sent = 0
        self._words = Tiers(RUMOURS_MAX)
        self._broadcasts = Tiers(BROADCASTS_MAX)

    def __len__(self) -> int:
        return len(self._words) + len(self._broadcasts) + (self._own is not None)

    @property
    def own_waits(self) -> bool:
        """Whether the own word has still to be told."""
        return self._own is not None

    def sends(self, live_count: int) -> int:
        """Return how often each is sent in a cluster of this size."""
        return self._ratio * max(1, math.ceil(math.log10(live_count + 1)))

    def put_own(self, data: bytes) -> None:
        """Tell this node's own word, from the start."""
        self._own, self._own_sent = data, 0

    def put_word(self, subject: NodeId, data: bytes) -> None:
        """Tell a word about a node; nothing older about it is told any more."""
        self._put(self._words, (subject, 0), data)

    def put_broadcast(self, origin: NodeId, number: int, data: bytes) -> None:
        """Tell something of the application, when there is room."""
        self._put(self._broadcasts, (origin, number), data)

    def take(self, room_bytes: int, live_count: int) -> list[bytes]:
        """Return what goes into the next datagram, and count it as sent."""
        parts: list[bytes] = []
        sends_max = self.sends(live_count)
        if self._own is not None and len(self._own) <= room_bytes:
            parts.append(self._own)
            room_bytes -= len(self._own)
            self._own_sent += 1
            if self._own_sent >= sends_max:
                self._own = None
        for tiers in (self._words, self._broadcasts):
            if len(tiers):
                words = tiers.take(room_bytes, sends_max)
                room_bytes -= sum(map(len, words))
                parts += words
        return parts

    def _put(self, tiers: Tiers, key: tuple[NodeId, int], data: bytes) -> None:
        if not tiers.put(key, data):
            self.crowded_out += 1
