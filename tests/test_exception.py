"""Errors: the class says whose fault it was and whether a retry is safe. They travel between processes."""

from __future__ import annotations

import pickle

import pytest

import ringdict
from ringdict import (
    AsyncUsageWarning,
    ConflictError,
    Error,
    OutcomeUnknownError,
    PartialFailureError,
    StoreDamagedError,
    exception,
)

ALL = [getattr(exception, name) for name in exception.__all__]

ALSO = {
    "InvalidError": ValueError,
    "RequestSizeError": ValueError,
    "ValueTooLargeError": exception.RequestSizeError,
    "LockTimeoutError": TimeoutError,
    "UnavailableError": ConnectionError,
    "NoQuorumError": exception.UnavailableError,
    "RequestTimeoutError": TimeoutError,
}
"""What an error is besides `ringdict.Error`, so that code which knows nothing of ringdict can catch it."""


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_ours_and_public(kind: type[Exception]) -> None:
    assert getattr(ringdict, kind.__name__) is kind
    assert issubclass(kind, Error) or kind is AsyncUsageWarning


@pytest.mark.parametrize("name", ALSO)
def test_what_else_an_error_is(name: str) -> None:
    assert issubclass(getattr(exception, name), ALSO[name])


def test_an_unknown_outcome_cannot_be_taken_for_a_definite_one() -> None:
    unknown = {kind for kind in ALL if issubclass(kind, OutcomeUnknownError)}
    assert unknown == {OutcomeUnknownError, exception.RequestTimeoutError}
    assert not issubclass(OutcomeUnknownError, ConnectionError)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ConflictError("at 7", 7), {"current": 7}),
        (ConflictError("absent"), {"current": None}),
        (StoreDamagedError("damaged", ("k", 1)), {"key": ("k", 1)}),
        (OutcomeUnknownError("who knows", b"id"), {"operation_id": b"id"}),
        (exception.RequestTimeoutError("who knows", b"id"), {"operation_id": b"id"}),
        (PartialFailureError("half", {}, ["a", "b"]), {"done": ["a", "b"], "failed": {}}),
        (exception.NotFoundError("gone"), {}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_travels_with_all_it_says(error: Error, fields: dict[str, object]) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert str(there) == str(error)
    assert {name: getattr(there, name) for name in fields} == fields


def test_the_errors_of_a_batch_travel_with_it() -> None:
    error = PartialFailureError("half", {"b": ConflictError("at 7", 7)}, ["a"])
    (cause,) = pickle.loads(pickle.dumps(error)).failed.values()
    assert cause.current == 7
