"""A look at what stands at one place of a replica, without the whole of it going over a line."""

from __future__ import annotations

from ...exception import StoreDamagedError
from ..config import PIECE_BYTES, STORAGE_KEY_BYTES_MAX
from ..store.layout import PREFIX_BYTES
from ..world import Storage
from .rank import FRONT_BYTES
from .replica import DAMAGED, DAMAGED_FRONT
from .tally import is_whole


def front_at(storage: Storage, place: bytes) -> bytes:
    """The front of the entry at a place: empty if there is none, zeros if it is damaged."""
    raw = _read(storage, place)
    if raw is None:
        return b""
    return raw[:FRONT_BYTES] if is_whole(place, raw) else DAMAGED_FRONT


def piece_at(storage: Storage, place: bytes, first: int) -> tuple[int, bytes]:
    """How large the entry at a place is, 0 if there is none, and some of its bytes from `first` on."""
    raw = _read(storage, place)
    return (0, b"") if raw is None else (len(raw), raw[first : first + PIECE_BYTES])


def _read(storage: Storage, place: bytes) -> bytes | None:
    """What stands at a place that somebody named, who may be wrong about what a place is."""
    if not PREFIX_BYTES < len(place) <= STORAGE_KEY_BYTES_MAX:
        return None
    try:
        return storage.get(place)
    except StoreDamagedError:
        return DAMAGED
