"""What a node keeps of epochs: the decree that it goes by, and its vote on the next one.

Rules of this file:
1. Whoever writes is called back once it is on disk, and tells nobody before.
2. A vote is of one epoch. It stands until the node votes on a later one, also after the decree of that epoch
   was taken up: until that is on disk the node may yet be asked for the vote.
3. What is damaged is not read: a node that does not know how it voted must never vote again under its id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ...exception import Error, StoreDamagedError, StoreFullError
from ...ring.codec import decode_decree
from ...ring.decree import Decree, DecreeError
from ..network.peermessage import EpochBallot
from ..world import Changes, Storage, World

NO_BALLOT: Final[EpochBallot] = (0, 0, bytes(16))
NO_DIGEST: Final = bytes(8)

_DECREE: Final = b"decree"
_VOTE: Final = b"vote"
_PROPOSAL: Final = b"proposal"
_INTENT: Final = b"intent"

Written = Callable[[bool], None]
"""Told whether it is on disk. If not, nothing of it is."""


class Vote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a node votes on one epoch."""

    epoch: int
    promised: EpochBallot = NO_BALLOT
    accepted: EpochBallot = NO_BALLOT
    digest: bytes = NO_DIGEST
    """Of what it accepted."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Vote).decode


class DecreeLog:
    """The storage of one node's epochs. What it reads includes what is written and not on disk yet.

    What reads raises StoreDamagedError, if nothing else is said, where bytes are not what was written.
    """

    def __init__(self, world: World, storage: Storage) -> None:
        self._world = world
        self._storage = storage

    def decree(self) -> Decree | None:
        """The decree that was taken up last; None: this node never was in a ring."""
        stored = self._storage.get(_DECREE)
        try:
            return None if stored is None else decode_decree(stored)
        except DecreeError as error:
            raise StoreDamagedError(f"the decree on disk is none: {error}") from error

    def vote(self, epoch: int) -> Vote:
        """How this node votes on an epoch."""
        stored = self._storage.get(_VOTE)
        try:
            vote = Vote(epoch) if stored is None else _decode(stored)
        except msgspec.DecodeError as error:
            raise StoreDamagedError(f"the vote on disk is none: {error}") from error
        return vote if vote.epoch == epoch else Vote(epoch)

    def proposal(self, epoch: int, digest: bytes) -> bytes:
        """The decree of that digest that it accepted for that epoch, encoded; empty: it did not, or accepted
        another since."""
        vote = self.vote(epoch)
        if vote.accepted == NO_BALLOT or vote.digest != digest:
            return b""
        stored = self._storage.get(_PROPOSAL)
        if stored is None:
            raise StoreDamagedError("a vote without what was voted for")
        return stored

    @property
    def intends_to_join(self) -> bool:
        """Whether this node wrote down that it is new. Halts if that cannot be read."""
        try:
            return self._storage.get(_INTENT) is not None
        except StoreDamagedError as error:
            self._world.halt(str(error))
            return False

    def write_vote(self, vote: Vote, proposal: bytes, written: Written) -> None:
        """Vote so; `proposal` is the decree that goes with it, empty: the one that is there, or none."""
        changes: Changes = {_VOTE: _encode(vote)}
        if proposal:
            changes[_PROPOSAL] = proposal
        self._commit(changes, written)

    def write_decree(self, decree: bytes, written: Written) -> None:
        """Go by this one from now on."""
        self._commit({_DECREE: decree, _INTENT: None}, written)

    def write_intent(self, written: Written) -> None:
        """Write down that this node is new, and about to join."""
        self._commit({_INTENT: b"join"}, written)

    def _commit(self, changes: Changes, written: Written) -> None:
        def done(error: Error | None) -> None:
            if error is None or isinstance(error, StoreFullError):
                written(error is None)
            else:
                self._world.halt(f"nobody knows how this node voted last: {error}")

        self._storage.commit(changes, done)
