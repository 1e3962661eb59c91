"""What a leader remembers of its clients' requests, and for how long."""

from __future__ import annotations

from ringdict.node.leaders.request import ANSWER_BYTES, SESSION_BYTES, Fate, Sessions
from ringdict.node.network.leadermessage import Acted


def session_id(number: int) -> bytes:
    return number.to_bytes(SESSION_BYTES, "big")


def operation_id(session: int, number: int) -> bytes:
    return session_id(session) + number.to_bytes(6, "big")


def test_a_ticket_is_not_given_twice_and_an_old_one_opens_nothing() -> None:
    sessions = Sessions(sessions_max=2)
    first = sessions.greet(session_id(1))
    assert sessions.greet(session_id(1)) is first
    for number in (2, 3):
        sessions.greet(session_id(number))
    assert sessions.find(operation_id(1, 7), first.ticket) == (None, 7)
    again = sessions.greet(session_id(1))
    assert again.ticket > first.ticket
    assert sessions.find(operation_id(1, 7), first.ticket) == (None, 7)
    assert sessions.find(operation_id(1, 7), again.ticket) == (again, 7)


def test_whoever_asks_is_forgotten_later_than_who_does_not() -> None:
    sessions = Sessions(sessions_max=2)
    first = sessions.greet(session_id(1))
    sessions.greet(session_id(2))
    sessions.find(operation_id(1, 1), first.ticket)
    sessions.greet(session_id(3))
    assert sessions.find(operation_id(1, 1), first.ticket)[0] is first


def test_what_is_below_what_is_waited_for_is_past_whatever_comes_of_it() -> None:
    session = Sessions().greet(session_id(1))
    reply = Acted(0, True, 1)
    session.note(5, reply)
    assert session.fate(5) is reply
    session.advance(6)
    session.advance(2)
    session.note(5, Fate.WAITING)
    assert session.fate(5) is Fate.PAST
    assert session.fate(6) is Fate.NEW


def test_answers_take_limited_room_and_the_oldest_is_unknown_then() -> None:
    """Each of ten thousand clients could leave the last value that it had popped, for good."""
    sessions = Sessions(answers_bytes_max=10 * ANSWER_BYTES + 10_000)
    reply = Acted(0, True, 1, bytes(1_000))
    many = [sessions.greet(session_id(number)) for number in range(20)]
    for session in many:
        session.note(1, reply)
    assert [session.fate(1) for session in many] == [Fate.UNKNOWN] * 10 + [reply] * 10
    many[10].advance(2)
    many[0].note(2, reply)  # there is room again for one
    assert many[11].fate(1) is reply
    many[11].note(1, Fate.CANCELLED)
    many[0].note(3, reply)
    assert many[12].fate(1) is reply
    many[0].note(3, reply)
    assert many[12].fate(1) is reply
    many[0].note(4, reply)
    assert many[12].fate(1) is Fate.UNKNOWN


def test_a_session_that_is_forgotten_gives_its_room_back() -> None:
    sessions = Sessions(sessions_max=1, answers_bytes_max=2 * ANSWER_BYTES)
    for number in range(5):
        sessions.greet(session_id(number)).note(1, Acted(0, True, 1))
    last = sessions.greet(session_id(4))
    last.note(2, Acted(0, True, 1))
    assert isinstance(last.fate(1), Acted)
    last.note(3, Acted(0, True, 1))
    assert last.fate(1) is Fate.UNKNOWN
