"""What the processes of `ringdict demo` reported, held against what is in the Dict at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, cast

from .demo_worker import BATCH_ENTRIES, PRIMES_BELOW, SHIFT_TTL_S, AnyDict, Report, primes_below

CLOCK_TOLERANCE_S: Final = 0.05
"""Between the clock that expiry goes by and the monotonic one that reports go by."""

TAKEOVER_S_MAX: Final = 5.0
"""From the end of a dead holder's time to the next holder, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and what became of it."""

    name: str
    holds: bool
    text: str


@dataclass(slots=True)
class Race:
    """One race for a lock: who got it, and who was told no."""

    winners: list[str] = field(default_factory=list)
    losers: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """How many have been answered."""
        return len(self.winners) + len(self.losers)


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody's time as the holder of the lock "shift"."""

    who: str
    token: int
    at_s: float


class Ledger:
    """Everything that was acknowledged, as it was reported."""

    def __init__(self) -> None:
        self.ready: set[str] = set()
        self.stopped: set[str] = set()
        self.failures: list[str] = []
        self.puts: dict[tuple[str, int], str] = {}
        self.counts: list[int] = []
        self.batches: set[tuple[str, int]] = set()
        self.races: list[Race] = []
        self.released = 0
        self.computing: list[str] = []
        self.computed: list[str] = []
        self.answers: dict[str, int] = {}
        self.shifts: list[Shift] = []
        self.holder: str | None = None
        self.held_s: dict[str, float] = {}
        self.last: dict[str, Report] = {}
        self.killed: str | None = None
        self.killed_s = 0.0

    @property
    def heir(self) -> Shift | None:
        """Who took over the lock of the process that was killed; None: nobody yet."""
        if self.killed is None:
            return None
        return next((shift for shift in self.shifts if shift.at_s > self.killed_s), None)

    def record(self, who: str, report: Report) -> None:
        """Take down what `who` reports."""
        if report.what != "ended":
            self.last[who] = report
        match report.what:
            case "put":
                self.puts[who, report.number] = report.text
            case "counted":
                self.counts.append(report.number)
            case "batch":
                self.batches.add((who, report.number))
            case "won" | "lost" | "released":
                self._record_race(who, report)
            case "computing":
                self.computing.append(who)
            case "computed":
                self.computed.append(who)
            case "answered":
                self.answers[who] = report.number
            case "on shift" | "extended" | "off shift":
                self._record_shift(who, report)
            case _:
                self._record_life(who, report)

    def _record_race(self, who: str, report: Report) -> None:
        if report.what == "released":
            self.released += 1
        elif report.what == "won":
            self.races[-1].winners.append(who)
            self.races[-1].tokens.append(report.number)
        else:
            self.races[-1].losers.append(who)

    def _record_shift(self, who: str, report: Report) -> None:
        if report.what == "off shift":
            self.holder = None if self.holder == who else self.holder
            return
        if report.what == "on shift":
            self.shifts.append(Shift(who, report.number, report.at_s))
            self.holder = who
        self.held_s[who] = report.at_s

    def _record_life(self, who: str, report: Report) -> None:
        if report.what == "ready":
            self.ready.add(who)
        elif report.what == "stopped":
            self.stopped.add(who)
        elif report.what == "failed":
            self.failures.append(f"{who}: {report.text}")
        elif report.what == "ended" and who not in self.stopped and who != self.killed:
            self.failures.append(f"{who} ended by itself")


def verdict(ledger: Ledger, dictionary: AnyDict, names: list[str]) -> list[Check]:
    """What was promised, each with whether it held. Reads all that the processes wrote."""
    return [
        _puts(ledger, dictionary),
        _batches(ledger, dictionary),
        _counter(ledger, dictionary),
        _races(ledger, names),
        _computation(ledger, dictionary, names),
        _takeover(ledger),
        _survivors(ledger, names),
    ]


def _puts(ledger: Ledger, dictionary: AnyDict) -> Check:
    found = _written(dictionary, "put")
    lost = sum(found.get(write) != [value] for write, value in ledger.puts.items())
    text = f"{len(ledger.puts):,} acknowledged puts: {_all_but(lost)} there, with the value that was put"
    extra = found.keys() - ledger.puts.keys()
    holds = bool(ledger.puts) and not lost and _was_in_flight(ledger, extra)
    return Check("puts", holds, text + _aside(ledger, extra))


