"""Recovery by force among nodes: nothing is forced on a guess; who was given up is out when it is back."""

from __future__ import annotations

import pytest

from ringdict.node.network.message import Commanded, Recover, Refused, Reply
from ringdict.ring.config import LINEAGE_EPOCHS

from .test_epochs import Lab


def asked(lab: Lab, at: int, lost: list[int], **other: object) -> Recover:
    view = lab.view(at)
    ids = [bytes(member.member_id) for member in view.decree.members if member.address in name(lost)]
    parts = {"cluster_id": view.decree.cluster_id, "mark": view.mark, "lost": ids} | other
    return Recover(0, **parts)  # type: ignore[arg-type]


def name(numbers: list[int]) -> set[str]:
    return {f"n{number}" for number in numbers}


def recover(lab: Lab, question: Recover, at: int) -> Reply:
    answers: list[Reply] = []
    lab.node(at).epochs._recoverer.ask(question, answers.append)
    lab.simulation.run_for(3.0)
    assert len(answers) == 1
    return answers[0]


def without(lab: Lab, *numbers: int) -> None:
    for number in numbers:
        lab.simulation.crash(lab.hosts[number])


def settled(count: int) -> Lab:
    lab = Lab(count)
    lab.settle()
    return lab


def test_a_survivor_goes_on_alone_and_those_given_up_come_in_anew() -> None:
    lab = settled(3)
    without(lab, 0, 1)
    assert isinstance(recover(lab, asked(lab, 2, [0, 1]), 2), Commanded)
    assert lab.view(2).epoch >= LINEAGE_EPOCHS
    assert set(lab.states(2)) == {"n2"}
    for number in (0, 1):
        lab.simulation.restart(lab.hosts[number])
    for _ in range(400):
        lab.simulation.run_for(0.1)
        if len(lab.states(2)) == 3:
            break
    assert set(lab.states(2)) == {"n0", "n1", "n2"}
    assert lab.view(2).decree.members[0].address == "n2"
    out = [view.me is None for view in lab.views[lab.nodes[0]] if view.decree.recoveries]
    assert out[0]


def test_the_same_asked_for_again_is_answered_as_done() -> None:
    lab = settled(3)
    without(lab, 0, 1)
    question = asked(lab, 2, [0, 1])
    assert isinstance(recover(lab, question, 2), Commanded)
    before = lab.view(2).decree.recoveries
    assert isinstance(recover(lab, question, 2), Commanded)
    assert lab.view(2).decree.recoveries == before


@pytest.mark.parametrize(
    ("dead", "lost", "words"),
    [
        ([0], [0, 1], "is not lost: it answers"),
        ([0, 1, 3], [0, 1], "does not answer"),
        ([0], [0], "remove them instead"),
        ([0, 1], [0, 1, 2], "this node is not lost"),
    ],
)
def test_nothing_is_forced_on_a_guess(dead: list[int], lost: list[int], words: str) -> None:
    lab = settled(4)
    without(lab, *dead)
    reply = recover(lab, asked(lab, 2, lost), 2)
    assert isinstance(reply, Refused)
    assert words in reply.text
    assert lab.view(2).epoch < LINEAGE_EPOCHS


def test_another_cluster_or_another_ring_is_not_meant() -> None:
    lab = settled(3)
    without(lab, 0, 1)
    reply = recover(lab, asked(lab, 2, [0, 1], cluster_id=b"x" * 16), 2)
    assert isinstance(reply, Refused)
    assert "this is cluster" in reply.text
    reply = recover(lab, asked(lab, 2, [0, 1], mark=(2, bytes(8))), 2)
    assert isinstance(reply, Refused)
    assert "look again" in reply.text


def test_two_survivors_go_by_one_recovery() -> None:
    lab = settled(5)
    without(lab, 0, 1, 2)
    assert isinstance(recover(lab, asked(lab, 4, [0, 1, 2]), 4), Commanded)
    lab.simulation.run_for(5.0)
    assert lab.view(3).decree.recoveries == lab.view(4).decree.recoveries != ()
    assert set(lab.states(3)) == {"n3", "n4"}
