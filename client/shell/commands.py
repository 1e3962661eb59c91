"""The commands `ringdict dict …`: what each of them does, asks and prints.

A command takes its arguments and a terminal, and says by its exit code how it ended. Errors of
ringdict pass through: the command line (cli.py) makes a line and an exit code of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

from ...exception import ConflictError, DeserializationError, InvalidError, NotFoundError, StoreDamagedError
from ...node.config import SWEEP_ENTRIES_MAX
from ..dict import Dict
from ..info import DictInfo
from .arguments import Arguments, Prefix
from .exit_code import ExitCode, exit_code_of
from .notation import Notation, pretty, shown
from .terminal import Terminal, size

if TYPE_CHECKING:
    from ..cluster import Address

POP_TRIES_MAX: Final = 10
"""A key that is written so often that this many tries meet another value each is not worth waiting for."""

SWEEP_S_MAX: Final = 300.0
"""Beside others who write all the time, sweeping hardly gets a turn, and compacting none at all."""

AnyDict: TypeAlias = "Dict[Hashable, object]"
_MISSING: Final = object()


class _Where(TypedDict):
    """Where a name is looked up; None: as the environment variables say."""

    environment_name: str | None
    cluster: str | None


# -- whole Dicts ---------------------------------------------------------------------------------


def list_dicts(args: Arguments, terminal: Terminal) -> ExitCode:
    """The Dicts of the environment, newest first."""
    infos = list(_infos(args))
    if args.json:
        _write_json([_info_json(info) for info in infos], terminal)
    elif not infos:
        terminal.note("no Dicts here; `ringdict dict create NAME` makes one")
    else:
        rows = [_info_row(info) for info in infos]
        terminal.write_table(("NAME", "CREATED", "BY", "ENTRIES", "SIZE"), rows, right=frozenset({3, 4}))
    return ExitCode.OK


def create(args: Arguments, terminal: Terminal) -> ExitCode:
    """A new, empty Dict."""
    Dict.objects.create(args.name, allow_existing=args.allow_existing, ttl=args.ttl_s, **_where(args))
    terminal.note(f"created {args.name}")
    return ExitCode.OK


def delete(args: Arguments, terminal: Terminal) -> ExitCode:
    """A Dict and all that is in it."""
    if not args.yes:
        try:
            entries = len(_open(args))
        except NotFoundError:
            if not args.allow_missing:
                raise
            terminal.note(f"there is no {args.name}")
            return ExitCode.OK
        if not terminal.confirm(f"Delete {args.name} with {_counted(entries)}?", yes=False):
            return _declined(terminal)
    Dict.objects.delete(args.name, allow_missing=args.allow_missing, **_where(args))
    terminal.note(f"{args.name} is gone")
    return ExitCode.OK


def clear(args: Arguments, terminal: Terminal) -> ExitCode:
    """All entries of a Dict. Takes effect at once; their space is used again bit by bit."""
    dictionary = _open(args)
    entries = len(dictionary)
    if not terminal.confirm(f"Remove {_counted(entries)} from {args.name}, and its locks?", yes=args.yes):
        return _declined(terminal)
    dictionary.clear()
    terminal.note(f"removed {_counted(entries)} from {args.name}")
    return ExitCode.OK


def length(args: Arguments, terminal: Terminal) -> ExitCode:
    """How many entries a Dict has."""
    terminal.write(str(len(_open(args))))
    return ExitCode.OK


def compact(args: Arguments, terminal: Terminal) -> ExitCode:
    """Give the space that the store's files no longer need back to the file system."""
    from ...node.store.compaction import compact as compact_folder
    from ..cluster import from_variables, parse

    address = parse(args.cluster) if args.cluster else from_variables()
    if any(address.folder.glob("*/*.mdb")):  # opening a store that is not there would make it
        _sweep(address, terminal)
    with terminal.progress("copying", size) as progress:
        result = compact_folder(address.folder, progress=progress.update)
    if args.json:
        _write_json(result._asdict(), terminal)
    else:
        terminal.write(f"{size(result.before_bytes)} -> {size(result.after_bytes)}")
    return ExitCode.OK


