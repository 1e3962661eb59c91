"""Every limit and time of ringdict: a name, a unit, and the reason for the number.

Rules of this file:
1. A number that bounds something (a size, a count, a wait) stands here and nowhere else.
2. Its last words are its unit, then ``max`` or ``min`` where it is a bound.
3. Formats (codes, struct layouts) are not limits: they stand with what they encode.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

# -- names, keys and values ----------------------------------------------------------------------

DICT_NAME_CHARS_MAX = 64
"""Long enough for a path-like name, short enough for one line of a table."""

KEY_BYTES_MAX = 4 * KIB
"""Of one encoded key. A key travels in every message about it; a larger one belongs into a value."""

KEY_INLINE_BYTES_MAX = 440
"""LMDB keys end at 511 bytes; Dict id, partition and key space take 11 of them."""

KEY_HEAD_BYTES = 425
"""What an over-long key keeps of itself in the LMDB key, before a 16-byte hash. Prefixes of up to this
length can still be found by seeking, and the sum, 441, is longer than any key stored in full: no short
key can be taken for a long one."""

KEY_DEPTH_MAX = 32
"""Of tuples and frozensets inside each other in a key: bounds the recursion of encoder and decoder."""

VALUE_BYTES_DEFAULT = 100 * KIB
"""The reference's limit for one value; raised per store or cluster, up to `VALUE_BYTES_MAX`."""

VALUE_BYTES_MAX = 64 * MIB
"""A value is held whole in memory by writer, store and reader, and copied a few times on its way."""

VALUE_DEPTH_MAX = 128
"""Of containers inside each other in a value: far from the C stack's end in every codec used."""

# -- the store -----------------------------------------------------------------------------------

MAP_BYTES = TIB
"""Reserved address space, not disk: large enough never to grow, which would invalidate the open
transactions of every process. Where the system refuses it the store starts smaller and grows."""

MAP_BYTES_MIN = 64 * MIB
"""The smallest map worth opening (a strict `ulimit -v`)."""

RESERVE_RATIO = 0.125
"""By so much of its size a reserved data file grows at a time, since every process must then map it anew,
which takes some microseconds."""

RESERVE_BYTES_MIN = MIB
"""A reserved file begins with this, and grows by no less."""

RESERVE_BYTES_MAX = 16 * MIB
"""It grows by no more: what is reserved and not used is lost to others."""

LOST_STAMPS_MS = 10_000
"""Once a store went back to a sync point, the first stamp is that much higher still: above those of the
writes that were lost, which may have been of more than a second on a slow disk."""

STAMP_RESERVE_MS = 1_000
"""How far the stamps of a Dict may run ahead of what its record says. After a boot of the host the first
stamp is that much above all records: no stamp is given twice, and time jumps by no more."""

OPEN_ATTEMPTS_MAX = 100
"""Of opening a store that others are growing meanwhile: each of them has doubled it."""

READERS_MAX = 8192
"""Slots for read transactions open at one moment, over all processes (64 bytes of lock file each): 250
processes of 32 threads."""

FULL_BYTES = MIB
"""With less room than this, a commit that the disk refused was refused for want of room."""

GATE_TIMEOUT_S = 5.0
"""How long a write waits for other writers before `UnavailableError`. The longest transaction of a
healthy store, an update of 10,000 large entries, holds the gate well under a second."""

ENTER_TIMEOUT_S = 5.0
"""How long opening a store waits for a process that settles, compacts, or uses it otherwise."""

GATE_POLL_S_MIN = 0.000_1
GATE_POLL_S_MAX = 0.002
"""`flock` has no timed form, so a waiting writer polls, ever slower up to this: a put's latency beside
other writers grows by at most one poll, and fifty waiting processes cost a few percent of a core."""

COMMIT_PAGES = 5
"""A commit writes about so many, whatever is in it: a path in LMDB's tree and one in its list of free pages.
An estimate, for when to sync."""

WRITE_PAGES = 1
"""And so many more for each write, the value's own aside."""

