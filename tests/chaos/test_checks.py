"""The checks of chaos notice what they are there for, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from .history import Call, back_in_time, double_grants, export, load, lost, odd_tokens, slow
from .resource import Book
from .schedule import NETWORK_KINDS, PROCESS_KINDS, Fault, cuts_of, schedule

S = 1_000_000_000


def call(op: str, begin: float, end: float, value: int = 0, client: str = "a", outcome: str = "ok") -> Call:
    return Call(client, op, "k", int(begin * S), int(end * S), outcome, value)


def test_a_put_that_is_gone_is_noticed_and_an_unknown_one_may_be_there_or_not() -> None:
    calls = [call("put", 1, 2, 1), call("put", 3, 4, 2), call("put", 5, 6, 3, outcome="unknown")]
    assert lost(calls, {"k": 1})
    assert lost(calls, {})
    assert not lost(calls, {"k": 2})
    assert not lost(calls, {"k": 3})


def test_a_read_of_what_was_before_the_own_put_is_noticed() -> None:
    put = [call("put", 1, 2, 1), call("put", 3, 4, 2)]
    assert back_in_time([*put, call("get", 5, 6, 1)])
    assert not back_in_time([*put, call("get", 5, 6, 2)])
    assert not back_in_time([*put, call("get", 5, 6, 1, client="b")])
    assert not back_in_time(
        [call("put", 1, 2, 1), call("put", 3, 9, 2, outcome="unknown"), call("get", 10, 11, 1)]
    )


def test_two_that_hold_one_claim_are_noticed() -> None:
    first, second = call("claim", 1, 2), call("claim", 2, 5, client="b")
    assert double_grants([first, second])
    assert double_grants([first, second, call("release", 6, 7)])
    assert not double_grants([first, call("release", 3, 9, outcome="unknown"), second])
    assert not double_grants([first, call("claim", 2, 5, client="b", outcome="no")])
    assert not double_grants([first, call("claim", 2, 5, client="b", outcome="unknown")])
    # What another releases is not what the holder has.
    assert double_grants([first, call("release", 3, 4, client="c"), second])


def test_a_token_that_does_not_grow_is_noticed() -> None:
    first = call("lock", 1, 2, 7)
    assert odd_tokens([first, call("lock", 3, 4, 7, client="b")])
    assert odd_tokens([first, call("lock", 3, 4, 6, client="b")])
    assert not odd_tokens([first, call("lock", 3, 4, 8, client="b")])
    assert not odd_tokens([first, call("lock", 1.5, 4, 6, client="b")])  # at the same time: who was first?


def test_the_resource_notices_two_who_hold_one_lock() -> None:
    book = Book()
    assert book.enter("k", 5, "a", good_ns=10, now_ns=1)
    assert book.enter("k", 6, "b", good_ns=30, now_ns=20)
    assert not book.enter("k", 5, "a", good_ns=10, now_ns=21)  # its time was up
    assert (book.fenced_off, book.violations) == (1, [])
    assert not book.enter("k", 5, "a", good_ns=40, now_ns=22)
    assert len(book.violations) == 1
    assert book.enter("k", 6, "c", good_ns=40, now_ns=23)
    assert len(book.violations) == 2


def test_a_history_is_read_as_it_was_written_but_for_half_a_line(tmp_path: Path) -> None:
    calls = [call("put", 1, 2, 1), call("claim", 3, 4)]
    export(calls, tmp_path / "history")
    with (tmp_path / "history").open("a") as file:
        file.write('{"client": "a", "op"')
    assert load([tmp_path / "history"]) == calls
    assert slow(calls, "put") == (1, 1.0, 1.0)
    assert slow(calls, "get") == (0, 0.0, 0.0)


def test_a_schedule_is_its_seeds_and_has_all_kinds() -> None:
    faults = schedule(3, 600.0, 5, 4)
    assert faults == schedule(3, 600.0, 5, 4) != schedule(4, 600.0, 5, 4)
    assert {fault.kind for fault in faults} == {*NETWORK_KINDS, *PROCESS_KINDS}
    assert all(0 < fault.begin_s < fault.end_s <= 600.0 for fault in faults)
    for kinds in (NETWORK_KINDS, PROCESS_KINDS):
        track = [fault for fault in faults if fault.kind in kinds]
        assert all(one.end_s < other.begin_s for one, other in pairwise(track))


def test_each_fault_of_the_network_cuts_what_its_name_says() -> None:
    def cuts(kind: str) -> set[tuple[int, int]]:
        return cuts_of(Fault(1, 2, kind, 1, (0, 1, 4)), nodes=4, hosts=6, primary=2)

    assert cuts("halves") == {(a, b) for a, b in _pairs(6) if (a in (0, 1, 4)) != (b in (0, 1, 4))}
    assert cuts("primary") == {(a, b) for a, b in _pairs(6) if (a in (2, 4)) != (b in (2, 4))}
    sides = {0: 0, 4: 0, 2: 1, 3: 1, 5: 1}
    assert cuts("bridge") == {(a, b) for a, b in _pairs(6) if 1 not in (a, b) and sides[a] != sides[b]}
    assert cuts("deaf") == {(0, 1), (2, 1), (3, 1)}
    assert cuts("mute") == {(1, 0), (1, 2), (1, 3)}
    assert cuts("one way") == {(a, b) for a in (0, 4) for b in (2, 3, 5)}
    assert cuts("clients") == {(4, 1), (1, 4)}


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(count) for b in range(count) if a != b]