def _sweep(address: Address, terminal: Terminal) -> None:
    """Remove what was cleared or has expired from a store: it is still there, and would be copied."""
    from ...node.store.store import Store

    store = Store(
        address.folder,
        durability=address.durability,
        store_bytes_max=address.store_bytes_max,
        background=False,
    )
    end_s = time.monotonic() + SWEEP_S_MAX
    try:
        with terminal.progress("removing dead entries") as progress:
            stretches = 0
            while store.sweep() and time.monotonic() < end_s:
                stretches += 1
                progress.update(stretches * SWEEP_ENTRIES_MAX, 0)
    finally:
        store.close()


# -- entries -------------------------------------------------------------------------------------


def get(args: Arguments, terminal: Terminal) -> ExitCode:
    """The value of a key."""
    key = args.read_key()
    dictionary = _open(args)
    value = dictionary.get(key, _MISSING)
    if value is _MISSING:
        return _missing(args, key, dictionary, terminal)
    _write_value(value, args, terminal)
    return ExitCode.OK


def put(args: Arguments, terminal: Terminal) -> ExitCode:
    """Write a key's value."""
    key = args.read_key()
    value = _argument_value(args, terminal)
    dictionary = _open(args, create_if_missing=args.create_if_missing)
    try:
        if args.ttl is None:
            written = dictionary.put(key, value, skip_if_exists=args.if_absent)
        else:
            written = dictionary.put(key, value, skip_if_exists=args.if_absent, ttl=args.ttl_s)
    except TypeError as error:
        raise InvalidError(str(error)) from error
    if not written:
        terminal.complain(f"not written: {args.name} has {shown(key, as_repr=True)} already")
        return ExitCode.NO
    return ExitCode.OK


def pop(args: Arguments, terminal: Terminal) -> ExitCode:
    """Remove a key; its value, which nobody else gets."""
    key = args.read_key()
    dictionary = _open(args)
    # Looked at first: a value that cannot be shown here must not be lost by being popped.
    for _ in range(POP_TRIES_MAX):
        entry = dictionary.get_entry(key)
        if entry is None:
            return _missing(args, key, dictionary, terminal)
        try:
            value = dictionary.pop(key, _MISSING, if_version=entry.version)
        except ConflictError:
            continue
        if value is not _MISSING:
            _write_value(value, args, terminal)
            return ExitCode.OK
    raise ConflictError(f"{shown(key, as_repr=True)} is written all the time; nothing was popped")


def items(args: Arguments, terminal: Terminal) -> ExitCode:
    """Entries of a Dict, one a line. What cannot be read is named, and does not stop the rest."""
    prefix = args.read_prefix()
    dictionary = _open(args)
    limit = None if args.all else args.count
    total = len(dictionary) if args.all else args.count
    problems: Counter[ExitCode] = Counter()
    count = 0
    with terminal.progress("reading") as progress:
        for count, row in enumerate(islice(_rows(dictionary, prefix), limit), start=1):
            _write_row(row, args, terminal)
            if not terminal.shows_output:  # where entries appear, they are progress enough
                progress.update(count, total)
            if row.problem is not None:
                problems[exit_code_of(row.problem)] += 1
    if count == limit and prefix is None and (left := len(dictionary) - count) > 0 and terminal.shows_output:
        terminal.note(f"… and {left:,} more (--all)")
    return _verdict(problems, terminal)


# -- reading rows --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One entry, or why its value cannot be read."""

    key: Hashable
    value: object
    problem: Exception | None = None


def _rows(dictionary: AnyDict, prefix: Prefix | None) -> Iterator[_Row]:
    """Each entry once, with whatever can be read of it.

    Value by value: of many at once, one that cannot be read would take the others with it.
    """
    for key in dictionary.keys(prefix):
        try:
            value = dictionary.get(key, _MISSING)
        except (DeserializationError, StoreDamagedError) as error:
            yield _Row(key, None, error)
        else:
            if value is not _MISSING:  # else it went after its key was read
                yield _Row(key, value)


