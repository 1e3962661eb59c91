"""Which Dicts there are: names, lives, ids, options.

A Dict's id follows from its name and its life, the number of times a Dict of that name was deleted. So
whoever knows both knows the id without asking, and a Dict made again never meets entries of the one
before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import lmdb

from ..clock import Clock
from ..config import HEARTBEAT_TIMEOUT_S
from . import layout
from .transaction import DictGoneError, DictState, WriteTransaction

EPHEMERAL = "~"
"""The environment of a cluster's ephemeral Dicts: no user can name it."""

ID_FIRST = layout.DICT_ID_FIRST


class TakenError(Exception):
    """A Dict of that name exists."""


class Record(NamedTuple):
    """What is fixed when a Dict is made. `name` is None for an ephemeral one; `ttl_ms` 0 is never."""

    environment: str
    name: str | None
    created_ms: int
    created_by: str
    ttl_ms: int

    def encode(self) -> bytes:
        import ormsgpack  # 8 ms, which `import ringdict` need not wait for

        return ormsgpack.packb(list(self))

    @classmethod
    def decode(cls, raw: bytes) -> Record:
        import ormsgpack

        return cls(*ormsgpack.unpackb(raw))


class Life(NamedTuple):
    """What a name stands for: how often its Dict was deleted, and whether there is one now."""

    life: int
    exists: bool

    def encode(self) -> bytes:
        return self.life.to_bytes(8, "big") + bytes([self.exists])

    @classmethod
    def decode(cls, raw: bytes) -> Life:
        return cls(int.from_bytes(raw[:8], "big"), bool(raw[8]))


UNBORN = Life(0, False)


def dict_id(environment: str, name: str, life: int) -> bytes:
    """The 8 bytes that stand for the Dict of that name in its given life."""
    from hashlib import blake2b  # loads OpenSSL, which `import ringdict` need not

    seed = f"{environment}/{name}\0".encode() + life.to_bytes(8, "big")
    while True:
        digest = blake2b(seed).digest()
        if int.from_bytes(digest[: layout.DICT_ID_BYTES], "big") >= ID_FIRST:
            return digest[: layout.DICT_ID_BYTES]
        seed = digest


# -- reading -------------------------------------------------------------------------------------


def resolve(transaction: lmdb.Transaction[bytes], environment: str, name: str) -> bytes | None:
    """The id of the Dict of that name, if there is one."""
    raw = transaction.get(layout.name_key(environment, name))
    life = UNBORN if raw is None else Life.decode(raw)
    return dict_id(environment, name, life.life) if life.exists else None


def record(transaction: lmdb.Transaction[bytes], id_: bytes) -> Record:
    """What is known of a Dict; `DictGoneError` if it does not exist."""
    raw = transaction.get(layout.DICT + id_)
    if raw is None:
        raise DictGoneError
    return Record.decode(raw)


def records(transaction: lmdb.Transaction[bytes]) -> Iterator[tuple[bytes, Record]]:
    """Every Dict of the store, ephemeral ones included."""
    cursor = transaction.cursor()
    if not cursor.set_range(layout.DICT):
        return
    for key, raw in cursor.iternext():
        if not key.startswith(layout.DICT):
            return
        yield key[len(layout.DICT) :], Record.decode(raw)


# -- writing (jobs) ------------------------------------------------------------------------------


def create(transaction: WriteTransaction, new: Record, *, allow_existing: bool) -> bytes:
    """Make the Dict of a name; its id.

    Raises:
        TakenError: there is one, and `allow_existing` is off.
    """
    assert new.name is not None
    key = layout.name_key(new.environment, new.name)
    raw = transaction.get(key)
    life = UNBORN if raw is None else Life.decode(raw)
    id_ = dict_id(new.environment, new.name, life.life)
    if life.exists:
        if not allow_existing:
            raise TakenError
        return id_
    transaction.put(key, life._replace(exists=True).encode())
    _begin(transaction, id_, new)
    return id_


def create_ephemeral(transaction: WriteTransaction, new: Record, id_: bytes) -> None:
    """Make an anonymous Dict under a random id. It lives as long as `beat` is called."""
    _begin(transaction, id_, new)
    beat(transaction, id_)


def delete(transaction: WriteTransaction, id_: bytes) -> None:
    """End a Dict: at once for everybody, whatever its size.

    Raises:
        DictGoneError: it does not exist.
    """
    old = record(transaction.raw, id_)
    if old.name is not None:
        key = layout.name_key(old.environment, old.name)
        life = Life.decode(transaction.get(key) or UNBORN.encode())
        transaction.put(key, Life(life.life + 1, exists=False).encode())
    transaction.delete(layout.DICT + id_)
    transaction.delete(layout.HEARTBEAT + id_)
    transaction.drop_state(id_)
    transaction.put(layout.SWEEP + id_, b"")
    transaction.sweepable = True


def delete_name(transaction: WriteTransaction, environment: str, name: str) -> None:
    """End the Dict of a name. Raises as `delete`."""
    id_ = resolve(transaction.raw, environment, name)
    if id_ is None:
        raise DictGoneError
    delete(transaction, id_)


def _begin(transaction: WriteTransaction, id_: bytes, new: Record) -> None:
    transaction.put(layout.DICT + id_, new.encode())
    transaction.add_state(id_, DictState(0, 0, 0, 0, 0))


# -- ephemeral Dicts -----------------------------------------------------------------------------


def beat(transaction: WriteTransaction, id_: bytes) -> None:
    """Say that the owner of an ephemeral Dict is alive.

    Raises:
        DictGoneError: it was taken for dead.
    """
    transaction.state(id_)
    transaction.put(layout.HEARTBEAT + id_, _now(transaction.host))


def abandoned(transaction: lmdb.Transaction[bytes], host: Clock) -> list[bytes]:
    """Ephemeral Dicts whose owner has not been heard of for too long, or died with an earlier boot."""
    found: list[bytes] = []
    cursor = transaction.cursor()
    if not cursor.set_range(layout.HEARTBEAT):
        return found
    for key, raw in cursor.iternext():
        if not key.startswith(layout.HEARTBEAT):
            break
        silence_ms = host.monotonic_ms() - int.from_bytes(raw[16:], "big")
        if raw[:16] != host.boot_id() or not 0 <= silence_ms <= HEARTBEAT_TIMEOUT_S * 1000:
            found.append(key[len(layout.HEARTBEAT) :])
    return found


def reap(transaction: WriteTransaction) -> bool:
    """Delete one abandoned ephemeral Dict; whether there was one."""
    for id_ in abandoned(transaction.raw, transaction.host)[:1]:
        delete(transaction, id_)
        return True
    return False


def _now(host: Clock) -> bytes:
    return host.boot_id() + host.monotonic_ms().to_bytes(8, "big")
