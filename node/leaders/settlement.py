"""The settlement of one bucket: after it, whatever may have been chosen there is chosen under this ballot.

Rules of this file:
1. The newest record that any who promised has is the one to go on from; which of them were chosen cannot be
   told, and need not.
2. It is accepted again under the present ballot, with an order of its own. Only what a quorum of every set
   of acceptors, and the leader, hold in one and the same order is left as it is: then nobody can have been
   elected since without having seen it.
3. Nothing is done to a key of the bucket meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ..network.leadermessage import AskNames, AskRecords, TellNames, TellRecords
from ..world import NS_PER_S, NodeId
from .ballot import NO_ORDER, Order
from .leaderconfig import PAGE_BYTES, PAGE_NAMES, RESEND_S, SETTLE_S
from .record import FORGETS, Record, decode_record

if TYPE_CHECKING:
    from .leadership import Leadership

_RESEND_NS = int(RESEND_S * NS_PER_S)
_SETTLE_NS = int(SETTLE_S * NS_PER_S)


class Settlement:
    """One bucket of one lead. `done` is called at the end, `failed` if one who promised is gone."""

    def __init__(
        self, leadership: Leadership, bucket: int, done: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self._leadership = leadership
        self._bucket = bucket
        self._done = done
        self._failed = failed
        self._until_ns = leadership.now_ns() + _SETTLE_NS
        #: What each who promised has, as far as it is known.
        self._names: dict[NodeId, dict[bytes, Order]] = {}
        #: Who has not told all names yet, and behind which one it is asked to go on.
        self._asked: dict[NodeId, bytes] = {}
        #: Names whose records are still to come, and from whom.
        self._missing: dict[NodeId, list[bytes]] = {}
        self._rows: list[tuple[bytes, Record]] = []
        self._waiting = 0
        self._over = False

    def start(self) -> None:
        """Ask all who promised and whose bucket differs."""
        lead = self._leadership
        mine = self._names[lead.me] = self._own()
        for node in lead.promisers():
            if node == lead.me:
                continue
            if lead.sum_at(node, self._bucket) == lead.sum_at(lead.me, self._bucket):
                self._names[node] = mine
            else:
                self._names[node] = {}
                self._asked[node] = b""
        self._ask()

    def _own(self) -> dict[bytes, Order]:
        names: dict[bytes, Order] = {}
        after, more = b"", True
        while more:
            page, more = self._leadership.acceptor.names(self._leadership.partition, self._bucket, after)
            names.update(page)
            after = page[-1][0] if page else b""
        return names

    def _ask(self) -> None:
        """Say again what was not answered; give up when it is time."""
        lead = self._leadership
        if self._over or lead.ended:
            return
        if not self._asked and not self._missing and self._merge():
            return
        if lead.now_ns() > self._until_ns:
            self._over = True
            self._failed()
            return
        for node in self._asked:
            self._ask_names(node)
        for node in self._missing:
            self._ask_records(node)
        lead.later(_RESEND_NS, self._ask)

    def _ask_names(self, node: NodeId) -> None:
        lead = self._leadership
        message = AskNames(lead.me, lead.partition, lead.ballot, self._bucket, self._asked[node])
        lead.say(node, message)

    def _ask_records(self, node: NodeId) -> None:
        lead = self._leadership
        names = self._missing[node][:PAGE_NAMES]
        lead.say(node, AskRecords(lead.me, lead.partition, lead.ballot, self._bucket, names))

    def on_names(self, message: TellNames) -> None:
        """A page of names."""
        node = NodeId(message.node)
        if self._over or self._asked.get(node) != message.after:
            return
        self._names[node].update(message.rows)
        self._until_ns = self._leadership.now_ns() + _SETTLE_NS
        if message.more and message.rows:
            self._asked[node] = message.rows[-1][0]
            self._ask_names(node)
            return
        del self._asked[node]
        if not self._asked:
            self._merge()

    def _merge(self) -> bool:
        """All names are known: which records to fetch, which to have accepted again; whether that is all."""
        lead = self._leadership
        for name in sorted(set().union(*self._names.values())):
            best = max(names.get(name, NO_ORDER) for names in self._names.values())
            holders = [node for node, names in self._names.items() if names.get(name) == best]
            if lead.me in holders:
                if self._is_carried(name) or not lead.electorate.agreed(holders):
                    record = lead.acceptor.record(lead.partition, name)
                    assert record is not None
                    self._rows.append((name, record))
            else:
                self._missing.setdefault(holders[0], []).append(name)
        for node in self._missing:
            self._ask_records(node)
        if not self._missing:
            self._propose()
        return not self._missing

    def on_records(self, message: TellRecords) -> None:
        """A page of records."""
        node = NodeId(message.node)
        missing = self._missing.get(node)
        if self._over or not missing or not message.rows:
            return
        self._until_ns = self._leadership.now_ns() + _SETTLE_NS
        there = dict(message.rows)
        for name in [name for name in missing if name in there]:
            self._rows.append((name, decode_record(there[name])))
            missing.remove(name)
        if missing:
            self._ask_records(node)
            return
        del self._missing[node]
        if not self._missing:
            self._propose()

    def _is_carried(self, name: bytes) -> bool:
        """Whether that record brings the highest token of all that was forgotten to new replicas, before the
        former ones have no say any more. None of what they have else may show it."""
        return name == FORGETS and not self._leadership.electorate.is_simple

    def _propose(self) -> None:
        """Have them accepted, as many at once as one frame may hold."""
        lead = self._leadership
        self._over = True  # nothing more is to be heard
        batches: list[list[tuple[bytes, Record]]] = []
        size_bytes = PAGE_BYTES
        for name, record in self._rows:
            if size_bytes >= PAGE_BYTES:
                batches.append([])
                size_bytes = 0
            token = max(record.token, lead.highest) if self._is_carried(name) else record.token
            again = msgspec.structs.replace(record, order=lead.next_order(), token=token)
            batches[-1].append((name, again))
            size_bytes += len(name) + len(record.body or b"") + 128
        self._waiting = len(batches)
        for batch in batches:
            lead.choose(batch, self._chosen)
        if not batches:
            self._done()

    def _chosen(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._done()
