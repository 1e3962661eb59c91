"""The body of `ringdict sim gossip`: the figures of gossip, measured in the made-up network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client.shell.exit_code import ExitCode
from .gossipfigures import table

if TYPE_CHECKING:
    from ..client.shell.arguments import Arguments
    from ..client.shell.terminal import Terminal


def show_gossip(args: Arguments, terminal: Terminal) -> ExitCode:
    """`sim gossip --table`: a line of the table as soon as it was measured."""
    for line in table(whole=args.whole, words=args.words):
        terminal.write(line)
        terminal.flush()
    return ExitCode.OK
