"""`Dict.ephemeral()`: a Dict without a name that goes with whoever made it."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from ringdict import Cluster, Dict, NotFoundError, UnavailableError
from ringdict.client import embedded
from ringdict.client.ephemeral import Heart
from ringdict.node.config import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S
from ringdict.node.store.store import Store
from ringdict.node.store.transaction import DictGoneError

from .clock import ManualClock


def test_it_is_there_for_the_length_of_a_with(cluster: Cluster) -> None:
    with Dict.ephemeral(cluster=cluster) as d:
        d["k"] = 1
        assert d["k"] == 1
        assert d.name is None
        assert d.info().name is None
        assert repr(d) == f"ringdict.Dict.from_id({d.object_id!r})"
    with pytest.raises(NotFoundError):
        d["k"]


def test_it_is_gone_after_an_error_as_well(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError), Dict.ephemeral(cluster=cluster) as d:
        d["k"] = 1 / 0
    with pytest.raises(NotFoundError):
        len(d)


def test_two_have_nothing_in_common(cluster: Cluster) -> None:
    with Dict.ephemeral(cluster=cluster) as one, Dict.ephemeral(cluster=cluster) as other:
        one["k"] = 1
        assert not other
        assert one != other
        assert one == one.hydrate()


def test_its_handle_may_be_sent_to_others(url: str) -> None:
    with Dict.ephemeral(cluster=url) as d:
        d["k"] = 1
        other = pickle.loads(pickle.dumps(d))
        other["k"] += 1
        assert d["k"] == 2
        assert d == other


def test_it_takes_a_default_ttl_and_allow_pickle(cluster: Cluster) -> None:
    with Dict.ephemeral(cluster=cluster, ttl=60, allow_pickle=True) as d:
        d["k"] = range(5)
        assert d["k"] == range(5)
        assert d.ttl("k") == pytest.approx(60, abs=5)


def test_it_may_be_deleted_under_its_owner(cluster: Cluster, timed_store: Store, clock: ManualClock) -> None:
    with Dict.ephemeral(cluster=cluster) as d:
        clock.advance(HEARTBEAT_TIMEOUT_S + 1)
        while timed_store.sweep():
            pass
        with pytest.raises(NotFoundError):
            len(d)


def test_it_is_made_and_deleted_in_one_store(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Variables are read at first use, and what they say later does not matter."""
    monkeypatch.setenv("RINGDICT_URL", url)
    with Dict.ephemeral() as d:
        monkeypatch.setenv("RINGDICT_URL", f"file://{tmp_path}/elsewhere?durability=none")
        d["k"] = 1
    with pytest.raises(NotFoundError):
        d["k"]


# -- heartbeats ----------------------------------------------------------------------------------


def abandoned(cluster: Cluster) -> Dict[Any, Any]:
    """One whose owner has died."""
    ephemeral = Dict.ephemeral(cluster=cluster)
    d = ephemeral.__enter__()
    assert ephemeral._heart is not None
    ephemeral._heart.stop()
    d["k"] = 1
    return d


def sweep(store: Store) -> None:
    while store.sweep():
        pass


def test_it_is_collected_when_its_owner_is_not_heard_of(
    timed_store: Store, cluster: Cluster, clock: ManualClock
) -> None:
    d = abandoned(cluster)
    clock.advance(HEARTBEAT_TIMEOUT_S)
    sweep(timed_store)
    assert d["k"] == 1
    clock.advance(0.001)
    sweep(timed_store)
    with pytest.raises(NotFoundError):
        d["k"]
    with timed_store.reading() as transaction:
        assert transaction.stat()["entries"] == 1  # the store's own record


def test_it_is_collected_after_the_host_was_booted_again(
    timed_store: Store, cluster: Cluster, clock: ManualClock
) -> None:
    d = abandoned(cluster)
    clock.reboot()
    sweep(timed_store)
    with pytest.raises(NotFoundError):
        d["k"]


def test_heartbeats_keep_it_alive(timed_store: Store, cluster: Cluster, clock: ManualClock) -> None:
    d = abandoned(cluster)
    dict_id = bytes.fromhex(d.object_id.removeprefix("di-"))
    for _ in range(10):
        clock.advance(HEARTBEAT_TIMEOUT_S - 1)
        embedded.beat(cluster, dict_id)
        sweep(timed_store)
    assert d["k"] == 1


def hearts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ringdict-heart"]


def test_a_heart_beats_until_its_dict_is_gone_though_some_beats_fail(
    cluster: Cluster,
) -> None:
    abandoned(cluster)
    for thread in hearts():
        thread.join(10)
    outcomes: list[Exception | None] = [None, UnavailableError("others write"), None, DictGoneError()]

    def beat() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    Heart(beat, interval_s=0.001)
    for thread in hearts():
        thread.join(10)
    assert not hearts()
    assert not outcomes


def test_some_beats_may_be_missed() -> None:
    assert HEARTBEAT_TIMEOUT_S >= 5 * HEARTBEAT_INTERVAL_S
