"""Limits and times of leading partitions; as node/config.py, of which it would be the half."""

from __future__ import annotations

KIB = 1024

HEARTBEAT_S = 0.25
"""Between two heartbeats to a node: three are lost before others stop trusting a leader."""

TICK_S = 0.125
"""Between two looks at who leads what: what a failover waits for it, on top, is half of that."""

STICKY_S = 0.8
"""So long after a leader was heard, nobody else is promised anything: two nodes that cannot talk to each
other would else take the lead from one another for ever."""

RESIGN_S = 0.5
"""A leader without answers of a majority for so long says that it is none: below `STICKY_S`, so that a cut
one-way wedges nothing."""

LOST_S = 0.8
"""A partition of whose owners no quorum has answered for so long is held for lost, and whoever asks for an
operation is told so at once: three heartbeats, as `STICKY_S`."""

RANK_WAIT_S = 0.4
"""How much longer the next in a row waits before it tries to lead, too: the one before it takes a few
milliseconds, unless it reaches no majority."""

BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 0.3
"""After a try that came to nothing: chance alone settles which of two tries again first."""

FOLLOW_S = 1.0
"""After an election, whoever had not promised is asked once more: by then nobody hears the leader before."""

CAMPAIGN_S = 1.0
"""A try that has no majority by then comes to nothing."""

RESEND_S = 0.1
"""What was not answered for so long is said again: above every round trip in health."""

HANDBACK_S = 10.0
"""Of health of a primary owner before another leader gives way to it: one that comes and goes leads
nothing."""

YIELD_S = 1.0
"""What a leader that gives way has begun ends within this, or it stays."""

RENEW_S = 0.005
"""Between two looks whether a leader that is to be elected anew has ended what it had begun: a round takes as
long."""

SETTLE_S = 0.7
"""A bucket that is not settled by then, since an acceptor that had promised is gone: whoever leads begins
anew with those that are there."""

SETTLING_PARTITIONS_MAX = 8
"""Partitions settled in the background at one time: enough to keep three disks busy, and calls get in
between."""

PAGE_BYTES = 256 * KIB
"""Of records in one frame between acceptors and leaders; at least one record whatever its size."""

PAGE_NAMES = 2_048
"""Names in one such frame: some 150 KB."""

LEARN_S = 0.02
"""Until followers hear of what was chosen: a few frames are saved, a local read is late by no more."""

RECORD_RESULTS = 4
"""Answers of the last operations on a key that can still be asked for: as many clients in a row can lose
one."""

SESSIONS_MAX = 10_000
"""Of clients known to one node, the least lately heard ones forgotten first: what they still ask for is
answered with `Unknown`."""

SESSION_RESULTS_MAX = 1_024
"""Answers kept for one session: it has no more calls open at one time."""

ANSWERS_BYTES_MAX = 64 * 1024 * KIB
"""Answers of all sessions together, with the values in them: of ten thousand clients that each popped
something large and asked for nothing since, the last ones keep theirs."""

QUEUE_REQUESTS_MAX = 512
"""Operations that wait for one key: about a second of them."""

PLAIN_READ_S = 0.5
"""For a majority of owners to tell a key's plain value, and to take the newest: as long as a leader stays one
without a majority."""

WAIT_S = 10.0
"""Whoever waits for a key looks again after that, told or not."""

WAITS_MAX = 10_000
"""Of those who wait for a key of one leader's partitions: 1 MB."""

RELAY_S = 1.0
"""How long an answer from the leader is waited for on behalf of a client that cannot reach it."""

TTL_MARGIN_RATIO = 0.1
"""So much longer than its time to live a lock is held: clocks may run apart by five percent each way."""

GRANTS_MAX = 100_000
"""Locks with a time to live whose grant one leader remembers the instant of; any other is counted from
a later instant, and held for longer."""

UNTOLD_NAMES_MAX = 100_000
"""Names accepted here of which it is not known that they are chosen: what a few seconds of writes leave."""

PURGE_AGE_S = 60.0
"""How long a record says "absent" before it is forgotten: a key that is taken and released all the time is
worth no purge each time."""

PURGE_LOOK_S = 0.25
"""Between two looks for such records, one stretch of one partition each."""

PURGE_PAGE_ROWS = 64
"""Records looked at in one go, and at most forgotten together: one transaction of an acceptor."""

PURGE_SCAN_BYTES = 256 * KIB
"""Of records looked at between two calls of the loop: some two milliseconds."""

PURGE_STEP_BYTES = 2 * KIB
"""What beginning a page costs, in such bytes: many partitions have no record at all."""

PURGE_TRY_S = 3.0
"""For all replicas to accept and to forget them; after that it is begun anew some time later."""

FORGET_ROWS_MAX = 2_048
"""Records that a node forgets in one transaction when a partition is no longer its own."""
