"""What may be written to back stores up, restore them, and look whether they are whole."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from .parser import as_json, between, command

if TYPE_CHECKING:
    from .parser import Commands, Parser, Run

RATE_MIB_S_MAX: Final = 1_000_000

EPILOG: Final = "exit codes: 0 all is whole; 4 something is damaged, or cannot be opened; 5 done, but in part"


def add_archive(groups: Commands, run: Run) -> None:
    """`ringdict backup`, `restore`, `verify`."""
    backup = command(groups, "backup", "copy all that a store or a node has into a folder, while it is used")
    backup.add_argument("target", metavar="DIR", help="where the backup goes: an empty folder, or a new one")
    restore = command(groups, "restore", "make a store of a backup, or of those of several nodes")
    restore.add_argument("backups", metavar="DIR", nargs="+", help="the backup, or one of each node")
    verify = command(groups, "verify", "look whether all that a store, a node or a backup has is whole")
    verify.add_argument("target", metavar="DIR", nargs="?", default="", help="a backup, or a store's folder")
    verify.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    for word, parser in (("backup", backup), ("restore", restore), ("verify", verify)):
        parser.set_defaults(run=run, command=word)
        parser.epilog = EPILOG
        _store(parser)
        as_json(parser)
        if word != "restore":
            rate = between(int, 0, RATE_MIB_S_MAX)
            parser.add_argument(
                "--rate", metavar="MIB", type=rate, help="MiB to read a second; 0: as fast as it goes (64)"
            )


def _store(parser: Parser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--data", metavar="FOLDER", help="the folder of the store: of a node its --data")
    place.add_argument("--cluster", metavar="URL", help="the store, as file:///folder (RINGDICT_URL)")
