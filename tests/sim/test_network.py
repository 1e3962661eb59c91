"""What the made-up network does to messages, by link."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ringdict.node.world import NS_PER_S, Address
from ringdict.sim.journal import Journal
from ringdict.sim.loop import Loop
from ringdict.sim.network import Network, Noise

A, B, C = Address("a"), Address("b"), Address("c")


class Line:
    """Three addresses, and what came to each."""

    def __init__(self, noise: Noise | None = None, seed: int = 1) -> None:
        self.loop = Loop()
        self.network = Network(self.loop, Journal(), seed, noise or Noise())
        self.came: list[tuple[Address, Address, bytes, int]] = []
        for address in (A, B, C):
            self.network.attach(address, self._receiver(address))

    def _receiver(self, address: Address) -> Callable[[Address, bytes, bool], None]:
        return lambda source, data, _datagram: self.came.append((source, address, data, self.loop.now_ns))

    def send(self, count: int, source: Address = A, target: Address = B, *, datagram: bool = False) -> int:
        """Send so many, half a second each; how many came meanwhile."""
        before = len(self.came)
        for number in range(count):
            self.network.send(source, target, b"%d" % number, datagram=datagram)
            self.loop.run_until(self.loop.now_ns + NS_PER_S // 2)
        return len(self.came) - before


def test_in_health_each_message_comes_once_within_milliseconds() -> None:
    line = Line()
    sent_ns = line.loop.now_ns
    assert line.send(100) == 100
    assert [data for _, _, data, _ in line.came] == [b"%d" % number for number in range(100)]
    assert line.came[0][3] - sent_ns < 10_000_000


def test_a_cut_has_a_direction_and_cuts_add_up() -> None:
    line = Line()
    line.network.cut(A, B)
    line.network.cut(A, B)
    assert (line.send(5), line.send(5, B, A), line.send(5, A, C)) == (0, 5, 5)
    line.network.mend(A, B)
    assert line.send(5) == 0
    line.network.mend(A, B)
    assert line.send(5) == 5


def test_a_partition_lasts_as_long_as_its_with() -> None:
    line = Line()
    with line.network.partition({A}, {B, C}):
        assert (line.send(3), line.send(3, B, A), line.send(3, B, C)) == (0, 0, 3)
    assert (line.send(3), line.send(3, C, A)) == (3, 3)


def test_what_is_held_comes_in_order_at_its_release() -> None:
    line = Line()
    line.network.hold(A, B)
    assert line.send(5) == 0
    line.network.release(A, B)
    assert line.send(1) == 6
    assert [data for _, _, data, _ in line.came[:5]] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_clogged_link_delivers_when_it_is_clear() -> None:
    line = Line()
    line.network.clog(A, B, 10 * NS_PER_S)
    assert line.send(4) == 0
    line.loop.run_until(11 * NS_PER_S)
    assert len(line.came) == 4
    assert min(at_ns for *_, at_ns in line.came) == 10 * NS_PER_S


def test_noise_loses_doubles_and_delays_about_as_often_as_it_says() -> None:
    assert 40 < 1000 - Line(Noise(loss=0.1)).send(1000) < 160
    assert 60 < Line(Noise(duplication=0.1)).send(1000) - 1000 < 140
    assert 60 < Line(Noise(replay=0.1)).send(1000) - 1000 < 140
    late = Line(Noise(late=0.1))
    assert late.send(1000) > 990
    order = [int(data) for _, _, data, _ in late.came]
    assert 50 < sum(before > after for before, after in pairwise(order)) < 150
    datagrams = Line(Noise(datagram_loss=0.5))
    assert datagrams.send(50) == 50
    assert 10 < datagrams.send(50, datagram=True) < 40


def test_what_befalls_one_link_does_not_depend_on_others() -> None:
    noise = Noise(loss=0.2, duplication=0.2, late=0.2)
    alone, beside = Line(noise), Line(noise)
    alone.send(200)
    for number in range(200):
        beside.network.send(B, C, b"x", datagram=False)
        beside.network.send(A, B, b"%d" % number, datagram=False)
        beside.loop.run_until(beside.loop.now_ns + NS_PER_S // 2)
    assert alone.came == [event for event in beside.came if event[1] == B]


def test_nobody_there_is_a_drop() -> None:
    line = Line()
    line.network.detach(B)
    assert line.send(3) == 0
    assert line.network.dropped_count == 3
