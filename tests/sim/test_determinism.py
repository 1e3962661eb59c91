"""What keeps a run a function of its seed, and what says so when it is not."""

from __future__ import annotations

import ast
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import trio

from ringdict.sim.determinism import first_difference
from ringdict.sim.journal import Journal
from ringdict.sim.triodeterminism import DICE, FLAG, TrioChangedError, deterministic_trio
from ringdict.sim.tripwire import TripwireError, tripwires

ROOT = Path(__file__).resolve().parents[2]
CORES = (
    "gossip/*.py",
    "ring/*.py",
    "sim/epoch*.py",
    "sim/register*.py",
    "node/epochs/changes.py",
    "node/complaints.py",
    "node/epochs/decreelog.py",
    "node/epochs/epochs.py",
    "node/identity.py",
    "node/epochs/learner.py",
    "node/epochs/mover.py",
    "node/epochs/newcomer.py",
    "node/served/overlay.py",
    "node/epochs/proposal.py",
    "node/epochs/voter.py",
    "node/world.py",
)
"""What runs in worlds. Cores of a node that are yet to come belong here."""

REACHES: list[Callable[[], object]] = [
    time.time,
    time.monotonic,
    time.perf_counter_ns,
    lambda: time.sleep(0),
    random.random,
    lambda: random.choice([1]),
    lambda: os.urandom(1),
    uuid.uuid4,
    lambda: threading.Thread(target=print).start(),
]


@pytest.mark.parametrize("reach", REACHES)
def test_reaching_around_the_world_raises_while_a_simulation_runs(reach: Callable[[], object]) -> None:
    # By name, at the moment of the call: what was imported from these modules before is for the lint rule.
    name = getattr(reach, "__name__", "")
    module = {"random": random, "uuid4": uuid}.get(name, time)
    with tripwires(), pytest.raises(TripwireError):
        (getattr(module, name) if hasattr(module, name) and name != "<lambda>" else reach)()
    assert Random(1).random() == Random(1).random()
    reach()


def test_tripwires_are_taken_away_when_a_run_raises() -> None:
    with pytest.raises(ZeroDivisionError), tripwires():
        raise ZeroDivisionError
    assert time.time() > 0


def test_the_first_difference_is_named() -> None:
    assert "event 12 was [2] in one" in first_difference([[1], [1], [2]], [[1], [1], [3]], 10)
    assert "from event 11 on" in first_difference([[1]], [[1], [2]], 10)


def test_a_journal_keeps_what_it_is_asked_for_and_its_hash_depends_on_all() -> None:
    def filled(last: int) -> Journal:
        journal = Journal(keep=range(5000, 5003))
        for number in range(10_000):
            journal.add((number, "x"))
        journal.add((last, "x"))
        return journal

    one, two, three = filled(1), filled(1), filled(2)
    hashes = [journal.finish() for journal in (one, two, three)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert one.kept == [(5000, "x"), (5001, "x"), (5002, "x")]
    assert one.chunks == three.chunks
    assert len(one.chunks) == 2


# -- trio ----------------------------------------------------------------------------------------


def order_of_tasks(seed: int) -> list[int]:
    order: list[int] = []

    async def note(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(note, number)

    with deterministic_trio(seed):
        trio.run(main)
    return order


def test_trio_schedules_as_the_seed_says() -> None:
    """If this fails after an update of trio, its private names do not do any more what they did."""
    assert order_of_tasks(1) == order_of_tasks(1)
    assert len({tuple(order_of_tasks(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("name", [DICE, FLAG])
def test_a_trio_without_the_private_names_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(f"trio._core._run.{name}")
    with pytest.raises(TrioChangedError, match=name), deterministic_trio(1):
        pass


def test_the_private_names_are_used_in_one_file() -> None:
    using = [path.name for path in ROOT.glob("*/*.py") if "trio._core" in path.read_text(encoding="utf-8")]
    assert using == ["triodeterminism.py"]


# -- the lint rule -------------------------------------------------------------------------------

THREADS = {"threading", "_thread", "concurrent", "multiprocessing", "asyncio", "queue"}
TAKES_IN_ORDER = {"list", "tuple", "iter", "enumerate", "next"}
ORDERED = {"sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset", "bool"}


def is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub(), right=right):
            return is_set(left, names) or is_set(right, names)
        case ast.Name() | ast.Attribute():
            return ast.unparse(node).removeprefix("self.") in names
        case _:
            return False


def set_names(tree: ast.AST) -> set[str]:
    """What is annotated as a set, or assigned one, anywhere in a module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            target = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if ast.unparse(node.annotation).lower().startswith(("set", "frozenset", "abstractset")):
                names.add(target.removeprefix("self."))
        elif isinstance(node, ast.Assign) and is_set(node.value, set()):
            names.update(ast.unparse(target).removeprefix("self.") for target in node.targets)
    return names


def disorder(source: str) -> Iterator[str]:
    """Where a core takes the elements of a set in whatever order they come, or has to do with threads."""
    tree = ast.parse(source)
    names = set_names(tree)
    calm = {
        id(generator.iter)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDERED
        for argument in node.args
        if isinstance(argument, ast.GeneratorExp)
        for generator in argument.generators
    }
    calm |= {
        id(part.iter) for node in ast.walk(tree) if isinstance(node, ast.SetComp) for part in node.generators
    }
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=taken) | ast.comprehension(iter=taken) | ast.Starred(value=taken):
                if is_set(taken, names) and id(taken) not in calm:
                    yield f"line {taken.lineno}: the order of a set"
            case ast.Call(
                func=ast.Name(id="list" | "tuple" | "iter" | "enumerate" | "next"), args=[taken, *_]
            ):
                if is_set(taken, names):
                    yield f"line {node.lineno}: the order of a set"
            case ast.Call(func=ast.Attribute(value=taken, attr="pop"), args=[]) if is_set(taken, names):
                yield f"line {node.lineno}: any element of a set"
            case ast.Import(names=imported):
                yield from (
                    f"line {node.lineno}: {a.name}" for a in imported if a.name.split(".")[0] in THREADS
                )
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in THREADS:
                yield f"line {node.lineno}: {module}"
            case _:
                pass


@pytest.mark.parametrize("pattern", CORES)
def test_cores_have_an_order_and_one_thread(pattern: str) -> None:
    found = {
        path.name: list(disorder(path.read_text(encoding="utf-8"))) for path in sorted(ROOT.glob(pattern))
    }
    assert found
    assert {name: where for name, where in found.items() if where} == {}


def test_disorder_is_found() -> None:
    bad = """
import threading
peers: set[str] = set()
for peer in peers: pass
x = [peer for peer in peers | {1}]
y = list(peers); z = peers.pop(); w = [*peers]
"""
    assert len(list(disorder(bad))) == 6
    good = "peers = set()\nfor peer in sorted(peers): pass\nn = len(peers); a = any(p for p in peers)\n"
    assert list(disorder(good)) == []
    wrong = (ROOT / "tests/sim/wrong.py").read_text(encoding="utf-8")
    assert [where for where in disorder(wrong) if "order of a set" in where]
