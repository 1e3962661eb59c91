"""The bench itself: that its arithmetic, its loops and its report are right, and that it cleans up."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from ringdict.bench import plot, report
from ringdict.bench.__main__ import main
from ringdict.bench.circumstances import Circumstances
from ringdict.bench.figures import MEGABYTES, MICROSECONDS, PER_SECOND, Sheet, Summary
from ringdict.bench.interrupt import EXIT_CODE, held
from ringdict.bench.loop import Row, compile_async_loop, compile_loop
from ringdict.bench.operation import OPERATIONS, Operation
from ringdict.bench.peer import MissingError, Peer, Statements
from ringdict.bench.peers import PEERS
from ringdict.bench.place import Place, file_system, scratch_folder
from ringdict.bench.runner import Runner, WrongAnswerError
from ringdict.bench.scenario import Outcome, Race
from ringdict.bench.scenarios import SCENARIOS
from ringdict.bench.server import LOOPBACK, running
from ringdict.bench.stage import Effort, Stage
from ringdict.bench.stock import ENTRIES, Stock, plain_value
from ringdict.bench.target import AtLeast, AtMost, Faster, Target, Within
from ringdict.bench.worker import FailedError, Worker

# -- figures and targets -------------------------------------------------------------------------


def test_a_summary_is_the_median_and_the_quartiles() -> None:
    assert Summary.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Summary(3.0, 2.0, 4.0)


def test_a_single_figure_is_its_own_summary() -> None:
    assert Summary.of([7.0]) == Summary(7.0, 7.0, 7.0)


def sheet_of(**figures: list[float]) -> Sheet:
    return Sheet(tuple(figures), figures)


def fail(error: Exception) -> None:
    raise error


def test_ratios_are_taken_round_by_round() -> None:
    # A round in which the machine is ten times slower leaves the ratio as it is.
    sheet = sheet_of(ours=[1.0, 10.0, 1.0], theirs=[8.0, 80.0, 8.0])
    assert sheet.speedups(MICROSECONDS, "ours", "theirs") == [8.0, 8.0, 8.0]


def test_more_calls_a_second_are_faster() -> None:
    assert sheet_of(ours=[300.0], theirs=[100.0]).speedups(PER_SECOND, "ours", "theirs") == [3.0]


def test_a_figure_of_nothing_at_all_is_compared_too() -> None:
    sheet = sheet_of(ours=[0.0, 0.0, 2.0], theirs=[0.0, 2.0, 0.0])
    assert sheet.speedups(MEGABYTES, "ours", "theirs") == [1.0, math.inf, 0.0]


def test_at_par_takes_the_machine_out_of_a_figure() -> None:
    assert MICROSECONDS.at_par(3e-6, calibration_s=0.030) == pytest.approx(1e-6)
    assert PER_SECOND.at_par(100.0, calibration_s=0.030) == pytest.approx(300.0)


@pytest.mark.parametrize(
    ("error", "shown"),
    [(MissingError("no redis"), "missing: no redis"), (FailedError("boom"), "failed: boom")],
)
def test_whoever_drops_out_takes_its_figures_along(error: Exception, shown: str) -> None:
    sheet = sheet_of(ours=[1.0], theirs=[2.0])
    with sheet.attempt("theirs"):
        fail(error)
    assert sheet.present == ["ours"]
    assert sheet.summary("theirs") is None
    assert str(sheet.absences["theirs"]) == shown


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (Faster(8, "theirs"), "OK"),
        (Faster(8.1, "theirs"), "MISSED"),
        (Faster(1, "nobody"), "missing"),
        (Within(0.125, "theirs"), "OK"),
        (Within(0.1, "theirs"), "MISSED"),
        (AtMost(1e-6), "OK"),
        (AtMost(0.9e-6), "MISSED"),
        (AtMost(9e-6, "theirs"), "OK"),
        (AtLeast(1e-6), "OK"),
        (AtLeast(2e-6), "MISSED"),
    ],
)
def test_targets_are_judged_by_the_median(target: Target, word: str) -> None:
    sheet = sheet_of(ours=[1e-6, 1e-6, 5e-6], theirs=[8e-6, 8e-6, 8e-6])
    assert target.judge("ours", MICROSECONDS, sheet).word == word


# -- loops ---------------------------------------------------------------------------------------


def test_a_loop_runs_its_statement_for_each_row() -> None:
    seen: list[Row] = []
    loop = compile_loop("seen.append((key, value)); result = value", "key, value", {"seen": seen})
    timed = loop([("a", 1), ("b", 2)])
    assert seen == [("a", 1), ("b", 2)]
    assert timed.result == 2
    assert timed.seconds > 0


def test_a_statement_may_have_several_lines() -> None:
    statement = """
        result = 0
        for number in batch:
            result += number
    """
    assert compile_loop(statement, "batch, _", {})([([1, 2, 3], None)]).result == 6


def test_an_async_loop_awaits() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    loop = compile_async_loop("result = await double(key)", "key, _", {"double": double})

    async def run() -> object:
        return (await loop([(1, None), (21, None)])).result

    assert asyncio.run(run()) == 42


# -- scenarios and contestants ---------------------------------------------------------------------


def test_the_value_is_100_bytes_in_msgpack() -> None:
    packed = [PEERS["redis-py"]().value(plain_value(number)) for number in range(1_000)]
    assert {len(value) for value in packed if isinstance(value, bytes)} == {100}


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "scenario", [one for one in SCENARIOS if isinstance(one, Race)], ids=lambda one: one.name
)
def test_every_contestant_of_a_race_has_its_statement(scenario: Race) -> None:
    assert set(scenario.statements()) == set(scenario.contestants)
    row = OPERATIONS[scenario.operation].row
    for statement in scenario.statements().values():
        (compile_async_loop if "await" in statement else compile_loop)(statement, row, {})


class StandIn(Peer):
    """A plain dict, for all to be tried out in one process."""

    name = "stand-in"
    statements: ClassVar[Statements] = {
        "get": "result = client.get(key)",
        "get.aio": "result = client.get(key)",
        "put": "client[key] = value",
        "put.aio": "client[key] = value",
        "contains": "result = key in client",
        "pop": "result = client.pop(key)",
        "cycle": "result = key not in client; client[key] = value; del client[key]",
        "incr": "result = client[key] = client.get(key, 0) + 1",
        "update": "client.update(batch)",
        "items": "for result, _ in enumerate(client.items(), 1): pass",
        "copy": "result = len(list(client))",
        "len": "result = len(client)",
        "absent": "result = key not in client; client[key] = value",
        "load.16": "result = len(batch)",
        "load.64": "result = len(batch)",
    }

    def open(self, place: Place) -> dict[str, object]:
        return {"client": {}}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runner]:
    monkeypatch.setitem(PEERS, "stand-in", StandIn)
    runner = Runner("stand-in", Place(tmp_path), stored=False)
    yield runner
    runner.close()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_runs_and_is_answered_rightly(runner: Runner, operation: str) -> None:
    runner.pace(operation, 0.0)
    assert runner.mean(operation, 1) > 0


def test_the_median_of_calls_is_a_time(runner: Runner) -> None:
    assert 0 < runner.middle("put", 100) < 0.1


def test_calls_for_a_time_are_counted(runner: Runner) -> None:
    assert runner.steadily("get", 0.05, 0.0) > 1_000


def test_calls_now_and_then_keep_their_distance(runner: Runner) -> None:
    assert len(runner.now_and_then("put", 0.1, 0.0, interval_s=0.02)) <= 6


def test_memory_counts_what_an_operation_holds(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "copy", Operation("copy", Stock.whole, row="_, _"))
    assert runner.memory("items") < 100_000 < ENTRIES * 8 <= runner.memory("copy")


def test_a_wrong_answer_has_no_speed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "statements", {**StandIn.statements, "get": "result = None"})
    with pytest.raises(WrongAnswerError, match="get of 'key:"):
        runner.mean("get", 1)


# -- processes -----------------------------------------------------------------------------------


def test_an_interrupt_can_be_held() -> None:
    before = signal.getsignal(signal.SIGINT)
    reached = False
    with pytest.raises(KeyboardInterrupt), held():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is before


LISTENER = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
)


def listener(port: int, _folder: Path) -> list[str]:
    return [sys.executable, "-c", LISTENER, str(port)]


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_server_answers_and_is_stopped(tmp_path: Path) -> None:
    with running(listener, tmp_path) as port:
        assert isinstance(port, int)
        assert is_listening(port)
    assert not is_listening(port)


def test_a_server_is_stopped_when_the_run_breaks_off(tmp_path: Path) -> None:
    ports: list[int | str] = []

    def break_off() -> None:
        with running(listener, tmp_path) as port:
            ports.append(port)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert isinstance(ports[0], int)
    assert not is_listening(ports[0])


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["no-such-server"], "no-such-server is not installed"),
        ([sys.executable, "-c", ""], f"{sys.executable} does not start"),
    ],
)
def test_a_server_that_cannot_be_had_is_a_reason(tmp_path: Path, command: list[str], reason: str) -> None:
    with running(lambda _port, _folder: command, tmp_path) as port:
        assert port == reason


def test_the_folder_is_removed_and_its_parent_with_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        (folder / "file").touch()
        assert file_system(folder) != ""
    assert not (tmp_path / "new").exists()


def test_a_worker_runs_what_it_is_asked(tmp_path: Path) -> None:
    with Worker("lmdb (floor)", Place(tmp_path)).ready() as worker:
        assert worker.call(Runner.mean, "get", 10) > 0
        with pytest.raises(FailedError, match="KeyError: 'no such operation'"):
            worker.call(Runner.mean, "no such operation", 10)
        assert worker.usable
    assert not worker.usable


def test_a_reply_that_nobody_waited_for_is_not_taken_for_the_next(tmp_path: Path) -> None:
    with Worker("lmdb (floor)", Place(tmp_path)).ready() as worker:
        worker.ask(Runner.store_plain, 10, 10)
        assert worker.call(Runner.mean, "put", 10) > 0


def test_a_worker_without_its_server_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("pymemcache", reason="the extra `bench` is not installed")
    with pytest.raises(MissingError, match="memcached"):
        Worker("pymemcache", Place(tmp_path, memcached="memcached is not installed")).ready()


TINY = Effort(
    name="tiny",
    rounds=2,
    round_s=0.0,
    race_s=1.0,
    crowd_rounds=1,
    crowd_s=0.0,
    beside_rounds=1,
    beside_s=0.0,
    fresh_processes=1,
    idle_rounds=1,
    idle_s=0.0,
)


def test_a_race_goes_on_without_those_who_are_missing(tmp_path: Path) -> None:
    race = Race(name="get", title="get", operation="get", contestants=("lmdb (floor)", "pymemcache"))
    with Stage(Place(tmp_path), TINY, lambda _: None) as stage:
        sheet = race.run(stage)
    assert len(sheet.figures["lmdb (floor)"]) == len(sheet.calibrations_s) == TINY.rounds
    assert not sheet.absences["pymemcache"].failed


def processes_in(folder: Path) -> list[str]:
    """The commands of processes that work in or below a folder, be it removed by now."""
    commands: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours
            if str(process.joinpath("cwd").readlink()).startswith(str(folder)):
                commands.append(process.joinpath("cmdline").read_text())
    return commands


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ringdict.bench", "--only", "put*", "--folder", str(tmp_path / "bench")]
    bench = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: bool(list(tmp_path.glob("bench/run-*/*"))) or bench.poll() is not None)
    assert processes_in(tmp_path)
    bench.send_signal(signal.SIGINT)
    _, said = bench.communicate(timeout=60)
    assert bench.returncode == EXIT_CODE, said
    assert not list(tmp_path.iterdir())
    wait_until(lambda: not processes_in(tmp_path))  # a helper of multiprocessing ends a moment later


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


# -- report --------------------------------------------------------------------------------------


@pytest.fixture
def outcomes() -> list[Outcome]:
    """Of all scenarios, with a contestant missing in each."""
    outcomes: list[Outcome] = []
    for scenario in SCENARIOS:
        figures = {name: [1234.5e-6 * (place + 1)] * 3 for place, name in enumerate(scenario.contestants)}
        sheet = Sheet(scenario.contestants, figures, calibrations_s=[0.0123] * 3)
        with sheet.attempt(scenario.contestants[-1]):
            fail(MissingError("something with a very long name that no line has room for " * 3))
        outcomes.append(Outcome(scenario, sheet))
    return outcomes


@pytest.fixture
def circumstances(tmp_path: Path) -> Circumstances:
    return Circumstances.now(tmp_path, "quick")


def shown(outcomes: list[Outcome], circumstances: Circumstances, *, colours: bool = False) -> str:
    paint = report.Paint(on=colours)
    blocks = [report.block(outcome, paint) for outcome in outcomes]
    return "\n".join([report.heading(circumstances), *blocks, report.targets(outcomes, paint)])


def test_the_report_fits_its_width(outcomes: list[Outcome], circumstances: Circumstances) -> None:
    assert max(map(len, shown(outcomes, circumstances).splitlines())) <= report.WIDTH


def test_the_report_names_every_scenario_and_target(
    outcomes: list[Outcome], circumstances: Circumstances
) -> None:
    text = shown(outcomes, circumstances)
    assert all(f"{scenario.name}: {scenario.title}" in text for scenario in SCENARIOS)
    assert text.count("ringdict ≥ 2.3x as fast as redis-py") == 2  # beside its figures, and at the end
    assert "missing: something" in text


def test_colours_are_for_terminals_only(outcomes: list[Outcome], circumstances: Circumstances) -> None:
    assert "\x1b[" in shown(outcomes, circumstances, colours=True)
    assert "\x1b[" not in shown(outcomes, circumstances)


def test_the_document_holds_every_round(outcomes: list[Outcome], circumstances: Circumstances) -> None:
    document = json.loads(json.dumps(report.document(outcomes, circumstances)))
    get = document["scenarios"][0]
    assert get["contestants"]["ringdict"]["rounds"] == [1234.5e-6] * 3
    assert get["contestants"]["redis-py"]["subject_is_times_as_fast"] == 2.0
    assert get["contestants"]["lmdb (floor)"]["absent"].startswith("missing: ")
    assert get["statements"]["redis-py"] == "result = client.get(key)"
    assert [one["verdict"] for one in get["targets"]] == ["MISSED", "MISSED", "missing"]


def test_the_plot_is_drawn_alike_each_time(
    outcomes: list[Outcome], circumstances: Circumstances, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    document = report.document(outcomes, circumstances)
    for name in ("one.svg", "two.svg"):
        plot.draw(document, tmp_path / name)
    assert b"</svg>" in (tmp_path / "one.svg").read_bytes()
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


# -- command line --------------------------------------------------------------------------------


def test_list_shows_what_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert "client.set(key, value, nx=True); client.delete(key)" in capsys.readouterr().out


def test_only_takes_patterns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "get*", "--only", "len"]) == 0
    out = capsys.readouterr().out
    assert "get.aio: " in out
    assert "len: " in out
    assert "put: " not in out


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "no scenario is called nothing" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--json", "no/folder/x.json"], ["--plot", "x.txt"]])
def test_a_file_that_cannot_be_written_is_refused_beforehand(
    capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    with pytest.raises(SystemExit):
        main(option)
    assert option[0] in capsys.readouterr().err
