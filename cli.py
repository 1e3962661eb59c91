"""The command line `ringdict …`: what may be written, and how a command ends.

Rules of this file:
1. It parses and dispatches; what a command does stands in the room that it belongs to.
2. The command that runs imports what it needs, and nothing is imported for the others.
3. Whatever goes wrong ends as one line on standard error and an exit code (client/shell/exit_code.py).
"""

from __future__ import annotations

import argparse
import os
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, TypedDict, TypeVar

from .client.shell.exit_code import ExitCode, exit_code_of
from .client.shell.terminal import Terminal

if TYPE_CHECKING:
    from .client.shell.arguments import Arguments

    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

ITEMS_COUNT: Final = 20
ITEMS_COUNT_MAX: Final = 1_000_000
PROCESSES: Final = 5
PROCESSES_MIN: Final = 2
PROCESSES_MAX: Final = 32
SECONDS: Final = 8.0
SECONDS_MIN: Final = 5.0
SECONDS_MAX: Final = 600.0
SEEDS: Final = 100
SEEDS_MAX: Final = 10_000_000
JOBS_MAX: Final = 64
SCENARIO: Final = "ringdict.sim.register:RegisterScenario"

EPILOG: Final = """\
KEY is text; --literal reads KEY and VALUE as Python does: 42, ("user", 7), b"\\x00";
--json-key and --json-value read what --json prints.

exit codes: 0 done; 1 a definite no (no such key, --if-absent met one, you declined);
2 wrong usage; 3 no such Dict, or one of that name already; 4 store unavailable, full or
damaged; 5 outcome unknown; 6 a value cannot be read here; 130 interrupted"""

NOUNS: Final[dict[type, str]] = {int: "whole number", float: "number"}
Number = TypeVar("Number", int, float)


class _Habits(TypedDict):
    allow_abbrev: bool
    formatter_class: type[argparse.HelpFormatter]


