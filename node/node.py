"""A node: all its parts, wired to each other. It lives in a world (world.py), and cannot tell which.

Rules of this file:
1. A frame that begins like a message is one (message.py, rule 4); any other is a letter of gossip, and so is
   every datagram.
2. Whatever says which ring somebody goes by is told to the part that keeps up with it, and each new ring is
   told to every part in one turn: no two of them ever go by two rings.
3. A node begins a cluster only if it was told to. A folder with entries in it may found one, and never joins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..exception import Error, StoreDamagedError
from ..gossip.config import LAN, Settings
from ..gossip.instruction import MemberChanged
from ..gossip.keyring import Keyring
from ..gossip.member import Profile
from ..ring.config import FOUND_PARTITIONS_MAX, PARTITIONS_DEFAULT, REPLICAS_DEFAULT
from ..ring.member import Member, MemberState
from .config import FLOOR_TIMEOUT_S, MOVE_RATE_BYTES_S, STOP_POLL_S, VALUE_BYTES_DEFAULT
from .disk.durability import Durability
from .epochs.epochs import Epochs
from .keeping import Keeping
from .leaders.report import report
from .leading import Leading
from .members.gossiping import Gossiping
from .moves import Moves
from .network.message import Mark, Reply
from .network.peermessage import AskDecree, TellDecree
from .ringview import NO_MARK, RingView
from .served.heritage import binding, division, founding_partitions, has_entries
from .served.serving import Announcer, Serving, bits_of
from .world import NS_PER_S, Address, NodeId, World

MESSAGE_FIRST, MESSAGE_LAST = 0x90, 0x9F
TIMEOUT_NS = int(FLOOR_TIMEOUT_S * NS_PER_S)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is told when it is started."""

    founds: bool = False
    """Begin a cluster, if this node is in none."""
    seeds: tuple[str, ...] = ()
    """Addresses of nodes to find the others by."""
    replicas: int = REPLICAS_DEFAULT
    """Of each key, in a cluster that this node founds."""
    partitions: int = PARTITIONS_DEFAULT
    """Into which a cluster that this node founds divides its keys, for ever. Where there are entries already,
    theirs stay."""
    weight: int = 1
    zone: str = ""
    version: str = ""
    """Of the program, for people."""
    durability: Durability = Durability.INTERVAL
    value_bytes_max: int = VALUE_BYTES_DEFAULT
    keyring: Keyring | None = None
    insecure: bool = False
    gossip: Settings = LAN
    move_rate_bytes_s: int = MOVE_RATE_BYTES_S
    """How fast it moves entries when the ring changes; 0: as fast as it goes."""
    tail_lost: bool = False
    """Whether entries that this node acknowledged may be missing: its host went down without a sync."""
    folder: str = ""
    """Where its entries lie, for clients on this host."""
    host: bytes = b""
    """The mark of this host (hostmark.py)."""


