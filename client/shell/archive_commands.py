"""The commands `ringdict backup|restore|verify`: what is in a folder goes into another, or is looked through.

They work on folders of this host, past whoever serves them. As those of commands.py they take their arguments
and a terminal, and say by an exit code how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ...exception import InvalidError, StoreDamagedError
from ...node.config import BACKUP_RATE_BYTES_S, MIB
from ...node.store import layout
from ...node.store.archive import MANIFEST
from ...node.store.backup import backup as back_up
from ...node.store.inspection import Inspection, inspect_backup, inspect_store
from ...node.store.restoration import restore as restore_store
from ...node.store.walk import UNKNOWN, Dicts, Judged
from ..cluster import from_variables, parse
from ..keys import decode_key
from ..seeds import is_of_nodes
from .arguments import Arguments
from .exit_code import ExitCode
from .terminal import Terminal, size

DAMAGED_SHOWN_MAX: Final = 1_000
"""Damaged entries that are named one by one: more are counted, and nobody reads on."""


def backup(args: Arguments, terminal: Terminal) -> ExitCode:
    """All that a store shows its readers, into a folder; UNKNOWN if what was damaged was left out."""
    damage = _Damage()
    with terminal.progress("backing up", size) as progress:
        manifest = back_up(
            _folder(args),
            Path(args.target),
            damage.note,
            rate_bytes_s=_rate_bytes_s(args),
            progress=lambda done_bytes: progress.update(done_bytes, 0),
        )
    if args.json:
        told = {
            "source": manifest.source, "cluster": manifest.cluster, "taken_ms": manifest.taken_ms,
            "dicts": manifest.dicts, "entries": manifest.entries, "bytes": manifest.rows_bytes,
        }  # fmt: skip
        _write_json(told | damage.as_json(), terminal)
    else:
        damage.write(terminal)
        terminal.write(
            f"{manifest.entries:,} entries in {_dicts(manifest.dicts)}: {size(manifest.rows_bytes)} "
            f"in {args.target}"
        )
    if damage.count:
        terminal.complain(f"{damage.count:,} damaged entries are not in the backup; all others are")
        return ExitCode.UNKNOWN
    return ExitCode.OK


def restore(args: Arguments, terminal: Terminal) -> ExitCode:
    """A store, in an empty folder, of what is in backups."""
    folder = _folder(args)
    with terminal.progress("restoring", size) as progress:
        restored = restore_store([Path(path) for path in args.backups], folder, progress=progress.update)
    if args.json:
        _write_json(restored._asdict() | {"folder": str(folder)}, terminal)
    else:
        terminal.write(f"{restored.entries:,} entries in {_dicts(restored.dicts)}: now in {folder}")
    return ExitCode.OK


def verify(args: Arguments, terminal: Terminal) -> ExitCode:
    """Whether a store or a backup is whole; STORE if it is not."""
    folder = Path(args.target) if args.target else _folder(args)
    is_backup = (folder / MANIFEST).exists()
    if not is_backup and not args.here:
        return _verify_apart(args, folder, terminal)
    damage = _Damage()
    rate_bytes_s = _rate_bytes_s(args)
    with terminal.progress("reading") as progress:
        result = (
            inspect_backup(folder, damage.note, rate_bytes_s=rate_bytes_s)
            if is_backup
            else inspect_store(
                folder,
                damage.note,
                rate_bytes_s=rate_bytes_s,
                progress=lambda done: progress.update(done, 0),
            )
        )
    _tell(result, damage, args, terminal)
    return ExitCode.STORE if result.damaged else ExitCode.OK


COMMANDS: Mapping[str, Callable[[Arguments, Terminal], ExitCode]] = {
    "backup": backup,
    "restore": restore,
    "verify": verify,
}
"""By the word behind `ringdict`."""


# -- parts of them -------------------------------------------------------------------------------


def _folder(args: Arguments) -> Path:
    """Which store, by its folder."""
    if args.data:
        return Path(args.data).resolve()
    url = args.cluster or os.environ.get("RINGDICT_URL") or ""
    if is_of_nodes(url):
        raise InvalidError(
            "this works on a folder of this host: say with --data FOLDER which node's (its own --data)"
        )
    return (parse(args.cluster) if args.cluster else from_variables()).folder


def _rate_bytes_s(args: Arguments) -> int:
    return BACKUP_RATE_BYTES_S if args.rate is None else args.rate * MIB


def _verify_apart(args: Arguments, folder: Path, terminal: Terminal) -> ExitCode:
    """In a process of its own: a page of a damaged tree may end the process that steps onto it."""
    words = ["verify", str(folder), "--here", *(["--json"] if args.json else [])]
    words += [] if args.rate is None else ["--rate", str(args.rate)]
    terminal.flush()
    code = subprocess.run([sys.executable, "-m", "ringdict", *words], check=False).returncode  # noqa: S603 - itself
    if code < 0:
        raise StoreDamagedError(
            f"the store in {folder} is damaged: its tree could not be walked through "
            f"({signal.Signals(-code).name})"
        )
    return ExitCode(code)


class _Damage:
    """What is damaged, in the words of users."""

    def __init__(self) -> None:
        self.count = 0
        self._shown: list[dict[str, str | None]] = []

    def note(self, entry: Judged, dicts: Dicts) -> None:
        self.count += 1
        if len(self._shown) < DAMAGED_SHOWN_MAX:
            record = dicts.records[entry.dict_id]
            kind = "lock" if entry.key.startswith(layout.LOCK_SPACE) else "entry"
            name = record.name if record.name is not None else f"(ephemeral {entry.dict_id.hex()})"
            self._shown.append(
                {"environment": record.environment, "dict": name, "kind": kind, "key": _shown_key(entry.key)}
            )

    def as_json(self) -> dict[str, object]:
        return {"damaged": self.count, "damaged_entries": self._shown}

    def write(self, terminal: Terminal) -> None:
        for one in self._shown:
            key = one["key"] or "(a key that cannot be told)"
            terminal.write_cells("damaged", f"{one['environment']}/{one['dict']}", str(one["kind"]), key)
        if self.count > len(self._shown):
            terminal.note(f"and {self.count - len(self._shown):,} more")


def _shown_key(key: bytes) -> str | None:
    if key == UNKNOWN:
        return None
    bare = key.removeprefix(layout.LOCK_SPACE)
    try:
        return repr(decode_key(bare))
    except ValueError:
        return bare.hex()


def _tell(result: Inspection, damage: _Damage, args: Arguments, terminal: Terminal) -> None:
    if args.json:
        _write_json({"whole": result.whole, "dead": result.dead} | damage.as_json(), terminal)
        return
    damage.write(terminal)
    verdict = f"{result.damaged:,} damaged" if result.damaged else "none damaged"
    dead = f", {result.dead:,} not swept yet" if result.dead else ""
    terminal.write(f"{result.whole:,} entries are whole, {verdict}{dead}")


def _dicts(count: int) -> str:
    return f"{count} Dict" if count == 1 else f"{count} Dicts"


def _write_json(value: object, terminal: Terminal) -> None:
    terminal.write(json.dumps(value))
