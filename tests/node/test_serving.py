"""What a node tells the clients on its host, and when."""

from __future__ import annotations

from struct import error as StructError  # noqa: N812 - it is one

import pytest

from ringdict.node.config import PAGE_LOOK_SHOWINGS, PAGE_SHOWN_AGE_S_MAX, PAGE_SHOWN_INTERVAL_S
from ringdict.node.network.message import AskFolder, TellFolder
from ringdict.node.network.wire import decode, encode
from ringdict.node.served.hostmark import NOWHERE, host_mark
from ringdict.node.served.serving import Announcer, Serving, bits_of
from ringdict.node.world import Address, NodeId, World
from ringdict.sim.host import Host
from ringdict.sim.simulation import Simulation

HOST = b"h" * 16


class Shower:
    """A process that shows what the test wants, and answers nothing but where it lies."""

    def __init__(self, world: World, host: bytes = HOST) -> None:
        self.world = world
        self.served = [1, 9]
        self.looks_count = 0
        self.announcer = Announcer(world, self.look, "/var/data", host)
        self.announcer.start()

    def look(self) -> Serving:
        self.looks_count += 1
        return Serving(self.world.identity.node, (3, b"digest!!"), bits_of(self.served, 1024))

    def on_frame(self, source: Address, frame: bytes) -> None:
        request = decode(frame)
        assert isinstance(request, AskFolder)
        self.announcer.handlers()[AskFolder](source, request)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        pass


class Asker:
    """Asks where the entries are."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[object] = []

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.answers.append(decode(frame))

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        pass


def shown(host: Host) -> Serving:
    assert host.world is not None
    return Serving.decode(host.world.page)


def test_a_page_says_what_is_served_and_that_less_is_at_once() -> None:
    simulation = Simulation(seed=1)
    host = simulation.host("a", Shower)
    simulation.run_for(3.0)
    process = host.process
    assert isinstance(process, Shower)
    assert shown(host) == Serving(process.world.identity.node, (3, b"digest!!"), bits_of([1, 9], 1024))
    assert process.looks_count <= 2 + 3.0 / PAGE_SHOWN_INTERVAL_S / PAGE_LOOK_SHOWINGS
    process.served = [9]
    process.announcer.changed()
    assert shown(host).partitions == bits_of([9], 1024)
    process.served = [9, 1023]
    simulation.run_for(PAGE_SHOWN_INTERVAL_S * (PAGE_LOOK_SHOWINGS + 1))
    assert shown(host).partitions == bits_of([9, 1023], 1024)


def test_a_page_is_shown_far_more_often_than_it_grows_old() -> None:
    assert PAGE_SHOWN_INTERVAL_S * 3 < PAGE_SHOWN_AGE_S_MAX


@pytest.mark.parametrize(
    ("node_host", "client_host", "folder"),
    [(HOST, HOST, "/var/data"), (HOST, b"i" * 16, ""), (NOWHERE, NOWHERE, ""), (b"", NOWHERE, "")],
)
def test_the_folder_is_told_to_clients_on_the_same_host_alone(
    node_host: bytes, client_host: bytes, folder: str
) -> None:
    simulation = Simulation(seed=1)
    simulation.host("a", lambda world: Shower(world, node_host))
    asker = simulation.host("b", Asker)
    simulation.run_for(1.0)
    assert isinstance(asker.process, Asker)
    asker.process.world.send(Address("a"), encode(AskFolder(7, client_host)))
    simulation.run_for(1.0)
    assert asker.process.answers == [TellFolder(7, folder)]


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(StructError):
        Serving.decode(b"short")
    whole = Serving(NodeId(b"n" * 16), (1, bytes(8)), bits_of([1023], 1024)).encode()
    assert len(Serving.decode(whole[:-100]).partitions) == 128, "what is not there is not served"


def test_this_host_has_a_mark() -> None:
    assert host_mark() == host_mark()
    assert len(host_mark()) == 16
