"""Many keys at once, and all of a Dict: what is done, told and asked again when leaders and nodes fail
meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringdict.client import batching, removing
from ringdict.exception import (
    InvalidError,
    NoQuorumError,
    OutcomeUnknownError,
    PartialFailureError,
    RequestTimeoutError,
    StoreFullError,
    UnavailableError,
)
from ringdict.node.network.leadermessage import Act, Clear, Cleared, Greet
from ringdict.node.network.message import Get, GetMany, Message, PutMany, Reason, Refused, Request, Unknown
from ringdict.node.ringview import NO_MARK
from ringdict.node.store.entry import DamagedEntryError
from ringdict.node.store.transaction import DictGoneError

from .nodes import Node
from .test_deciding import LeadWorld
from .test_session import DICT, refusing, rows

Hook = Callable[[Node, Request], Message | None]


@pytest.fixture
def world() -> LeadWorld:
    """With many keys in it, whose leaders are known, and a clear that is what may go wrong."""
    world = LeadWorld()
    world.faulty = Clear
    world.run(batching.put_many(world.session, DICT, ROWS))
    world.run(removing.get_many(world.session, DICT, KEYS[:1]))
    world.asked.clear()
    return world


ROWS = rows(40)
KEYS = [row[:2] for row in ROWS]


def clear(world: LeadWorld) -> None:
    world.run(removing.clear(world.session, DICT))


def left(world: LeadWorld) -> int:
    """How many of the keys are there, as far as this client sees."""
    bodies = world.run(batching.get_many(world.session, DICT, KEYS))
    return sum(body is not None for body in bodies)


def clears(world: LeadWorld) -> list[Clear]:
    return [request for _, request in world.asked if isinstance(request, Clear)]


def leaders(world: LeadWorld) -> set[bytes]:
    return {world.nodes.deciders.leader(one)[1].node for one in range(world.nodes.partitions)}


def once(answer: Callable[[Request], Message | None], kind: type[Request] = Clear) -> Hook:
    """The first question of a kind is answered so, the others as usual."""
    asked: list[Request] = []

    def hook(_node: Node, request: Request) -> Message | None:
        if not isinstance(request, kind) or asked:
            return None
        asked.append(request)
        return answer(request)

    return hook


def refusing_of(kind: type[Request], reason: Reason) -> Hook:
    """All questions of a kind are refused."""
    refuse = refusing(reason)
    return lambda node, request: refuse(node, request) if isinstance(request, kind) else None


def set_hook(world: LeadWorld, hook: Hook) -> None:
    for node in world.nodes:
        node.hook = hook


# -- all of a Dict -------------------------------------------------------------------------------


def test_each_leader_is_asked_once_for_all_it_leads(world: LeadWorld) -> None:
    clear(world)
    assert left(world) == 0
    assert len(clears(world)) == len(leaders(world))
    asked = [partition for one in clears(world) for partition, _ in one.ballots]
    assert sorted(asked) == list(range(world.nodes.partitions))


@pytest.mark.parametrize("fault", ["lost", "mute"])
def test_a_clear_whose_answer_is_lost_is_sent_again_as_what_it_is(world: LeadWorld, fault: str) -> None:
    world.faults = [fault]
    clear(world)
    assert left(world) == 0
    ids = [one.operation_id for one in clears(world)]
    assert len(set(ids)) == len(leaders(world))


def test_what_another_leads_by_now_is_cleared_by_that_one(world: LeadWorld) -> None:
    world.faults = ["depose"]
    clear(world)
    assert left(world) == 0
    heir = world.nodes.deciders.leader(world.partition)[0]
    assert any(
        partition == world.partition and ballot.node == heir.member_id
        for one in clears(world)
        for partition, ballot in one.ballots
    )


def test_what_a_leader_says_nothing_of_is_asked_for_again(world: LeadWorld) -> None:
    set_hook(world, once(lambda request: Cleared(request.number, [], [], ())))
    clear(world)
    assert left(world) == 0


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: Refused(request.number, Reason.OVERLOADED, "too much", NO_MARK),
        lambda request: Unknown(request.number, "started again", forgotten=True),
        lambda request: Unknown(request.number, "who knows"),
    ],
    ids=["overloaded", "forgotten", "unknown"],
)
def test_a_leader_that_could_not_is_asked_again(
    world: LeadWorld, answer: Callable[[Request], Message | None]
) -> None:
    set_hook(world, once(answer))
    clear(world)
    assert left(world) == 0


@pytest.mark.parametrize(
    ("reason", "error"), [(Reason.NO_DICT, DictGoneError), (Reason.INVALID, InvalidError)]
)
def test_a_clear_that_may_not_be_is_over_at_once(
    world: LeadWorld, reason: Reason, error: type[Exception]
) -> None:
    began_s = world.now_s
    set_hook(world, refusing_of(Clear, reason))
    with pytest.raises(error):
        clear(world)
    assert world.now_s < began_s + 1


def test_a_clear_that_nobody_answers_ends_as_unknown(world: LeadWorld) -> None:
    world.faults = ["lost"] * 999
    began_s = world.now_s
    with pytest.raises(OutcomeUnknownError):
        clear(world)
    assert world.now_s < began_s + world.session.timeout_s + 1


def test_a_clear_that_all_are_too_busy_for_ends_in_time(world: LeadWorld) -> None:
    set_hook(world, refusing_of(Clear, Reason.OVERLOADED))
    began_s = world.now_s
    with pytest.raises(RequestTimeoutError, match="says OVERLOADED"):
        clear(world)
    assert world.now_s < began_s + world.session.timeout_s + 1
    assert left(world) == len(KEYS)


def test_a_quorum_that_is_lost_half_way_leaves_it_unknown(world: LeadWorld) -> None:
    def lose(_: Node, request: Request) -> None:
        if isinstance(request, Clear):
            world.nodes.deciders.lost = set(range(world.nodes.partitions))

    world.before = lose
    world.faults = ["mute"]
    with pytest.raises(OutcomeUnknownError, match="some partitions are not cleared"):
        clear(world)


# -- many keys -----------------------------------------------------------------------------------


def remove(world: LeadWorld, count: int = len(KEYS)) -> int:
    removed: int = world.run(removing.remove_many(world.session, DICT, KEYS[:count]))
    return removed


def test_keys_are_removed_and_counted_once(world: LeadWorld) -> None:
    assert remove(world, 30) == 30
    assert remove(world) == 10
    assert left(world) == 0


def test_nobody_is_asked_for_no_keys(world: LeadWorld) -> None:
    assert remove(world, 0) == 0
    assert world.run(removing.get_many(world.session, DICT, [])) == []
    assert not world.of_kind(Act, Greet)


def test_what_fails_for_all_keys_is_told_as_one_error(world: LeadWorld) -> None:
    set_hook(world, refusing_of(Act, Reason.NO_QUORUM))
    with pytest.raises(NoQuorumError):
        remove(world)
    with pytest.raises(NoQuorumError):
        world.run(removing.get_many(world.session, DICT, KEYS))


def test_of_a_dict_that_is_gone_meanwhile_no_key_is_told(world: LeadWorld) -> None:
    set_hook(world, once(lambda request: Refused(request.number, Reason.NO_DICT, "gone", NO_MARK), Act))
    with pytest.raises(DictGoneError):
        remove(world)


def test_it_is_told_which_keys_are_removed_and_which_are_not(world: LeadWorld) -> None:
    set_hook(world, once(lambda request: Refused(request.number, Reason.STORE_FULL, "full", NO_MARK), Act))
    with pytest.raises(PartialFailureError, match="39 of 40 keys are done") as caught:
        remove(world)
    assert len(caught.value.failed) == 1
    assert len(caught.value.done) == 39
    assert left(world) == 1


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.NO_DICT, DictGoneError),
        (Reason.STORE_FULL, StoreFullError),
        (Reason.DAMAGED, DamagedEntryError),
        (Reason.OVERLOADED, UnavailableError),
        (Reason.INVALID, InvalidError),
    ],
)
def test_what_no_node_takes_is_given_up_by_its_reason(
    world: LeadWorld, reason: Reason, error: type[Exception]
) -> None:
    set_hook(world, refusing_of(PutMany, reason))
    began_s = world.now_s
    with pytest.raises(error):
        world.run(batching.put_many(world.session, DICT, ROWS))
    assert world.now_s < began_s + world.session.timeout_s


def test_a_batch_without_any_node_fails_whole(world: LeadWorld) -> None:
    stranger = LeadWorld()
    stranger.silent = dict.fromkeys(stranger.nodes, False)
    with pytest.raises(UnavailableError):
        stranger.run(batching.put_many(stranger.session, DICT, ROWS))
    with pytest.raises(UnavailableError):
        stranger.put_if_absent()


def test_a_key_that_is_damaged_is_asked_for_by_itself_and_named(world: LeadWorld) -> None:
    def spoilt(_node: Node, request: Request) -> Message | None:
        if isinstance(request, GetMany) and KEYS[0][0] in request.keys:
            return Refused(request.number, Reason.DAMAGED, "", NO_MARK)
        return None

    set_hook(world, spoilt)
    assert left(world) == len(KEYS)
    assert {request.key for _, request in world.asked if isinstance(request, Get)} >= {KEYS[0][0]}

    def rotten(node: Node, request: Request) -> Message | None:
        if isinstance(request, Get) and request.key == KEYS[0][0]:
            return Refused(request.number, Reason.DAMAGED, "", NO_MARK)
        return spoilt(node, request)

    set_hook(world, rotten)
    with pytest.raises(DamagedEntryError) as caught:
        left(world)
    assert KEYS[0][0] in caught.value.args
