"""The commands `ringdict status|ring|leave|remove|join-cancel|adjust`: what each asks of nodes, and prints.

As those of commands.py they take their arguments and a terminal, and say by an exit code how it ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Final

from ...exception import InvalidError, NotFoundError
from ...node.config import GATE_TIMEOUT_S
from ...node.network.message import Absent, Get, Present, Refused
from ...ring.decree import Decree
from ...ring.member import Member
from ...ring.partition import dict_seed, partition_of
from ...ring.report import partition_lines, ring_lines
from ..client import Client, wall_ms
from ..cluster import ENVIRONMENT_DEFAULT
from ..keys import encode_key
from ..naming import resolve
from ..secretfile import secrets_from_variables
from ..seeds import is_of_nodes, parse_seeds
from . import gossip_table, moves_text
from .adjustment import adjusted, as_words
from .arguments import Arguments
from .exit_code import ExitCode
from .operator import NUMBER, Answer, Operator, Ring
from .terminal import Terminal

HEAD: Final = (
    "NODE",
    "ADDRESS",
    "RING",
    "GOSSIP",
    "EPOCH",
    "READY",
    "HEALTH",
    "HANDOFF",
    "TAKES",
    "HINTS",
    "COMPARED",
    "LEADS",
)
NUMBERS: Final = frozenset({4, 6, 7, 8, 9, 10, 11})

VERBS: Final = {"leave": "leave", "remove": "remove", "join-cancel": "cancel", "adjust": "adjust"}


def status(args: Arguments, terminal: Terminal) -> ExitCode:
    """How the nodes are; OK if all answer, are ready, and go by one ring, else NO."""
    client = client_of(args)
    operator = Operator(client)
    if args.live or args.ready:
        return _probe(operator.status(client.seeds.addresses[0]), args, terminal)
    ring = operator.ring()
    members = ring.decree.members
    answers = operator.statuses([ring.addresses[member.member_id] for member in members])
    agrees = all(
        answer.status is not None
        and answer.status.get("epoch") == ring.decree.epoch
        and answer.status.get("ready") is True
        for answer in answers
    )
    views = gossip_table.views(answers)
    agrees = agrees and len(views) <= 1
    if args.json:
        nodes = [_node_json(ring, *pair) for pair in zip(members, answers, strict=True)]
        _write_json(
            {
                "cluster_id": ring.decree.cluster_id.hex(), "epoch": ring.decree.epoch,
                "recoveries": [each.epoch for each in ring.decree.recoveries],
                "all_agree": agrees, "gossip_views": sorted(views), "nodes": nodes,
            },
            terminal,
        )  # fmt: skip
        return ExitCode.OK if agrees else ExitCode.NO
    count = sum(answer.status is not None for answer in answers)
    verdict = "all agree" if agrees else "they do not all agree"
    terminal.write(
        f"cluster {ring.decree.cluster_id.hex()[:12]}  epoch {ring.decree.epoch}  "
        f"{count} of {len(members)} nodes answer, {verdict}"
        + (f"; gossip has {len(views)} views of who is alive" if len(views) > 1 else "")
    )
    for recovery in ring.decree.recoveries:
        terminal.write(
            f"recovered by force with epoch {recovery.epoch}: what was acknowledged before may be gone"
        )
    if args.gossip:
        _show_gossip(answers, terminal)
    else:
        beliefs = gossip_table.beliefs(answers)
        pairs = zip(members, answers, strict=True)
        terminal.write_table(HEAD, [_row(ring, *pair, beliefs) for pair in pairs], right=NUMBERS)
    names = {member.member_id.hex(): short(member) for member in members}
    for member, answer in zip(members, answers, strict=True):
        if answer.error:
            terminal.note(f"{short(member)}: {answer.error}")
        for line in moves_text.lines(short(member), answer.status or {}, names):
            terminal.write(line)
        for line in _lost(answer.status or {}):
            terminal.note(f"{short(member)}: {line}")
    return ExitCode.OK if agrees else ExitCode.NO


def ring(args: Arguments, terminal: Terminal) -> ExitCode:
    """Who owns what; or the way of one key."""
    if args.key or args.dict:
        return _way(args, terminal)
    told = Operator(client_of(args)).ring()
    if args.json:
        _write_json(_ring_json(told), terminal)
    else:
        for line in ring_lines(told.decree):
            terminal.write(line)
    return ExitCode.OK


def change(args: Arguments, terminal: Terminal) -> ExitCode:
    """`leave`, `remove`, `join-cancel`, `adjust`: have the ring changed."""
    verb = VERBS[args.command]
    operator = Operator(client_of(args))
    member = operator.ring().member(args.name)
    what = f"{short(member)} {member.address}".rstrip()
    wished = adjusted(member, args) if verb == "adjust" else member
    question = {
        "leave": f"Have {what} hand over what it holds, and leave the ring?",
        "remove": f"Remove {what}, with whatever only it has?",
        "cancel": f"Have {what} not join?",
        "adjust": f"Have {what} with {as_words(wished)}? Keys move to where they belong then.",
    }[verb]
    if not terminal.confirm(question, yes=args.yes):
        terminal.note("nothing happened")
        return ExitCode.NO
    epoch = operator.command(verb, wished)
    if args.json:
        _write_json({"epoch": epoch}, terminal)
    else:
        terminal.note(f"decided with epoch {epoch}; `ringdict status` shows how far it is")
    return ExitCode.OK


COMMANDS: Mapping[str, Callable[[Arguments, Terminal], ExitCode]] = {
    "status": status,
    "ring": ring,
    "leave": change,
    "remove": change,
    "join-cancel": change,
    "adjust": change,
}
"""By the word behind `ringdict`."""


# -- parts of them -------------------------------------------------------------------------------


def client_of(args: Arguments) -> Client:
    """Of the cluster that is meant."""
    url = args.cluster or os.environ.get("RINGDICT_URL") or ""
    if not is_of_nodes(url):
        raise InvalidError("say which cluster: --cluster ringdict://host:port, or RINGDICT_URL")
    return Client(parse_seeds(url), secrets_from_variables(), GATE_TIMEOUT_S)


def _probe(answer: Answer, args: Arguments, terminal: Terminal) -> ExitCode:
    """Is the first node of the URL alive, or ready? For orchestrators."""
    if answer.status is None:
        terminal.complain(answer.error)
        return ExitCode.NO
    is_ready = answer.status.get("ready") is True
    if args.json:
        _write_json(answer.status, terminal)
    elif args.ready and not is_ready:
        terminal.complain(f"not ready: {_why(answer.status) or 'it does not serve yet'}")
    return ExitCode.OK if args.live or is_ready else ExitCode.NO


def _show_gossip(answers: list[Answer], terminal: Terminal) -> None:
    observer, rows = gossip_table.rows(answers, wall_ms())
    if rows:
        terminal.write(f"gossip as {observer} sees it; health and digest as each says itself")
        terminal.write_table(gossip_table.HEAD, rows, right=gossip_table.NUMBERS)


def _why(told: Mapping[str, object]) -> str:
    complaints = told.get("complaints")
    return "; ".join(map(str, complaints)) if isinstance(complaints, list) else ""


def _row(ring: Ring, member: Member, answer: Answer, beliefs: Mapping[str, str]) -> tuple[str, ...]:
    node = member.member_id.hex()
    told = answer.status or {}
    gossip = told.get("gossip")
    health = gossip.get("health_points") if isinstance(gossip, dict) else None
    ready = "-" if answer.status is None else "yes" if told.get("ready") is True else "no"
    return (
        short(member),
        ring.addresses[member.member_id] or "-",
        member.state.name.lower(),
        beliefs.get(node, "-"),
        _cell(told.get("epoch")),
        ready,
        _cell(health),
        _waiting(told),
        moves_text.cell(told),
        _hints(told),
        _compared(told),
        _leads(told),
    )


def _waiting(told: Mapping[str, object]) -> str:
    """How many partitions the node owns, and is not yet fit to serve."""
    convergence = told.get("convergence")
    return _cell(convergence.get("waiting_partitions")) if isinstance(convergence, dict) else "-"


def _hints(told: Mapping[str, object]) -> str:
    """How many entries it keeps for nodes that cannot be reached."""
    hints = told.get("hints")
    return str(sum(one["count"] for one in hints.values())) if isinstance(hints, dict) else "-"


def _compared(told: Mapping[str, object]) -> str:
    """How long ago it was last equal with the peer with which that is longest ago."""
    convergence = told.get("convergence")
    ages = convergence.get("ages_s") if isinstance(convergence, dict) else None
    if not isinstance(ages, dict) or not ages:
        return "-"
    return "never" if None in ages.values() else f"{max(ages.values()):.0f} s"


def _leads(told: Mapping[str, object]) -> str:
    """How many partitions it leads; in brackets how many of them it is still settling."""
    leading = told.get("leading")
    if not isinstance(leading, dict):
        return "-"
    return f"{leading.get('leads')}" + (f" ({leading['settling']})" if leading.get("settling") else "")


def _lost(told: Mapping[str, object]) -> list[str]:
    """Partitions of which a node sees no quorum, and why, a line for all of the same owners."""
    leading = told.get("leading")
    groups = leading.get("lost") if isinstance(leading, dict) else None
    return [
        f"no atomic operations on {len(group['partitions'])} partitions: of "
        f"{', '.join(node[:8] for node in group['of'])} it hears nothing from "
        f"{', '.join(node[:8] for node in group['silent'])}"
        for group in (groups if isinstance(groups, list) else ())
    ]


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _node_json(ring: Ring, member: Member, answer: Answer) -> dict[str, object]:
    return _member_json(ring, member) | {"status": answer.status, "error": answer.error or None}


def _member_json(ring: Ring, member: Member) -> dict[str, object]:
    return {
        "node": member.member_id.hex(), "address": ring.addresses[member.member_id],
        "state": member.state.name.lower(), "weight": member.weight, "zone": member.zone,
        "alive": member.member_id in ring.alive,
    }  # fmt: skip


def _ring_json(ring: Ring) -> dict[str, object]:
    decree = ring.decree
    count = len(decree.members)
    primaries, copies = decree.table.primaries(count), decree.table.copies(count)
    members = [
        _member_json(ring, member) | {"primaries": primaries[number], "copies": copies[number]}
        for number, member in enumerate(decree.members)
    ]
    return {
        "cluster_id": decree.cluster_id.hex(), "epoch": decree.epoch, "partitions": decree.partitions,
        "replicas": decree.replicas, "at_rest": _is_at_rest(decree), "members": members,
    }  # fmt: skip


def _is_at_rest(decree: Decree) -> bool:
    """Whether a change is over: until former owners are dropped, what they alone may know is still needed."""
    return decree.pending is None and not any(decree.former)


def _way(args: Arguments, terminal: Terminal) -> ExitCode:
    """Where one key of a Dict is, and what its owners have of it."""
    if not args.dict:
        raise InvalidError("a key has a place only in a Dict: say which, with --dict NAME")
    client = client_of(args)
    key = encode_key(args.read_key())
    environment = args.environment or os.environ.get("RINGDICT_ENVIRONMENT") or ENVIRONMENT_DEFAULT
    found = client.blocking.run(resolve(client.session, environment, args.dict, b""))
    if found is None:
        raise NotFoundError(f"there is no Dict {args.dict} in {environment}")
    operator = Operator(client)
    ring = operator.ring()
    decree = ring.decree
    partition = partition_of(dict_seed(found[0]), key, decree.partitions)
    owners = [decree.members[number] for number in decree.owners(partition)]
    asked = Get(NUMBER, decree.epoch, found[0], key)
    rows = [
        _member_json(ring, owner)
        | {"role": "replica" if rank else "primary", "version": _version(operator, ring, owner, asked)}
        for rank, owner in enumerate(owners)
    ]
    if args.json:
        _write_json({"partition": partition, "epoch": decree.epoch, "owners": rows}, terminal)
        return ExitCode.OK
    for line in partition_lines(decree, partition):
        terminal.write(line)
    cells: list[tuple[str, ...]] = [
        (str(row["node"])[:12], str(row["role"]), str(row["address"]), str(row["version"])) for row in rows
    ]
    terminal.write_table(("NODE", "ROLE", "ADDRESS", "VERSION"), cells, right=frozenset())
    return ExitCode.OK


def _version(operator: Operator, ring: Ring, owner: Member, asked: Get) -> str:
    """What an owner has of a key, in a word or a number."""
    from ...exception import Error

    try:
        reply = operator.ask(ring.addresses[owner.member_id], asked)
    except Error as error:
        return f"({error})"
    if isinstance(reply, Present):
        return str(reply.stamp[0])
    if isinstance(reply, Absent):
        return "absent"
    return f"({reply.text})" if isinstance(reply, Refused) else "?"


def short(member: Member) -> str:
    """A member, for people."""
    return member.member_id.hex()[:12]


def _write_json(value: object, terminal: Terminal) -> None:
    terminal.write(json.dumps(value))
