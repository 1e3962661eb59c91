"""The view: its digest says who is alive, and nothing else; its lists agree with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringdict.gossip.agenda import Agenda
from ringdict.gossip.member import NodeId, Profile, Record, Status
from ringdict.gossip.table import Table

from .peer import ME, node_id, record

words = st.builds(
    Record,
    st.sampled_from([node_id(name) for name in "abcdefgh"]),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([Status.ALIVE, Status.DEAD, Status.LEFT]),
    st.just(Profile("a:1")),
)


@given(st.lists(words, max_size=30), st.lists(st.sampled_from("abcdefgh"), max_size=5))
def test_whatever_is_put_and_forgotten_the_lists_agree(sequence: list[Record], forgotten: list[str]) -> None:
    table = Table(ME)
    for word in sequence:
        table.put(word, 0.0)
        table.validate()
    for name in forgotten:
        table.forget(node_id(name))
        table.validate()
    last = {word.node_id: word for word in sequence}
    assert {peer.node_id for peer in table.peers} == {
        word.node_id for word in last.values() if word.status is Status.ALIVE
    }


@given(st.permutations([record(name, number) for number, name in enumerate("abcdef")]))
def test_the_digest_does_not_depend_on_the_order(order: list[Record]) -> None:
    one, other = Table(ME), Table(ME)
    for word in order:
        one.put(word, 0.0)
    for word in sorted(order):
        other.put(word, 0.0)
    assert (one.digest, one.buckets) == (other.digest, other.buckets)


def test_the_digest_is_of_the_living_and_their_numbers() -> None:
    table = Table(ME)
    table.put(record("a"), 0.0)
    alone = table.digest
    table.put(record("b"), 0.0)
    both = table.digest
    assert both != alone
    table.put(record("b", 1), 0.0)
    assert table.digest != both
    table.put(record("b")._replace(profile=Profile("elsewhere:1")), 0.0)
    assert table.digest == both  # a profile changes with a number only
    table.put(record("b")._replace(status=Status.DEAD), 0.0)
    assert table.digest == alone
    table.forget(node_id("b"))
    assert table.digest == alone


def test_the_living_are_not_forgotten() -> None:
    table = Table(ME)
    table.put(record("a"), 0.0)
    table.forget(node_id("a"))
    assert table.live(node_id("a")) is not None


def test_the_successor_is_the_next_on_the_circle() -> None:
    table = Table(NodeId(b"m" * 16))
    assert table.successor() is None
    for letter, expected in ((b"c", b"c"), (b"x", b"x"), (b"n", b"n"), (b"a", b"n")):
        table.put(Record(NodeId(letter * 16), 1, 0, Status.ALIVE, Profile("a:1")), 0.0)
        successor = table.successor()
        assert successor is not None
        assert successor.node_id == expected * 16
    for letter in (b"n", b"x"):
        table.put(Record(NodeId(letter * 16), 1, 0, Status.DEAD, Profile("a:1")), 0.0)
    successor = table.successor()
    assert successor is not None
    assert successor.node_id == b"a" * 16


def test_appointments_are_kept_in_order_and_may_be_called_off() -> None:
    agenda = Agenda()
    done: list[str] = []
    assert agenda.next_due() is None

    def more() -> None:
        agenda.at(1.6, lambda: done.append("made meanwhile"))

    agenda.at(2.0, lambda: done.append("two"))
    off = agenda.at(1.0, lambda: done.append("off"))
    agenda.at(2.0, lambda: done.append("two again"))
    agenda.at(1.5, more)
    off.cancel()
    off.cancel()
    assert agenda.next_due() == 1.5
    agenda.run(1.9)
    assert done == ["made meanwhile"]
    agenda.run(2.0)
    assert done == ["made meanwhile", "two", "two again"]
    assert agenda.next_due() is None
