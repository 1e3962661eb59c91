"""Dicts of a cluster over real connections: three colours of call, nodes that die, hang and come back.

The nodes are small ones in threads of this process (nodes.py). The suite of the embedded Dict is run against
real nodes elsewhere.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringdict import (
    AlreadyExistsError,
    AuthError,
    ClosedError,
    Cluster,
    ConflictError,
    Dict,
    InvalidError,
    LockTimeoutError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
    ValueTooLargeError,
)
from ringdict.client.blocking import BlockingLine
from ringdict.client.instruction import Ask, Miss, Outcome, Plan, Together, Wait
from ringdict.node.network.frame import encode_frame
from ringdict.node.network.message import AskRing, Get, Message, Put, Request, TellRing
from ringdict.node.network.wire import encode

from .library import Asyncio, Library, Trio, true
from .nodes import Node, Nodes


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(secret=b"the secret")
    yield nodes
    nodes.close()


@pytest.fixture
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with Cluster(nodes.url, secret="the secret") as cluster:
        yield cluster


@pytest.fixture
def d(cluster: Cluster) -> Dict[Any, Any]:
    return Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()


# -- a Dict --------------------------------------------------------------------------------------


def test_it_is_a_dict_like_the_embedded_one(d: Dict[Any, Any]) -> None:
    d["a"] = {"some": ["value"]}
    assert d["a"] == {"some": ["value"]}
    assert d.get("b", "none") == "none"
    assert "a" in d
    assert "b" not in d
    with pytest.raises(KeyError):
        d["b"]
    d.update({number: number * 2 for number in range(2_500)}, b=None)
    assert len(d) == 2_502
    assert d.get_many([1, "b", "c"]) == d.get_many([1, "b", "c"], fresh=True) == {1: 2, "b": None}
    assert set(d.keys()) == {"a", "b", *range(2_500)}
    assert dict(d.items())[7] == 14
    assert list(d.keys("a")) == ["a"]
    assert d.get("a", fresh=True) == {"some": ["value"]}
    info = d.info()
    assert (info.name, info.entries) == ("d", 2_502)
    entry = d.get_entry("a")
    assert entry is not None
    assert entry.version > 0
    assert d.touch("a", 10)
    assert not d.touch("c", 10)
    assert d.ttl("a") is None  # these nodes have no clock
    assert d.put("x", 1, ack="one")


def test_all_three_colours_do_the_same(d: Dict[Any, Any], on: Library) -> None:
    async def main() -> None:
        await d.put.aio("k", 1)
        assert await d.get.aio("k") == 1
        await d.update.aio({number: number for number in range(300)})
        assert len([key async for key in d.keys.aio()]) == 301
        assert await d.len.aio() == 301
        assert await d.get_many.aio(range(298, 302)) == {298: 298, 299: 299}

    on.run(main)
    assert d["k"] == 1


def test_many_calls_share_one_connection_a_node(nodes: Nodes, d: Dict[Any, Any], on: Library) -> None:
    d.update({number: number for number in range(200)})
    d._bound.cluster.client.blocking.close()  # type: ignore[union-attr]

    async def main() -> None:
        async def one(number: int) -> None:
            assert await d.get.aio(number) == number

        await on.together(*(lambda number=number: one(number) for number in range(200)))
        assert max(node.connections for node in nodes) <= 2  # and one that is being closed

    on.run(main)


def test_names_are_found_listed_and_made_once(nodes: Nodes, cluster: Cluster, d: Dict[Any, Any]) -> None:
    with pytest.raises(NotFoundError):
        Dict.from_name("other", cluster=cluster).hydrate()
    Dict.objects.create("other", cluster=cluster)
    with pytest.raises(AlreadyExistsError):
        Dict.objects.create("other", cluster=cluster)
    Dict.objects.create("other", cluster=cluster, allow_existing=True)
    assert {handle.name for handle in Dict.objects.list(cluster=cluster)} == {"d", "other"}
    assert Dict.from_id(d.object_id, cluster=cluster).name == "d"
    with Cluster(nodes.url, secret="the secret") as second:
        assert Dict.from_name("d", cluster=second) == d


def test_it_does_what_is_atomic_and_deletes(cluster: Cluster, d: Dict[Any, Any]) -> None:
    d["k"] = 1
    assert not d.put("k", 2, skip_if_exists=True)
    assert d.pop("k") == 1
    assert "k" not in d
    assert d.pop("absent", None) is None
    assert d.put("k", 2, skip_if_exists=True)
    assert d.setdefault("k", 3) == 2
    assert d.incr("k") == 3
    entry = d.get_entry("k")
    assert entry is not None
    with pytest.raises(ConflictError):
        d.replace("k", 9, if_version=entry.version + 1)
    assert d.replace("k", 9, if_version=entry.version) > entry.version
    assert d.popitem() == ("k", 9)
    with pytest.raises(KeyError):
        d.incr("k", initial=None)
    d.update({number: number for number in range(300)})
    assert d.delete_many(range(0, 400, 2)) == 150
    del d[1]
    d.clear()
    assert not len(d)
    with d.lock("k") as lock, pytest.raises(LockTimeoutError):
        assert lock.owned()
        d.lock("k", wait_s=0).acquire()
    with Dict.ephemeral(cluster=cluster) as anonymous:
        anonymous["k"] = 1
        assert anonymous.name is None
    with pytest.raises(NotFoundError):
        anonymous["k"]
    Dict.objects.delete("d", cluster=cluster)
    with pytest.raises(NotFoundError):
        d["k"]
    Dict.objects.create("d", cluster=cluster)
    assert "k" not in d


# -- finding the cluster -------------------------------------------------------------------------


def test_the_variables_name_cluster_and_secret(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RINGDICT_URL", nodes.url)
    (tmp_path / "secret").write_bytes(b"the secret\n")
    monkeypatch.setenv("RINGDICT_SECRET_FILE", str(tmp_path / "secret"))
    with Cluster() as cluster:
        Dict.from_name("d", create_if_missing=True, cluster=cluster)["k"] = 1
    monkeypatch.setenv("RINGDICT_SECRET", "the secret")
    monkeypatch.setenv("RINGDICT_SECRET_FILE", str(tmp_path / "none"))
    with Cluster() as cluster:
        handle = Dict.from_name("d", cluster=cluster)
        assert handle["k"] == 1
        copy: Dict[Any, Any] = pickle.loads(pickle.dumps(handle))
        assert copy["k"] == 1
        assert b"the secret" not in pickle.dumps(Cluster(nodes.url, secret="the secret"))
    monkeypatch.delenv("RINGDICT_SECRET")
    with Cluster() as cluster, pytest.raises(InvalidError, match="RINGDICT_SECRET_FILE"):
        Dict.from_name("d", cluster=cluster).hydrate()


@pytest.mark.parametrize(
    "url",
    [
        "ringdict://",
        "ringdict://host",
        "ringdict://host:0",
        "ringdict://host:port",
        "ringdict://host:70000",
        "ringdict://user@host:7600",
        "ringdict://host:7600?speed=high",
        "ringdict://host:7600?value_bytes_max=99999999",
        "ringdict://host:7600#part",
        ["ringdict://host:7600", "file:///folder"],
        ["ringdict://host:7600?value_bytes_max=1", "ringdict://other:7600?value_bytes_max=2"],
    ],
)
def test_a_wrong_url_of_nodes_is_refused_at_once(url: Any) -> None:
    with pytest.raises(InvalidError):
        Cluster(url)


def test_several_urls_are_several_places_to_begin_at(nodes: Nodes) -> None:
    nodes[0].stop()
    urls = [f"ringdict://{node.address}" for node in nodes]
    with Cluster(urls, secret=b"the secret") as cluster:
        Dict.from_name("d", create_if_missing=True, cluster=cluster)["k"] = 1


def test_a_wrong_secret_is_refused_in_words(nodes: Nodes, on: Library) -> None:
    with Cluster(nodes.url, secret="another") as cluster:
        with pytest.raises(AuthError, match="secret"):
            Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()

        async def main() -> None:
            with pytest.raises(AuthError, match="secret"):
                await Dict.from_name("d", cluster=cluster).hydrate.aio()

        on.run(main)


def test_a_stranger_that_answers_is_no_node() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(encode_frame(b"220 mail.example.org ready"))
                connection.recv(1000)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        url = f"ringdict://127.0.0.1:{listener.getsockname()[1]}"
        with Cluster(url, timeout_s=1) as cluster, pytest.raises(ProtocolError, match="no node"):
            Dict.from_name("d", cluster=cluster).hydrate()
        listener.shutdown(socket.SHUT_RDWR)


def test_nobody_there_is_unavailable_within_the_time_that_was_given() -> None:
    with Cluster("ringdict://127.0.0.1:1", timeout_s=0.3) as cluster:
        start_s = time.monotonic()
        with pytest.raises(UnavailableError):
            Dict.from_name("d", cluster=cluster).hydrate()
        assert time.monotonic() - start_s < 2


def test_a_value_above_the_limit_is_refused_before_anything_is_sent(nodes: Nodes) -> None:
    with Cluster(nodes.url + "?value_bytes_max=1000", secret="the secret") as cluster:
        d = Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate()
        with pytest.raises(ValueTooLargeError):
            d["k"] = b"x" * 2_000
        assert not any(node.asked_for(Put) for node in nodes)
    with Cluster(nodes.url + "?value_bytes_max=9000000", secret="the secret") as cluster:
        d = Dict.from_name("d", cluster=cluster)
        d["k"] = b"x" * 8_000_000
        assert d["k"] == b"x" * 8_000_000


def test_without_msgspec_it_says_what_to_install(nodes: Nodes) -> None:
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "import ringdict\n"
        f"d = ringdict.Dict.from_name('d', cluster={nodes.url!r})\n"
        "try: d.hydrate()\n"
        "except ImportError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install ringdict[cluster]" in ended.stdout, ended.stderr


# -- nodes that die, hang and come back ----------------------------------------------------------


def in_colours(d: Dict[Any, Any], colour: str, *keys: str) -> None:
    """A put and a get of each key, by that colour of call."""
    if colour == "blocking":
        for key in keys:
            d[key] = key
            assert d[key] == key
        return

    async def main() -> None:
        for key in keys:
            await d.put.aio(key, key)
            assert await d.get.aio(key) == key

    (Asyncio() if colour == "asyncio" else Trio()).run(main)


COLOURS = pytest.mark.parametrize("colour", ["blocking", "asyncio", "trio"])


@COLOURS
def test_a_client_survives_any_order_of_deaths_without_being_rebuilt(
    colour: str, nodes: Nodes, d: Dict[Any, Any]
) -> None:
    in_colours(d, colour, "a", "b", "c")
    for dead in ([0], [1], [2], [0, 1], [1, 2], [0, 2]):
        for number in dead:
            nodes[number].stop()
        in_colours(d, colour, "a", "b", "c")
        for number in dead:
            nodes[number].start()
            nodes[number].entries = nodes.newest()
        in_colours(d, colour, "a", "b", "c")
    for node in nodes:
        node.stop()
    d._bound.cluster.client.session.timeout_s = 0.2  # type: ignore[union-attr]
    with pytest.raises(UnavailableError):
        d.get("a")
    d._bound.cluster.client.session.timeout_s = 5  # type: ignore[union-attr]
    for node in nodes:
        node.start()
    in_colours(d, colour, "a", "b", "c")


@COLOURS
def test_a_node_that_hangs_holds_calls_up_for_less_than_two_seconds(
    colour: str, nodes: Nodes, d: Dict[Any, Any]
) -> None:
    keys = [f"k{number}" for number in range(5)]
    in_colours(d, colour, *keys)
    nodes[0].is_mute = True
    start_s = time.monotonic()
    in_colours(d, colour, *keys)
    assert time.monotonic() - start_s < 2


def test_calls_that_wait_go_on_when_their_node_dies(nodes: Nodes, d: Dict[Any, Any], on: Library) -> None:
    d.update({number: number for number in range(60)})
    nodes[0].is_mute = True

    async def main() -> None:
        async def one(number: int) -> None:
            assert await d.get.aio(number) == number

        async def kill() -> None:
            await true(on, lambda: nodes[0].asked_for(Get) > 0)
            nodes[0].stop()

        await on.together(kill, *(lambda number=number: one(number) for number in range(60)))

    on.run(main)


# -- no answer reaches another call --------------------------------------------------------------


def test_a_cancelled_call_never_crosses_its_answer_into_another(
    nodes: Nodes, d: Dict[Any, Any], on: Library
) -> None:
    d.update({number: number for number in range(100)})
    held = threading.Event()

    def hold(node: Node, request: Request) -> Message | None:
        if isinstance(request, Get) and not held.is_set():
            held.wait(10)
        return None

    for node in nodes:
        node.hook = hold

    async def main() -> None:
        for number in range(10):
            before = sum(node.asked_for(Get) for node in nodes)
            await on.cancel(
                lambda number=number: d.get.aio(number),  # type: ignore[misc]
                when=lambda before=before, number=number: (  # type: ignore[misc]
                    number > 0 or sum(node.asked_for(Get) for node in nodes) > before
                ),
            )
        held.set()

        async def one(number: int) -> None:
            assert await d.get.aio(number) == number

        for _ in range(3):
            await on.together(*(lambda number=number: one(number) for number in range(100)))

    on.run(main)
    held.set()


def test_an_interrupted_call_never_crosses_its_answer_into_another(nodes: Nodes, d: Dict[Any, Any]) -> None:
    d.update({number: number for number in range(50)})

    class Interrupt(BaseException):
        pass

    def ask(line: BlockingLine, request: Request) -> Any:
        line.sock.sendall(encode_frame(encode(request)))
        raise Interrupt  # as Ctrl-C does, while the answer is on its way

    for number in range(20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BlockingLine, "ask", ask)
            with pytest.raises(Interrupt):
                d.get(number)
        assert d[number] == number


def test_threads_share_a_handle(nodes: Nodes, d: Dict[Any, Any]) -> None:
    wrong: list[object] = []

    def work(mine: int) -> None:
        try:
            for number in range(60):
                d[mine, number] = number
                if d[mine, number] != number:
                    wrong.append((mine, number))
        except Exception as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(d) == 360


def test_a_forked_child_has_connections_of_its_own(nodes: Nodes, d: Dict[Any, Any]) -> None:
    d["k"] = "parent"
    operation_id = d._bound.cluster.client.session.operation_id()  # type: ignore[union-attr]
    child = os.fork()
    if not child:
        try:
            client = d._bound.cluster.client  # type: ignore[union-attr]
            fine = not client.blocking._local.lines and d["k"] == "parent"
            d["child"] = 1
            os._exit(0 if fine and client.session.operation_id()[:8] != operation_id[:8] else 1)
        finally:
            os._exit(2)
    for _ in range(50):
        assert d["k"] == "parent"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert d["child"] == 1


# -- the end -------------------------------------------------------------------------------------


def test_a_closed_cluster_has_no_connections_and_refuses(nodes: Nodes, cluster: Cluster, on: Library) -> None:
    d = Dict.from_name("d", create_if_missing=True, cluster=cluster)
    d["k"] = 1

    async def main() -> None:
        assert await d.get.aio("k") == 1
        await cluster.aclose()
        with pytest.raises(ClosedError):
            await d.get.aio("k")
        await true(on, lambda: not any(node.connections for node in nodes))

    on.run(main)
    with pytest.raises(ClosedError):
        d.get("k")


def test_connections_of_a_loop_end_with_it(nodes: Nodes, d: Dict[Any, Any], on: Library) -> None:
    client = d._bound.cluster.client  # type: ignore[union-attr]
    client.blocking.close()

    async def main() -> None:
        await d.put.aio("k", 1)
        assert client.loops

    for _ in range(3):
        on.run(main)
        assert not client.loops
    assert d["k"] == 1


def test_an_answer_that_comes_after_its_question_was_given_up_is_not_taken_for_another(
    nodes: Nodes, cluster: Cluster, d: Dict[Any, Any]
) -> None:
    """Found by chaos: a node that was slow to say who leads had the next call fail with a ProtocolError."""
    client = cluster.client
    route = client.session.route
    assert route is not None
    contact = route.contacts[0]
    late = next(node for node in nodes.nodes if node.address == contact.address)

    def ask(patience_s: float) -> Plan[object]:
        answer: object = yield Ask(contact, AskRing(client.session.number(), 0), patience_s)
        return answer

    def given_up_and_asked_again() -> Plan[tuple[object, object]]:
        late.hook = lambda _node, _request: time.sleep(0.4)
        outcomes: list[Outcome] = yield Together([ask(0.1)])
        late.hook = lambda _node, _request: None
        yield Wait(0.6)
        again: object = yield from ask(2.0)
        return outcomes[0].result, again

    first, again = client.blocking.run(given_up_and_asked_again())
    assert isinstance(first, Miss)
    assert isinstance(again, TellRing), again
