"""When a write is on disk."""

from __future__ import annotations

from enum import StrEnum

from ...exception import InvalidError


class Durability(StrEnum):
    """What an acknowledged write has survived.

    The death of a process, at any moment, loses nothing under either.
    """

    FSYNC = "fsync"
    """On disk before it is acknowledged: a power cut loses nothing."""

    INTERVAL = "interval"
    """On disk within about a second: a power cut takes the store back to the state it had then."""

    NONE = "none"
    """In the operating system's hands: a power cut may lose it, and may damage the whole store."""

    @classmethod
    def parse(cls, text: str) -> Durability:
        """The durability called `text`; `InvalidError` if there is none."""
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(member.value for member in cls)
            raise InvalidError(f"unknown durability {text!r}; known are: {known}") from None


def default(boot_id: bytes) -> Durability:
    """What a store has where nobody says otherwise: `interval`, if the system tells its boots apart."""
    return Durability.INTERVAL if any(boot_id) else Durability.FSYNC
