"""What a node finds in its folder when it is in no ring yet, and what it leaves there.

A folder that an embedded store was kept in may found a cluster: its Dicts and entries are the cluster's
first. It never joins one. Two histories of one key cannot be told apart by their stamps alone, and what
others have deleted would come back."""

from __future__ import annotations

from ..store import layout
from ..store.meta import partitions_of, with_partitions
from ..world import Changes, Storage

LAST_DICT = b"\xff" * (layout.DICT_ID_BYTES + layout.PARTITION_BYTES)


def has_entries(storage: Storage) -> bool:
    """Whether there is anything in the entries' storage that a cluster would have to be merged with: entries,
    locks, Dicts, or names that once stood for one."""
    stretches = (
        (layout.FIRST_DICT, LAST_DICT),
        (layout.DICT, layout.DICT[:-1] + b"\x01"),
        (layout.NAME, layout.NAME[:-1] + b"\x01"),
    )
    return any(storage.scan(first, end, 1) for first, end in stretches)


def last_stamp(storage: Storage) -> int:
    """The last stamp that was given in that folder before this node served it: all later ones are above."""
    return int.from_bytes(storage.get(layout.LAST_STAMP) or b"", "big")


def binding(cluster_id: bytes | None) -> Changes:
    """What to commit to the entries' storage once this node's ring has other members, too: from then on a
    node that stops does not give its folder back to embedded writers, of whose deletes nobody would hear.
    None: it has none any more."""
    return {layout.BOUND: cluster_id}


def founding_partitions(storage: Storage, wanted: int) -> int:
    """Into how many partitions a cluster divides its keys that is founded here: what stands here decides."""
    meta = storage.get(layout.META) if has_entries(storage) else None
    return wanted if meta is None else partitions_of(meta)


def division(storage: Storage, partitions: int) -> Changes:
    """What to commit to the entries' storage before the first entry of a cluster of so many partitions.
    Empty: it is said there already, or nobody but the node itself reads the storage."""
    meta = storage.get(layout.META)
    if meta is None or partitions_of(meta) == partitions:
        return {}
    return {layout.META: with_partitions(meta, partitions)}
