"""The rules of style that a program can check. Each test names a rule; the reasons are in CONTRIBUTING.md.

Exceptions are listed here by file, each with its reason, and one that is no longer needed fails the test.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import ringdict.exception

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400

ROOMS = ("client", "gossip", "node", "ring", "sim")
OUTSIDE = ("bench", "examples")
CORES = ("gossip", "node", "ring")

CLOCKS_AND_DICE = (
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.getrandom",
    "os.urandom",
    "random",
    "secrets",
    "time.localtime",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
)
MAY_READ_CLOCKS_AND_DICE = {"node/clock.py": "the seam: everything else is handed what this file reads"}

STOPWATCHES = (
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
)
MAY_WAIT: Mapping[str, str] = {
    "node/clock.py": "the seam: everything else is handed what this file reads",
    "node/disk/environment.py": "a fork waits for the transactions of other threads, which end in real time",
    "node/disk/folder.py": "waits for other processes, which open and close the store in real time",
    "node/disk/gate.py": "polls a lock of the operating system, which knows of no made-up time",
    "node/disk/keeper.py": "a writer that is ahead of the disk waits for it, which is real",
    "node/store/pace.py": "a tool that works beside a live store lets it have the disk in real time",
    "node/store/writer.py": "callers in other threads wait for it in real time",
}

EVENT_LOOPS = ("asyncio", "trio")
MAY_KNOW_EVENT_LOOPS = {
    "client/asynciolines.py": "the shell of a client: connections on an asyncio loop",
    "client/transport.py": "the shell that carries one call on three kinds of loop",
    "client/triolines.py": "the shell of a client: connections in a Trio run",
    "node/network/epollcarrier.py": "the shell of a node: all connections in one task, on Linux",
    "node/hosting.py": "the shell of a node: from its start to the signal that ends it",
    "node/members/memberstream.py": "the shell of a node: events for users' code on Trio",
    "node/network/peer.py": "the shell of a node: calling other nodes",
    "node/members/seeds.py": "the shell of a node: names are looked up while others wait",
    "node/network/sockets.py": "the shell of a node: the operating system's sockets",
    "node/network/streamcarrier.py": "the shell of a node: two tasks a connection, and in the simulator",
    "node/network/timers.py": "the shell of a node: one task that all timers of a world share",
    "node/trioworld.py": "the shell of a node: the real world on Trio",
}

PICKLERS = ("cloudpickle", "dill", "marshal", "pickle", "shelve")
MAY_PICKLE = {"client/values.py": "where `allow_pickle` is looked at before anything is unpickled"}

MAY_HASH = {"tests/client/test_handle.py": "sees that a Dict has none"}

# Sources, and what lies in a checkout without being one.
TEXT_SUFFIXES = {"", ".cfg", ".in", ".ini", ".json", ".md", ".py", ".toml", ".txt", ".typed", ".yaml", ".yml"}
NO_SOURCES = re.compile(r"^(\..*|build|dist|htmlcov|__pycache__|.*\.egg-info)$")


@cache
def checkout() -> Path:
    return Path(__file__).resolve().parents[1]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(checkout()).as_posix()


def package_files(*rooms: str) -> list[Path]:
    """The modules of these rooms; of the whole package, its root included, if none is named."""
    files = [] if rooms else list(checkout().glob("*.py"))
    for room in rooms or ROOMS:
        files += (checkout() / room).rglob("*.py")
    return sorted(files)


def text_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if NO_SOURCES.match(path.name) and path.name not in {".ci", ".gitignore"}:
            continue
        if path.is_dir():
            yield from text_files(path)
        elif path.suffix in TEXT_SUFFIXES:
            yield path


def names_used(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that a module imports, and of what it takes from its imports."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
                full[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
                full[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, dot, rest = ast.unparse(node).partition(".")
            if head in full:
                yield node.lineno, full[head] + dot + rest


def uses(files: Iterable[Path], banned: Iterable[str], allowed: Mapping[str, str]) -> list[str]:
    """Where banned names are used, and which of the exceptions made for that have lost their reason."""
    banned = tuple(banned)
    found: dict[str, list[str]] = {}
    for path in files:
        for line, name in names_used(parsed(path)):
            if any(name == ban or name.startswith(ban + ".") for ban in banned):
                found.setdefault(name_of(path), []).append(f"{name_of(path)}:{line}: {name}")
    idle = [f"{name}: needs no exception any more" for name in allowed if name not in found]
    return idle + [use for name, there in found.items() if name not in allowed for use in there]


def report(broken: Iterable[str]) -> str:
    return "\n".join(["", *broken])


# -- size ----------------------------------------------------------------------------------------


def test_functions_fit_on_a_screen() -> None:
    broken: list[str] = []
    for path in [*package_files(), *package_files(*OUTSIDE)]:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    broken.append(f"{name_of(path)}:{node.lineno}: {node.name} has {lines} lines")
    assert not broken, report(broken)


def test_a_file_is_one_noun() -> None:
    """A room's limits aside: nobody reads a list of them through, and a second file would hide half of it."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in package_files()}
    counts = {path: lines for path, lines in counts.items() if path.name != "config.py"}
    broken = [f"{name_of(path)}: {lines} lines" for path, lines in counts.items() if lines > FILE_LINES_MAX]
    assert not broken, report(broken)


def test_every_module_says_what_it_is() -> None:
    broken = [name_of(path) for path in package_files() if not ast.get_docstring(parsed(path))]
    assert not broken, report(broken)


