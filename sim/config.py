"""Every limit, time and range of the simulator: a name, a unit, and the reason for the number."""

from __future__ import annotations

NS = 1
US = 1_000 * NS
MS = 1_000 * US
S = 1_000 * MS

# -- the run -------------------------------------------------------------------------------------

CHUNK_EVENTS = 4096
"""Of one digest of the journal: a chunk is what has to be compared by eye-sized pieces when two runs differ,
and hashing so many at once costs a quarter of a microsecond each."""

HASH_BYTES = 16
"""Two different runs of one seed would have to collide by chance, not by malice: 128 bits are plenty."""

SLICE_NS = 100 * MS
"""Of virtual time between two looks at the journal: bounds what is pending, and costs nothing."""

EVENTS_MAX = 20_000_000
"""Of one run: a process that talks to itself for ever ends as a failure, not as a hang."""

WALL_START_NS = 1_767_225_600 * S
"""What wall clocks show when a run begins: 2026-01-01, far from zero, as in life."""

MONOTONIC_START_NS_MAX = 10_000 * S
"""Monotonic clocks of hosts begin anywhere up to here: nobody may compare those of two hosts."""

RESTART_NS = 500 * MS
"""After this a supervisor starts a process again that halted by itself, as systemd or Kubernetes do."""

# -- the network ---------------------------------------------------------------------------------

LATENCY_NS_MIN = 300 * US
"""Of a link, one way: a round trip between two racks."""

LATENCY_SPREAD_NS = 700 * US
"""Links differ by up to this."""

# -- the disk ------------------------------------------------------------------------------------

SYNC_NS_MIN = 200 * US
"""Of an fsync on a good solid-state disk."""

SYNC_SPREAD_NS = 800 * US
"""Syncs differ by up to this."""

WRITE_NS = 20 * US
"""From a commit to the operating system's own memory, which the death of a process does not lose."""

FLUSH_NS = 1 * S
"""How long the operating system may keep what nobody asked it to sync."""

TURNED_BIT_RATIO = 0.25
"""Of power cuts that hit a write leave a turned bit, not just a missing end: sectors are torn, too."""

SECTOR_BYTES = 512
"""Where that bit is: in the last sector that was being written."""

# -- checks --------------------------------------------------------------------------------------

STATES_MAX = 300_000
"""Looked at by the linearizability checker for one key before it says that it does not know."""

OPERATIONS_MAX = 1_000_000
"""Of one run."""

# -- tools -----------------------------------------------------------------------------------------

SHRINK_RUNS_MAX = 3_000
"""Tried while shrinking, most of them a few milliseconds long: about a minute at the most."""

SHRINK_LUCKS_MIN = 8
SHRINK_LUCKS_MAX = 64
"""Rolls of the dice that a smaller plan is tried with: the shorter it is, the more, for the same work."""

SUBPROCESS_TIMEOUT_S = 300
"""Of one run in another process: a hundred times what the longest takes."""

# -- shells --------------------------------------------------------------------------------------

RETRANSMIT_NS = 200 * MS
"""After this a connection sends again what was lost: the least that Linux waits."""

BREAK_NS = 5 * S
"""A connection that gets nothing through for so long breaks; real ones hold out longer, to nobody's good."""

WINDOW_BYTES = 256 * 1024
"""Sent and not read on one connection: beyond it the sender waits, as it does on a full socket buffer."""

IDLE_ROUNDS_MAX = 1_000
"""Looks at a clock that has nothing to come and no deadline before a run is called deadlocked."""

TICK_NS = 50 * US
"""What comes over a connection comes at a multiple of this: trio's own turn costs more than a message, and
serves all that have come at one instant."""

REPORT_MESSAGES_MAX = 100_000
"""Drawn in one report: some ten megabytes of a page that still opens at once."""