class Node:
    """One member of a cluster, or one that is about to be."""

    keeping_class = Keeping
    leading_class = Leading

    def __init__(self, world: World, settings: NodeSettings) -> None:
        self._world = world
        self._settings = settings
        #: Whether it was asked to end.
        self._is_stopping = False
        #: What keeps this node from serving, in words.
        self.complaint = ""
        self._catching_up = False
        #: What this node owns in an epoch, as `is_ready` found it last.
        self._owned: tuple[int, list[int]] | None = None
        try:
            self._assemble()
            self._start()
        except StoreDamagedError as error:
            world.halt(f"{error}. Remove this node from the cluster, and start it with an empty data folder")

    def _assemble(self) -> None:
        """Make the parts. StoreDamagedError if what one of them begins with is not what was written."""
        world, settings = self._world, self._settings
        me = world.identity
        self.gossiping = Gossiping(
            world,
            world.storage("gossip"),
            Profile(me.address, me.address, settings.zone, settings.version),
            settings.seeds,
            settings=settings.gossip,
            keyring=settings.keyring,
            insecure=settings.insecure,
            changed=self._member_changed,
            ring_heard=self._heard,
        )
        decisions = world.storage("consensus")
        self.keeping = self.keeping_class(
            world,
            decisions,
            self.gossiping,
            durability=settings.durability,
            value_bytes_max=settings.value_bytes_max,
            heard=self._heard,
            behind=self._fall_behind,
            status=self.status,
            tail_lost=settings.tail_lost,
            move_rate_bytes_s=settings.move_rate_bytes_s,
        )
        convergence = self.keeping.convergence
        self.moves = Moves(
            world,
            ready=convergence.equal,
            awaited=convergence.awaited,
            behind=lambda partition: self.epochs.owners_behind(partition),  # noqa: PLW0108 - made below
            moved=convergence.moved,
        )
        self.leading = self.leading_class(world, decisions, self.keeping, self.gossiping, self._heard)
        self.epochs = Epochs(
            world,
            decisions,
            self.keeping.bus,
            self._turned,
            ready=self.keeping.convergence.equal,
            settled=self.leading.is_settled,
            floor=self.keeping.stamper.leap,
        )
        self.keeping.add_handlers(self.epochs.handlers())
        self._announcer = Announcer(world, self._serving, settings.folder, settings.host)
        self.keeping.add_handlers(dict(self._announcer.handlers()))

    def _start(self) -> None:
        settings, me = self._settings, self._world.identity
        self.epochs.start()
        self.gossiping.start()
        self._announcer.start()
        if self.epochs.view is not None and self.epochs.view.me is not None:
            return
        member = Member(
            me.node, MemberState.JOINING, weight=settings.weight, zone=settings.zone, address=me.address
        )
        if settings.founds and self.epochs.view is None:
            self._found(member)
        elif has_entries(self.keeping.entries) and self.epochs.view is None:
            self.complaint = (
                "there are entries in this folder: it may found a cluster, and cannot join one. "
                "Start the node with an empty folder to join"
            )
        else:
            self.epochs.request_join(member, self._others)

    def _found(self, member: Member) -> None:
        """Begin a cluster, with what the folder brings along."""
        replicas, cluster_id = self._settings.replicas, self._world.dice("cluster").randbytes(16)
        partitions = founding_partitions(self.keeping.entries, self._settings.partitions)

        def inherited(error: Error | None) -> None:
            if error is None:
                self.epochs.found(cluster_id, member, partitions, replicas, self._founded)
            else:
                self._founded(error)

        self.leading.inherit(partitions, inherited)

    def _founded(self, error: Error | None) -> None:
        if error is not None:
            self._world.halt(f"no cluster was founded: {error}")

    def _others(self) -> list[NodeId]:
        """Whom to ask to be let in: those that are alive."""
        me = self._world.identity.node
        nodes = [NodeId(each.node_id) for each in self.gossiping.members()]
        return sorted(node for node in nodes if node != me and self.gossiping.is_alive(node))

    # -- what comes in ----------------------------------------------------------------------------------

    def on_frame(self, source: Address, frame: bytes) -> None:
        """A frame came."""
        try:
            if frame and MESSAGE_FIRST <= frame[0] <= MESSAGE_LAST:
                self.keeping.on_message(source, frame)
            else:
                self.gossiping.on_letter(source, frame)
        except StoreDamagedError as error:
            self._world.halt(str(error))

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        """A datagram came."""
        self.gossiping.on_datagram(source, datagram)

    def _heard(self, node: NodeId, mark: Mark) -> None:
        """A node goes by that ring."""
        self.epochs.hear_mark(node, mark)

    def _member_changed(self, _event: MemberChanged) -> None:
        """Gossip tells of a member. Routing goes by answers, and owning by the ring: nothing follows."""

    # -- the ring ---------------------------------------------------------------------------------------

    @property
    def view(self) -> RingView | None:
        """The ring that this node goes by; None: it never was in one."""
        return self.keeping.view

    def _turned(self, view: RingView) -> None:
        """There is a newer ring."""
        self._world.trace("epoch", number=view.epoch, members=len(view.members))
        partitions = view.decree.partitions
        if partitions > FOUND_PARTITIONS_MAX:
            self._world.halt(f"a cluster of {partitions} partitions is not for this version of the program")
            return
        try:
            self._go_by(view)
        except StoreDamagedError as error:  # parts read what they know of partitions that they get
            self._world.halt(str(error))

    def _go_by(self, view: RingView) -> None:
        if changes := division(self.keeping.entries, view.decree.partitions):
            self.keeping.entries.commit(changes, lambda _error: None)
        self.gossiping.set_ring(view)
        self.keeping.set_view(view)
        self.moves.turned(view)
        self.leading.set_view(view)
        self._announcer.changed()
        if len(view.members) > 1:
            self.keeping.entries.commit(binding(view.decree.cluster_id), lambda _error: None)

    def _fall_behind(self, _epoch: int) -> None:
        """A client knows of a newer ring. Somebody else will, too: ask one member, one at a time."""
        view = self.view
        if view is None or self._catching_up:
            return
        others = [
            node
            for node in view.members
            if node != self._world.identity.node and self.keeping.bus.routable(node)
        ]
        if not others:
            return
        node = self._world.dice("ring").choice(others)
        self._catching_up = True

        def answered(reply: Reply | None) -> None:
            self._catching_up = False
            if isinstance(reply, TellDecree):
                self.epochs.hear_mark(node, reply.mark)

        question = AskDecree(0, self._world.identity.node, view.decree.cluster_id, view.mark)
        self.keeping.bus.ask(node, question, answered, TIMEOUT_NS)

    def _serving(self) -> Serving:
        view = self.view
        serving = self.keeping.convergence.serving
        owned = [] if view is None else [each for each in view.owned() if serving(each)]
        mark = NO_MARK if view is None else view.mark
        count = 0 if view is None else view.decree.partitions
        return Serving(self._world.identity.node, mark, bits_of(owned, count))

    # -- the end ----------------------------------------------------------------------------------------

    def leave(self, done: Callable[[], None]) -> None:
        """Say goodbye to the others, so that nobody waits to find out; `done` is called when that is said.
        The ring is not changed: this node may come back."""
        self.gossiping.leave(done)

    def stop(self, done: Callable[[], None]) -> None:
        """Take no more requests of clients, finish the writes that were begun, then `leave`."""
        self._is_stopping = True
        self.keeping.admission.close()
        self.leading.leaders.step_down()
        if self.keeping.coordinator.open_count or self.leading.leaders.leaderships:
            self._world.call_after(int(STOP_POLL_S * NS_PER_S), lambda: self.stop(done))
        else:
            self.leave(done)

    def is_ready(self) -> bool:
        """Whether this node is in a ring, owns something, and is fit to serve all that it owns."""
        view = self.view
        if view is None or view.me is None or self._is_stopping:
            return False
        if self._owned is None or self._owned[0] != view.epoch:
            self._owned = view.epoch, view.owned()
        serving, owned = self.keeping.convergence.serving, self._owned[1]
        return bool(owned) and all(map(serving, owned))

    # -- for people -------------------------------------------------------------------------------------

    def facts(self) -> Mapping[str, object]:
        """How this node is, and what it believes of the others, as plain data (docs/operations.md)."""
        keeping, view, me = self.keeping, self.view, self._world.identity
        convergence = keeping.convergence.status()
        owned = [] if view is None else view.owned()
        return {
            "node": me.node.hex(),
            "address": me.address,
            "boot": me.boot,
            "ready": bool(owned) and not convergence.waiting_partitions and not self._is_stopping,
            "complaints": [*self.epochs.complaints, *([self.complaint] if self.complaint else [])],
            "cluster": "" if view is None else view.decree.cluster_id.hex(),
            "epoch": 0 if view is None else view.epoch,
            "recoveries": [] if view is None else [each.epoch for each in view.decree.recoveries],
            "members": [] if view is None else [member.hex() for member in view.members],
            "is_member": view is not None and view.me is not None,
            "partitions": len(owned),
            "convergence": convergence._asdict(),
            "moves": self.moves.facts(),
            "read_repair": keeping.repair.status()._asdict(),
            "scrub": keeping.scrubber.status()._asdict(),
            "dead": keeping.purger.status()._asdict(),
            "hints": {
                node.hex(): {"count": count, "bytes": size}
                for node, (count, size) in keeping.hints.waiting().items()
            },
            "unreachable": []
            if view is None
            else [node.hex() for node in view.members if node != me.node and not keeping.bus.routable(node)],
            "leading": report(self.leading.leaders),
            "writes_open": keeping.coordinator.open_count,
            "tenures": keeping.writers.tenures.count,
            "stamped_anew": keeping.writers.restamps_count,
            "skew_alarms": keeping.stamper.alarms_count,
            "refused": keeping.admission.refused_count,
            "strange_frames": keeping.strange_count,
            "gossip": self.gossiping.status(),
        }

    def status(self) -> bytes:
        """`facts` as JSON."""
        return json.dumps(self.facts(), default=str).encode()

    def validate(self) -> None:
        """Assert what must always hold."""
        self.gossiping.validate()
        self.keeping.validate()
        self.leading.validate()
        self.epochs.validate()
        assert self.keeping.view is self.epochs.view
