"""All that is measured, with what is demanded of it. The order is that of a run.

Scenarios that store entries of other sizes come after those that count or go through all entries.
"""

from __future__ import annotations

from .clusterscenarios import CLUSTER_SCENARIOS
from .figures import MEGABYTES, MILLISECONDS, PER_SECOND
from .runner import Runner
from .scenario import Race, Scenario
from .stock import BATCH_ENTRIES, ENTRIES
from .target import AtLeast, AtMost, Faster, Within
from .trials import Beside, Crowd, Disk, ImportTime, Length, Longest, Memory, Swelling

__all__ = ["SCENARIOS"]

RINGDICT, INTERVAL, FSYNC = "ringdict", "ringdict interval", "ringdict fsync"
MILLION = "ringdict 1M"
REDIS, ASYNCIO, MEMCACHE = "redis-py", "redis.asyncio", "pymemcache"
DISKCACHE, MANAGER = "diskcache", "Manager().dict()"
LMDB, LMDB_SYNC = "lmdb (floor)", "lmdb sync (floor)"

_READS = (
    Race(
        name="get",
        title="get, random keys of 100,000",
        operation="get",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, MANAGER, LMDB),
        targets=(Faster(8, REDIS), Faster(4, MEMCACHE), Within(4, LMDB)),
    ),
    Race(
        name="get.aio",
        title="get in asyncio, one after the other",
        operation="get.aio",
        contestants=(RINGDICT, ASYNCIO),
        targets=(Faster(12, ASYNCIO),),
    ),
    Race(
        name="contains",
        title="key in d",
        operation="contains",
        contestants=(RINGDICT, REDIS, DISKCACHE, MANAGER),
    ),
    Crowd(
        name="readers",
        title="get by four processes at once, all together",
        operation="get",
        processes=4,
        unit=PER_SECOND,
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, LMDB),
    ),
)

_WRITES = (
    Race(
        name="put",
        title="put, durability none",
        operation="put",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, MANAGER, LMDB),
        targets=(Faster(2.3, REDIS),),
    ),
    Race(
        name="put.p50",
        title="put, durability none, the median call",
        operation="put",
        timed=Runner.middle,
        contestants=(RINGDICT, REDIS, DISKCACHE),
    ),
    Race(
        name="interval.p50",
        title="put, durability interval, the median call",
        operation="put",
        timed=Runner.middle,
        contestants=(INTERVAL, REDIS, DISKCACHE),
        targets=(Faster(1.2, REDIS), Faster(1.8, DISKCACHE)),
    ),
    Race(
        name="interval",
        title="put, durability interval, 10 s with syncs",
        operation="put",
        rounds=3,
        round_s=10,
        contestants=(INTERVAL, REDIS, DISKCACHE),
        targets=(Faster(0.8, REDIS),),
    ),
    Longest(
        name="interval.max",
        title="put, durability interval, longest of 10 s",
        operation="put",
        unit=MILLISECONDS,
        contestants=(INTERVAL, REDIS, DISKCACHE),
        targets=(AtMost(0.100),),
    ),
    Swelling(
        name="interval.file",
        title="growth of the files in 10 s of puts",
        operation="put",
        unit=MEGABYTES,
        contestants=(INTERVAL,),
        targets=(AtMost(200e6),),
    ),
    Race(
        name="put.fsync",
        title="put, durability fsync",
        operation="put",
        contestants=(FSYNC, LMDB_SYNC),
        targets=(Within(1.5, LMDB_SYNC),),
    ),
    Race(
        name="put.aio",
        title="put in asyncio, 50 in flight; ringdict's are on disk",
        operation="put.aio",
        contestants=(FSYNC, ASYNCIO),
        targets=(Faster(2, ASYNCIO),),
    ),
    Race(
        name="update",
        title="update of 10,000 entries, per entry",
        operation="update",
        entries=BATCH_ENTRIES,
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, MANAGER, LMDB),
        targets=(Faster(3, REDIS),),
    ),
    Beside(
        name="beside",
        title="put beside another process's back-to-back updates, p99",
        unit=MILLISECONDS,
        contestants=(RINGDICT, REDIS, DISKCACHE, LMDB),
        targets=(AtMost(0.020),),
    ),
)

_WHOLE = (
    Race(
        name="items",
        title="items() over 100,000 entries",
        operation="items",
        entries=ENTRIES,
        unit=PER_SECOND,
        contestants=(RINGDICT, REDIS, MANAGER, LMDB),
        targets=(AtLeast(300_000),),
    ),
    Memory(
        name="items.memory",
        title="memory held while going through 100,000 entries",
        operation="items",
        unit=MEGABYTES,
        contestants=(RINGDICT,),
        targets=(AtMost(4e6),),
    ),
    Disk(
        name="disk",
        title="a million entries of 100 bytes on disk",
        peer=MILLION,
        unit=MEGABYTES,
        contestants=("allocated", "file size"),
        targets=(AtMost(340e6), AtMost(340e6, "file size")),
    ),
    Length(
        name="len",
        title="len(d) of that million",
        operation="len",
        contestants=(MILLION,),
        targets=(AtMost(0.001),),
    ),
    ImportTime(
        name="import",
        title="import in a fresh process, net of the bare interpreter",
        unit=MILLISECONDS,
        contestants=("ringdict", "redis", "diskcache", "bare interpreter"),
        targets=(AtMost(0.040),),
    ),
)

_MORE = (
    Race(
        name="pop",
        title="pop",
        operation="pop",
        contestants=(RINGDICT, REDIS, DISKCACHE, MANAGER),
    ),
    Race(
        name="cycle",
        title="take and free a lock: put if absent, then remove",
        operation="cycle",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE),
    ),
    Race(
        name="incr",
        title="incr",
        operation="incr",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE),
    ),
    Race(
        name="get.10kb",
        title="get of 10 KB",
        operation="get.10kb",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, MANAGER),
    ),
    Race(
        name="get.100kb",
        title="get of 100 KB",
        operation="get.100kb",
        contestants=(RINGDICT, REDIS, MEMCACHE, DISKCACHE, MANAGER),
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*_READS, *_WRITES, *_WHOLE, *_MORE, *CLUSTER_SCENARIOS)
