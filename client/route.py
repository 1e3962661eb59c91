"""The ring as a client sees it: which nodes to ask about a partition, in which order.

Rules of this file:
1. A route is a value. A newer ring makes a new one, so whoever holds a route sees one ring, whole.
2. Writes go to the primary owner first. Reads go to an owner on this host, then to one in this zone; among
   equals to the primary owner first, which has what was written last.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..node.network.message import Mark
from ..ring.codec import digest_of
from ..ring.decree import Decree
from .config import SHARES_MAX
from .contact import Contact

Row = tuple[Contact, ...]


class Route:
    """One epoch, with the nodes' present addresses."""

    __slots__ = (
        "_near_rows",
        "_rows",
        "_shares",
        "cluster_id",
        "contacts",
        "decree",
        "epoch",
        "mark",
        "mask",
        "zone",
    )

    def __init__(self, decree: Decree, contacts: Mapping[bytes, Contact], zone: str = "") -> None:
        """`contacts` are those of the members, by id."""
        self.decree = decree
        self.epoch = decree.epoch
        self.mark: Mark = (decree.epoch, digest_of(decree))
        self.cluster_id = decree.cluster_id
        self.mask = decree.partitions - 1
        self.zone = zone
        #: Every member that may be asked, in order of seniority.
        self.contacts: Row = tuple(contacts[member.member_id] for member in decree.members)
        rows: dict[bytes, Row] = {}
        self._rows: list[Row] = []
        for row in decree.table.rows():
            known = rows.get(row)
            if known is None:
                known = rows[row] = tuple([self.contacts[number] for number in row])
            self._rows.append(known)
        self._near_rows = self._rows
        self._shares: dict[tuple[Contact, frozenset[Contact], bool], int] = {}
        self.settle()

    @property
    def partitions(self) -> int:
        return self.mask + 1

    def settle(self) -> None:
        """Put owners that are near in front, for reads: after it was learned which are."""
        rank = {
            contact: 0 if contact.is_near else 1 if self.zone and member.zone == self.zone else 2
            for contact, member in zip(self.contacts, self.decree.members, strict=True)
        }
        rows: dict[Row, Row] = {}
        near: list[Row] = []
        for row in self._rows:
            known = rows.get(row)
            if known is None:
                known = rows[row] = tuple(sorted(row, key=rank.__getitem__))
            near.append(known)
        self._near_rows = near
        self._shares.clear()

    def share(self, contact: Contact, now_s: float, *, nearest: bool) -> int:
        """The partitions of which this node is the owner to ask first, as bits: the lowest is partition 0."""
        avoided = frozenset(each for each in self.contacts if not each.is_routable(now_s))
        known = self._shares.get((contact, avoided, nearest))
        if known is None:
            known = 0
            for partition, row in enumerate(self._near_rows if nearest else self._rows):
                if next((owner for owner in row if owner not in avoided), row[0]) is contact:
                    known |= 1 << partition
            if len(self._shares) >= SHARES_MAX:
                self._shares.clear()
            self._shares[contact, avoided, nearest] = known
        return known

    def owners(self, partition: int) -> Row:
        """Who has a partition, the primary owner first."""
        return self._rows[partition]

    def contact_of(self, member_id: bytes) -> Contact | None:
        """The node of that id, None for a stranger."""
        number = self.decree.number_of(member_id)
        return None if number is None else self.contacts[number]

    def nearest(self, partition: int) -> Row:
        """Who has a partition, the nearest first."""
        return self._near_rows[partition]
