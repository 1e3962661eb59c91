"""Epochs of a few nodes: they found, join, leave, catch up, and refuse strangers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ringdict.node.network.message import Commanded, Refused, Reply, Unknown
from ringdict.node.ringview import RingView
from ringdict.node.world import Address, World
from ringdict.ring.member import Member, MemberState
from ringdict.sim.epochnode import EpochNode
from ringdict.sim.scenario import module_of
from ringdict.sim.simulation import Simulation


class Lab:
    """Some nodes, of which those in `founders` found a cluster each and the others join one."""

    partitions, replicas = 16, 3
    node_class = EpochNode

    def __init__(self, count: int, founders: dict[str, bytes] | None = None, up: int | None = None) -> None:
        self.simulation = Simulation(seed=1)
        self.nodes: Sequence[Address] = [Address(f"n{number}") for number in range(count)]
        self.founders = {"n0": b"c" * 16} if founders is None else founders
        self.views: dict[Address, list[RingView]] = {}
        self.hosts = [
            self.simulation.host(
                name, lambda world: self.node_class(world, self), start=up is None or number < up
            )
            for number, name in enumerate(self.nodes)
        ]

    def make(self, world: World) -> EpochNode:
        return self.node_class(world, self)

    def founds(self, address: Address) -> bytes:
        return self.founders.get(address, b"")

    def founded(self, address: Address) -> None:
        self.founders.pop(address, None)

    def saw(self, world: World, view: RingView) -> None:
        self.views.setdefault(world.identity.address, []).append(view)

    def node(self, number: int) -> EpochNode:
        process = self.hosts[number].process
        assert isinstance(process, EpochNode)
        return process

    def view(self, number: int) -> RingView:
        view = self.node(number).epochs.view
        assert view is not None
        return view

    def states(self, number: int = 0) -> dict[str, MemberState]:
        return {member.address: member.state for member in self.view(number).decree.members}

    def command(self, verb: str, of: int, at: int = 0, **traits: object) -> Reply:
        answers: list[Reply] = []
        member = Member(self.node(of).me, MemberState.ACTIVE, **traits)  # type: ignore[arg-type]
        self.node(at).epochs.command(verb, member, answers.append)
        for _ in range(200):
            if answers:
                return answers[0]
            self.simulation.run_for(0.1)
        raise AssertionError(f"{verb} was not answered")

    def settle(self, span_s: float = 20.0) -> None:
        for _ in range(int(span_s * 10)):
            self.simulation.run_for(0.1)
            if all(host.up and self.node(n).epochs.view for n, host in enumerate(self.hosts)):
                marks = {self.view(n).mark for n in range(len(self.hosts))}
                decree = self.view(0).decree
                if len(marks) == 1 and decree.pending is None and not any(decree.former):
                    return
        raise AssertionError([host.process and self.view(n).mark for n, host in enumerate(self.hosts)])


ACTIVE = MemberState.ACTIVE


def test_one_node_grows_to_three_through_two() -> None:
    lab = Lab(3)
    lab.settle()
    assert lab.states(2) == {"n0": ACTIVE, "n1": ACTIVE, "n2": ACTIVE}
    assert all(len(lab.view(0).owners(partition)) == 3 for partition in range(16))
    for views in lab.views.values():
        epochs = [view.epoch for view in views]
        assert epochs == sorted(set(epochs))


def test_all_go_by_the_ring_that_they_went_by_before_a_power_cut() -> None:
    lab = Lab(3)
    lab.settle()
    before = lab.view(0).mark
    lab.simulation.cut_power(lab.hosts)
    for host in lab.hosts:
        lab.simulation.restart(host)
    lab.simulation.run_for(0.1)
    assert [lab.view(number).mark for number in range(3)] == [before] * 3


def test_one_that_leaves_is_forgotten_and_learns_it() -> None:
    lab = Lab(4)
    lab.settle()
    reply = lab.command("leave", of=3, at=1)
    assert isinstance(reply, Commanded)
    for _ in range(100):
        lab.simulation.run_for(0.1)
        if lab.view(3).me is None:
            break
    assert "n3" not in lab.states(3)
    assert lab.view(3).owned() == []


def test_a_dead_junior_of_two_is_dropped_and_a_dead_senior_blocks() -> None:
    lab = Lab(2)
    lab.settle()
    dead = lab.node(1).me
    lab.simulation.crash(lab.hosts[1])
    answers: list[Reply] = []
    lab.node(0).epochs.command("remove", Member(dead, ACTIVE), answers.append)
    lab.simulation.run_for(10.0)
    assert [type(answer) for answer in answers] == [Commanded]
    assert lab.states(0) == {"n0": ACTIVE}

    lab = Lab(2)
    lab.settle()
    dead = lab.node(0).me
    lab.simulation.crash(lab.hosts[0])
    lab.node(1).epochs.command("remove", Member(dead, ACTIVE), answers.append)
    lab.simulation.run_for(10.0)
    assert isinstance(answers[1], Refused | Unknown)
    assert "majority" in answers[1].text


def test_clusters_that_were_founded_apart_refuse_each_other_once() -> None:
    lab = Lab(4, founders={"n0": b"a" * 16, "n1": b"b" * 16})
    lab.simulation.run_for(30.0)
    clusters = [lab.view(number).decree.cluster_id for number in range(4)]
    assert clusters[:2] == [b"a" * 16, b"b" * 16]
    for number in range(2):
        complaints = lab.node(number).epochs.complaints
        assert complaints
        assert len(complaints) <= 4
        assert all("founded apart do not merge" in text for text in complaints)


def test_what_a_ring_cannot_do_is_refused_in_words() -> None:
    lab = Lab(3)
    lab.settle()
    for verb, of, words in [
        ("cancel", 1, "neither joining nor leaving"),
        ("explode", 1, "is no change of a ring"),
    ]:
        reply = lab.command(verb, of)
        assert isinstance(reply, Refused)
        assert words in reply.text
    assert isinstance(lab.command("join", of=1), Commanded)  # it is in already
    stranger: list[Reply] = []
    lab.node(0).epochs.command("leave", Member(b"s" * 16, ACTIVE), stranger.append)
    lab.simulation.run_for(1.0)
    assert isinstance(stranger[0], Refused)
    assert "is no member" in stranger[0].text


def test_a_newcomer_whose_note_that_it_is_new_is_damaged_halts_and_asks_nobody() -> None:
    lab = Lab(2, founders={})
    lab.founders = {"n0": b"c" * 16}
    lab.hosts[0].down_count += 1  # nobody is there to join yet
    lab.simulation.run_for(1.0)
    lab.hosts[1].disk.volume("consensus")
    lab.node(1).epochs._log.write_intent(lambda _on_disk: None)
    lab.simulation.run_for(1.0)
    assert lab.hosts[1].disk.rot("consensus")
    starts = lab.hosts[1].starts_count
    lab.simulation.restart(lab.hosts[0])
    lab.simulation.run_for(10.0)
    assert lab.hosts[1].starts_count > starts + 5
    assert set(lab.states(0)) == {"n0"}


def test_a_node_uses_no_ballot_again_after_a_restart() -> None:
    lab = Lab(2)
    lab.settle()
    before = lab.node(0).epochs._changes.ballot(1)
    lab.simulation.crash(lab.hosts[0])
    lab.simulation.restart(lab.hosts[0])
    lab.simulation.run_for(1.0)
    assert lab.node(0).epochs._changes.ballot(1) > before


def test_a_partition_waits_for_an_old_owner_that_does_not_know_yet_and_not_for_a_removed_one() -> None:
    lab = Lab(4, up=3)
    lab.simulation.run_for(20.0)
    dead = lab.node(2).me
    lab.simulation.crash(lab.hosts[2])
    lab.hosts[3].start()
    lab.simulation.run_for(20.0)
    decree = lab.view(0).decree
    assert decree.pending is not None
    number = decree.number_of(dead)
    assert number is not None
    assert all(
        number in decree.owners(partition)
        for partition in range(16)
        if decree.table.row(partition) != decree.pending.row(partition)
    )
    answers: list[Reply] = []
    lab.node(0).epochs.command("remove", Member(dead, ACTIVE), answers.append)
    lab.simulation.run_for(20.0)
    assert [type(answer) for answer in answers] == [Commanded]
    assert lab.states(0) == {"n0": ACTIVE, "n1": ACTIVE, "n3": ACTIVE}


def digests_of_a_split_in_halves(node_class: type[EpochNode]) -> int:
    """Of four, each half wants to remove one of the other; how many decrees of the next epoch there are."""

    class Split(Lab):
        pass

    Split.node_class = node_class
    lab = Split(4)
    lab.settle()
    epoch, ids = lab.view(0).epoch, [lab.node(number).me for number in range(4)]
    with lab.simulation.network.partition(set(lab.nodes[:2]), set(lab.nodes[2:])):
        for at, of in ((0, 3), (2, 1)):
            lab.node(at).epochs.command("remove", Member(ids[of], ACTIVE), lambda _reply: None)
        lab.simulation.run_for(10.0)
    views = [view for seen in lab.views.values() for view in seen if view.epoch == epoch + 1]
    return len({view.mark for view in views})


def test_a_removal_is_decided_by_all_and_not_by_the_rest() -> None:
    assert digests_of_a_split_in_halves(EpochNode) == 0
    wrong = module_of(str(Path(__file__).parents[1] / "sim" / "wrongepochs.py"))
    assert digests_of_a_split_in_halves(wrong.RemoveByRest.node_class) == 2  # type: ignore[attr-defined]
