"""A clock that a test sets."""

from __future__ import annotations


class ManualClock:
    """The clocks of a host on which time passes when a test says so."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.monotonic = 5_000_000
        self.boot = 1

    def wall_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.monotonic

    def boot_id(self) -> bytes:
        return self.boot.to_bytes(16, "big")

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.set_wall(seconds)
        self.monotonic += round(seconds * 1000)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward by so many seconds, or back; no time passes."""
        self.wall += round(seconds * 1000)

    def reboot(self) -> None:
        """Make it a later boot of the host, whose monotonic clock has begun anew."""
        self.boot += 1
        self.monotonic = 1_000
