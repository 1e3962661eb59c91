"""`Dict.lock`: one holder at a time, for a time, with a token that tells holders apart."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from ringdict import Cluster, Dict, InvalidError, Lock, LockLostError, LockTimeoutError, NotFoundError
from ringdict.node.store.store import Store

from .clock import ManualClock

# -- holding -------------------------------------------------------------------------------------


def test_one_holds_it_and_others_do_not(d: Dict[Any, Any]) -> None:
    with d.lock("k") as lock:
        assert isinstance(lock, Lock)
        assert lock.owned()
        other = d.lock("k", wait_s=0)
        assert not other.owned()
        with pytest.raises(LockTimeoutError, match=r"'k'.*'d'.*within 0 s"):
            other.acquire()
        assert not other.owned()
        assert other.token is None
    assert not lock.owned()
    with other:
        assert other.owned()


def test_a_timeout_is_a_timeout_error() -> None:
    assert issubclass(LockTimeoutError, TimeoutError)


def test_locks_of_other_keys_and_dicts_are_other_locks(d: Dict[Any, Any], cluster: Cluster) -> None:
    elsewhere = Dict.from_name("elsewhere", create_if_missing=True, cluster=cluster)
    with d.lock("k", wait_s=0), d.lock("other", wait_s=0), d.lock(1, wait_s=0), elsewhere.lock("k", wait_s=0):
        pass


def test_equal_keys_are_one_lock(d: Dict[Any, Any]) -> None:
    with d.lock(1), pytest.raises(LockTimeoutError):
        d.lock(1.0, wait_s=0).acquire()


def test_every_handle_of_the_dict_sees_it(d: Dict[Any, Any], cluster: Cluster) -> None:
    with d.lock("k"), pytest.raises(LockTimeoutError):
        Dict.from_name("d", cluster=cluster).lock("k", wait_s=0).acquire()


def test_making_a_lock_takes_nothing(d: Dict[Any, Any]) -> None:
    lock = d.lock("k")
    assert lock.token is None
    assert not lock.owned()
    assert repr(lock) == "<lock 'k' of ringdict.Dict.from_name('d')>"


def test_it_is_not_re_entrant(d: Dict[Any, Any]) -> None:
    with d.lock("k") as lock:
        with pytest.raises(InvalidError, match="re-entrant"):
            lock.acquire()
        assert lock.owned()


def test_it_can_be_used_again(d: Dict[Any, Any]) -> None:
    lock = d.lock("k", wait_s=0)
    for _ in range(3):
        with lock:
            assert lock.owned()


def test_an_error_in_the_block_releases_it(d: Dict[Any, Any]) -> None:
    with pytest.raises(ZeroDivisionError), d.lock("k"):
        raise ZeroDivisionError
    d.lock("k", wait_s=0).acquire()


# -- beside the entries --------------------------------------------------------------------------


def test_a_lock_is_no_entry(d: Dict[Any, Any]) -> None:
    with d.lock("k"), d.lock("k" * 1000), d.lock(("k", 1)):
        assert "k" not in d
        assert len(d) == d.info().entries == d.info().bytes == 0
        assert list(d) == list(d.keys("")) == list(d.keys(())) == list(d.items()) == []
        with pytest.raises(KeyError):
            d.popitem()
        d["k"] = 1
        assert d.pop("k") == 1


@pytest.mark.parametrize("key", [None, 0, "", b"", (), "k" * 4095])
def test_whatever_can_be_a_key_can_be_locked(key: Any, d: Dict[Any, Any]) -> None:
    with d.lock(key, wait_s=0), pytest.raises(LockTimeoutError):
        d.lock(key, wait_s=0).acquire()


# -- waiting -------------------------------------------------------------------------------------


def test_a_waiter_gets_it_when_it_is_released(d: Dict[Any, Any]) -> None:
    order: list[str] = []
    holder = d.lock("k")
    holder.acquire()

    def wait() -> None:
        with d.lock("k"):
            order.append("waiter")

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.05)
    order.append("holder")
    holder.release()
    waiter.join(10)
    assert order == ["holder", "waiter"]


def test_a_waiter_gives_up_after_wait_s(d: Dict[Any, Any]) -> None:
    with d.lock("k"):
        start_s = time.monotonic()
        with pytest.raises(LockTimeoutError, match=r"within 0\.05 s"):
            d.lock("k", wait_s=0.05).acquire()
        assert time.monotonic() - start_s >= 0.05


@pytest.mark.parametrize("wait_s", [-1, float("nan"), -0.001])
def test_a_wait_of_less_than_nothing_is_refused(wait_s: float, d: Dict[Any, Any]) -> None:
    with pytest.raises(InvalidError, match="wait_s"):
        d.lock("k", wait_s=wait_s)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_threads_exclude_each_other(d: Dict[Any, Any]) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            with d.lock("k"):
                inside.append(number)
                most.append(len(inside))
                d["n"] = d.get("n", 0) + 1
                inside.remove(number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert d["n"] == 30
    assert max(most) == 1


# -- tokens --------------------------------------------------------------------------------------


def test_tokens_grow_whatever_ended_the_hold(timed: Dict[Any, Any], clock: ManualClock) -> None:
    def token() -> int:
        return timed.lock("k", ttl=10, wait_s=0).acquire()

    def release() -> None:
        lock = timed.lock("other")
        lock.acquire()
        lock.release()

    tokens = [token()]
    for end in (lambda: clock.advance(10), timed.clear):
        end()
        tokens.append(token())
    timed.clear()
    lock = timed.lock("k", wait_s=0)
    for _ in range(5):
        with lock:
            assert lock.token is not None
            tokens.append(lock.token)
    release()
    assert tokens == sorted(set(tokens))
    assert all(0 < each < 1 << 64 for each in tokens)


def test_acquire_returns_the_token(d: Dict[Any, Any]) -> None:
    lock = d.lock("k")
    assert lock.acquire() == lock.token
    lock.release()
    assert lock.token is None


def test_a_token_is_above_the_versions_of_the_atomic_operations_before(d: Dict[Any, Any]) -> None:
    d.incr("n")
    entry = d.get_entry("n")
    assert entry is not None
    assert d.lock("k").acquire() > entry.version


# -- releasing -----------------------------------------------------------------------------------


def test_only_the_owner_releases_it(d: Dict[Any, Any]) -> None:
    lock = d.lock("k")
    lock.acquire()
    with pytest.raises(LockLostError, match="not held by this object"):
        d.lock("k").release()
    assert lock.owned()
    lock.release()
    with pytest.raises(LockLostError):
        lock.release()


@pytest.mark.parametrize("lose", ["clear", "expiry", "expiry and another holder", "deletion and making anew"])
def test_releasing_what_was_lost_says_so(
    lose: str, timed: Dict[Any, Any], clock: ManualClock, cluster: Cluster
) -> None:
    lock = timed.lock("k", ttl=10)
    lock.acquire()
    other = timed.lock("k", wait_s=0)
    if lose == "clear":
        timed.clear()
    elif lose.startswith("deletion"):
        Dict.objects.delete("d", cluster=cluster)
        Dict.objects.create("d", cluster=cluster)
    else:
        clock.advance(10)
        if "another" in lose:
            other.acquire()
    assert not lock.owned()
    with pytest.raises(LockLostError, match="lost"):
        lock.release()
    assert other.owned() == ("another" in lose)


def test_a_block_that_lost_its_lock_says_so_at_its_end(timed: Dict[Any, Any], clock: ManualClock) -> None:
    with pytest.raises(LockLostError), timed.lock("k", ttl=10):
        clock.advance(10)


def test_an_error_of_the_block_goes_before_the_loss(timed: Dict[Any, Any]) -> None:
    with pytest.raises(ZeroDivisionError), timed.lock("k"):
        timed.clear()
        raise ZeroDivisionError


def test_a_lock_of_a_deleted_dict_is_not_found(d: Dict[Any, Any], cluster: Cluster) -> None:
    lock = d.lock("k")
    lock.acquire()
    Dict.objects.delete("d", cluster=cluster)
    for use in (lock.owned, lock.extend, d.lock("k").acquire):
        with pytest.raises(NotFoundError):
            use()


# -- time to live --------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [10, timedelta(seconds=10)])
def test_a_lock_outlives_its_holder_by_its_ttl(ttl: Any, timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=ttl)
    lock.acquire()
    clock.advance(9.999)
    assert lock.owned()
    with pytest.raises(LockTimeoutError):
        timed.lock("k", wait_s=0).acquire()
    clock.advance(0.001)
    assert not lock.owned()
    timed.lock("k", wait_s=0).acquire()


def test_without_a_ttl_it_is_held_for_ever(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=None)
    lock.acquire()
    clock.advance(10**9)
    assert lock.owned()


def test_the_default_ttl_is_half_a_minute(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k")
    lock.acquire()
    clock.advance(29.9)
    assert lock.owned()
    clock.advance(0.1)
    assert not lock.owned()


def test_extend_begins_the_ttl_anew_and_keeps_the_token(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=10)
    token = lock.acquire()
    for _ in range(5):
        clock.advance(9)
        lock.extend()
    lock.extend(60)
    clock.advance(59)
    assert lock.owned()
    assert lock.token == token
    lock.extend(timedelta(seconds=5))
    clock.advance(5)
    assert not lock.owned()


def test_extend_for_ever(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=10)
    lock.acquire()
    lock.extend(None)
    clock.advance(10**6)
    assert lock.owned()


def test_extending_what_is_not_held_says_so(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=10)
    with pytest.raises(LockLostError):
        lock.extend()
    lock.acquire()
    clock.advance(10)
    with pytest.raises(LockLostError, match="not held any more"):
        lock.extend()
    lock.acquire()
    assert lock.owned()


def test_a_wrong_extension_is_refused_and_the_lock_stays(d: Dict[Any, Any]) -> None:
    lock = d.lock("k")
    lock.acquire()
    with pytest.raises(InvalidError):
        lock.extend(-1)
    assert lock.owned()


# -- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-100_000, 100_000])
def test_a_wall_clock_that_jumps_ends_no_lock(
    jump_s: float, timed: Dict[Any, Any], clock: ManualClock
) -> None:
    lock = timed.lock("k", ttl=10)
    lock.acquire()
    clock.set_wall(jump_s)
    clock.advance(9)
    assert lock.owned()
    clock.advance(1)
    assert not lock.owned()


def test_a_lock_of_an_earlier_boot_is_free(timed: Dict[Any, Any], clock: ManualClock) -> None:
    lock = timed.lock("k", ttl=None)
    lock.acquire()
    clock.reboot()
    assert not lock.owned()
    assert timed.lock("k", wait_s=0).acquire() > 0


def test_where_no_boot_id_is_known_the_deadline_gives_an_earlier_boot_away(
    timed: Dict[Any, Any], clock: ManualClock
) -> None:
    lock = timed.lock("k", ttl=10)
    lock.acquire()
    clock.monotonic -= 1_000  # booted again, and the new boot is younger than the old one was
    assert not lock.owned()
    timed.lock("k", wait_s=0).acquire()


def test_sweeping_leaves_locks_alone(timed: Dict[Any, Any], timed_store: Store) -> None:
    lock = timed.lock("k")
    lock.acquire()
    timed.update({n: n for n in range(100)})
    timed.clear()
    fresh = timed.lock("fresh")
    fresh.acquire()
    while timed_store.sweep():
        pass
    assert not lock.owned()
    assert fresh.owned()
