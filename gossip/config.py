"""Every limit and time of gossip: a name, a unit, and the reason for the number.

Rules of this file:
1. A number that bounds something, or that a measurement chose, stands here and nowhere else.
2. Its last words are its unit, then ``max`` or ``min`` where it is a bound.
3. What a cluster may be tuned by is a field of `Settings`; its default is one of these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

# -- failure detection ---------------------------------------------------------------------------

PROBE_INTERVAL_S = 1.0
"""One peer is probed in each: SWIM's protocol period. Load a node is then the same at any size."""

PROBE_TIMEOUT_S = 0.5
"""For the direct answer; the second half of the round is for indirect probes and the stream."""

INDIRECT_PROBES = 3
"""Helpers that are asked to probe a peer which did not answer, as in memberlist."""

NACK_RATIO = 0.8
"""A helper says that it got no answer after this share of the time that is left after `PROBE_TIMEOUT_S`, so
that the nack is back before the round ends. It is of the unscaled times: a helper does not know the health of
who asks."""

SUSPICION_ROUNDS = 4
"""Rounds, times log10(n), that a suspect has at least to refute: memberlist's number."""

SUSPICION_FAST_ROUNDS = 3
"""Of the preset `FAST`: a crash is found 1.7 s sooner at 50 nodes, and a node that stood still for 5 s is
dead."""

SUSPICION_RATIO_MAX = 6
"""How much longer a suspicion lasts that nobody confirms (Lifeguard)."""

SUSPICION_SCALE_RATIO_MIN = 1.16
"""The least for log10(n): with 4 rounds a suspect has 4.64 s at least. Who could not answer for 5 s is back
in time, even if the ping right before was lost, helpers were asked at once, and said nack 0.4 s later."""

SUSPICION_CONFIRMATIONS = 3
"""Independent accusers, after the first, that bring a suspicion down to its least time (Lifeguard's K)."""

WITNESSES_RATIO = 2
"""Of those who hear of a suspicion, so many times the confirmations that it needs probe the suspect in their
next round. A suspicion is then confirmed, or refuted to somebody's face, within two intervals at any size."""

HEALTH_POINTS_MAX = 8
"""Local health goes from 0 to this; a round takes (points + 1) times as long (Lifeguard)."""

LATENESS_RATIO = 0.5
"""Of `PROBE_TIMEOUT_S`: a node that looks at its timers later than this judges nobody by what it missed."""

ACCUSATIONS_MAX = 8
"""Accusations of its own that a node may make in a row. One comes back with each death that proves it right.
A node that hears nobody stops here; of a cluster cut in two, each node needs about seven."""

ACCUSATION_REFILL_S = 10.0
"""And one comes back in every so many seconds."""

# -- dissemination -------------------------------------------------------------------------------

GOSSIP_INTERVAL_S = 0.2
"""Between two rounds of rumours, while there are any."""

GOSSIP_DELAY_S_MAX = 0.02
"""Before the first round of a rumour, at random: rumours that come together travel together."""

GOSSIP_PEERS = 3
"""That get rumours in each round."""

RETRANSMIT_RATIO = 6
"""A rumour is sent this often, times ceil(log10(n + 1)). With 4, as in memberlist, one of 70 rumours misses
somebody at 30 nodes and 5 % loss; with 6 none did in 2,000 trials, for a tenth more bytes."""

RUMOURS_MAX = 4096
"""Waiting at one moment. Beyond it, those that were sent most often go: what is lost, a sync brings."""

GOSSIP_TO_DEAD_S = 30.0
"""How long the dead still get rumours, so that one that was declared dead by mistake hears of it."""

# -- sync ----------------------------------------------------------------------------------------

SYNC_PAUSE_S = 2.0
"""Between two syncs that a node asks for because digests differ: many peers will show it the same
difference."""

SYNC_SETTLE_S = 0.6
"""A difference is no reason for a sync while the own view has changed within this time: rumours are on their
way."""

SYNC_PATIENCE_S = 2.5
"""But a view that changes all the time is synced when peers have differed for so long."""

SYNC_BUCKETS = 64
"""Members fall into so many, by their ids, each with a digest: a sync carries only buckets that differ. Of
1,000 members one bucket has 16: a kilobyte for one lost rumour, where the whole list is 80."""

FULL_SYNC_INTERVAL_S = 60.0
"""The safety net: everything is told to one peer this often. Digests find what rumours lost; this finds what
digests do not cover (who is dead, and who has left)."""

FULL_SYNC_BYTES = 40
"""A second: the safety net is used less often where it would take more than this, from 20 members on."""

SYNC_ANSWERS_S_MAX = 20
"""Syncs that a node answers in one second; who gets none asks somebody else."""

# -- reconnection --------------------------------------------------------------------------------

RECONNECT_INTERVAL_S_MIN = 5.0
RECONNECT_INTERVAL_S_MAX = 30.0
"""Between two tries to reach somebody who is dead, or a seed, for ever."""

RECONNECTS_S = 10
"""Tries a second of a whole cluster, which set the interval between the two bounds: a cut that ends is found
within a second, and 1,000 nodes do not beleaguer one dead one."""

