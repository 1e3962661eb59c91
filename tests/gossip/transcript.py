"""Six scenarios as text: what was said and what was believed, in order. They are golden files, and
documentation.

    python -m tests.gossip.transcript   # writes them anew; then read the difference

Left out are pings and acks alone, and letters whose words the same node has told the same one before: a
rumour is sent a dozen times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ringdict.gossip.codec import decode, label_of
from ringdict.gossip.config import FRAME_BYTES_MAX
from ringdict.gossip.instruction import (
    Halt,
    Instruction,
    KeepGeneration,
    MemberChanged,
    SendDatagram,
    SendFrame,
)
from ringdict.gossip.member import NodeId, Record, Status
from ringdict.gossip.message import (
    Ack,
    Broadcast,
    Dead,
    Duplicate,
    Entry,
    Left,
    Message,
    Nack,
    Ping,
    PingRequest,
    RelayedAck,
    Rumour,
    Suspect,
    SyncAsk,
    SyncTell,
)
from ringdict.sim.gossipworld import Node, World

FOLDER = Path(__file__).resolve().parents[1] / "transcripts"
LABEL = label_of("ringdict")


class Transcript:
    """Writes down what the nodes of a world say and believe."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: list[str] = []
        self.said: set[tuple[str, str, str]] = set()  # by whom to whom
        world.watch = self.watch

    def note(self, text: str) -> None:
        self.lines.append(f"{self.world.now:8.3f}  -- {text}")

    def name(self, node_id: NodeId) -> str:
        return self.world.names.get(node_id, "nobody")

    def watch(self, node: Node, instruction: Instruction) -> None:
        at = f"{self.world.now:8.3f}  {node.name}"
        match instruction:
            case MemberChanged(change, member):
                numbers = f"{member.generation}.{member.incarnation}"
                self.lines.append(f"{at}  {change.value}: {self.name(member.node_id)} {numbers}")
            case Halt(reason):
                self.lines.append(f"{at}  halted: {reason.name.lower()}")
            case KeepGeneration(generation):
                self.lines.append(f"{at}  keeps generation {generation}")
            case SendDatagram(address, data) | SendFrame(address, data):
                said = list(self.words(decode(data, LABEL, bytes_max=FRAME_BYTES_MAX).messages))
                news = {(node.name, address, word) for word in said if word not in ("ping", "ack")}
                if not news <= self.said:
                    self.said |= news
                    to = self.world.by_address.get(address)
                    arrow = "=>" if isinstance(instruction, SendFrame) else "->"
                    self.lines.append(f"{at} {arrow} {to.name if to else address}: {', '.join(said)}")
            case _:
                pass

    def words(self, messages: list[Message]) -> Iterator[str]:
        entries = [message.record for message in messages if isinstance(message, Entry)]
        for message in messages:
            if not isinstance(message, Entry):
                yield self.word(message)
        if entries:
            yield "entries " + " ".join(map(self.record, entries))

    def record(self, record: Record) -> str:
        mark = {Status.ALIVE: "", Status.SUSPECT: "?", Status.DEAD: "+", Status.LEFT: "-"}[record.status]
        return f"{self.name(record.node_id)}{mark} {record.generation}.{record.incarnation}"

    def word(self, message: Message) -> str:
        text = ""
        match message:
            case Ping() | Ack() | Nack():
                text = type(message).__name__.lower()
            case PingRequest(_, target):
                text = f"please ping {self.name(target)}"
            case RelayedAck(_, target):
                text = f"{self.name(target)} acked"
            case Rumour(record):
                text = f"alive {self.record(record)}"
            case Suspect() | Dead():
                numbers = f"{message.generation}.{message.incarnation} by {self.name(message.reporter)}"
                text = f"{type(message).__name__.lower()} {self.name(message.node_id)} {numbers}"
            case Left(node_id, generation, incarnation):
                text = f"left {self.name(node_id)} {generation}.{incarnation}"
            case SyncAsk():
                text = "sync?"
            case SyncTell(mask, answer):
                text = f"sync of {mask.bit_count()} buckets" + (", and yours?" if answer else "")
            case Duplicate(node_id, elder, younger):
                text = f"duplicate {self.name(node_id)}: {elder} is alive, {younger} has to stop"
            case Broadcast(origin, _, number):
                text = f"broadcast {number} of {self.name(origin)}"
            case Entry(record):
                text = self.record(record)
        return text


