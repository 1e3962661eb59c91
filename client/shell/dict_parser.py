"""What may be written behind `ringdict dict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .parser import as_json, between, command, form, key, name, notation, where, yes

if TYPE_CHECKING:
    from .parser import Commands, Run

ITEMS_COUNT: Final = 20
ITEMS_COUNT_MAX: Final = 1_000_000

EPILOG: Final = """\
KEY is text; --literal reads KEY and VALUE as Python does: 42, ("user", 7), b"\\x00";
--json-key and --json-value read what --json prints.

exit codes: 0 done; 1 a definite no (no such key, --if-absent met one, you declined);
2 wrong usage; 3 no such Dict, or one of that name already; 4 store unavailable, full or
damaged; 5 outcome unknown; 6 a value cannot be read here; 130 interrupted"""


def add_dict(groups: Commands, run: Run) -> None:
    """`ringdict dict …`."""
    dict_group = command(groups, "dict", "look into Dicts and change them")
    dict_group.epilog = EPILOG
    dict_group.set_defaults(run=run)
    commands = dict_group.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")
    _add_dicts(commands)
    _add_entries(commands)


def _add_dicts(commands: Commands) -> None:
    listing = command(commands, "list", "list the Dicts of an environment, newest first")
    where(listing)
    as_json(listing)

    create = command(commands, "create", "make a new, empty Dict")
    name(create)
    create.add_argument("--allow-existing", action="store_true", help="be content with one that is there")
    create.add_argument("--ttl", metavar="TIME", help="how long its entries live: 90s, 15m, 2h, 7d")

    delete = command(commands, "delete", "delete a Dict with all that is in it")
    name(delete)
    delete.add_argument("--allow-missing", action="store_true", help="be content if there is none")
    yes(delete)

    clear = command(commands, "clear", "remove all entries of a Dict and release its locks")
    name(clear)
    yes(clear)

    length = command(commands, "len", "count the entries of a Dict")
    name(length)
    as_json(length)

    compact = command(commands, "compact", "make the files of the store as small as they can be")
    compact.add_argument("--cluster", metavar="URL", help="which store, as file:///folder (RINGDICT_URL)")
    as_json(compact)


def _add_entries(commands: Commands) -> None:
    get = command(commands, "get", "print the value of a key")
    key(get, "KEY is a Python literal")
    how = form(get, "the value")
    how.add_argument("--raw", action="store_true", help="print text or bytes exactly, for a file")

    put = command(commands, "put", "write the value of a key")
    key(put, "KEY and VALUE are Python literals")
    put.add_argument("value", metavar="VALUE", help="text, or what an option says; -: standard input")
    way = put.add_mutually_exclusive_group()
    way.add_argument("--json-value", action="store_true", help="VALUE is JSON, as --json prints it")
    way.add_argument("--bytes", dest="as_bytes", action="store_true", help="VALUE is raw bytes")
    put.add_argument("--if-absent", action="store_true", help="leave an existing key alone, and exit with 1")
    put.add_argument("--ttl", metavar="TIME", help="how long it lives: 90s, 15m, 2h, 7d, none")
    put.add_argument("--create-if-missing", action="store_true", help="make the Dict if there is none")

    pop = command(commands, "pop", "remove a key and print its value, which nobody else gets")
    key(pop, "KEY is a Python literal")
    form(pop, "the value")
    pop.set_defaults(raw=False)

    items = command(commands, "items", "print entries, one a line: key, tab, value")
    name(items)
    count = between(int, 0, ITEMS_COUNT_MAX)
    items.add_argument("count", metavar="N", nargs="?", type=count, default=ITEMS_COUNT, help="how many (20)")
    items.add_argument("--all", action="store_true", help="every entry")
    items.add_argument("--prefix", metavar="KEY", help="only keys that begin so: text, bytes, or a tuple")
    notation(items, "the prefix is a Python literal")
    form(items, "keys and values")
