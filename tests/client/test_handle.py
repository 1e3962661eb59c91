"""A handle: which Dict it stands for, when it looks for it, and what happens when that Dict goes away."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import MutableMapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

import ringdict
from ringdict import Cluster, Dict, InvalidError, NotFoundError, types


def python(code: str, *arguments: str, **variables: str) -> str:
    """What `code` prints in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, **variables}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# -- names and arguments -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "my-cache", "v1.2_final-3", "A" * 64, ".", "-"])
def test_a_name_has_up_to_64_letters_digits_dashes_underscores_and_dots(name: str, cluster: Cluster) -> None:
    d: Dict[str, int] = Dict.from_name(name, create_if_missing=True, cluster=cluster)
    d["k"] = 1
    assert d.name == name


@pytest.mark.parametrize("name", ["", "A" * 65, "a b", "a/b", "ä", "a\n", "a\0", None, 5, b"bytes"])
def test_another_name_is_refused_at_once(name: Any) -> None:
    with pytest.raises(InvalidError, match=r"^Invalid Dict name: "):
        Dict.from_name(name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"reads": "farthest"},
        {"ttl": 0},
        {"ttl": -1.5},
        {"ttl": timedelta(0)},
        {"ttl": "60"},
        {"ttl": True},
        {"environment_name": "no spaces"},
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        Dict.from_name("d", **arguments)


@pytest.mark.parametrize("reads", ["nearest", "primary", "any"])
def test_reads_are_the_same_from_every_replica_of_an_embedded_store(reads: str, cluster: Cluster) -> None:
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster, reads=reads)
    d["k"] = 1
    assert d["k"] == d.get("k", fresh=True) == 1


def test_dict_cannot_be_called() -> None:
    with pytest.raises(InvalidError, match="from_name"):
        Dict()
    with pytest.raises(InvalidError, match="from_name"):
        Dict[str, int]()


def test_dict_is_generic_and_a_mutable_mapping(cluster: Cluster) -> None:
    d = Dict[str, int].from_name("d", create_if_missing=True, cluster=cluster)
    assert isinstance(d, MutableMapping)


