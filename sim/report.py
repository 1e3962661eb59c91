"""One run as a page for people: self-contained, in plain words, with a lane for each node and client.

Only what concerns one key is drawn as arrows and told step by step; faults and lives are told whole.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..node.world import NS_PER_S
from .command import command
from .config import REPORT_MESSAGES_MAX
from .history import Operation, Status
from .run import Record
from .scenario import kinds_of

CUTS = ("bridge", "hold", "isolate", "one-way", "split", "swizzle")
TROUBLES = ("clock-jump", "clock-rate", "disk-full", "disk-slow", "pause", "slow", "slow-links")
Line = dict[str, Any]


def write_report(path: Path, run: Record, sentences: Sequence[str], key: str | None = None) -> None:
    """Write the page of a run, which must have been recorded whole."""
    data = json.dumps(Report(run, sentences, key).data(), default=repr).replace("</", "<\\/")
    page = files(__name__.rpartition(".")[0]).joinpath("report.html").read_text(encoding="utf-8")
    path.write_text(page.replace("/*DATA*/", data), encoding="utf-8")


def seconds(at_ns: int) -> float:
    """As seconds, to the microsecond."""
    return round(at_ns / NS_PER_S, 6)


class Report:
    """What the page shows, as plain data."""

    def __init__(self, run: Record, sentences: Sequence[str], key: str | None) -> None:
        self.run = run
        self.plan = run.outcome.plan
        self.kinds = kinds_of(self.plan.scenario)
        self.sentences = sentences
        self.nodes = [f"n{number}" for number in range(self.plan.nodes_count)]
        self.clients = [f"c{number}" for number in range(self.plan.clients_count)]
        self.key = key or self._telling_key()

    def _telling_key(self) -> str:
        """The key that a failure names, or else the one that was used most."""
        failure = self.run.outcome.failure
        named = re.match(r"key '([^']*)'", failure.what) if failure else None
        if named:
            return named[1]
        used = Counter(str(operation.key) for operation in self.run.operations)
        return used.most_common(1)[0][0] if used else ""

    def data(self) -> dict[str, Any]:
        """All of it."""
        plan, failure = self.plan, self.run.outcome.failure
        operations = [one for one in self.run.operations if str(one.key) == self.key]
        story = [*self._faults_told(), *self._lives_told(), *self._operations_told(operations)]
        held = "Everything that was checked held: " + " ".join(self.sentences)
        return {
            "title": f"Seed {plan.seed} of {plan.scenario.rpartition(':')[2]}, profile {plan.profile}",
            "size": f"{plan.nodes_count} nodes, {plan.clients_count} clients, {seconds(plan.span_ns):g} "
            f"virtual seconds, {len(plan.faults)} faults, {self.run.outcome.messages_count:,} messages",
            "command": command("replay", plan),
            "failed": failure is not None,
            "verdict": f"{failure.check.replace('_', ' ')}: {failure.what}" if failure else held,
            "key": self.key,
            "span": seconds(plan.span_ns),
            "at": self._at(story),
            "nodes": self.nodes,
            "clients": self.clients,
            "states": self._states(),
            "messages": self._messages(),
            "operations": [self._bar(one) for one in operations],
            "story": sorted(story, key=lambda line: line["t"]),
        }

    def _at(self, story: Sequence[Line]) -> float:
        """Where the page opens: where it went wrong, or in the middle."""
        failure = self.run.outcome.failure
        named = re.search(r"at ([0-9.]+) s", failure.what) if failure else None
        return float(named[1]) if named else seconds(self.plan.span_ns) / 2 if story else 0.0

    # -- states ------------------------------------------------------------------------------------

    def _states(self) -> list[Line]:
        states: list[Line] = []
        for fault in self.plan.faults:
            kind = "cut" if fault.kind in CUTS else "slow" if fault.kind in TROUBLES else None
            if kind is None:
                continue
            text = self.kinds[fault.kind]().words(fault, self.nodes)
            end = seconds(max(fault.end_ns, fault.at_ns + NS_PER_S // 100))
            for number in fault.nodes:
                state = {"host": self.nodes[number], "t0": seconds(fault.at_ns), "t1": end}
                states.append(state | {"kind": kind, "text": text})
        return states + self._downs()

    def _downs(self) -> list[Line]:
        downs: list[Line] = []
        since: dict[str, tuple[int, str]] = {}
        for event in self.run.events:
            if event[1] == "host" and event[3] == "end":
                since[event[2]] = event[0], str(event[4])
            elif event[1] == "host" and event[3] == "start" and event[2] in since:
                downs.append(self._down(event[2], *since.pop(event[2]), event[0]))
        return downs + [self._down(host, *start, self.plan.span_ns) for host, start in since.items()]

    def _down(self, host: str, at_ns: int, why: str, end_ns: int) -> Line:
        text = f"{host} is down ({why})"
        return {"host": host, "t0": seconds(at_ns), "t1": seconds(end_ns), "kind": "down", "text": text}

    # -- messages ----------------------------------------------------------------------------------

    def _messages(self) -> list[Line]:
        messages: dict[int, Line] = {}
        for event in self.run.events:
            match event:
                case (at_ns, "send", source, target, serial, payload):
                    if len(messages) < REPORT_MESSAGES_MAX:
                        self._send(messages, at_ns, source, target, serial, payload)
                case (at_ns, "deliver", _, _, serial) if serial in messages:
                    messages[serial]["t1"] = seconds(at_ns)
                    messages[serial]["lost"] = False
                case (at_ns, "drop", _, _, serial, why) if serial in messages:
                    messages[serial]["t1"] = seconds(at_ns)
                    messages[serial]["text"] += f" ({why})"
                case _:
                    pass
        return [message for message in messages.values() if message["kind"]]

    def _send(
        self, messages: dict[int, Line], at_ns: int, source: str, target: str, serial: int, payload: bytes
    ) -> None:
        caption = self.run.scenario.caption(payload)
        if str(caption.key) != self.key:
            return
        at = seconds(at_ns)
        text = f"{source} to {target}: {caption.text}"
        messages[serial] = {
            "t0": at, "t1": at, "source": source, "target": target,
            "kind": caption.kind, "text": text, "lost": True,
        }  # fmt: skip

    # -- words -------------------------------------------------------------------------------------

    def _bar(self, one: Operation) -> Line:
        end_ns = self.plan.span_ns if one.returned_ns is None else one.returned_ns
        status = "unknown" if one.status is Status.OPEN else one.status.value
        return {
            "client": one.client, "t0": seconds(one.invoked_ns), "t1": seconds(end_ns),
            "status": status, "text": self._words(one),
        }  # fmt: skip

    def _words(self, one: Operation) -> str:
        asked = one.kind if one.argument is None else f"{one.kind} {one.argument!r}"
        return f"{asked}: {one.result!r}" if one.status is Status.OK else f"{asked}: {one.status.value}"

    def _operations_told(self, operations: Sequence[Operation]) -> list[Line]:
        story: list[Line] = []
        for one in operations:
            asked = one.kind if one.argument is None else f"{one.kind} {one.argument!r}"
            story.append({"t": seconds(one.invoked_ns), "text": f"{one.client} asks: {asked} ({self.key})"})
            if one.returned_ns is not None:
                story.append({"t": seconds(one.returned_ns), "text": f"{one.client} has {self._words(one)}"})
        return story

    def _faults_told(self) -> list[Line]:
        story: list[Line] = []
        for fault in self.plan.faults:
            words = self.kinds[fault.kind]().words(fault, self.nodes)
            story.append({"t": seconds(fault.at_ns), "text": f"{words}."})
            if fault.for_ns and fault.end_ns < self.plan.span_ns:
                story.append({"t": seconds(fault.end_ns), "text": f"over: {words}."})
        if self.plan.heal_ns is not None:
            core = ", ".join(self.nodes[number] for number in self.plan.core)
            story.append({"t": seconds(self.plan.heal_ns), "text": f"{core} are healed for good."})
        return story

    def _lives_told(self) -> list[Line]:
        told = {"start": "starts", "end": "ends", "replaced": "is a fresh host"}
        return [
            {"t": seconds(event[0]), "text": f"{event[2]} {told[event[3]]} ({event[4]})."}
            for event in self.run.events
            if event[1] == "host" and event[3] in told
        ]
