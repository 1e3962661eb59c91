"""The command line `ringdict …`: what may be written, and how a command ends.

Rules of this file:
1. It dispatches; what a command does stands in the room that it belongs to, what may be written behind it in
   a parser of client/shell/.
2. The command that runs imports what it needs, and nothing is imported for the others.
3. Whatever goes wrong ends as one line on standard error and an exit code (client/shell/exit_code.py).
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .client.shell.archive_parser import add_archive
from .client.shell.dict_parser import add_dict
from .client.shell.exit_code import ExitCode, exit_code_of
from .client.shell.node_parser import add_key, add_node, add_recovery, add_ring
from .client.shell.parser import HABITS, Parser
from .client.shell.sim_parser import add_demo, add_sim
from .client.shell.terminal import Terminal

if TYPE_CHECKING:
    from .client.shell.arguments import Arguments


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
            parser.error("say what to do: dict, node, status, ring, key, demo, sim …")
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


def _recover(args: Arguments, terminal: Terminal) -> ExitCode:
    from .client.shell.recover_command import force_recover

    return force_recover(args, terminal)


def _key(args: Arguments, terminal: Terminal) -> ExitCode:
    from .rotation import COMMANDS

    return COMMANDS[args.command](args, terminal)


def _archive(args: Arguments, terminal: Terminal) -> ExitCode:
    from .client.shell.archive_commands import COMMANDS

    return COMMANDS[args.command](args, terminal)


def _sim(args: Arguments, terminal: Terminal) -> ExitCode:
    from .sim.command import COMMANDS

    return COMMANDS[args.command](args, terminal)


# -- what may be written -------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser("ringdict", description="One Python dict, shared by every process of a host.", **HABITS)
    parser.add_argument("--version", action="store_true", help="say which version this is")
    parser.set_defaults(run=None)
    groups = parser.add_subparsers(metavar="COMMAND", title="commands")
    add_dict(groups, _dict)
    add_node(groups, _node)
    add_ring(groups, _ring)
    add_recovery(groups, _recover)
    add_key(groups, _key)
    add_archive(groups, _archive)
    add_demo(groups, _demo)
    add_sim(groups, _sim)
    return parser
