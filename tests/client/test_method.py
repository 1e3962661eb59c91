"""What the methods look like: to `inspect`, to `help`, and when they are called where they should not be."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import pytest
import trio

from ringdict import AsyncUsageWarning, Cluster, Dict, Lock
from ringdict.client import method
from ringdict.client.objects import DictObjects

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

METHODS: dict[str, str] = {
    "get": "(key, /, default=None, *, fresh=False)",
    "contains": "(key, /, *, fresh=False)",
    "put": "(key, value, /, *, skip_if_exists=False, ttl=<unset>, ack='all')",
    "pop": "(key, /, default=<unset>, *, if_version=<unset>)",
    "update": "(mapping_or_pairs=(), /, *, ttl=<unset>, **kw)",
    "get_many": "(keys, /, *, fresh=False)",
    "delete_many": "(keys, /)",
    "setdefault": "(key, default=None, /, *, ttl=<unset>)",
    "replace": "(key, value, /, *, if_version)",
    "incr": "(key, delta=1, /, *, initial=0, ttl=<unset>)",
    "get_entry": "(key, /, *, fresh=False)",
    "touch": "(key, ttl, /, *, if_version=<unset>)",
    "ttl": "(key, /, *, fresh=False)",
    "keys": "(prefix=None)",
    "values": "(prefix=None)",
    "items": "(prefix=None)",
    "len": "()",
    "clear": "()",
    "popitem": "()",
    "info": "()",
    "hydrate": "()",
}
"""Every method of a Dict that has two forms."""


def plain(signature: inspect.Signature) -> str:
    """A signature without its annotations."""
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


# -- how they look -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_its_signature_in_both_forms(name: str) -> None:
    bound = getattr(Dict.from_name("d"), name)
    assert plain(inspect.signature(bound)) == METHODS[name]
    assert plain(inspect.signature(bound.aio)) == METHODS[name]
    assert bound.__name__ == name


@pytest.mark.parametrize("name", [*METHODS, "from_name", "from_id", "ephemeral", "lock"])
def test_a_method_says_what_it_does(name: str) -> None:
    for holder in (Dict, Dict.from_name("d")):
        assert len(inspect.getdoc(getattr(holder, name)) or "") > 15


def test_no_method_was_forgotten_here() -> None:
    d = Dict.from_name("d")
    public = [
        name
        for name in dir(Dict)
        if not name.startswith("_") and name not in {"name", "object_id", "objects"}
    ]
    assert {name for name in public if hasattr(getattr(d, name), "aio")} == set(METHODS)


@pytest.mark.parametrize("name", ["acquire", "release", "extend", "owned"])
def test_methods_of_a_lock_have_two_forms(name: str) -> None:
    bound = getattr(Dict.from_name("d").lock("k"), name)
    assert inspect.getdoc(bound) == inspect.getdoc(bound.aio) == inspect.getdoc(getattr(Lock, name))
    assert "io" not in inspect.signature(bound.aio).parameters


@pytest.mark.parametrize("name", ["create", "list", "delete"])
def test_methods_of_objects_have_two_forms(name: str) -> None:
    bound = getattr(Dict.objects, name)
    assert inspect.getdoc(bound) == inspect.getdoc(getattr(DictObjects, name))
    assert {"cluster", "environment_name"} <= set(inspect.signature(bound.aio).parameters)


def test_the_async_form_is_a_coroutine_function() -> None:
    d = Dict.from_name("d")
    assert inspect.iscoroutinefunction(d.put.aio)
    assert not inspect.iscoroutinefunction(d.put)


def test_a_wrong_call_says_so_as_python_does(d: Dict[Any, Any]) -> None:
    wrong: Any = d
    for call in (
        lambda: wrong.put(1),
        wrong.get,
        lambda: wrong.get(1, defualt=2),
        lambda: wrong.len(1),
    ):
        with pytest.raises(TypeError):
            call()


def test_a_plan_that_suspends_without_a_loop_is_a_bug_and_said_to_be_one() -> None:
    class Suspends:
        def __await__(self) -> Any:
            yield

    async def plan() -> None:
        await Suspends()

    with pytest.raises(RuntimeError, match="suspended on the blocking transport"):
        method.drive(plan())


# -- blocking forms in a running loop ------------------------------------------------------------


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs an async function on each library, in a process that has not warned yet."""
    monkeypatch.setattr(method, "_warned", False)
    if request.param == "trio":
        return trio.run
    return lambda main: asyncio.run(main())


FORMS: dict[str, tuple[Callable[[Dict[Any, Any]], object], str]] = {
    "put": (lambda d: d.put("k", 1), "put.aio("),
    "get": (lambda d: d.get("k"), "get.aio("),
    "d[k]": (lambda d: d["k"], "get.aio("),
    "d[k] = v": (lambda d: d.__setitem__("k", 1), "put.aio("),
    "del d[k]": (lambda d: d.__delitem__("k"), "pop.aio("),
    "k in d": (lambda d: "k" in d, "contains.aio("),
    "len(d)": (len, "len.aio("),
    "for k in d": (lambda d: [key for key in d], "async for … in ….keys.aio("),  # noqa: C416 - list(d) asks for len
    "keys": (lambda d: next(iter(d.keys())), "async for … in ….keys.aio("),
    "values": (lambda d: next(iter(d.values())), "async for … in ….values.aio("),
    "items": (lambda d: next(iter(d.items())), "async for … in ….items.aio("),
    "in values": (lambda d: 1 in d.values(), "async for … in ….values.aio("),
    "lock": (lambda d: d.lock("k").acquire(), "acquire.aio("),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_blocking_form_in_a_loop_works_and_warns_with_the_form_to_use(
    form: str, run: Run, d: Dict[Any, Any]
) -> None:
    d["k"] = 1
    call, instead = FORMS[form]

    async def main() -> None:
        with pytest.warns(AsyncUsageWarning) as caught:
            call(d)
        assert instead in str(caught[0].message)
        assert caught[0].filename == __file__

    run(main)


def test_it_warns_once(run: Run, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        with pytest.warns(AsyncUsageWarning):
            d["k"] = 1
        d["k"] = 2
        assert d.get("k") == 2
        assert list(d) == ["k"]

    run(main)


def test_it_does_not_warn_in_ipython(run: Run, d: Dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))

    async def main() -> None:
        d["k"] = 1
        assert d["k"] == 1

    run(main)


def test_it_does_not_warn_where_no_loop_runs(run: Run, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        await d.put.aio("k", 1)
        async for _ in d.keys.aio():
            pass
        async with d.lock("k"):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)
        assert d["k"] == 1


def test_it_does_not_warn_in_a_thread_beside_the_loop(run: Run, d: Dict[Any, Any]) -> None:
    async def main() -> None:
        if trio.lowlevel.in_trio_run():
            await trio.to_thread.run_sync(d.put, "k", 1)
        else:
            await asyncio.to_thread(d.put, "k", 1)

    run(main)
    assert d["k"] == 1


def test_an_ephemeral_dict_warns_as_well(run: Run, cluster: Cluster) -> None:
    async def main() -> None:
        with pytest.warns(AsyncUsageWarning), Dict.ephemeral(cluster=cluster):
            pass

    run(main)
