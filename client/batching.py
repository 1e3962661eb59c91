"""Batches: many keys, split by owner, and sent to all of them side by side.

Rules of this file:
1. A row that was answered is done, whatever becomes of the others. What is left is split anew, by the ring
   that there is then and by the nodes that answer.
2. What fails says so for each of its keys, each as its own error: nothing happened, or nobody knows.
3. A node has at most BATCH_CHAINS_MAX messages of one batch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exception import OutcomeUnknownError, PartialFailureError, RequestTimeoutError, UnavailableError
from ..node.network.message import (
    Absent,
    Ack,
    Found,
    GetMany,
    Present,
    PutMany,
    Reason,
    Refused,
    Reply,
    Request,
    Unknown,
    Written,
)
from ..node.store.entry import DamagedEntryError
from ..node.store.transaction import DictGoneError
from .config import (
    BATCH_CHAINS_MAX,
    BATCH_KEYS_MAX,
    BATCH_PATIENCE_S,
    BATCH_PIECE_BYTES_MAX,
    OVERLOADED_PASSES_MAX,
    READ_PATIENCE_S,
)
from .contact import Contact
from .errand import ELSEWHERE, STALE, Trail, definite, in_order
from .instruction import Ask, Miss, Plan, together
from .reading import Reads, get
from .route import Route
from .session import Session
from .writing import writers

Item = tuple[bytes, int, bytes]
"""A key, its hash, and its value's bytes."""
Piece = list[int]
"""Numbers of the rows that go into one message."""


class Batch:
    """Rows, and what became of them."""

    writes = False

    def __init__(self, session: Session, dict_id: bytes, items: Sequence[Item]) -> None:
        self.session = session
        self.dict_id = dict_id
        self.items = items
        #: Rows that are neither done nor failed.
        self.left: set[int] = set(range(len(items)))
        self.failed: dict[int, Exception] = {}
        #: Rows that some node may have carried out.
        self.sent: set[int] = set()

    def candidates(self, route: Route, partition: int) -> Sequence[Contact]:
        raise NotImplementedError

    def request(self, number: int, epoch: int, piece: Piece) -> Request:
        raise NotImplementedError

    def take(self, piece: Piece, reply: Reply) -> bool:
        """Take an answer for these rows; False: it is none."""
        raise NotImplementedError

    def fail(self, piece: Sequence[int], error: Exception) -> None:
        for row in piece:
            self.failed[row] = error
        self.left.difference_update(piece)

    # -- splitting ---------------------------------------------------------------------------------

    def split(self, route: Route, skip: set[Contact]) -> dict[Contact, list[Piece]]:
        """What is left, by the node to ask first of those not in `skip`. Rows without one are left out."""
        items, mask = self.items, route.mask
        by_partition: dict[int, list[int]] = {}
        for row in sorted(self.left):
            by_partition.setdefault(items[row][1] & mask, []).append(row)
        by_contact: dict[Contact, list[int]] = {}
        for partition, rows in by_partition.items():
            for contact in self.candidates(route, partition):
                if contact not in skip:
                    by_contact.setdefault(contact, []).extend(rows)
                    break
        return {contact: self.pieces(rows) for contact, rows in by_contact.items()}

    def pieces(self, rows: list[int]) -> list[Piece]:
        """Rows in messages that are not too large."""
        items = self.items
        if sum([len(items[row][0]) + len(items[row][2]) for row in rows]) <= BATCH_PIECE_BYTES_MAX:
            return [rows[at : at + BATCH_KEYS_MAX] for at in range(0, len(rows), BATCH_KEYS_MAX)]
        pieces: list[Piece] = [[]]
        size_bytes = 0
        for row in rows:
            row_bytes = len(items[row][0]) + len(items[row][2])
            if pieces[-1] and (
                len(pieces[-1]) >= BATCH_KEYS_MAX or size_bytes + row_bytes > BATCH_PIECE_BYTES_MAX
            ):
                pieces.append([])
                size_bytes = 0
            pieces[-1].append(row)
            size_bytes += row_bytes
        return pieces