FORK_WAIT_S_MAX = 10.0
"""How long a fork waits for the transactions of other threads before it goes ahead with a warning."""

BATCH_ENTRIES_MAX = 10_000
"""Of one transaction of `update`, `delete_many`, `get_many`: bounds how long others wait for the gate."""

BATCH_BYTES_MAX = 64 * MIB
"""Of keys and values in one such transaction; at least one entry goes in whatever its size."""

PAUSE_POLL_S = 0.000_05
"""Between two looks whether the last read transaction has ended, which takes microseconds."""

POP_ATTEMPTS_MAX = 100
"""Of a pop that decodes first and removes if nobody wrote meanwhile; then it removes what is there."""

GROUP_REQUESTS_MAX = 1_000
"""Writes of event loops and contending threads that share one transaction (group commit)."""

WRITER_QUEUE_REQUESTS_MAX = 100_000
"""Writes waiting for the writer thread; beyond it a write is refused at once, not queued for ever."""

WRITER_IDLE_S = 10.0
"""After this long without work the writer thread ends; the next request starts another."""

STALE_READERS_COMMITS = 1_000
"""Every so many commits, slots of readers that died are cleared: a dead reader's snapshot pins pages."""

PAGE_ENTRIES_MAX = 256
"""Of one page of an iteration: about half a millisecond of an event loop's time."""

PAGE_JUMPS_MAX = 512
"""Seeks of one page of a prefix iteration, which needs up to two per partition: half a millisecond."""

PAGE_BYTES_MAX = 4 * MIB
"""Of values in one page: what an iteration holds in memory; at least one entry whatever its size."""

STORE_BYTES_MIN = 4 * MIB
"""The smallest limit of a store: below it, its own records would leave no room."""

STORE_SLACK_BYTES = 16 * MIB
"""So much further a store at its limit may grow for what only removes, since LMDB removes by writing new
pages."""

# -- syncing (durability `interval`) --------------------------------------------------------------

SYNC_DELAY_S = 0.8
"""After a first write that is not on disk, a sync point is taken so much later: with the time that takes,
about a second is lost at the most in a power cut."""

SYNC_PAGES = 12_000
"""Pages written since the last sync point that make the next one due at once (48 MB): none of them can be
used again before it."""

UNSYNCED_PAGES_MAX = 36_000
"""With so many (144 MB), writers wait a little before each write: bounds how far the file grows beyond what
the store needs, on a disk slower than its writers."""

SYNC_PACE_S = 0.02
"""What such a writer waits: fifty writes a second are slower than any disk."""

SYNC_POLL_S = 0.05
"""Between two looks of the keeper's thread whether a sync point is due."""

SYNC_RETRY_S = 1.0
"""After a sync point that did not come off, since the disk is full or the process out of descriptors."""

SYNC_IDLE_S = 10.0
"""After so long without a write the keeper's thread ends; the next write starts another."""

SYNC_TAKING_S = 2.0
"""So long other processes leave it to the one that began a sync point, before they take one themselves: it
may have been stopped."""

# -- sweeping ------------------------------------------------------------------------------------

SWEEP_ENTRIES_MAX = 512
"""Dead entries looked at in one transaction: it holds the gate for a few milliseconds."""

SWEEP_PAUSE_S = 0.005
"""Between two such transactions while there is a backlog: sweeping takes at most half of the gate."""

SWEEP_INTERVAL_S = 1.0
"""Between two looks at expiry while entries with a time to live exist."""

SWEEP_IDLE_S = 30.0
"""After so long with nothing to sweep the thread ends; the next write that needs it starts another."""

HEARTBEAT_INTERVAL_S = 60.0
HEARTBEAT_TIMEOUT_S = 300.0
"""An ephemeral Dict lives while its owner's heartbeat is younger than this: five missed beats."""

SILENCES_MAX = 256
"""Ephemeral Dicts that a member asks about at once, and ends: those of a whole host of owners that died. The
others follow with the next look."""

# -- locks ---------------------------------------------------------------------------------------