# No abbreviations: a script that used one would break when the next option is added.
_HABITS: Final = _Habits(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        """End with the exit code for wrong usage."""
        self.exit(ExitCode.USAGE, f"ringdict: {message} (see `{self.prog} --help`)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own) and return its exit code."""
    terminal = Terminal.of_process()
    warnings.showwarning = lambda message, *_args, **_options: terminal.complain(f"warning: {message}")
    try:
        code = _run(argv, terminal)
        terminal.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the last frame of every command
        code = _end(error, terminal)
    return code


def _run(argv: Sequence[str] | None, terminal: Terminal) -> int:
    from .client.shell.arguments import Arguments

    parser = _parser()
    try:
        args = parser.parse_args(argv, namespace=Arguments())
        if args.run is None and not args.version:
            parser.error("say what to do: dict, node, status, ring, demo, sim …")
    except SystemExit as ended:  # argparse has said all there is to say
        return ended.code if isinstance(ended.code, int) else ExitCode.USAGE
    if args.run is None:
        from . import __version__

        terminal.write(f"ringdict {__version__}")
        return ExitCode.OK
    return args.run(args, terminal)


def _end(error: BaseException, terminal: Terminal) -> ExitCode:
    """Say in one line what ended the command; the exit code for it."""
    terminal.abandon_output()
    code = exit_code_of(error)
    if os.environ.get("RINGDICT_DEBUG"):
        traceback.print_exception(error)
    elif code is ExitCode.INTERRUPTED:
        terminal.complain("interrupted")
    elif code is ExitCode.BUG:
        terminal.complain(f"a bug: {type(error).__name__}: {error} (RINGDICT_DEBUG=1 shows where)")
    elif code is not ExitCode.PIPE:
        terminal.complain(str(error) or type(error).__name__)
    return code


# -- what each group does ------------------------------------------------------------------------


def _dict(args: Arguments, terminal: Terminal) -> ExitCode:
    from .client.shell.commands import COMMANDS

    return COMMANDS[args.command](args, terminal)


def _node(args: Arguments, terminal: Terminal) -> ExitCode:
    from .serve import run

    return run(args, terminal)


def _demo(args: Arguments, terminal: Terminal) -> ExitCode:
    from .demo import run
    from .demo_nodes import run_nodes

    return run_nodes(terminal) if args.three_nodes else run(args, terminal)


def _ring(args: Arguments, terminal: Terminal) -> ExitCode:
    from .client.shell.ring_commands import COMMANDS

    return COMMANDS[args.command](args, terminal)


def _sim(args: Arguments, terminal: Terminal) -> ExitCode:
    from .sim.command import COMMANDS

    return COMMANDS[args.command](args, terminal)


# -- what may be written -------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser("ringdict", description="One Python dict, shared by every process of a host.", **_HABITS)
    parser.add_argument("--version", action="store_true", help="say which version this is")
    parser.set_defaults(run=None)
    groups = parser.add_subparsers(metavar="COMMAND", title="commands")
    dict_group = _command(groups, "dict", "look into Dicts and change them")
    dict_group.epilog = EPILOG
    dict_group.set_defaults(run=_dict)
    commands = dict_group.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")
    _add_dict_commands(commands)
    _add_entry_commands(commands)
    _add_node(groups)
    _add_ring_commands(groups)
    _add_demo(groups)
    _add_sim(groups)
    return parser


def _add_dict_commands(commands: Commands) -> None:
    listing = _command(commands, "list", "list the Dicts of an environment, newest first")
    _where(listing)
    _json(listing)

    create = _command(commands, "create", "make a new, empty Dict")
    _name(create)
    create.add_argument("--allow-existing", action="store_true", help="be content with one that is there")
    create.add_argument("--ttl", metavar="TIME", help="how long its entries live: 90s, 15m, 2h, 7d")

    delete = _command(commands, "delete", "delete a Dict with all that is in it")
    _name(delete)
    delete.add_argument("--allow-missing", action="store_true", help="be content if there is none")
    _yes(delete)

    clear = _command(commands, "clear", "remove all entries of a Dict and release its locks")
    _name(clear)
    _yes(clear)

    length = _command(commands, "len", "count the entries of a Dict")
    _name(length)
    _json(length)

    compact = _command(commands, "compact", "make the files of the store as small as they can be")
    compact.add_argument("--cluster", metavar="URL", help="which store, as file:///folder (RINGDICT_URL)")
    _json(compact)


def _add_entry_commands(commands: Commands) -> None:
    get = _command(commands, "get", "print the value of a key")
    _key(get, "KEY is a Python literal")
    form = _form(get, "the value")
    form.add_argument("--raw", action="store_true", help="print text or bytes exactly, for a file")

    put = _command(commands, "put", "write the value of a key")
    _key(put, "KEY and VALUE are Python literals")
    put.add_argument("value", metavar="VALUE", help="text, or what an option says; -: standard input")
    notation = put.add_mutually_exclusive_group()
    notation.add_argument("--json-value", action="store_true", help="VALUE is JSON, as --json prints it")
    notation.add_argument("--bytes", dest="as_bytes", action="store_true", help="VALUE is raw bytes")
    put.add_argument("--if-absent", action="store_true", help="leave an existing key alone, and exit with 1")
    put.add_argument("--ttl", metavar="TIME", help="how long it lives: 90s, 15m, 2h, 7d, none")
    put.add_argument("--create-if-missing", action="store_true", help="make the Dict if there is none")

    pop = _command(commands, "pop", "remove a key and print its value, which nobody else gets")
    _key(pop, "KEY is a Python literal")
    _form(pop, "the value")
    pop.set_defaults(raw=False)

    items = _command(commands, "items", "print entries, one a line: key, tab, value")
    _name(items)
    count = _between(int, 0, ITEMS_COUNT_MAX)
    items.add_argument("count", metavar="N", nargs="?", type=count, default=ITEMS_COUNT, help="how many (20)")
    items.add_argument("--all", action="store_true", help="every entry")
    items.add_argument("--prefix", metavar="KEY", help="only keys that begin so: text, bytes, or a tuple")
    _notation(items, "the prefix is a Python literal")
    _form(items, "keys and values")


def _add_node(groups: Commands) -> None:
    node = _command(groups, "node", "run a node of a cluster")
    node.epilog = "every option has a variable: --secret-file is RINGDICT_SECRET_FILE"
    node.set_defaults(run=_node)
    for option, value, words in (
        ("--listen", "HOST:PORT", "where to listen (127.0.0.1:7447)"),
        ("--advertise", "HOST:PORT", "where others reach this node, if elsewhere"),
        ("--join", "HOST:PORT,…", "nodes of the cluster to join"),
        ("--data", "FOLDER", "where it keeps what it has; an embedded folder may be handed to it"),
        ("--secret-file", "FILE", "the cluster's secret, the same for all nodes and clients"),
        ("--durability", "WHEN", "of entries: interval, fsync, none (interval)"),
        ("--replicas", "N", "how many nodes have each key, in a cluster that is founded (3)"),
        ("--zone", "NAME", "what fails together with this node; copies go to different zones"),
        ("--weight", "N", "how much it takes, compared to others (1)"),
        ("--ready-file", "FILE", "a file that stands while the node serves"),
        ("--log", "FORM", "console or json (json, unless standard error is a terminal)"),
        ("--log-level", "LEVEL", "debug, info, warning (info)"),
    ):
        node.add_argument(option, metavar=value, help=words)
    node.add_argument("--found", action="store_true", help="found a cluster, if this node is in none")
    node.add_argument("--insecure", action="store_true", help="do without a secret off this host, too")


def _add_ring_commands(groups: Commands) -> None:
    status = _command(groups, "status", "tell how the nodes of a cluster are")
    probe = status.add_mutually_exclusive_group()
    probe.add_argument("--live", action="store_true", help="only whether the first node of the URL answers")
    probe.add_argument("--ready", action="store_true", help="only whether it is ready to serve")
    ring = _command(groups, "ring", "tell who owns what; with KEY, the way of one key")
    ring.add_argument("key", metavar="KEY", nargs="?", default="", help="text, or what an option says")
    ring.add_argument("--dict", metavar="NAME", help="the Dict that KEY is in")
    ring.add_argument("-e", "--environment", metavar="NAME", help="where to look (RINGDICT_ENVIRONMENT)")
    _notation(ring, "KEY is a Python literal")
    leave = _command(groups, "leave", "have a node hand over what it holds, and leave the ring")
    remove = _command(groups, "remove", "take a dead node out of the ring")
    cancel = _command(groups, "join-cancel", "have a node that is joining not join")
    for parser in (leave, remove, cancel):
        parser.add_argument("name", metavar="NODE", help="its address, or the beginning of its id")
        _yes(parser)
    for command, parser in groups.choices.items():
        if command in ("status", "ring", "leave", "remove", "join-cancel"):
            parser.set_defaults(run=_ring, command=command)
            parser.add_argument("--cluster", metavar="URL", help="ringdict://host:port (RINGDICT_URL)")
            _json(parser)


def _add_demo(groups: Commands) -> None:
    demo = _command(groups, "demo", "watch processes share a Dict, and one of them die")
    demo.set_defaults(run=_demo)
    count = _between(int, PROCESSES_MIN, PROCESSES_MAX)
    span_s = _between(float, SECONDS_MIN, SECONDS_MAX)
    demo.add_argument("--processes", metavar="N", type=count, default=PROCESSES, help="how many share it (5)")
    demo.add_argument("--seconds", metavar="S", type=span_s, default=SECONDS, help="how long they go on (8)")
    demo.add_argument("--seed", metavar="N", type=int, help="repeat the random choices of an earlier run")
    demo.add_argument(
        "--three-nodes", action="store_true", help="of a cluster instead, one killed, none lost"
    )
    demo.add_argument("--keep", action="store_true", help="leave the Dict behind, to look at")
    demo.add_argument("--json", action="store_true", help="print the events as JSON, one a line")


def _add_sim(groups: Commands) -> None:
    sim_group = _command(groups, "sim", "run the nodes' own code in a made-up, bad world")
    sim_group.set_defaults(run=_sim)
    commands = sim_group.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")

    run = _command(commands, "run", "run many seeds and check what came of them")
    run.add_argument(
        "--seeds", metavar="N", type=_between(int, 1, SEEDS_MAX), default=SEEDS, help="how many (100)"
    )
    run.add_argument("--first", metavar="N", type=int, default=0, help="the first of them (0)")
    jobs = _between(int, 1, JOBS_MAX)
    run.add_argument("--jobs", metavar="N", type=jobs, default=0, help="processes side by side (one a core)")
    run.add_argument("--compare", action="store_true", help="run the first twice, under other hash seeds")
    _which(run)

    replay = _command(commands, "replay", "run one seed again, and tell what happens in it")
    _part(replay)
    replay.add_argument("--history", metavar="FILE", help="write the operations as JSON lines")

    shrink = _command(commands, "shrink", "find the smallest run that fails as a seed does")
    _part(shrink)
    shrink.add_argument("--save", metavar="FILE", help="keep it as a case, for the tests to replay")

    gossip = _command(commands, "gossip", "measure gossip in a made-up network, beside what others reach")
    gossip.add_argument("--table", action="store_true", required=True, help="print the figures as a table")
    gossip.add_argument("--whole", action="store_true", help="as many seeds as a claim needs: hours")
    gossip.add_argument("words", metavar="WORDS", nargs="*", help="only the lines with one of these (n=100)")

    mutants = _command(commands, "mutants", "try the wrong versions of a system that a file holds")
    mutants.add_argument("file", metavar="FILE", help="a Python file with MUTANTS (docs/simulation.md)")


def _which(parser: Parser) -> None:
    scenario_help = "module:Name or file.py:Name (a small replicated register)"
    parser.add_argument("--scenario", metavar="PLACE", default=SCENARIO, help=scenario_help)
    profile_help = "how bad things get: calm, default, harsh, bridge, power, restarts"
    parser.add_argument("--profile", metavar="NAME", default="default", help=profile_help)
    mode_help = "safety, live (heal a majority and demand progress), or both by turns (both)"
    parser.add_argument("--mode", choices=("safety", "live", "both"), default="both", help=mode_help)
    parser.add_argument("--shells", action="store_true", help="run the processes under their Trio shells")
    parser.add_argument(
        "--report", metavar="FILE", help="write a page that tells one run (the first to fail)"
    )
    parser.add_argument("--key", metavar="KEY", help="the key that the page follows (the one that failed)")


def _part(parser: Parser) -> None:
    parser.add_argument("--seed", metavar="N", type=int, help="which run")
    parser.add_argument("--case", metavar="FILE", help="a run that was kept, instead of a seed")
    _which(parser)
    parser.add_argument("--keep", metavar="N,N", dest="faults", help="only these of its faults, or none")
    parser.add_argument("--nodes", metavar="N", type=_between(int, 1, 10_000), help="only so many nodes")
    parser.add_argument("--clients", metavar="N", type=_between(int, 1, 10_000), help="only so many clients")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.0, help="only so much virtual time")
    parser.add_argument("--quiet", action="store_true", help="no message is lost, late or doubled by itself")
    parser.add_argument("--skip", metavar="S", type=float, default=0.0, help="begin so many seconds later")
    parser.add_argument("--luck", metavar="N", type=int, default=0, help="another roll of the dice (0)")


def _command(commands: Commands, name: str, help_text: str) -> Parser:
    description = f"{help_text[0].upper()}{help_text[1:]}."
    return commands.add_parser(name, help=help_text, description=description, **_HABITS)


def _where(parser: Parser) -> None:
    parser.add_argument("-e", "--environment", metavar="NAME", help="where to look (RINGDICT_ENVIRONMENT)")
    parser.add_argument("--cluster", metavar="URL", help="which store, as file:///folder (RINGDICT_URL)")


def _name(parser: Parser) -> None:
    _where(parser)
    parser.add_argument("name", metavar="NAME", help="the name of the Dict")


def _key(parser: Parser, literal_help: str) -> None:
    _name(parser)
    parser.add_argument("key", metavar="KEY", help="text, or what an option says")
    _notation(parser, literal_help)


def _notation(parser: Parser, literal_help: str) -> None:
    parser.add_argument("-l", "--literal", action="store_true", help=f"{literal_help}, as ('user', 7)")
    parser.add_argument("--json-key", action="store_true", help="the key is JSON, as --json prints it")


def _form(parser: Parser, subject: str) -> argparse._MutuallyExclusiveGroup:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--repr", action="store_true", help=f"print {subject} as Python writes them")
    form.add_argument("--json", action="store_true", help=f"print {subject} as JSON")
    return form


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _yes(parser: Parser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _between(kind: type[Number], low: Number, high: Number) -> Callable[[str], Number]:
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
