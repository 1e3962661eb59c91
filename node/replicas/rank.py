"""Which of two entries of one key stands: the merge rule, on the bytes.

Rules of this file:
1. The highest version stands, of equal versions the higher node, then the higher touch stamp: so a touch
   never brings a stale value over a newer one.
2. Of equal stamps the one whose value was dropped when it expired stands, and then the higher bytes: nothing
   is left to the order in which two replicas hear of things.
3. It is a total order over all bytes that can be an entry, so merging is commutative, associative and
   idempotent.
"""

from __future__ import annotations

from ..network.message import Stamp
from ..store.entry import BEHIND, CHECKSUM_BYTES, EXPIRED, EXPIRES_AT, FLAGS_AT, HEADER_BYTES, VERSION_AT

STAMP_AT = VERSION_AT
STAMP_END = EXPIRES_AT
"""Version, node and touch stand side by side, and their big-endian bytes compare like the numbers."""
FRONT_BYTES = EXPIRES_AT
"""An entry's front: checksum, flags and stamp. Entries with equal fronts are taken for equal."""

NO_STAMP: Stamp = (0, 0, 0)


def beats(entry: bytes, standing: bytes) -> bool:
    """Whether an entry comes in place of the one that stands. Of two equal ones neither beats the other."""
    stamp, standing_stamp = entry[STAMP_AT:STAMP_END], standing[STAMP_AT:STAMP_END]
    if stamp != standing_stamp:
        return stamp > standing_stamp
    if entry == standing:
        return False
    return (entry[FLAGS_AT] & EXPIRED, entry) > (standing[FLAGS_AT] & EXPIRED, standing)


def may_beat(front: bytes, standing: bytes) -> bool:
    """`beats`, as far as an entry's front can tell: True too where only the whole entry could."""
    stamp, standing_stamp = front[STAMP_AT:STAMP_END], standing[STAMP_AT:STAMP_END]
    return stamp > standing_stamp or (stamp == standing_stamp and front != standing[:FRONT_BYTES])


def version_of(entry: bytes) -> int:
    """The version in an entry's header or front."""
    return int.from_bytes(entry[VERSION_AT : VERSION_AT + 8], "big")


def stamp_of(entry: bytes) -> Stamp:
    """What orders an entry; zeros for what is too short to be one."""
    if len(entry) < HEADER_BYTES:
        return NO_STAMP
    _, version, node, touch, _ = BEHIND.unpack_from(entry, CHECKSUM_BYTES)
    return version, node, touch