LOCK_TTL_DEFAULT_S = 30.0
"""How long a lock outlives a holder that died."""

LOCK_POLL_S_MIN = 0.001
LOCK_POLL_S_MAX = 0.025
"""A waiting `acquire` looks again after this long, ever slower: a look is a memory read."""

TTL_S_MAX = 100 * 366 * 86_400
"""A century: beyond it an expiry instant no longer fits the entry's arithmetic, and means never."""

# -- event loops ---------------------------------------------------------------------------------

LOOP_TURN_S_MAX = 0.001
"""How long reads from memory may keep an event loop to themselves before they let others run."""

# -- tools ---------------------------------------------------------------------------------------

COMPACTION_POLL_S = 0.1
"""Between two reports of a compaction's progress."""

BACKUP_BLOCK_BYTES = MIB
"""Of rows behind one checksum in a backup: what making one holds in memory."""

BACKUP_BLOCK_BYTES_MAX = 68 * MIB
"""A block may be longer by one value, of up to `VALUE_BYTES_MAX`, with its key and header; no more is read
into memory of a length that may be damaged."""

BACKUP_RATE_BYTES_S = 64 * MIB
"""What a backup or a check reads a second unless it is told otherwise: an eighth of a common disk, so that
clients hardly notice, and 200 GiB in an hour."""

VERIFY_ROWS_MAX = 2_048
"""Of one snapshot of a check, some milliseconds: a longer one would keep the store from using pages again."""

RESTORE_BYTES_MAX = 16 * MIB
"""Of rows in one transaction while a store is made of backups: what is in memory at once."""

# -- between nodes -------------------------------------------------------------------------------

FRAME_BYTES_MAX = 16 * MIB
"""Of one frame between processes. What is larger is sent in pages; it is what a receiver must hold in memory
before it can judge."""

FRAME_VALUE_BYTES_MAX = 15 * MIB
"""Of a value in a cluster, whatever a node is told: it travels in one frame, with its key and what is around
it."""

DATAGRAM_BYTES_MAX = 1_400
"""Of one datagram: passes every common network in one packet, tunnels and sealing included."""

PEER_QUEUE_BYTES_MAX = 32 * MIB
"""Waiting for one peer that does not take them; beyond it frames are dropped, as on a broken line."""

STORAGE_KEY_BYTES_MAX = 500
"""Of a key in a node's storage: LMDB's own limit is 511."""

STORAGE_VALUE_BYTES_MAX = 64 * MIB
"""Of a value in a node's storage: as large as a user's value may be."""

STORAGE_MAP_BYTES = 64 * MIB
STORAGE_MAP_BYTES_MAX = TIB
"""Address space of a node's storage: what a node decides by is small, so it begins small and doubles. Only
one process maps it, which makes growing cheap."""

LOG_FILE_BYTES = 4 * MIB
"""Of each of the two files of a storage's log (node/disk/synclog.py): some eight thousand small commits, of
which LMDB then gets the outcome in one transaction. Twice as much is held in memory at the most."""

LOG_RECORD_BYTES_MAX = MIB
"""Of one write to the log. What is more goes to LMDB itself: it would be written twice otherwise."""

SYNC_IN_TURN_S_MAX = 0.001
"""While a sync of the log takes no longer, on the average of the last ones (LOG_MEMORY_TRIES), a node
waits for it in its own thread: handing it to another and hearing of it costs more. What is slower goes to a
thread, so that neither reads nor heartbeats wait for a slow disk."""

LOG_MEMORY_TRIES = 8
"""How many syncs the average goes over: one that takes 10 ms is enough to send the next to a thread."""

LOG_TRIES = 64
"""Of so many writes to a log that is slow, one is waited for in the node's own thread all the same."""

LOG_TURN_BYTES_MAX = 256 * KIB
"""Written to the log in a node's own thread. What is more goes to a thread, however fast the disk is."""

TURN_WRITE_BYTES_MAX = MIB
"""Written in a node's own thread at the end of a turn: about a millisecond. What is more goes to a thread."""

