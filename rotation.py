"""A cluster's secret is changed while the cluster runs: what `ringdict key` does, and a node does about it.

The secrets of a node stand in its secret file, one a line, the one in use first. To change it: every node is
given the new one behind the old (`key install`), then every node uses it (`key use`), then every node forgets
the old one (`key remove`). A node looks at its file every few seconds.

Rules of this file:
1. A secret goes over no connection. They are not encrypted, and under the old secret would be of no use: who
   has got hold of it is often the reason for a new one. Files are distributed by what distributed the first.
2. The file is all there is: a node that is started again has the same secrets as one that ran on.
3. A step that would part nodes from each other is refused while that can be seen.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .client.secretfile import FILE_BYTES_MAX, SecretFile, is_open, parse_secrets
from .client.shell.exit_code import ExitCode
from .exception import InvalidError, NotFoundError
from .gossip.config import SECRET_BYTES_MIN
from .gossip.keyring import Keyring, key_name
from .node.config import GATE_TIMEOUT_S, SECRETS_POLL_S

if TYPE_CHECKING:
    from .client.shell.arguments import Arguments
    from .client.shell.terminal import Terminal
    from .node.trioworld import TrioWorld

log = logging.getLogger(__name__)

HEAD: Final = ("KEY", "IN THE FILE", "NODES THAT HAVE IT", "NODES THAT USE IT")


# -- the node ------------------------------------------------------------------------------------


async def keep_secrets(world: TrioWorld, keyring: Keyring, file: SecretFile) -> None:
    """Have a node go by what its secret file says, for ever."""
    import trio

    while True:
        await trio.sleep(SECRETS_POLL_S)
        if await trio.to_thread.run_sync(file.changed):
            try:
                secrets = await trio.to_thread.run_sync(file.read)
            except InvalidError as error:
                log.warning("the secrets stay as they are: %s", error)
                continue
            warn_if_open(file.path)
            world.post(lambda secrets=secrets: _hold(world, keyring, secrets))  # type: ignore[misc]


def _hold(world: TrioWorld, keyring: Keyring, secrets: Sequence[bytes]) -> None:
    keyring.hold(secrets)
    world.set_secrets(secrets[0], tuple(secrets[1:]))
    names = [name.hex() for name in keyring.names]
    log.info("the key in use is %s; good as well: %s", names[0], ", ".join(names[1:]) or "none")


def warn_if_open(path: str | Path) -> None:
    """Tell whoever reads the log if others can read the secrets."""
    if is_open(path):
        log.warning("others on this host can read the secret in %s", path)


# -- the command ---------------------------------------------------------------------------------


class Keys(NamedTuple):
    """What one node has: names of keys, the one in use first; or why that is not known."""

    where: str
    names: tuple[str, ...]
    error: str = ""


def install(args: Arguments, terminal: Terminal) -> ExitCode:
    """`key install`: one secret more, which is not used yet."""
    file = _file(args)
    before = file.read() if file.path.exists() else ()
    for secret in _given(args.file, terminal):
        if secret not in before:
            before = (*before, secret)
        terminal.write(key_name(secret))
    parse_secrets(b"\n".join(before), SECRET_BYTES_MIN)
    file.write(before)
    return ExitCode.OK


def use(args: Arguments, terminal: Terminal) -> ExitCode:
    """`key use`: another secret of the file is the one in use."""
    file = _file(args)
    secret = _named(file, args.name)
    name = key_name(secret)
    if not _may(args, terminal, file, lambda keys: "" if name in keys.names else f"does not have {name} yet"):
        return ExitCode.NO
    file.write((secret, *(one for one in file.read() if one != secret)))
    return ExitCode.OK


def remove(args: Arguments, terminal: Terminal) -> ExitCode:
    """`key remove`: a secret that is not used goes."""
    file = _file(args)
    secret = _named(file, args.name)
    name, first = key_name(secret), file.read()[0]
    if secret == first:
        raise InvalidError(f"{name} is the one in use: `key use` another first")

    def objection(keys: Keys) -> str:
        if keys.names[0] == name:
            return f"uses {name} still"
        return "" if key_name(first) in keys.names else f"does not have {key_name(first)}"

    if not _may(args, terminal, file, objection):
        return ExitCode.NO
    file.write([one for one in file.read() if one != secret])
    return ExitCode.OK


def show(args: Arguments, terminal: Terminal) -> ExitCode:
    """`key list`: names of keys, in the file and on the nodes. OK if all nodes have what the file has."""
    file = _file(args)
    mine = [key_name(secret) for secret in file.read()]
    nodes = _nodes(args, file)
    for node in nodes:
        if node.error:
            terminal.complain(f"{node.where}: {node.error}")
    names = dict.fromkeys([*mine, *(name for node in nodes for name in node.names)])
    of = f" of {len(nodes)}" if nodes else ""
    rows: list[tuple[str, ...]] = [
        (
            name,
            "in use" if name == mine[0] else "good as well" if name in mine else "-",
            f"{sum(name in node.names for node in nodes)}{of}" if nodes else "-",
            f"{sum(node.names[:1] == (name,) for node in nodes)}{of}" if nodes else "-",
        )
        for name in names
    ]
    terminal.write_table(HEAD, rows, right=frozenset())
    return ExitCode.OK if all(list(node.names) == mine for node in nodes) else ExitCode.NO


COMMANDS: Mapping[str, Callable[[Arguments, Terminal], ExitCode]] = {
    "list": show,
    "install": install,
    "use": use,
    "remove": remove,
}
"""By the word behind `ringdict key`."""


def _file(args: Arguments) -> SecretFile:
    path = args.secret_file or os.environ.get("RINGDICT_SECRET_FILE")
    if not path:
        raise InvalidError("say which file of secrets: --secret-file FILE, or RINGDICT_SECRET_FILE")
    return SecretFile(path)


def _given(path: str, terminal: Terminal) -> tuple[bytes, ...]:
    """The new secret: what a file holds, or standard input."""
    if path == "-":
        return parse_secrets(terminal.read_bytes()[: FILE_BYTES_MAX + 1], SECRET_BYTES_MIN)
    return SecretFile(path, SECRET_BYTES_MIN).read()


def _named(file: SecretFile, name: str) -> bytes:
    """The secret of the file whose key's name begins so."""
    found = [secret for secret in file.read() if key_name(secret).startswith(name.lower())]
    if len(found) != 1:
        raise NotFoundError(f"{len(found) or 'no'} keys in {file.path} have a name that begins with {name}")
    return found[0]


