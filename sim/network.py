"""The network between made-up hosts: every ordered pair of addresses is a link of its own.

What becomes of the n-th message on a link is drawn from (seed, source, target, n): taking away a fault, or
another host, shifts nothing on the links that are left. A message is lost, late, doubled or replayed on its
way; a cut link loses what is sent while it is cut; a clogged one keeps it until it is clear; a held one until
it is released. What is on its way when its sender dies still arrives.

Links have a direction, so cuts may be one-way, and need not be transitive: whoever wants a split into two
sides cuts every link between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from xxhash import xxh3_64_intdigest

from ..node.config import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX
from ..node.world import Address
from .config import LATENCY_NS_MIN, LATENCY_SPREAD_NS
from .journal import Journal
from .loop import Loop

Receive: TypeAlias = Callable[[Address, bytes, bool], None]
"""Gets source, payload, and whether it came as a datagram."""

# -ln(1 - u) for 4,096 equally likely u: an exponential distribution without floating point in the way.
_EXPONENTIAL = [int(-math.log1p(-(index + 0.5) / 4096) * 1024) for index in range(4096)]
_ODDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Noise:
    """What every link does all the time, cut or not. Shares are from 0 to 1."""

    loss: float = 0.0
    """Of frames and of datagrams, lost."""
    datagram_loss: float = 0.0
    """Of datagrams, lost on top of that: what connections would have sent again."""
    duplication: float = 0.0
    """Sent twice, a little apart."""
    replay: float = 0.0
    """Sent again after up to `late_ns`: an old message from the past."""
    late: float = 0.0
    """Held up for up to `late_ns`, overtaken by all that follow."""
    late_ns: int = 3_000_000_000
    jitter_ns: int = 300_000
    """Mean of what is added to the latency of each message; it is exponential."""


class Link:
    """One direction between two addresses."""

    __slots__ = ("clogged_until_ns", "count", "cuts", "held", "latency_ns", "seed", "slow_ns")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.latency_ns = LATENCY_NS_MIN + seed % LATENCY_SPREAD_NS
        #: Messages sent so far.
        self.count = 0
        #: How many cuts lie over it.
        self.cuts = 0
        self.clogged_until_ns = 0
        self.slow_ns = 0
        #: What waits for release; None: it is not held.
        self.held: list[tuple[int, bytes, bool]] | None = None


class Network:
    """All links, and who listens at which address."""

    def __init__(self, loop: Loop, journal: Journal, seed: int | str, noise: Noise) -> None:
        self._loop = loop
        self._journal = journal
        self._seed = f"{seed}/link"
        self._links: dict[tuple[Address, Address], Link] = {}
        self._receivers: dict[Address, Receive] = {}
        #: Sends of these addresses are told to somebody, once (sim/host.py: a crash right after a send).
        self.watched: dict[Address, Callable[[], None]] = {}
        #: Told of all that reaches these addresses (sim/lockfault.py: it comes again).
        self.overheard: dict[Address, Callable[[int, Address, bytes, bool], None]] = {}
        self.sent_count = 0
        self.delivered_count = 0
        self.dropped_count = 0
        self.noise = noise

    @property
    def noise(self) -> Noise:
        """What every link does, whatever else befalls it."""
        return self._noise

    @noise.setter
    def noise(self, noise: Noise) -> None:
        self._noise = noise
        #: Of 65,536 frames so many are lost.
        self.loss_odds = int(noise.loss * _ODDS)
        self._datagram_loss = int((1 - (1 - noise.loss) * (1 - noise.datagram_loss)) * _ODDS)
        self._odd = noise.loss or noise.datagram_loss or noise.duplication or noise.replay or noise.late
        self._jitter_ns = noise.jitter_ns

    def attach(self, address: Address, receive: Receive) -> None:
        """Let what comes for an address go there."""
        self._receivers[address] = receive

    def detach(self, address: Address) -> None:
        """Nobody listens there any more."""
        self._receivers.pop(address, None)

    def link(self, source: Address, target: Address) -> Link:
        """The link in that direction."""
        link = self._links.get((source, target))
        if link is None:
            seed = xxh3_64_intdigest(f"{self._seed}/{source}/{target}".encode())
            link = self._links[source, target] = Link(seed)
        return link

    # -- messages ----------------------------------------------------------------------------------

    def send(self, source: Address, target: Address, payload: bytes, *, datagram: bool) -> None:
        """Let a message go. Too large a one is a bug of the sender."""
        link = self._links.get((source, target)) or self.link(source, target)
        assert len(payload) <= (DATAGRAM_BYTES_MAX if datagram else FRAME_BYTES_MAX)
        self.sent_count = serial = self.sent_count + 1
        link.count = count = link.count + 1
        loop = self._loop
        now_ns = loop.now_ns
        self._journal.add((now_ns, "send", source, target, serial, payload))
        bits = xxh3_64_intdigest(count.to_bytes(8, "little"), link.seed)
        delay_ns = self.delay_ns(link, bits)
        if link.cuts:
            self._drop(source, target, serial, "cut")
        elif self._odd and self._befalls(
            link, bits >> 12, delay_ns, source, target, serial, payload, datagram
        ):
            pass  # lost, or late
        elif link.held is not None:
            link.held.append((serial, payload, datagram))
        else:
            at_ns = now_ns + delay_ns
            if at_ns < link.clogged_until_ns:
                at_ns = link.clogged_until_ns
            loop.call_at(at_ns, self._deliver, source, target, serial, payload, datagram)
        if source in self.watched:
            self.watched.pop(source)()

    def delay_ns(self, link: Link, bits: int) -> int:
        """How long a message takes, by twelve random bits."""
        return link.latency_ns + link.slow_ns + (self._jitter_ns * _EXPONENTIAL[bits & 0xFFF] >> 10)

    def _befalls(self, link: Link, bits: int, delay_ns: int, *message: Any) -> bool:  # noqa: ANN401
        """Whether the noise keeps one message from going its way; it may double it, too."""
        noise, loop = self._noise, self._loop
        source, target, serial, _, datagram = message
        if bits & 0xFFFF < (self._datagram_loss if datagram else self.loss_odds):
            self._drop(source, target, serial, "lost")
            return True
        more = xxh3_64_intdigest(link.count.to_bytes(8, "big"), link.seed)
        late_ns = noise.late_ns * (more >> 48) >> 16
        if link.held is None and more & 0xFFFF < noise.duplication * _ODDS:
            loop.call_after(delay_ns + late_ns // 1000, self._deliver, *message)
        if link.held is None and (more >> 16) & 0xFFFF < noise.replay * _ODDS:
            loop.call_after(delay_ns + late_ns, self._deliver, *message)
        if (more >> 32) & 0xFFFF < noise.late * _ODDS:
            loop.call_after(delay_ns + late_ns, self._deliver, *message)
            return True
        return False

    def _drop(self, source: Address, target: Address, serial: int, why: str) -> None:
        self.dropped_count += 1
        self._journal.add((self._loop.now_ns, "drop", source, target, serial, why))

    def _deliver(
        self,
        source: Address,
        target: Address,
        serial: int,
        payload: bytes,
        datagram: bool,  # noqa: FBT001 - through the loop, which takes no names
    ) -> None:
        receive = self._receivers.get(target)
        if receive is None:
            self._drop(source, target, serial, "nobody there")
            return
        self.delivered_count += 1
        self._journal.add((self._loop.now_ns, "deliver", source, target, serial))
        if target in self.overheard:
            self.overheard[target](self._loop.now_ns, source, payload, datagram)
        receive(source, payload, datagram)

    def repeat(
        self,
        source: Address,
        target: Address,
        payload: bytes,
        datagram: bool,  # noqa: FBT001 - through the loop, which takes no names
    ) -> None:
        """Let something that was sent once arrive again, now."""
        self.sent_count = serial = self.sent_count + 1
        self._journal.add((self._loop.now_ns, "send", source, target, serial, payload))
        self._deliver(source, target, serial, payload, datagram)

    # -- verbs -------------------------------------------------------------------------------------

    def cut(self, source: Address, target: Address) -> None:
        """Lose what is sent that way from now on. Cuts add up: each is mended by itself."""
        self.link(source, target).cuts += 1

    def mend(self, source: Address, target: Address) -> None:
        """Take one cut away."""
        link = self.link(source, target)
        assert link.cuts
        link.cuts -= 1

    def clog(self, source: Address, target: Address, until_ns: int) -> None:
        """Let nothing that is sent that way arrive before an instant."""
        link = self.link(source, target)
        link.clogged_until_ns = max(link.clogged_until_ns, until_ns)

    def hold(self, source: Address, target: Address) -> None:
        """Keep what is sent that way until `release`."""
        link = self.link(source, target)
        if link.held is None:
            link.held = []

    def release(self, source: Address, target: Address) -> None:
        """Deliver what was held, in its order, and hold no more."""
        link = self.link(source, target)
        for serial, payload, datagram in link.held or ():
            self._loop.call_after(link.latency_ns, self._deliver, source, target, serial, payload, datagram)
        link.held = None

    def slow(self, source: Address, target: Address, by_ns: int) -> None:
        """Let what is sent that way take longer by that much from now on; by less, if it is below zero."""
        self.link(source, target).slow_ns += by_ns

    @contextmanager
    def partition(self, *sides: Iterable[Address]) -> Iterator[None]:
        """No message passes between two of these sides, in neither direction, for as long as the `with`
        lasts."""
        groups = [list(side) for side in sides]
        pairs = [
            pair
            for number, group in enumerate(groups)
            for other in groups[number + 1 :]
            for one, two in product(group, other)
            for pair in ((one, two), (two, one))
        ]
        for pair in pairs:
            self.cut(*pair)
        try:
            yield
        finally:
            for pair in pairs:
                self.mend(*pair)