PAGE_SHOWN_BYTES_MAX = 3 * KIB
"""What a node shows to the clients on its host: one page of memory, and a bit for each partition fits
well."""

PAGE_SHOWN_INTERVAL_S = 0.25
"""A node shows its page again so often: it costs a word of memory."""

PAGE_LOOK_SHOWINGS = 4
"""What is on the page is put together anew once in so many showings, a second: that takes half a millisecond.
Whatever must not be read any more is put on it at once."""

PAGE_SHOWN_AGE_S_MAX = 1.0
"""Nobody believes an older one: a node that was killed or stopped is read no more after a second, and one
that is late by four turns still is."""

CONNECT_TIMEOUT_S = 2.0
"""For a connection to be made: beyond it the peer is as good as dead."""

RECONNECT_DELAY_S_MIN = 0.05
RECONNECT_DELAY_S_MAX = 1.0
"""After a connection that failed, before the next: doubled up to this, so that a peer that comes back is
found within a second and one that is gone costs nothing."""

RECEIVE_BYTES = 64 * KIB
"""Read from a connection at once: some hundred frames, a fraction of a millisecond of the process's time."""

SEND_BYTES = 256 * KIB
"""Given to a socket at once where many frames wait: what its buffer takes, without copying more than that."""

CLIENTS_MAX = 12_000
"""Clients connected at once; one more is refused in words. Each costs about 3 KB here, as much in the kernel
while it is idle, and a file descriptor."""

CONNECTIONS_MAX = 16_384
"""Accepted and open at once, peers and those who have not said yet who they are included: clients alone
cannot lock peers out."""

SPARE_DESCRIPTORS = 256
"""File descriptors kept for all but accepted connections: stores, peers, what libraries open."""

STRANGERS_MAX = 1_024
"""Connections whose handshake is not over: of one more than that, the oldest is closed. Honest ones need some
milliseconds, so strangers who only connect keep nobody out."""

HANDSHAKE_TIMEOUT_S = 5.0
"""For the whole handshake, whoever is slow in it: a few round trips around the world."""

PROGRESS_TIMEOUT_S = 30.0
"""For a frame that has begun to arrive to be whole, and for the next byte of what waits to be sent to be
taken: 16 MB over a line of 5 Mbit/s, and no reason to sit on a connection."""

PROGRESS_POLL_S = 1.0
"""Between two looks at the connections that owe something."""

CLIENT_PAUSE_BYTES = MIB
"""With so much unsent a client's further requests wait: who asks for more than it reads slows itself down,
and nobody else."""

CLIENT_QUEUE_BYTES_MAX = 64 * MIB
"""Unsent to one client, after which it is cut off: answers that were already under way when it was paused."""

LINES_BYTES_MAX = 256 * MIB
"""Unsent to all clients together, and as much again half received from all connections: beyond it the
connection that holds most is cut off, until it fits."""

KEEPALIVE_IDLE_S = 30
"""A connection that is silent for so long is tried out by the kernel, with one small packet."""

KEEPALIVE_S = 10
"""Between further attempts, if nothing comes back."""

KEEPALIVE_PROBES = 3
"""So many in vain, and the connection is over: a host that vanished without a word is noticed in a minute."""

PEER_TIMEOUT_S = 5.0
"""For a peer's host to take what was sent to it: beyond it the connection is made anew, since the old one
would wait ever longer for a host that may be back."""

ACCEPTS_MAX = 64
"""Connections accepted in one turn: a flood of them leaves the turn to the others after a millisecond."""

EVENTS_MAX = 256
"""Ready sockets served in one turn: some milliseconds, then what was put off has its turn."""

COLLECT_YOUNG_OBJECTS_MAX = 20_000
"""Objects that Python's garbage collector lets a node make before it looks at them: about a millisecond's
work every second under load. A node makes next to no cycles."""

COLLECT_OLDER_TRIES = 20
"""Of so many looks at young objects, one goes over those that outlived one, too."""

