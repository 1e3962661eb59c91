"""Whole nodes in a made-up world: a cluster is founded, grows, serves, loses a node and gets it back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ringdict.exception import StoreDamagedError
from ringdict.node.network.bus import Bus
from ringdict.node.network.message import (
    AskRing,
    AskStatus,
    Get,
    Present,
    Put,
    Reply,
    Request,
    Resolve,
    Resolved,
    TellRing,
    TellStatus,
    Written,
)
from ringdict.node.network.wire import decode
from ringdict.node.node import Node, NodeSettings
from ringdict.node.ringview import RingView
from ringdict.node.store.catalogue import Record
from ringdict.node.world import NS_PER_MS, Address, Factory, NodeId, World
from ringdict.ring.codec import decode_decree
from ringdict.sim.simulation import Simulation

KEY = b"\x03key"


class Client:
    """Asks nodes by their address."""

    def __init__(self, world: World) -> None:
        self.bus = Bus(world, self)

    def address_of(self, node: NodeId, /) -> Address | None:
        return Address(node.rstrip(b"\0").decode())

    def on_frame(self, source: Address, frame: bytes) -> None:
        reply = decode(frame)
        assert isinstance(reply, Reply)
        self.bus.hear(source, reply)

    def on_datagram(self, _source: Address, _datagram: bytes) -> None:
        raise NotImplementedError


class Nodes:
    """The first one founds, the others join."""

    def __init__(self, count: int) -> None:
        self.simulation = Simulation(seed=1)
        names = [f"n{number}" for number in range(count)]
        self.hosts = [
            self.simulation.host(name, _factory(number, names)) for number, name in enumerate(names)
        ]
        for host in self.hosts:
            host.validates = True
        host = self.simulation.host("client", Client)
        self.simulation.run_for(0.1)
        assert isinstance(host.process, Client)
        self.client = host.process

    def node(self, number: int) -> Node:
        process = self.hosts[number].process
        assert isinstance(process, Node)
        return process

    def ask(self, number: int, request: Request) -> Reply:
        answers: list[Reply | None] = []
        self.client.bus.ask(NodeId(b"n%d" % number), request, answers.append, 2_000 * NS_PER_MS)
        self.simulation.run_for(2.1)
        [reply] = answers
        assert reply is not None
        return reply

    def settle(self, members: int, span_s: float = 30) -> None:
        """Wait until all are in the ring and nothing is pending."""
        views: list[RingView | None] = []
        for _ in range(int(span_s * 2)):
            self.simulation.run_for(0.5)
            views = [self.node(number).view for number in range(len(self.hosts)) if self.hosts[number].up]
            if all(
                view is not None and len(view.members) == members and view.decree.pending is None
                for view in views
            ):
                return
        raise AssertionError([view and (view.epoch, len(view.members)) for view in views])

    @property
    def epoch(self) -> int:
        view = self.node(0).view
        assert view is not None
        return view.epoch


def _factory(number: int, names: list[str]) -> Factory:
    seeds = tuple(names[:1]) if number else ()
    settings = NodeSettings(founds=number == 0, seeds=seeds, insecure=True, partitions=64)
    return lambda world: Node(world, settings)


def test_one_node_founds_and_serves() -> None:
    nodes = Nodes(1)
    nodes.settle(1)
    made = nodes.ask(0, Resolve(0, "main", "d", Record("main", "d", 1, "test", 0).encode()))
    assert isinstance(made, Resolved)
    put = nodes.ask(0, Put(0, nodes.epoch, made.dict_id, KEY, b"v", 0, 0, 0, b"o" * 16))
    assert isinstance(put, Written)
    got = nodes.ask(0, Get(0, nodes.epoch, made.dict_id, KEY))
    assert isinstance(got, Present)
    assert got.body == b"v"


def test_a_cluster_grows_to_three_nodes_and_each_has_what_was_written() -> None:
    nodes = Nodes(3)
    nodes.settle(3)
    made = nodes.ask(1, Resolve(0, "main", "d", Record("main", "d", 1, "test", 0).encode()))
    assert isinstance(made, Resolved)
    put = nodes.ask(2, Put(0, nodes.epoch, made.dict_id, KEY, b"v", 0, 0, 0, b"o" * 16))
    assert isinstance(put, Written)
    assert (put.copies, put.wanted) == (3, 3)
    for number in range(3):
        got = nodes.ask(number, Get(0, nodes.epoch, made.dict_id, KEY))
        assert isinstance(got, Present)
        assert got.body == b"v"


def test_a_node_halts_if_what_it_knows_of_partitions_is_damaged_when_the_ring_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by seed 2017 of RingChanges: a new ring is gone by in a call of the storage, not of a frame."""
    nodes = Nodes(3)
    nodes.settle(3)

    def damaged(_view: RingView) -> None:
        raise StoreDamagedError("it is not what was written")

    monkeypatch.setattr(nodes.node(2).leading, "set_view", damaged)
    view = nodes.node(0).view
    assert view is not None
    nodes.node(0).epochs.command("adjust", replace(view.decree.members[1], weight=2), lambda _: None)
    nodes.simulation.run_for(3)
    boots = [host.world and host.world.identity.boot for host in nodes.hosts]
    assert boots == [1, 1, 2], "it was started again, and goes by what is on its disk"


