"""The seam: all that a node cannot work out for itself comes to it through a `World`.

A *process* (a node, or a client made of the same stuff) is a plain object with two methods. It is made by a
factory that is handed a world, lives in one thread, never blocks and never waits: it is called, changes its
state, asks its world for things, and returns. What it asked for comes back as a later call.

There are two worlds: `TrioWorld` (node/trioworld.py) over real sockets, clocks and disks, and `SimWorld`
(sim/world.py) over made-up ones. tests/sim/test_world_contract.py holds what both promise, which is what
stands here. A process must not be able to tell which one it lives in.

Rules for a process:
1. Nothing is known but what the world said: no clock, no dice, no file, no thread, no environment variable.
2. No order but a defined one: sets are sorted before anything is done for each of their elements.
3. What must survive a crash is committed, and nobody is told of it before `done` was called.
4. An exception that leaves a process is a bug. It ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, NewType, Protocol, TypeAlias, TypeVar

from ..exception import Error
from .disk.durability import Durability

T = TypeVar("T")

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

Address = NewType("Address", str)
"""Where frames and datagrams of a process go: "host:port", "[::1]:7000". It may change from boot to boot."""

NodeId = NewType("NodeId", bytes)
"""16 random bytes, drawn when a node's storage was made: who a node is, whatever its address."""

Changes: TypeAlias = dict[bytes, bytes | None]
"""Keys and their new values; None: the key is removed."""

Done: TypeAlias = Callable[[Error | None], None]
"""Told how a commit ended: None, or why it is not on disk."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks: which node, and for the how-manieth time it has been started."""

    node: NodeId
    boot: int
    """1 at the first start. Durable before the process is made, so that no two starts share a number."""
    address: Address


class Timer(Protocol):
    """A call that is yet to come."""

    def cancel(self) -> None:
        """Let it not come. No effect once it has come, or was cancelled."""
        ...


ANY_BYTES = 1 << 62
"""No bound."""


class Dice(Protocol):
    """A stream of random numbers of its own; `random.Random` is one."""

    def random(self) -> float:
        """From 0.0 up to, not including, 1.0."""
        ...

    def randrange(self, stop: int, /) -> int:
        """A whole number from 0 up to, not including, `stop`."""
        ...

    def randbytes(self, n: int, /) -> bytes:
        """`n` bytes."""
        ...

    def choice(self, seq: Sequence[T], /) -> T:
        """One element of a sequence that is not empty."""
        ...

    def shuffle(self, x: MutableSequence[Any], /) -> None:
        """Bring a list into a random order, in place."""
        ...

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """`k` different elements."""
        ...


class Storage(Protocol):
    """An ordered map from bytes to bytes that outlives its process. One process has it open at a time."""

    def get(self, key: bytes) -> bytes | None:
        """The value last committed, on disk yet or not; None: there is none.

        Raises:
            StoreDamagedError: the bytes on disk are not what was written. Its `key` is the key (`scan`: the
                first one) if it alone is damaged, as far as is known.
        """
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What `get` says of each key. Sorted ones are found sooner.

        Raises:
            StoreDamagedError: as `get`, of any of them.
        """
        ...

    def scan(
        self, first: bytes, end: bytes, count_max: int, bytes_max: int = ANY_BYTES
    ) -> list[tuple[bytes, bytes]]:
        """At most `count_max` entries with first <= key < end, in ascending order, as `get` sees them; and
        none behind the one with which their values come to `bytes_max`."""
        ...

    def commit(self, changes: Changes, done: Done) -> None:
        """Make changes together: after a crash all of them are there, or none.

        `get` and `scan` see them at once. They reach the disk in the order of the calls, and `done` is
        called in that order, never from within `commit`: with FSYNC once a power cut cannot take them back,
        else once the death of the process cannot. With INTERVAL a power cut takes the whole storage back to
        a state of about a second before: all that was committed until then, and nothing of what came after.

        With StoreFullError nothing of it is on disk; the commits still waiting behind it fail with it, and
        what `get` sees goes back to what is on disk. After any other error nobody knows what is on disk: the
        storage takes no more commits, and the process must halt, and look what it finds when it is started
        again.
        """
        ...


class World(Protocol):
    """One process's view of everything else, from one start of it to its end.

    A process that was halted, crashed or stopped is never called again, and what it asks for is not done.
    """

    @property
    def identity(self) -> Identity:
        """Who this process is."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds on a clock that never jumps nor runs back while the process lives. Says nothing to
        others."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 as this host believes. It may jump, in both directions."""
        ...

    def call_after(self, delay_ns: int, callback: Callable[[], None]) -> Timer:
        """Call back once `now_ns` has advanced by at least `delay_ns`; never from within this call."""
        ...

    def send(self, to: Address, frame: bytes) -> None:
        """Send up to FRAME_BYTES_MAX to the process at an address, which gets it through `on_frame`.

        Frames travel over connections that the world makes, keeps and mends. In health they come once and in
        order; but any frame may be lost, late, doubled or overtaken, and nobody is told. What is waiting for
        a slow peer is bounded (PEER_QUEUE_BYTES_MAX); beyond that it is dropped.
        """
        ...

    def send_datagram(self, to: Address, datagram: bytes) -> None:
        """Send up to DATAGRAM_BYTES_MAX by itself, which the receiver gets through `on_datagram`.

        It costs no connection, and a few percent may well be lost.
        """
        ...

    def storage(self, name: str, durability: Durability = Durability.FSYNC) -> Storage:
        """The storage of that name, made empty at the first use ever. Ask once, at the start.

        Storages are independent: a commit to one waits for no other, and orders nothing in another.
        """
        ...

    def publish(self, page: bytes) -> None:
        """Show something to the clients on this host, in place of what was shown before: up to
        PAGE_SHOWN_BYTES_MAX. They believe it for a second from this call on, so say it again before that."""
        ...

    def dice(self, purpose: str) -> Dice:
        """Random numbers for one purpose, the same object each time. Draws for others never shift these."""
        ...

    def trace(self, event: str, **facts: object) -> None:
        """Note for people and checkers that something happened. It changes nothing.

        Facts are plain: None, bool, int, float, str, bytes, and lists or tuples of those.
        """
        ...

    def halt(self, reason: str) -> None:
        """End this process, at once, as a crash would. Whoever runs it may start it again."""
        ...


class Process(Protocol):
    """What a world runs. An object with a method `validate()` may be asked, after any call, whether its
    invariants hold; it raises AssertionError if not."""

    def on_frame(self, source: Address, frame: bytes, /) -> None:
        """A frame came. `source` is where answers go."""
        ...

    def on_datagram(self, source: Address, datagram: bytes, /) -> None:
        """A datagram came. `source` is where answers go."""
        ...


Factory: TypeAlias = Callable[[World], Process]
"""Makes a process, when it is started: once a boot."""
