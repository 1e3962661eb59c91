"""Every limit of the ring: a name, a unit, and the reason for the number."""

from __future__ import annotations

MIB = 1024 * 1024

# -- partitions ----------------------------------------------------------------------------------

PARTITIONS_DEFAULT = 1024
"""Good to 32 members: 32 partitions a member keep the load of the fullest within a tenth of the mean."""

PARTITIONS_MAX = 1 << 16
"""A partition number takes two bytes in the store's keys."""

CLUSTER_PARTITIONS_MAX = 1 << 14
"""Of a cluster: four times what 100 members need, and the largest decree stays below two MiB."""

FOUND_PARTITIONS_MIN = 8
"""Of a cluster that is founded: bits of its partitions are whole bytes. So few are for tests."""

FOUND_PARTITIONS_MAX = 1 << 12
"""Of a cluster that is founded: what 100 members need, by the measure of `PARTITIONS_DEFAULT`. What a node
shows to clients on its host, with a bit for each, fits into one page of memory."""

# -- members -------------------------------------------------------------------------------------

MEMBERS_MAX = 254
"""Named by one decree, former ones counted. Their numbers are the bytes 0 to 253 of a table; 255 is an empty
place, 254 stands for a member that a comparison no longer finds."""

WEIGHTS_MAX = 8
"""Of one member, which has so many times the virtual nodes: hosts of one cluster differ by that much at
most. 100 members of weight 8 are half a million points, placed within a second."""

ZONE_BYTES_MAX = 64
"""The name of a rack, room or region, short enough for one column of a table."""

ADDRESS_BYTES_MAX = 255
"""Its length takes one byte; a host name of 240 characters fits, with a port."""

# -- placement -----------------------------------------------------------------------------------

REPLICAS_DEFAULT = 3
"""The smallest number that keeps a majority when one is lost."""

REPLICAS_MAX = 7
"""Keeps a majority when three are lost; each more is one more network message a write."""

VIRTUAL_NODES = 640
"""Points of one member on the continuum. The more even the shares are, the fewer members stand at their cap,
and the less a join moves: with 160 points a join to 100 members moved 1.33 of the ideal (95th percentile of
100 sets of ids), with 640 it is 1.28. The promise is 1.3."""

LOAD_RATIO = 1.10
"""How far the fullest member may lie above its fair share. No slack at all costs 3 to 4 times the ideal
movement on a join, a tenth costs 1.0 to 1.25 times."""

TARGETS_MAX = 8
"""Tables that were placed lately, 12 KB each: while rows flip one by one the target stays the same."""

# -- decrees -------------------------------------------------------------------------------------

FORMER_SETS_MAX = 8
"""Former replica sets of one partition whose state is not known to be transferred. A change of members
takes three at most; a further flip of such a partition is refused until it has settled."""

LINEAGE_EPOCHS = 1_000_000_000
"""Between the epochs of a cluster and those after it was recovered by force: more than those who were given
up can decide among themselves while they are away, at one a second for thirty years. So the epochs of a
recovered cluster are above theirs, and so are all its ballots."""

RECOVERIES_MAX = 32
"""Recoveries by force in the life of a cluster. Each is a disaster of its own; whoever has had so many founds
a new cluster from a backup."""

DECREE_BODY_BYTES_MAX = 2 * MIB
"""Unpacked. The largest that the other limits allow has 1.4 MB."""

DECREE_BYTES_MAX = 2 * MIB
"""Packed, as it travels and lies on disk: bounds what a stranger can make a node read. Even a body that
does not get smaller fits; 100 members and 4,096 partitions take about 30 KB."""