class Putting(Batch):
    """Store many values."""

    writes = True

    def __init__(
        self, session: Session, dict_id: bytes, items: Sequence[Item], ttl_ms: int, ack: Ack
    ) -> None:
        super().__init__(session, dict_id, items)
        self.ttl_ms = ttl_ms
        self.ack = ack
        self.floor = session.memory.floor
        self.operation_id = session.operation_id()

    def candidates(self, route: Route, partition: int) -> Sequence[Contact]:
        return writers(self.session, route, partition)

    def request(self, number: int, epoch: int, piece: Piece) -> Request:
        items = self.items
        rows = [(items[row][0], items[row][2]) for row in piece]
        return PutMany(
            number, epoch, self.dict_id, rows, self.ttl_ms, self.ack, self.floor, self.operation_id
        )

    def take(self, piece: Piece, reply: Reply) -> bool:
        if type(reply) is not Written:
            return False
        session, items = self.session, self.items
        expires_s = session.now_s() + self.ttl_ms / 1000 if self.ttl_ms > 0 else 0.0
        # The stamp is the highest of the piece: of each row it is known that its own is above the floor.
        session.memory.floor = max(session.memory.floor, reply.stamp[0])
        if len(piece) == 1:
            session.memory.see(items[piece[0]][1], reply.stamp, expires_s)
        else:
            session.memory.see_many([items[row][1] for row in piece], (self.floor + 1, 0, 0), expires_s)
        self.left.difference_update(piece)
        return True


class Getting(Batch):
    """Read many keys."""

    def __init__(self, session: Session, dict_id: bytes, items: Sequence[Item], reads: Reads) -> None:
        super().__init__(session, dict_id, items)
        self.reads = reads
        self.bodies: list[bytes | None] = [None] * len(items)
        #: Rows of which the answer was older than what the client has seen.
        self.older: list[int] = []

    def candidates(self, route: Route, partition: int) -> Sequence[Contact]:
        row = route.owners(partition) if self.reads is Reads.PRIMARY else route.nearest(partition)
        return in_order(row, self.session.now_s())

    def request(self, number: int, epoch: int, piece: Piece) -> Request:
        return GetMany(number, epoch, self.dict_id, [self.items[row][0] for row in piece])

    def take(self, piece: Piece, reply: Reply) -> bool:
        if type(reply) is not Found or len(reply.rows) > len(piece):
            return False
        session, memory = self.session, self.session.memory
        now_s = session.now_s()
        taken = piece[: len(reply.rows)]  # a node gives what one frame holds; the others are asked again
        for row, (stamp, body) in zip(taken, reply.rows, strict=True):
            key_hash = self.items[row][1]
            cleared = bool(memory.clears) and memory.is_cleared(self.dict_id, key_hash, stamp)
            older = (cleared and body is not None) or memory.is_older(key_hash, stamp, now_s)
            if self.reads is not Reads.ANY and older:
                self.older.append(row)
            else:
                memory.see_perhaps_expiring(key_hash, stamp)
                self.bodies[row] = body
        self.left.difference_update(taken)
        return bool(taken)


# -- the work ------------------------------------------------------------------------------------------


def scatter(batch: Batch) -> Plan[None]:
    """Ask until each row is done or has failed."""
    session = batch.session
    trail = Trail(session.now_s() + session.timeout_s)
    skip: set[Contact] = set()
    pause_s = 0.0
    while batch.left:
        route = session.route
        if route is None:
            try:
                route = yield from session.find_route(trail.deadline_s)
            except UnavailableError as error:
                batch.fail(list(batch.left), error)
                return
        shares = batch.split(route, skip)
        if shares:
            plans = [
                _chain(batch, contact, route, pieces[place::BATCH_CHAINS_MAX], trail)
                for contact, pieces in shares.items()
                for place in range(min(len(pieces), BATCH_CHAINS_MAX))
            ]
            outcomes = yield from together(plans)
            skip.update(outcome.result for outcome in outcomes if outcome.result is not None)
            continue
        _give_up(batch, trail)
        wait, pause_s = session.back_off(pause_s)
        if session.now_s() + wait.seconds >= trail.deadline_s:
            _run_out(batch, trail)
            return
        yield wait
        skip.clear()
        trail.begin_pass()
        if session.is_refresh_due():
            yield from session.refresh_anywhere(READ_PATIENCE_S)