def _may(args: Arguments, terminal: Terminal, file: SecretFile, objection: Callable[[Keys], str]) -> bool:
    """Whether no member of the cluster would be parted from the others by a step."""
    if args.force:
        return True
    nodes = _nodes(args, file)
    if not nodes:
        raise InvalidError("say which cluster (--cluster, RINGDICT_URL) to ask all nodes first, or --force")
    found = [(node.where, node.error or objection(node)) for node in nodes]
    for where, why in found:
        if why:
            terminal.complain(f"{where} {why}")
    return not any(why for _, why in found)


def _nodes(args: Arguments, file: SecretFile) -> list[Keys]:
    """What every member of the ring has; nothing if no cluster is said."""
    from .client.client import Client
    from .client.seeds import is_of_nodes, parse_seeds
    from .client.shell.operator import Operator

    url = args.cluster or os.environ.get("RINGDICT_URL") or ""
    if not is_of_nodes(url):
        return []
    operator = Operator(Client(parse_seeds(url), file.current, GATE_TIMEOUT_S))
    ring = operator.ring()
    addresses = [ring.addresses[member.member_id] for member in ring.decree.members]
    return [
        _keys(where, answer.status, answer.error)
        for where, answer in zip(addresses, operator.statuses(addresses), strict=True)
    ]


def _keys(where: str, status: Mapping[str, object] | None, error: str) -> Keys:
    gossip = (status or {}).get("gossip")
    names = gossip.get("keys") if isinstance(gossip, dict) else None
    if not isinstance(names, list) or not names:
        return Keys(where, (), error or "has no secret")
    return Keys(where, tuple(map(str, names)))