def _batches(ledger: Ledger, dictionary: AnyDict) -> Check:
    found = _written(dictionary, "batch")
    torn = sum(len(values) != BATCH_ENTRIES or len(set(values)) != 1 for values in found.values())
    lost = len(ledger.batches - found.keys())
    count = len(ledger.batches)
    pieces = f"{torn or 'none'} in pieces"
    text = f"{count:,} acknowledged batches of {BATCH_ENTRIES}: {_all_but(lost)} there, {pieces}"
    extra = found.keys() - ledger.batches
    holds = not lost and not torn and _was_in_flight(ledger, extra)
    return Check("batches", holds, text + _aside(ledger, extra))


def _counter(ledger: Ledger, dictionary: AnyDict) -> Check:
    count, acknowledged = dictionary.get("count"), set(ledger.counts)
    if not isinstance(count, int) or len(acknowledged) != len(ledger.counts):
        return Check(
            "counter", holds=False, text="the counter is gone, or gave two increments the same number"
        )
    extra = set(range(1, count + 1)) - acknowledged
    text = f"the counter says {count:,} after {len(acknowledged):,} acknowledged increments"
    holds = max(acknowledged, default=0) <= count and len(extra) <= (ledger.killed is not None)
    return Check("counter", holds, text + _aside(ledger, extra))


def _races(ledger: Ledger, names: list[str]) -> Check:
    fair = sum(len(race.winners) == 1 and race.answers == len(names) for race in ledger.races)
    tokens = [token for race in ledger.races for token in race.tokens]
    grows = tokens == sorted(set(tokens))
    count = len(ledger.races)
    text = f"{count} races for a lock: {'each' if fair == count else fair} had exactly one winner"
    return Check("races", bool(fair) and fair == count and grows, text)


def _computation(ledger: Ledger, dictionary: AnyDict, names: list[str]) -> Check:
    right = primes_below(PRIMES_BELOW)
    answered = sum(answer == right for answer in ledger.answers.values())
    ran = len(ledger.computing)
    times = "once" if ran == 1 else f"{ran} times"
    text = f"the computation ran {times}; {answered} of {len(names)} processes have its answer"
    holds = ran == 1 and answered == len(names) and dictionary.get("primes") == right
    return Check("computation", holds, text)


def _takeover(ledger: Ledger) -> Check:
    heir = ledger.heir
    held = [shift for shift in ledger.shifts if shift.who == ledger.killed and shift.at_s <= ledger.killed_s]
    if heir is None or not held:
        return Check("takeover", holds=False, text="the lock of the process that was killed never came free")
    token = held[-1].token
    late_s = heir.at_s - (ledger.held_s[held[-1].who] + SHIFT_TTL_S)
    holds = -CLOCK_TOLERANCE_S <= late_s <= TAKEOVER_S_MAX and heir.token > token
    after_s = heir.at_s - ledger.killed_s
    order = "higher" if heir.token > token else "lower"
    text = f"{ledger.killed}'s lock: {heir.who} had it {after_s:.2f} s after the kill, with a {order} token"
    return Check("takeover", holds, text)


def _survivors(ledger: Ledger, names: list[str]) -> Check:
    others = [name for name in names if name != ledger.killed]
    ended = sum(name in ledger.stopped for name in others)
    text = f"{ended} of the {len(others)} others worked to the end without an error"
    if ledger.failures:
        text += f"; {'; '.join(ledger.failures)}"
    return Check("survivors", ended == len(others) and not ledger.failures, text)


# -- words and sums ------------------------------------------------------------------------------


def _written(dictionary: AnyDict, kind: str) -> dict[tuple[str, int], list[object]]:
    """What stands in the Dict under keys of a kind: for each writer and number of its write, the values."""
    found: defaultdict[tuple[str, int], list[object]] = defaultdict(list)
    for key, value in dictionary.items((kind,)):
        _, who, number, *_ = cast("tuple[str, str, int]", key)
        found[who, number].append(value)
    return found


def _was_in_flight(ledger: Ledger, writes: AbstractSet[tuple[str, int]]) -> bool:
    """Whether unreported writes are no more than the one that the killed process was in the middle of."""
    return len(writes) <= 1 and all(who == ledger.killed for who, _ in writes)


def _aside(ledger: Ledger, extra: AbstractSet[object]) -> str:
    """What is in the Dict and in no report."""
    if not extra:
        return ""
    return f" (and {len(extra)} that {ledger.killed} could no longer report)"


def _all_but(count: int) -> str:
    return f"all but {count:,}" if count else "all"
