"""A client of a whole cluster that decides: the real client's plans for put-if-absent, setdefault, replace,
pop, incr, fresh get, clear and locks, beside plain puts and gets.

Keys that begin with "lock" hold words, all of them different; one that begins with "lock-m" is a lock. Those
with "count" hold numbers; with "plain", what plain puts left, which only pops take away.

Rules of this file:
1. What the plans say is noted as it is. What they must have meant by asking anew is said to those who look
   on: an operation of which another attempt is begun never happens any more ("dead").
2. Whoever is interrupted while he takes a lock abandons it, as the real lock object does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..client import atomic, locking
from ..client.instruction import Ask, Miss, Outcome, Plan
from ..client.reading import get
from ..client.writing import put
from ..exception import OutcomeUnknownError, UnavailableError
from ..node.network.leadermessage import Act, Acted, Verb
from ..node.network.message import Absent, Present, Written
from ..node.network.wire import decode
from ..node.store.grant import Abandon, Acquire, Extend, Release
from ..node.store.layout import LOCK_SPACE
from ..node.store.number import decode_number
from ..node.store.operation import (
    Clear,
    Increment,
    MismatchError,
    MissingKeyError,
    Pop,
    PutIfAbsent,
    Replace,
    SetDefault,
)
from ..node.world import NS_PER_MS, Address, World
from .clusterclient import Bell, ClusterClient
from .history import History, Operation
from .lockjudge import NEVER

VALUE_BYTES_MAX: Final = 64
"""Of a number."""
LOCK_TTL_MS: Final = 600_000
"""No lock's time is over in a run."""
INTERRUPT_NS_MAX: Final = 60 * NS_PER_MS
"""Within it one who takes a lock is interrupted: about as long as a leader in health needs, and longer."""
INTERRUPTED_RATIO: Final = 0.15
ONCE: Final = frozenset(
    {Verb.PUT_IF_ABSENT, Verb.SET_DEFAULT, Verb.REPLACE, Verb.INCREMENT, Verb.POP, Verb.POP_IF}
)
"""What must not happen twice for one call."""
WINS: Final = frozenset({Verb.PUT_IF_ABSENT, Verb.SET_DEFAULT})


