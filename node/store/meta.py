"""The record that says what a store's data are: their format, and which store this is."""

from __future__ import annotations

from pathlib import Path
from struct import Struct

from ...exception import FormatError
from ..clock import Clock, Random
from . import layout

FORMAT = 1
"""Of the data on disk. A change that an older version would misread makes it one higher."""
META = Struct(">HxxI16sQ")
"""format, partitions, node id, created_ms."""
FORMAT_BYTES = 2
NODE_ID_BYTES = 16
TIE_BREAK_BYTES = 4
"""Of the node id in every entry: members of one cluster must differ in them."""


def new_meta(random: Random, host: Clock) -> bytes:
    """The record of a store that is made now."""
    return META.pack(FORMAT, layout.PARTITIONS, random(NODE_ID_BYTES), host.wall_ms())


def tie_break(meta: bytes, folder: Path, *, of_node: bool = False) -> int:
    """The part of the node id that breaks ties between versions. `of_node`: it may have any number of
    partitions.

    Raises:
        FormatError: a newer version wrote the store, or one with other partitions.
    """
    version = int.from_bytes(meta[:FORMAT_BYTES], "big")
    if version > FORMAT:
        raise FormatError(
            f"the store in {folder} was written by a newer ringdict (format {version}; this one reads up to "
            f"{FORMAT}). Upgrade ringdict"
        )
    _, partitions, node_id, _ = META.unpack(meta)
    if partitions != layout.PARTITIONS and not of_node:
        raise FormatError(f"the store in {folder} has {partitions} partitions, not {layout.PARTITIONS}")
    return int.from_bytes(node_id[:TIE_BREAK_BYTES], "big")


def partitions_of(meta: bytes) -> int:
    """Into how many partitions the store's keys are divided."""
    partitions: int = META.unpack(meta)[1]
    return partitions


def with_partitions(meta: bytes, partitions: int) -> bytes:
    """The record of the same store, of which the keys are divided into so many."""
    version, _, node_id, created_ms = META.unpack(meta)
    return META.pack(version, partitions, node_id, created_ms)
