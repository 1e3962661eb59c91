"""A new time to live for an entry, as this node coordinates it: the same version, a higher touch stamp.

Rules of this file:
1. A touch makes no version: where a newer one stands it changes nothing (rank.py). A replica that says so has
   what stands there brought here (standing.py), and that is touched.
2. What is touched is what stands here and is visible, within a tenure. If that is nothing, nothing is
   written. A replica that is damaged, or not fit to be read, does not know: another owner is to do it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..network.message import Reason, Refused, Reply, Touch, Written
from ..store.entry import DamagedEntryError, encode
from ..store.operation import KEEP
from .draft import Drafts, one_draft
from .rank import NO_STAMP
from .write import Ended, Write
from .writers import Writers


def touch(
    parts: Writers,
    request: Touch,
    located: tuple[int, int, bytes],
    write: Callable[[Drafts, int], Write],
    ended: Ended,
) -> None:
    """Carry a touch out: through `write` if there is something to write, else `ended` is told at once.

    `located` is the key's hash, partition and place.
    """
    key_hash, partition, place = located
    if not parts.serving(partition):
        ended(Refused(0, Reason.NOT_SERVING, "catching up", parts.view.mark))
        return
    try:
        standing = parts.replica.read(request.dict_id, request.key).entry
    except DamagedEntryError:
        ended(Refused(0, Reason.DAMAGED, "the entry is damaged here", parts.view.mark))
        return
    answer = _answer(parts, request, None if standing is None else standing.version)
    if standing is None or answer is not None:
        ended(answer or Written(0, NO_STAMP, 0, 0))
        return
    found = standing
    expires_ms = parts.stamper.now_ms() + request.ttl_ms if request.ttl_ms > 0 else 0
    if request.ttl_ms == KEEP:
        expires_ms = found.expires_ms

    def sealed(stamp: int) -> bytes:
        return encode(found._replace(touch=stamp, expires_ms=expires_ms), key_hash)

    write(one_draft(place, partition, sealed, touched=found.version), max(found.touch, found.version))


def _answer(parts: Writers, request: Touch, version: int | None) -> Reply | None:
    """What to answer without writing; None: write."""
    if version is None:
        return Written(0, NO_STAMP, 0, 0)
    if request.if_version and request.if_version != version:
        return Refused(0, Reason.MISMATCH, "the entry is at another version", parts.view.mark, version)
    return None