SERVE_S_MAX = 0.005
"""How long the connections may keep the event loop to themselves while there is ever more to do. Timers and
datagrams are looked after meanwhile; what waits are signals and new connections to other nodes."""

STOP_TIMEOUT_S = 5.0
"""For a node that was asked to stop to finish what it has begun and to take its leave: orchestrators kill
after 10 s or more."""

STOP_POLL_S = 0.02
"""Between two looks whether its last answers have gone out."""

READY_POLL_S = 0.5
"""Between two looks whether a node is ready, which take a fraction of a millisecond each: faster than any
orchestrator asks, and nothing beside an idle node's thousandth of a core."""

LINGER_S = 0.000_040
"""After a turn that served, look again for so long before going to sleep: waking up costs as much, and a
client that waits for its answer asks again within that time."""

LINGER_RATIO_MIN = 0.6
"""The part of lingers that must find something for them to pay: a linger in vain costs what one that finds
something saves, and keeps others from the processor where there are more processes than processors."""

LINGER_MEMORY_TRIES = 8
"""Over about so many lingers that part is taken."""

LINGER_TRIES = 32
"""While lingers do not pay one of so many turns lingers, to find out whether they would by now: that costs
about one microsecond a turn."""

NAP_S = 0.003
"""After a turn that served, sleep for so long before Trio is let in: whoever waits for Trio (signals, new
connections to other nodes) waits that much longer. Epoll counts in milliseconds."""

PEERS_MAX = 4_096
"""Whom frames are queued for at once."""

DATAGRAM_ROUNDS_MAX = 16
"""So many times DATAGRAMS_MAX are heard before a timer runs; a socket's buffer holds fewer by default, and
who sends faster than they are heard stops no timer."""

LATE_TIMERS_NS = 50_000_000
"""A timer that is later than this was kept waiting by a loop that was blocked: whatever has arrived
meanwhile, over connections, too, is heard before it runs."""

DATAGRAMS_MAX = 256
"""Taken from the socket in one turn: whatever has come is looked at before any timer is."""

ADDRESS_BYTES_MAX = 280
"""Of an address that a stranger gives as its own: a host name of 253, a port, brackets."""

SECRETS_POLL_S = 2.0
"""Between two looks at the file of secrets: an operator waits no longer, and a look costs 0.1 ms."""

SECRETS_MAX = 8
"""Of a cluster at one time, as on the keyring of gossip: one is in use, one comes, one goes, and somebody
forgot to remove the others."""

HANDSHAKE_BYTES_MAX = 1_024
"""Of one frame of a handshake, which strangers send: an address of 280 bytes, two numbers of 32, eight
proofs of 34, a refusal in words."""

REFUSAL_CHARS_MAX = 300
"""Of the words with which somebody unproved refuses a connection, as they are shown."""

BREAKER_MISSES = 3
"""Questions in a row without an answer after which a peer is taken for unreachable. One may be lost with its
connection; a dead peer costs three timeouts, once."""

BREAKER_RETRY_S = 0.25
"""Until the next question goes through to a peer that was taken for unreachable: one that is back is found
within a quarter of a second."""

# -- replicas -------------------------------------------------------------------------------------

SCAN_ROWS_MIN = 16
SCAN_ROWS_MAX = 256
"""Rows read from the storage at once: few at first, more while they turn out small. What is read comes with
its values, which may be of any size."""

COUNT_ROWS_MAX = 2_048
"""Entries looked at for one `Count`: about two milliseconds of the node's time."""

MEASURE_ROWS_MAX = 512
"""Entries added up in one turn of the node, when a partition's sum is not known yet: half a millisecond."""

PLACES_ROWS_MAX = 2_048
"""Of one answer to `AskPlaces`: some 200 KB, two milliseconds of the node's time."""

ROWS_BYTES_MAX = MIB
"""Entries of one frame between replicas when they repair each other; at least one entry whatever its size.
Small enough for calls of clients to get in between."""

PIECE_BYTES = MIB
"""Of an entry that fits into no frame, at once: as much as other entries of a frame."""

