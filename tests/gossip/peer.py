"""One core under test, played to by hand: letters in, what it said out."""

from __future__ import annotations

import random
from collections.abc import Iterable

from ringdict.gossip.codec import decode, encode, encode_header, label_of
from ringdict.gossip.config import FRAME_BYTES_MAX, LAN, Settings
from ringdict.gossip.core import Gossip
from ringdict.gossip.instruction import (
    Change,
    Halt,
    Instruction,
    MemberChanged,
    SendDatagram,
    SendFrame,
)
from ringdict.gossip.member import NodeId, Profile, Record, Status
from ringdict.gossip.message import (
    Ack,
    Dead,
    Entry,
    Left,
    Message,
    Ping,
    PingRequest,
    Ring,
    Rumour,
    Suspect,
    SyncTell,
)

ME = NodeId(b"m" * 16)


def node_id(name: str) -> NodeId:
    return NodeId(name.encode().ljust(16, b"."))


def address(name: str) -> str:
    return f"{name}:7000"


def record(name: str, incarnation: int = 0, *, generation: int = 1, at: str | None = None) -> Record:
    return Record(node_id(name), generation, incarnation, Status.ALIVE, Profile(at or address(name)))


class Peer:
    """A core, time, and what it said since it was last asked."""

    def __init__(self, *, settings: Settings = LAN, generation: int = 1, seed: int = 7) -> None:
        self.label = label_of(settings.label)
        self.now = 100.0
        self.said: list[Instruction] = []
        self.looked_at = 0  # how much of it was looked at for pings to answer
        self.silent: list[Ping] = []  # those not answered yet
        self.core = Gossip(ME, generation, Profile("me:7000"), random.Random(seed), settings=settings)
        self.said += self.core.start(self.now)

    # -- what it hears -----------------------------------------------------------------------------

    def letter(self, sender: str | NodeId, *messages: Message, generation: int = 1) -> bytes:
        sender_id = node_id(sender) if isinstance(sender, str) else sender
        return encode_header(self.label, sender_id, generation) + b"".join(map(encode, messages))

    def hear(self, sender: str, *messages: Message, generation: int = 1, at: str | None = None) -> None:
        data = self.letter(sender, *messages, generation=generation)
        self.said += self.core.handle_datagram(data, at or address(sender), self.now)
        self.core.validate()

    def hear_frame(self, sender: str, *messages: Message, generation: int = 1) -> None:
        data = self.letter(sender, *messages, generation=generation)
        self.said += self.core.handle_frame(data, address(sender), self.now)
        self.core.validate()

    def hear_sync(self, sender: str, *records: Record) -> None:
        self.hear_frame(sender, SyncTell((1 << 64) - 1, answer=False), *map(Entry, records))

    def wait(self, seconds: float, *, answering: Iterable[str] = ()) -> None:
        """Let time pass; `answering` answer their pings, all others are silent."""
        end = self.now + seconds
        self.answer(*answering)
        while (due := self.core.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.said += self.core.tick(self.now)
            self.core.validate()
            self.answer(*answering)
        self.now = end

    def answer(self, *names: str, generation: int = 1) -> None:
        """Answer what pings to these have not been answered yet."""
        ids = {node_id(name): name for name in names}
        while self.looked_at < len(self.said):  # an answer may make it say more
            fresh, self.looked_at = self.said[self.looked_at :], len(self.said)
            self.silent += [ping for ping in self.pings_in(fresh) if ping.target not in ids]
            for ping in self.pings_in(fresh):
                if ping.target in ids:
                    self.acknowledge(ids[ping.target], ping, generation)
        for ping in [ping for ping in self.silent if ping.target in ids]:
            self.silent.remove(ping)
            self.acknowledge(ids[ping.target], ping, generation)

    def acknowledge(self, name: str, ping: Ping, generation: int) -> None:
        self.hear(name, Ack(ping.nonce, self.core.digest, Ring()), generation=generation)

    def pings_in(self, instructions: list[Instruction]) -> list[Ping]:
        letters = [one.data for one in instructions if isinstance(one, SendDatagram | SendFrame)]
        heard = [decode(letter, self.label, bytes_max=FRAME_BYTES_MAX) for letter in letters]
        return [message for letter in heard for message in letter.messages if isinstance(message, Ping)]

    def join(self, *names: str) -> None:
        """Let members in, as they come in: a rumour, a ping, an answer."""
        for name in names:
            self.hear(name, Rumour(record(name)))
            self.answer(name)
        assert all(self.status(name) is Status.ALIVE for name in names)
        self.forget()

    # -- what it says and believes -----------------------------------------------------------------

    def forget(self) -> None:
        self.said.clear()
        self.silent.clear()
        self.looked_at = 0

    def letters(self, to: str | None = None) -> list[list[Message]]:
        return [
            decode(instruction.data, self.label, bytes_max=FRAME_BYTES_MAX).messages
            for instruction in self.said
            if isinstance(instruction, SendDatagram | SendFrame) and to in (None, instruction.address)
        ]

    def messages(self, to: str | None = None) -> list[Message]:
        return [message for letter in self.letters(to) for message in letter]

    def pings(self, name: str) -> list[Ping]:
        target = node_id(name)
        return [
            message for message in self.messages() if isinstance(message, Ping) and message.target == target
        ]

    def said_of_itself(self) -> list[Record]:
        return [
            message.record
            for message in self.messages()
            if isinstance(message, Rumour) and message.record.node_id == ME
        ]

    def changes(self, name: str) -> list[Change]:
        return [
            instruction.change
            for instruction in self.said
            if isinstance(instruction, MemberChanged) and instruction.member.node_id == node_id(name)
        ]

    def halts(self) -> list[Halt]:
        return [instruction for instruction in self.said if isinstance(instruction, Halt)]

    def status(self, name: str) -> Status | None:
        view = self.core.member(node_id(name))
        return None if view is None else view.status

    def incarnation(self, name: str) -> int:
        view = self.core.member(node_id(name))
        assert view is not None
        return view.incarnation

    @property
    def own(self) -> Record:
        view = self.core.member(ME)
        assert view is not None
        return Record(ME, view.generation, view.incarnation, view.status, view.profile)


def among(message: Message, messages: Iterable[Message]) -> bool:
    """Whether this very message is there: tuples of two kinds may be equal."""
    return any(type(one) is type(message) and one == message for one in messages)


def suspect(name: str, reporter: str, incarnation: int = 0, *, generation: int = 1) -> Suspect:
    return Suspect(node_id(name) if name != "me" else ME, generation, incarnation, node_id(reporter))


def dead(name: str, reporter: str, incarnation: int = 0, *, generation: int = 1) -> Dead:
    return Dead(node_id(name) if name != "me" else ME, generation, incarnation, node_id(reporter))


def left(name: str, incarnation: int = 0, *, generation: int = 1) -> Left:
    return Left(node_id(name) if name != "me" else ME, generation, incarnation)


def asked_to_probe(messages: Iterable[Message]) -> list[PingRequest]:
    return [message for message in messages if isinstance(message, PingRequest)]
