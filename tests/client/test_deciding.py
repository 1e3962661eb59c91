"""Plans that ask leaders: at most once, whatever is lost, and a definite answer where one can be known.

As in test_session.py the clock is the test's. What leaders decide is real (deciders.py).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.client import atomic, locking, reading, removing, scanning
from ringdict.client.config import LOCK_NOTICE_S
from ringdict.client.instruction import Ask, Miss, Together
from ringdict.client.instruction import Wait as Pause
from ringdict.client.memory import Memory
from ringdict.exception import (
    NoQuorumError,
    OutcomeUnknownError,
    PartialFailureError,
    RequestTimeoutError,
    UnavailableError,
)
from ringdict.node.network.leadermessage import Act, Clear, Greet, NotLed, Verb, Wait
from ringdict.node.network.message import Absent, Reason, Refused, Request
from ringdict.node.ringview import NO_MARK
from ringdict.node.store import layout
from ringdict.node.store.grant import Abandon, Acquire, Extend, Release
from ringdict.node.store.number import decode_number
from ringdict.node.store.operation import (
    DeleteMany,
    Increment,
    MismatchError,
    Operation,
    Pop,
    PutIfAbsent,
    Replace,
    SetDefault,
)

from .nodes import Entry, Node
from .test_session import DICT, HASH, KEY, World

LOCK = layout.LOCK_SPACE + KEY
HOLDER = b"holder no 1 ...."


class LeadWorld(World):
    """A world in which what is said about leading may be lost. `faults`: of the requests of a kind, in order,
    "lost" on the way there, "mute" on the way back, "depose" on the way back, and its leader is no more."""

    def __init__(self, count: int = 3, replicas: int = 3) -> None:
        super().__init__(count, replicas)
        self.faults: list[str] = []
        self.faulty: type[Request] = Act

    @property
    def partition(self) -> int:
        return self.nodes.partition(DICT, KEY)

    def obey(self, instruction: Ask | Pause | Together) -> Any:
        if isinstance(instruction, Ask) and isinstance(instruction.request, self.faulty) and self.faults:
            fault = self.faults.pop(0)
            if fault in {"mute", "depose"}:
                super().obey(instruction)
            if fault == "depose":
                self.depose()
            if fault != "none":
                self.now_s += instruction.timeout_s
                return Miss(UnavailableError("no answer in time"), was_sent=True)
        return super().obey(instruction)

    def depose(self) -> None:
        """The leader of the key is no more, and another leads."""
        leader = self.nodes.deciders.leader(self.partition)[0]
        heir = next(owner for owner in self.owners if owner is not leader)
        self.nodes.deciders.depose(self.partition, heir)

    def do(self, operation: Operation[Any]) -> Any:
        plan = atomic.plan_of(self.session, DICT, operation) or locking.plan_of(self.session, DICT, operation)
        assert plan is not None
        return self.run(plan)

    def put_if_absent(self, body: bytes = b"mine") -> Any:
        return self.do(PutIfAbsent(KEY, body, 0, b""))

    def increment(self, delta: int = 1) -> Any:
        return self.do(Increment(KEY, delta, 0, 0, b"", 1000))

    @property
    def acts(self) -> list[Act]:
        return [request for _, request in self.asked if isinstance(request, Act)]

    @property
    def record(self) -> Any:
        return self.nodes.deciders.records.get(DICT + KEY)


@pytest.fixture
def world() -> LeadWorld:
    return LeadWorld()


# -- in health -----------------------------------------------------------------------------------


def test_one_question_an_operation_to_the_primary_owner_once_it_was_greeted(world: LeadWorld) -> None:
    assert world.put_if_absent()
    assert not world.put_if_absent(b"other")
    assert world.of_kind(Greet, Act) == [world.owners[0]] * 3


def test_what_stands_there_is_told(world: LeadWorld) -> None:
    assert world.do(SetDefault(KEY, b"mine", 0, b"")) == b"mine"
    assert world.do(SetDefault(KEY, b"other", 0, b"")) == b"mine"
    version = world.run(atomic.get(world.session, DICT, KEY)).version
    with pytest.raises(MismatchError):
        world.do(Replace(KEY, b"new", version + 1, 0, b""))
    for absurd in (0, -1, 1 << 80):
        with pytest.raises(MismatchError):
            world.do(Replace(KEY, b"new", absurd, 0, b""))
        with pytest.raises(MismatchError):
            world.do(Pop(KEY, absurd, b""))
    assert world.do(Replace(KEY, b"new", version, 0, b"")) > version
    assert world.do(Pop(KEY, None, b"")) == b"new"
    assert world.do(Pop(KEY, None, b"")) is None


def test_a_sum_that_there_is_not_is_the_callers_error(world: LeadWorld) -> None:
    world.increment(10**400)
    with pytest.raises(OverflowError):
        world.do(Increment(KEY, 0.5, 0, 0, b"", 1000))
    assert world.increment() == 10**400 + 1


def test_a_fresh_entry_has_what_its_owner_knows_of_it(world: LeadWorld) -> None:
    world.put(b"plain")
    found = world.run(atomic.find(world.session, DICT, KEY))
    assert found is not None
    assert (found.body, found.version) == (b"plain", world.nodes.version)
    world.do(Pop(KEY, None, b""))
    assert world.run(atomic.find(world.session, DICT, KEY)) is None


# -- at most once --------------------------------------------------------------------------------


def test_a_lost_answer_is_asked_for_again_and_it_was_carried_out_once(world: LeadWorld) -> None:
    world.faults = ["mute", "mute"]
    assert world.increment() == 1
    assert world.increment() == 2
    first, second, third, last = world.acts
    assert first.operation_id == second.operation_id == third.operation_id != last.operation_id
    assert first.ballot == third.ballot


def test_a_lost_answer_to_a_winning_put_if_absent_is_true(world: LeadWorld) -> None:
    world.faults = ["depose"]
    assert world.put_if_absent()
    assert world.record.body == b"mine"
    assert [act.verb for act in world.acts] == [Verb.PUT_IF_ABSENT, Verb.CANCEL]


def test_what_never_arrived_is_asked_of_the_next_leader_as_another_operation(world: LeadWorld) -> None:
    world.faults = ["lost", "lost"]
    world.before = lambda _, request: world.depose() if world.faults == ["lost"] else None
    assert world.put_if_absent()
    assert [act.verb for act in world.acts][-2:] == [Verb.CANCEL, Verb.PUT_IF_ABSENT]
    assert world.record.body == b"mine"


def test_what_was_seen_to_stand_before_and_stands_still_is_an_answer(world: LeadWorld) -> None:
    assert world.put_if_absent(b"first")
    world.faults = ["lost", "lost"]
    world.before = lambda _, request: world.depose() if world.faults == ["lost"] else None
    assert not world.put_if_absent(b"second")
    assert world.acts[-1].verb == Verb.CANCEL
    assert world.record.body == b"first"


def test_what_was_seen_to_stand_before_and_stands_no_more_is_no_answer(world: LeadWorld) -> None:
    assert world.put_if_absent(b"first")
    seen, world.session.memory = world.session.memory, Memory()
    assert world.do(Pop(KEY, None, bytes(16))) is not None  # by another client
    assert world.put_if_absent(b"other")
    world.session.memory = seen
    world.faults = ["lost", "lost"]
    world.before = lambda _, request: world.depose() if world.faults == ["lost"] else None
    with pytest.raises(UnavailableError, match="never will be"):
        world.put_if_absent(b"second")
    assert world.record.body == b"other"


def test_what_another_stored_is_no_answer_to_what_may_have_stood_before_it(world: LeadWorld) -> None:
    assert world.put_if_absent(b"first")
    world.faults = ["lost", "lost"]
    world.before = lambda _, request: world.depose() if world.faults == ["lost"] else None
    world.session.memory = Memory()  # another client had stored it
    with pytest.raises(UnavailableError, match="never will be"):
        world.put_if_absent(b"second")
    assert world.acts[-1].verb == Verb.CANCEL
    assert world.record.body == b"first"


def test_a_ghost_of_a_cancelled_operation_does_nothing(world: LeadWorld) -> None:
    ghosts: list[Act] = []
    original = world.obey

    def obey(instruction: Any) -> Any:
        if isinstance(instruction, Ask) and isinstance(instruction.request, Act) and not ghosts:
            ghosts.append(instruction.request)
            world.depose()
            return Miss(UnavailableError("no answer in time"), was_sent=True)
        return original(instruction)

    world.obey = obey  # type: ignore[method-assign]
    assert world.increment() == 1
    assert [act.verb for act in world.acts] == [Verb.CANCEL, Verb.INCREMENT]
    leader = next(node for node in world.nodes if node.member_id == ghosts[0].ballot.node)
    assert isinstance(world.nodes.answer(leader, ghosts[0]), NotLed)
    assert world.increment() == 2


def test_who_does_not_lead_any_more_says_so_and_the_next_one_is_asked(world: LeadWorld) -> None:
    world.increment()
    world.depose()
    assert world.increment() == 2
    before, bounced, again = world.acts
    assert bounced.operation_id == again.operation_id != before.operation_id
    assert bounced.ballot < again.ballot


def test_what_its_leader_did_not_carry_out_is_asked_of_the_next_without_a_cancel(world: LeadWorld) -> None:
    world.faults = ["lost"]
    count = iter(range(99))

    def depose(_: Node, request: Request) -> None:
        if isinstance(request, Act) and next(count) == 0:
            world.depose()

    world.before = depose
    assert world.put_if_absent()
    assert Verb.CANCEL not in [act.verb for act in world.acts]


def test_a_read_whose_leader_is_gone_is_another_operation_at_the_next(world: LeadWorld) -> None:
    world.put_if_absent()
    leader = world.nodes.deciders.leader(world.partition)[0]
    world.faults = ["depose"]
    began_s, before = world.now_s, len(world.acts)

    def vanish(_: Node, request: Request) -> None:
        leader.is_reachable = not (isinstance(request, Greet) and len(world.acts) > before)

    world.before = vanish
    assert world.run(atomic.get(world.session, DICT, KEY)).body == b"mine"
    assert len({act.operation_id for act in world.acts[before:]}) == len(world.acts) - before > 1
    assert world.now_s - began_s < world.session.timeout_s / 2


def test_that_another_attempt_was_not_carried_out_is_not_believed(world: LeadWorld) -> None:
    world.increment()
    strange = world.acts[0].operation_id

    def hook(node: Node, request: Request) -> Any:
        if isinstance(request, Act) and len(world.acts) == 2:
            return NotLed(request.number, request.ballot, strange)
        return None

    for node in world.nodes:
        node.hook = hook
    assert world.increment() == 2
    assert world.acts[1].operation_id == world.acts[2].operation_id


def test_the_sum_of_a_lost_answer_is_found(world: LeadWorld) -> None:
    world.faults = ["none", "depose"]
    assert world.increment(5) == 5
    assert world.increment(2) == 7
    assert decode_number(world.record.body) == 7


def test_a_pop_of_a_version_is_found_and_one_of_whatever_stands_there_is_not(world: LeadWorld) -> None:
    world.put_if_absent()
    version = world.run(atomic.get(world.session, DICT, KEY)).version
    world.faults = ["depose"]
    assert world.do(Pop(KEY, version, b"")) is not None  # its caller has read the value
    world.put_if_absent()
    world.faults = ["depose"]
    with pytest.raises(OutcomeUnknownError, match="value is lost"):
        world.do(Pop(KEY, None, b""))
    assert world.record.body is None


def test_a_leader_that_was_started_again_is_greeted_again(world: LeadWorld) -> None:
    world.increment()
    leader = world.owners[0]
    leader.boot = 2
    world.nodes.deciders.rounds[world.partition] = 9
    assert world.increment() == 2
    assert world.of_kind(Greet) == [leader, leader]


def test_a_leader_that_is_not_reached_is_asked_by_way_of_another(world: LeadWorld) -> None:
    world.increment()
    world.silent[world.owners[0]] = False
    assert world.increment() == 2
    assert world.of_kind(Act)[-1] is not world.owners[0]


def test_numbers_are_given_back_when_a_call_is_over(world: LeadWorld) -> None:
    leads = world.session.leads
    for _ in range(3):
        world.increment()
    assert leads.low() == leads.begin()
    plan = atomic.get(world.session, DICT, KEY)
    plan.send(None)
    low = leads.low()
    plan.close()  # as a call that is cancelled
    assert leads.low() == low


# -- nobody leads --------------------------------------------------------------------------------


def test_without_a_quorum_it_is_said_at_once_and_nothing_was_asked(world: LeadWorld) -> None:
    world.nodes.deciders.lost = set(range(world.nodes.partitions))
    began_s = world.now_s
    with pytest.raises(NoQuorumError):
        world.put_if_absent()
    with pytest.raises(NoQuorumError):
        world.run(removing.clear(world.session, DICT))
    assert world.now_s < began_s + 1
    assert not world.of_kind(Act, Clear)


def test_a_refusal_for_want_of_a_quorum_is_definite(world: LeadWorld) -> None:
    for node in world.nodes:
        node.hook = lambda _, request: (
            Refused(request.number, Reason.NO_QUORUM, "none", NO_MARK) if isinstance(request, Act) else None
        )
    with pytest.raises(NoQuorumError):
        world.put_if_absent()


def test_what_was_sent_before_the_quorum_was_lost_is_unknown(world: LeadWorld) -> None:
    def lose(_: Node, request: Request) -> None:
        if isinstance(request, Act):
            world.nodes.deciders.lost = set(range(world.nodes.partitions))

    world.before = lose
    world.faults = ["mute"] * 99
    with pytest.raises(RequestTimeoutError) as caught:
        world.put_if_absent()
    assert caught.value.operation_id == world.acts[0].operation_id


def test_an_election_is_waited_for(world: LeadWorld) -> None:
    deciders = world.nodes.deciders
    for owner in world.owners:
        owner.is_reachable = False  # none is named, and none is lost

    def elect(_: Node, request: Request) -> None:
        for owner in world.owners:
            owner.is_reachable = world.now_s > 101

    world.before = elect
    assert world.put_if_absent()
    assert 101 < world.now_s < 102
    assert deciders.records


# -- what a client has seen ----------------------------------------------------------------------


def test_what_it_has_removed_it_does_not_see_again(world: LeadWorld) -> None:
    world.put(b"value")
    stale = world.owners[0].entries[DICT, KEY]
    world.do(Pop(KEY, None, b""))
    world.owners[0].entries[DICT, KEY] = stale  # a replica that has not heard of it
    assert world.get() is None
    world.session.leads.decided_s = -100.0  # long ago
    rows, _ = world.run(scanning.page(world.session, DICT, None, b""))
    assert rows == []


def test_what_it_has_cleared_it_does_not_see_again_and_what_comes_later_it_does(world: LeadWorld) -> None:
    world.put(b"value")
    stale = world.owners[0].entries[DICT, KEY]
    world.run(removing.clear(world.session, DICT))
    assert world.get() is None
    world.owners[0].entries[DICT, KEY] = stale
    assert world.get() is None
    del world.owners[0].entries[DICT, KEY]
    world.put(b"later")
    assert world.get() == b"later"


def test_what_it_has_stored_it_sees(world: LeadWorld) -> None:
    world.put_if_absent()
    entry = world.owners[0].entries.pop((DICT, KEY))
    assert world.get() == entry.body


def test_that_another_removed_it_is_remembered_of_a_fresh_read(world: LeadWorld) -> None:
    world.put(b"value")
    stale = world.owners[0].entries[DICT, KEY]
    other = LeadWorld()
    other.nodes = world.nodes
    other.session.renew(random.Random(6))
    other.do(Pop(KEY, None, b""))
    assert world.run(atomic.get(world.session, DICT, KEY)).body is None
    world.owners[0].entries[DICT, KEY] = stale
    found = world.run(reading.get(world.session, DICT, KEY, HASH))
    assert isinstance(found, Absent)


# -- many keys, and all --------------------------------------------------------------------------


def test_many_are_removed_and_counted(world: LeadWorld) -> None:
    keys = [b"\x04%d" % number for number in range(500)]
    for node in world.nodes:
        for key in keys[::2]:
            node.entries[DICT, key] = Entry((5, 1, 5), b"value")
    assert world.do(DeleteMany(keys)) == 250
    assert not any(node.entries for node in world.nodes)


def test_which_of_many_failed_is_told(world: LeadWorld) -> None:
    keys = [b"\x04%d" % number for number in range(20)]
    bad = keys[3]
    for node in world.nodes:
        node.hook = lambda _, request: (
            Refused(request.number, Reason.STORE_FULL, "full", NO_MARK)
            if isinstance(request, Act) and request.key == bad
            else None
        )
    with pytest.raises(PartialFailureError) as caught:
        world.do(DeleteMany(keys))
    assert list(caught.value.failed) == [bad]
    assert len(caught.value.done) == 19


def test_a_clear_whose_answer_is_lost_is_sent_again_as_what_it_is(world: LeadWorld) -> None:
    world.put(b"value")
    world.faulty, world.faults = Clear, ["mute"]
    world.run(removing.clear(world.session, DICT))
    clears = [request for _, request in world.asked if isinstance(request, Clear)]
    assert len({clear.operation_id for clear in clears}) == 3  # one a leader
    assert world.get() is None


def test_a_clear_goes_to_whoever_leads_by_then(world: LeadWorld) -> None:
    world.put_if_absent()
    world.depose()
    world.run(removing.clear(world.session, DICT))
    assert world.run(atomic.get(world.session, DICT, KEY)).body is None


# -- locks ---------------------------------------------------------------------------------------


def test_a_lock_is_taken_extended_and_released_by_its_token(world: LeadWorld) -> None:
    token = world.do(Acquire(LOCK, HOLDER, 5000, b""))
    assert token
    assert world.do(Acquire(LOCK, b"another ........", 5000, b"")) is None
    assert world.run(locking.holds(world.session, DICT, LOCK, token))
    assert world.do(Extend(LOCK, token, 9000, b""))
    assert not world.do(Release(LOCK, token - 1, b""))
    assert world.do(Release(LOCK, token, b""))
    assert not world.do(Extend(LOCK, token, 9000, b""))
    assert world.do(Acquire(LOCK, HOLDER, 5000, b"")) > token


def test_a_release_whose_answer_is_lost_was_one(world: LeadWorld) -> None:
    token = world.do(Acquire(LOCK, HOLDER, 0, b""))
    partition = world.nodes.partition(DICT, LOCK)
    owners = world.nodes.owners(DICT, LOCK)
    world.faults = ["mute"]
    world.before = lambda _, request: (
        world.nodes.deciders.depose(partition, owners[1])
        if isinstance(request, Greet) and not world.nodes.deciders.rounds
        else None
    )
    assert world.do(Release(LOCK, token, b""))
    assert not world.run(locking.holds(world.session, DICT, LOCK, token))


def test_whoever_waits_asks_the_leader_to_tell_and_not_for_ever(world: LeadWorld) -> None:
    world.do(Acquire(LOCK, HOLDER, 0, b""))
    other = b"another ........"
    assert world.do(Acquire(LOCK, other, 0, b"")) is None
    world.faulty, world.faults = Wait, ["lost"]  # nobody tells
    began_s = world.now_s
    world.run(locking.wait_for(world.session, DICT, LOCK, other, 60.0))
    assert began_s + LOCK_NOTICE_S <= world.now_s < began_s + LOCK_NOTICE_S + 1


def test_whoever_waits_while_nobody_leads_waits_no_longer_for_that(world: LeadWorld) -> None:
    """It looked for a leader for as long as an operation may take, whatever `wait_s` was."""
    world.do(Acquire(LOCK, HOLDER, 0, b""))
    other = b"another ........"
    assert world.do(Acquire(LOCK, other, 0, b"")) is None
    for owner in world.owners:
        owner.is_reachable = False
    partition = world.nodes.partition(DICT, LOCK)
    ballot = world.session.leads.leader(partition)
    assert ballot is not None
    world.session.leads.retire(partition, ballot)
    began_s = world.now_s
    world.run(locking.wait_for(world.session, DICT, LOCK, other, 0.3))
    assert began_s < world.now_s < began_s + 1


def test_whoever_is_interrupted_while_he_takes_a_lock_does_not_have_it(world: LeadWorld) -> None:
    for asked in (False, True):
        plan = locking.plan_of(world.session, DICT, Acquire(LOCK, HOLDER, 0, b""))
        assert plan is not None
        answer = None
        while True:
            instruction = plan.send(answer)
            if isinstance(instruction, Ask) and isinstance(instruction.request, Act):
                break
            answer = world.obey(instruction)
        if asked:
            world.obey(instruction)  # it was granted, and nobody hears of it
        plan.close()
        assert world.do(Abandon(LOCK, HOLDER, b"")) is asked
        assert world.do(Acquire(LOCK, b"another ........", 0, b"")) is not None
        world.run(removing.clear(world.session, DICT))


def test_whoever_was_told_that_he_may_have_a_lock_lets_go_of_his_own_alone(world: LeadWorld) -> None:
    other = b"another ........"
    assert not world.do(Abandon(LOCK, HOLDER, b""))
    token = world.do(Acquire(LOCK, HOLDER, 0, b""))
    assert not world.do(Abandon(LOCK, other, b""))
    assert world.run(locking.holds(world.session, DICT, LOCK, token))
    assert world.do(Abandon(LOCK, HOLDER, b""))
    assert not world.run(locking.holds(world.session, DICT, LOCK, token))


def test_nobody_is_asked_to_extend_a_lock_that_was_never_granted(world: LeadWorld) -> None:
    assert not world.do(Extend(LOCK, 0, 9000, b""))
    assert not world.asked


def test_a_lock_that_could_not_be_asked_for_leaves_nothing_to_let_go_of(world: LeadWorld) -> None:
    deciders = world.nodes.deciders
    deciders.lost = set(range(world.nodes.partitions))
    with pytest.raises(NoQuorumError):
        world.do(Acquire(LOCK, HOLDER, 0, b""))
    deciders.lost = set()
    world.asked.clear()
    assert not world.session.leads.taking
    assert not world.do(Abandon(LOCK, HOLDER, b""))
    assert all(act.verb == Verb.GET for act in world.acts)  # there is nothing to cancel


def test_whoever_waits_for_what_he_was_not_refused_waits_for_a_moment(world: LeadWorld) -> None:
    began_s = world.now_s
    world.run(locking.wait_for(world.session, DICT, LOCK, HOLDER, 60.0))
    assert began_s < world.now_s < began_s + LOCK_NOTICE_S
    assert not world.asked


# -- any schedule --------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["none", "none", "lost", "mute", "depose"]), max_size=30), st.booleans())
def test_in_no_schedule_of_losses_is_anything_counted_twice_or_told_wrongly(
    faults: list[str], pops: bool
) -> None:
    world = LeadWorld()
    world.faults = faults
    sums: list[int] = []
    unknown = 0
    for _ in range(6):
        try:
            sums.append(world.increment())
        except OutcomeUnknownError:
            unknown += 1
        except UnavailableError:
            pass
    world.faults = []
    total = world.run(atomic.get(world.session, DICT, KEY)).body
    counted = 0 if total is None else int(decode_number(total) or 0)
    assert sums == sorted(set(sums))
    assert len(sums) <= counted <= len(sums) + unknown
    assert not pops or world.do(Pop(KEY, None, b"")) == total


@given(st.lists(st.sampled_from(["none", "none", "lost", "mute", "depose"]), max_size=20))
def test_in_no_schedule_of_losses_is_a_put_if_absent_told_wrongly(faults: list[str]) -> None:
    world = LeadWorld()
    world.faults = faults
    told: list[bytes] = []
    for body in (b"first", b"second", b"third"):
        try:
            if world.put_if_absent(body):
                told.append(body)
        except OutcomeUnknownError:
            told.append(b"?")
        except UnavailableError:
            pass
    world.faults = []
    found = world.run(atomic.get(world.session, DICT, KEY))
    assert sum(body != b"?" for body in told) <= 1
    won = [body for body in told if body != b"?"]
    assert not won or found.body == won[0]