FRAME_ROWS_MAX = 512
"""Entries of one such frame: a few milliseconds of the receiver's time."""

PAGE_DICTS_MAX = 512
"""Dicts in one answer: some 100 KB."""

NAMES_INTERVAL_S = 2.0
"""Between two members asked whether they know the same names: one message of some 50 bytes. Of a cluster of
five, all know of a Dict made behind a broken line within seconds of its mending."""

NAMES_TIMEOUT_S = 1.0
"""For an answer about names: whom making a Dict waits for at the most."""

TALLY_TOTALS_MAX = 64
"""Sums that a partition had lately, kept so that two replicas under load can be found equal: some 3 MB if
all partitions are written to."""

COMPARISON_INTERVAL_S = 5.0
"""Between two comparisons of a pair of nodes that were equal: two small messages. What was missed in spite of
hints is found within this."""

COMPARISON_RETRY_S_MIN = 0.25
COMPARISON_RETRY_S_MAX = 1.0
"""After a comparison that did not come off, until the next: doubled up to this. It is also how soon a peer
that is back is found."""

COMPARISON_TICK_S = 0.25
"""Between two looks whom to compare with."""

COMPARISON_SETTLE_S = 0.2
"""When sums differ, until they are held against what has come in meanwhile: writes under way need
milliseconds, and reading a partition through because of them would cost far more."""

COMPARISON_TIMEOUT_S = 1.0
"""For an answer of a peer that is busy with clients, or has to store entries first."""

SCRUB_TICK_S = 1.0
"""Between two steps of reading everything through for flipped bits."""

SCRUB_ROWS_MAX = 512
"""Entries read in one of them: a thousandth of a core. A million entries are read through in half an
hour."""

SCRUB_PARTITIONS_MAX = 64
"""Partitions looked at in one of them, where they hold little: a small store is read through in 16 s."""

REPAIR_SAMPLE_READS = 256
"""Of so many reads of single keys one is looked up at another owner, too: two small messages, less than a
hundredth of what the reads cost."""

REPAIR_PLACES_MAX = 1_024
"""Places that wait to be looked up at other owners: some 200 KB. Beyond that replicas differ so much that
comparing them finds it sooner."""

REPAIR_PAUSE_S = 0.01
"""Before each such look: at most a hundred a second, whatever is read."""

REPAIR_TIMEOUT_S = 0.5
"""For an answer to one: nobody waits for it, and comparisons find what it misses."""

COMPARISONS_MAX = 2
"""That a node has under way at once of its own: repair takes its turn behind clients."""

MISSED_LOOK_S = 0.1
"""After a node had no room for a write, until it asks the other owners whether they took it: by then they
did, or will not."""

OWNER_SILENCE_S = 10.0
"""An owner that gave no answer for so long is not waited for any more: a partition is served, or goes over to
a new owner, without having been compared with it."""

MOVE_RATE_BYTES_S = 64 * MIB
"""What a node moves a second, taken over and handed on together, unless it is told otherwise: half of a
network of 1 Gbit/s, so that clients have the rest. 100 GiB take half an hour."""

LEFTOVER_LOOKS_MAX = 4
"""Partitions looked at in one tick, whether something is left there that others keep now: a new ring has
been looked through after about a minute."""

# -- what is dead ----------------------------------------------------------------------------------

COLLECT_INTERVAL_S = 60.0
"""Between two looks through a partition that has something dead in it: with a thousand entries in each of a
thousand partitions that is a percent of a core."""

COLLECT_TICK_S = 0.25
"""Between two steps of looking for what is dead."""

COLLECT_ROWS_MAX = 2_048
"""Entries looked at in one tick: some two milliseconds, and eight thousand a second."""

PURGE_DELAY_S = 60.0
"""From when something dead was seen until the others are asked whether it may be purged: whatever was on its
way when it died has arrived by then, or is a hint."""

PURGE_ASK_S = 2.0
"""Between two questions of one who would like to purge: a comparison of each pair comes every 2.5 to 5 s."""

PURGE_TIMEOUT_S = 1.0
"""For the answer, which is known at once."""

