"""What is judged of atomic operations, on histories made by hand."""

from __future__ import annotations

from ringdict.node.world import NS_PER_S
from ringdict.sim.history import Operation, Status
from ringdict.sim.linearizability import Verdict, check_key
from ringdict.sim.lockjudge import UNSEEN, LockModel, longest_in_vain, spread


def asked(
    serial: int, kind: str, argument: object, begun_s: float, ended_s: float, result: object
) -> Operation:
    """An operation on one key; its outcome is unknown if the result is `...`."""
    known = result is not ...
    status = Status.OK if known else Status.UNKNOWN
    begun_ns, ended_ns = int(begun_s * NS_PER_S), int(ended_s * NS_PER_S)
    told = result if known else None
    return Operation(
        serial, "c", kind, "k", argument, begun_ns, ended_ns if known else None, status, told, ended_ns
    )


def vain_s(*operations: Operation, heal_s: float = 10.0, end_s: float = 20.0) -> float:
    return longest_in_vain(operations, int(heal_s * NS_PER_S), int(end_s * NS_PER_S))[0] / NS_PER_S


def test_time_in_which_nobody_asks_is_not_in_vain() -> None:
    assert vain_s(asked(0, "pop", None, 11, 11.5, "a"), asked(1, "pop", None, 19, 19.5, ...)) == 0.5


def test_time_in_which_two_ask_counts_once() -> None:
    assert vain_s(asked(0, "pop", None, 11, 13, ...), asked(1, "pop", None, 12, 14, ...)) == 3


def test_it_is_counted_anew_once_somebody_is_served_and_begins_with_the_heal() -> None:
    operations = [asked(0, "pop", None, 9, 11, ...), asked(1, "pop", None, 11, 12, "a")]
    assert vain_s(*operations, asked(2, "pop", None, 12, 14.5, ...)) == 2.5
    assert vain_s(asked(0, "pop", None, 5, 11, ...)) == 1


def test_words_that_nobody_met_are_one_and_an_unknown_clear_is_a_pop() -> None:
    operations = [
        asked(0, "put", "a", 0, 1, ...),
        asked(1, "put", "b", 0, 1, ...),
        asked(2, "clear", None, 0, 1, ...),
        asked(3, "read", None, 2, 3, "b"),
    ]
    found = spread(operations, lambda _key: 0)
    assert [(one.kind, one.argument) for one in found] == [
        ("put", UNSEEN),
        ("put", "b"),
        ("pop", None),
        ("read", None),
    ]


def test_a_grant_that_only_an_unseen_word_explains_is_still_judged() -> None:
    refused = asked(1, "put", "b", 2, 3, False)
    assert check_key(LockModel(), spread([refused], lambda _key: 0)).verdict is Verdict.NO
    unseen = asked(0, "put", "a", 0, 1, ...)
    assert check_key(LockModel(), spread([unseen, refused], lambda _key: 0)).verdict is Verdict.YES
    seen = [unseen, asked(1, "put", "b", 2, 3, True), asked(2, "read", None, 4, 5, "a")]
    assert check_key(LockModel(), spread(seen, lambda _key: 0)).verdict is Verdict.NO
