"""What tells whether two processes can share memory and locks: 16 bytes, equal where they can.

It takes the same boot of the same system, hence one clock, and the same numbering of processes: LMDB tells
its readers apart by their numbers, and two that have the same one would take each other's slots."""

from __future__ import annotations

import os
from contextlib import suppress

from xxhash import xxh3_128_digest

from ..clock import SystemClock

NAMESPACES = ("pid", "time")
NOWHERE = bytes(16)
"""Of a system that does not tell its boots apart. It shares with nobody."""


def host_mark() -> bytes:
    """The mark of this process."""
    boot_id = SystemClock().boot_id()
    if not any(boot_id):
        return NOWHERE
    names = []
    for namespace in NAMESPACES:
        with suppress(OSError):  # kernels without namespaces
            names.append(os.readlink(f"/proc/self/ns/{namespace}"))
    return xxh3_128_digest(boot_id + " ".join(names).encode())