def join() -> list[str]:
    """Two nodes know each other; a third knows one of them."""
    world = World(1)
    transcript = Transcript(world)
    first = world.add()
    world.add(seeds=[first.address])
    world.run(3.0)
    transcript.note("n2 starts, and knows n0's address")
    world.add(seeds=[first.address])
    world.run(3.0)
    assert world.agree()
    return transcript.lines


def crash() -> list[str]:
    """One of four dies."""
    world = World(2)
    nodes = world.form(4)
    transcript = Transcript(world)
    world.run(2.0)
    transcript.note("n3 is killed")
    world.crash(nodes[3])
    world.run(8.0)
    assert world.agree()
    return transcript.lines


def slow_node() -> list[str]:
    """One of four reads everything 1.2 to 1.6 s late: suspected again and again, never dead."""
    world = World(3)
    nodes = world.form(4)
    transcript = Transcript(world)
    world.run(2.0)
    transcript.note("n3 reads 1.2 to 1.6 s late")
    nodes[3].slow_s = (1.2, 1.6)
    world.run(8.0)
    transcript.note("n3 reads in time again")
    nodes[3].slow_s = None
    world.run(8.0)
    assert world.agree()
    assert not world.false_deaths()
    return transcript.lines


def one_way_cut() -> list[str]:
    """Of four, n0 does not hear n3, which hears everybody. Helpers do."""
    world = World(4)
    nodes = world.form(4)
    transcript = Transcript(world)
    world.run(2.0)
    transcript.note("nothing of n3 arrives at n0 any more, by stream neither")
    world.cut = lambda sender, receiver: sender is nodes[3] and receiver is nodes[0]
    world.run(10.0)
    transcript.note("mended")
    world.cut = lambda sender, receiver: False
    world.run(3.0)
    assert world.agree()
    assert not world.false_deaths()
    return transcript.lines


def partition_and_heal() -> list[str]:
    """Four nodes, cut in two for 40 s."""
    world = World(5)
    nodes = world.form(4)
    transcript = Transcript(world)
    world.run(1.0)
    transcript.note("n0 n1 | n2 n3")
    with world.partition(nodes[:2], nodes[2:]):
        world.run(40.0)
    transcript.note("the cut ends")
    took = world.run(20.0, until=world.agree)
    transcript.note(f"one view, {took:.3f} s later")
    world.run(1.0)
    return transcript.lines


def mass_restart() -> list[str]:
    """Three nodes are killed at once, and start again with what they had written down."""
    world = World(6)
    nodes = world.form(3)
    transcript = Transcript(world)
    world.run(1.0)
    transcript.note("all are killed")
    for node in nodes:
        world.crash(node)
    world.run(1.0)
    transcript.note("all start, in generation 2")
    for node in nodes:
        world.restart(node)
    took = world.run(20.0, until=world.agree)
    transcript.note(f"one view, {took:.3f} s later")
    world.run(1.0)
    return transcript.lines


SCENARIOS: dict[str, Callable[[], list[str]]] = {
    "gossip-join": join,
    "gossip-crash": crash,
    "gossip-slow-node": slow_node,
    "gossip-one-way-cut": one_way_cut,
    "gossip-partition-and-heal": partition_and_heal,
    "gossip-mass-restart": mass_restart,
}


def text_of(name: str) -> str:
    scenario = SCENARIOS[name]
    legend = "-> datagram, => stream; alive n1 2.3: generation 2, incarnation 3; ? suspected, + dead, - left"
    return "\n".join([f"# {scenario.__doc__}", f"# {legend}", "", *scenario(), ""])


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SCENARIOS:
        (FOLDER / f"{name}.txt").write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
