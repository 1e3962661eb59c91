"""One store: its format, its owner, its jobs, its end."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringdict import ClosedError, Cluster, Dict, FormatError, UnavailableError
from ringdict.client.embedded import EmbeddedDict
from ringdict.node.disk.gate import WriterGate
from ringdict.node.store import catalogue, layout, writer
from ringdict.node.store.meta import FORMAT, META
from ringdict.node.store.operation import NEVER, Put
from ringdict.node.store.store import Store
from ringdict.node.store.transaction import DictGoneError, WriteTransaction
from ringdict.node.store.writer import Outcome

# -- format and owner ----------------------------------------------------------------------------


def rewrite_meta(store: Store, version: int, partitions: int) -> None:
    def job(transaction: WriteTransaction) -> None:
        raw = transaction.get(layout.META)
        assert raw is not None
        _, _, node_id, created_ms = META.unpack(raw)
        transaction.put(layout.META, META.pack(version, partitions, node_id, created_ms))

    store.run(job)


@pytest.mark.parametrize(
    ("version", "partitions", "words"),
    [(FORMAT + 1, layout.PARTITIONS, "newer ringdict.*Upgrade"), (FORMAT, 64, "64 partitions")],
)
def test_a_store_of_another_format_is_refused_and_left_alone(
    version: int, partitions: int, words: str, d: Dict[Any, Any], store: Store, cluster: Cluster, folder: Path
) -> None:
    d["k"] = 1
    rewrite_meta(store, version, partitions)
    cluster.close()
    with Cluster(f"file://{folder}?durability=none") as later:
        for _ in range(2):
            with pytest.raises(FormatError, match=words):
                Dict.from_name("d", cluster=later)["k"] = 2
    rewritten = Store(folder, background=False)
    with pytest.raises(FormatError):
        rewritten.open()
    rewritten.close()


def test_a_store_that_belongs_to_a_node_takes_no_writes(d: Dict[Any, Any], store: Store) -> None:
    d["k"] = 1
    store.run(lambda transaction: transaction.put(layout.OWNER, b"node-7"))
    for write in (lambda: d.put("k", 2), lambda: d.incr("n"), d.clear):
        with pytest.raises(UnavailableError, match=r"node node-7.*RINGDICT_URL"):
            write()
    assert d["k"] == 1


# -- jobs ----------------------------------------------------------------------------------------


def in_the_writer_thread(store: Store, *jobs: Callable[[WriteTransaction], Any]) -> list[Outcome[Any]]:
    """The outcomes of jobs that share a transaction."""
    outcomes: list[Outcome[Any]] = []
    finished = threading.Semaphore(0)

    def done(outcome: Outcome[Any]) -> None:
        outcomes.append(outcome)
        finished.release()

    gate = WriterGate(store.folder)
    gate.enter(5)
    try:
        store.submit_job(lambda _: "first", done)
        while store._writer._queue:  # until it stands at the gate: those behind it share the next transaction
            time.sleep(0.001)
        for job in jobs:
            store.submit_job(job, done)
    finally:
        gate.leave()
        gate.close()
    for _ in range(len(jobs) + 1):
        assert finished.acquire(timeout=10)
    return outcomes[1:]


def test_what_is_known_of_a_dict_ends_with_it(d: Dict[Any, Any], store: Store) -> None:
    """A job behind its deletion, in one transaction: the state that the transaction before had left was taken
    for the Dict's, which so came back without a name. Found by `test_everything_at_once[3-60]`.
    """
    d["k"] = 1  # whose transaction leaves the state
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    table, id_ = bound.table, bound.table.dict_id
    put = store.job(table, Put(b"\x04k", b"\x01", NEVER))
    deleted, after = in_the_writer_thread(store, lambda transaction: catalogue.delete(transaction, id_), put)
    deleted.get()
    with pytest.raises(DictGoneError):
        after.get()
    with store.reading() as transaction:
        assert transaction.get(layout.STATE + id_) is None


def put(key: bytes) -> Callable[[WriteTransaction], str]:
    def job(transaction: WriteTransaction) -> str:
        transaction.put(layout.SYSTEM + key, b"")
        return "put"

    return job


def refuse(transaction: WriteTransaction) -> None:
    raise KeyError("refused")


def test_one_job_that_raises_leaves_the_others_alone(store: Store) -> None:
    first, second, third = in_the_writer_thread(store, put(b"a"), refuse, put(b"b"))
    assert first.get() == third.get() == "put"
    with pytest.raises(KeyError, match="refused"):
        second.get()
    with store.reading() as transaction:
        assert transaction.get(layout.SYSTEM + b"a") is not None
        assert transaction.get(layout.SYSTEM + b"b") is not None


def test_a_job_that_raises_after_it_wrote_takes_its_transaction_along(store: Store) -> None:
    """It broke its promise; nothing that it left half done may stand."""

    def break_promise(transaction: WriteTransaction) -> None:
        transaction.put(layout.SYSTEM + b"half", b"")
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        store.run(break_promise)
    for outcome in in_the_writer_thread(store, put(b"a"), break_promise):
        with pytest.raises(ValueError, match="too late"):
            outcome.get()
    with store.reading() as transaction:
        assert transaction.get(layout.SYSTEM + b"half") is None


def test_a_full_queue_refuses_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WRITER_QUEUE_REQUESTS_MAX", 0)
    with pytest.raises(UnavailableError, match="writes are waiting"):
        store.submit_job(lambda _: None, lambda _: None)


def test_a_thread_that_waits_behind_others_gives_up_in_time(store: Store) -> None:
    gate = WriterGate(store.folder)
    gate.enter(5)
    errors: list[Exception] = []

    def write(timeout_s: float) -> None:
        try:
            store.run(lambda _: None, timeout_s)
        except UnavailableError as error:
            errors.append(error)

    first = threading.Thread(target=write, args=[2])
    second = threading.Thread(target=write, args=[0.02])
    first.start()
    while not store.environment.writer.locked():
        pass
    second.start()
    second.join(10)
    gate.leave()
    first.join(10)
    gate.close()
    assert len(errors) == 1
    assert "Nothing was written" in str(errors[0])


def test_the_writer_thread_ends_when_it_has_had_nothing_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WRITER_IDLE_S", 0.01)
    for _ in range(3):
        in_the_writer_thread(store, lambda _: None)
        thread = store._writer._thread
        if thread is not None:
            thread.join(10)
            assert not thread.is_alive()


def test_stale_readers_are_cleared_now_and_then(
    d: Dict[Any, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared: list[None] = []
    monkeypatch.setattr("ringdict.node.store.store.STALE_READERS_COMMITS", 5)
    monkeypatch.setattr(store.environment, "clear_stale_readers", lambda: cleared.append(None))
    for n in range(20):
        d[n] = n
    assert len(cleared) == 4


# -- the end -------------------------------------------------------------------------------------


def test_closing_waits_for_what_was_handed_in(d: Dict[Any, Any], store: Store, folder: Path) -> None:
    bound = d._bound
    assert isinstance(bound, EmbeddedDict)
    done: list[Outcome[Any]] = []
    for n in range(100):
        store.submit_job(put(b"%d" % n), done.append)
    store.close()
    assert [outcome.get() for outcome in done] == ["put"] * 100
    with pytest.raises(ClosedError):
        store.submit_job(lambda _: None, done.append)
    for use in (store.open, lambda: store.run(lambda _: None), store.sweep):
        with pytest.raises(ClosedError):
            use()


def test_a_store_that_was_forgotten_leaves_nothing_behind(folder: Path) -> None:
    store = Store(folder, background=False)
    store.open()
    store.close()
    forgotten = weakref.ref(store)
    del store
    gc.collect()
    assert forgotten() is None


def test_a_fork_that_did_not_come_about_changes_nothing(d: Dict[Any, Any], store: Store) -> None:
    store.before_fork()
    store.after_fork_in_parent()
    d["k"] = 1
    assert d["k"] == 1
