"""A Dict beside a plain dict: whatever is done to both, in whatever order, they agree.

Two Dicts, two handles of each, locks, iterations that are under way for a while, time that passes, a wall
clock that is set, sweeping at any moment, the store closed and opened again, Dicts deleted and made again.
Pages, batches and stretches of the sweeper hold three entries here, so that a few make several of them.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ringdict import Cluster, ConflictError, Dict, Lock, LockLostError, LockTimeoutError, NotFoundError
from ringdict.client.cluster import STORES, Tenant, parse
from ringdict.client.embedded import EmbeddedDict
from ringdict.client.keys import encode_key
from ringdict.client.values import ValueCodec
from ringdict.node.disk.folder import STAMP
from ringdict.node.store import layout
from ringdict.node.store.store import Store

from .clock import ManualClock

T = TypeVar("T")

FEW = 3
NAMES = ("a", "b")
ABSENT: Any = "<absent>"

CODEC = ValueCodec(allow_pickle=False, value_bytes_max=100_000)

# Equal keys of several types; keys on both sides of every limit of the tree, with a common beginning.
KEYS: list[Any] = [
    None, 0, 1, 1.0, True, -5, 2.5, "", "a", "ab", b"", b"a", (), ("a",), ("a", 1), ("a", 1.0),
    frozenset({1}),
    *("k" * length + last for length in (424, 439, 440, 600) for last in ("", "x", "y")),
]  # fmt: skip
PREFIXES: list[Any] = [None, "", "a", "k", "k" * 424, "k" * 430, "k" * 600, b"", (), ("a",), ("a", 1)]

keys = st.sampled_from(KEYS)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False, width=32)
values = numbers | st.none() | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=3).map(tuple)
ttls = st.sampled_from([None, 0.5, 1, 5, 60])
names = st.sampled_from(NAMES)
which = st.integers(0, 1)


class Expected:
    """What an entry should be: `born` tells it from one that was there under its key before."""

    def __init__(self, value: Any, expires_ms: int | None, born: int) -> None:
        self.value = value
        self.expires_ms = expires_ms
        self.born = born


class Model:
    """A Dict as it should be, in one of its lives."""

    def __init__(self, default_ttl: float | None) -> None:
        self.default_ttl = default_ttl
        self.entries: dict[Any, Expected] = {}
        self.versions: dict[Any, int] = {}
        #: Key to token and deadline on the monotonic clock.
        self.locks: dict[Any, tuple[int, int]] = {}
        self.last_token = 0

    def present(self, now_ms: int) -> dict[Any, Expected]:
        """What is not expired; the rest is dropped."""
        over = [key for key, each in self.entries.items() if each.expires_ms and each.expires_ms <= now_ms]
        for key in over:
            del self.entries[key]
        return self.entries


class Scan:
    """An iteration that is under way."""

    def __init__(self, model: Model, items: Iterator[tuple[Any, Any]], there: dict[Any, int]) -> None:
        self.model = model
        self.items = items
        self.there = there
        self.seen: set[Any] = set()


class DictMachine(RuleBasedStateMachine):
    """Every rule does the same to a Dict and to its model, and compares the answers."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.home = Path(tempfile.mkdtemp(dir=self.folder))
        self.url = f"file://{self.home}?durability=none"
        self.models: dict[str, Model | None] = dict.fromkeys(NAMES)
        self.births = count()
        self.scans: list[Scan] = []
        self.held: list[tuple[Model, Any, Lock]] = []
        self.open()

    def open(self) -> None:
        self.store = Store(
            parse(self.url).folder, durability=parse(self.url).durability, clock=self.clock, background=False
        )
        self.store.open()
        STORES.tenants[self.store.folder] = Tenant(parse(self.url), self.store)
        self.clusters = [Cluster(self.url) for _ in range(2)]
        self.handles: dict[str, list[Dict[Any, Any]]] = {
            name: [Dict.from_name(name, cluster=cluster) for cluster in self.clusters] for name in NAMES
        }

    def close(self) -> None:
        for cluster in self.clusters:
            cluster.close()
        STORES.tenants.pop(self.store.folder, None)
        self.store.close()  # which no cluster has done that never used it

    @initialize()
    def make_the_first(self) -> None:
        self.create("a", None)

    @property
    def now_ms(self) -> int:
        return self.store.now_ms()

    def both(self, name: str, number: int) -> tuple[Dict[Any, Any], Model | None]:
        """A handle, and the model if the Dict exists."""
        model = self.models[name]
        if model is not None:
            model.present(self.now_ms)
        return self.handles[name][number], model

    def answer(self, call: Callable[[], T], model: Model | None) -> T | Any:
        """What a call answers, or the class of the error that it raises: the only one for a missing Dict."""
        if model is None:
            with pytest.raises(NotFoundError):
                call()
            return NotFoundError
        try:
            return call()
        except (KeyError, TypeError, ConflictError, OverflowError) as error:
            return type(error)

    def expiry(self, model: Model, ttl: float | str | None) -> int | None:
        ttl = model.default_ttl if ttl == "unset" else ttl
        return None if ttl is None else self.now_ms + math.ceil(float(ttl) * 1000)

    def store_in(self, model: Model, key: Any, value: Any, expires_ms: int | None) -> None:
        """As a write does: an equal key stays the object that it was, and the entry was born when it was."""
        standing = model.entries.get(key)
        model.entries[key] = Expected(value, expires_ms, standing.born if standing else next(self.births))

    def check_version(self, d: Dict[Any, Any], model: Model, key: Any, *, grew: bool) -> int:
        entry = d.get_entry(key)
        assert entry is not None
        before = model.versions.get(key, 0)
        assert entry.version > before if grew else entry.version == before
        model.versions[key] = entry.version
        return entry.version

    # -- one key ---------------------------------------------------------------------------------

    @rule(name=names, number=which, key=keys, value=values, ttl=ttls | st.just("unset"), skip=st.booleans())
    def put(self, name: str, number: int, key: Any, value: Any, ttl: Any, skip: bool) -> None:
        d, model = self.both(name, number)
        more = {} if ttl == "unset" else {"ttl": ttl}
        answer = self.answer(lambda: d.put(key, value, skip_if_exists=skip, **more), model)
        if model is None:
            return
        assert answer is (not skip or key not in model.entries)
        if answer:
            self.store_in(model, key, value, self.expiry(model, ttl))
            self.check_version(d, model, key, grew=True)

    @rule(name=names, number=which, key=keys, value=values)
    def set_item(self, name: str, number: int, key: Any, value: Any) -> None:
        d, model = self.both(name, number)
        self.answer(lambda: d.__setitem__(key, value), model)
        if model is not None:
            self.store_in(model, key, value, self.expiry(model, "unset"))
            self.check_version(d, model, key, grew=True)

    @rule(name=names, number=which, key=keys, value=values)
    def setdefault(self, name: str, number: int, key: Any, value: Any) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.setdefault(key, value), model)
        if model is None:
            return
        if key in model.entries:
            assert answer == model.entries[key].value
        else:
            assert answer == value
            self.store_in(model, key, value, self.expiry(model, "unset"))
            self.check_version(d, model, key, grew=True)

    @rule(name=names, number=which, key=keys, delta=numbers, initial=numbers | st.none())
    def incr(self, name: str, number: int, key: Any, delta: Any, initial: Any) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.incr(key, delta, initial=initial), model)
        if model is None:
            return
        standing = model.entries.get(key)
        start = standing.value if standing else initial
        if standing is None and initial is None:
            assert answer is KeyError
        elif type(start) not in (int, float):
            assert answer is TypeError
        else:
            assert answer == start + delta
            assert type(answer) is type(start + delta)
            expires_ms = standing.expires_ms if standing else self.expiry(model, "unset")
            self.store_in(model, key, start + delta, expires_ms)
            self.check_version(d, model, key, grew=True)

    @rule(name=names, number=which, key=keys, value=values, at=st.sampled_from(["current", "old", "none"]))
    def replace(self, name: str, number: int, key: Any, value: Any, at: str) -> None:
        d, model = self.both(name, number)
        version = None if at == "none" or model is None else model.versions.get(key, 1)
        if_version = version - 1 if at == "old" and version else version
        answer = self.answer(lambda: d.replace(key, value, if_version=if_version), model)
        if model is None:
            return
        standing = model.entries.get(key)
        if if_version is not None and standing is None:
            assert answer is KeyError
        elif if_version != (version if standing else None) or (if_version is None) != (standing is None):
            assert answer is ConflictError
        else:
            expires_ms = standing.expires_ms if standing else self.expiry(model, "unset")
            self.store_in(model, key, value, expires_ms)
            assert self.check_version(d, model, key, grew=True) == answer

    @rule(name=names, number=which, key=keys, at=st.sampled_from(["any", "current", "old"]))
    def pop(self, name: str, number: int, key: Any, at: str) -> None:
        d, model = self.both(name, number)
        more = (
            {} if model is None or at == "any" else {"if_version": model.versions.get(key, 1) - (at == "old")}
        )
        answer = self.answer(lambda: d.pop(key, ABSENT, **more), model)
        if model is None:
            return
        if key not in model.entries:
            assert answer is ABSENT
        elif more and at == "old":
            assert answer is ConflictError
        else:
            assert answer == model.entries.pop(key).value

    @rule(name=names, number=which, key=keys)
    def delete(self, name: str, number: int, key: Any) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.__delitem__(key), model)
        if model is not None:
            assert answer is (None if model.entries.pop(key, None) else KeyError)

    @rule(name=names, number=which, key=keys, ttl=ttls)
    def touch(self, name: str, number: int, key: Any, ttl: float | None) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.touch(key, ttl), model)
        if model is None:
            return
        assert answer is (key in model.entries)
        if answer:
            model.entries[key].expires_ms = self.expiry(model, ttl)
            self.check_version(d, model, key, grew=False)

    @rule(name=names, number=which, key=keys)
    def read(self, name: str, number: int, key: Any) -> None:
        d, model = self.both(name, number)
        value = self.answer(lambda: d.get(key, ABSENT), model)
        ttl = self.answer(lambda: d.ttl(key), model)
        if model is None:
            return
        standing = model.entries.get(key)
        assert value == (standing.value if standing else ABSENT)
        assert (key in d) == d.contains(key) == bool(standing)
        if standing is None:
            assert ttl is KeyError
            assert d.get_entry(key) is None
        else:
            assert ttl == (
                None if standing.expires_ms is None else (standing.expires_ms - self.now_ms) / 1000
            )
            assert type(d[key]) is type(standing.value)

    # -- many keys -------------------------------------------------------------------------------

    @rule(
        name=names,
        number=which,
        pairs=st.lists(st.tuples(keys, values), max_size=8),
        ttl=ttls | st.just("unset"),
    )
    def update(self, name: str, number: int, pairs: list[tuple[Any, Any]], ttl: Any) -> None:
        d, model = self.both(name, number)
        more = {} if ttl == "unset" else {"ttl": ttl}
        if model is None and not pairs:
            return
        self.answer(lambda: d.update(pairs, **more), model)
        if model is not None:
            for key, value in dict(pairs).items():
                self.store_in(model, key, value, self.expiry(model, ttl))
                self.check_version(d, model, key, grew=True)

    @rule(name=names, number=which, some=st.lists(keys, min_size=1, max_size=8))
    def get_many(self, name: str, number: int, some: list[Any]) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.get_many(some), model)
        if model is not None:
            assert answer == {key: model.entries[key].value for key in some if key in model.entries}

    @rule(name=names, number=which, some=st.lists(keys, min_size=1, max_size=8))
    def delete_many(self, name: str, number: int, some: list[Any]) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: d.delete_many(some), model)
        if model is not None:
            assert answer == sum(model.entries.pop(key, None) is not None for key in set(some))

    @rule(name=names, number=which)
    def popitem(self, name: str, number: int) -> None:
        d, model = self.both(name, number)
        answer = self.answer(d.popitem, model)
        if model is None:
            return
        if not model.entries:
            assert answer is KeyError
        else:
            key, value = answer
            assert value == model.entries.pop(key).value

    @rule(name=names, number=which)
    def clear(self, name: str, number: int) -> None:
        d, model = self.both(name, number)
        self.answer(d.clear, model)
        if model is not None:
            model.entries.clear()
            model.locks.clear()

    # -- iterations ------------------------------------------------------------------------------

    @rule(name=names, number=which, prefix=st.sampled_from(PREFIXES))
    def iterate(self, name: str, number: int, prefix: Any) -> None:
        d, model = self.both(name, number)
        answer = self.answer(lambda: list(d.items(prefix)), model)
        if model is not None:
            expected = {key: each.value for key, each in model.entries.items() if begins(key, prefix)}
            assert len(answer) == len(expected)
            assert dict(answer) == expected

    @rule(name=names, number=which)
    def begin_to_iterate(self, name: str, number: int) -> None:
        d, model = self.both(name, number)
        if model is not None and model.entries and len(self.scans) < 5:
            there = {key: each.born for key, each in model.entries.items()}
            scan = Scan(model, iter(d.items()), there)
            scan.seen.add(next(scan.items)[0])  # it begins with the first step, not before
            self.scans.append(scan)

    @precondition(lambda self: self.scans)
    @rule(steps=st.integers(1, 2 * FEW), number=st.integers(0, 4))
    def go_on_iterating(self, steps: int, number: int) -> None:
        scan = self.scans[number % len(self.scans)]
        for _ in range(steps):
            try:
                key, _ = next(scan.items)
            except NotFoundError:
                assert scan.model not in self.models.values()
                self.scans.remove(scan)
                return
            except StopIteration:
                present = scan.model.present(self.now_ms)
                throughout = {
                    key for key, born in scan.there.items() if key in present and present[key].born == born
                }
                assert throughout <= scan.seen
                self.scans.remove(scan)
                return
            assert key not in scan.seen
            scan.seen.add(key)

    # -- locks -----------------------------------------------------------------------------------

    @rule(name=names, number=which, key=keys, ttl=ttls)
    def acquire(self, name: str, number: int, key: Any, ttl: float | None) -> None:
        d, model = self.both(name, number)
        lock = d.lock(key, ttl=ttl, wait_s=0)
        if model is None:
            self.answer(lock.acquire, None)
        elif self.holder(model, key):
            with pytest.raises(LockTimeoutError):
                lock.acquire()
        else:
            token = lock.acquire()
            assert token > model.last_token
            model.last_token = token
            model.locks[key] = (token, self.deadline(ttl))
            self.held.append((model, key, lock))

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 3), ttl=ttls, what=st.sampled_from(["release", "extend", "look"]))
    def use_a_lock(self, number: int, ttl: float | None, what: str) -> None:
        number %= len(self.held)
        model, key, lock = self.held[number]
        if model not in self.models.values():
            del self.held[number]
            return
        owned = self.holder(model, key) == lock.token
        if what == "look":
            assert lock.owned() == owned
            return
        if owned:
            lock.release() if what == "release" else lock.extend(ttl)
        else:
            with pytest.raises(LockLostError):
                lock.release() if what == "release" else lock.extend(ttl)
        if what == "extend" and owned:
            assert lock.token is not None
            model.locks[key] = (lock.token, self.deadline(ttl))
        else:
            if owned:
                del model.locks[key]
            del self.held[number]

    def holder(self, model: Model, key: Any) -> int | None:
        token, deadline_ms = model.locks.get(key, (None, 0))
        return token if deadline_ms > self.clock.monotonic else None

    def deadline(self, ttl: float | None) -> int:
        return 1 << 62 if ttl is None else self.clock.monotonic + math.ceil(ttl * 1000)

    # -- the world -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 5, 60]))
    def time_passes(self, seconds: float) -> None:
        before_ms = self.now_ms
        self.clock.advance(seconds)
        assert self.now_ms >= before_ms + round(seconds * 1000)

    @rule(seconds=st.sampled_from([-86_400, -1, 1, 30]))
    def the_wall_clock_is_set(self, seconds: int) -> None:
        before_ms = self.now_ms
        self.clock.set_wall(seconds)
        assert self.now_ms >= before_ms

    @rule(steps=st.integers(1, 3))
    def sweep(self, steps: int) -> None:
        for _ in range(steps):
            self.store.sweep()

    @rule(name=names, ttl=ttls)
    def create(self, name: str, ttl: float | None) -> None:
        Dict.objects.create(name, allow_existing=True, ttl=ttl, cluster=self.clusters[0])
        if self.models[name] is None:
            self.models[name] = Model(ttl)

    @rule(name=names)
    def delete_the_dict(self, name: str) -> None:
        Dict.objects.delete(name, allow_missing=True, cluster=self.clusters[1])
        self.models[name] = None

    @rule(booted=st.booleans(), lost=st.booleans())
    def close_and_open_again(self, booted: bool, lost: bool) -> None:
        """With a wall clock that was put right meanwhile; after a boot of the host, all locks are free."""
        self.clock.wall = self.now_ms
        self.close()
        self.scans.clear()
        self.held.clear()
        if lost:
            (self.home / STAMP).unlink()
        if booted:
            self.clock.reboot()
            for model in self.models.values():
                if model is not None:
                    model.locks.clear()
        self.open()

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        for name, model in self.models.items():
            if model is None:
                continue
            now_ms = self.now_ms
            expected = {key: each.value for key, each in model.present(now_ms).items()}
            for d in self.handles[name]:
                assert len(d) == len(expected)
                found = list(d.items())
                assert len(found) == len(expected)
                assert dict(found) == expected

    def teardown(self) -> None:
        try:
            for _ in range(10_000):
                if not self.store.sweep():
                    break
            self.they_agree()
            self.audit()
        finally:
            self.close()
            shutil.rmtree(self.home)

    def audit(self) -> None:
        """Swept, the store holds what is visible, and nothing else; and its counters say so."""
        with self.store.reading() as transaction:
            places = [bytes(place) for place in transaction.cursor().iternext(keys=True, values=False)]
        live = 0
        for name, model in self.models.items():
            if model is None:
                continue
            live += 1
            bound = self.handles[name][0].hydrate()._bound
            assert isinstance(bound, EmbeddedDict)
            state = bound.table.state()
            expected = {encode_key(key): each for key, each in model.entries.items()}
            expiring = sum(each.expires_ms is not None for each in expected.values())
            bytes_ = sum(len(key) + len(CODEC.encode(each.value)) for key, each in expected.items())
            assert (state.entries, state.bytes, state.expiring) == (len(expected), bytes_, expiring)
            of_entries = [place for place in places if place.startswith(bound.dict_id)]
            assert sum(place[layout.PREFIX_BYTES] != layout.LOCK_SPACE[0] for place in of_entries) == len(
                expected
            )
            of_index = [place for place in places if place.startswith(layout.EXPIRY + bound.dict_id)]
            assert len(of_index) == expiring
            places = [place for place in places if place not in {*of_entries, *of_index}]
        assert all(place.startswith(layout.SYSTEM) for place in places)
        assert sum(place.startswith((layout.DICT, layout.STATE)) for place in places) == 2 * live
        assert not [place for place in places if place.startswith(layout.SWEEP)]


def begins(key: Any, prefix: Any) -> bool:
    return prefix is None or (type(key) is type(prefix) and key[: len(prefix)] == prefix)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three entries are many."""
    monkeypatch.setattr("ringdict.node.store.table.PAGE_ENTRIES_MAX", FEW)
    monkeypatch.setattr("ringdict.node.store.sweeper.SWEEP_ENTRIES_MAX", FEW)
    monkeypatch.setattr("ringdict.client.batch.BATCH_ENTRIES_MAX", FEW)


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("few")
def test_a_dict_is_what_a_plain_dict_would_be(tmp_path: Path) -> None:
    machine = type("Machine", (DictMachine,), {"folder": tmp_path})
    steps = settings(stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(machine, settings=steps)
