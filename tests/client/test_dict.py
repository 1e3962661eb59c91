"""One key at a time: what `Dict`'s methods do to it."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from decimal import Decimal
from itertools import count
from typing import Any

import numpy as np
import pytest

from ringdict import Cluster, ConflictError, Dict, InvalidError, NotFoundError, ValueTooLargeError
from ringdict.client.embedded import EmbeddedDict
from ringdict.client.keys import decode_key
from ringdict.client.transport import Transport
from ringdict.node.store.entry import Stored
from ringdict.node.store.transaction import DictGoneError

VALUE_BYTES_MAX = 100 * 1024


# -- reading and writing -------------------------------------------------------------------------


def test_it_is_used_like_a_dict(d: Dict[Any, Any]) -> None:
    d["k"] = {"nested": [1, 2, (3, 4)]}
    assert d["k"] == {"nested": [1, 2, (3, 4)]}
    assert "k" in d
    assert d.contains("k")
    d["k"] = "another"
    assert d["k"] == "another"
    del d["k"]
    assert "k" not in d
    assert not d.contains("k")


def test_a_missing_key_is_a_key_error_that_names_key_and_dict(d: Dict[Any, Any]) -> None:
    def delete() -> None:
        del d["k"]

    for use in (lambda: d["k"], delete, lambda: d.pop("k")):
        with pytest.raises(KeyError) as caught:
            use()
        assert caught.value.args[0] == "k"
        assert "'d'" in str(caught.value)


def test_get_answers_the_default_where_nothing_is(d: Dict[Any, Any]) -> None:
    assert d.get("k") is None
    assert d.get("k", 5) == 5
    assert d.get("k", default=5) == 5
    assert d.get("k", fresh=True) is None


def test_a_stored_none_is_a_value(d: Dict[Any, Any]) -> None:
    d["k"] = None
    assert "k" in d
    assert d["k"] is None
    assert d.get("k", "absent") is None
    assert d.setdefault("k", "absent") is None
    assert not d.put("k", 1, skip_if_exists=True)
    assert d.pop("k", "absent") is None
    assert d.pop("k", "absent") == "absent"


def test_values_are_copies(d: Dict[Any, Any]) -> None:
    value = [1]
    d["k"] = value
    value.append(2)
    d["k"].append(3)
    assert d["k"] == [1]


def test_adding_to_a_value_is_a_get_and_a_put(d: Dict[Any, Any]) -> None:
    d["n"] = 1
    d["n"] += 1
    assert d["n"] == 2


# -- put if absent, setdefault -------------------------------------------------------------------


def test_put_says_whether_it_wrote(d: Dict[Any, Any]) -> None:
    assert d.put("k", 1) is True
    assert d.put("k", 2) is True
    assert d.put("k", 3, skip_if_exists=True) is False
    assert d["k"] == 2
    del d["k"]
    assert d.put("k", 4, skip_if_exists=True) is True
    assert d["k"] == 4


@pytest.mark.parametrize("ack", ["all", "majority", "one"])
def test_an_embedded_store_is_all_of_its_replicas(ack: str, d: Dict[Any, Any]) -> None:
    assert d.put("k", 1, ack=ack)


def test_an_unknown_ack_is_refused(d: Dict[Any, Any]) -> None:
    with pytest.raises(InvalidError, match="ack"):
        d.put("k", 1, ack="none")
    assert "k" not in d


def test_setdefault_stores_what_was_missing_and_answers_what_is_there(d: Dict[Any, Any]) -> None:
    assert d.setdefault("k", 1) == 1
    assert d.setdefault("k", 2) == 1
    assert d["k"] == 1
    assert d.setdefault("n") is None
    assert d["n"] is None


# -- pop -----------------------------------------------------------------------------------------


def test_pop_removes_and_returns(d: Dict[Any, Any]) -> None:
    d["k"] = 1
    assert d.pop("k", "default") == 1
    assert d.pop("k", "default") == "default"
    assert d.pop("k", default=None) is None
    with pytest.raises(KeyError):
        d.pop("k")


def test_pop_at_a_version_removes_that_version_only(d: Dict[Any, Any]) -> None:
    d["k"] = 1
    old = d.get_entry("k")
    d["k"] = 2
    new = d.get_entry("k")
    assert old is not None
    assert new is not None
    with pytest.raises(ConflictError) as caught:
        d.pop("k", if_version=old.version)
    assert caught.value.current == new.version
    assert d.pop("k", if_version=new.version) == 2
    assert d.pop("k", "default", if_version=new.version) == "default"


# -- pop and popitem beside others who write ------------------------------------------------------

Interfere = Callable[[Callable[[int, Any], object]], None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Interfere:
    """Does something behind each read of an entry, with the number of reads so far, and the key."""

    def between(interfere: Callable[[int, Any], object]) -> None:
        find = EmbeddedDict.find
        reads = count(1)

        async def found_and_then(
            self: EmbeddedDict, io: Transport, key: bytes, *, fresh: bool = False
        ) -> Stored | None:
            entry = await find(self, io, key, fresh=fresh)
            interfere(next(reads), decode_key(key))
            return entry

        monkeypatch.setattr(EmbeddedDict, "find", found_and_then)

    return between


@pytest.mark.parametrize("writes", [1, 3, 10**9])
def test_pop_takes_the_last_that_was_written(writes: int, d: Dict[Any, Any], between: Interfere) -> None:
    d["k"] = 0
    between(lambda reads, _: d.put("k", reads) if reads <= writes else None)
    taken = d.pop("k")
    assert taken > 0
    assert "k" not in d


def test_pop_finds_nothing_when_another_was_faster(d: Dict[Any, Any], between: Interfere) -> None:
    d["k"] = 0
    between(lambda _, key: d.delete_many([key]))
    assert d.pop("k", "absent") == "absent"


def test_popitem_looks_for_another_when_another_was_faster(d: Dict[Any, Any], between: Interfere) -> None:
    d.update(dict.fromkeys("abc"))
    between(lambda reads, key: d.delete_many([key]) if reads <= 2 else None)
    key, _ = d.popitem()
    assert key in set("abc")
    assert not d


def test_a_dict_that_comes_and_goes_is_not_found(d: Dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: Any, **__: Any) -> None:
        raise DictGoneError

    monkeypatch.setattr(EmbeddedDict, "find", gone)
    with pytest.raises(NotFoundError, match="'d' was deleted"):
        d.get_entry("k")


# -- versions ------------------------------------------------------------------------------------


def test_get_entry_tells_value_version_and_expiry(d: Dict[Any, Any]) -> None:
    assert d.get_entry("k") is None
    d["k"] = "v"
    entry = d.get_entry("k", fresh=True)
    assert entry is not None
    assert (entry.value, entry.expires_at) == ("v", None)
    assert isinstance(entry.version, int)
    assert 0 < entry.version < 1 << 64


def test_versions_of_a_key_grow_with_every_write(d: Dict[Any, Any]) -> None:
    def version() -> int:
        entry = d.get_entry("k")
        assert entry is not None
        return entry.version

    versions: list[int] = []
    writes = (
        lambda: d.put("k", 1),
        lambda: d.incr("k"),
        lambda: d.update(k=5),
        lambda: d.pop("k") and d.setdefault("k", 1),
        lambda: d.clear() or d.put("k", 1, skip_if_exists=True),
        lambda: d.replace("k", 2, if_version=versions[-1]),
        lambda: d.delete_many(["k"]) and d.replace("k", 2, if_version=None),
    )
    for write in writes:
        write()
        versions.append(version())
    assert versions == sorted(set(versions))


def test_replace_writes_at_the_version_that_was_read(d: Dict[Any, Any]) -> None:
    d["k"] = 1
    entry = d.get_entry("k")
    assert entry is not None
    version = d.replace("k", 2, if_version=entry.version)
    assert version > entry.version
    assert d.get_entry("k") == type(entry)(2, version, None)
    with pytest.raises(ConflictError, match="'k' in Dict 'd'") as caught:
        d.replace("k", 3, if_version=entry.version)
    assert caught.value.current == version
    assert d["k"] == 2


def test_replace_at_none_wants_the_key_absent(d: Dict[Any, Any]) -> None:
    version = d.replace("k", 1, if_version=None)
    with pytest.raises(ConflictError) as caught:
        d.replace("k", 2, if_version=None)
    assert caught.value.current == version
    assert d["k"] == 1


def test_replace_of_a_missing_key_is_a_key_error(d: Dict[Any, Any]) -> None:
    with pytest.raises(KeyError, match="'k'"):
        d.replace("k", 1, if_version=5)
    assert "k" not in d


# -- counting ------------------------------------------------------------------------------------


def test_incr_counts_from_nothing(d: Dict[Any, Any]) -> None:
    assert [d.incr("n"), d.incr("n"), d.incr("n", 5), d.incr("n", -10)] == [1, 2, 7, -3]
    assert d["n"] == -3


def test_incr_starts_at_initial(d: Dict[Any, Any]) -> None:
    assert d.incr("n", 2, initial=100) == 102
    assert d.incr("n", 2, initial=100) == 104


def test_incr_without_an_initial_wants_the_key(d: Dict[Any, Any]) -> None:
    with pytest.raises(KeyError, match="'n'"):
        d.incr("n", initial=None)
    d["n"] = 1
    assert d.incr("n", initial=None) == 2


@pytest.mark.parametrize(
    ("start", "delta", "total"),
    [
        (1, 0.5, 1.5),
        (0.5, 1, 1.5),
        (2**63 - 1, 1, 2**63),
        (2**64 - 1, 1, 2**64),
        (-(2**63), -1, -(2**63) - 1),
        (10**100, 1, 10**100 + 1),
        (2**64, -1, 2**64 - 1),
        (float("inf"), 1, float("inf")),
        (1.0, 1, 2.0),
    ],
)
def test_incr_adds_ints_of_any_size_and_floats(
    start: float, delta: float, total: float, d: Dict[Any, Any]
) -> None:
    d["n"] = start
    assert d.incr("n", delta) == total
    assert d["n"] == total
    assert type(d["n"]) is type(total)


@pytest.mark.parametrize("value", ["1", None, True, [1], Decimal(1), 1 + 0j, np.int64(1)])
def test_incr_of_what_is_no_number_is_a_type_error(value: Any, d: Dict[Any, Any]) -> None:
    d["n"] = value
    with pytest.raises(TypeError, match="'n' in Dict 'd' is not a number"):
        d.incr("n")
    assert d["n"] == value


@pytest.mark.parametrize("delta", ["1", None, True, Decimal(1), 1j, np.int64(2)])
def test_incr_by_what_is_no_number_is_a_type_error(delta: Any, d: Dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match="incr adds numbers"):
        d.incr("n", delta)
    assert "n" not in d


def test_incr_by_a_subclass_adds_its_value(d: Dict[Any, Any]) -> None:
    class Step(int):
        pass

    d.incr("n", Step(2))
    assert d.incr("n", np.float64(0.5)) == 2.5
    assert type(d["n"]) is float


def test_incr_keeps_to_the_limit_of_values(d: Dict[Any, Any]) -> None:
    with pytest.raises(ValueTooLargeError):
        d.incr("n", 1 << (8 * VALUE_BYTES_MAX))
    assert "n" not in d


# -- the whole -----------------------------------------------------------------------------------


def test_len_and_bool_tell_how_much_there_is(d: Dict[Any, Any]) -> None:
    assert len(d) == d.len() == 0
    assert not d
    d.update(a=1, b=2)
    assert len(d) == d.len() == 2
    assert d


def test_clear_removes_everything_of_this_dict_only(d: Dict[Any, Any], cluster: Cluster) -> None:
    other = Dict.from_name("other", create_if_missing=True, cluster=cluster)
    d.update({n: n for n in range(100)})
    other["k"] = 1
    d.clear()
    assert not d
    assert list(d.items()) == []
    assert other["k"] == 1
    d[5] = "again"
    assert dict(d.items()) == {5: "again"}


def test_popitem_takes_each_item_once(d: Dict[Any, Any]) -> None:
    d.update({n: n * n for n in range(20)})
    assert dict(d.popitem() for _ in range(20)) == {n: n * n for n in range(20)}
    with pytest.raises(KeyError, match="'d' is empty"):
        d.popitem()


def test_popitem_begins_anywhere(d: Dict[Any, Any]) -> None:
    """Or all who pop at once would go for the same item."""
    d.update({n: n for n in range(100)})
    first = set(list(d)[:20])
    popped = {d.popitem()[0] for _ in range(20)}
    assert len(popped & first) < 15


def test_what_was_written_is_there_when_the_store_is_opened_again(url: str) -> None:
    for expected in range(3):
        with Cluster(url) as cluster:
            d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
            assert len(d) == expected
            d[expected] = "written"


def test_it_has_what_a_mutable_mapping_has_and_no_more(d: Dict[Any, Any]) -> None:
    """`copy`, `fromkeys` and `|` would have to make a Dict that nobody has named."""
    assert isinstance(d, MutableMapping)
    for missing in ("copy", "fromkeys", "__or__", "__ior__", "__reversed__"):
        assert getattr(d, missing, None) is None
    assert {**d} | {"k": 1} == {"k": 1}