PURGE_PARTITIONS_MAX = 128
"""In one question: some kilobytes."""

PURGE_AWAY_S = 24 * 3_600
"""An owner that was silent for so long is not waited for any more, if a majority is there: what it alone has
from before is lost, if it ever comes back (docs/consistency.md)."""

PURGE_AWAY_S_MIN = 600
"""The same for a partition with more than PURGE_ROWS_MAX dead entries."""

PURGE_ROWS_MAX = 65_536
"""Dead entries of one partition that are kept for an owner that is away: some six megabytes, and six
gigabytes if all partitions have as many."""

PURGE_WATCH_S = 60.0
"""A node that was asked whether a partition may be purged goes on watching for so long after the last
question."""

# -- hints ---------------------------------------------------------------------------------------

HINTS_BYTES_MAX = 64 * MIB
"""For one node that cannot be reached; beyond it writes to it are left to the comparison of partitions."""

HINT_AGE_S_MAX = 3 * 3_600
"""So old a hint is dropped if this node keeps the entry itself: the comparison of partitions delivers it."""

HINT_TICK_S = 0.25
"""Between two looks at whom something can be delivered to."""

HINT_RETRY_S_MIN = 0.25
HINT_RETRY_S_MAX = 2.0
"""After a delivery without an answer, until the next: doubled up to this. Each is one question to a peer that
is most likely down."""

HINT_ROWS_MAX = 256
"""Of one delivery; halved when there is no answer, so that a peer that is too slow for it gets less."""

HINT_BYTES_MAX = 256 * KIB
"""Of one delivery; at least one entry whatever its size."""

HINT_PAUSE_S = 0.01
"""Between two deliveries to one node: a stream of up to 25 MB a second, and time for clients in between."""

HINT_TIMEOUT_S = 2.0
"""For the answer to a delivery, which the receiver must have stored."""

# -- epochs ----------------------------------------------------------------------------------------

EPOCH_STEP_S = 1.0
"""For the answer of a voter to one question: a sync of a slow disk on both sides, and the largest decree."""

EPOCH_BACK_OFF_S_MIN = 0.05
EPOCH_BACK_OFF_S_MAX = 2.0
"""Before an attempt at an epoch is repeated: drawn from a range that doubles with each, so that of two
proposers that outbid each other one is soon alone."""

CHANGE_S_MAX = 8.0
"""A change of the ring that was not decided by then is given up: who asked has asked again, or elsewhere."""

CHANGES_MAX = 64
"""Changes of the ring that wait on one node. One is decided in some ten milliseconds."""

ASKERS_MAX = 64
"""Who wait for one change."""

DECREE_TIMEOUT_S = 2.0
"""For a decree: two MiB over a slow line."""

NEWER_NODES_MAX = 256
"""Nodes that are known to go by a newer ring, to be asked for it: as many as a ring has members."""

FOREIGN_NODES_MAX = 1024
"""Nodes of other clusters that are remembered, in order not to ask them again."""

COMPLAINTS_MAX = 64
"""Complaints that are kept. Each is made once; with more, the oldest is forgotten."""

JOIN_RETRY_S_MIN = 0.2
JOIN_RETRY_S_MAX = 5.0
"""Before a newcomer asks again, another member: a cluster without a majority is asked for ever, gently."""

JOIN_TIMEOUT_S = 10.0
"""For the answer to a newcomer: longer than a member tries."""

FLIP_INTERVAL_S = 1.0
"""Between two epochs of flips: a batch is all that became ready meanwhile, and each epoch costs every node
and client a new ring."""

FLIP_PATIENCE_S = 3.0
"""For each rank below the senior voter, before a voter looks whether those above it live."""

FLIP_STALL_S = 30.0
"""For each rank: if no epoch came for so long while something is pending, a voter goes on by itself, though
those above it live."""

# -- gossip --------------------------------------------------------------------------------------

KEEP_MEMBERS_INTERVAL_S = 2.0
"""Between two commits of who is known: what is lost with a crash in between, others tell again."""

