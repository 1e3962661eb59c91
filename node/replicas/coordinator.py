"""Writes of clients: who coordinates each, and what becomes of it.

Rules of this file:
1. A key's writes are coordinated by its primary owner. An owner that gets one passes it on to the first owner
   before it that it can reach; it coordinates itself if there is none, or none that answers. A write is
   passed on once at the most.
2. A node that keeps no replica passes writes on, too. If it reaches no owner, it keeps a plain put as hints
   for them: so a put is taken wherever a node is.
3. Who passes a write on has stood back: its tenure of the partition is over.
4. With a new epoch every write under way is begun anew, by the new ring.
5. A request that comes again while it is under way, or was answered lately, is not carried out again.
6. "Nothing happened" is said only if that is so of every attempt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from ...exception import Error
from ..config import (
    OPERATIONS_MAX,
    RELAY_TIMEOUT_S,
    RELAYS_MAX,
    SKEW_MS_MAX,
    STAMPS_MAX,
    WRITE_SPAN_S,
    WRITES_BYTES_MAX,
    WRITES_MAX,
)
from ..network.message import Ack, Put, PutMany, Reason, Refused, Reply, Request, Touch, Unknown, Written
from ..network.peermessage import Row
from ..ringview import RingView
from ..store.entry import DamagedEntryError
from ..store.operation import KEEP, NEVER
from ..world import NS_PER_MS, NS_PER_S, Address, NodeId
from .admission import Admission
from .draft import Drafts, Located, drafts_of, located
from .job import Job, Writing, items_of, name_of, size_of, summed_up
from .replicadesk import Handler
from .standing import bring
from .touching import touch
from .write import Write
from .writers import Writers

RELAY_NS = int(RELAY_TIMEOUT_S * NS_PER_S)
SPAN_NS = int(WRITE_SPAN_S * NS_PER_S)

_NOT_THERE = frozenset(
    {
        Reason.BEHIND,
        Reason.DAMAGED,
        Reason.NOT_OWNER,
        Reason.NOT_SERVING,
        Reason.OVERLOADED,
        Reason.STORE_FULL,
        Reason.UNAVAILABLE,
        Reason.WRONG_EPOCH,
    }
)
"""Refusals of an owner that another one need not share."""


class Coordinator:
    """One node's. Writes nothing before `set_view`."""

    write_class = Write

    def __init__(self, parts: Writers, admission: Admission) -> None:
        self._parts = parts
        self._admission = admission
        #: Requests under way, by what makes them known again, with those that wait for the answer.
        self._open: dict[tuple[object, ...], list[tuple[Address, int]]] = {}
        self._answers: OrderedDict[tuple[object, ...], Reply] = OrderedDict()
        self._writes: dict[Write, Job] = {}
        self._bytes = 0

    def set_view(self, view: RingView) -> None:
        """Go by a newer ring: what is under way is begun anew."""
        self._parts.set_view(view)
        writes, self._writes = self._writes, {}
        for write, job in writes.items():
            job.tainted = job.tainted or write.tainted
            write.drop()
        for job in writes.values():
            job.avoided.clear()
            self._carry_out(job)

    def handlers(self) -> dict[type[Request], Handler]:
        """What is answered here."""
        return {Put: self._on_write, PutMany: self._on_write, Touch: self._on_write}

    @property
    def open_count(self) -> int:
        """Requests under way."""
        return len(self._open)

    # -- requests ---------------------------------------------------------------------------------------

    def _on_write(self, source: Address, request: Request) -> None:
        assert isinstance(request, (Put, PutMany, Touch))
        admission = self._admission
        if not admission.admits(source, request, request.epoch) or not admission.is_sound(source, request):
            return
        if 0 < request.until_ms < self._parts.stamper.now_ms() - SKEW_MS_MAX:
            # This node was stopped meanwhile, or cut off: whoever passed it on has done it otherwise by now.
            admission.refuse(source, request, Reason.UNAVAILABLE, "it comes too late")
            return
        name = name_of(request)
        answer = self._answers.get(name)
        if answer is not None:
            self._parts.bus.tell(source, replace(answer, number=request.number))
        elif name in self._open:
            self._open[name].append((source, request.number))
        else:
            self._begin(source, request, name)

    def _begin(self, source: Address, request: Writing, name: tuple[object, ...]) -> None:
        size_bytes = size_of(request)
        if len(self._open) >= WRITES_MAX or self._bytes + size_bytes > WRITES_BYTES_MAX:
            self._admission.refuse(source, request, Reason.OVERLOADED, "too many writes are under way here")
            return
        self._open[name] = [(source, request.number)]
        self._bytes += size_bytes
        until_ns = self._parts.world.now_ns() + SPAN_NS
        job = Job(request, until_ns, partial(self._end, name, size_bytes))
        self._admission.find_dict(request.dict_id, partial(self._carry_out, job))

    def _end(self, name: tuple[object, ...], size_bytes: int, reply: Reply) -> None:
        self._bytes -= size_bytes
        if isinstance(reply, Written) and name[1]:
            self._answers[name] = reply
            if len(self._answers) > OPERATIONS_MAX:
                self._answers.popitem(last=False)
        for source, number in self._open.pop(name):
            self._parts.bus.tell(source, replace(reply, number=number))

    # -- who coordinates --------------------------------------------------------------------------------

    def _carry_out(self, job: Job) -> None:
        view = self._parts.view
        if self._parts.world.now_ns() >= job.until_ns:
            job.end(Refused(0, Reason.UNAVAILABLE, "nobody who could write it answers", view.mark))
            return
        request = job.request
        if not self._admission.knows(request.dict_id):
            job.end(Refused(0, Reason.NO_DICT, "no such Dict", view.mark))
            return
        rows = self._locate(job)
        if not isinstance(request, PutMany):
            self._hand_to(self._coordinator_of(job, rows[0].partition), job)
            return
        targets = {
            partition: self._coordinator_of(job, partition) for partition in {row.partition for row in rows}
        }
        if len(set(targets.values())) == 1:
            self._hand_to(targets[rows[0].partition], job)
            return
        groups: dict[NodeId | None, list[Located]] = {}
        for row in rows:
            groups.setdefault(targets[row.partition], []).append(row)
        self._split(job, request, groups)

    def _coordinator_of(self, job: Job, partition: int) -> NodeId | None:
        """Who is to coordinate the writes of a partition; None: nobody can be reached who keeps it."""
        parts = self._parts
        for owner in parts.view.owners(partition):
            if owner == parts.me:
                return owner
            if job.request.relayed or len(job.avoided) >= RELAYS_MAX or owner in job.avoided:
                continue
            if parts.bus.routable(owner):
                return owner
        return None

    def _split(self, job: Job, request: PutMany, groups: dict[NodeId | None, list[Located]]) -> None:
        """Carry out a batch of which several nodes coordinate a part each."""
        replies: list[Reply] = []

        def ended(reply: Reply) -> None:
            replies.append(reply)
            if len(replies) == len(groups):
                job.end(summed_up(replies))

        for target, rows in groups.items():
            items = [(row.key, row.body) for row in rows]
            part = Job(replace(request, items=items), job.until_ns, ended, rows)
            part.tainted = job.tainted
            part.avoided = list(job.avoided)
            self._hand_to(target, part)

    def _hand_to(self, target: NodeId | None, job: Job) -> None:
        if target == self._parts.me:
            self._coordinate(job)
        elif target is not None:
            self._relay(target, job)
        elif job.request.relayed:
            job.end(Refused(0, Reason.NOT_OWNER, "not kept here", self._parts.view.mark))
        else:
            self._keep(job)

    # -- passing on -------------------------------------------------------------------------------------

    def _relay(self, owner: NodeId, job: Job) -> None:
        parts = self._parts
        view = parts.view
        for partition in {row.partition for row in self._locate(job)}:
            parts.tenures.end(partition)

        def answered(reply: Reply | None) -> None:
            if isinstance(reply, (Written, Unknown)):
                job.end(reply)
                return
            if isinstance(reply, Refused):
                parts.heard(owner, reply.mark)
                if reply.reason not in _NOT_THERE:
                    job.end(reply)
                    return
            else:
                job.tainted = True
            job.avoided.append(owner)
            self._carry_out(job)

        left_ns = max(0, job.until_ns - parts.world.now_ns())
        wait_ns = min(RELAY_NS, left_ns)
        until_ms = parts.stamper.now_ms() + wait_ns // NS_PER_MS
        request = replace(job.request, relayed=True, epoch=view.epoch, until_ms=until_ms)
        parts.bus.ask(owner, request, answered, wait_ns)

    def _keep(self, job: Job) -> None:
        """No owner can be reached: keep a put for them."""
        request, parts = job.request, self._parts
        if isinstance(request, Touch) or request.ack == Ack.MAJORITY or parts.view.me is None:
            job.end(Refused(0, Reason.UNAVAILABLE, "no owner of the key can be reached", parts.view.mark))
            return
        drafts, view = self._drafts(job), parts.view

        def stamped(version: int | Error) -> None:
            if isinstance(version, Error):
                job.end(Refused(0, Reason.STORE_FULL, str(version), view.mark))
                return
            by_node: dict[NodeId, list[Row]] = {}
            for row, partition in zip(drafts.rows(version), drafts.by_row, strict=True):
                for node in view.writers(partition):
                    by_node.setdefault(node, []).append(row)
            wanted = max(len(view.owners(partition)) for partition in drafts.partitions)
            writers = {view.writers(partition) for partition in drafts.partitions}
            self._leave(job, by_node, writers, Written(0, (version, parts.number, version), 0, wanted))

        parts.stamper.stamp(self._above(request), stamped)

    def _leave(
        self, job: Job, by_node: dict[NodeId, list[Row]], writers: set[tuple[NodeId, ...]], answer: Written
    ) -> None:
        """Keep entries for nodes; answer once each is kept for one of its `writers`, or cannot be."""
        outcomes: dict[NodeId, Error | None] = {}

        def kept(node: NodeId, error: Error | None) -> None:
            outcomes[node] = error
            if len(outcomes) < len(by_node):
                return
            full = [str(each) for each in outcomes.values() if each is not None]
            if all(any(outcomes[node] is None for node in row) for row in writers):
                job.end(answer)
            elif len(full) == len(by_node):
                job.end(Refused(0, Reason.STORE_FULL, full[0], self._parts.view.mark))
            else:
                job.end(Unknown(0, f"a part of it is kept for its owners: {full[0]}"))

        for node, rows in by_node.items():
            if node == self._parts.me:
                self._parts.replica.apply(rows, lambda error, _newer: kept(self._parts.me, error))
            else:
                self._parts.hints.add(node, rows, partial(kept, node))

    # -- coordinating -----------------------------------------------------------------------------------

    def _coordinate(self, job: Job) -> None:
        request = job.request
        if job.goes_by_what_stands:
            view = self._parts.view
            places = [(row.partition, row.place) for row in self._locate(job)]
            informed = partial(self._coordinate_informed, job, view)
            unknown = job.overtaken_count > 0 or not isinstance(request, Touch)
            bring(self._parts, places, informed, anew=unknown)
        else:
            assert not isinstance(request, Touch)
            self._write(job, self._drafts(job), self._above(request))

    def _coordinate_informed(self, job: Job, view: RingView) -> None:
        """What stands there is here, as far as the owners that can be reached have it."""
        request = job.request
        if view is not self._parts.view:
            self._carry_out(job)
        elif isinstance(request, Touch):
            (row,) = self._locate(job)
            located_at = row.key_hash, row.partition, row.place
            touch(self._parts, request, located_at, partial(self._write, job), job.end)
        else:
            self._write(job, self._drafts(job), self._above(request))

    def _write(self, job: Job, drafts: Drafts, above: int) -> Write:
        def ended(reply: Reply) -> None:
            del self._writes[write]
            job.end(reply)

        def overtaken() -> None:
            del self._writes[write]
            write.drop()
            job.tainted = True
            job.overtaken_count += 1
            self._coordinate(job)

        follows = job.goes_by_what_stands and job.overtaken_count < STAMPS_MAX
        write = self.write_class(
            self._parts,
            drafts,
            above,
            job.request.ack,
            tainted=job.tainted,
            until_ns=job.until_ns,
            ended=ended,
            overtaken=overtaken if follows else None,
        )
        self._writes[write] = job
        write.begin()
        return write

    def _above(self, request: Put | PutMany) -> int:
        floor = self._parts.stamper.credible(request.floor)
        return max(floor, self._parts.replica.cleared_at(request.dict_id))

    def _drafts(self, job: Job) -> Drafts:
        request, rows = job.request, self._locate(job)
        assert not isinstance(request, Touch)
        if request.ttl_ms == KEEP:
            expiries_ms = [self._kept_expiry(request, row.key) for row in rows]
        elif request.ttl_ms > 0:
            expiries_ms = [self._parts.stamper.now_ms() + request.ttl_ms] * len(rows)
        else:
            expiries_ms = [NEVER] * len(rows)
        return drafts_of(rows, expiries_ms, self._parts.number)

    def _kept_expiry(self, request: Put | PutMany, key: bytes) -> int:
        try:
            standing = self._parts.replica.read(request.dict_id, key).entry
        except DamagedEntryError:
            return NEVER
        return NEVER if standing is None else standing.expires_ms

    def _locate(self, job: Job) -> Sequence[Located]:
        """A request's keys, and where they belong: that stays so."""
        if not job.located:
            request = job.request
            partitions = self._parts.view.decree.partitions
            job.located = located(request.dict_id, items_of(request), partitions)
        return job.located

    def validate(self) -> None:
        """Assert what must always hold."""
        assert all(not write.answered for write in self._writes)
        assert all(write.view is self._parts.view for write in self._writes)
        assert len(self._answers) <= OPERATIONS_MAX
        assert self._bytes >= 0
        assert bool(self._bytes) <= bool(self._open)
        self._parts.tenures.validate()
        self._parts.stamper.validate()