def test_a_node_that_was_killed_comes_back_with_what_it_missed() -> None:
    nodes = Nodes(3)
    nodes.settle(3)
    made = nodes.ask(1, Resolve(0, "main", "d", Record("main", "d", 1, "test", 0).encode()))
    assert isinstance(made, Resolved)
    nodes.simulation.crash(nodes.hosts[2])
    put = nodes.ask(0, Put(0, nodes.epoch, made.dict_id, KEY, b"v", 0, 0, 0, b"o" * 16))
    assert isinstance(put, Written)
    assert put.copies == 2
    nodes.simulation.restart(nodes.hosts[2])
    nodes.simulation.run_for(10)
    got = nodes.ask(2, Get(0, nodes.epoch, made.dict_id, KEY))
    assert isinstance(got, Present)
    assert got.body == b"v"


def test_any_node_tells_the_ring_and_how_it_is() -> None:
    nodes = Nodes(2)
    nodes.settle(2)
    nodes.simulation.run_for(10)  # until former owners are dropped, too: a last epoch
    told = nodes.ask(1, AskRing(0, 0))
    assert isinstance(told, TellRing)
    assert decode_decree(told.decree).epoch == nodes.epoch
    assert sorted(address for _, address, is_alive in told.members if is_alive) == ["n0", "n1"]
    status = nodes.ask(1, AskStatus(0))
    assert isinstance(status, TellStatus)
    facts = json.loads(status.status)
    assert facts["is_member"]
    assert facts["ready"]


def test_strange_frames_change_nothing() -> None:
    nodes = Nodes(1)
    nodes.settle(1)
    node = nodes.node(0)
    for frame in (b"", b"\x00", b"\x92\x01", b"\x90", b"\xff" * 100, b"\x93\x0a\x01" + bytes(50)):
        node.on_frame(Address("client"), frame)
        node.validate()
    assert node.keeping.strange_count >= 2


def test_a_node_whose_reserved_stamps_are_damaged_does_not_begin() -> None:
    """It would give stamps again. A seed of the simulator with a turned bit on a disk found an exception."""
    nodes = Nodes(1)
    nodes.settle(1)
    made = nodes.ask(0, Resolve(0, "main", "d", Record("main", "d", 1, "test", 0).encode()))
    assert isinstance(made, Resolved)
    nodes.ask(0, Put(0, nodes.epoch, made.dict_id, KEY, b"v", 0, 0, 0, b"o" * 16))
    host = nodes.hosts[0]
    nodes.simulation.crash(host)
    host.disk.volume("consensus").rotten.add(b"stamp")
    nodes.simulation.restart(host)
    nodes.simulation.run_for(0.2)
    assert not host.up