def test_every_package_is_on_the_list() -> None:
    """What is not on it is in the checkout, and in no wheel."""
    listed = tomllib.loads((checkout() / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    inits = [path for path in package_files() if path.name == "__init__.py"]
    there = {".".join(["ringdict", *path.relative_to(checkout()).parent.parts]) for path in inits}
    assert set(listed["packages"]) == there


# -- borders -------------------------------------------------------------------------------------


def test_cores_neither_read_clocks_nor_roll_dice() -> None:
    broken = uses(package_files(*CORES), CLOCKS_AND_DICE, MAY_READ_CLOCKS_AND_DICE)
    assert not broken, report(broken)


def test_cores_do_not_wait() -> None:
    broken = uses(package_files(*CORES), STOPWATCHES, MAY_WAIT)
    assert not broken, report(broken)


def test_event_loops_belong_to_the_shell() -> None:
    broken = uses(package_files(*CORES, "client"), EVENT_LOOPS, MAY_KNOW_EVENT_LOOPS)
    assert not broken, report(broken)


def test_pickle_has_one_door() -> None:
    broken = uses(package_files(), PICKLERS, MAY_PICKLE)
    assert not broken, report(broken)


def test_the_package_imports_itself_relatively() -> None:
    """The folder that it lies in may have any name, and static tools would see two of each module."""
    broken = uses(package_files(), ["ringdict"], {})
    assert not broken, report(broken)


def test_nothing_follows_from_a_hash_that_each_process_draws_anew() -> None:
    """`hash(b"...")` gave operations of a test their ids: once in 25 processes two were the same."""
    broken = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in [*package_files(), *(checkout() / "tests").rglob("*.py")]
        if name_of(path) not in MAY_HASH
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hash"
    ]
    assert not broken, report(broken)


# -- limits and errors ---------------------------------------------------------------------------

# A unit, or the plural of what is counted; then a bound.
CONFIG_NAME = re.compile(r"^([A-Z0-9]+_)*([A-Z0-9]*S|DEPTH|RATIO)(_(MAX|MIN|DEFAULT))*$")
UNITS = {"KIB", "MIB", "GIB", "TIB", "NS", "US", "MS", "S"}
PRESETS = {"LAN", "FAST"}  # settings as a whole


def constants_of(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each constant, and whether a docstring stands under it, or under the pair that it is half of."""
    waiting: list[str] = []
    for node in [*tree.body, ast.Pass()]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name in UNITS:
                    continue
                if waiting and (len(waiting) > 1 or stem(name) != stem(waiting[0])):
                    yield waiting.pop(), False
                waiting.append(name)
            case ast.Expr(value=ast.Constant(value=str())):
                yield from ((name, True) for name in waiting)
                waiting = []
            case _:
                yield from ((name, False) for name in waiting)
                waiting = []


def stem(name: str) -> str:
    return re.sub(r"_(MAX|MIN|DEFAULT|INTERVAL_S|TIMEOUT_S)$", "", name)


def test_every_limit_has_a_unit_and_a_reason() -> None:
    broken: list[str] = []
    for path in checkout().glob("*/*config.py"):
        for name, has_reason in constants_of(parsed(path)):
            if not has_reason:
                broken.append(f"{name_of(path)}: {name}: no reason under it")
            if not CONFIG_NAME.match(name) and name not in PRESETS:
                broken.append(f"{name_of(path)}: {name}: does not end in a unit")
    assert not broken, report(broken)


def test_every_error_is_exported_and_says_what_happened() -> None:
    classes = [node for node in parsed(checkout() / "exception.py").body if isinstance(node, ast.ClassDef)]
    exported = set(ringdict.exception.__all__)
    broken = [f"{node.name}: not exported" for node in classes if node.name not in exported]
    broken += [f"{node.name}: no docstring" for node in classes if not ast.get_docstring(node)]
    assert not broken, report(broken)
    assert exported == {node.name for node in classes}


# -- words ---------------------------------------------------------------------------------------


def lines_with(pattern: str, *, except_in: str | None = None) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in text_files(checkout())
        if except_in is None or not name_of(path).startswith(except_in)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if wanted.search(line)
    ]


def test_nothing_is_left_to_do_in_the_code() -> None:
    """What remains to be done is an issue, where somebody looks for it."""
    broken = lines_with(r"\b([T]ODO|[F]IXME|[X]XX)\b")
    assert not broken, report(broken)


def test_no_path_of_one_machine() -> None:
    broken = lines_with(r"(?<![\w./])/([w]ork|[r]oot)/") + lines_with("/tmp/", except_in="tests/")
    assert not broken, report(broken)


# -- links ---------------------------------------------------------------------------------------

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    return {
        re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in HEADING.findall(prose(path))
    }


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield f"{name_of(page)}: {target}"


@pytest.mark.parametrize("folder", [".", "docs"])
def test_links_lead_somewhere(folder: str) -> None:
    pages = (checkout() / folder).glob("*.md" if folder == "." else "**/*.md")
    broken = [link for page in pages for link in broken_links(page)]
    assert not broken, report(broken)


# -- the rules' own tests ------------------------------------------------------------------------


def test_names_are_found_however_they_are_imported() -> None:
    source = """
import time as clock, os
from uuid import uuid4 as fresh
from .time import time
clock.time()
def f(): return os.path.join(os.urandom(3))
"""
    used = {name for _, name in names_used(ast.parse(source))}
    assert {"time.time", "uuid.uuid4", "os.urandom"} <= used
    assert "os.path.join" in used


def test_an_idle_exception_is_found() -> None:
    assert uses([], ["time"], {"a.py": "because"}) == ["a.py: needs no exception any more"]


def test_a_limit_without_a_reason_is_found() -> None:
    source = 'A_S_MIN = 1\nA_S_MAX = 2\n"""why"""\nB_S = 3\nC_S = 4\n"""why"""\n'
    found = dict(constants_of(ast.parse(source)))
    assert found == {"A_S_MIN": True, "A_S_MAX": True, "B_S": False, "C_S": True}
