"""What becomes of a store when the first process opens it, and when the last one closes it."""

from __future__ import annotations

import os
from pathlib import Path

from ..disk.datafile import DATA
from ..disk.disk import Disk
from ..disk.durability import Durability
from ..disk.folder import ENTRIES, STAMP, USERS
from ..disk.synccell import SyncCell, cell_path, has_failed
from ..disk.syncpoint import SYNCED, newest, points, side_files
from .stampcell import StampCell


def settle(folder: Path, boot_id: bytes, disk: Disk) -> bool:
    """Bring the store in `folder` to where its data file is on disk whole. It must be open nowhere.

    If the operating system went down since the last sync point, the store goes back to that.

    Returns:
        Whether it went back.

    Raises:
        OSError: the disk does not take it. The store is as it was, and must not be opened.
    """
    point = newest(folder)
    if point is None:
        forget(folder, disk)
        return False
    back = point.boot_id != boot_id
    if not back and has_failed(folder):
        return False  # nobody can tell what is on the disk, and the last sync point must stay
    try:
        descriptor = os.open(folder / ENTRIES / DATA, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # somebody took it away, with all that the points tell of
        forget(folder, disk)
        return False
    try:
        if back:
            disk.write(descriptor, point.metas, 0)
        disk.sync_data(descriptor)
    finally:
        os.close(descriptor)
    forget(folder, disk)
    return back


def may_lack(folder: Path, boot_id: bytes) -> bool:
    """Whether what was acknowledged in a folder may be missing there, since the system went down under it. To
    be asked before the store is opened: that goes back to the last sync point, and then nothing tells."""
    point = newest(folder)
    if point is not None:
        return point.boot_id != boot_id
    users, stamp = folder / USERS, folder / STAMP
    if not users.exists() or not stamp.exists():
        return False
    return users.read_bytes().strip() == Durability.NONE.encode() and not StampCell(stamp).of_boot(boot_id)


def forget(folder: Path, disk: Disk) -> None:
    """Remove the side files, the one that counts last: an older point's pages may be gone."""
    if not (folder / SYNCED).exists():
        return
    told = {path: [point.transaction for point in points(path)] for path in side_files(folder)}
    in_order = sorted(told, key=lambda path: max(told[path], default=0))
    for path in in_order[:-1]:
        path.unlink()
    if len(in_order) > 1:
        disk.sync_names(folder / SYNCED)
    for path in in_order[-1:]:
        path.unlink()
        disk.sync_names(folder / SYNCED)
    if cell_path(folder).exists():  # kept, since a full disk may have no room for another
        SyncCell(folder).clear()
