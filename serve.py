"""The command `ringdict node`: what it was told on the command line and in the environment, and its log."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from .client.secretfile import SecretFile, Secrets, parse_secrets
from .exception import Error, InvalidError, UnavailableError
from .gossip.config import SECRET_BYTES_MIN, ZONE_BYTES_MAX
from .node.config import (
    COLLECT_OLDER_TRIES,
    COLLECT_YOUNG_OBJECTS_MAX,
    FRAME_VALUE_BYTES_MAX,
    MIB,
    MOVE_RATE_BYTES_S,
    VALUE_BYTES_DEFAULT,
)
from .node.disk.durability import Durability
from .node.network.sockets import join_address, split_address
from .node.world import Address
from .ring.config import (
    FOUND_PARTITIONS_MAX,
    FOUND_PARTITIONS_MIN,
    PARTITIONS_DEFAULT,
    REPLICAS_DEFAULT,
    REPLICAS_MAX,
    WEIGHTS_MAX,
)
from .rotation import keep_secrets, warn_if_open

if TYPE_CHECKING:
    from .client.shell.arguments import Arguments
    from .client.shell.exit_code import ExitCode
    from .client.shell.terminal import Terminal
    from .node.node import Node
    from .node.world import World

PORT_DEFAULT: Final = 7447
"""Where nodes listen unless they are told otherwise."""

MOVE_RATE_MIB_S_MAX: Final = 1_000_000
"""Of what a node may be told to move: a terabyte a second, more than any network carries."""

GOSSIP_LABEL: Final = "ringdict"
"""What gossip's letters are bound to, besides the secret."""

LOG_FORMS: Final = ("console", "json")
LOG_LEVELS: Final = ("debug", "info", "warning")

EVENTS_SHOWN: Final = frozenset({"member", "gossip halted", "epoch", "complaint", "recovered by force"})
"""Of what a node traces, what people want to read; the rest is for `--log-level debug`."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a node is to be run."""

    #: Where it listens, and where others reach it: an IP address and a port each.
    listen: Address
    address: Address
    #: Nodes to begin with, by address or by a name that may have many.
    join: tuple[Address, ...]
    #: Whether to found a cluster, if this node belongs to none yet.
    found: bool
    data: Path
    #: The cluster's, the one in use first; none: it has none. And the file where they stand, if they do.
    secrets: Secrets
    secret_file: SecretFile | None
    durability: Durability
    replicas: int
    partitions: int
    value_bytes_max: int
    move_rate_bytes_s: int
    zone: str
    weight: int
    insecure: bool
    ready_file: Path | None
    notify_socket: str
    log_form: str
    log_level: str


