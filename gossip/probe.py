"""Probing: each peer in turn, over a shuffled list; through others where the direct way fails.

Rules of this file:
1. A round probes one peer and lasts an interval. It ends in an answer, or in an accusation.
2. Every second round probes the successor on the circle of ids, so that each node is probed at least every
   second interval: chance alone leaves one in a hundred unprobed for 4.6 of them. The other rounds go through
   all peers, so that no fault between two nodes stays unseen.
3. A round during which this node was late proves nothing and accuses nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import NACK_RATIO, RELAYS_MAX, WITNESSES_RATIO
from .member import NodeId, Status
from .message import Ack, Dead, Message, Nack, Ping, PingRequest, RelayedAck, Rumour, Suspect
from .table import Member

if TYPE_CHECKING:
    from .agenda import Appointment
    from .desk import Desk
    from .membership import Membership

RTT_SHARE = 0.125  # of a new measurement in the moving mean, as TCP has it


class Round:
    """One probe of one peer."""

    __slots__ = ("answered", "began", "helpers", "judged", "nacks", "nonces", "target", "void")

    def __init__(self, target: NodeId, now: float) -> None:
        self.target = target
        self.began = now
        self.nonces: list[int] = []
        self.answered = False
        self.void = False  # whether this node missed a part of it
        self.judged = False
        self.helpers: set[NodeId] = set()  # asked to probe for this node
        self.nacks: set[NodeId] = set()  # those of them that said at least that they got no answer


class Prober:
    """Rounds of probes, one after the other, while there are peers."""

    membership: Membership

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._order: list[NodeId] = []
        self._at = 0
        self._turn = 0  # rounds so far
        self._urgent: NodeId | None = None  # a suspect of others, to be probed next
        self._round: Round | None = None
        self._next: Appointment | None = None
        self._insisting: Appointment | None = None
        self._nacks: dict[int, Round] = {}  # nonces of indirect probes
        self._relays = 0

    def add(self, node_id: NodeId) -> None:
        """Probe a new member, too: at a random place of the pass, so that newcomers are not all probed at
        once."""
        desk = self._desk
        if node_id in self._order:
            return
        self._order.insert(desk.dice.randrange(len(self._order) + 1), node_id)
        if self._next is None:
            wait_s = desk.dice.random() * desk.settings.probe_interval_s
            self._next = desk.agenda.at(desk.now + wait_s, self._begin)

    def heard_suspected(self, node_id: NodeId) -> None:
        """Others suspect a member: some of those who hear of it probe it next, so that it is soon clear."""
        desk = self._desk
        wanted = WITNESSES_RATIO * desk.settings.suspicion_confirmations
        if desk.dice.random() * len(desk.table.peers) < wanted:
            self._urgent = node_id

    def void(self) -> None:
        """This node was not there for a part of the round."""
        if self._round is not None:
            self._round.void = True

    def pick(self, count: int, *excluded: NodeId) -> list[Member]:
        """Return up to `count` live peers at random."""
        peers = self._desk.table.peers
        picked: dict[NodeId, Member] = {}
        # Tries, not a shuffled copy: the list may have a thousand entries, and three are wanted.
        for _ in range(4 * count + 4 if len(peers) > 2 * count else 0):
            peer = peers[self._desk.dice.randrange(len(peers))]
            if peer.node_id not in excluded:
                picked[peer.node_id] = peer
            if len(picked) == count:
                return list(picked.values())
        rest = {peer.node_id: peer for peer in peers if peer.node_id not in excluded}
        order = list(rest)
        self._desk.dice.shuffle(order)
        return [rest[node_id] for node_id in order[:count]]

    def ping(self, nonce: int, target: NodeId) -> Ping:
        """Return a ping of this node."""
        return Ping(nonce, target, self._desk.table.digest, self._desk.ring)

    # -- rounds ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        desk = self._desk
        target = self._next_target()
        self._next = None
        if target is None or desk.leaving:
            return
        settings, factor = desk.settings, desk.health.factor
        probe = self._round = Round(target.node_id, desk.now)
        nonce = desk.nonce(lambda sender, _: self._answered(probe, sender, direct=True))
        probe.nonces.append(nonce)
        desk.send(target.profile.address, *bad_words(desk, target), self.ping(nonce, target.node_id))
        self._insisting = desk.agenda.at(
            desk.now + settings.probe_timeout_s * factor, lambda: self._insist(probe)
        )
        self._next = desk.agenda.at(desk.now + settings.probe_interval_s * factor, lambda: self._end(probe))

    def _next_target(self) -> Member | None:
        """Return whom to probe now: who is suspected by others, else the successor and the list in turns."""
        table = self._desk.table
        urgent, self._urgent = self._urgent, None
        if urgent is not None and (suspect := table.live(urgent)) is not None:
            return suspect
        self._turn += 1
        return table.successor() if self._turn % 2 else self._next_of_pass()

    def _next_of_pass(self) -> Member | None:
        """Return the next live peer of the pass; the dead are taken off the list on the way."""
        table = self._desk.table
        while self._order:
            if self._at >= len(self._order):
                self._order = [peer.node_id for peer in table.peers]
                self._desk.dice.shuffle(self._order)
                self._at = 0
                continue
            member = table.live(self._order[self._at])
            if member is not None:
                self._at += 1
                return member
            self._order.pop(self._at)
        self._order = [peer.node_id for peer in table.peers]
        self._at = 0
        return None if not self._order else self._next_of_pass()

    def _insist(self, probe: Round) -> None:
        """No direct answer in time: through helpers, and by a stream, which loses no single packet."""
        desk = self._desk
        target = desk.table.live(probe.target)
        if probe.answered or target is None:
            return
        nonce = desk.nonce(lambda sender, _: self._answered(probe, sender, direct=False))
        probe.nonces.append(nonce)
        self._nacks[nonce] = probe
        for helper in self.pick(desk.settings.indirect_probes, probe.target):
            probe.helpers.add(helper.node_id)
            desk.send(helper.profile.address, PingRequest(nonce, probe.target))
        desk.send_frame(target.profile.address, *bad_words(desk, target), self.ping(nonce, probe.target))

    def _answered(self, probe: Round, sender: NodeId, *, direct: bool) -> None:
        if sender != probe.target or probe.answered:
            return
        desk = self._desk
        probe.answered = True
        desk.health.add(-1)
        member = desk.table.live(sender)
        if direct and member is not None:
            rtt_s = desk.now - probe.began
            known = member.rtt_s if member.rtt_s is not None else rtt_s
            member.rtt_s = known + RTT_SHARE * (rtt_s - known)

    def _end(self, probe: Round) -> None:
        desk = self._desk
        for nonce in probe.nonces:
            desk.awaited.pop(nonce, None)
            self._nacks.pop(nonce, None)
        if self._insisting is not None:
            self._insisting.cancel()
        self._round = None
        self._judge(probe)
        self._begin()

    def _judge(self, probe: Round) -> None:
        """Accuse who did not answer, once."""
        desk = self._desk
        if not probe.answered and not probe.void and not probe.judged:
            probe.judged = True
            # A helper that does not even say that it got no answer did not hear this node, or was not heard
            # by it.
            desk.health.add(len(probe.helpers) - len(probe.nacks) if probe.helpers else 1)
            self.membership.accuse(probe.target)

    def nack(self, nonce: int, sender: NodeId) -> None:
        """A helper got no answer either, but is there."""
        probe = self._nacks.get(nonce)
        if probe is None or sender not in probe.helpers:
            return
        probe.nacks.add(sender)
        # All helpers are heard well, and none was answered: the rest of the round would show no more. A node
        # that keeps up badly waits for it nevertheless.
        enough = len(probe.nacks) == len(probe.helpers) == self._desk.settings.indirect_probes
        if enough and self._desk.health.points == 0:
            self._judge(probe)

    # -- for others --------------------------------------------------------------------------------

    def relay(self, request: PingRequest, requester: str) -> None:
        """Probe somebody for another node, and say within the time that it has what came of it."""
        desk = self._desk
        target = desk.table.live(request.target)
        if target is None or self._relays >= RELAYS_MAX:
            desk.counters["relays_refused"] += target is not None
            desk.send(requester, Nack(request.nonce))
            return
        settings = desk.settings
        self._relays += 1

        def answered(sender: NodeId, generation: int) -> None:
            if sender == request.target:
                silence.cancel()
                desk.awaited.pop(nonce, None)
                desk.send(requester, RelayedAck(request.nonce, sender, generation))

        def over() -> None:
            self._relays -= 1
            desk.awaited.pop(nonce, None)

        nonce = desk.nonce(answered)
        rest_s = settings.probe_interval_s - settings.probe_timeout_s
        silence = desk.agenda.at(
            desk.now + NACK_RATIO * rest_s, lambda: desk.send(requester, Nack(request.nonce))
        )
        desk.agenda.at(desk.now + settings.probe_interval_s, over)
        desk.send(target.profile.address, *bad_words(desk, target), self.ping(nonce, request.target))

    def answer(self, ping: Ping, sender: NodeId, generation: int, address: str, *, stream: bool) -> None:
        """Answer a ping, and say what is believed of the one who asks if it should know."""
        desk = self._desk
        if ping.target != desk.node_id:
            desk.counters["pings_for_others"] += 1
            return
        words: list[Message] = []
        asker = desk.table.get(sender)
        if asker is not None and sender != desk.node_id:
            words = bad_words(desk, asker)
            if asker.live and generation < asker.generation:
                words = [Rumour(asker.record())]
        ack = Ack(ping.nonce, desk.table.digest, desk.ring)
        if stream:
            desk.send_frame(address, *words, desk.own_word(), ack)
        else:
            desk.send(address, *words, ack)


def bad_words(desk: Desk, member: Member) -> list[Message]:
    """What is said of a member behind its back, and should be said to its face, so that it can refute."""
    numbers = (member.node_id, member.generation, member.incarnation)
    if member.status is Status.SUSPECT:
        return [Suspect(*numbers, desk.node_id)]
    if member.status is Status.DEAD:
        return [Dead(*numbers, desk.node_id)]
    return []
