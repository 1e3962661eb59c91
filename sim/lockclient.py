"""A client of the scenario of atomic operations: it takes and releases, counts, reads, puts, clears, and
resolves what it does not know by `cancel`.

Keys that begin with "lock" hold words, all of them different; with "count", numbers; with "plain", what plain
puts left, which only pops take away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from msgspec.structs import replace

from ..node.leaders.ballot import Ballot
from ..node.network.leadermessage import Act, Acted, Clear, Cleared, Greet, Greeted, NotLed, Verb
from ..node.network.message import Refused, Reply, Unknown
from ..node.network.wire import decode, encode
from ..node.store.number import decode_number, encode_number
from ..node.world import NS_PER_MS, Address, NodeId, Timer, World
from ..ring.decree import Decree
from ..ring.partition import dict_seed, partition_of
from .history import History, Operation
from .lockjudge import NEVER
from .locknode import pack, unpack

DICT_ID = b"dict-no1"
PARTITIONS = 4
TIMEOUT_NS = 900 * NS_PER_MS
TRY_NS = 200 * NS_PER_MS
THINK_NS_MAX = 80 * NS_PER_MS
RESOLVE_NS = 1_500 * NS_PER_MS
REST_NS_MAX = 300 * NS_PER_MS
NO_ID = bytes(16)

KINDS = {
    "put": Verb.PUT_IF_ABSENT, "pop": Verb.POP, "read": Verb.GET, "replace": Verb.REPLACE,
    "incr": Verb.INCREMENT, "release": Verb.RELEASE,
}  # fmt: skip


class LockClient:
    """Asks one thing at a time."""

    think_ns: ClassVar[int] = THINK_NS_MAX
    try_ns: ClassVar[int] = TRY_NS
    """After this what has no answer is sent again."""
    wins: ClassVar[frozenset[str]] = frozenset({"put", "replace"})
    """Kinds of operations that leave a word of the client's own."""

    def __init__(
        self,
        world: World,
        nodes: Sequence[Address],
        history: History,
        keys: Sequence[str],
        decrees: Sequence[Decree],
    ) -> None:
        self.world = world
        self.nodes = nodes
        self.history = history
        self.keys = keys
        self.decrees = decrees
        self.dice = world.dice("client")
        self.session = self.dice.randbytes(10)
        self.turn = self.dice.randrange(len(nodes))
        self.serial = 0
        self.number = 0
        self.ballots: dict[int, Ballot] = {}
        self.tickets: dict[tuple[bytes, int], int] = {}
        self.operation: Operation | None = None
        self.act: Act | None = None
        self.sent = False
        self.cancelling: Act | None = None
        self.clearing = False
        self.versions: dict[str, tuple[str, int]] = {}
        self.give_up_ns = 0
        self.timer: Timer | None = None
        self._think(0)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.on_frame(source, datagram)

    # -- what to do next -----------------------------------------------------------------------------

    def _later(self, delay_ns: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.world.call_after(delay_ns, self._turn)

    def _think(self, least_ns: int) -> None:
        self.operation = self.act = self.cancelling = None
        self._later(least_ns + self.dice.randrange(self.think_ns))

    def _turn(self) -> None:
        if self.operation is None:
            self._begin()
        elif self.world.now_ns() >= self.give_up_ns:
            self._out_of_time()
        else:
            self._try()

    def _begin(self) -> None:
        key = self.dice.choice(self.keys)
        kind, argument, act = self._draw(key)
        self.operation = self.history.invoke(self.world.identity.address, kind, key, argument)
        self.act = act
        self.sent = False
        self.give_up_ns = self.world.now_ns() + self.patience_ns()
        self._try()

    def patience_ns(self) -> int:
        """How long an answer is waited for."""
        return TIMEOUT_NS

    def _draw(self, key: str) -> tuple[str, object, Act]:  # noqa: PLR0911 - one a kind
        roll = self.dice.random()
        word = f"{self.world.identity.address}.{self.serial}"
        held = self.versions.get(key)
        if key.startswith("plain"):
            if roll < 0.6:
                return "plain-put", word, self._new(key, Verb.GET, word.encode())
            return "plain-pop", None, self._new(key, Verb.POP)
        if roll < 0.02:
            return "clear", None, self._new(key, Verb.CLEAR)
        if roll < 0.2:
            return "read", None, self._new(key, Verb.GET)
        if key.startswith("count"):
            if roll < 0.9:
                one = encode_number(1)
                return "incr", 1, replace(self._new(key, Verb.INCREMENT, one), initial=encode_number(0))
            return "pop", None, self._new(key, Verb.POP)
        if roll < 0.6:
            return "put", word, self._new(key, Verb.PUT_IF_ABSENT, word.encode())
        if held is not None and roll < 0.75:
            act = self._new(key, Verb.REPLACE, word.encode())
            return "replace", (held[0], word), replace(act, version=held[1])
        if held is not None and roll < 0.9:
            return "release", held[0], replace(self._new(key, Verb.RELEASE), version=held[1])
        return "pop", None, self._new(key, Verb.POP)

    def _new(self, key: str, verb: Verb, body: bytes = b"") -> Act:
        self.serial += 1
        operation_id = self.session + self.serial.to_bytes(6, "big")
        nobody = Ballot(0, 0, b"", 0)
        return Act(0, nobody, 0, operation_id, self.serial, DICT_ID, key.encode(), verb, body)

    # -- one attempt ---------------------------------------------------------------------------------

    def _partition(self, act: Act) -> int:
        return partition_of(dict_seed(DICT_ID), act.key, PARTITIONS)

    def _current(self) -> Act:
        act = self.cancelling or self.act
        assert act is not None
        return act

    def _try(self) -> None:
        """Send what is asked for, to its leader or to somebody who may pass it on; find out who leads."""
        self._later(max(0, min(self.try_ns, self.give_up_ns - self.world.now_ns())))
        assert self.operation is not None
        act = self._current()
        if self.operation.kind == "plain-put":
            node = self.dice.choice(self.nodes)
            self.world.send(node, pack("put", self.serial, DICT_ID, act.key, act.body))
            self._later(TIMEOUT_NS)  # a put that is tried twice is two puts
            self.sent = True
            return
        if act.verb == Verb.CLEAR:
            self._try_clear(act)
            return
        if act.number == 0 and not self._bind(act):
            self._greet(self._partition(act))
            return
        act = self._current()
        self.sent = self.sent or self.cancelling is None
        self._send(NodeId(act.ballot.node), encode(act))

    def _bind(self, act: Act) -> bool:
        """Bind an attempt to the ballot of who leads, if that is known."""
        ballot = self.ballots.get(self._partition(act))
        if ballot is None or (ballot.node, ballot.boot) not in self.tickets:
            return False
        self.number += 1
        ticket = self.tickets[ballot.node, ballot.boot]
        bound = replace(act, number=self.number, ballot=ballot, ticket=ticket)
        if self.cancelling is None:
            self.act = bound
        else:
            self.cancelling = bound
        return True

    def _greet(self, partition: int) -> None:
        ballot = self.ballots.get(partition)
        self.number += 1
        if ballot is None or self.dice.random() < 0.3:
            self.turn = (self.turn + 1) % len(self.nodes)  # one after the other: some may be dead for good
            node = self.nodes[self.turn]
            self.world.send(node, encode(Greet(self.number, self.session, b"")))
        else:
            self._send(NodeId(ballot.node), encode(Greet(self.number, self.session, ballot.node)))

    def _send(self, node: NodeId, frame: bytes) -> None:
        """To a node itself, or, now and then, by way of another."""
        address = self._address_of(node)
        if address is None or self.dice.random() < 0.25:
            address = self.dice.choice(self.nodes)
        self.world.send(address, frame)

    def _address_of(self, node: NodeId) -> Address | None:
        for decree in reversed(self.decrees):
            number = decree.number_of(node)
            if number is not None:
                return Address(decree.members[number].address)
        return None

    def _try_clear(self, act: Act) -> None:
        """Clear what one leader has, once: of the whole Dict, this scenario looks at each key by itself."""
        ballot = self.ballots.get(self._partition(act))
        if ballot is None or (ballot.node, ballot.boot) not in self.tickets:
            self._greet(self._partition(act))
            return
        if act.number == 0:
            self.number += 1
            act = self.act = replace(act, number=self.number, ballot=ballot)
        elif ballot != act.ballot:
            return  # it was sent under another
        self.sent = True
        mine = [(self._partition(act), ballot)]
        ticket = self.tickets[ballot.node, ballot.boot]
        clear = Clear(act.number, mine, ticket, act.operation_id, act.low, DICT_ID)
        address = self._address_of(NodeId(ballot.node))
        if address is not None:
            self.world.send(address, encode(clear))

    # -- answers -------------------------------------------------------------------------------------

    def on_frame(self, _source: Address, frame: bytes) -> None:
        parts = unpack(frame)
        if parts is not None:
            operation = self.operation
            if operation is not None and parts == ["put", self.serial] and operation.kind == "plain-put":
                self.history.ok(operation, True)
                self._think(0)
            return
        reply = decode(frame)
        assert isinstance(reply, Reply)
        if isinstance(reply, Greeted):
            self._on_greeted(reply)
        elif self.operation is not None and self.act is not None:
            self._on_reply(reply)

    def _on_greeted(self, reply: Greeted) -> None:
        self.tickets[reply.node, reply.boot] = reply.ticket
        for partition, ballot in reply.ballots:
            if ballot > self.ballots.get(partition, Ballot(0, 0, b"", 0)):
                self.ballots[partition] = ballot
        if self.operation is None or self.operation.kind == "plain-put" or self._current().number:
            return  # a plain put asks nobody who leads, and must not be sent again
        partition = self._partition(self._current())
        if reply.number == self.number and partition in self.ballots:
            self.number += 1  # so that a double of this answer is no answer
            self._later(0)

    def matches(self, act: Act, reply: NotLed) -> bool:
        """Whether an attempt is the one that was not carried out."""
        return reply.ballot == act.ballot and reply.operation_id == act.operation_id

    def _on_reply(self, reply: Reply) -> None:
        act = self._current()
        if isinstance(reply, NotLed) and self.matches(act, reply):
            self._rebind(act)
        elif reply.number != act.number or isinstance(reply, Refused | NotLed):
            return  # of another attempt; or to be asked again
        elif isinstance(reply, Acted):
            self._on_acted(reply)
        elif isinstance(reply, Cleared) and self.operation is not None:
            if reply.done:
                self.history.ok(self.operation, True)
            else:
                self.history.give_up(self.operation, "not known")
            self._think(0)
        elif isinstance(reply, Unknown):
            self._out_of_time()

    def _rebind(self, act: Act) -> None:
        """It was not carried out, and never will be: ask the next leader."""
        self.ballots.pop(self._partition(act), None)
        bound = replace(act, number=0)
        if self.cancelling is None:
            self.act = bound
            self.sent = False
        else:
            self.cancelling = bound
        self._later(self.dice.randrange(self.think_ns))

    def _on_acted(self, reply: Acted) -> None:
        operation, act = self.operation, self.act
        assert operation is not None
        assert act is not None
        if self.cancelling is not None:
            self._on_cancelled(reply)
            return
        word = (reply.body or b"").decode(errors="replace")
        match operation.kind:
            case "read" | "pop" | "plain-pop":
                result: object = word if reply.body is not None else None
                if operation.key.startswith("count") and reply.body is not None:
                    result = decode_number(reply.body)
                if operation.kind == "read" and isinstance(result, str):
                    self.versions[operation.key] = (result, reply.version)
            case "incr":
                result = decode_number(reply.body or b"")
            case _:
                result = reply.happened
                if reply.happened and operation.kind in self.wins:
                    self.versions[operation.key] = (act.body.decode(), reply.version)
                    self.world.trace("won", operation=act.operation_id, token=reply.version)
        self.history.ok(operation, result)
        self._think(0)

    # -- what is not known ---------------------------------------------------------------------------

    def _out_of_time(self) -> None:
        operation, act = self.operation, self.act
        assert operation is not None
        assert act is not None
        kind = operation.kind
        if not self.sent:
            self.ballots.pop(self._partition(act), None)  # whose it is may be gone for good
            self.history.fail(operation, "nobody was asked")
            self._think(THINK_NS_MAX)
        elif self.cancelling is not None or kind not in self.wins | {"incr"}:
            self.history.give_up(operation, "no answer")
            self._think(2 * THINK_NS_MAX)
        else:
            self.ballots.pop(self._partition(act), None)
            asked = self._new(act.key.decode(), Verb.CANCEL, act.operation_id)
            low = int.from_bytes(act.operation_id[10:], "big")
            self.cancelling = replace(asked, low=low, version=act.verb)
            self.give_up_ns = self.world.now_ns() + RESOLVE_NS
            self._later(0)

    def _on_cancelled(self, reply: Acted) -> None:
        operation, act = self.operation, self.act
        assert operation is not None
        assert act is not None
        if reply.happened:
            counted = operation.kind == "incr"
            if counted and reply.body is None:
                self.history.give_up(operation, "it was carried out")
            else:
                self.history.ok(operation, decode_number(reply.body or b"") if counted else True)
        else:
            self.world.trace("dead", operation=act.operation_id)
            self.history.give_up(operation, NEVER)
        self._think(0)


class HastyClient(LockClient):
    """One that often gives up before an answer can be there, so that what it asked for is still under way
    when it is cancelled."""

    think_ns = 20 * NS_PER_MS
    try_ns = 40 * NS_PER_MS

    def _begin(self) -> None:
        if self.dice.random() < self.curiosity:
            self.ballots.clear()  # as a client does that has just begun
        super()._begin()

    @cached_property
    def curiosity(self) -> float:
        """The chance that it asks anew who leads what: some cling to a leader, some hear of each new one."""
        return self.dice.choice((0.0, 0.02, 0.3))

    def _try(self) -> None:
        super()._try()
        act = self.act
        if act is not None and act.number and self.dice.random() < 0.5:
            # Another task of the same process asks who leads what, while this one waits for its answer.
            self.world.send(self.dice.choice(self.nodes), encode(Greet(0, self.session, b"")))

    def _on_cancelled(self, reply: Acted) -> None:
        super()._on_cancelled(reply)
        if self.dice.random() < 0.5:  # with nothing more to ask for a while
            self._later(self.dice.randrange(REST_NS_MAX))

    def patience_ns(self) -> int:
        return (1 + self.dice.randrange(39)) * NS_PER_MS if self.dice.random() < 0.12 else TIMEOUT_NS
