"""The sweeper's thread: it comes when there is something to do, yields to everybody, and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ringdict import Dict, UnavailableError
from ringdict.client.embedded import EmbeddedDict
from ringdict.node.disk.gate import WriterGate
from ringdict.node.store import layout, sweeper
from ringdict.node.store.store import Store


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def places(store: Store, dict_id: bytes) -> int:
    """How many entries of a Dict are on disk."""
    with store.reading() as transaction:
        keys = transaction.cursor().iternext(keys=True, values=False)
        return sum(bytes(key).startswith(dict_id) for key in keys)


def dict_id(d: Dict[Any, Any]) -> bytes:
    return bytes.fromhex(d.object_id.removeprefix("di-"))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks every few milliseconds, and does a little at a time."""
    monkeypatch.setattr(sweeper, "SWEEP_INTERVAL_S", 0.005)
    monkeypatch.setattr(sweeper, "SWEEP_PAUSE_S", 0.001)
    monkeypatch.setattr(sweeper, "SWEEP_ENTRIES_MAX", 50)


def test_what_expired_goes_by_itself(d: Dict[Any, Any], store: Store) -> None:
    d.update({n: n for n in range(200)}, ttl=0.01)
    d["stays"] = 1
    wait_until(lambda: places(store, dict_id(d)) == 1)
    assert d.info().entries == len(d) == 1


def test_what_was_cleared_goes_by_itself(d: Dict[Any, Any], store: Store) -> None:
    d.update({n: n for n in range(200)})
    d.clear()
    d["new"] = 1
    wait_until(lambda: places(store, dict_id(d)) == 1)
    assert dict(d.items()) == {"new": 1}


def test_the_thread_ends_when_nothing_is_due_soon(
    d: Dict[Any, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_IDLE_S", 0.05)
    for ttl in (None, 1000):
        d.put("k", 1, ttl=ttl)
        d.clear()
        wait_until(lambda: places(store, dict_id(d)) == 0)
        wait_until(lambda: store._sweeper._thread is None)


def test_it_gives_way_to_whoever_writes(d: Dict[Any, Any], store: Store) -> None:
    store._background = False
    d.update({n: n for n in range(10)})
    d.clear()
    gate = WriterGate(store.folder)
    gate.enter(5)
    assert store.sweep() is True
    gate.leave()
    gate.close()
    assert places(store, dict_id(d)) == 10
    with store.environment.writer:
        assert store.sweep() is True
    assert store.sweep() is False
    assert places(store, dict_id(d)) == 0


def test_an_error_ends_the_thread_and_nothing_else(
    d: Dict[Any, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise UnavailableError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "sweep_job", fail)
        d.update({n: n for n in range(10)})
        d.clear()
        wait_until(lambda: store._sweeper._thread is None)
    d["k"] = 1
    d.clear()
    wait_until(lambda: places(store, dict_id(d)) == 0)


def test_closing_does_not_wait_for_the_work_to_be_done(d: Dict[Any, Any], store: Store) -> None:
    d.update({n: n for n in range(1_000)})
    d.clear()
    store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ringdict-sweeper"]


def test_an_index_record_that_belongs_to_nothing_is_removed(d: Dict[Any, Any], store: Store) -> None:
    """As damage may leave it behind."""
    store._background = False
    d.put("k", 1, ttl=0.001)
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    place = bound.table.locate(b"\x04k").place
    store.run(lambda transaction: transaction.delete(place))

    def records() -> list[bytes]:
        with store.reading() as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        return [key for key in keys if key.startswith(layout.EXPIRY)]

    assert len(records()) == 1
    wait_until(lambda: not store.sweep() and not records())