JOIN_PAUSE_S_MIN = 0.5
JOIN_PAUSE_S_MAX = 10.0
"""Between two tries of a node that is alone, doubled each time, for ever."""

JOIN_CONTACTS = 3
"""Asked at once by a node that is alone."""

TOMBSTONE_S = 600.0
"""How long the dead, and those who left, are remembered as such. After it the dead are contacts: addresses
that are tried for ever."""

TOMBSTONE_RING_S = 86_400.0
"""The same, of those who own a part of the ring: an operator wants to see them in the list the next
morning."""

# -- what comes in -------------------------------------------------------------------------------

DATAGRAM_BYTES_MAX = 1400
"""Fits an Ethernet frame, with room for the headers of a tunnel."""

FRAME_BYTES_MAX = 8 * MIB
"""Of one sync: `MEMBERS_MAX` members with every field as long as it may be."""

MEMBERS_MAX = 4096
"""Alive or suspected, in one view. Beyond it nobody is let in."""

TOMBSTONES_MAX = 4096
"""Of the dead and those who left; the oldest make room."""

CONTACTS_MAX = 4096
"""Addresses of nodes that once were here; the oldest make room."""

CHECKS_MAX = 4096
"""Nodes that wait to be checked: as many as may be members."""

OPEN_CHECKS_MAX = 64
"""Nodes that are being checked at one moment: a newcomer has 1,000 peers checked within a second or two, and
sends no more at once than a switch holds."""

RELAYS_MAX = 256
"""Indirect probes that a node carries out for others at one moment."""

ADDRESS_BYTES_MAX = 128
"""Of ``host:port``. Host names may be longer; those of containers are not."""

ZONE_BYTES_MAX = 64
"""Of the name of a zone."""

VERSION_BYTES_MAX = 32
"""Of the name of a release."""

METADATA_BYTES_MAX = 512
"""Of a node's own record: as in memberlist. It travels in every rumour about the node."""

BROADCAST_BYTES_MAX = 256
"""Of one broadcast of the application: some fit a datagram beside rumours."""

BROADCASTS_MAX = 256
"""Broadcasts waiting at one moment; those sent most often make room."""

BROADCAST_WINDOW_MESSAGES = 64
"""Broadcasts of one node may overtake each other by so many; what is older counts as heard."""

INCARNATION_STEPS_MAX = 1 << 32
"""An incarnation grows by one a refutation. A greater step is damage or malice, and could leave the node that
it is about no number to refute with."""

GENERATION_STEPS_MAX = 1 << 52
"""A generation is milliseconds times 1,024 since 1970; this is 139 years."""

SECRET_BYTES_MIN = 16
"""Of the cluster's secret: what is shorter can be guessed."""

KEYS_MAX = 8
"""On a keyring: one is in use, one comes, one goes, and somebody forgot to remove the others."""

LEAVE_TIMEOUT_S = 3.0
"""After so long a node that leaves is gone, even if its last word was not sent as often as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one cluster may be tuned by. All nodes of a cluster should have the same.

    `label` keeps clusters apart that meet by mistake: messages of another label are refused.
    `overhead_bytes` is what sealing adds to a datagram (`keyring.OVERHEAD_BYTES`).
    """

    label: str = "ringdict"
    probe_interval_s: float = PROBE_INTERVAL_S
    probe_timeout_s: float = PROBE_TIMEOUT_S
    indirect_probes: int = INDIRECT_PROBES
    suspicion_rounds: float = SUSPICION_ROUNDS
    suspicion_ratio_max: float = SUSPICION_RATIO_MAX
    suspicion_confirmations: int = SUSPICION_CONFIRMATIONS
    gossip_interval_s: float = GOSSIP_INTERVAL_S
    gossip_peers: int = GOSSIP_PEERS
    retransmit_ratio: int = RETRANSMIT_RATIO
    members_max: int = MEMBERS_MAX
    overhead_bytes: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for settings under which the protocol would not work."""
        if not 0 < self.probe_timeout_s < self.probe_interval_s:
            raise ValueError("probe_timeout_s must be above 0 and below probe_interval_s")
        if self.suspicion_rounds < 1 or self.suspicion_ratio_max < 1 or self.suspicion_confirmations < 0:
            raise ValueError("suspicion_rounds and suspicion_ratio_max must be at least 1")
        if min(self.indirect_probes, self.overhead_bytes) < 0 or self.gossip_interval_s <= 0:
            raise ValueError("indirect_probes, overhead_bytes, gossip_interval_s: too low")
        if min(self.gossip_peers, self.retransmit_ratio, self.members_max) < 1:
            raise ValueError("gossip_peers, retransmit_ratio and members_max must be at least 1")
        if self.overhead_bytes > DATAGRAM_BYTES_MAX // 4:
            raise ValueError("overhead_bytes leaves too little of a datagram")


LAN = Settings()
"""The default: hosts of one site."""

FAST = Settings(suspicion_rounds=SUSPICION_FAST_ROUNDS)
"""Finds a crash sooner, and is harder on slow nodes."""