def _chain(
    batch: Batch, contact: Contact, route: Route, pieces: list[Piece], trail: Trail
) -> Plan[Contact | None]:
    """Send pieces to a node, one after the other, until it fails. The node, if it did."""
    session = batch.session
    for piece in pieces:
        left_s = trail.deadline_s - session.now_s()
        if left_s <= 0:
            return contact
        patience_s = contact.begin(session.now_s(), min(left_s, BATCH_PATIENCE_S), others=True)
        request = batch.request(session.number(), route.epoch, piece)
        reply: Reply | Miss = yield Ask(contact, request, patience_s, careful=batch.writes)
        if type(reply) is Miss:
            contact.miss(session.now_s())
            trail.miss(contact, reply)
            if reply.was_sent:
                batch.sent.update(piece)
            return contact
        contact.hit()
        if type(reply) is Refused:
            if reply.reason in STALE:
                yield from session.refresh(contact)
                if session.route is not route:
                    return None  # all that is left is split by the newer ring
            elif reply.reason not in ELSEWHERE:
                doubtful = batch.writes and not batch.sent.isdisjoint(piece)
                unknown = OutcomeUnknownError(f"it may have been written before this: {reply.text}")
                batch.fail(piece, unknown if doubtful else definite(reply))
                continue
            trail.refusals[reply.reason] = f"{contact.address}: {reply.text}"
            return contact
        if type(reply) is Unknown:
            batch.fail(piece, OutcomeUnknownError(f"{contact.address}: {reply.text}"))
        elif not batch.take(piece, reply):
            return contact
    return None


def _give_up(batch: Batch, trail: Trail) -> None:
    """After a pass in vain: fail what more passes would not change."""
    left = batch.left - batch.sent
    if Reason.NO_DICT in trail.refusals:
        batch.fail(list(left), DictGoneError())
    elif trail.foreign and len(trail.foreign) == len(trail.misses) and not trail.refusals:
        batch.fail(list(left), trail.foreign[0])
    elif Reason.STORE_FULL in trail.refusals:
        batch.fail(list(left), trail.full())
    elif Reason.DAMAGED in trail.refusals:
        batch.fail(list(left), DamagedEntryError())
    elif Reason.OVERLOADED in trail.refusals:
        trail.overloaded += 1
        if trail.overloaded >= OVERLOADED_PASSES_MAX:
            batch.fail(list(left), UnavailableError(trail.words()))


def _run_out(batch: Batch, trail: Trail) -> None:
    """Time is over."""
    words = trail.words()
    unknown = batch.left & batch.sent if batch.writes else set()
    batch.fail(list(unknown), RequestTimeoutError(f"no answer in time, it may have been written: {words}"))
    batch.fail(list(batch.left), UnavailableError(f"no node could do it: {words}"))


def put_many(
    session: Session, dict_id: bytes, items: Sequence[Item], *, ttl_ms: int = 0, ack: Ack = Ack.ALL
) -> Plan[None]:
    """Store values, of keys that differ.

    Raises:
        PartialFailureError: some keys failed and others did not. Keys in it are encoded.
        Others: all failed, all alike.
    """
    batch = Putting(session, dict_id, items, ttl_ms, ack)
    yield from scatter(batch)
    if not batch.failed:
        return
    errors = list(batch.failed.values())
    gone = next((error for error in errors if isinstance(error, DictGoneError)), None)
    if gone is not None:
        raise gone
    if len(errors) == len(items) and len({type(error) for error in errors}) == 1:
        raise errors[0]
    done = [key for row, (key, _, _) in enumerate(items) if row not in batch.failed]
    failed = {items[row][0]: error for row, error in sorted(batch.failed.items())}
    raise PartialFailureError(
        f"{len(done)} of {len(items)} keys are done; of the others: {errors[0]}", failed, done
    )


def get_many(
    session: Session, dict_id: bytes, keys: Sequence[tuple[bytes, int]], reads: Reads = Reads.NEAREST
) -> Plan[list[bytes | None]]:
    """The values' bytes of keys, in their order, None for those that are absent.

    Raises as `reading.get`; DamagedEntryError names the key.
    """
    batch = Getting(session, dict_id, [(key, key_hash, b"") for key, key_hash in keys], reads)
    yield from scatter(batch)
    one_by_one = list(batch.older)
    for row, error in batch.failed.items():
        if not isinstance(error, DamagedEntryError):
            raise error
        one_by_one.append(row)
    for row in sorted(one_by_one):
        batch.bodies[row] = yield from _get_one(session, dict_id, keys[row], reads)
    return batch.bodies


def _get_one(session: Session, dict_id: bytes, key: tuple[bytes, int], reads: Reads) -> Plan[bytes | None]:
    try:
        found: Present | Absent = yield from get(session, dict_id, *key, reads)
    except DamagedEntryError:
        raise DamagedEntryError(key[0]) from None
    return found.body if isinstance(found, Present) else None
