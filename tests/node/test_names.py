"""The catalogue: every member knows every Dict, and two that make one name make one Dict."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import Error, InvalidError, NoQuorumError, OutcomeUnknownError, StoreFullError
from ringdict.node.replicas import names
from ringdict.node.replicas.names import NONE, Known, Names, Row
from ringdict.node.store import layout
from ringdict.node.store.catalogue import Life, Record, dict_id
from ringdict.node.store.transaction import DictGoneError
from ringdict.node.world import NS_PER_S

from .replicas import Cluster, Member, One


@pytest.fixture(scope="module", autouse=True)
def _small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "PAGE_DICTS_MAX", 3)
        yield


def record(name: str, created_ms: int = 5, by: str = "me") -> Record:
    return Record("main", name, created_ms, by, 0)


def resolve(cluster: Cluster, member: Member, name: str, new: Record | None = None) -> Known:
    told: list[Error | Known] = []
    member.exchange.resolve("main", name, b"" if new is None else new.encode(), told.append)
    for _ in range(100):
        if told:
            break
        cluster.run_for(0.05)
    [known] = told
    assert isinstance(known, Known)
    return known


def test_whom_the_maker_of_a_dict_asks_next_knows_it() -> None:
    cluster = Cluster(5)
    told: list[Error | Known] = []
    known_when_told: list[Known] = []

    def done(result: Error | Known) -> None:
        told.append(result)
        known_when_told.extend(member.names.look_up("main", "d") for member in cluster)

    cluster[0].exchange.resolve("main", "d", record("d").encode(), done)
    cluster.run_for(0.5)
    assert told == [Known(dict_id("main", "d", 0), record("d").encode())]
    assert known_when_told == told * 5
    assert cluster[4].replica.read(dict_id("main", "d", 0), b"\x03k").entry is None


def test_two_sides_of_a_split_make_the_same_dict_and_agree_on_who_made_it() -> None:
    cluster = Cluster(5)
    with cluster.split(0, 1):
        first = resolve(cluster, cluster[0], "d", record("d", 7, "zero"))
        second = resolve(cluster, cluster[4], "d", record("d", 6, "four"))
        resolve(cluster, cluster[2], "only there", record("only there"))
        assert resolve(cluster, cluster[1], "only there") == NONE
    assert first.dict_id == second.dict_id
    cluster.run_for(20)
    assert len({member.names.digest for member in cluster}) == 1
    for member in cluster:
        assert member.names.look_up("main", "d") == second
        assert member.names.look_up("main", "only there").record


def test_who_does_not_know_a_name_or_an_id_asks_the_others_first() -> None:
    cluster = Cluster(3)
    rows = [
        (layout.name_key("main", "d"), Life(0, exists=True).encode()),
        (layout.DICT + dict_id("main", "d", 0), record("d").encode()),
    ]
    cluster[1].names.take(rows, lambda _: None)
    assert resolve(cluster, cluster[0], "d").record == record("d").encode()
    told: list[Error | Known] = []
    cluster[2].exchange.find(dict_id("main", "d", 0), told.append)
    cluster[2].exchange.find(b"no dict.", told.append)
    cluster.run_for(1)
    assert told == [Known(dict_id("main", "d", 0), record("d").encode()), NONE]


def test_a_record_of_another_name_makes_no_dict() -> None:
    cluster = Cluster(1)
    told: list[Error | Known] = []
    cluster[0].exchange.resolve("main", "d", record("e").encode(), told.append)
    cluster[0].exchange.resolve("main", "d", b"no record", told.append)
    assert [type(each) for each in told] == [InvalidError, InvalidError]


def test_many_dicts_are_learned_by_who_joins_and_listed_in_order() -> None:
    cluster = Cluster(2)
    wanted = sorted(f"d{number}" for number in range(40))
    with cluster.split(0):
        for name in wanted:
            resolve(cluster, cluster[0], name, record(name))
        resolve(cluster, cluster[1], "of the other", record("of the other"))
    cluster.run_for(10)
    found: list[str] = []
    more = True
    while more:
        page, more = cluster[1].names.page("main", found[-1] if found else "")
        found += [str(Record.decode(known.record).name) for known in page]
    assert found == sorted([*wanted, "of the other"])
    assert cluster[0].names.page("elsewhere", "") == ([], False)


def test_a_later_life_ends_the_dict_of_the_one_before() -> None:
    one = One(dicts=())
    catalogue = Names(one.world, one.storage, one.replica)
    key, old = layout.name_key("main", "d"), dict_id("main", "d", 0)
    catalogue.create(record("d"), lambda _: None)
    assert one.replica.read(old, b"\x03k").entry is None
    catalogue.take([(key, Life(1, exists=False).encode())], lambda _: None)
    assert catalogue.look_up("main", "d") == NONE
    with pytest.raises(DictGoneError):
        one.replica.read(old, b"\x03k")
    catalogue.take([(layout.DICT + old, record("d").encode())], lambda _: None)
    assert catalogue.by_id(old) == NONE
    catalogue.create(record("d"), lambda _: None)
    assert catalogue.look_up("main", "d").dict_id == dict_id("main", "d", 1)


def test_what_a_full_disk_took_back_is_in_no_digest() -> None:
    one = One(dicts=())
    catalogue = Names(one.world, one.storage, one.replica)
    empty = catalogue.digest
    one.host.disk.full = True
    told: list[Error | Known] = []
    catalogue.create(record("d"), told.append)
    assert catalogue.digest != empty
    one.settle()
    assert isinstance(told[0], StoreFullError)
    assert catalogue.digest == empty
    with pytest.raises(DictGoneError):
        one.replica.cleared_at(dict_id("main", "d", 0))


lives = st.builds(Life, st.integers(0, 2), st.booleans())
catalogue_rows = st.one_of(
    st.builds(
        lambda name, life: (layout.name_key("main", name), life.encode()), st.sampled_from("ab"), lives
    ),
    st.builds(
        lambda name, life, new: (layout.DICT + dict_id("main", name, life), record(name, *new).encode()),
        st.sampled_from("ab"),
        st.integers(0, 2),
        st.tuples(st.integers(1, 3), st.sampled_from("xy")),
    ),
    st.tuples(st.sampled_from([layout.NAME, layout.DICT, b"else"]), st.binary(max_size=12)),
).map(lambda each: (bytes(each[0]), each[1]))


@given(st.lists(catalogue_rows, max_size=10), st.randoms(use_true_random=False))
def test_members_that_tell_each_other_come_to_the_same_whatever_they_had_heard(
    rows: list[Row], dice: random.Random
) -> None:
    """Names in any order; a record counts from when its name is in that life, so the second round settles."""
    two = [One(dicts=()) for _ in range(2)]
    catalogues = [Names(one.world, one.storage, one.replica) for one in two]
    for catalogue in catalogues:
        dice.shuffle(rows)
        for row in rows:
            catalogue.take([row], lambda _: None)
    for _ in range(2):
        for mine, theirs in (catalogues, catalogues[::-1]):
            first, more = b"", True
            while more:
                some, first = mine.stretch(first, b"")
                theirs.take(some, lambda _: None)
                more = bool(first)
    assert catalogues[0].digest == catalogues[1].digest
    for name in "ab":
        known = catalogues[0].look_up("main", name)
        assert known == catalogues[1].look_up("main", name)
        for one in two:
            if known.record:
                assert one.replica.cleared_at(known.dict_id) == 0
    for one, catalogue in zip(two, catalogues, strict=True):
        assert Names(one.world, one.storage, one.replica).digest == catalogue.digest


# -- the end of a Dict ---------------------------------------------------------------------------


def end(cluster: Cluster, member: Member, id_: bytes) -> tuple[Error | bool, float]:
    """What is told, and after how many seconds."""
    told: list[Error | bool] = []
    member.exchange.end(id_, told.append)
    began_ns = cluster.simulation.loop.now_ns
    while not told:
        cluster.run_for(0.01)
    [outcome] = told
    return outcome, (cluster.simulation.loop.now_ns - began_ns) / NS_PER_S


def test_a_dict_has_ended_once_a_majority_knows_and_ends_once() -> None:
    cluster = Cluster(5)
    id_ = resolve(cluster, cluster[0], "d", record("d")).dict_id
    with cluster.split(3, 4):
        assert end(cluster, cluster[1], id_)[0] is True
        assert sum(member.names.by_id(id_) == NONE for member in cluster) == 3
        assert end(cluster, cluster[0], id_)[0] is False
    cluster.run_for(10)
    assert all(member.names.look_up("main", "d") == NONE for member in cluster)
    assert resolve(cluster, cluster[4], "d", record("d")).dict_id == dict_id("main", "d", 1)


def test_who_has_not_heard_of_a_dict_asks_the_others_before_it_ends_it() -> None:
    cluster = Cluster(3)
    id_ = dict_id("main", "d", 0)
    rows = [
        (layout.name_key("main", "d"), Life(0, exists=True).encode()),
        (layout.DICT + id_, record("d").encode()),
    ]
    cluster[1].names.take(rows, lambda _: None)
    assert end(cluster, cluster[0], id_)[0] is True
    assert end(cluster, cluster[0], b"no dict.")[0] is False


def test_a_minority_ends_no_dict_and_says_so() -> None:
    cluster = Cluster(5)
    id_ = resolve(cluster, cluster[0], "d", record("d")).dict_id
    with cluster.split(0, 1):
        outcome, _ = end(cluster, cluster[0], id_)  # it has not yet found out who is cut off
        assert isinstance(outcome, OutcomeUnknownError)
        cluster.run_for(30)
        id_ = resolve(cluster, cluster[0], "e", record("e")).dict_id
        outcome, took_s = end(cluster, cluster[0], id_)
        assert isinstance(outcome, NoQuorumError)
        assert took_s < 0.1
        assert cluster[0].names.by_id(id_) != NONE
    cluster.run_for(10)
    assert all(member.names.look_up("main", "e").dict_id == id_ for member in cluster)
