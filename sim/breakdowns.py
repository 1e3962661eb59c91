"""Faults of hosts: processes that die or dawdle, disks that forget, clocks that lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from .config import MS, S
from .fault import Drawn, Fault, Field, Kind, hit, log_uniform, one, span


class Crash(Kind):
    """A process is killed, and started again some time later."""

    name = "crash"
    rate = (0.1, 1.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 0.8 if dice.random() < 0.7 else 0.02))

    def begin(self, field: Field, fault: Fault) -> None:
        field.simulation.crash(field.nodes[fault.nodes[0]])

    def end(self, field: Field, fault: Fault) -> None:
        field.simulation.restart(field.nodes[fault.nodes[0]])

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} is killed"


class Bounce(Kind):
    """Some processes, up to a majority, are killed at one instant, and are back before an answer is due."""

    name = "bounce"
    rate = (0.1, 2.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        hurt = dice.randrange(1, count // 2 + 2)
        return Drawn(tuple(sorted(dice.sample(range(count), hurt))), span(dice, 0.005))

    def begin(self, field: Field, fault: Fault) -> None:
        for number in fault.nodes:
            field.simulation.crash(field.nodes[number])

    def end(self, field: Field, fault: Fault) -> None:
        for number in fault.nodes:
            field.simulation.restart(field.nodes[number])

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} restart at once"


class PowerCut(Kind):
    """Some hosts lose power at one instant, often all; their disks lose what was not synced."""

    name = "power"
    rate = (0.05, 0.3)

    def draw(self, dice: Random, count: int) -> Drawn:
        hurt = count if dice.random() < 0.5 else dice.randrange(1, count + 1)
        return Drawn(tuple(sorted(dice.sample(range(count), hurt))), span(dice, 0.5))

    def begin(self, field: Field, fault: Fault) -> None:
        field.simulation.cut_power(field.nodes[number] for number in fault.nodes)

    def end(self, field: Field, fault: Fault) -> None:
        for number in fault.nodes:
            field.simulation.restart(field.nodes[number])

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the power of {hit(fault, names)} fails"


class Armed(Kind):
    """Base of those that wait for the right moment: `for_ns` is how long they wait, `amount` the time
    down."""

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), S, span(dice, 0.02 if dice.random() < 0.5 else 0.5))

    def restart_later(self, field: Field, fault: Fault) -> None:
        """Once it has died."""
        simulation = field.simulation
        for number in fault.nodes:
            simulation.loop.call_after(fault.amount, simulation.restart, field.nodes[number])


class CrashAfterSend(Armed):
    """A process dies right after it has sent something: others know what it has forgotten."""

    name = "crash-after-send"
    rate = (0.1, 2.0)

    def begin(self, field: Field, fault: Fault) -> None:
        host = field.nodes[fault.nodes[0]]
        field.simulation.crash_after_send(host, lambda: self.restart_later(field, fault))

    def end(self, field: Field, fault: Fault) -> None:
        field.simulation.network.watched.pop(field.nodes[fault.nodes[0]].address, None)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} dies right after it sends something"


class CrashBeforeSync(Armed):
    """A host loses power between a write and the sync of it, and often others, or all, lose it with it."""

    name = "crash-before-sync"
    rate = (0.1, 2.0)

    def draw(self, dice: Random, count: int) -> Drawn:
        hurt = dice.choice((1, 1, count // 2 + 1, count))
        drawn = super().draw(dice, count)
        return replace(drawn, nodes=tuple(dice.sample(range(count), hurt)))

    def begin(self, field: Field, fault: Fault) -> None:
        first, *others = (field.nodes[number] for number in fault.nodes)

        def then() -> None:
            field.simulation.cut_power(others)
            self.restart_later(field, fault)

        field.simulation.crash_before_sync(first, then, power=True)

    def end(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].disk.on_commit = None

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        first = names[fault.nodes[0]]
        return f"the power of {hit(fault, names)} fails between a write of {first} and its sync"


class Pause(Kind):
    """A process stands still, and all that came meanwhile comes at once when it goes on."""

    name = "pause"
    rate = (0.03, 0.3)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), int(log_uniform(dice, 100 * MS, 10 * S)))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].pause()

    def end(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].resume()

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} stands still"


class Slow(Kind):
    """A process takes `amount` nanoseconds for whatever it is told: it is not dead, and of little use."""

    name = "slow"
    rate = (0.03, 0.2)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 3.0), int(log_uniform(dice, 1 * MS, 50 * MS)))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].slow_ns += fault.amount

    def end(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].slow_ns -= fault.amount

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} takes {fault.amount / MS:.0f} ms for everything"


class Lost(Kind):
    """A host burns down. Nothing comes in its place."""

    name = "lost"
    rate = (0.01, 0.05)
    lasting = True

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count))

    def begin(self, field: Field, fault: Fault) -> None:
        host = field.nodes[fault.nodes[0]]
        host.lost = True
        host.crash(power=True)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} is lost for ever"


class Replaced(Kind):
    """A host burns down, and later another one with an empty disk starts at its address."""

    name = "replaced"
    rate = (0.01, 0.05)
    lasting = True

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0))

    def begin(self, field: Field, fault: Fault) -> None:
        host = field.nodes[fault.nodes[0]]
        host.down_count += 1
        host.replace()

    def end(self, field: Field, fault: Fault) -> None:
        field.simulation.restart(field.nodes[fault.nodes[0]])

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"{hit(fault, names)} is lost, and a fresh host takes its address"


class SlowDisk(Kind):
    """Every sync takes longer by `amount` nanoseconds."""

    name = "disk-slow"
    rate = (0.05, 0.5)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0), int(log_uniform(dice, 20 * MS, 300 * MS)))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].disk.slow_ns += fault.amount

    def end(self, field: Field, fault: Fault) -> None:
        disk = field.nodes[fault.nodes[0]].disk
        disk.slow_ns = max(0, disk.slow_ns - fault.amount)  # the disk may be another by now

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"each sync on {hit(fault, names)} takes {fault.amount // MS} ms longer"


class FailingDisk(Kind):
    """The next sync fails, and nobody knows what is on the disk."""

    name = "disk-fails"
    rate = (0.03, 0.2)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].disk.failing_count = 1

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the next sync on {hit(fault, names)} fails"


class FullDisk(Kind):
    """The disk takes nothing."""

    name = "disk-full"
    rate = (0.02, 0.1)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 2.0))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].disk.full = True

    def end(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].disk.full = False

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the disk of {hit(fault, names)} is full"


class Rot(Kind):
    """A bit turns in something that was written long ago."""

    name = "rot"
    rate = (0.01, 0.05)
    lasting = True

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count))

    def begin(self, field: Field, fault: Fault) -> None:
        disk = field.nodes[fault.nodes[0]].disk
        for name in sorted(disk.volumes):
            if disk.rot(name):
                return

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"a bit rots on the disk of {hit(fault, names)}"


class ClockJump(Kind):
    """A wall clock jumps by `amount` nanoseconds, in either direction."""

    name = "clock-jump"
    rate = (0.05, 0.3)

    def draw(self, dice: Random, count: int) -> Drawn:
        size = int(log_uniform(dice, 1 * MS, 3600 * S))
        return Drawn(one(dice, count), amount=size if dice.random() < 0.5 else -size)

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].clock.skew_ns += fault.amount

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the wall clock of {hit(fault, names)} jumps by {fault.amount / S:+.3f} s"


class ClockRate(Kind):
    """The clocks of a host run too fast, or too slow, by `amount` parts per million."""

    name = "clock-rate"
    rate = (0.03, 0.2)

    def draw(self, dice: Random, count: int) -> Drawn:
        return Drawn(one(dice, count), span(dice, 5.0), dice.randrange(-50_000, 50_001))

    def begin(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].clock.set_rate(fault.amount)

    def end(self, field: Field, fault: Fault) -> None:
        field.nodes[fault.nodes[0]].clock.set_rate(0)

    def words(self, fault: Fault, names: Sequence[str]) -> str:
        return f"the clocks of {hit(fault, names)} run {fault.amount / 10_000:+.1f} % too fast"


KINDS: list[type[Kind]] = [
    Crash, Bounce, PowerCut, CrashAfterSend, CrashBeforeSync, Pause, Slow, Lost, Replaced,
    SlowDisk, FailingDisk, FullDisk, Rot, ClockJump, ClockRate,
]  # fmt: skip
