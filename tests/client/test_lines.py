"""Connections of asynchronous clients: to a node that is known by a name, with more to say than a socket
takes, to one that refuses, and one that ends in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ringdict import AuthError, Cluster, Dict, UnavailableError
from ringdict.node.network.message import Get, Message, PutMany, Request

from .library import Library
from .nodes import Node, Nodes

LARGE_BYTES = 100_000


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(secret=b"the secret")
    yield nodes
    nodes.close()


def named(nodes: Nodes) -> str:
    """The URL of one node, by the name of its host."""
    return "ringdict://localhost:" + nodes[0].address.rpartition(":")[2]


async def opened(cluster: Cluster) -> Dict[Any, Any]:
    return await Dict.from_name("d", create_if_missing=True, cluster=cluster).hydrate.aio()


def test_a_node_is_found_by_its_hosts_name(on: Library, nodes: Nodes) -> None:
    async def main() -> None:
        d = await opened(cluster)
        await d.update.aio({number: number for number in range(20)})
        assert await d.get_many.aio(range(20)) == {number: number for number in range(20)}

    with Cluster(named(nodes), secret="the secret") as cluster:
        on.run(main)


def test_a_name_of_no_host_is_said_to_be_that(on: Library) -> None:
    async def main() -> None:
        with pytest.raises(UnavailableError, match=r"nobody\.invalid"):
            await opened(cluster)

    with Cluster("ringdict://nobody.invalid:7447", secret="the secret", timeout_s=0.5) as cluster:
        on.run(main)


def test_whoever_knows_another_secret_is_told(on: Library, nodes: Nodes) -> None:
    async def main() -> None:
        with pytest.raises(AuthError):
            await opened(cluster)

    with Cluster(nodes.url, secret="another one", timeout_s=2) as cluster:
        on.run(main)


def test_more_than_a_socket_takes_at_once_arrives_whole_and_in_order(on: Library) -> None:
    """Its node reads nothing for a while, so that what is sent piles up."""
    batches = [{(batch, key): bytes([key]) * LARGE_BYTES for key in range(8)} for batch in range(30)]
    read_on = threading.Event()

    def hold(_node: Node, request: Request) -> Message | None:
        if isinstance(request, PutMany):
            read_on.wait(10)
        return None

    async def main() -> None:
        d = await opened(cluster)
        nodes[0].hook = hold

        async def release() -> None:
            await on.sleep(0.3)
            read_on.set()

        await on.together(release, *(lambda batch=batch: d.update.aio(batch) for batch in batches))
        for batch in batches:
            assert await d.get_many.aio(batch) == batch

    nodes = Nodes(1, secret=b"the secret")
    with Cluster(nodes.url, secret="the secret") as cluster:
        on.run(main)
    nodes.close()


def test_a_node_that_dies_while_it_is_asked_is_left_for_another(on: Library, nodes: Nodes) -> None:
    asked: list[Node] = []

    def die(node: Node, request: Request) -> Message | None:
        if isinstance(request, Get) and not asked:
            asked.append(node)
            node.stop()
        return None

    async def main() -> None:
        d = await opened(cluster)
        await d.put.aio("k", 1)
        for node in nodes:
            node.hook = die
        assert await d.get.aio("k") == 1
        assert await d.get.aio("k") == 1

    with Cluster(nodes.url, secret="the secret") as cluster:
        on.run(main)
    assert len(asked) == 1
