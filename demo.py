"""`ringdict demo`: several processes share a Dict, one of them is killed, and nothing is lost.

Rules of this file:
1. Nothing is acted out: a line of the story stands for something that a process reported, or that the
   parent did or found. The verdict compares the reports with what is in the Dict at the end.
2. Every wait has an end: a process or a disk that does not go on makes the demo give up, not hang.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from .client.dict import Dict
from .client.shell.demo_crew import Crew
from .client.shell.demo_ledger import Ledger, Race, verdict
from .client.shell.demo_worker import BATCH_ENTRIES, DICT_NAME, PRIMES_BELOW, SHIFT_TTL_S, AnyDict, Report
from .client.shell.exit_code import ExitCode
from .exception import UnavailableError

if TYPE_CHECKING:
    from .client.shell.arguments import Arguments
    from .client.shell.terminal import Terminal

Fact: TypeAlias = "bool | int | str | list[str] | dict[str, int]"

NAMES: Final = ["ada", "bob", "cleo", "dan", "eve", "finn", "gwen", "hugo", "iris", "jack", "kim", "leo"]
PAINTS: Final = ["cyan", "magenta", "yellow", "blue", "green"]

RACES: Final = 10
RACES_TOLD: Final = 3
KILL_S_MIN: Final = 0.3
KILL_S_MAX: Final = 1.2
"""How long the victim holds its lock, drawn between these."""

MEANWHILE_S: Final = 0.7
"""How long they are left to themselves: at the start, and after the last chapter at least."""

WAIT_S_MAX: Final = 20.0
TICK_S: Final = 0.1


def run(args: Arguments, terminal: Terminal) -> ExitCode:
    """Tell the story once, with processes and a folder of its own."""
    names = NAMES[: args.processes] + [f"p{number}" for number in range(len(NAMES) + 1, args.processes + 1)]
    folder = Path(tempfile.mkdtemp(prefix="ringdict-demo-"))
    crew = Crew(names, folder.as_uri(), args.seed)
    try:
        story = Story(crew, Teller(terminal, names, as_json=args.json), args.seconds)
        return ExitCode.OK if story.tell(folder, keep=args.keep) else ExitCode.NO
    finally:
        crew.end()
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


# -- telling -------------------------------------------------------------------------------------


class Teller:
    """Puts what happens into lines: plain words for a person, JSON for a program."""

    def __init__(self, terminal: Terminal, names: list[str], *, as_json: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._paints = {name: PAINTS[number % len(PAINTS)] for number, name in enumerate(names)}
        self._start_s = time.monotonic()

    def say(self, event: str, text: str, **facts: Fact) -> None:
        """One thing that happened."""
        at_s = time.monotonic() - self._start_s
        if self._as_json:
            self._terminal.tell(json.dumps({"at_s": round(at_s, 3), "event": event, "text": text, **facts}))
        else:
            self._terminal.tell(f"{self.paint(f'{at_s:6.2f} s', 'dim')}  {text}")

    def check(self, name: str, text: str, *, holds: bool) -> None:
        """One line of the verdict."""
        if self._as_json:
            self.say("check", text, name=name, holds=holds)
        else:
            mark = self.paint("✓", "green") if holds else self.paint("✗", "red", "bold")
            self._terminal.tell(f"       {mark}  {text}")

    def conclude(self, *, holds: bool) -> None:
        """The last line."""
        text = "Nothing was lost." if holds else "Something that was promised did not hold."
        if self._as_json:
            self.say("verdict", text, holds=holds)
        else:
            self._terminal.tell(f"\n{self.paint(text, 'green' if holds else 'red', 'bold')}")

    def advise(self, command: str) -> None:
        """What one may do next; for a person only."""
        if not self._as_json:
            self._terminal.tell(command)

    def chapter(self, title: str) -> None:
        """What comes next; for a person only."""
        if not self._as_json:
            self._terminal.tell(f"\n{self.paint(title, 'bold')}")

    def status(self, text: str) -> None:
        """What is true right now."""
        if not self._as_json:
            self._terminal.status(f"          {text}")

    def name(self, name: str) -> str:
        """A name in its colour."""
        return self.paint(name, self._paints[name])

    def names(self, names: list[str]) -> str:
        """`ada, bob and cleo`, in their colours."""
        return self.listed([self.name(name) for name in names])

    def listed(self, things: list[str]) -> str:
        """`one, two and three`."""
        return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)

    def paint(self, text: str, *paints: str) -> str:
        """`text` in colours, where there are any."""
        return text if self._as_json else self._terminal.paint(text, *paints)


class Story:
    """What the processes are made to do, in its order, and what is said about it."""

    def __init__(self, crew: Crew, teller: Teller, span_s: float) -> None:
        self._crew = crew
        self._teller = teller
        self._end_s = time.monotonic() + span_s
        self._dict: AnyDict = Dict.from_name(DICT_NAME, cluster=crew.url, create_if_missing=True)
        self._ledger = Ledger()

    def tell(self, folder: Path, *, keep: bool) -> bool:
        """The whole story. Whether everything that was promised held."""
        self._start(folder, keep=keep)
        self._race()
        self._compute()
        self._kill()
        self._stop()
        holds = self._judge()
        if keep:
            self._teller.advise(f"ringdict dict items {DICT_NAME} --cluster {self._crew.url}")
        return holds

    # -- chapters --------------------------------------------------------------------------------

    def _start(self, folder: Path, *, keep: bool) -> None:
        teller, names = self._teller, self._crew.names
        teller.chapter(f"{len(names)} processes share one Dict. There is no server.")
        self._dict.hydrate()
        fate = "stays" if keep else "goes"
        text = f"a Dict in {folder}, which {fate} when this ends"
        teller.say("folder", text, folder=str(folder), seed=self._crew.seed)
        self._crew.start()
        self._wait(lambda: len(self._ledger.ready) == len(names), "all processes to start")
        pids = {name: self._crew.pid(name) for name in names}
        present = teller.listed([f"{teller.name(name)} {pid}" for name, pid in pids.items()])
        teller.say("started", f"{present} are there", pids=pids)
        text = f"from now on each puts, counts and sends batches of {BATCH_ENTRIES}, on and on"
        teller.say("writing", text)
        self._listen(lambda: False, MEANWHILE_S)

    def _race(self) -> None:
        self._teller.chapter("A lock that all of them want at the same instant")
        for number in range(1, RACES + 1):
            race = self._run_race(number)
            if number <= RACES_TOLD:
                self._tell_race(number, race)
        rest = self._ledger.races[RACES_TOLD:]
        wins = Counter(winner for race in rest for winner in race.winners)
        tally = ", ".join(f"{self._teller.name(name)} {count}" for name, count in wins.most_common())
        self._teller.say("races", f"{len(rest)} more races; won by {tally}", wins=dict(wins))

    def _run_race(self, number: int) -> Race:
        race, names = Race(), self._crew.names
        self._ledger.races.append(race)
        self._crew.order("race")
        self._wait(lambda: race.answers == len(names), "a race to end")
        self._crew.order("end")
        self._wait(lambda: self._ledger.released >= number, "a winner to release the lock")
        return race

    def _tell_race(self, number: int, race: Race) -> None:
        winners, losers = self._teller.names(race.winners), self._teller.names(race.losers)
        told = "was told no" if len(race.losers) == 1 else "were told no"
        self._teller.say(
            "race",
            f"race {number}: {winners} got it; {losers} {told}",
            number=number,
            winners=race.winners,
            losers=race.losers,
        )

    def _compute(self) -> None:
        teller, ledger, names = self._teller, self._ledger, self._crew.names
        teller.chapter("A computation that all of them need at the same instant")
        teller.say("question", f"all ask how many primes are below {PRIMES_BELOW:,}; no answer is there yet")
        self._crew.order("ask")
        self._wait(lambda: len(ledger.answers) == len(names), "everybody to have the answer")
        answers = Counter(ledger.answers.values())
        told = " and ".join(f"{answer:,}" for answer in answers)
        others = [name for name in names if name not in ledger.computed]
        teller.say("answered", f"{teller.names(others)} got {told} from the Dict, and computed nothing")

    def _kill(self) -> None:
        teller, ledger = self._teller, self._ledger
        teller.chapter("A process that dies")
        self._crew.order("shift")
        self._wait(lambda: ledger.holder is not None, "somebody to take a lock")
        self._listen(lambda: False, self._crew.random.uniform(KILL_S_MIN, KILL_S_MAX))
        self._wait(lambda: ledger.holder is not None, "somebody to hold a lock")
        victim = ledger.killed = str(ledger.holder)
        pid, ledger.killed_s = self._crew.pid(victim), time.monotonic()
        code = self._crew.kill(victim)
        self._listen(lambda: False, 0)
        done, last = len(ledger.puts), ledger.last[victim]
        word = f"{last.what} {last.number:,}"
        text = f"kill -9 {pid}: {teller.name(victim)} is gone, lock in hand; it last reported {word}"
        teller.say("killed", text, victim=victim, pid=pid, exit_code=code)
        self._wait(lambda: ledger.heir is not None, "somebody to take over the lock")
        teller.say("meanwhile", f"the others never stopped: {len(ledger.puts) - done:,} puts since the kill")

    def _stop(self) -> None:
        teller, ledger = self._teller, self._ledger
        self._listen(lambda: False, max(MEANWHILE_S, self._end_s - time.monotonic()))
        others = [name for name in self._crew.names if name != ledger.killed]
        self._crew.order("stop")
        self._wait(lambda: ledger.stopped.issuperset(others), "the others to stop")
        teller.say("stopped", f"stop: {teller.names(others)} have ended")

    def _judge(self) -> bool:
        self._teller.chapter("What was promised, and what is there")
        checks = verdict(self._ledger, self._dict, self._crew.names)
        for check in checks:
            self._teller.check(check.name, check.text, holds=check.holds)
        holds = all(check.holds for check in checks)
        self._teller.conclude(holds=holds)
        return holds

    # -- listening -------------------------------------------------------------------------------

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        """Listen until something is so. `UnavailableError` if it does not become so, or a worker failed."""
        if not self._listen(lambda: until() or bool(self._ledger.failures), WAIT_S_MAX):
            raise UnavailableError(f"gave up: waited {WAIT_S_MAX:g} s for {what}")
        if self._ledger.failures:
            raise UnavailableError(f"gave up: {self._ledger.failures[0]}")

    def _listen(self, until: Callable[[], bool], wait_s: float) -> bool:
        """Take down reports until something is so, at most for so long. Whether it is so."""
        end_s = time.monotonic() + wait_s
        while not until():
            left_s = end_s - time.monotonic()
            for who, report in self._crew.reports(max(0.0, min(left_s, TICK_S))):
                self._ledger.record(who, report)
                self._tell_report(who, report)
            self._tell_status()
            if left_s <= 0:
                return until()
        return True

    def _tell_report(self, who: str, report: Report) -> None:
        teller, name = self._teller, self._teller.name(who)
        match report.what:
            case "computing":
                teller.say("computing", f"{name} found no answer, took a lock, and computes it", who=who)
            case "computed":
                teller.say("computed", f"{name} put the answer into the Dict: {report.number:,}", who=who)
            case "on shift":
                self._tell_shift(who, report)
            case _:
                pass

    def _tell_shift(self, who: str, report: Report) -> None:
        ledger = self._ledger
        text = f"{self._teller.name(who)} holds a lock that outlives its holder by {SHIFT_TTL_S:g} s at most"
        if ledger.heir is not None:
            late_s = report.at_s - ledger.killed_s
            text = f"{self._teller.name(who)} has the lock, {late_s:.2f} s after its holder died"
        self._teller.say("lock", text, who=who, token=report.number)

    def _tell_status(self) -> None:
        ledger = self._ledger
        count = max(ledger.counts, default=0)
        alive = len(ledger.ready) - len(ledger.stopped) - (ledger.killed is not None)
        self._teller.status(f"{alive} processes   {len(ledger.puts):,} puts   counter {count:,}")
