"""Ballots: who may lead a partition, in an order that all acceptors agree on without talking.

Rules of this file:
1. A ballot belongs to one start of one node, for ever: `boot` is durable before its process is made.
2. The epoch in which the partition's set of replicas last changed leads: whoever was elected by older sets
   stands below all who were elected by newer ones, however often they tried.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Ballot(NamedTuple):
    """One try of one node to lead one partition. Compared as a tuple."""

    since: int
    """`Decree.since` of the partition."""
    round: int
    node: bytes
    boot: int

    def plain(self) -> tuple[int, int, bytes, int]:
        """For a trace."""
        return self.since, self.round, self.node, self.boot


NO_BALLOT: Final = Ballot(0, 0, b"", 0)


class Order(NamedTuple):
    """A place in the one order of all that is accepted in a partition: under which ballot, as the how
    manieth."""

    ballot: Ballot
    sequence: int

    def plain(self) -> tuple[tuple[int, int, bytes, int], int]:
        """For a trace."""
        return self.ballot.plain(), self.sequence


NO_ORDER: Final = Order(NO_BALLOT, 0)