class AtomicClient(ClusterClient):
    """Does one thing after the other, for ever."""

    def __init__(
        self, world: World, nodes: Sequence[Address], history: History, keys: Sequence[str], bell: Bell
    ) -> None:
        #: By their numbers, the requests of the present call; and the attempt that is under way.
        self.acts: dict[int, Act] = {}
        self.attempt: Act | None = None
        #: By key: the word that was seen there and its version; the token of what is held.
        self.versions: dict[str, tuple[str, int]] = {}
        self.held: dict[str, tuple[str, int]] = {}
        #: What readers must not show less than.
        self.floors: dict[str, int] = {}
        super().__init__(world, nodes, history, keys, bell)

    # -- what goes out and comes in -------------------------------------------------------------------

    def _send(self, ask: Ask) -> Miss | None:
        request = ask.request
        if isinstance(request, Act):
            self.acts[request.number] = request
            if request.verb in ONCE:
                self._bury(request)
                self.attempt = request
        return super()._send(ask)

    def _bury(self, successor: Act | None = None) -> None:
        """What was asked before is asked for anew, or given up for good: it must never happen."""
        before = self.attempt
        if before is not None and (successor is None or successor.operation_id != before.operation_id):
            self.world.trace("dead", operation=before.operation_id)

    def on_frame(self, source: Address, frame: bytes) -> None:
        reply = decode(frame)
        act = self.acts.get(reply.number) if isinstance(reply, Acted) else None
        if act is not None and isinstance(reply, Acted) and reply.happened and act.verb in WINS:
            self.world.trace("won", operation=act.operation_id, token=reply.version)
        super().on_frame(source, frame)

    # -- what it does ---------------------------------------------------------------------------------

    def _act(self) -> None:
        self.number += 1
        self.attempts = 0
        self.acts.clear()
        self.attempt = None
        key = self.dice.choice(self.keys)
        roll = self.dice.random()
        word = f"{self.world.identity.address}.{self.number}"
        if key.startswith("plain"):
            self._act_plainly(key, roll, word)
        elif roll < 0.015:
            self._do("clear", key, None, Clear())
        elif key.startswith("lock-m"):
            self._act_on_lock(key, roll, word)
        elif key.startswith("count"):
            self._act_on_number(key, roll)
        else:
            self._act_on_word(key, roll, word)

    def _act_plainly(self, key: str, roll: float, word: str) -> None:
        if roll < 0.55:
            self._plain_put(key, word)
        else:
            self._do("plain-pop", key, None, Pop(_encoded(key), None, b""), _text)

    def _act_on_word(self, key: str, roll: float, word: str) -> None:
        encoded = _encoded(key)
        seen = self.versions.get(key)
        if roll < 0.4:
            self._do("put", key, word, PutIfAbsent(encoded, word.encode(), 0, b""))
        elif roll < 0.45:
            self._do("setdefault", key, word, SetDefault(encoded, word.encode(), 0, b""), _text)
        elif roll < 0.55:
            self._look(key)
        elif roll < 0.70:
            self._read(key)
        elif roll < 0.85 and seen is not None:
            operation = Replace(encoded, word.encode(), seen[1], 0, b"")
            self._do("replace", key, (seen[0], word), operation, bool)
        else:
            self._do("pop", key, None, Pop(encoded, None, b""), _text)

    def _act_on_number(self, key: str, roll: float) -> None:
        if roll < 0.8:
            self._do("incr", key, 1, Increment(_encoded(key), 1, 0, 0, b"", VALUE_BYTES_MAX))
        elif roll < 0.9:
            self._read(key)
        else:
            self._do("pop", key, None, Pop(_encoded(key), None, b""), _number)

    def _act_on_lock(self, key: str, roll: float, word: str) -> None:
        held = self.held.pop(key, None)
        encoded = LOCK_SPACE + _encoded(key)
        if held is None:
            self._take(key, word)
        elif roll < 0.3:
            self.held[key] = held
            extend = Extend(encoded, held[1], LOCK_TTL_MS, b"")
            self._do("extend", key, held[0], extend)
        else:
            self._do("let-go", key, held[0], Release(encoded, held[1], b""))

    def _do(
        self,
        kind: str,
        key: str,
        argument: object,
        operation: Any,  # noqa: ANN401 - of any result
        told: Callable[[Any], object] = lambda result: result,
    ) -> None:
        """Carry an operation out as the real client does."""
        plan = atomic.plan_of(self.session, self.dict_id, operation)
        plan = plan or locking.plan_of(self.session, self.dict_id, operation)
        assert plan is not None
        noted = self.history.invoke(self.world.identity.address, kind, key, argument)
        self.driver.start(plan, lambda outcome: self._ended(noted, outcome, told))

    def _ended(self, noted: Operation, outcome: Outcome, told: Callable[[Any], object]) -> None:
        if self.bell.rung:
            return
        error = outcome.error
        if error is None:
            result = True if noted.kind == "clear" else told(outcome.result)
            self.history.ok(noted, result)
        elif isinstance(error, (MismatchError, MissingKeyError)):
            self.history.ok(noted, False)
        elif isinstance(error, OutcomeUnknownError):
            self.history.give_up(noted, str(error))
        elif isinstance(error, UnavailableError):
            self._fail(noted, error)
        else:
            raise error
        self._think()

    def _fail(self, noted: Operation, error: Exception) -> None:
        """It is not in effect and never will be; what was stored may have been for a while."""
        self._bury()
        if self.attempt is not None and self.attempt.verb in WINS:
            self.history.give_up(noted, NEVER)
        else:
            self.history.fail(noted, str(error))

    def _read(self, key: str) -> None:
        """Ask the leader what stands there."""
        noted = self.history.invoke(self.world.identity.address, "read", key)

        def told(acted: Acted) -> object:
            if key.startswith("count"):
                return _number(acted.body)
            if acted.body is not None:
                self.versions[key] = acted.body.decode(), acted.version
                self.floors[key] = max(self.floors.get(key, 0), acted.version)
            return _text(acted.body)

        plan = atomic.get(self.session, self.dict_id, _encoded(key))
        self.driver.start(plan, lambda outcome: self._ended(noted, outcome, told))

    def _look(self, key: str) -> None:
        """Read what some replica shows: it is never older than what this client was told by the leader."""
        floor = self.floors.get(key, 0)
        noted = self.history.invoke(self.world.identity.address, "plain-look", key, floor)

        def told(reply: Present | Absent) -> object:
            body = reply.body.decode() if isinstance(reply, Present) else None
            return tuple(reply.stamp), body

        plan = get(self.session, self.dict_id, *self._located(key))
        self.driver.start(plan, lambda outcome: self._ended(noted, outcome, told))

    def _plain_put(self, key: str, word: str) -> None:
        noted = self.history.invoke(self.world.identity.address, "plain-put", key, word)

        def told(_reply: Written) -> object:
            return self.attempts

        plan = put(self.session, self.dict_id, *self._located(key), word.encode())
        self.driver.start(plan, lambda outcome: self._ended(noted, outcome, told))

    # -- locks ----------------------------------------------------------------------------------------

    def _take(self, key: str, word: str) -> None:
        holder = self.dice.randbytes(16)
        encoded = LOCK_SPACE + _encoded(key)
        acquire = Acquire(encoded, holder, LOCK_TTL_MS, b"")
        plan = locking.plan_of(self.session, self.dict_id, acquire)
        assert plan is not None
        noted = self.history.invoke(self.world.identity.address, "put", key, word)
        taking = [plan]

        def told(token: int | None) -> object:
            if token is not None:
                self.held[key] = word, token
            return token is not None

        def ended(outcome: Outcome) -> None:
            if taking:
                taking.clear()
                self._ended(noted, outcome, told)

        def interrupt() -> None:
            if taking:
                taking.pop().close()
                self._abandon(noted, key, word, Abandon(encoded, holder, b""))

        if self.dice.random() < INTERRUPTED_RATIO:
            self.world.call_after(self.dice.randrange(INTERRUPT_NS_MAX), interrupt)
        self.driver.start(plan, ended)

    def _abandon(self, taking: Operation, key: str, word: str, operation: Abandon) -> None:
        """Give up what may or may not be held by now; nobody waits for the answer to it any more."""
        if self.bell.rung:
            return
        self.history.give_up(taking, "interrupted")
        noted = self.history.invoke(self.world.identity.address, "let-go", key, word)
        plan: Plan[bool] | None = locking.plan_of(self.session, self.dict_id, operation)
        assert plan is not None

        def ended(outcome: Outcome) -> None:
            if self.bell.rung:
                return
            if outcome.error is None:
                self._bury()
                self.history.ok(noted, bool(outcome.result))
            else:
                self.history.give_up(noted, str(outcome.error))
            self._think()

        self.driver.start(plan, ended)


def _encoded(key: str) -> bytes:
    return b"\x03" + key.encode()


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode()


def _number(body: bytes | None) -> object:
    return None if body is None else decode_number(body)