def _write_row(row: _Row, args: Arguments, terminal: Terminal) -> None:
    if args.json:
        known = {"value": row.value} if row.problem is None else {"error": str(row.problem)}
        _write_json({"key": row.key, **known}, terminal)
    elif row.problem is not None:
        terminal.write_cells(shown(row.key, as_repr=args.repr), f"(cannot be read: {row.problem})")
    else:
        terminal.write_cells(shown(row.key, as_repr=args.repr), shown(row.value, as_repr=args.repr))


def _verdict(problems: Counter[ExitCode], terminal: Terminal) -> ExitCode:
    """How a listing with `problems` ends: damage weighs more than what is only foreign."""
    count = problems.total()
    if not count:
        return ExitCode.OK
    values = "1 value" if count == 1 else f"{count:,} values"
    damaged = problems[ExitCode.STORE]
    terminal.complain(f"{values} could not be read, {damaged:,} damaged")
    return ExitCode.STORE if damaged else ExitCode.UNREADABLE


# -- arguments and answers -----------------------------------------------------------------------


def _open(args: Arguments, *, create_if_missing: bool = False) -> AnyDict:
    return Dict.from_name(args.name, create_if_missing=create_if_missing, **_where(args))


def _where(args: Arguments) -> _Where:
    return {"environment_name": args.environment, "cluster": args.cluster}


def _argument_value(args: Arguments, terminal: Terminal) -> object:
    """VALUE, from the command line or, where it is `-`, from standard input."""
    notation = args.value_notation
    if args.value != "-":
        return notation.read(args.value)
    data = terminal.read_bytes()
    if notation is Notation.BYTES:
        return data
    # One line end is what `echo` and our own `get` add, so that `get … | put … -` copies a text exactly.
    return notation.read(data.decode("utf-8", "surrogateescape").removesuffix("\n"))


def _write_value(value: object, args: Arguments, terminal: Terminal) -> None:
    if args.json:
        _write_json(value, terminal)
    elif args.raw:
        terminal.write_bytes(_raw(value))
    elif args.repr:
        terminal.write(shown(value, as_repr=True))
    else:
        terminal.write(pretty(value, terminal.columns) if terminal.shows_output else shown(value))


def _write_json(value: object, terminal: Terminal) -> None:
    from .typed_json import dumps  # who prints no JSON starts sooner without it

    terminal.write(dumps(value))


def _raw(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        return _utf8(value)
    raise InvalidError(f"--raw writes text and bytes, and the value is a {type(value).__name__}; use --json")


def _utf8(text: str) -> bytes:
    """`text` in UTF-8; what an argument had in other bytes becomes those again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidError(f"this text has no bytes ({error.reason}); use --json") from None


def _missing(args: Arguments, key: Hashable, dictionary: AnyDict, terminal: Terminal) -> ExitCode:
    """Say that a key is missing, and where a person may have meant another kind of key: which."""
    message = f"{args.name} has no {shown(key, as_repr=True)}"
    if args.key_notation is Notation.TEXT:
        try:
            meant = Notation.LITERAL.read_key(args.key)
        except InvalidError:
            meant = key
        if meant != key and meant in dictionary:
            message += f", but it has the {type(meant).__name__} {shown(meant)}: add --literal"
    terminal.complain(message)
    return ExitCode.NO


def _declined(terminal: Terminal) -> ExitCode:
    terminal.note("nothing was done")
    return ExitCode.NO


def _infos(args: Arguments) -> Iterator[DictInfo]:
    for handle in Dict.objects.list(**_where(args)):
        try:
            yield handle.info()
        except NotFoundError:
            continue  # deleted since it was listed


def _info_row(info: DictInfo) -> tuple[str, ...]:
    created = info.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return info.name or "", created, info.created_by, f"{info.entries:,}", size(info.bytes)


def _info_json(info: DictInfo) -> dict[str, str | int | None]:
    return {
        "name": info.name,
        "created_at": info.created_at.isoformat(),
        "created_by": info.created_by,
        "entries": info.entries,
        "bytes": info.bytes,
    }


def _counted(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries:,} entries"


COMMANDS: Final[dict[str, Callable[[Arguments, Terminal], ExitCode]]] = {
    "list": list_dicts,
    "create": create,
    "delete": delete,
    "clear": clear,
    "get": get,
    "put": put,
    "pop": pop,
    "items": items,
    "len": length,
    "compact": compact,
}
