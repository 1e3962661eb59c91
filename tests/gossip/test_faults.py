"""Random faults, then none: what must always hold holds, and in the end all agree.

Safety, at every event: a node's word about another never goes back to lower numbers, and the table is
consistent. Liveness, once nothing is broken any more: everybody who is up is alive for everybody, nobody else
is.
"""

from __future__ import annotations

import random

import pytest

from ringdict.gossip.instruction import Instruction, MemberChanged
from ringdict.gossip.member import NodeId, Status
from ringdict.sim.gossipworld import Node, World

FAULTS_S = 60.0
HEAL_S = 60.0


class Checked(World):
    """Looks at every event for numbers that go back."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, loss=0.05)
        self.validate = True
        self.highest: dict[tuple[int, NodeId], tuple[int, int]] = {}
        self.watch = self.look

    def look(self, node: Node, instruction: Instruction) -> None:
        if isinstance(instruction, MemberChanged):
            member = instruction.member
            numbers = (member.generation, 0 if member.status is Status.LEFT else member.incarnation)
            key = (id(node), member.node_id)
            if member.status is not Status.LEFT:
                assert numbers >= self.highest.get(key, (0, 0)), f"{node.name} at {self.now}: {member}"
                self.highest[key] = numbers


def fault_of_nodes(world: World, dice: random.Random) -> None:
    """Somebody stops, starts or leaves."""
    up = world.live
    here = {node.core.node_id for node in up}
    down = [
        node for node in world.nodes if not node.up and node.halted is None and node.core.node_id not in here
    ]
    seeds = [node.address for node in dice.sample(up, min(2, len(up)))]
    kind = dice.choice(["crash", "restart", "restart", "leave", "join"])
    if kind == "crash" and len(up) > 2:
        world.crash(dice.choice(up))
    elif kind == "restart" and down:
        moved = f"moved-{world.now:.3f}:7000" if dice.random() < 0.3 else None
        world.restart(dice.choice(down), address=moved, seeds=seeds)
    elif kind == "leave" and len(up) > 3:
        node = dice.choice(up)
        if not node.blocked:
            world.do(node, node.core.leave(world.now))
    elif kind == "join" and len(world.nodes) < 20:
        world.add(seeds=seeds)


def fault_of_the_network(world: World, dice: random.Random) -> None:
    """Something is cut, mended, lossy or slow."""
    up = world.live
    kind = dice.choice(["cut", "one way", "mend", "slow", "block", "loss"])
    if kind == "cut":
        side = {id(node) for node in dice.sample(up, len(up) // 2)}
        world.cut = lambda sender, receiver: (id(sender) in side) != (id(receiver) in side)
    elif kind == "one way":
        deaf = dice.choice(up)
        world.cut = lambda sender, receiver: receiver is deaf
    elif kind == "mend":
        world.cut = lambda sender, receiver: False
    elif kind == "slow":
        dice.choice(up).slow_s = (0.5, 2.5)
    elif kind == "loss":
        world.loss = dice.choice([0.0, 0.05, 0.2])
    else:
        node = dice.choice(up)
        if not node.blocked:
            world.block(node, 10.0 * dice.random())


def strays(world: World) -> list[Node]:
    """One node of each group that no chain of known addresses leads to or from."""
    up = world.live
    knows = {node.address: set(node.core.known_members().values()) for node in up}
    found: list[Node] = []
    reached: set[str] = set()
    for node in up:
        if node.address in reached:
            continue
        if reached:
            found.append(node)
        wave = {node.address}
        while wave:
            reached |= wave
            wave = {
                other.address
                for other in up
                if knows[other.address] & wave or any(other.address in knows[one] for one in wave)
            } - reached
    return found


def play(seed: int) -> None:
    world = Checked(seed)
    dice = random.Random(seed)
    world.form(dice.randrange(3, 9))
    while world.now < FAULTS_S:
        world.run(4.0 * dice.random())
        dice.choice([fault_of_nodes, fault_of_the_network])(world, dice)
    world.cut = lambda sender, receiver: False
    world.loss = 0.0
    for node in world.nodes:
        node.slow_s = None
    world.run(11.0)  # until nobody is blocked
    for stray in strays(world):
        # Nobody up knows where it is, nor does it know of anybody: the names of its seeds have to resolve
        # anew.
        world.do(stray, stray.core.set_seeds([world.live[0].address], world.now))
    assert world.run(HEAL_S, until=world.agree) is not None, f"seed {seed}: no one view"
    world.run(20.0)
    assert world.agree(), f"seed {seed}: the one view did not last"
    for one in world.live:
        assert all(one.believes(other) is Status.ALIVE for other in world.live), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_after_random_faults_all_agree(seed: int) -> None:
    play(seed)


@pytest.mark.deep
@pytest.mark.parametrize(
    "block", [0, 1, *(pytest.param(one, marks=pytest.mark.campaign) for one in range(2, 10))]
)
@pytest.mark.timeout(900)
def test_after_random_faults_all_agree_over_a_thousand_seeds(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        play(seed)
