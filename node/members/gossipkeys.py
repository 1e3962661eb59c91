"""The cluster's secrets and gossip: who may do without, and how a secret is changed.

To change it without a pause: start, or tell, every node to open letters under the new secret too, then every
node to seal with it, then every node to forget the old one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ...exception import InvalidError, NotFoundError
from ...gossip.keyring import Keyring


def keyring_of(secrets: Sequence[bytes], label: str) -> Keyring | None:
    """A keyring that seals with the first of the cluster's secrets and opens with all; None: there is none.

    Raises:
        InvalidError: a secret is too short, or there are too many.
    """
    if not secrets:
        return None
    try:
        keyring = Keyring(secrets[0], label)
        for secret in secrets[1:]:
            keyring.install(secret)
    except ValueError as error:
        raise InvalidError(f"the cluster's secret: {error}") from error
    return keyring


def check_secure(address: str, keyring: Keyring | None, *, insecure: bool) -> None:
    """See to it that nobody can join, or lie about members, who knows no secret.

    Raises:
        InvalidError: there is no keyring, other hosts can reach the address, and nobody has said that this
            is wanted.
    """
    if keyring is None and not insecure and not is_loopback(address):
        raise InvalidError(
            f"{address} can be reached from other hosts, and there is no cluster secret: whoever can send a "
            "packet could join, or declare members dead. Give all nodes one secret of 16 bytes or more, or "
            "listen on 127.0.0.1, or say `insecure` if the network itself keeps strangers out"
        )


def is_loopback(address: str) -> bool:
    """Whether only this host reaches "host:port"; a name is not taken for one."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def install_secret(keyring: Keyring, secret: bytes) -> str:
    """Open letters under the key of this secret, too; the name of the key, which may be shown.

    Raises:
        InvalidError: it is too short, or there are too many.
    """
    try:
        return keyring.install(secret).hex()
    except ValueError as error:
        raise InvalidError(str(error)) from error


def use_key(keyring: Keyring, name: str) -> None:
    """Seal with a key from now on.

    Raises:
        NotFoundError: it is not on the ring.
    """
    try:
        keyring.use(_named(name))
    except KeyError as error:
        raise NotFoundError(f"there is no key {name} on the ring") from error


def remove_key(keyring: Keyring, name: str) -> None:
    """Open no letters under a key any more.

    Raises:
        NotFoundError: it is not on the ring.
        InvalidError: it is the one that seals.
    """
    try:
        keyring.remove(_named(name))
    except KeyError as error:
        raise NotFoundError(f"there is no key {name} on the ring") from error
    except ValueError as error:
        raise InvalidError(str(error)) from error


def _named(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError as error:
        raise NotFoundError(f"{name!r} is no name of a key") from error
