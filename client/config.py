"""Every limit of the cluster client: a name, a unit, and the reason for the number.

Those of values, keys and the embedded store stand in node/config.py.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# -- time ----------------------------------------------------------------------------------------

OPERATION_TIMEOUT_S = 5.0
"""Of a whole operation, all attempts together, where `Cluster` is not told otherwise."""

READ_PATIENCE_S = 0.5
"""How long an owner may take for a read before another is asked: a stopped node holds a call up for this
long, once. A node in health takes a thousandth of it."""

WRITE_PATIENCE_S = 1.2
"""As that, for a write: its coordinator itself waits for owners that do not answer."""

BATCH_PATIENCE_S = 2.0
"""As that, for one message of a batch, which is a thousand writes."""

PROBE_PATIENCE_S = 0.15
"""As that, of a node that did not answer last time, while others can be asked: so little does it cost the
one call that finds out whether it is back."""

GREET_PATIENCE_S = 0.5
"""How long a node may take to say who leads, as for a read."""

GREET_WAIT_S = 0.05
"""Between two rounds of asking who leads, while an election is under way: one takes some milliseconds."""

DECIDE_PATIENCE_S = 1.2
"""How long a leader may take to decide before it is asked again, or another is looked for: as for a write."""

REFUSED_HOLDERS_MAX = 1_024
"""Of those who were refused a lock, of how many it is remembered who held it: more than wait at one time in
one process. Whoever is forgotten asks again a moment later, as without a leader's word."""

LOCK_NOTICE_S = 2.0
"""How long a leader may take to say that a lock is free, before the lock is asked for again: so late is who
waits when that leader died without a word."""

LED_READS_S = 1.0
"""So long after an atomic operation of its own a client goes through a Dict at its leaders, who have shown it
to readers before they answered; other replicas do a fiftieth of a second later, if nothing goes wrong."""

LINGER_S = 0.000_150
"""After a get, look for the answer again and again for so long before going to sleep: a node on this host, or
in the same rack, has answered by then, and a thread that sleeps takes some 20 us to come back. Where it is
mostly in vain it is left off (node/network/linger.py)."""

CONNECT_TIMEOUT_S = 1.0
"""For a connection and its handshake: within it whoever lives answers, under load and far away."""

AVOID_S_MIN = 0.25
AVOID_S_MAX = 2.0
"""How long a node that did not answer is asked last, doubled up to this: one that is back is found again
within that time."""

BACK_OFF_S_MIN = 0.01
BACK_OFF_S_MAX = 0.3
"""Between two passes over the owners, none of whom could answer; doubled, and drawn at random from half of
it up, so that many clients do not come back together."""

REFRESH_INTERVAL_S = 1.0
"""Between two looks at where the nodes are, while one of them does not answer."""

SWEEP_INTERVAL_S = 0.02
"""Between two looks of an event loop's connection for questions whose time is over: so exact are their
timeouts, and a thousand open questions cost a thousandth of the loop's time."""

# -- counts --------------------------------------------------------------------------------------

OVERLOADED_PASSES_MAX = 3
"""Passes in which owners said that they have too much to do; then the caller hears it. More would add to
what is too much already."""

LOST_PASSES = 3
"""Rounds in which all that answered said that there is no quorum; then it is believed. One such answer may be
of a node that was just started, or was stopped for a second."""

GREETED_STRANGERS_MAX = 8
"""Members without a replica that are asked for a leader, too: enough of them to find one that is reached."""

UNKNOWNS_MAX = 3
"""Times that a leader may say that it does not know, of one operation; then that is what the caller hears."""

DECIDING_LANES_MAX = 64
"""Keys of one batch that are asked of their leaders at the same time: one sync of a disk serves those of one
leader. With four times as many, three nodes on two processors were so busy that heartbeats came late."""

CLEARED_DICTS_MAX = 64
"""Dicts of which a client knows that it cleared them, and at which version: some 10 KB each."""

REMEMBERED_KEYS_MAX = 16_384
"""Keys of which a client knows the newest stamp that it has seen. Twice as many are kept at the most, in
some 8 MB: reads of a key that was pushed out may go back in time."""

BATCH_KEYS_MAX = 1_000
"""Of one message of a batch: a few milliseconds of a node's time, in which it serves nobody else."""

BATCH_PIECE_BYTES_MAX = MIB
"""Of keys and values in one message of a batch, one entry at least: what stands in front of others' small
messages on the same connection."""

BATCH_CHAINS_MAX = 2
"""Messages of one batch that one node has at the same time: while it works on one the next is on its way."""

SHARES_MAX = 256
"""Sets of partitions kept for scans, one a node and set of nodes that do not answer: a few kilobytes."""

# -- bytes ---------------------------------------------------------------------------------------

SECRET_BYTES_MAX = 4 * KIB
"""Of a secret's file: it is none if it is longer."""

RECEIVE_BYTES = 64 * KIB
"""Asked of a socket at once; larger answers come in several."""

CLUSTER_VALUE_BYTES_MAX = 15 * MIB
"""A value travels in one frame, which has 16 MiB at the most, with its key and the fields around it."""

PAGE_PREFIX_BYTES_MAX = 4 * KIB
"""Of the prefix of an iteration: that of a key."""

LINE_BYTES_MAX = 64 * MIB
"""Waiting to be sent to one node by one event loop. Beyond it a question is not sent, and says so."""

LOCAL_RETRY_S = 2.0
"""Between two looks for a node on this host whose entries can be read past it: one question each."""

LOCAL_DICTS_MAX = 1_024
"""Dicts of which a client keeps what it needs to read them past a node, some hundred bytes each; beyond it
that is forgotten, and made again."""