class _Words:
    """What was said: an option, else its variable."""

    def __init__(self, args: Arguments, environ: Mapping[str, str]) -> None:
        self._args = args
        self._environ = environ

    def text(self, name: str) -> str:
        """Empty: neither."""
        said: str | None = getattr(self._args, name)
        return said or self._environ.get(f"RINGDICT_{name.upper()}") or ""

    def flag(self, name: str) -> bool:
        """Whether it was said."""
        word = self._environ.get(f"RINGDICT_{name.upper()}", "").lower()
        if word not in ("", "0", "1", "false", "true", "no", "yes"):
            raise InvalidError(f"RINGDICT_{name.upper()} is 1 or 0, not {word!r}")
        return bool(getattr(self._args, name)) or word in ("1", "true", "yes")

    def number(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number within bounds."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise InvalidError(f"--{name.replace('_', '-')} is from {least} to {most}, not {text!r}")
        return int(text)

    def choice(self, name: str, words: tuple[str, ...], default: str) -> str:
        """One of some words."""
        text = self.text(name) or default
        if text not in words:
            raise InvalidError(f"--{name.replace('_', '-')} is one of {', '.join(words)}, not {text!r}")
        return text


def read(args: Arguments, environ: Mapping[str, str]) -> Launch:
    """What the command line says, and where it does not, the environment.

    Raises:
        InvalidError: it makes no sense.
        UnavailableError: a name in it cannot be looked up.
    """
    words = _Words(args, environ)
    listen = _resolved(words.text("listen") or f"127.0.0.1:{PORT_DEFAULT}")[0]
    address = _resolved(words.text("advertise") or listen)[0]
    if address.startswith(("0.0.0.0:", "[::]:")):
        raise InvalidError(f"others cannot reach {address}: say with --advertise where this node is reached")
    join, found = words.text("join"), words.flag("found")
    if join and found:
        raise InvalidError("a node founds a cluster or joins one: say --found or --join, not both")
    zone = words.text("zone")
    if len(zone.encode()) > ZONE_BYTES_MAX:
        raise InvalidError(f"--zone has at most {ZONE_BYTES_MAX} bytes")
    partitions = words.number("partitions", FOUND_PARTITIONS_MIN, FOUND_PARTITIONS_MAX, PARTITIONS_DEFAULT)
    if partitions & (partitions - 1):
        raise InvalidError(f"--partitions is a power of two, not {partitions}")
    secrets, secret_file = _secrets(words, environ)
    ready_file = words.text("ready_file")
    return Launch(
        listen=listen,
        address=address,
        join=_names(join) if join else (),
        found=found,
        data=Path(words.text("data") or _data_folder()),
        secrets=secrets,
        secret_file=secret_file,
        durability=Durability.parse(words.text("durability") or Durability.INTERVAL.value),
        replicas=words.number("replicas", 1, REPLICAS_MAX, REPLICAS_DEFAULT),
        partitions=partitions,
        value_bytes_max=words.number("value_bytes_max", 1, FRAME_VALUE_BYTES_MAX, VALUE_BYTES_DEFAULT),
        move_rate_bytes_s=words.number("move_rate", 0, MOVE_RATE_MIB_S_MAX, MOVE_RATE_BYTES_S // MIB) * MIB,
        zone=zone,
        weight=words.number("weight", 1, WEIGHTS_MAX, 1),
        insecure=words.flag("insecure"),
        ready_file=Path(ready_file) if ready_file else None,
        notify_socket=environ.get("NOTIFY_SOCKET", ""),
        log_form=words.choice("log", LOG_FORMS, "console" if sys.stderr.isatty() else "json"),
        log_level=words.choice("log_level", LOG_LEVELS, "info"),
    )


def _data_folder() -> str:
    from platformdirs import user_state_path

    return str(user_state_path("ringdict") / "node")


def _resolved(text: str) -> list[Address]:
    """An address with its host looked up: IP addresses only."""
    host, port = split_address(Address(text))
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnavailableError(f"{host} cannot be looked up: {error.strerror or error}") from None
    return list(dict.fromkeys(join_address(str(row[4][0]), port) for row in rows))


def _names(text: str) -> tuple[Address, ...]:
    """Those of a list, host and port each. They are looked up while the node runs, again and again."""
    names = tuple(dict.fromkeys(Address(word.strip()) for word in text.split(",")))
    for name in names:
        split_address(name)
    return names


def _secrets(words: _Words, environ: Mapping[str, str]) -> tuple[Secrets, SecretFile | None]:
    """The cluster's secrets, none if it has none, and the file they come from."""
    path = words.text("secret_file")
    if path:
        file = SecretFile(path, SECRET_BYTES_MIN)
        secrets = file.read()
        warn_if_open(path)
        return secrets, file
    text = environ.get("RINGDICT_SECRET", "")
    return parse_secrets(text.encode(), SECRET_BYTES_MIN) if text else (), None


# -- the node ------------------------------------------------------------------------------------


def run(args: Arguments, _terminal: Terminal) -> ExitCode:
    """`ringdict node`: until a signal ends it (OK), or it has to end (STORE)."""
    import trio

    from .client.shell.exit_code import ExitCode

    launch = read(args, os.environ)
    set_up_log(launch.log_form, launch.log_level, sys.stderr)
    log = logging.getLogger(__name__)
    try:
        reason = trio.run(_serve, launch)
    except* OSError as group:
        raise UnavailableError(f"{launch.listen}: {_leaf(group)}") from None
    except* Error as group:
        raise _leaf(group) from None
    if reason is not None:
        log.error("halted: %s", reason)
        return ExitCode.STORE
    log.info("ended")
    return ExitCode.OK


async def _serve(launch: Launch) -> str | None:
    import trio

    from . import __version__
    from .node.clock import SystemClock
    from .node.hosting import Hosting, host
    from .node.identity import STORAGE as IDENTITY
    from .node.members.gossipkeys import keyring_of
    from .node.network.switchboard import Credentials
    from .node.node import Node, NodeSettings
    from .node.served.hostmark import host_mark
    from .node.store.restart import may_lack
    from .node.trioworld import TrioWorld, real_surroundings

    nodes: list[Node] = []

    def cluster_id() -> bytes:
        view = nodes[0].view if nodes else None
        return b"" if view is None else view.decree.cluster_id

    settings = NodeSettings(
        founds=launch.found, replicas=launch.replicas, weight=launch.weight,
        partitions=launch.partitions, value_bytes_max=launch.value_bytes_max,
        move_rate_bytes_s=launch.move_rate_bytes_s,
        zone=launch.zone, version=__version__, durability=launch.durability,
        keyring=keyring_of(launch.secrets, GOSSIP_LABEL),
        insecure=launch.insecure, folder=str(launch.data.resolve()), host=host_mark(),
        # A node that was away lacks what was written meanwhile: it is read once it has compared.
        tail_lost=(launch.data / IDENTITY).exists() or may_lack(launch.data, SystemClock().boot_id()),
    )  # fmt: skip

    def make(world: World) -> Node:
        node = Node(world, settings)
        nodes.append(node)
        log = logging.getLogger(__name__)
        where = f"node {world.identity.node.hex()[:12]} at {launch.address}, start {world.identity.boot}"
        log.info("%s, data in %s", where, launch.data)
        if node.view is None and not launch.found and not launch.join:
            log.warning("in no ring, and told neither to found one (--found) nor whom to join (--join)")
        nursery.start_soon(_look_up_seeds, world, node, launch.join)
        if settings.keyring is not None and launch.secret_file is not None:
            assert isinstance(world, TrioWorld)
            nursery.start_soon(keep_secrets, world, settings.keyring, launch.secret_file)
        return node

    first, *others = launch.secrets or (b"",)
    surroundings = real_surroundings(
        Credentials(launch.address, first, cluster_id, tuple(others)),
        launch.data, listen=launch.listen, insecure=launch.insecure,
    )  # fmt: skip
    surroundings.trace = trace_to_log
    async with trio.open_nursery() as nursery:
        hosting = Hosting(launch.ready_file, launch.notify_socket, became_ready=collect_less)
        reason = await host(make, surroundings, hosting)
        nursery.cancel_scope.cancel()
    return reason


def collect_less() -> None:
    """Have the garbage collector leave alone what there is by now, which stays, and come more rarely: it took
    a seventh of the processor's time under load, to find nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_YOUNG_OBJECTS_MAX, COLLECT_OLDER_TRIES, COLLECT_OLDER_TRIES)


async def _look_up_seeds(world: World, node: Node, names: Sequence[str]) -> None:
    """Tell the node's gossip what the names of its seeds mean, whenever that is something else."""
    from .node.members.seeds import keep_resolving

    def set_seeds(addresses: Sequence[Address]) -> None:
        world.call_after(0, lambda: node.gossiping.set_seeds(addresses))

    await keep_resolving(list(map(Address, names)), set_seeds, lambda: node.gossiping.has_peers)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# -- the log -------------------------------------------------------------------------------------


def set_up_log(form: str, level: str, stream: TextIO) -> None:
    """Have all that ringdict logs written to a stream: a line of JSON each, or for people."""
    import structlog

    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _plain,
    ]
    last: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty() and not os.environ.get("NO_COLOR"))
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger(__package__)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


def _plain(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Facts as JSON has them: bytes as hex."""
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = value.hex()
    return event


_TRACE: Final = logging.getLogger(f"{__package__}.trace")


def trace_to_log(event: str, facts: Mapping[str, object]) -> None:
    """What a node notes of itself, in the log."""
    log = _TRACE
    level = logging.INFO if event in EVENTS_SHOWN else logging.DEBUG
    if log.isEnabledFor(level):
        log.log(
            level,
            "%s",
            event,
            extra={f"{name}_" if name in _TAKEN else name: fact for name, fact in facts.items()},
        )


_TAKEN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "event",
    "level",
    "logger",
}
"""Names that a log record has for itself."""
