"""The command `ringdict force-recover`: it says what it would cost, and does it when it is told so.

Rules of this file:
1. It does nothing on its first word. What it costs is written first, always; it is done only if the operator
   names the cluster, by the beginning of the id that it wrote.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from ...exception import InvalidError
from ...ring.decree import Decree, DecreeError
from ...ring.member import Member, MemberState
from ...ring.recovery import Losses, losses
from .arguments import Arguments
from .exit_code import ExitCode
from .operator import Operator
from .ring_commands import client_of, short
from .terminal import Terminal

CLUSTER_DIGITS: Final = 12
"""Of a cluster's id, to name it: as many as `ringdict status` shows."""


def force_recover(args: Arguments, terminal: Terminal) -> ExitCode:
    """Give members up that are lost for good, though no vote can remove them."""
    operator = Operator(client_of(args))
    ring = operator.ring()
    lost = [ring.member(word) for each in args.lost for word in each.split(",") if word]
    ids = sorted({member.member_id for member in lost})
    try:
        cost = losses(ring.decree, ids)
    except DecreeError as error:
        raise InvalidError(str(error)) from None
    for line in words(ring.decree, lost, cost):
        terminal.note(line)
    cluster = ring.decree.cluster_id.hex()
    named = args.cluster_id.lower()
    if not named:
        terminal.note(
            "nothing happened. If that is what you want, say it again with "
            f"--cluster-id {cluster[:CLUSTER_DIGITS]}"
        )
        return ExitCode.NO
    if len(named) < CLUSTER_DIGITS or not cluster.startswith(named):
        raise InvalidError(f"this is cluster {cluster}, not {named}; nothing happened")
    epoch = operator.recover(ring.decree, ids)
    if args.json:
        terminal.write(json.dumps({"epoch": epoch}))
    else:
        terminal.note(f"recovered by force with epoch {epoch}; `ringdict status` shows how far it is")
    return ExitCode.OK


def words(decree: Decree, lost: Sequence[Member], cost: Losses) -> list[str]:
    """What a recovery without these would do, for whoever has to decide."""
    gone = {member.member_id for member in lost}
    out = (MemberState.REMOVED, MemberState.FORMER)
    left = [one for one in decree.members if one.member_id not in gone and one.state not in out]
    all_ = decree.partitions
    lines = [
        f"cluster {decree.cluster_id.hex()[:CLUSTER_DIGITS]} would go on as {', '.join(map(short, left))},",
        f"without {', '.join(map(short, lost))}",
        f"{len(cost.kept)} of {all_} partitions lose nothing: a majority of their owners survives",
    ]
    if cost.doubtful:
        lines += [
            f"{len(cost.doubtful)} of {all_} have lost most of their owners, and keep what the rest has:",
            "  - acknowledged puts, deletes and atomic operations that no survivor has are gone",
            "  - a lock that somebody holds may be granted a second time. Its new token is higher:",
            "    a resource that checks tokens refuses the old holder, any other does not",
            "  - what was deleted may be there again, and what was said never to happen may have happened",
        ]
    if cost.empty:
        lines.append(f"{len(cost.empty)} of {all_} have lost all owners: their entries and locks are gone")
    return [
        *lines,
        "a node that is given up, and lives on where clients reach it, grants locks there until it hears of",
        "this: stop it first. When it hears, it hands its entries over, wipes them, and votes no more",
        "there is no way back",
    ]
