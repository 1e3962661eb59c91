"""What the parts of one core share: who it is, its view, what waits to be told, and the list of instructions.

Rules of this file:
1. `now` is the time that the shell gave last; it never goes back.
2. Every datagram leaves through `send`, which fills it up with rumours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .agenda import Agenda
from .codec import encode, encode_header, label_of
from .config import DATAGRAM_BYTES_MAX, Settings
from .health import Health
from .instruction import Change, Halt, Halted, Instruction, MemberChanged, MemberView, SendDatagram, SendFrame
from .member import Dice, NodeId, Profile, Record, Status
from .message import Message, Ring, Rumour
from .rumour import Rumours
from .table import Member, Table

Answer = Callable[[NodeId, int], None]
"""Called with the id and the generation of the node that answered."""


class Desk:
    """Shared state of one core. `boot` is the generation that it was started in."""

    def __init__(
        self, settings: Settings, node_id: NodeId, generation: int, profile: Profile, dice: Dice
    ) -> None:
        self.settings = settings
        self.node_id = node_id
        self.boot = generation
        self.profile = profile
        self.dice = dice
        self.now = 0.0
        self.ring = Ring()
        self.leaving = False
        self.halted: Halted | None = None
        self.table = Table(node_id)
        self.rumours = Rumours(settings.retransmit_ratio)
        self.health = Health()
        self.agenda = Agenda()
        self.counters: Counter[str] = Counter()
        self.awaited: dict[int, Answer] = {}  # by nonce
        self.out: list[Instruction] = []
        self.ring_members: frozenset[NodeId] = frozenset()
        self._label = label_of(settings.label)
        self._room_bytes = DATAGRAM_BYTES_MAX - settings.overhead_bytes
        self._header = b""
        self.stir: Callable[[], None] = lambda: None  # called when a rumour was put

    # -- who it is ---------------------------------------------------------------------------------

    def become(self, generation: int, incarnation: int) -> None:
        """Be known by these numbers from now on."""
        status = Status.LEFT if self.leaving else Status.ALIVE
        self.table.put(Record(self.node_id, generation, incarnation, status, self.profile), self.now)
        self._header = encode_header(self._label, self.node_id, generation)

    @property
    def me(self) -> Member:
        """This node's own entry in its table."""
        member = self.table.get(self.node_id)
        assert member is not None
        return member

    def own_word(self) -> Message:
        """Return the rumour of being alive."""
        return Rumour(self.me.record())

    # -- what goes out -----------------------------------------------------------------------------

    def unknowable(self) -> int:
        """Return a number of 64 bits that nobody else can know."""
        return int.from_bytes(self.dice.randbytes(8), "little")

    def nonce(self, answer: Answer) -> int:
        """Return a number that nobody can know, and have `answer` called with whoever sends it back."""
        nonce = self.unknowable()
        self.awaited[nonce] = answer
        return nonce

    def send(self, address: str, *messages: Message) -> None:
        """Send a datagram, with as many rumours as fit behind these messages."""
        parts = [self._header]
        parts += map(encode, messages)
        rumours = self.rumours
        if len(rumours):
            room = self._room_bytes - sum(map(len, parts))
            parts += rumours.take(room, self.table.live_count)
        self.out.append(SendDatagram(address, b"".join(parts)))

    def send_rumours(self, address: str) -> None:
        """Send a datagram of rumours alone, if there are any."""
        parts = self.rumours.take(self._room_bytes - len(self._header), self.table.live_count)
        if parts:
            self.out.append(SendDatagram(address, self._header + b"".join(parts)))

    def send_frame(self, address: str, *messages: Message) -> None:
        """Send a frame on a stream."""
        self.out.append(SendFrame(address, self._header + b"".join(map(encode, messages))))

    def tell(self, change: Change, member: Member) -> None:
        """Tell the application."""
        self.out.append(MemberChanged(change, view(member)))

    def halt(self, reason: Halted) -> None:
        """Be no member any more."""
        if self.halted is None:
            self.halted = reason
            self.out.append(Halt(reason))


def view(member: Member) -> MemberView:
    """Return what is believed of a member, frozen."""
    return MemberView(
        member.node_id,
        member.generation,
        member.incarnation,
        member.status,
        member.profile,
        member.since,
        member.rtt_s,
        member.ring,
    )
