"""What a node's sockets take from strangers, slow ones and many: bounded memory, and the others unharmed."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ringdict.exception import AuthError, InvalidError, ProtocolError
from ringdict.node.config import CLIENT_PAUSE_BYTES, FRAME_BYTES_MAX, MIB, RECEIVE_BYTES
from ringdict.node.network import switchboard
from ringdict.node.network.epollcarrier import EpollCarrier
from ringdict.node.network.frame import encode_frame
from ringdict.node.network.handshake import Role
from ringdict.node.network.sockets import free_address, join_address
from ringdict.node.network.switchboard import Credentials
from ringdict.node.trioworld import Surroundings, real_surroundings
from ringdict.node.world import Address

from .caller import RawClient
from .served import Echo, Served, served

WAIT_S_MAX = 10.0


@pytest.fixture(params=["epoll", "plain"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "plain")


@pytest.fixture
def node(tmp_path: Path, plain: bool) -> Iterator[Served]:
    with served(tmp_path, plain=plain) as one:
        yield one


def wait_until(so: Callable[[], bool], why: str = "it never came to be so") -> None:
    end_s = time.monotonic() + WAIT_S_MAX
    while not so():
        assert time.monotonic() < end_s, why
        time.sleep(0.002)


def memory_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / MIB


def test_a_client_is_answered_on_its_connection_under_a_name_of_its_own(node: Served) -> None:
    with RawClient(node.address).shake() as one, RawClient(node.address).shake() as two:
        assert one.ask(b"hello") == b"hello"
        assert two.ask(b"you") == b"you"
        assert one.ask(b"70000") == bytes(70_000)
        one.send(*[b"%d" % number for number in range(500)])
        assert [one.receive() for _ in range(500)] == [bytes(number) for number in range(500)]
    assert isinstance(node.process, Echo)
    assert len(set(node.process.sources)) == 2
    assert all(source.startswith("client/") for source in node.process.sources)
    wait_until(lambda: not node.board.routes and node.board.accepted_count == 0)


def test_what_is_sent_to_a_client_that_has_gone_is_dropped(tmp_path: Path, plain: bool) -> None:
    class Late(Echo):
        def on_frame(self, source: Address, frame: bytes) -> None:
            super().on_frame(source, frame)
            self.world.call_after(200_000_000, lambda: self.world.send(source, b"too late"))
            self.world.call_after(250_000_000, lambda: late.append(1))

    late: list[int] = []
    with served(tmp_path, Late, plain=plain) as node:
        with RawClient(node.address).shake() as client:
            client.ask(b"x")
        wait_until(lambda: bool(late))
        assert not node.board.routes


def test_a_peer_is_called_back_at_the_address_that_it_says(tmp_path: Path, plain: bool) -> None:
    with (
        served(tmp_path / "a", secret=b"s", plain=plain) as node,
        socket.create_server(("127.0.0.1", 0)) as door,
    ):
        address = join_address(*door.getsockname()[:2])
        with RawClient(node.address).shake(b"s", Role.PEER, address) as peer:
            peer.send(b"hello")
            line, _ = door.accept()
            line.close()
        assert isinstance(node.process, Echo)
        assert node.process.sources == [address]


@pytest.mark.parametrize("secret", [b"", b"another"])
def test_who_does_not_know_the_secret_is_not_heard(tmp_path: Path, plain: bool, secret: bytes) -> None:
    with served(tmp_path, secret=b"right", plain=plain) as node:
        with RawClient(node.address) as stranger, pytest.raises(AuthError):
            stranger.shake(secret)
        with RawClient(node.address).shake(b"right") as client:
            assert client.ask(b"hello") == b"hello"
        assert isinstance(node.process, Echo)
        assert node.process.heard_count == 1


def test_another_cluster_is_refused_in_words(tmp_path: Path, plain: bool) -> None:
    def change(surroundings: Surroundings) -> None:
        surroundings.credentials.cluster_id = lambda: b"a" * 16

    with served(tmp_path, plain=plain, change=change) as node:
        with RawClient(node.address) as stranger, pytest.raises(ProtocolError, match="cannot merge"):
            stranger.shake(cluster_id=b"b" * 16)
        with RawClient(node.address).shake(cluster_id=b"a" * 16) as client:
            assert client.ask(b"hello") == b"hello"


def test_without_a_secret_only_this_host_may_connect(tmp_path: Path) -> None:
    everywhere = Credentials(join_address("0.0.0.0", 7000))
    with pytest.raises(InvalidError, match="without a secret"):
        real_surroundings(everywhere, tmp_path)
    with pytest.raises(InvalidError, match="without a secret"):
        real_surroundings(Credentials(free_address()), tmp_path, listen=everywhere.address)
    with pytest.raises(InvalidError, match="without a secret"):
        real_surroundings(Credentials(join_address("localhost.example", 7000)), tmp_path)
    real_surroundings(everywhere, tmp_path, insecure=True)
    real_surroundings(Credentials(everywhere.address, b"a secret"), tmp_path)
    real_surroundings(Credentials(join_address("::1", 7000)), tmp_path)


GARBAGE = [
    b"", b"\x00", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", encode_frame(b"\xff\xfe"), encode_frame(b""),
    (2_000).to_bytes(4, "big"), (1 << 31).to_bytes(4, "big") + bytes(5_000), encode_frame(bytes(1_000)) * 3,
]  # fmt: skip


def test_garbage_is_closed_and_harms_nobody(node: Served) -> None:
    with RawClient(node.address).shake() as client:
        for data in GARBAGE:
            with RawClient(node.address) as stranger:
                stranger.socket.sendall(data)
                stranger.socket.shutdown(socket.SHUT_WR)
                assert stranger.is_closed(), data
            assert client.ask(b"hello") == b"hello"
        with RawClient(node.address).shake() as other:
            other.socket.sendall((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
            assert other.is_closed()
        assert client.ask(b"hello") == b"hello"
    assert isinstance(node.process, Echo)
    assert node.process.heard_count == len(GARBAGE) + 1
    wait_until(lambda: node.board.accepted_count == 0)


def test_a_length_alone_costs_no_memory(node: Served) -> None:
    before_mb = memory_mb()
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(RawClient(node.address).shake())
            client.socket.sendall(FRAME_BYTES_MAX.to_bytes(4, "big") + b"x")
        with RawClient(node.address).shake() as client:
            assert client.ask(b"hello") == b"hello"
        assert memory_mb() - before_mb < 20


@pytest.mark.parametrize("said", [b"", b"\x00\x00\x00", encode_frame(b"x" * 900)[:500]])
def test_a_connection_that_does_not_say_who_it_is_is_closed(
    node: Served, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(switchboard, "PROGRESS_POLL_S", 0.05)
    with RawClient(node.address).shake() as client, RawClient(node.address) as stranger:
        begun_s = time.monotonic()
        stranger.socket.sendall(said)
        assert stranger.is_closed()
        assert 0.15 < time.monotonic() - begun_s < 5
        assert client.ask(b"hello") == b"hello"
    assert node.board.counts.cut_off == 1


def test_a_frame_that_comes_byte_by_byte_has_a_time_to_be_whole(
    node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "PROGRESS_TIMEOUT_S", 0.3)
    monkeypatch.setattr(switchboard, "PROGRESS_POLL_S", 0.05)
    with RawClient(node.address).shake() as slow, RawClient(node.address).shake() as client:
        slow.ask(b"x" * 100)
        frame = encode_frame(b"y" * 1_000)
        with pytest.raises(ConnectionError):
            for byte in frame:
                slow.socket.sendall(bytes([byte]))
                time.sleep(0.005)
        time.sleep(0.4)  # who owes nothing may be silent
        assert client.ask(b"hello") == b"hello"


def test_who_does_not_read_its_answers_is_paused_then_cut_off(
    node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "PROGRESS_TIMEOUT_S", 0.5)
    monkeypatch.setattr(switchboard, "PROGRESS_POLL_S", 0.05)
    before_mb = memory_mb()
    with RawClient(node.address, 3.0).shake() as greedy, RawClient(node.address).shake() as client:
        with pytest.raises(OSError):  # noqa: PT011 - paused, then closed
            while True:
                greedy.send(*[b"1000000"] * 1_000)
        assert client.ask(b"hello") == b"hello"
        wait_until(lambda: node.board.accepted_count == 1)
    assert memory_mb() - before_mb < 40


def test_who_reads_slowly_gets_every_answer(node: Served) -> None:
    assert CLIENT_PAUSE_BYTES < 100 * 1_000_000
    with RawClient(node.address).shake() as slow:
        slow.send(*[b"1000000"] * 60, b"the end")
        time.sleep(0.2)
        for _ in range(60):
            assert slow.receive() == bytes(1_000_000)
        assert slow.receive() == b"the end"
        assert slow.ask(b"again") == b"again"


def test_what_all_together_hold_is_bounded_and_whoever_holds_most_goes(
    node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "LINES_BYTES_MAX", 4 * MIB)
    with ExitStack() as stack:
        many = [stack.enter_context(RawClient(node.address).shake()) for _ in range(8)]
        most = many[5]
        most.socket.sendall((8 * MIB).to_bytes(4, "big") + bytes(2 * MIB))
        for number, one in enumerate(many):
            if one is not most:
                one.socket.sendall((8 * MIB).to_bytes(4, "big") + bytes((number + 1) * RECEIVE_BYTES))
        for one in many:
            if one is not most:
                one.socket.sendall(bytes(RECEIVE_BYTES))
        assert most.is_closed()
        with RawClient(node.address).shake() as client:
            assert client.ask(b"hello") == b"hello"
        assert node.board.counts.cut_off == 1


def test_half_open_connections_give_way_to_new_ones(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "STRANGERS_MAX", 20)
    with ExitStack() as stack:
        silent = [stack.enter_context(RawClient(node.address)) for _ in range(60)]
        with RawClient(node.address).shake() as client:
            assert client.ask(b"hello") == b"hello"
        assert all(one.is_closed() for one in silent[:40])
        assert node.board.accepted_count <= 21


def test_too_many_are_refused_in_words_and_peers_are_not_locked_out(
    node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "CLIENTS_MAX", 3)
    with ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(RawClient(node.address).shake()).ask(b"hello") == b"hello"
        with RawClient(node.address) as one, pytest.raises(ProtocolError, match="too many clients"):
            one.shake()
        peer = stack.enter_context(RawClient(node.address).shake(b"", Role.PEER, "127.0.0.1:9"))
        peer.send(b"heard")
        wait_until(lambda: isinstance(node.process, Echo) and "127.0.0.1:9" in node.process.sources)
        node.board.connections_max = node.board.accepted_count
        with RawClient(node.address) as one, pytest.raises(ProtocolError, match="too many connections"):
            one.refusal()
    wait_until(lambda: node.board.accepted_count == 0)
    with RawClient(node.address).shake() as one:
        node.board.connections_max = 10
        assert one.ask(b"hello") == b"hello"


def test_hostile_threads_all_at_once_and_the_others_go_on(node: Served) -> None:
    stop = threading.Event()

    def attack(seed: int) -> None:
        while not stop.is_set():
            try:
                with RawClient(node.address, 1.0) as stranger:
                    if seed % 2:
                        stranger.shake()
                    stranger.socket.sendall(os.urandom(200))
                    if seed % 3:
                        stranger.socket.recv(10)
            except OSError:
                pass

    threads = [threading.Thread(target=attack, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    try:
        with RawClient(node.address).shake() as client:
            for number in range(150):
                assert client.ask(b"%dx" % number) == b"%dx" % number
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wait_until(lambda: node.board.accepted_count == 0)


@pytest.mark.parametrize("plain", [False, pytest.param(True, marks=pytest.mark.campaign)])
@pytest.mark.deep
def test_ten_thousand_connections_cost_little_and_the_others_are_served(tmp_path: Path, plain: bool) -> None:
    count = 10_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f"{count} connections need more file descriptors than {hard}")
    with served(tmp_path, plain=plain) as node, RawClient(node.address).shake() as first:
        before_mb = memory_mb()
        crowd = subprocess.Popen(
            [sys.executable, "-m", "tests.node.crowd", node.address, str(count)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "ready\n"
            wait_until(lambda: node.board.clients_count == count + 1, "all to be let in")  # the last proof
            assert memory_mb() - before_mb < (60 if not plain else 200)
            begun_s = time.monotonic()
            for _ in range(100):
                assert first.ask(b"hello") == b"hello"
            assert time.monotonic() - begun_s < 2
            crowd.stdin.write("ask\n")
            crowd.stdin.flush()
            assert float(crowd.stdout.readline()) < 2
        finally:
            crowd.kill()
            crowd.wait()
            for pipe in (crowd.stdin, crowd.stdout):
                if pipe is not None:
                    pipe.close()
        wait_until(lambda: node.board.clients_count == 1, "they have gone")


def test_without_file_descriptors_nobody_is_harmed_and_it_goes_on_when_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Door:
        """A listening socket on a host that has no more file descriptors, until it has."""

        def __init__(self, door: socket.socket) -> None:
            self.door = door

        def accept(self) -> tuple[socket.socket, object]:
            if refuses:
                raise OSError(errno.EMFILE, "too many open files")
            return self.door.accept()

    refuses = True
    with served(tmp_path) as node, RawClient(node.address).shake() as client:
        carrier = node.world._carrier
        assert isinstance(carrier, EpollCarrier)
        for number, door in carrier._doors.items():
            monkeypatch.setitem(carrier._doors, number, Door(door))
        with RawClient(node.address) as waiting:
            assert client.ask(b"hello") == b"hello"
            wait_until(lambda: carrier._doors_are_closed)
            refuses = False
            client.close()  # somebody goes
            assert waiting.shake().ask(b"hello") == b"hello"
