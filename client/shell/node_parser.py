"""What may be written to run nodes and to look after a cluster of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parser import as_json, command, notation, yes

if TYPE_CHECKING:
    from .parser import Commands, Run


def add_node(groups: Commands, run: Run) -> None:
    """`ringdict node`."""
    node = command(groups, "node", "run a node of a cluster")
    node.epilog = "every option has a variable: --secret-file is RINGDICT_SECRET_FILE"
    node.set_defaults(run=run)
    for option, value, words in (
        ("--listen", "HOST:PORT", "where to listen (127.0.0.1:7447)"),
        ("--advertise", "HOST:PORT", "where others reach this node, if elsewhere"),
        ("--join", "HOST:PORT,…", "nodes of the cluster to join"),
        ("--data", "FOLDER", "where it keeps what it has; an embedded folder may be handed to it"),
        ("--secret-file", "FILE", "the cluster's secret, the same for all nodes and clients; one a line"),
        ("--durability", "WHEN", "of entries: interval, fsync, none (interval)"),
        ("--value-bytes-max", "N", "of one value that it takes; the same for all nodes (102400)"),
        ("--replicas", "N", "how many nodes have each key, in a cluster that is founded (3)"),
        ("--partitions", "N", "pieces of the key space, in a cluster that is founded (1024)"),
        ("--move-rate", "MIB", "MiB to move a second when the ring changes; 0: as fast as it goes (64)"),
        ("--zone", "NAME", "what fails together with this node; copies go to different zones"),
        ("--weight", "N", "how much it takes, compared to others (1)"),
        ("--ready-file", "FILE", "a file that stands while the node serves"),
        ("--log", "FORM", "console or json (json, unless standard error is a terminal)"),
        ("--log-level", "LEVEL", "debug, info, warning (info)"),
    ):
        node.add_argument(option, metavar=value, help=words)
    node.add_argument("--found", action="store_true", help="found a cluster, if this node is in none")
    node.add_argument("--insecure", action="store_true", help="do without a secret off this host, too")


def add_ring(groups: Commands, run: Run) -> None:
    """`ringdict status`, `ring`, `leave`, `remove`, `join-cancel`, `adjust`."""
    status = command(groups, "status", "tell how the nodes of a cluster are")
    probe = status.add_mutually_exclusive_group()
    probe.add_argument("--live", action="store_true", help="only whether the first node of the URL answers")
    probe.add_argument("--ready", action="store_true", help="only whether it is ready to serve")
    probe.add_argument("--gossip", action="store_true", help="who is alive, since when, how far away")
    ring = command(groups, "ring", "tell who owns what; with KEY, the way of one key")
    ring.add_argument("key", metavar="KEY", nargs="?", default="", help="text, or what an option says")
    ring.add_argument("--dict", metavar="NAME", help="the Dict that KEY is in")
    ring.add_argument("-e", "--environment", metavar="NAME", help="where to look (RINGDICT_ENVIRONMENT)")
    notation(ring, "KEY is a Python literal")
    leave = command(groups, "leave", "have a node hand over what it holds, and leave the ring")
    remove = command(groups, "remove", "take a dead node out of the ring")
    cancel = command(groups, "join-cancel", "have a node that is joining not join")
    adjust = command(groups, "adjust", "give a node another weight or zone, while the cluster serves")
    adjust.add_argument("--weight", metavar="N", help="how much it takes, compared to others")
    adjust.add_argument("--zone", metavar="NAME", help="what fails together with it; empty: no zone")
    for parser in (leave, remove, cancel, adjust):
        parser.add_argument("name", metavar="NODE", help="its address, or the beginning of its id")
        yes(parser)
    for word, parser in groups.choices.items():
        if word in ("status", "ring", "leave", "remove", "join-cancel", "adjust"):
            parser.set_defaults(run=run, command=word)
            parser.add_argument("--cluster", metavar="URL", help="ringdict://host:port (RINGDICT_URL)")
            as_json(parser)


def add_recovery(groups: Commands, run: Run) -> None:
    """`ringdict force-recover`."""
    recover = command(groups, "force-recover", "give nodes up that are lost for good, with the majority")
    recover.epilog = "it says what that costs, and does nothing until --cluster-id names the cluster"
    recover.add_argument(
        "--lost", metavar="NODE", action="append", required=True,
        help="its address, or the beginning of its id; once for each that is lost",
    )  # fmt: skip
    recover.add_argument("--cluster-id", metavar="ID", default="", help="12 digits of its id: do it")
    recover.add_argument("--cluster", metavar="URL", help="ringdict://host:port of survivors (RINGDICT_URL)")
    as_json(recover)
    recover.set_defaults(run=run)


def add_key(groups: Commands, run: Run) -> None:
    """`ringdict key …`."""
    group = command(groups, "key", "change the secret of a cluster that runs")
    group.epilog = (
        "on every host install, then on every host use, then on every host remove (docs/operations.md);\n"
        "a node looks at its file every 2 s"
    )
    group.set_defaults(run=run)
    commands = group.add_subparsers(metavar="COMMAND", dest="command", required=True, title="commands")
    listing = command(commands, "list", "list the keys in the file, and who has them; names, no secrets")
    install = command(commands, "install", "put a secret more into the file, which is not used yet")
    install.add_argument("file", metavar="NEW", help="a file with the new secret; -: standard input")
    use = command(commands, "use", "use another secret of the file, once all nodes have it")
    remove = command(commands, "remove", "take a secret out of the file, once no node uses it")
    for parser in (use, remove):
        parser.add_argument("name", metavar="KEY", help="the beginning of its name, as `list` shows it")
        parser.add_argument("--force", action="store_true", help="do not ask the nodes first")
    for parser in (listing, install, use, remove):
        parser.add_argument("--secret-file", metavar="FILE", help="this host's (RINGDICT_SECRET_FILE)")
    for parser in (listing, use, remove):
        parser.add_argument("--cluster", metavar="URL", help="ringdict://host:port (RINGDICT_URL)")
