"""Who a node is: an id drawn once for its storage, and a boot counter that no two starts share."""

from __future__ import annotations

import struct
from collections.abc import Callable

from ..exception import Error
from .world import Address, Dice, Identity, NodeId, Storage

STORAGE = "identity"
"""The storage that a world keeps for this; no process asks for it by that name."""

_KEY = b"identity"
_FORMAT = struct.Struct(">16sQ")


def node_in(storage: Storage) -> NodeId:
    """Whose storage it is, once an identity was taken."""
    stored = storage.get(_KEY)
    assert stored is not None
    return NodeId(_FORMAT.unpack(stored)[0])


def take_identity(
    storage: Storage, dice: Dice, address: Address, ready: Callable[[Identity | Error], None]
) -> None:
    """Count one more boot in `storage`, and draw a node id if it has none.

    `ready` gets the identity once it is on disk, or the error that kept it from there: then no process may be
    made, since a later one would share its number.

    Raises:
        StoreDamagedError: what is stored is no identity.
    """
    stored = storage.get(_KEY)
    node, boot = (dice.randbytes(16), 0) if stored is None else _FORMAT.unpack(stored)
    identity = Identity(NodeId(node), boot + 1, address)
    changes: dict[bytes, bytes | None] = {_KEY: _FORMAT.pack(node, boot + 1)}
    storage.commit(changes, lambda error: ready(error or identity))
