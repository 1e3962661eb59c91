"""The plans of a cluster's client, without any socket: whom they ask, what they conclude, how they give up.

The clock is the test's, and nodes answer from memory or do what a test says.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ringdict.client import batching, naming, reading, removing, scanning, writing
from ringdict.client.config import READ_PATIENCE_S
from ringdict.client.instruction import Ask, Miss, Outcome, Plan, Together, Wait
from ringdict.client.memory import Memory
from ringdict.client.reading import Reads
from ringdict.client.session import Session
from ringdict.exception import (
    AuthError,
    InvalidError,
    OutcomeUnknownError,
    PartialFailureError,
    RequestTimeoutError,
    StoreFullError,
    UnavailableError,
    ValueTooLargeError,
)
from ringdict.node.network.message import (
    Absent,
    Ack,
    AskRing,
    Get,
    GetMany,
    Message,
    PageRead,
    Present,
    Put,
    PutMany,
    ReadPage,
    Reason,
    Refused,
    Request,
    Unknown,
    Written,
)
from ringdict.node.ringview import NO_MARK
from ringdict.node.store.entry import DamagedEntryError
from ringdict.node.store.transaction import DictGoneError
from ringdict.ring.partition import dict_seed, key_hash

from .nodes import Entry, Node, Nodes

DICT = b"a Dict's"
KEY = b"\x04key"
HASH = key_hash(dict_seed(DICT), KEY)


class World:
    """A session, the nodes it talks to, and what it asked of whom."""

    def __init__(self, count: int = 3, replicas: int = 3) -> None:
        self.nodes = Nodes(count, replicas, listening=False)
        self.nodes.names[DICT] = b"a record"
        self.now_s = 100.0
        self.session = Session(
            [node.address for node in self.nodes],
            lambda: self.now_s,
            lambda: int(self.now_s * 1000),
            random.Random(5),
        )
        self.asked: list[tuple[Node, Request]] = []
        #: Nodes that do not answer; True: they get what is asked.
        self.silent: dict[Node, bool] = {}
        self.error: Any = UnavailableError("nobody there")
        self.before: Callable[[Node, Request], None] = lambda node, request: None

    def run(self, plan: Plan[Any]) -> Any:
        answer: Any = None
        try:
            while True:
                answer = self.obey(plan.send(answer))
        except StopIteration as end:
            return end.value

    def obey(self, instruction: Ask | Wait | Together) -> Any:
        if isinstance(instruction, Wait):
            self.now_s += instruction.seconds
            return None
        if isinstance(instruction, Together):
            return [self.outcome(plan) for plan in instruction.plans]
        node = next((n for n in self.nodes if n.address == instruction.contact.address), None)
        if node is None:
            return Miss(self.error, was_sent=False)
        self.before(node, instruction.request)
        if node in self.silent:
            was_sent = self.silent[node]
            self.now_s += instruction.timeout_s if was_sent else 0.001
            return Miss(self.error, was_sent=was_sent)
        self.asked.append((node, instruction.request))
        self.now_s += 0.001
        return node.hook(node, instruction.request) or self.nodes.answer(node, instruction.request)

    def outcome(self, plan: Plan[Any]) -> Outcome:
        try:
            return Outcome(self.run(plan))
        except Exception as error:  # noqa: BLE001
            return Outcome(error=error)

    def get(self, reads: Reads = Reads.NEAREST) -> Any:
        found = self.run(reading.get(self.session, DICT, KEY, HASH, reads))
        return found.body if isinstance(found, Present) else None

    def put(self, body: bytes = b"value", **options: Any) -> Written:
        written = self.run(writing.put(self.session, DICT, KEY, HASH, body, **options))
        assert isinstance(written, Written)
        return written

    @property
    def owners(self) -> list[Node]:
        return self.nodes.owners(DICT, KEY)

    def of_kind(self, *kinds: type[Request]) -> list[Node]:
        """Who was asked such questions, in order."""
        return [node for node, request in self.asked if isinstance(request, kinds)]


@pytest.fixture
def world() -> World:
    return World()


def refusing(reason: Reason, epoch: int = 0) -> Callable[[Node, Request], Message | None]:
    def hook(node: Node, request: Request) -> Message | None:
        if isinstance(request, AskRing):
            return None
        return Refused(request.number, reason, f"says {reason.name}", (epoch, bytes(8)))

    return hook


# -- whom they ask -------------------------------------------------------------------------------


def test_reads_and_writes_go_straight_to_the_primary_owner(world: World) -> None:
    world.put(b"value")
    assert world.get() == b"value"
    assert world.of_kind(Get, Put) == [world.owners[0]] * 2
    assert len(world.of_kind(AskRing)) == 1


def test_reads_go_to_an_owner_on_this_host_unless_the_primary_is_asked_for(world: World) -> None:
    world.put()
    world.session.is_near(world.session.contact(world.owners[2].address))
    assert world.get() == b"value"
    assert world.get(Reads.PRIMARY) == b"value"
    world.put()
    assert world.of_kind(Get, Put) == [world.owners[0], world.owners[2], world.owners[0], world.owners[0]]


def test_an_owner_that_does_not_answer_is_asked_last_for_a_while(world: World) -> None:
    world.put()
    first, second, _ = world.owners
    world.silent[first] = True
    before_s = world.now_s
    assert world.get() == b"value"
    assert world.now_s - before_s < 2 * READ_PATIENCE_S
    world.asked.clear()
    before_s = world.now_s
    assert world.get() == b"value"
    assert world.now_s - before_s < 0.1
    assert world.of_kind(Get) == [second]


def test_an_owner_that_is_back_is_found_again(world: World) -> None:
    world.put()
    world.silent[world.owners[0]] = False
    world.get()
    world.silent.clear()
    world.now_s += 3
    world.asked.clear()
    world.get()
    world.get()
    assert world.of_kind(Get) == [world.owners[0]] * 2


def test_a_put_goes_to_a_node_that_owns_nothing_when_no_owner_answers() -> None:
    world = World(5, 3)
    world.get()
    for owner in world.owners:
        world.silent[owner] = False
    assert world.put().copies
    assert world.of_kind(Put)[0] not in world.owners


def test_a_newer_ring_is_fetched_from_who_knows_it_and_gone_by_at_once() -> None:
    world = World(4, 3)
    world.put()
    entries = {node: dict(node.entries) for node in world.nodes}
    world.nodes.decide([3, 2, 1, 0])
    for node in world.nodes:
        node.entries = dict(next(iter(e for e in entries.values() if e)))
    world.asked.clear()
    before_s = world.now_s
    assert world.get() == b"value"
    assert world.of_kind(Get)[-1] is world.owners[0]
    assert len(world.of_kind(Get)) == 2
    assert world.now_s - before_s < 0.01


def test_a_node_that_is_behind_sends_the_client_to_the_next(world: World) -> None:
    world.put()
    world.owners[0].hook = refusing(Reason.BEHIND)
    assert world.get() == b"value"
    assert world.of_kind(Get) == world.owners[:2]


def test_nodes_that_moved_are_found_through_those_that_stayed(world: World) -> None:
    world.put()
    for node in world.owners[:2]:
        node.address = f"moved{node.number}:7600"
    world.now_s += 5
    world.get()
    world.now_s += 5
    world.asked.clear()
    assert world.get() == b"value"
    assert world.get() == b"value"
    assert world.of_kind(Get)[-1] is world.owners[0]


def test_all_nodes_may_be_gone_and_come_back_at_their_seeds(world: World) -> None:
    world.put()
    for node in world.nodes:
        world.silent[node] = False
    with pytest.raises(UnavailableError):
        world.get()
    world.silent.clear()
    world.now_s += 3
    assert world.get() == b"value"


# -- what they conclude --------------------------------------------------------------------------


def test_a_put_whose_answer_was_lost_is_sent_again_under_its_operation_id(world: World) -> None:
    world.get()
    heard: list[Request] = []
    world.before = lambda node, request: heard.append(request)
    world.silent[world.owners[0]] = True
    world.put()
    ids = {request.operation_id for request in heard if isinstance(request, Put)}
    assert len(ids) == 1
    assert len([request for request in heard if isinstance(request, Put)]) == 2


def test_a_write_that_nobody_got_did_not_happen(world: World) -> None:
    world.get()
    for node in world.nodes:
        world.silent[node] = False
    before_s = world.now_s
    with pytest.raises(UnavailableError, match="nobody there"):
        world.put()
    assert world.now_s - before_s <= world.session.timeout_s + 0.5


def test_a_write_that_somebody_got_may_have_happened(world: World) -> None:
    world.get()
    for node in world.nodes:
        world.silent[node] = True
    with pytest.raises(RequestTimeoutError, match="may or may not") as caught:
        world.put()
    assert caught.value.operation_id is not None
    assert len(caught.value.operation_id) == 16
    with pytest.raises(UnavailableError):
        world.get()


@pytest.mark.parametrize("reason", [Reason.TOO_LARGE, Reason.INVALID, Reason.MISMATCH, Reason.NOT_SUPPORTED])
@pytest.mark.parametrize("first", ["silent", "silent in a batch", "unknown"])
def test_a_refusal_does_not_undo_what_an_earlier_attempt_may_have_done(
    reason: Reason, first: str, world: World
) -> None:
    world.get()
    if "silent" in first:
        world.silent[world.owners[0]] = True
    else:
        world.owners[0].hook = lambda _, request: (
            Unknown(request.number, "who knows") if isinstance(request, (Put, PutMany)) else None
        )
    for node in world.owners[1:]:
        node.hook = refusing(reason)
    with pytest.raises(OutcomeUnknownError, match="may have been written before this"):
        if first == "silent in a batch":
            world.run(batching.put_many(world.session, DICT, [(KEY, HASH, b"value")]))
        else:
            world.put()


def test_a_write_of_which_the_nodes_do_not_know_may_have_happened(world: World) -> None:
    for node in world.nodes:
        node.hook = lambda _, request: (
            Unknown(request.number, "no majority answered") if isinstance(request, Put) else None
        )
    with pytest.raises(OutcomeUnknownError, match="no majority answered"):
        world.put(ack=Ack.MAJORITY)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.TOO_LARGE, ValueTooLargeError),
        (Reason.INVALID, InvalidError),
        (Reason.NOT_SUPPORTED, UnavailableError),
        (Reason.STORE_FULL, StoreFullError),
        (Reason.NO_DICT, DictGoneError),
        (Reason.DAMAGED, DamagedEntryError),
        (Reason.OVERLOADED, UnavailableError),
        (Reason.UNAVAILABLE, UnavailableError),
        (Reason.NOT_SERVING, UnavailableError),
        (Reason.NOT_OWNER, UnavailableError),
    ],
)
def test_refusals_of_all_nodes_become_errors(reason: Reason, error: type[Exception], world: World) -> None:
    for node in world.nodes:
        node.hook = refusing(reason)
    with pytest.raises(error):
        world.put()
    with pytest.raises(error):
        world.get()


def test_overload_is_said_after_three_passes_and_not_after_five_seconds(world: World) -> None:
    for node in world.nodes:
        node.hook = refusing(Reason.OVERLOADED)
    before_s = world.now_s
    with pytest.raises(UnavailableError, match="OVERLOADED"):
        world.put()
    assert world.now_s - before_s < 0.5
    assert len(world.of_kind(Put)) == 9


def test_one_full_disk_of_three_stops_no_put(world: World) -> None:
    world.get()
    world.owners[0].hook = refusing(Reason.STORE_FULL)
    assert world.put().copies


def test_a_wrong_secret_is_said_at_once(world: World) -> None:
    world.error = AuthError("another secret")
    for node in world.nodes:
        world.silent[node] = False
    before_s = world.now_s
    with pytest.raises(AuthError):
        world.get()
    assert world.now_s - before_s < 0.1


def test_the_ring_of_another_cluster_is_none(world: World) -> None:
    world.put()
    stranger = Nodes(3, listening=False)
    stranger.cluster_id = b"d" * 16
    stranger.decide(range(3))
    stranger.decide(range(3))
    told = stranger.answer(stranger[0], AskRing(1, 0))
    before = world.session.route
    assert world.session.hear(told) is not None  # type: ignore[arg-type]
    assert world.session.route is before


# -- what the client has seen --------------------------------------------------------------------


def test_a_client_sees_its_own_write_though_an_owner_lags(world: World) -> None:
    world.put(b"old")
    world.put(b"new")
    world.owners[0].entries[DICT, KEY] = Entry((1, 1, 1), b"old")
    assert world.get() == b"new"
    assert world.get(Reads.ANY) == b"old"


def test_reads_never_go_back_in_time(world: World) -> None:
    other = World()
    other.nodes = world.nodes
    other.put(b"old")
    lagging = dict(world.owners[0].entries)
    other.put(b"new")
    assert world.get() == b"new"
    world.owners[0].entries = lagging
    assert world.get() == b"new"
    world.owners[0].entries = {}
    assert world.get() == b"new"


def test_what_all_owners_lost_is_said_once_and_then_no_longer_expected(world: World) -> None:
    world.put(b"new")
    for node in world.nodes:
        node.entries[DICT, KEY] = Entry((1, 1, 1), b"old")
    with pytest.raises(UnavailableError, match="lost"):
        world.get()
    assert world.get() == b"old"


def test_an_entry_that_expired_need_not_be_there(world: World) -> None:
    world.put(b"brief", ttl_ms=1000)
    for node in world.nodes:
        node.entries.clear()
    world.now_s += 2
    assert world.get() is None


def test_what_was_there_before_an_entry_that_expired_does_not_come_back(world: World) -> None:
    world.put(b"old")
    lagging = dict(world.owners[0].entries)
    world.put(b"brief", ttl_ms=1000)
    for node in world.nodes:
        node.entries.clear()
    world.owners[0].entries = lagging
    world.now_s += 2
    assert world.get() is None
    assert world.run(batching.get_many(world.session, DICT, [(KEY, HASH)])) == [None]


def test_what_a_batch_read_may_have_expired_since(world: World) -> None:
    world.put(b"brief")
    fresh = World()
    fresh.nodes = world.nodes
    assert fresh.run(batching.get_many(fresh.session, DICT, [(KEY, HASH)])) == [b"brief"]
    for node in world.nodes:
        node.entries.clear()
    before_s = fresh.now_s
    assert fresh.get() is None
    assert fresh.now_s - before_s < 0.1


def test_memory_is_bounded_and_forgets_what_was_heard_of_longest_ago() -> None:
    memory = Memory(keys_max=10)
    for key in range(100):
        memory.see(key, (key + 1, 0, 0))
    remembered = [key for key in range(100) if memory.look(key) is not None]
    assert 10 <= len(remembered) <= 20
    assert remembered == list(range(100 - len(remembered), 100))
    assert memory.floor == 100


def test_a_put_is_stamped_above_all_that_the_client_has_seen(world: World) -> None:
    world.nodes.version = 77_000
    world.put()
    world.put()
    floors = [request.floor for _, request in world.asked if isinstance(request, Put)]
    assert floors == [0, 77_001]


# -- many keys -----------------------------------------------------------------------------------


def rows(count: int) -> list[tuple[bytes, int, bytes]]:
    seed = dict_seed(DICT)
    keys = [b"\x04%d" % number for number in range(count)]
    return [(key, key_hash(seed, key), b"of " + key) for key in keys]


def test_a_batch_is_split_by_owner_and_comes_together_again(world: World) -> None:
    items = rows(300)
    world.run(batching.put_many(world.session, DICT, items))
    assert set(world.of_kind(PutMany)) == set(world.nodes)
    keys = [item[:2] for item in items] + [(b"\x04none", 5)]
    bodies = world.run(batching.get_many(world.session, DICT, keys))
    assert bodies == [item[2] for item in items] + [None]
    assert len(world.of_kind(GetMany)) == 3
    fresh = world.run(removing.get_many(world.session, DICT, keys[:100]))
    assert fresh == bodies[:100]


def test_a_batch_goes_on_with_the_nodes_that_answer(world: World) -> None:
    items = rows(300)
    world.get()
    world.silent[world.nodes[1]] = True
    world.run(batching.put_many(world.session, DICT, items))
    keys = [item[:2] for item in items]
    assert world.run(batching.get_many(world.session, DICT, keys)) == [item[2] for item in items]


def test_a_batch_follows_a_newer_ring(world: World) -> None:
    world.get()
    world.nodes.decide([2, 1, 0])
    items = rows(100)
    world.run(batching.put_many(world.session, DICT, items))
    keys = [item[:2] for item in items]
    assert world.run(batching.get_many(world.session, DICT, keys)) == [item[2] for item in items]


def test_a_batch_says_which_keys_failed_and_which_are_done(world: World) -> None:
    items = rows(50)

    def hook(node: Node, request: Request) -> Message | None:
        if isinstance(request, PutMany) and any(key == items[0][0] for key, _ in request.items):
            return Refused(request.number, Reason.TOO_LARGE, "too large", NO_MARK)
        return None

    for node in world.nodes:
        node.hook = hook
    with pytest.raises(PartialFailureError) as caught:
        world.run(batching.put_many(world.session, DICT, items))
    failed, done = caught.value.failed, caught.value.done
    assert items[0][0] in failed
    assert sorted([*failed, *done]) == sorted(item[0] for item in items)
    assert all(isinstance(error, ValueTooLargeError) for error in failed.values())
    stored = {key for node in world.nodes for _, key in node.entries}
    assert stored == set(done)


def test_a_batch_that_nobody_took_fails_as_one_write_does(world: World) -> None:
    world.get()
    for node in world.nodes:
        world.silent[node] = False
    with pytest.raises(UnavailableError):
        world.run(batching.put_many(world.session, DICT, rows(10)))
    for node in world.nodes:
        world.silent[node] = True
    world.now_s += 10
    with pytest.raises(RequestTimeoutError):
        world.run(batching.put_many(world.session, DICT, rows(10)))


# -- all keys ------------------------------------------------------------------------------------


def scan(world: World, between: Callable[[int], None] = lambda page: None) -> list[bytes]:
    found: list[bytes] = []
    start: bytes | None = None
    number = 0
    while True:
        page, start = world.run(scanning.page(world.session, DICT, start, b""))
        found += [key for key, _ in page]
        if start is None:
            return found
        number += 1
        between(number)


def spread(world: World, count: int = 1000) -> list[bytes]:
    """Entries on all nodes, whichever ring there will be."""
    for key, _, body in rows(count):
        for node in world.nodes:
            node.entries[DICT, key] = Entry((7, 1, 7), body)
    return sorted(key for key, _, _ in rows(count))


def test_a_scan_finds_each_key_once_and_counting_agrees(world: World) -> None:
    keys = spread(world)
    assert sorted(scan(world)) == keys
    size_bytes = sum(len(key) + len(body) for key, _, body in rows(1000))
    assert world.run(scanning.count(world.session, DICT)) == (1000, size_bytes)


def test_a_scan_finds_each_key_once_though_nodes_die_and_the_ring_changes() -> None:
    dice = random.Random(11)
    for _ in range(6):
        world = World(4, 3)
        keys = spread(world, 600)

        def disturb(_: int, world: World = world) -> None:
            world.silent = {dice.choice(world.nodes.nodes): bool(dice.randrange(2))}
            if dice.random() < 0.3:
                world.nodes.decide(dice.sample(range(4), 4))

        assert sorted(scan(world, disturb)) == keys


# -- names ---------------------------------------------------------------------------------------


def test_a_dict_is_missing_when_all_who_answer_say_so(world: World) -> None:
    session = world.session
    assert world.run(naming.resolve(session, "main", "d")) is None
    made = world.run(naming.resolve(session, "main", "d", b"record"))
    assert made is not None
    assert world.run(naming.resolve_id(session, made[0])) == (made[0], b"record")
    assert world.run(naming.resolve_id(session, b"stranger")) is None


def test_absent_is_not_what_a_get_says_when_no_owner_answers(world: World) -> None:
    assert isinstance(world.run(reading.get(world.session, DICT, KEY, HASH)), Absent)
    for node in world.nodes:
        world.silent[node] = True
    with pytest.raises(UnavailableError):
        world.get()


def test_what_is_damaged_where_a_page_was_read_is_read_from_another_owner(world: World) -> None:
    world.put(b"whole")
    owner = world.owners[0]

    def damaged(node: Node, request: Request) -> Message | None:
        if isinstance(request, ReadPage):
            return PageRead(request.number, [(KEY, None)], b"")
        if isinstance(request, Get) and node is owner:
            return Refused(request.number, Reason.DAMAGED, "damaged here", NO_MARK)
        return None

    for node in world.nodes:
        node.hook = damaged
    page, _ = world.run(scanning.page(world.session, DICT, None, b""))
    assert page == [(KEY, b"whole")]


def test_an_entry_is_not_said_to_be_damaged_while_an_owner_that_may_have_it_is_silent(world: World) -> None:
    world.put(b"whole")
    one, *others = world.owners
    one.hook = lambda _, request: (
        Refused(request.number, Reason.DAMAGED, "damaged here", NO_MARK) if isinstance(request, Get) else None
    )
    world.silent = dict.fromkeys(others, True)
    began_s = world.now_s

    def come_back(_node: Node, _request: Request) -> None:
        if world.now_s > began_s + 2:
            world.silent.clear()

    world.before = come_back
    assert world.get() == b"whole"
