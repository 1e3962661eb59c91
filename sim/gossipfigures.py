"""Measurements of gossip in the made-up network, as a table beside the targets and the best known figures.

`ringdict sim gossip --table` prints it. The anchors' figures were published, or measured on one machine:
docs/gossip.md says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..gossip.config import FAST, LAN, Settings
from ..gossip.instruction import Change
from ..gossip.keyring import OVERHEAD_BYTES
from ..gossip.member import Profile
from .gossipworld import World

CALM_S = 120.0  # of a run in which nobody is to be declared dead


def share(values: Iterable[float], part: float) -> float:
    """The value that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def counted(world: World, change: Change, count: int) -> bool:
    return world.counts[change] >= count


def detection(size: int, seeds: Iterable[int], settings: Settings = LAN) -> list[float]:
    """Seconds from a crash until each survivor calls the node dead; 1 % loss."""
    found: list[float] = []
    for seed in seeds:
        world = World(seed, settings=settings, loss=0.01)
        nodes = world.form(size)
        world.run(5.0 + world.random.random())
        crashed_at = world.now
        world.crash(nodes[0])
        world.run(60.0, until=partial(counted, world, Change.FAILED, size - 1))
        times = [
            at - crashed_at
            for at, _, change, name in world.events
            if change is Change.FAILED and name == "n0"
        ]
        assert len(times) == size - 1, f"seed {seed}: {size - 1 - len(times)} survivors never noticed"
        assert not world.false_deaths(), f"seed {seed}"
        found += times
    return found


def false_deaths(size: int, seeds: Iterable[int], *, loss: float, slow: int = 0) -> list[int]:
    """Of each run of two minutes: how many members were declared dead by somebody, while they were up."""
    found: list[int] = []
    for seed in seeds:
        world = World(seed, loss=loss)
        nodes = world.form(size)
        for node in nodes[:slow]:
            node.slow_s = (0.5, 2.5)
        world.run(CALM_S)
        found.append(len({(name) for _, _, change, name in world.events if change is Change.FAILED}))
    return found


def rumour(size: int, seeds: Iterable[int], *, loss: float = 0.05) -> list[float]:
    """Seconds until all have heard of a changed profile."""
    found: list[float] = []
    for seed in seeds:
        world = World(seed, loss=loss)
        nodes = world.form(size)
        world.run(1.0 + world.random.random())
        first = nodes[0]
        profile = Profile(first.address, metadata=b"changed")
        world.do(first, first.core.set_profile(profile, world.now))
        took = world.run(60.0, until=partial(counted, world, Change.UPDATED, size - 1))
        assert took is not None, f"seed {seed}: not all heard"
        found.append(took)
    return found


def join(size: int, seeds: Iterable[int], *, loss: float = 0.05, mute: float = 0.0) -> list[float]:
    """Seconds until one more is seen by all. With `mute`, so much of all rumours and pings about it is lost
    besides."""
    found: list[float] = []
    for seed in seeds:
        world = World(seed, loss=loss)
        nodes = world.form(size)
        world.run(1.0 + world.random.random())
        began = world.now
        if mute:
            world.loss = mute
            world.after(0.5, partial(setattr, world, "loss", loss))
        world.add(seeds=[nodes[0].address])
        assert world.run(60.0, until=world.agree) is not None, f"seed {seed}: not all agree"
        found.append(world.now - began)
    return found


def idle_bytes(size: int, seed: int = 1, seconds: float = 60.0) -> float:
    """Bytes that a node sends a second, when nothing happens: of messages, without the headers of UDP and
    IP."""
    world = World(seed)
    nodes = world.form(size)
    world.run(5.0)
    before = sum(node.sent_bytes for node in nodes)
    world.run(seconds)
    return (sum(node.sent_bytes for node in nodes) - before) / size / seconds


def idle_datagrams(size: int, seed: int = 1, seconds: float = 60.0) -> float:
    """Datagrams and frames that a node sends a second, when nothing happens."""
    world = World(seed)
    nodes = world.form(size)
    world.run(5.0)
    before = sum(node.sent_datagrams for node in nodes)
    world.run(seconds)
    return (sum(node.sent_datagrams for node in nodes) - before) / size / seconds