def test_a_handle_is_unhashable(d: Dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(d)


# -- first use -----------------------------------------------------------------------------------


def test_making_a_handle_touches_no_disk(tmp_path: Path, url: str) -> None:
    Dict.from_name("d", create_if_missing=True, cluster=url)
    Dict.from_id("di-0123456789abcdef", cluster=url)
    Dict.ephemeral(cluster=url)
    assert not list(tmp_path.iterdir())


def test_a_missing_dict_is_missed_at_first_use(cluster: Cluster) -> None:
    d = Dict.from_name("missing", cluster=cluster)
    for use in (
        lambda: d["k"],
        lambda: d.get("k"),
        lambda: d.put("k", 1),
        lambda: len(d),
        lambda: list(d),
        d.hydrate,
    ):
        with pytest.raises(NotFoundError, match="'missing'"):
            use()


def test_hydrate_looks_for_the_dict_and_returns_the_handle(d: Dict[Any, Any], cluster: Cluster) -> None:
    assert d.hydrate() is d
    assert Dict.from_name("d", cluster=cluster).hydrate() == d


def test_handles_of_one_name_share_one_dict(cluster: Cluster) -> None:
    one, other = (Dict.from_name("d", create_if_missing=True, cluster=cluster) for _ in range(2))
    one["k"] = "said by one"
    assert other["k"] == "said by one"
    assert one.object_id == other.object_id


def test_dicts_of_two_names_have_nothing_in_common(cluster: Cluster) -> None:
    one, other = (Dict.from_name(name, create_if_missing=True, cluster=cluster) for name in "ab")
    one["k"] = 1
    assert "k" not in other
    assert not other
    assert one.object_id != other.object_id


# -- environments --------------------------------------------------------------------------------


def test_a_name_lives_in_an_environment(cluster: Cluster) -> None:
    main = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    test = Dict.from_name("d", create_if_missing=True, cluster=cluster, environment_name="test")
    main["k"] = "of main"
    assert "k" not in test
    assert Dict.from_name("d", cluster=cluster, environment_name="main") == main


def test_the_variable_names_the_environment_at_first_use(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    monkeypatch.setenv("RINGDICT_ENVIRONMENT", "staging")
    d["k"] = 1
    monkeypatch.setenv("RINGDICT_ENVIRONMENT", "elsewhere")
    assert d["k"] == 1
    assert Dict.from_name("d", cluster=cluster, environment_name="staging") == d
    with pytest.raises(NotFoundError):
        Dict.from_name("d", cluster=cluster, environment_name="main").hydrate()


def test_an_argument_goes_before_the_cluster_and_that_before_the_variable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGDICT_ENVIRONMENT", "of-variable")
    with Cluster(url, environment="of-cluster") as cluster:
        for environment in ("of-variable", "of-cluster", "of-argument"):
            Dict.objects.create("d", environment_name=environment, cluster=cluster)
            Dict.from_name("d", environment_name=environment, cluster=cluster)["here"] = environment
        assert Dict.from_name("d", cluster=cluster)["here"] == "of-cluster"
        assert Dict.from_name("d", cluster=cluster, environment_name="of-argument")["here"] == "of-argument"


# -- what is known of it -------------------------------------------------------------------------


def test_repr_is_how_to_make_the_handle(d: Dict[Any, Any]) -> None:
    assert repr(d) == "ringdict.Dict.from_name('d')"
    assert repr(Dict.from_id("di-0123456789abcdef")) == "ringdict.Dict.from_id('di-0123456789abcdef')"


def test_info_tells_who_made_it_when_and_what_is_in_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGDICT_USER", "ada")
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d.update(a=1, b="two")
    info = d.info()
    assert isinstance(info, types.DictInfo)
    assert (info.name, info.created_by, info.entries) == ("d", "ada", 2)
    assert info.created_at.tzinfo is UTC
    assert info.bytes == len(b"?a?b") + len(b"\x01" + b"\xa3two")


def test_the_login_name_made_it_where_no_variable_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    assert Dict.from_name("d", create_if_missing=True, cluster=cluster).info().created_by == "grace"


def test_a_user_without_a_name_is_called_by_number(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1001")

    monkeypatch.setattr("getpass.getuser", nobody)
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    assert d.info().created_by == str(os.getuid())


def test_bytes_follow_what_is_written_and_removed(d: Dict[Any, Any]) -> None:
    d["k"] = "x" * 1000
    full = d.info().bytes
    d["k"] = "x" * 500
    assert d.info().bytes == full - 500
    del d["k"]
    assert d.info().bytes == 0


# -- by id ---------------------------------------------------------------------------------------


def test_from_id_finds_the_dict_of_that_id(d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = 1
    again = Dict.from_id(d.object_id, cluster=cluster)
    assert again["k"] == 1
    assert again.name == "d"
    assert again == d


def test_from_id_knows_the_name_before_anything_else_was_asked(d: Dict[Any, Any], cluster: Cluster) -> None:
    assert Dict.from_id(d.object_id, cluster=cluster).name == "d"


@pytest.mark.parametrize(
    "text", ["", "di-", "di-12", "0123456789abcdef", "di-0123456789abcdef00", "di-zz", None, 5, b"di-"]
)
def test_what_is_no_id_is_refused_at_once(text: Any) -> None:
    with pytest.raises(InvalidError, match="not the id of a Dict"):
        Dict.from_id(text)


def test_an_id_is_never_given_again(d: Dict[Any, Any], cluster: Cluster) -> None:
    by_id = Dict.from_id(d.object_id, cluster=cluster)
    Dict.objects.delete("d", cluster=cluster)
    Dict.objects.create("d", cluster=cluster)
    assert Dict.from_name("d", cluster=cluster).object_id != by_id.object_id
    with pytest.raises(NotFoundError, match=by_id.object_id):
        by_id.get("k")


# -- deletion under a live handle ----------------------------------------------------------------


def uses(d: Dict[Any, Any]) -> dict[str, Any]:
    """Every way to use a Dict."""
    return {
        "d[k]": lambda: d["k"],
        "d[k] = v": lambda: d.__setitem__("k", 1),
        "del d[k]": lambda: d.__delitem__("k"),
        "in": lambda: "k" in d,
        "get": lambda: d.get("k"),
        "get_entry": lambda: d.get_entry("k"),
        "put": lambda: d.put("k", 1),
        "put if absent": lambda: d.put("k", 1, skip_if_exists=True),
        "pop": lambda: d.pop("k", None),
        "popitem": d.popitem,
        "setdefault": lambda: d.setdefault("k", 1),
        "replace": lambda: d.replace("k", 1, if_version=None),
        "incr": lambda: d.incr("n"),
        "touch": lambda: d.touch("k", 1),
        "ttl": lambda: d.ttl("k"),
        "update": lambda: d.update(k=1),
        "get_many": lambda: d.get_many(["k"]),
        "delete_many": lambda: d.delete_many(["k"]),
        "keys": lambda: list(d.keys()),
        "values": lambda: list(d.values()),
        "items": lambda: list(d.items("prefix")),
        "len": lambda: len(d),
        "bool": lambda: bool(d),
        "== a dict": lambda: d == {"k": 1},
        "clear": d.clear,
        "info": d.info,
        "lock": lambda: d.lock("k").acquire(),
    }


USES = list(uses(Dict.from_name("any")))


@pytest.mark.parametrize("use", USES)
def test_a_handle_of_a_deleted_dict_says_not_found(use: str, d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = 1
    Dict.objects.delete("d", cluster=cluster)
    with pytest.raises(NotFoundError, match="'d'"):
        uses(d)[use]()


@pytest.mark.parametrize("use", [use for use in USES if use not in {"d[k]", "del d[k]", "popitem", "ttl"}])
def test_a_handle_works_again_once_its_dict_was_made_anew(
    use: str, d: Dict[Any, Any], cluster: Cluster
) -> None:
    d["of the old one"] = 1
    Dict.objects.delete("d", cluster=cluster)
    Dict.objects.create("d", cluster=cluster)
    uses(d)[use]()
    assert "of the old one" not in d


@pytest.mark.parametrize("use", ["d[k]", "del d[k]", "popitem", "ttl"])
def test_a_key_of_the_old_dict_is_missing_in_the_new_one(
    use: str, d: Dict[Any, Any], cluster: Cluster
) -> None:
    d["k"] = 1
    Dict.objects.delete("d", cluster=cluster)
    Dict.objects.create("d", cluster=cluster)
    with pytest.raises(KeyError):
        uses(d)[use]()


def test_popitem_finds_what_the_new_dict_holds(d: Dict[Any, Any], cluster: Cluster) -> None:
    d["k"] = "old"
    Dict.objects.delete("d", cluster=cluster)
    Dict.from_name("d", create_if_missing=True, cluster=cluster)["k"] = "new"
    assert d.popitem() == ("k", "new")


def test_a_deleted_dict_stays_deleted_until_somebody_makes_it(d: Dict[Any, Any], cluster: Cluster) -> None:
    """`create_if_missing` is about first use: a handle must not bring back what was deleted under it."""
    d["k"] = 1
    Dict.objects.delete("d", cluster=cluster)
    for _ in range(3):
        with pytest.raises(NotFoundError):
            d["k"] = 2
    Dict.objects.create("d", cluster=cluster)
    d["k"] = 3
    assert d["k"] == 3


def test_a_missing_dict_may_come_into_being_later(cluster: Cluster) -> None:
    d = Dict.from_name("d", cluster=cluster)
    with pytest.raises(NotFoundError):
        d["k"] = 1
    Dict.objects.create("d", cluster=cluster)
    d["k"] = 1
    assert d["k"] == 1


# -- default ttl ---------------------------------------------------------------------------------


def test_the_default_ttl_is_kept_with_the_dict(cluster: Cluster) -> None:
    Dict.from_name("d", create_if_missing=True, cluster=cluster, ttl=60).hydrate()
    d = Dict.from_name("d", cluster=cluster)
    d["k"] = 1
    assert 59 < (d.ttl("k") or 0) <= 60


def test_the_same_default_ttl_may_be_named_again(cluster: Cluster) -> None:
    Dict.from_name("d", create_if_missing=True, cluster=cluster, ttl=60).hydrate()
    Dict.from_name("d", cluster=cluster, ttl=timedelta(minutes=1)).hydrate()


@pytest.mark.parametrize(("stored", "named"), [(60, 61), (None, 60)])
def test_another_default_ttl_is_refused_at_first_use(
    stored: float | None, named: float, cluster: Cluster
) -> None:
    Dict.objects.create("d", ttl=stored, cluster=cluster)
    d = Dict.from_name("d", cluster=cluster, ttl=named)
    for _ in range(2):
        with pytest.raises(InvalidError, match="default ttl"):
            d.get("k")


# -- pickling ------------------------------------------------------------------------------------


def test_a_handle_pickles_by_name_without_data(d: Dict[Any, Any], url: str) -> None:
    d["k"] = "a value that must not travel"
    raw = pickle.dumps(Dict.from_name("d", cluster=url, allow_pickle=True))
    assert b"must not travel" not in raw
    assert len(raw) < 500
    assert pickle.loads(raw)["k"] == "a value that must not travel"


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_copy_of_a_handle_is_another_handle_of_the_same_dict(clone: Any, d: Dict[Any, Any]) -> None:
    d["k"] = 1
    other = clone(d)
    assert other is not d
    other["k"] = 2
    assert d["k"] == 2
    assert repr(other) == repr(d)


def test_a_handle_is_good_in_another_process(d: Dict[Any, Any], url: str) -> None:
    d["question"] = 6 * 7
    raw = pickle.dumps(Dict.from_name("d", cluster=url))
    python(
        "import pickle, sys; d = pickle.loads(bytes.fromhex(sys.argv[1])); d['answer'] = d['question']",
        raw.hex(),
    )
    assert d["answer"] == 42


def test_an_environment_travels_along(url: str) -> None:
    handle = Dict.from_name("d", create_if_missing=True, cluster=url, environment_name="test")
    python(
        "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))['k'] = 1", pickle.dumps(handle).hex()
    )
    with Cluster(url) as cluster:
        assert Dict.from_name("d", cluster=cluster, environment_name="test")["k"] == 1


# -- equality ------------------------------------------------------------------------------------


def test_two_handles_of_one_dict_are_equal_at_once(d: Dict[Any, Any], cluster: Cluster, url: str) -> None:
    d["not equal to itself"] = float("nan")
    assert d == Dict.from_name("d", cluster=cluster)
    assert d == Dict.from_name("d", cluster=cluster, environment_name="main")
    with Cluster(url) as other:
        assert d == Dict.from_name("d", cluster=other)


def test_two_dicts_are_equal_if_what_they_hold_is(cluster: Cluster) -> None:
    one, other = (Dict.from_name(name, create_if_missing=True, cluster=cluster) for name in "ab")
    one.update({"k": [1, 2], 5: None})
    assert one != other
    other.update({5.0: None, "k": [1, 2]})
    assert one == other


def test_a_dict_is_equal_to_a_mapping_that_holds_the_same(d: Dict[Any, Any]) -> None:
    d.update(a=1, b=2)
    assert d == {"b": 2, "a": 1}
    assert d == {"b": 2, "a": 1}
    assert d != {"a": 1}
    assert d != [("a", 1), ("b", 2)]


def test_version_is_told() -> None:
    assert ringdict.__version__
