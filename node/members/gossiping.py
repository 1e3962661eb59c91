"""Gossip on the seam: the core of gossip/ with a world's clock, dice, disk and network.

Rules of this file:
1. The core's instructions are carried out in order, whatever the callbacks do meanwhile. What follows a
   generation waits until that is on disk.
2. There is one timer, at the core's next deadline. The world hands over what has come before it lets a timer
   run (node/trioworld.py), so answers that wait in a socket are not missing.
3. With a keyring every letter is sealed, in datagrams and frames alike, and what is not sealed is not heard.
   Without one a node runs on loopback only, or where it was told that it may (`insecure`).
4. Callbacks get what the core told, once each and in order. They may call back in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

from ...exception import InvalidError
from ...gossip.config import LAN, Settings
from ...gossip.core import Gossip
from ...gossip.instruction import (
    BroadcastHeard,
    Halt,
    Halted,
    Instruction,
    KeepGeneration,
    MemberChanged,
    MemberView,
    RingHeard,
    SendDatagram,
    SendFrame,
)
from ...gossip.keyring import NONCE_BYTES, OVERHEAD_BYTES, Keyring, SealError
from ...gossip.member import NodeId as GossipId
from ...gossip.member import Profile, next_generation
from ...gossip.message import Ring
from ..network.message import Mark
from ..ringview import RingView
from ..world import NS_PER_MS, NS_PER_S, Address, NodeId, Storage, Timer, World
from .gossipkeys import check_secure
from .gossipmemory import GossipMemory
from .gossipstatus import status_of

Changed = Callable[[MemberChanged], None]
"""Told of each event: joined, suspected, failed, left, updated."""


class Gossiping:
    """Who is here, as one node knows it. It is a `Directory` (node/network/bus.py).

    Args:
        world: of the process.
        storage: gossip's own; durable.
        profile: what is said of this node. `profile.service` is where it serves, `profile.address` if empty.
        seeds: addresses to begin with, "ip:port"; names are for node/members/seeds.py.
        settings: the same in all nodes of a cluster.
        keyring: seals what is said; None: nothing is sealed.
        insecure: lets it run without a keyring where others than this host can reach it.
        changed: told of each event about a member.
        ring_heard: told when a member says something new of its ring.
        broadcast_heard: told of each broadcast of another node.

    Raises:
        InvalidError: a field of the profile is too long, or there is no keyring and the address is not of
            this host only.
        StoreDamagedError: what is in the storage is not what was written.
    """

    core_class: ClassVar[type[Gossip]] = Gossip
    """Wrong versions, for tests, have another."""

    def __init__(  # noqa: PLR0913 - what it is told, and whom it tells
        self,
        world: World,
        storage: Storage,
        profile: Profile,
        seeds: Iterable[str] = (),
        *,
        settings: Settings = LAN,
        keyring: Keyring | None = None,
        insecure: bool = False,
        changed: Changed = lambda _: None,
        ring_heard: Callable[[NodeId, Mark], None] = lambda _node, _mark: None,
        broadcast_heard: Callable[[NodeId, bytes], None] = lambda _node, _payload: None,
    ) -> None:
        check_secure(profile.address, keyring, insecure=insecure)
        try:
            profile.check()
        except ValueError as error:
            raise InvalidError(str(error)) from error
        self._world = world
        self._me = world.identity.node
        self._profile = profile
        self._seeds = tuple(seeds)
        self._settings = replace(settings, overhead_bytes=OVERHEAD_BYTES) if keyring else settings
        self._keyring = keyring
        self._seal_dice = world.dice("seal")
        self._listeners: list[Changed] = [changed]
        self._ring_heard = ring_heard
        self._broadcast_heard = broadcast_heard
        self._memory = GossipMemory(world, storage, self._known)
        self._core: Gossip | None = None
        self._view: RingView | None = None
        self._ring_addresses: dict[NodeId, Address] = {}
        self._waiting: deque[Instruction] = deque()
        self._carrying = False  # whether instructions are being carried out, or wait for a generation
        self._timer: Timer | None = None
        self._timer_ns = 0  # when it is due
        self._leaving: list[Callable[[], None]] = []
        self._counters: Counter[str] = Counter()

    # -- its life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, once a new generation is on disk. Called once."""
        wall_ms = self._world.wall_ns() // NS_PER_MS
        # Boots of this folder are counted, too: who loses gossip's storage does not begin behind itself.
        last = max(self._memory.generation, self._world.identity.boot - 1)
        generation = next_generation(last, max(0, wall_ms), self._world.dice("generation"))
        self._memory.keep_generation(generation, lambda: self._begin(generation))

    def _begin(self, generation: int) -> None:
        former = {GossipId(node): address for node, address in self._memory.members.items()}
        former.pop(GossipId(self._me), None)
        core = self._core = self.core_class(
            GossipId(self._me), generation, self._profile, self._world.dice("gossip"),
            settings=self._settings, seeds=self._seeds, former=former,
        )  # fmt: skip
        self._world.trace("gossip began", node=self._me, generation=generation)
        self._tell_ring()
        self._do(core.start(self._now()))
        if self._leaving:
            self._do(core.leave(self._now()))

    def leave(self, done: Callable[[], None]) -> None:
        """Say goodbye; `done` is called once that is said, within `LEAVE_TIMEOUT_S`."""
        if self._core is not None and self._core.halted is not None:
            self._world.call_after(0, done)
            return
        self._leaving.append(done)
        if self._core is not None:
            self._do(self._core.leave(self._now()))

    @property
    def halted(self) -> Halted | None:
        """Why it is no member any more; None: it is, or has not begun."""
        return None if self._core is None else self._core.halted

    # -- what comes in -----------------------------------------------------------------------------

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        """A datagram came."""
        core, letter = self._core, self._opened(datagram)
        if core is not None and letter is not None:
            self._do(core.handle_datagram(letter, source, self._now()))

    def on_letter(self, source: Address, frame: bytes) -> None:
        """A frame came that is no message of node/network/wire.py."""
        core, letter = self._core, self._opened(frame)
        if core is not None and letter is not None:
            self._do(core.handle_frame(letter, source, self._now()))

    def _opened(self, letter: bytes) -> bytes | None:
        if self._keyring is None:
            return letter
        try:
            return self._keyring.open(letter)
        except SealError:
            self._counters["letters_not_sealed"] += 1
            return None

    # -- what is told to others --------------------------------------------------------------------

    def set_ring(self, view: RingView) -> None:
        """Say what ring this node goes by, and know where its members once were."""
        self._view = view
        self._ring_addresses = {
            NodeId(member.member_id): Address(member.address)
            for member in view.decree.members
            if member.address
        }
        self._tell_ring()

    def _tell_ring(self) -> None:
        if self._core is not None and self._view is not None:
            epoch, digest = self._view.mark
            ring = Ring(epoch, int.from_bytes(digest, "big"))
            self._core.set_ring(ring, map(GossipId, self._view.members))

    def set_profile(self, profile: Profile) -> None:
        """Say something else of this node. InvalidError if a field is too long."""
        check_secure(profile.address, self._keyring, insecure=profile.address == self._profile.address)
        try:
            self._profile = profile.check()
        except ValueError as error:
            raise InvalidError(str(error)) from error
        if self._core is not None:
            self._do(self._core.set_profile(profile, self._now()))

    def set_seeds(self, addresses: Iterable[str]) -> None:
        """Replace the addresses that are tried for ever: what the seeds' names resolve to now."""
        self._seeds = tuple(addresses)
        if self._core is not None:
            self._do(self._core.set_seeds(self._seeds, self._now()))

    def broadcast(self, payload: bytes) -> None:
        """Tell all, when there is room; lost before it has begun. InvalidError if the bytes are too many."""
        if self._core is not None:
            try:
                self._do(self._core.broadcast(payload, self._now()))
            except ValueError as error:
                raise InvalidError(str(error)) from error

    # -- what can be asked -------------------------------------------------------------------------

    def address_of(self, node: NodeId) -> Address | None:
        """Where a node serves, as was heard last, be it dead; None: nobody knows."""
        if node == self._me:
            return Address(self._profile.service or self._profile.address)
        heard = None if self._core is None else self._core.address_of(GossipId(node))
        if heard is not None:
            return Address(heard)
        address = self._ring_addresses.get(node)
        return (
            address
            if address is not None or node not in self._memory.members
            else Address(self._memory.members[node])
        )

    def node_at(self, address: Address) -> NodeId | None:
        """Which node is there, as was heard last; the one that lives, if there were several."""
        there = [each for each in self.members() if self.address_of(NodeId(each.node_id)) == address]
        nodes = sorted((NodeId(each.node_id) for each in there), key=self.is_alive)
        return nodes[-1] if nodes else None

    def is_alive(self, node: NodeId) -> bool:
        """Whether a node is alive as far as is known here; a suspect is, until its time is up."""
        return node == self._me or (self._core is not None and self._core.is_live(GossipId(node)))

    def members(self) -> list[MemberView]:
        """All that is believed, the dead and this node included; nothing before it has begun."""
        return [] if self._core is None else self._core.members()

    @property
    def id(self) -> NodeId:
        """This node's own id."""
        return self._me

    @property
    def generation(self) -> int:
        """The generation that it speaks in; 0 before it has begun."""
        me = None if self._core is None else self._core.member(GossipId(self._me))
        return 0 if me is None else me.generation

    @property
    def has_peers(self) -> bool:
        """Whether anybody else is here."""
        return self._core is not None and self._core.live_count > 1

    @property
    def digest(self) -> int:
        """Of who is alive: equal views have equal digests. 0 before it has begun."""
        return 0 if self._core is None else self._core.digest

    def status(self) -> dict[str, object]:
        """All that `ringdict status` shows of gossip, as plain data (docs/gossip.md). Takes time in
        proportion to the members."""
        names = [] if self._keyring is None else [name.hex() for name in self._keyring.names]
        return status_of(self._core, self._now(), self._world.wall_ns() // NS_PER_MS, self._counters, names)

    @property
    def keyring(self) -> Keyring | None:
        """The keys that letters are sealed with; they may change at any time (node/members/gossipkeys.py)."""
        return self._keyring

    def listen(self, listener: Changed) -> Callable[[], None]:
        """Tell `listener` of each event about a member from now on; returns what ends that. It must neither
        raise nor wait: node/membersstream.py makes a stream of it."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def validate(self) -> None:
        """Assert what must always hold. Takes time in proportion to the members."""
        if self._core is not None:
            self._core.validate()
            assert self._timer is not None or self._core.halted is not None or self._carrying

    # -- inside ------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._world.now_ns() / NS_PER_S

    def _known(self) -> dict[NodeId, str]:
        if self._core is None:
            return self._memory.members
        return {NodeId(node): address for node, address in self._core.known_members().items()}

    def _do(self, instructions: list[Instruction]) -> None:
        self._waiting += instructions
        if not self._carrying:
            self._carry_out()

    def _carry_out(self) -> None:
        self._carrying = True
        while self._waiting:
            instruction = self._waiting.popleft()
            match instruction:
                case SendDatagram(address, data):
                    self._world.send_datagram(Address(address), self._sealed(data))
                case SendFrame(address, data):
                    self._world.send(Address(address), self._sealed(data))
                case MemberChanged():
                    self._tell_change(instruction)
                case RingHeard(node_id, ring):
                    self._ring_heard(NodeId(node_id), (ring.epoch, ring.digest.to_bytes(8, "big")))
                case BroadcastHeard(origin, payload):
                    self._broadcast_heard(NodeId(origin), payload)
                case KeepGeneration(generation):
                    self._world.trace("gossip goes on", node=self._me, generation=generation)
                    self._memory.keep_generation(generation, self._carry_out)
                    self._arm()
                    return
                case Halt(reason):
                    self._halt(reason)
        self._carrying = False
        self._arm()

    def _sealed(self, letter: bytes) -> bytes:
        if self._keyring is None:
            return letter
        return self._keyring.seal(letter, self._seal_dice.randbytes(NONCE_BYTES))

    def _tell_change(self, event: MemberChanged) -> None:
        member = event.member
        self._world.trace(
            "member", change=event.change.value, node=member.node_id, generation=member.generation,
            incarnation=member.incarnation, status=member.status.name.lower(),
        )  # fmt: skip
        self._memory.members_changed()
        for listener in tuple(self._listeners):
            listener(event)

    def _halt(self, reason: Halted) -> None:
        self._world.trace("gossip halted", reason=reason.name)
        if reason is Halted.LEFT:
            for done in self._leaving:
                done()
        else:
            self._world.halt(reason.value)

    def _arm(self) -> None:
        due = None if self._core is None else self._core.next_deadline()
        if due is None:
            return
        due_ns = int(due * NS_PER_S) + 1
        if self._timer is not None:
            if self._timer_ns <= due_ns:
                return
            self._timer.cancel()
        self._timer_ns = due_ns
        self._timer = self._world.call_after(max(0, due_ns - self._world.now_ns()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        core = self._core
        if core is None:
            return
        now, due = self._now(), core.next_deadline()
        if due is not None and due <= now:
            self._do(core.tick(now))
        self._arm()
