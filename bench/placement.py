"""The ring's figures, as docs/ring.md states them: ``python -m bench.placement``, from the repository's root.

Balance and movement are counts, the same on every machine. Times are medians of this one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import xxhash
from uhashring import HashRing

from ringdict.ring import placement
from ringdict.ring.change import flip, found, join
from ringdict.ring.codec import decode_decree, encode_decree
from ringdict.ring.config import VIRTUAL_NODES
from ringdict.ring.continuum import continuum, point
from ringdict.ring.decree import Decree
from ringdict.ring.member import Member, MemberState
from ringdict.ring.partition import partition_of
from ringdict.ring.placement import target_table
from ringdict.ring.share import copy_shares, primary_shares
from ringdict.ring.table import Table, copies_moved, moves

REPLICAS = 3
COUNTS = (3, 4, 5, 7, 10, 20, 32, 33, 64, 100)
TIMED_CALLS = 200_000


def partitions_for(count: int) -> int:
    return 1024 if count <= 32 else 4096


def members_of(
    count: int, seed: int, *, zones: Sequence[str] = ("",), weights: Sequence[int] = (1,)
) -> list[Member]:
    dice = random.Random(f"{seed}/{count}")
    return [
        Member(dice.randbytes(16), MemberState.ACTIVE, weights[n % len(weights)], zones[n % len(zones)])
        for n in range(count)
    ]


def percentile_95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


class Sample:
    """One set of names. Balance: the fullest member over its fair share. Movement: the last member joins,
    and leaves again; ideal is its fair share."""

    def __init__(self, members: list[Member], place: Callable[[Sequence[Member], int, int], Table]) -> None:
        count, partitions = len(members), partitions_for(len(members))
        start = time.perf_counter()
        self.large = place(members, partitions, REPLICAS)
        self.seconds = time.perf_counter() - start
        small = place(members[:-1], partitions, REPLICAS)
        weights, zones = [one.weight for one in members], [one.zone for one in members]
        fair = copy_shares(weights, zones, REPLICAS)
        self.copies = max(map(_over, self.large.copies(count), [share * partitions for share in fair]))
        first = primary_shares(weights)
        self.primaries = max(map(_over, self.large.primaries(count), [share * partitions for share in first]))
        ideal = fair[-1] * partitions
        self.join = copies_moved(moves(small, self.large)) / ideal
        self.leave = copies_moved(moves(self.large, small)) / ideal
        taken = sum(map(_differs, self.large.rows(), small.rows()))
        self.first_moved = taken / (first[-1] * partitions)


def _over(value: int, fair: float) -> float:
    return value / fair


def _differs(one: bytes, other: bytes) -> bool:
    return one[0] != other[0]


def plain_ring(members: Sequence[Member], partitions: int, replicas: int) -> Table:
    """The continuum walked without any bound: what the bound is compared with."""
    ring = HashRing({one.member_id.hex(): {"vnodes": VIRTUAL_NODES} for one in members}, hash_fn=_hash)
    numbers = {one.member_id.hex(): number for number, one in enumerate(members)}
    rows = [
        [numbers[conf["nodename"]] for conf in ring.range(f"partition:{partition}", size=replicas)]
        for partition in range(partitions)
    ]
    return Table.of(rows, replicas)


def _hash(text: str) -> int:
    return point(text)


def table_of_figures(sets: int) -> Iterator[str]:
    yield "members  Q     fullest over fair      copies moved over ideal        primaries  table"
    yield "               primaries  copies      join mean/p95   leave mean/p95  moved      ms"
    for count in COUNTS:
        yield line(f"{count}", [Sample(members_of(count, seed), target_table) for seed in range(sets)])
    some = max(sets // 5, 1)
    for name, zones, weights in (
        ("12, three zones", "abc", (1,)),
        ("12, five zones", "abcde", (1,)),
        ("12, two zones", "ab", (1,)),
        ("10, weights 1 2 4", ("",), (1, 2, 4)),
    ):
        count = int(name.split(",")[0])
        samples = [
            Sample(members_of(count, seed, zones=zones, weights=weights), target_table)
            for seed in range(some)
        ]
        yield line(name, samples)
    for count in (10, 100):
        yield line(
            f"{count}, no bound", [Sample(members_of(count, seed), plain_ring) for seed in range(some)]
        )


def line(name: str, samples: Sequence[Sample]) -> str:
    join_ratios, leave_ratios = [one.join for one in samples], [one.leave for one in samples]
    return (
        f"{name:18} {samples[0].large.partitions:4}  {max(one.primaries for one in samples):.3f}  "
        f"{max(one.copies for one in samples):.3f}    "
        f"{statistics.mean(join_ratios):.2f} / {percentile_95(join_ratios):.2f}   "
        f"{statistics.mean(leave_ratios):.2f} / {percentile_95(leave_ratios):.2f}   "
        f"{statistics.mean(one.first_moved for one in samples):.2f}   "
        f"{statistics.median(one.seconds for one in samples) * 1000:.0f}"
    )


def microseconds(call: Callable[[], object], calls: int = TIMED_CALLS) -> float:
    """The median of five rounds, the empty loop taken off."""
    rounds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            pass
        empty = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - start - empty) / calls * 1e6)
    return statistics.median(rounds)


def times() -> Iterator[str]:
    members = members_of(100, 0)
    table = target_table(members, 4096, REPLICAS)
    places, seed, key, mask = table.places, 12345, b"\x04user:12345", 4096 - 1
    xxh3 = xxhash.xxh3_64_intdigest
    yield "a call, in us (a call of a Python function that does nothing included)"
    calls: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "key -> primary owner, written out": lambda: places[(xxh3(key, seed) & mask) * REPLICAS],
        "key -> primary owner": lambda: places[partition_of(seed, key, 4096) * REPLICAS],
        "partition -> row": lambda: table.row(1234),
    }
    for name, call in calls.items():
        yield f"  {name:34} {microseconds(call):.2f}"
    yield f"uhashring at 100 members of {VIRTUAL_NODES} points"
    names = {one.member_id.hex(): 1 for one in members}
    ring = HashRing({name: {"vnodes": VIRTUAL_NODES} for name in names}, hash_fn=_hash)
    yield f"  get_node, one key, us              {microseconds(lambda: ring.get_node('user:1'), 20_000):.2f}"
    range_us = microseconds(lambda: list(ring.range("user:1", size=3)), 2_000)
    yield f"  range of 3, one key, us            {range_us:.2f}"
    yield f"  its continuum, ms                  {microseconds(lambda: continuum(names), 5) / 1000:.1f}"
    yield f"  a table, nothing kept, ms          {microseconds(lambda: placed_afresh(members), 1) / 1000:.0f}"
    yield from times_of_decrees()


def placed_afresh(members: Sequence[Member]) -> Table:
    placement._placed.cache_clear()
    return target_table(members, 4096, REPLICAS)


def times_of_decrees() -> Iterator[str]:
    decree = cluster_of(100)
    newcomer = members_of(101, 1)[-1]
    data = encode_decree(decree)
    yield f"a decree of 100 members, 4096 partitions: {len(data)} bytes, ms"
    calls: dict[str, Callable[[], object]] = {
        "encode, check": lambda: encode_decree(decree),
        "decode, check": lambda: decode_decree(data),
        "join: place, step, check": lambda: joined_afresh(decree, newcomer),
    }
    for name, call in calls.items():
        yield f"  {name:34} {microseconds(call, 3) / 1000:.1f}"


def joined_afresh(decree: Decree, newcomer: Member) -> Decree:
    placement._placed.cache_clear()
    return join(decree, newcomer)


def cluster_of(count: int) -> Decree:
    """A cluster at rest that has `count` members: founded with one, then given the table of them all."""
    members = members_of(count, 0)
    decree = found(bytes(15) + b"1", members[0], 4096, REPLICAS)
    for member in members[1:4]:
        decree = join(decree, member)
        while decree.pending is not None:
            decree = flip(decree, range(4096), range(4096))
    for member in members[4:]:
        decree = flip(join(decree, member), range(4096), range(4096))
    while decree.pending is not None:
        decree = flip(decree, range(4096), range(4096))
    return flip(decree, (), range(4096))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sets", type=int, default=100, help="of names a line (default: %(default)s); 0: times only"
    )
    sets = parser.parse_args().sets
    for text in table_of_figures(sets) if sets else ():
        print(text, flush=True)
    for text in times():
        print(text, flush=True)


if __name__ == "__main__":
    main()
