"""What `World` promises (node/world.py), kept by all its implementations alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ringdict.exception import Error, StoreFullError
from ringdict.node.config import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX
from ringdict.node.disk.durability import Durability
from ringdict.node.served import datafolder, lmdbtree
from ringdict.node.served.servedstore import ServedStore
from ringdict.node.world import NS_PER_MS, NS_PER_S, Address, Identity, World

from .worlds import Made, Real, Shell, Worlds, scripted


@pytest.fixture(params=["made", "real", "plain", "shell"])
def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> Worlds:
    if request.param in ("real", "plain"):
        return Real(tmp_path, plain=request.param == "plain")
    return Made() if request.param == "made" else Shell()


def reached(count: int, *lists: Sequence[object]) -> Callable[[], bool]:
    return lambda: all(len(one) >= count for one in lists)


def noting(told: list[tuple[int, Error | None]], number: int) -> Callable[[Error | None], None]:
    return lambda error: told.append((number, error))


def test_frames_arrive_whole_and_in_order_in_health(worlds: Worlds) -> None:
    sizes = [0, 1, 5, 70_000, 1, 1_000_000, 3, *range(200)]
    frames = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    got: list[tuple[Address, bytes]] = []

    def send(world: World) -> None:
        # Tier 1 gives each frame a latency of its own: one at a time says what order is.
        world.call_after(100 * NS_PER_MS, lambda: world.send(worlds.address("b"), frames[0]))

    def answer(world: World, source: Address, frame: bytes) -> None:
        got.append((source, frame))
        world.send(source, b"next")

    def next_(world: World, _source: Address, _frame: bytes) -> None:
        if len(got) < len(frames):
            world.send(worlds.address("b"), frames[len(got)])

    play = {"a": scripted(start=send, frame=next_), "b": scripted(frame=answer)}
    worlds.play(play, until=lambda: len(got) >= len(frames))
    assert got == [(worlds.address("a"), frame) for frame in frames]


def test_datagrams_arrive(worlds: Worlds) -> None:
    got: list[tuple[Address, bytes]] = []

    def again(world: World) -> None:
        world.send_datagram(worlds.address("b"), b"x" * DATAGRAM_BYTES_MAX)
        world.call_after(20 * NS_PER_MS, lambda: again(world))

    def receive(_world: World, source: Address, datagram: bytes) -> None:
        got.append((source, datagram))

    play = {"a": scripted(start=again), "b": scripted(datagram=receive)}
    worlds.play(play, until=lambda: len(got) > 2)
    assert set(got) == {(worlds.address("a"), b"x" * DATAGRAM_BYTES_MAX)}


def test_what_is_sent_to_nobody_is_lost_and_nobody_is_told(worlds: Worlds) -> None:
    later: list[int] = []

    def start(world: World) -> None:
        world.send(worlds.address("nobody"), b"x")
        world.send_datagram(worlds.address("nobody"), b"x")
        world.call_after(50 * NS_PER_MS, lambda: later.append(1))

    worlds.play({"a": scripted(start=start)}, until=lambda: bool(later))


def test_what_is_too_large_is_a_bug_of_the_sender(worlds: Worlds) -> None:
    refused: list[str] = []

    def start(world: World) -> None:
        for send, size in ((world.send, FRAME_BYTES_MAX), (world.send_datagram, DATAGRAM_BYTES_MAX)):
            with pytest.raises(AssertionError):
                send(worlds.address("b"), bytes(size + 1))
            refused.append(send.__name__)

    worlds.play({"a": scripted(start=start)}, until=lambda: len(refused) == 2)


def test_timers_come_in_time_and_order_never_at_once_and_not_if_cancelled(worlds: Worlds) -> None:
    came: list[tuple[str, int]] = []

    def start(world: World) -> None:
        begun_ns = world.now_ns()

        def note(name: str) -> None:
            came.append((name, world.now_ns() - begun_ns))

        world.call_after(30 * NS_PER_MS, lambda: note("third"))
        world.call_after(10 * NS_PER_MS, lambda: note("second"))
        world.call_after(0, lambda: note("first"))
        never = world.call_after(20 * NS_PER_MS, lambda: note("cancelled"))
        never.cancel()
        never.cancel()
        assert came == []

    worlds.play({"a": scripted(start=start)}, until=lambda: len(came) >= 3)
    assert [name for name, _ in came] == ["first", "second", "third"]
    assert came[1][1] >= 10 * NS_PER_MS
    assert came[2][1] >= 30 * NS_PER_MS


def test_clocks(worlds: Worlds) -> None:
    readings: list[int] = []

    def start(world: World) -> None:
        readings.append(world.now_ns())
        if len(readings) < 5:
            world.call_after(NS_PER_MS, lambda: start(world))
        assert world.wall_ns() > 1_600_000_000 * NS_PER_S

    worlds.play({"a": scripted(start=start)}, until=lambda: len(readings) == 5)
    assert readings == sorted(readings)
    assert readings[0] < readings[4]


def test_a_node_keeps_its_id_and_no_two_boots_share_a_number(worlds: Worlds) -> None:
    seen: dict[str, list[Identity]] = {"a": [], "b": []}

    def note(name: str) -> Any:
        return scripted(start=lambda world: seen[name].append(world.identity))

    for boot in range(1, 4):
        play = {"a": note("a"), "b": note("b")}
        worlds.play(play, until=reached(boot, seen["a"], seen["b"]))
    assert [one.boot for one in seen["a"]] == [1, 2, 3]
    assert len({one.node for one in seen["a"]}) == 1
    assert len(seen["a"][0].node) == 16
    assert seen["a"][0].node != seen["b"][0].node
    assert seen["a"][0].address == worlds.address("a")


# -- storage -------------------------------------------------------------------------------------


@pytest.fixture(params=["s", "entries"])
def name(request: pytest.FixtureRequest) -> str:
    """Of a storage: the entries are kept in another way than all others."""
    return str(request.param)


@pytest.mark.parametrize("durability", list(Durability))
def test_commits_are_seen_at_once_told_in_order_and_found_again(
    worlds: Worlds, durability: Durability, name: str
) -> None:
    told: list[tuple[int, Error | None]] = []
    found: list[Any] = []

    def write(world: World) -> None:
        storage = world.storage(name, durability)
        assert world.storage(name, durability) is storage
        for number in range(50):
            changes = {b"n": b"%d" % number, b"k%03d" % number: b"v", b"k%03d" % (number - 9): None}
            storage.commit(changes, noting(told, number))
            assert storage.get(b"n") == b"%d" % number
            assert storage.get(b"k%03d" % (number - 9)) is None
        assert told == []

    def read(world: World) -> None:
        storage = world.storage(name, durability)
        found.append((storage.get(b"n"), storage.scan(b"k", b"l", 100), world.storage("two").get(b"n")))

    worlds.play({"a": scripted(start=write)}, until=lambda: len(told) == 50)
    assert told == [(number, None) for number in range(50)]
    worlds.play({"a": scripted(start=read)}, until=lambda: bool(found))
    assert found == [(b"49", [(b"k%03d" % number, b"v") for number in range(41, 50)], None)]


def test_a_scan_is_in_order_bounded_and_sees_what_is_under_way(worlds: Worlds, name: str) -> None:
    done: list[Any] = []

    def start(world: World) -> None:
        storage = world.storage(name)
        storage.commit({b"%d" % number: b"old" for number in range(9)}, lambda _: second(world))

    def second(world: World) -> None:
        storage = world.storage(name)
        storage.commit({b"3": None, b"4": b"new", b"45": b"new", b"0": None}, lambda _: done.append(1))
        assert storage.scan(b"2", b"7", 100) == [
            (b"2", b"old"), (b"4", b"new"), (b"45", b"new"), (b"5", b"old"), (b"6", b"old"),
        ]  # fmt: skip
        assert storage.scan(b"0", b"9", 2) == [(b"1", b"old"), (b"2", b"old")]
        assert storage.scan(b"4", b"5", 1) == [(b"4", b"new")]
        assert storage.scan(b"7", b"7", 5) == []

    worlds.play({"a": scripted(start=start)}, until=lambda: bool(done))


def test_a_commit_is_there_whole_or_not_at_all(worlds: Worlds, name: str) -> None:
    found: list[tuple[bytes | None, ...]] = []
    begun: list[int] = []

    def write(world: World) -> None:
        storage = world.storage(name)
        found.append((storage.get(b"x"), storage.get(b"y")))

        def again(_error: object) -> None:
            begun.append(1)
            value = b"%d" % len(begun)
            storage.commit({b"x": value, b"y": value}, again)

        again(None)

    for boot in range(1, 8):
        worlds.play({"a": scripted(start=write)}, until=reached(7 * boot, begun))
    assert all(x == y for x, y in found)
    assert found[-1][0] is not None


def test_a_full_disk_takes_nothing_and_what_is_seen_goes_back(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(lmdbtree, "STORAGE_MAP_BYTES", 1 << 20)
    monkeypatch.setattr(lmdbtree, "STORAGE_MAP_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(datafolder, "ServedStore", partial(ServedStore, store_bytes_max=1 << 20))
    errors: list[Error | None] = []
    seen: list[bytes | None] = []

    def start(world: World) -> None:
        storage = world.storage(name)

        def full(error: Error | None) -> None:
            errors.append(error)
            seen.append(storage.get(b"k"))
            if len(errors) == 3:
                worlds.fill_disk("a", full=False)
                storage.commit({b"k": b"after"}, full)

        def small(error: Error | None) -> None:
            errors.append(error)
            worlds.fill_disk("a", full=True)
            storage.commit({b"k": b"large", b"x": bytes(2 << 20)}, full)
            storage.commit({b"k": b"behind"}, full)
            assert storage.get(b"k") == b"behind"

        storage.commit({b"k": b"before"}, small)

    worlds.play({"a": scripted(start=start)}, until=lambda: len(errors) == 4)
    assert errors[0] is None
    assert isinstance(errors[1], StoreFullError)
    assert isinstance(errors[2], StoreFullError)
    assert errors[3] is None
    assert seen == [b"before", b"before", b"after"]


# -- the end of a process ------------------------------------------------------------------------


def test_a_process_that_has_halted_hears_and_does_nothing_more(worlds: Worlds) -> None:
    heard: list[str] = []
    other: list[bytes] = []
    ended: list[int] = []

    def start(world: World) -> None:
        world.call_after(NS_PER_MS, lambda: world.send(worlds.address("b"), b"hello"))
        world.call_after(100 * NS_PER_MS, lambda: stop(world))

    def stop(world: World) -> None:
        world.storage("s").commit({b"k": b"v"}, lambda _: heard.append("done"))
        world.call_after(0, lambda: heard.append("timer"))
        world.halt("enough")
        world.send(worlds.address("b"), b"after")
        world.send_datagram(worlds.address("b"), b"after")
        world.call_after(0, lambda: heard.append("timer"))
        world.halt("again")
        ended.append(1)

    def receive(world: World, source: Address, frame: bytes) -> None:
        other.append(frame)
        world.call_after(200 * NS_PER_MS, lambda: world.send(source, b"are you there?"))
        world.call_after(300 * NS_PER_MS, lambda: ended.append(2))

    def frame(_world: World, _source: Address, _frame: bytes) -> None:
        heard.append("frame")

    play = {
        "a": scripted(start=lambda world: None if ended else start(world), frame=frame),
        "b": scripted(frame=receive),
    }
    worlds.play(play, until=lambda: 2 in ended)
    assert heard in ([], ["frame"])  # "frame": a supervisor may have started the next process by then
    assert other == [b"hello"]


def test_dice_are_streams_of_their_own(worlds: Worlds) -> None:
    done: list[int] = []

    def start(world: World) -> None:
        assert world.dice("x") is world.dice("x")
        one, two = world.dice("x"), world.dice("y")
        assert one.randbytes(16) != two.randbytes(16)
        assert 0 <= one.random() < 1
        assert one.randrange(3) in range(3)
        assert sorted(one.sample(range(5), 5)) == list(range(5))
        world.trace("rolled", once=True, what=b"x", where=("a", 1))
        done.append(1)

    worlds.play({"a": scripted(start=start)}, until=lambda: bool(done))