RESOLVE_PAUSE_S_MIN = 0.5
RESOLVE_PAUSE_S_MAX = 10.0
"""Between two looks at the names of seeds while nobody is found, doubled each time, for ever."""

RESOLVE_INTERVAL_S = 30.0
"""The same once others are here: names of containers come to mean other addresses within a minute."""

RESOLVE_TIMEOUT_S = 5.0
"""Of looking one name up: a name server that is gone must not keep the other names waiting for long."""

SEEDS_MAX = 1_024
"""Addresses of all seeds together: as many members as a headless service is likely to have."""

MEMBER_EVENTS_MAX = 4_096
"""Events about members that wait for code which is slow to take them: one for each of as many members."""

SCAN_ENTRIES_MAX = 1_024
"""Read from a node's storage in one call, where all of a range is wanted."""
# -- stamps and writes ----------------------------------------------------------------------------

SKEW_MS_MAX = 500
"""How far the clocks of two nodes may be apart (`max_skew`): further is alarmed, and followed no further."""

FLOOR_AHEAD_MS_MAX = 24 * 3_600_000
"""How far what a client claims to have seen may lie ahead of a node's clock and be believed: clocks that are
wrong by a time zone are. A stamp near the end of all time would be the last of its partition."""

STAMP_AHEAD_MS = 400
"""Stamps are reserved on disk so far ahead, twice a second under load. A node that restarts begins there:
within `SKEW_MS_MAX`, so that a restart alone alarms nobody."""

FLOOR_TIMEOUT_S = 0.2
"""For a replica to say its highest version: whoever is slower is left out of a new tenure."""

REPLICATE_TIMEOUT_S = 0.3
"""For a replica to take a write, after which it gets a hint."""

RELAY_TIMEOUT_S = 0.55
"""For the node that a write was passed on to: both questions of its own, and the way. With both of them once
more by this node itself it stays within a client's patience (1.2 s)."""

RELAYS_MAX = 2
"""Of one write, in vain: a third would outlast the client's patience."""

RETRY_DELAY_S = 0.02
"""Before a replica that is behind is told again: the time in which it fetches a newer ring."""

STAMPS_MAX = 8
"""Stamps of one write, each above what a replica answered. More means that others write the key faster than
this node can, and nobody knows who is the last."""

WRITE_SPAN_S = 2.0
"""After which a write gets no stamp any more: its client has asked elsewhere after 1.2 s, and may have
written something newer, which a late stamp would be above. No less than three owners take who do not answer,
before the write is kept for them."""

PROBE_INTERVAL_S = 0.25
"""Between two looks for peers that were taken for unreachable: one that is back is found within half a
second, and no write has to find it out."""

PROBE_TIMEOUT_S = 0.25
"""For such a peer to answer."""

WRITES_MAX = 4_096
"""Writes under way that a node coordinates; one more is refused at once. At 1 ms each that is four seconds
of work, longer than any client waits."""

WRITES_BYTES_MAX = 64 * MIB
"""Of keys and values in them."""

REQUEST_KEYS_MAX = 4_096
"""Of one request of a client: some ten milliseconds of a node's time, in which it serves nobody else."""

RECORD_BYTES_MAX = 4 * KIB
"""Of a Dict's record, which every member keeps and tells: two names, who made it, two numbers."""

OPERATIONS_MAX = 4_096
"""Writes whose answer is known still when their request comes again: some seconds of them under load."""

CLEAR_KEYS_DICTS_MAX = 16
"""Dicts whose clears' keys are remembered, 1,024 of 5 bytes each: finding them takes some 3 ms."""

CLEAR_ROWS_MAX = 512
"""Entries that a clear covers, removed at one time: some 2 ms, between which others get in."""

CLEAR_SCAN_ROWS = 4_096
"""Marks of clears read at one time, at a start."""

INHERIT_ROWS_MAX = 1_024
"""Entries looked at at one time, for what a folder brings along into a cluster: some 3 ms, one sync for all
records that they make."""
