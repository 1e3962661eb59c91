"""What the small nodes of nodes.py do about atomic operations: one leader a partition, whose decisions are
the real ones (node/leaders/verdict.py), kept in one memory instead of acceptors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ringdict.node.leaders.ballot import Ballot, Order
from ringdict.node.leaders.plain import PlainEntry
from ringdict.node.leaders.record import Record
from ringdict.node.leaders.successor import clearing, is_ended, successor
from ringdict.node.leaders.verdict import Change, Seen, decide, find, never, see
from ringdict.node.network.leadermessage import (
    Act,
    Acted,
    Clear,
    Cleared,
    EndDict,
    Ended,
    Freed,
    Greet,
    Greeted,
    NotLed,
    Verb,
    Wait,
)
from ringdict.node.network.message import Message, Reason, Refused, Request, Unknown
from ringdict.node.ringview import NO_MARK

if TYPE_CHECKING:
    from .nodes import Node, Nodes

TICKET = 7


class Deciders:
    """The leaders of all partitions, and what was decided. Settings may be changed at any time."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        #: Which round each partition is in; a new one has the leader of `leading`, or the first that is up.
        self.rounds: dict[int, int] = {}
        self.leading: dict[int, Node] = {}
        #: Nobody leads these, and nobody can.
        self.lost: set[int] = set()
        self.records: dict[bytes, Record] = {}
        self.cleared: dict[tuple[bytes, int], Record] = {}
        #: What each node answered, by operation.
        self.answers: dict[tuple[int, bytes], Message] = {}
        self.cancelled: set[bytes] = set()
        self.deaf = False
        """Nobody who waits is told."""
        self._sequence = 0
        self._freed = threading.Condition()

    def leader(self, partition: int) -> tuple[Node, Ballot]:
        """Who leads a partition."""
        decree = next(node.decree for node in self.nodes if node.decree is not None)
        by_id = {node.member_id: node for node in self.nodes}
        row = [by_id[decree.members[number].member_id] for number in decree.owners(partition)]
        node = self.leading.get(partition) or next((one for one in row if one.is_reachable), row[0])
        return node, Ballot(1, self.rounds.get(partition, row.index(node) + 1), node.member_id, node.boot)

    def depose(self, partition: int, heir: Node) -> None:
        """From now on another leads, under a higher ballot."""
        self.rounds[partition] = self.leader(partition)[1].round + 1
        self.leading[partition] = heir

    def answer(self, node: Node, request: Request) -> Message | None:
        """What a node says; None: it is not about leading."""
        match request:
            case Greet():
                return self._greet(node, request)
            case Act():
                return self._act(node, request)
            case Clear():
                return self._clear(node, request)
            case EndDict():
                self.nodes.end_dict(request.dict_id)
                return Ended(request.number, happened=True)
            case Wait():
                return self._wait(request)
            case _:
                return None

    def _greet(self, node: Node, greet: Greet) -> Message:
        asked = node
        if greet.target not in {b"", node.member_id}:
            asked = next(one for one in self.nodes if one.member_id == greet.target)
            if not asked.is_reachable:
                return Refused(greet.number, Reason.UNAVAILABLE, "not heard here either", NO_MARK)
        named = [
            (partition, self.leader(partition)[1])
            for partition in range(self.nodes.partitions)
            if partition not in self.lost and self.leader(partition)[0].is_reachable
        ]
        lost = tuple(sorted(self.lost))
        return Greeted(greet.number, asked.member_id, asked.boot, TICKET, named, lost)

    def _act(self, node: Node, act: Act) -> Message:
        partition = self.nodes.partition(act.dict_id, act.key)
        if act.ballot.node != node.member_id:
            led = next(one for one in self.nodes if one.member_id == act.ballot.node)
            if not led.is_reachable:
                return Refused(act.number, Reason.UNAVAILABLE, "not heard here either", NO_MARK)
            node = led
        if act.ballot.boot != node.boot or act.ticket != TICKET:
            return Unknown(act.number, "nothing is remembered", forgotten=True)
        known = self.answers.get((node.number, act.operation_id))
        if known is not None:
            return replace(known, number=act.number)
        leader, ballot = self.leader(partition)
        if leader is not node or ballot != act.ballot:
            return NotLed(act.number, act.ballot, act.operation_id)
        if act.operation_id in self.cancelled:
            return Unknown(act.number, "it was cancelled")
        reply = self._decide(act, partition)
        self.answers[node.number, act.operation_id] = reply
        return reply

    def _seen(self, act: Act, partition: int) -> Seen:
        cleared = self.cleared.get((act.dict_id, partition))
        stored = [node.entries.get((act.dict_id, act.key)) for node in self.nodes]
        found = max((one for one in stored if one is not None), key=lambda one: one.stamp, default=None)
        plain = None if found is None or found.is_chosen else PlainEntry(found.stamp[0], found.body)
        return see(self.records.get(act.dict_id + act.key), cleared, plain)

    def _decide(self, act: Act, partition: int) -> Message:
        if is_ended(self.cleared.get((act.dict_id, partition))):
            return Refused(act.number, Reason.NO_DICT, "it was deleted", NO_MARK)
        seen = self._seen(act, partition)
        if act.verb == Verb.CANCEL:
            told = find(act, seen)
            if told is None:
                self.cancelled.add(act.body)
                if seen.record is None and seen.body is None:
                    self._choose(act, partition, seen, Change(None, 0, takes=False))
                told = never(act, seen)
            if told is None:
                return Unknown(act.number, "too much has happened since")
            return Acted(act.number, told.happened, told.version or 0, told.body)
        change, told = decide(act, seen)
        token = 0 if change is None else self._choose(act, partition, seen, change)
        version = token if told.version is None else told.version
        return Acted(act.number, told.happened, version, told.body, told.invalid)

    def _next(self, partition: int) -> Order:
        self._sequence += 1
        return Order(self.leader(partition)[1], self._sequence)

    def _choose(self, act: Act, partition: int, seen: Seen, change: Change) -> int:
        self.nodes.version += 1
        token = self.nodes.version
        if change.keeps_token and seen.held is not None:
            token = seen.held.token
        name = act.dict_id + act.key
        record = successor(seen, change, self._next(partition), act.operation_id, token, act.key)
        self.records[name] = record
        self.nodes.show(act.dict_id, act.key, token, change.body, act.operation_id)
        with self._freed:
            self._freed.notify_all()
        return token

    def _clear(self, node: Node, clear: Clear) -> Message:
        done: list[int] = []
        not_led: list[int] = []
        tokens: list[int] = []
        for partition, ballot in clear.ballots:
            if self.leader(partition)[1] != ballot or ballot.node != node.member_id:
                not_led.append(partition)
                continue
            self.nodes.version += 1
            before = self.cleared.get((clear.dict_id, partition))
            record = clearing(
                before, self._next(partition), clear.operation_id, self.nodes.version, ends=clear.ends
            )
            self.cleared[clear.dict_id, partition] = record
            done.append(partition)
            tokens.append(record.token)
        self.nodes.clear_entries(clear.dict_id, set(done))
        with self._freed:
            self._freed.notify_all()
        return Cleared(clear.number, done, not_led, tuple(tokens))

    def _wait(self, wait: Wait) -> Message | None:
        """Called without the nodes' lock."""
        name = wait.dict_id + wait.key

        def is_over() -> bool:
            record = self.records.get(name)
            return record is None or record.body is None or record.token != wait.version

        with self._freed:
            told = not self.deaf and self._freed.wait_for(is_over, 10)
        return Freed(wait.number) if told else None
