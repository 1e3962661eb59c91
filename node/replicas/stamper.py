"""A node's hybrid clock: the stamps of what it writes, and the time by which it judges expiry.

Rules of this file:
1. The clock never runs back, whatever the wall clock does, in this process or over a restart.
2. No stamp is given twice, over a power cut either: a stamp is given only below what is reserved on disk.
3. A stamp is above any version that the caller names, and above every one that was seen.
4. What others wrote moves the clock up to `SKEW_MS_MAX` beyond the wall clock, and no further. Versions from
   further ahead raise an alarm; stamps above them are counted beside the clock, and move it as little.
5. After a recovery by force all stamps are above its floor, whatever this node's clock says.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from ...exception import Error, StoreFullError
from ..clock import COUNTER_BITS
from ..config import FLOOR_AHEAD_MS_MAX, SKEW_MS_MAX, STAMP_AHEAD_MS
from ..world import NS_PER_MS, Storage, World

KEY = b"stamp"
"""Where what is reserved stands, among the decisions of a node."""
RESERVED = Struct(">QQ")
"""Up to which version stamps of the clock, and stamps from beyond it, may have been given."""
AHEAD = STAMP_AHEAD_MS << COUNTER_BITS
VERSION_MAX = 1 << 63
"""No stamp comes near it within two thousand years; a version from beyond it is no honest one."""

Stamped = Callable[[int | Error], None]
"""Told the stamp, or why there is none."""


class Stamper:
    """The stamps of one node. `storage` holds what it has reserved; it must be on disk when it says so. All
    stamps are above `least`: what the entries' folder had before."""

    def __init__(self, world: World, storage: Storage, least: int = 0) -> None:
        self._world = world
        self._storage = storage
        near: int
        far: int
        near, far = RESERVED.unpack(storage.get(KEY) or bytes(RESERVED.size))
        near = max(near, least)
        #: What is reserved on disk.
        self._near = near
        self._far = far
        self._reserving = False
        #: The highest stamp given or seen, and of those from beyond the clock.
        self._last = near
        self._last_far = far
        self._lead_ns = world.wall_ns() - world.now_ns()
        self._lead_ns = max(self._lead_ns, self._ms_of(near) * NS_PER_MS - world.now_ns())
        self._floor = 0
        #: Who waits for a reservation, in order.
        self._waiting: list[tuple[int, Stamped]] = []
        #: Versions that came from further ahead than is allowed.
        self.alarms_count = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970, never less than before."""
        world = self._world
        now_ns = world.now_ns()
        lead_ns = world.wall_ns() - now_ns
        if lead_ns > self._lead_ns:
            self._lead_ns = lead_ns
        return (now_ns + self._lead_ns) // NS_PER_MS

    def see(self, version: int) -> None:
        """Somebody gave that stamp: all that are given from now on are above it, up to the allowed skew."""
        if version <= self._last:
            return
        allowed_ms = max(self.now_ms(), self._world.wall_ns() // NS_PER_MS + SKEW_MS_MAX)
        version_ms = self._ms_of(version)
        if version_ms > allowed_ms:
            self.alarms_count += 1
            self._world.trace("skewed", ahead_ms=version_ms - self.now_ms())
            return
        self._last = version
        self._lead_ns = max(self._lead_ns, version_ms * NS_PER_MS - self._world.now_ns())

    def leap(self) -> int:
        """A stamp above all that were given or seen here, and above what any honest clock gives now."""
        return max(self._last, (self.now_ms() + SKEW_MS_MAX) << COUNTER_BITS)

    def raise_floor(self, floor: int) -> None:
        """Give no stamp at or below this one any more."""
        self._floor = max(self._floor, floor)

    def credible(self, floor: int) -> int:
        """As much of what a client claims to have seen as can be believed. What stands really is told by the
        replicas (write.py), so no write is lost under what is cut off here."""
        return min(floor, (self.now_ms() + FLOOR_AHEAD_MS_MAX) << COUNTER_BITS)

    def stamp(self, above: int, then: Stamped) -> None:
        """A new stamp, above that version and all that were given: at once if it is reserved, which it is
        while writes go on, else once it is."""
        assert above < VERSION_MAX
        if self._waiting:
            self._waiting.append((above, then))
            return
        version = self._next(above, self.now_ms() << COUNTER_BITS)
        if self._is_reserved(version):
            if self._is_short():
                self._reserve()
            then(version)
        else:
            self._waiting.append((above, then))
            self._reserve()

    def stamp_at_once(self, above: int) -> int:
        """The same without a wait: for what is written to the same storage next, and by others at the same
        time. What it takes beyond the reserved is on disk before that is.

        A node whose host lost power in between, and whose wall clock went back, may give it again. Whoever
        compares such stamps of two kinds has to tell them apart by their node."""
        version = self._next(above, self.now_ms() << COUNTER_BITS)
        if not self._is_reserved(version) or self._is_short():
            self._reserve()
        return version

    def _next(self, above: int, clock: int) -> int:
        """The next stamp above a version, at `clock` if nothing is ahead of it. Each call gives another."""
        above = max(above, self._floor)
        self.see(above)
        if above > self._last:  # too far ahead to go by
            self._last_far = max(above, self._last_far) + 1
            return self._last_far
        self._last = max(self._last + 1, clock)
        return self._last

    # -- reserving ------------------------------------------------------------------------------------

    def _is_reserved(self, version: int) -> bool:
        return version <= (self._far if version > self._last else self._near)

    def _is_short(self) -> bool:
        """Whether to reserve more, before somebody has to wait for it."""
        return self._last + AHEAD // 2 > self._near or self._last_far + AHEAD // 2 > self._far > 0

    def _reserve(self) -> None:
        """Reserve as far ahead as is done at once; one such write is under way at a time."""
        if self._reserving:
            return
        self._reserving = True
        near = max(self._near, self._last + AHEAD)
        far = max(self._far, self._last_far + AHEAD) if self._last_far else 0
        self._storage.commit({KEY: RESERVED.pack(near, far)}, lambda error: self._done(near, far, error))

    def _done(self, near: int, far: int, error: Error | None) -> None:
        self._reserving = False
        if error is not None and not isinstance(error, StoreFullError):
            self._world.halt(f"stamps: {error}")
            return
        waiting, self._waiting = self._waiting, []
        if error is not None:
            for _, then in waiting:
                then(error)
            return
        self._near, self._far = near, far
        for place, (above, then) in enumerate(waiting):
            version = self._next(above, min(self.now_ms() << COUNTER_BITS, near))  # however slow the disk was
            if not self._is_reserved(version):
                self._waiting = [*waiting[place:], *self._waiting]
                self._reserve()
                return
            then(version)

    @staticmethod
    def _ms_of(version: int) -> int:
        return version >> COUNTER_BITS

    def validate(self) -> None:
        """Assert what must always hold."""
        assert not self._waiting or self._reserving