def heal(size: int, seeds: Iterable[int], *, apart_s: float = 120.0) -> list[float]:
    """Seconds from the end of a cut through the middle until all agree again."""
    found: list[float] = []
    for seed in seeds:
        world = World(seed, loss=0.01)
        nodes = world.form(size)
        world.run(2.0)
        with world.partition(nodes[: size // 2], nodes[size // 2 :]):
            world.run(apart_s)
            assert all(node.core.live_count in (size // 2, size - size // 2) for node in nodes), (
                f"seed {seed}"
            )
        took = world.run(120.0, until=world.agree)
        assert took is not None, f"seed {seed}: no one view"
        found.append(took)
    return found


def blocked(size: int, seeds: Iterable[int], seconds: float = 5.0) -> tuple[int, int]:
    """One loop is blocked for so long: runs in which that node was declared dead, and its accusations."""
    deaths = accusations = 0
    for seed in seeds:
        world = World(seed, loss=0.01)
        nodes = world.form(size)
        world.run(3.0 + world.random.random())
        world.block(nodes[0], seconds)
        world.run(seconds + 20.0)
        deaths += any(change is Change.FAILED for _, _, change, _ in world.events)
        accusations += nodes[0].core.counters().get("accusations", 0)
    return deaths, accusations


def two(values: list[float]) -> str:
    return f"{share(values, 0.5):.2f} / {share(values, 0.99):.2f} s, at most {max(values):.2f}"


def of_detection(size: int, settings: Settings, count: int) -> str:
    return two(detection(size, range(count), settings))


def of_deaths(size: int, loss: float, slow: int, count: int) -> str:
    values = false_deaths(size, range(count), loss=loss, slow=slow)
    return f"{sum(values)} in {len(values)} runs ({sum(values) / len(values):.3f} a run)"


def of_rumour(size: int, count: int) -> str:
    return two(rumour(size, range(count)))


def of_join(size: int, mute: float, count: int) -> str:
    return two(join(size, range(count), mute=mute))


def of_idle(size: int, _count: int) -> str:
    seconds = {10: 240.0, 50: 240.0, 200: 60.0}.get(size, 10.0)
    sent, letters = idle_bytes(size, seconds=seconds), idle_datagrams(size, seconds=5.0)
    return f"{sent:.0f}, sealed {sent + letters * OVERHEAD_BYTES:.0f}, in {letters:.1f} letters"


def of_heal(size: int, count: int) -> str:
    return two(heal(size, range(count)))


def of_blocked(size: int, count: int) -> str:
    died, accusations = blocked(size, range(count))
    return f"{died} deaths, {accusations} accusations"


class Line(NamedTuple):
    """One line of the table: what the best known has, what is wanted, how to measure, over how many seeds."""

    quantity: str
    anchor: str
    target: str
    measure: Callable[[int], str]
    seeds: int
    whole: int


def lines() -> list[Line]:
    at_50, of_50 = "false deaths, 1 of 50 slow, 1 % loss", "false deaths, 5 of 50 slow, 1 % loss"
    return [
        Line("crash detection, n=10", "6.28 / - s", "6.3 / 8 s", partial(of_detection, 10, LAN), 20, 1000),
        Line("crash detection, n=50", "8.61 / 12.94", "8.6 / 12.9", partial(of_detection, 50, LAN), 10, 500),
        Line(
            "crash detection, n=100", "9.52 / 12.50", "9.6 / 12.0", partial(of_detection, 100, LAN), 10, 500
        ),
        Line(
            "crash detection, n=50 fast", "6.90 / -", "7.0 / 11.5", partial(of_detection, 50, FAST), 20, 500
        ),
        Line("false deaths, 5 % loss, n=10", "0", "0", partial(of_deaths, 10, 0.05, 0), 20, 1000),
        Line("false deaths, 5 % loss, n=50", "0", "0", partial(of_deaths, 50, 0.05, 0), 4, 1000),
        Line("false deaths, 5 % loss, n=200", "0", "0", partial(of_deaths, 200, 0.05, 0), 1, 1000),
        Line(at_50, "0.010 a run", "0.01 a run", partial(of_deaths, 50, 0.01, 1), 1, 1000),
        Line(of_50, "0.06 to 0.18", "0.09 a run", partial(of_deaths, 50, 0.01, 5), 1, 1000),
        Line("rumour to all, 5 % loss, n=30", "- / 1.8 s", "- / 1.2", partial(of_rumour, 30), 100, 1000),
        Line("rumour to all, 5 % loss, n=100", "- / 2.0", "- / 1.6", partial(of_rumour, 100), 20, 1000),
        Line("rumour to all, 5 % loss, n=1000", "- / 2.2", "- / 2.0", partial(of_rumour, 1000), 1, 100),
        Line("join seen by all, n=100", "1 s", "- / 1.5 s", partial(of_join, 100, 0.0), 10, 1000),
        Line(
            "join, half lost at first",
            "6.5 at most",
            "5 at most",
            partial(of_join, 100, 0.5),
            10,
            1000,
        ),
        Line("idle bytes a second, n=10", "-", "250", partial(of_idle, 10), 1, 1),
        Line("idle bytes a second, n=50", "245, sealed", "250", partial(of_idle, 50), 1, 1),
        Line("idle bytes a second, n=200", "490, sealed", "250", partial(of_idle, 200), 1, 1),
        Line("idle bytes a second, n=1000", "1640, sealed", "250", partial(of_idle, 1000), 1, 1),
        Line("cut of 2 min healed, n=10", "-", "10 s", partial(of_heal, 10), 10, 200),
        Line("cut of 2 min healed, n=100", "-", "10 s", partial(of_heal, 100), 1, 100),
        Line("loop blocked for 5 s, n=10", "-", "0 and 0", partial(of_blocked, 10), 50, 1000),
        Line("loop blocked for 5 s, n=50", "-", "0 and 0", partial(of_blocked, 50), 10, 500),
    ]


def table(*, whole: bool, words: Sequence[str] = ()) -> Iterator[str]:
    """The table, each line as soon as it was measured; with `words` those that have one of them only."""
    yield "| quantity | best known | wanted | here: p50 / p99 | runs |"
    yield "|---|---|---|---|---|"
    for line in lines():
        if not words or any(word in line.quantity for word in words):
            count = line.whole if whole else line.seeds
            yield f"| {line.quantity} | {line.anchor} | {line.target} | {line.measure(count)} | {count} |"
