"""A client of a whole cluster: the plans of the real one, carried out in the made-up world.

It puts, gets, touches and writes batches, one thing at a time, and notes what it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..client.batching import put_many
from ..client.driver import Driver
from ..client.instruction import Ask, Miss, Outcome
from ..client.naming import resolve
from ..client.reading import get
from ..client.session import Session
from ..client.writing import put, touch
from ..exception import OutcomeUnknownError
from ..node.network.message import Absent, Ack, Get, Present, Put, Reply, Written
from ..node.network.wire import decode, encode
from ..node.store.catalogue import Record
from ..node.world import NS_PER_MS, NS_PER_S, Address, World
from ..ring.partition import dict_seed, key_hash
from .history import History, Operation

THINK_NS_MAX = 120 * NS_PER_MS
"""Between an answer and the next call."""
TTL_MS = 600_000
"""Of what is touched: nothing expires in a run."""
ASTRAY_RATIO = 0.1
"""Of reads are asked of some node at random, too."""
ASTRAY_NUMBER = (1 << 32) - 1
"""Of such a question: nobody waits for its answer."""


class Bell:
    """Rung when clients are to stop."""

    rung = False


class ClusterClient:
    """Does one thing after the other, for ever."""

    majority_ratio = 0.10
    """Of operations are puts that a majority must acknowledge."""

    def __init__(
        self, world: World, nodes: Sequence[Address], history: History, keys: Sequence[str], bell: Bell
    ) -> None:
        self.world = world
        self.nodes = nodes
        self.history = history
        self.keys = keys
        self.bell = bell
        self.dice = world.dice("client")
        self.number = 0
        self.attempts = 0
        self.dict_id = b""
        self.session = Session(nodes, self._now_s, self._wall_ms, world.dice("session"))
        self.driver = Driver(self._now_s, self._send, self._call_after)
        self._make_dict()

    def _now_s(self) -> float:
        return self.world.now_ns() / NS_PER_S

    def _wall_ms(self) -> int:
        return self.world.wall_ns() // NS_PER_MS

    def _call_after(self, seconds: float, call: Callable[[], None]) -> None:
        self.world.call_after(int(seconds * NS_PER_S), call)

    def _send(self, ask: Ask) -> Miss | None:
        self.attempts += isinstance(ask.request, Put)
        if isinstance(ask.request, Get):
            self._ask_astray(ask.request)
        self.world.send(Address(ask.contact.address), encode(ask.request))
        return None

    def _ask_astray(self, request: Get) -> None:
        """Put some questions to any node as well: who keeps the key answers, and nobody else."""
        if self.dice.random() < ASTRAY_RATIO:
            node = self.dice.choice(self.nodes)
            self.world.send(node, encode(replace(request, number=ASTRAY_NUMBER)))

    def on_frame(self, source: Address, frame: bytes) -> None:
        reply = decode(frame)
        if isinstance(reply, Reply):
            self.driver.hear(source, reply)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        """Nobody sends any."""

    # -- what it does ---------------------------------------------------------------------------------

    def _make_dict(self) -> None:
        record = Record("main", "d", 1, "sim", 0).encode()

        def ended(outcome: Outcome) -> None:
            known = outcome.result
            if outcome.error is not None or not isinstance(known, tuple) or not known[0]:
                self.world.call_after(THINK_NS_MAX, self._make_dict)
                return
            self.dict_id = known[0]
            self._think()

        self.driver.start(resolve(self.session, "main", "d", record), ended)

    def _think(self) -> None:
        if not self.bell.rung:
            self.world.call_after(self.dice.randrange(THINK_NS_MAX), self._act)

    def _act(self) -> None:
        self.number += 1
        self.attempts = 0
        key = self.dice.choice(self.keys)
        roll = self.dice.random()
        mine = f"{self.world.identity.address}.{self.number}"
        if roll < 0.45:
            self._get(key)
        elif roll < 0.88:
            self._put(key, mine, Ack.MAJORITY if roll < 0.45 + self.majority_ratio else Ack.ALL)
        elif roll < 0.93:
            self._touch(key)
        else:
            self._put_many(mine)

    def _get(self, key: str) -> None:
        operation = self.history.invoke(self.world.identity.address, "get", key)
        plan = get(self.session, self.dict_id, *self._located(key))

        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            reply = outcome.result
            if isinstance(reply, (Present, Absent)):
                body = reply.body.decode() if isinstance(reply, Present) else None
                self.history.ok(operation, (tuple(reply.stamp), body))
            else:
                self.history.fail(operation, str(outcome.error))
            self._think()

        self.driver.start(plan, ended)

    def _put(self, key: str, value: str, ack: Ack) -> None:
        operation = self.history.invoke(self.world.identity.address, "put", key, value)
        plan = put(self.session, self.dict_id, *self._located(key), value.encode(), ack=ack)

        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            reply = outcome.result
            if isinstance(reply, Written):
                self.history.ok(operation, (tuple(reply.stamp), reply.copies, reply.wanted))
            else:
                self._not_done(operation, outcome)
            self._think()

        self.driver.start(plan, ended)

    def _touch(self, key: str) -> None:
        operation = self.history.invoke(self.world.identity.address, "touch", key)
        plan = touch(self.session, self.dict_id, *self._located(key), TTL_MS)

        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            if outcome.error is None:
                self.history.ok(operation, outcome.result)
            else:
                self._not_done(operation, outcome)
            self._think()

        self.driver.start(plan, ended)

    def _put_many(self, value: str) -> None:
        operation = self.history.invoke(self.world.identity.address, "put many", None, value)
        items = [(*self._located(key), value.encode()) for key in self.keys]

        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            if outcome.error is None:
                self.history.ok(operation)
            else:
                self.history.give_up(operation, str(outcome.error))
            self._think()

        self.driver.start(put_many(self.session, self.dict_id, items), ended)

    def _not_done(self, operation: Operation, outcome: Outcome) -> None:
        if isinstance(outcome.error, OutcomeUnknownError):
            self.history.give_up(operation, str(outcome.error))
        else:
            self.history.fail(operation, str(outcome.error))

    def _located(self, key: str) -> tuple[bytes, int]:
        encoded = b"\x03" + key.encode()
        return encoded, key_hash(dict_seed(self.dict_id), encoded)
