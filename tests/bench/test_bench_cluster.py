"""What the bench needs for the scenarios of a cluster."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ringdict.bench.clusterpeers import transaction, won
from ringdict.bench.clusterscenarios import CLUSTER_SCENARIOS
from ringdict.bench.load import Load
from ringdict.bench.operation import OPERATIONS, Operation
from ringdict.bench.peer import MissingError, Peer, Statements
from ringdict.bench.peers import PEERS
from ringdict.bench.place import Crew, Place
from ringdict.bench.proc import cpu_s, resident_bytes
from ringdict.bench.runner import Runner, WrongAnswerError
from ringdict.bench.servers import Servers
from ringdict.bench.stock import Stock
from ringdict.bench.worker import Worker


def test_every_scenario_of_a_cluster_says_what_it_needs() -> None:
    fields = set(Place.__dataclass_fields__)
    assert all(scenario.servers and scenario.servers <= fields for scenario in CLUSTER_SCENARIOS)


# -- the load program ------------------------------------------------------------------------------


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that gives back what it gets, in two pieces; its port."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve(line: socket.socket) -> None:
        with line:
            while data := line.recv(100):
                line.send(data[:2])
                line.send(data[2:])

    def accept() -> None:
        while True:
            try:
                line, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield door.getsockname()[1]
    door.shutdown(socket.SHUT_RDWR)
    door.close()


@pytest.mark.parametrize("connections", [1, 4, 50])
def test_each_key_of_a_load_is_asked_for_once(echo: int, connections: int) -> None:
    asked: list[bytes] = []

    def is_whole(data: bytes) -> bool:
        if len(data) == 4:
            asked.append(data)
        return len(data) == 4

    keys = [f"{number:04d}" for number in range(40)]
    load = Load(lambda: socket.create_connection(("127.0.0.1", echo)), str.encode, is_whole)
    load.prepare(keys)
    assert load.run(connections, dict.fromkeys(keys)) == 40
    assert sorted(asked) == [key.encode() for key in keys]
    load.close()


# -- event loops, threads --------------------------------------------------------------------------


class OnTrio(Peer):
    """Answers only where Trio runs."""

    name = "on Trio"
    library = "trio"
    statements: ClassVar[Statements] = {"wait": "result = await wait(key)", "plain": "result = 1"}

    def open(self, place: Place) -> dict[str, object]:
        return {}

    async def aopen(self) -> dict[str, object]:
        trio = pytest.importorskip("trio")

        async def wait(key: object) -> object:
            await trio.sleep(0)
            return key

        return {"wait": wait}


@pytest.fixture
def on_trio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runner]:
    monkeypatch.setitem(PEERS, "on Trio", OnTrio)
    runner = Runner("on Trio", Place(tmp_path), stored=True)
    yield runner
    runner.close()


def is_key(_peer: Peer, row: tuple[object, object], result: object) -> bool:
    return result == row[0]


@pytest.mark.parametrize("width", [1, 7])
def test_statements_wait_on_trio(on_trio: Runner, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    wait = Operation("wait", Stock.absent, right=is_key, in_flight=width)
    monkeypatch.setitem(OPERATIONS, "wait", wait)
    assert on_trio.mean("wait", 20) > 0
    monkeypatch.setitem(
        OPERATIONS, "wait", Operation("wait", Stock.absent, right=lambda *_: False, in_flight=7)
    )
    with pytest.raises(WrongAnswerError):
        on_trio.mean("wait", 20)


def test_threads_share_the_rows(on_trio: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "plain", Operation("plain", Stock.absent, threads=4))
    assert on_trio.mean("plain", 20) > 0


def test_who_has_no_server_uses_no_processor_of_it(on_trio: Runner) -> None:
    with pytest.raises(MissingError):
        on_trio.server_cpu("get", 1)


# -- servers ---------------------------------------------------------------------------------------


def test_nodes_are_started_when_needed_and_stopped(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        assert isinstance(servers.place.lone, str)
        place = servers.start({"lone"})
        assert servers.start({"lone"}) is place
        crew = place.lone
        assert isinstance(crew, Crew)
        assert resident_bytes(crew.pids[0]) > 1_000_000
        assert cpu_s(crew.pids[0]) > 0
        with Worker("ringdict nodes", Place(tmp_path, nodes=crew)).ready() as worker:
            assert worker.call(Runner.mean, "put", 10) > 0
            assert worker.call(Runner.mean, "get", 10) > 0
        servers.stop({"lone"})
        assert not Path(f"/proc/{crew.pids[0]}").exists()


# -- etcd ------------------------------------------------------------------------------------------


def test_a_transaction_has_the_bytes_that_etcd_reads() -> None:
    before, between, after = transaction(3, 100)
    put = b"\x0a\x03key" + b"\x12\x64" + b"v" * 100
    compare = b"\x08\x00" + b"\x10\x01" + b"\x1a\x03key" + b"\x28\x00"
    success = b"\x12" + bytes([len(put)]) + put
    whole = b"\x0a" + bytes([len(compare)]) + compare + b"\x12" + bytes([len(success)]) + success
    assert before + b"key" + between + b"key" + after + b"v" * 100 == whole


def test_a_long_transaction_too() -> None:
    _, between, _ = transaction(11, 120)
    assert between[2:] == b"\x12\x8a\x01\x12\x87\x01\x0a\x0b"


@pytest.mark.parametrize(
    ("rest", "is_won"), [(b"\x10\x01\x1a\x00", True), (b"\x1a\x00", False), (b"", False)]
)
def test_who_won_is_read_behind_the_header(rest: bytes, *, is_won: bool) -> None:
    assert won(b"\x0a\x04\x08\x10\x01\x10" + rest) is is_won
