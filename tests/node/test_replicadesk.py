"""What a node answers others about its entries, and whom."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ringdict.node.network.message import Reason, Refused, Reply, Request
from ringdict.node.network.peermessage import (
    Applied,
    AskFloor,
    AskPlaces,
    AskRoot,
    AskRows,
    AskSums,
    Floor,
    Places,
    Replicate,
    Rows,
    Sums,
)
from ringdict.node.network.wire import decode, encode
from ringdict.node.replicas.stretch import Row, partition_at
from ringdict.node.ringview import NO_MARK
from ringdict.node.world import Address, World

from .replicas import PARTITIONS, Cluster, row


class Asker:
    """Somebody at an address: of no member, unless it takes one's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[Reply] = []

    def on_frame(self, _source: Address, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, Reply):
            self.answers.append(message)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class Talk:
    """One member, and somebody at the address of another one."""

    def __init__(self, owning: Sequence[int] = (0, 1)) -> None:
        self.cluster = Cluster(2)
        self.cluster.set_ring(owning=owning)
        self.member = self.cluster[0]
        self.host = self.cluster.hosts[1]
        self.cluster.simulation.crash(self.host)
        self.host.factory = Asker
        self.cluster.simulation.restart(self.host)
        self.stranger = self.cluster.simulation.host("stranger", Asker)
        self.cluster.run_for(0.1)

    @property
    def mark(self) -> tuple[int, bytes]:
        return self.member.view.mark

    def ask(self, question: Request, *, stranger: bool = False) -> Reply:
        process = (self.stranger if stranger else self.host).process
        assert isinstance(process, Asker)
        process.answers.clear()
        process.world.send(Address("n0"), encode(question))
        self.cluster.run_for(0.5)
        [answer] = process.answers
        assert answer.number == question.number
        return answer


def test_entries_are_taken_and_who_sends_older_ones_hears_of_the_newer() -> None:
    talk = Talk()
    assert talk.ask(Replicate(7, talk.mark, [row(b"a", 5), row(b"b", 1)])) == Applied(7, 0)
    assert talk.ask(Replicate(8, talk.mark, [row(b"a", 4), row(b"b", 1)])) == Applied(8, 5)
    assert talk.ask(AskRows(9, talk.mark, [row(b"a")[0], row(b"none")[0]])) == Rows(9, [row(b"a", 5)])


@pytest.mark.parametrize(
    ("epoch", "reason"), [(0, Reason.WRONG_EPOCH), (1, Reason.WRONG_EPOCH), (3, Reason.BEHIND)]
)
@pytest.mark.parametrize("kind", [Replicate, AskRows])
def test_who_goes_by_another_ring_is_told_and_nothing_happens(
    kind: type[Replicate | AskRows], epoch: int, reason: Reason
) -> None:
    talk = Talk()
    answer = talk.ask(kind(7, (epoch, b"whatever"), []))
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.mark) == (reason, talk.mark)


def test_a_stranger_is_told_nothing_and_nothing_of_his_is_taken() -> None:
    talk = Talk()
    for question in (
        Replicate(1, talk.mark, [row(b"a")]),
        AskFloor(2, talk.mark, [0]),
        AskRoot(3, talk.mark),
        AskSums(4, talk.mark, [0]),
        AskPlaces(5, talk.mark, 0, b""),
        AskRows(6, talk.mark, []),
    ):
        answer = talk.ask(question, stranger=True)
        assert isinstance(answer, Refused)
        assert answer.reason == Reason.INVALID
    assert talk.member.contents() == {}


def refusal(talk: Talk, rows: list[Row]) -> int:
    answer = talk.ask(Replicate(7, talk.mark, rows))
    assert isinstance(answer, Refused)
    return answer.reason


def test_what_is_damaged_misplaced_or_kept_by_others_is_refused_with_all_that_came_with_it() -> None:
    talk = Talk()
    place, raw = row(b"a")
    for wrong in ((place, raw[:-1] + b"?"), (row(b"b")[0], raw), (place, b"")):
        assert refusal(talk, [row(b"c"), wrong]) == Reason.INVALID
    assert talk.member.contents() == {}
    assert refusal(Talk(owning=[1]), [row(b"c")]) == Reason.NOT_OWNER


def test_in_no_ring_nothing_is_answered() -> None:
    cluster = Cluster(1)
    asker = cluster.simulation.host("asker", Asker)
    cluster.decree = None
    cluster.simulation.crash(cluster.hosts[0])
    cluster.simulation.restart(cluster.hosts[0])
    cluster.run_for(0.1)
    assert isinstance(asker.process, Asker)
    asker.process.world.send(Address("n0"), encode(AskFloor(1, (1, bytes(8)), [0])))
    cluster.run_for(0.1)
    [answer] = asker.process.answers
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.mark) == (Reason.NOT_SERVING, NO_MARK)


def test_floors_are_told_once_they_are_known_and_sums_are_refused_until_then() -> None:
    talk = Talk()
    place, raw = row(b"a", 77)
    talk.ask(Replicate(1, talk.mark, [(place, raw)]))
    talk.cluster.simulation.crash(talk.cluster.hosts[0])
    talk.cluster.simulation.restart(talk.cluster.hosts[0])
    talk.cluster.run_for(0.01)
    talk.member = talk.cluster[0]
    partition = partition_at(place)
    other = (partition + 1) % PARTITIONS
    talk.member.replica.measure_anew(partition)
    assert talk.ask(AskFloor(2, talk.mark, [partition, other])) == Floor(2, [77, 0])
    talk.member.replica.measure_anew(partition)
    answer = talk.ask(AskSums(3, talk.mark, [partition]))
    assert isinstance(answer, Refused)
    assert answer.reason == Reason.NOT_SERVING
    answer = talk.ask(AskSums(4, talk.mark, [partition, other]))
    assert isinstance(answer, Sums)
    assert answer.sums[1] == bytes(16) != answer.sums[0]
    assert talk.ask(AskPlaces(5, talk.mark, partition, b"")) == Places(5, [(place, raw[:25])], b"", 0)


def test_no_partition_that_there_is_not_is_looked_for() -> None:
    talk = Talk()
    for question in (
        AskFloor(2, talk.mark, [PARTITIONS]),
        AskSums(4, talk.mark, [5, 1 << 40]),
        AskSums(4, talk.mark, [5] * 1025),
        AskPlaces(5, talk.mark, PARTITIONS, b""),
    ):
        answer = talk.ask(question)
        assert isinstance(answer, Refused)
        assert answer.reason == Reason.INVALID
