"""The checker of linearizability: small histories by hand, and random ones against trying every order."""

from __future__ import annotations

import time
from itertools import pairwise, permutations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ringdict.sim.history import History, Operation, Status, by_key, to_json_lines
from ringdict.sim.journal import Journal
from ringdict.sim.linearizability import Answer, Verdict, check_key
from ringdict.sim.loop import Loop
from ringdict.sim.register import RegisterModel

MODEL = RegisterModel()


def operation(
    serial: int, kind: str, argument: object, span: tuple[int, int | None], result: object = None
) -> Operation:
    status = Status.UNKNOWN if span[1] is None else Status.OK
    return Operation(serial, f"c{serial}", kind, "k", argument, span[0], span[1], status, result)


def judge(*operations: Operation) -> Verdict:
    return check_key(MODEL, operations).verdict


def test_a_read_that_overlaps_a_write_may_see_either() -> None:
    write = operation(0, "write", 1, (0, 10))
    assert judge(write, operation(1, "read", None, (5, 6), 1)) is Verdict.YES
    assert judge(write, operation(1, "read", None, (5, 6), None)) is Verdict.YES
    assert judge(write, operation(1, "read", None, (5, 6), 2)) is Verdict.NO


def test_a_read_after_a_write_returned_must_see_it() -> None:
    write = operation(0, "write", 1, (0, 10))
    assert judge(write, operation(1, "read", None, (11, 12), None)) is Verdict.NO


def test_reads_do_not_go_back() -> None:
    write = operation(0, "write", 1, (0, 100))
    new, old = operation(1, "read", None, (10, 20), 1), operation(2, "read", None, (30, 40), None)
    assert judge(write, new, old) is Verdict.NO


def test_what_is_unknown_may_happen_at_any_later_time_or_never() -> None:
    write = operation(0, "write", 1, (0, None))
    assert judge(write, operation(1, "read", None, (500, 501), None)) is Verdict.YES
    before, after = operation(1, "read", None, (500, 501), None), operation(2, "read", None, (600, 601), 1)
    assert judge(write, before, after) is Verdict.YES
    late = operation(3, "read", None, (700, 701), None)
    assert judge(write, before, after, late) is Verdict.NO


def test_what_failed_did_not_happen() -> None:
    write = operation(0, "write", 1, (0, 10))
    write.status = Status.FAILED
    assert judge(write, operation(1, "read", None, (11, 12), 1)) is Verdict.NO


def test_a_no_names_the_longest_order_and_a_limit_is_a_limit() -> None:
    write = operation(0, "write", 1, (0, 10))
    wrong = operation(1, "read", None, (11, 12), 7)
    assert check_key(MODEL, [write, wrong]) == Answer(Verdict.NO, 2, (0,))
    many = [operation(serial, "write", serial, (0, 10)) for serial in range(12)]
    wrong.result = 99
    assert check_key(MODEL, [*many, wrong], states_count_max=50).verdict is Verdict.UNRESOLVED


def tried_by_hand(operations: list[Operation]) -> bool:
    """Every order of every choice of what happened."""
    known = [one for one in operations if one.status is Status.OK]
    unknown = [one for one in operations if one.status is Status.UNKNOWN]
    for chosen in range(1 << len(unknown)):
        some = known + [one for index, one in enumerate(unknown) if chosen >> index & 1]
        if any(fits(order) for order in permutations(some)):
            return True
    return False


def fits(order: tuple[Operation, ...]) -> bool:
    state = MODEL.initial()
    for place, one in enumerate(order):
        if any(
            other.returned_ns is not None and other.returned_ns < one.invoked_ns for other in order[place:]
        ):
            return False
        ok, state = MODEL.apply(state, one)
        if not ok:
            return False
    return True


VALUES = st.sampled_from([None, 1, 2])


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    operations = []
    for serial in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["read", "write", "cas"]))
        begin = draw(st.integers(0, 8))
        end = draw(st.one_of(st.none(), st.integers(begin, 9)))
        argument = {"read": None, "write": draw(VALUES), "cas": [draw(VALUES), draw(VALUES)]}[kind]
        result = {"read": draw(VALUES), "write": None, "cas": draw(st.booleans())}[kind]
        operations.append(operation(serial, kind, argument, (begin, end), result))
    return operations


@given(histories())
def test_it_says_what_trying_every_order_says(operations: list[Operation]) -> None:
    assert (judge(*operations) is Verdict.YES) == tried_by_hand(operations)


def made_up(seed: int, count: int = 75) -> list[Operation]:
    """What five clients see of one register: some answers lost, everything as it should be."""
    dice = Random(seed)
    state: object = None
    operations: list[Operation] = []
    free_ns = [0] * 5
    for serial in range(count):
        client = min(range(5), key=free_ns.__getitem__)
        invoked = free_ns[client] + dice.randrange(1, 40)
        kind = dice.choice(["read", "write", "cas"])
        argument = {"read": None, "write": serial, "cas": [state, serial]}[kind]
        one = Operation(serial, f"c{client}", kind, "k", argument, invoked)
        _, after = MODEL.apply(state, one)
        one.result = {"read": state, "write": None, "cas": True}[kind]
        state = after
        one.status = Status.UNKNOWN if dice.random() < 0.1 else Status.OK
        one.returned_ns = None if one.status is Status.UNKNOWN else invoked + dice.randrange(1, 60)
        free_ns = [max(free, invoked - 30) for free in free_ns]
        free_ns[client] = (one.returned_ns or invoked + 100) + 1
        operations.append(one)
    # Carried out in the order of invocation: so instants are made to allow it.
    for before, one in pairwise(operations):
        one.invoked_ns = max(one.invoked_ns, before.invoked_ns)
        if one.returned_ns is not None:
            one.returned_ns = max(one.returned_ns, one.invoked_ns)
    return operations


def test_three_hundred_histories_of_seventy_five_operations_take_seconds() -> None:
    given_ = [made_up(seed) for seed in range(300)]
    started = time.process_time()
    answers = [check_key(MODEL, operations) for operations in given_]
    assert time.process_time() - started < 10  # measured: under one
    assert {answer.verdict for answer in answers} == {Verdict.YES}


def test_histories_are_written_for_checkers_elsewhere() -> None:
    history = History(Loop(), Journal())
    one = history.invoke("c0", "write", "k", 1)
    two = history.invoke("c1", "read", "k")
    history.ok(two, 1)
    history.give_up(one, "no answer")
    history.ok(history.invoke("c0", "read", "j"))
    lines = list(to_json_lines(history.operations))
    assert lines[0] == (
        '{"index": 0, "process": 0, "f": "write", "key": "k", "type": "invoke", "value": 1, "time": 0}'
    )
    assert [line.split('"process": ')[1][0] for line in lines] == ["0", "1", "1", "2", "2", "0"]
    assert '"type": "info"' in lines[-1]
    assert {key: len(some) for key, some in by_key(history.operations).items()} == {"k": 2, "j": 1}
