"""What the parsers of all commands are made of: the parser itself, and options that many have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, TypedDict, TypeVar

from .exit_code import ExitCode

if TYPE_CHECKING:
    from .arguments import Arguments
    from .terminal import Terminal

    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
    Run: TypeAlias = Callable[[Arguments, Terminal], ExitCode]

NOUNS: Final[dict[type, str]] = {int: "whole number", float: "number"}
Number = TypeVar("Number", int, float)


class Habits(TypedDict):
    """What all parsers are told."""

    allow_abbrev: bool
    formatter_class: type[argparse.HelpFormatter]


# No abbreviations: a script that used one would break when the next option is added.
HABITS: Final = Habits(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        """End with the exit code for wrong usage."""
        self.exit(ExitCode.USAGE, f"ringdict: {message} (see `{self.prog} --help`)\n")


def command(commands: Commands, name: str, help_text: str) -> Parser:
    """A command, with what `--help` says of it."""
    description = f"{help_text[0].upper()}{help_text[1:]}."
    return commands.add_parser(name, help=help_text, description=description, **HABITS)


def where(parser: Parser) -> None:
    """Which store, and where in it."""
    parser.add_argument("-e", "--environment", metavar="NAME", help="where to look (RINGDICT_ENVIRONMENT)")
    parser.add_argument("--cluster", metavar="URL", help="which store, as file:///folder (RINGDICT_URL)")


def name(parser: Parser) -> None:
    """Which Dict."""
    where(parser)
    parser.add_argument("name", metavar="NAME", help="the name of the Dict")


def key(parser: Parser, literal_help: str) -> None:
    """Which key of which Dict."""
    name(parser)
    parser.add_argument("key", metavar="KEY", help="text, or what an option says")
    notation(parser, literal_help)


def notation(parser: Parser, literal_help: str) -> None:
    """How keys are written."""
    parser.add_argument("-l", "--literal", action="store_true", help=f"{literal_help}, as ('user', 7)")
    parser.add_argument("--json-key", action="store_true", help="the key is JSON, as --json prints it")


def form(parser: Parser, subject: str) -> argparse._MutuallyExclusiveGroup:
    """How something is printed."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--repr", action="store_true", help=f"print {subject} as Python writes them")
    form.add_argument("--json", action="store_true", help=f"print {subject} as JSON")
    return form


def as_json(parser: Parser) -> None:
    """Whether JSON is printed."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def yes(parser: Parser) -> None:
    """Whether to ask."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def between(kind: type[Number], low: Number, high: Number) -> Callable[[str], Number]:
    """What reads a number of `kind` from `low` to `high`."""

    def read(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {NOUNS[kind]}") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:,g} and {high:,g}")
        return number

    return read
