"""What holds for every test: whose settings are in force, which dice are rolled, what pytest imports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# `make test` has to say the same thing twice about the same code; `make test-all` goes and finds what is new,
# and prints the blob that repeats it. No deadlines: the machine is shared, and a slow example is no bug.
hypothesis.settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
hypothesis.settings.register_profile("deep", max_examples=300, print_blob=True, deadline=None)
hypothesis.settings.load_profile("quick")

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent


# What starts nodes and programs by the dozen, waits for them or times them: nothing may run beside it.
ALONE = (
    "bench/",
    "chaos/",
    "cli/test_demo",
    "cli/test_serve",
    "examples/",
    "node/test_lateness",
    "node/test_nap",
    "node/test_server",
    "process/",
    "test_import",
)
# What starts processes, too, but waits for nothing but their ends, and looks at no clock.
TOGETHER = (
    "process/test_backup.",
    "process/test_damage",
    "process/test_disk",
    "process/test_map",
    "process/test_memorymap",
    "process/test_owner",
    "process/test_powercut",
    "process/test_races",
    "process/test_torture",
)
# Wrong versions, and what tries no room whose coverage is measured, or goes the ways that others go as well.
UNTRACED = (
    "bench/",
    "gossip/test_mutants",
    "process/test_rolling",
    "test_promises",
    "test_tidy",
)


class PlainRoot:
    """Keeps pytest from taking the root, for its `__init__.py`, for a package of tests.

    It would import ringdict a second time, named after the checkout's folder; and fail if that is no name.
    """

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on-nodes",
        metavar="URL",
        help="run the tests of tests/client that can be on this cluster; 'small': on small nodes in threads",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(PlainRoot())


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark by file the tests that nothing may run beside, and those that need not be traced."""
    if not item.path.is_relative_to(TESTS):
        return
    name = item.path.relative_to(TESTS).as_posix()
    if name.startswith(ALONE) and not name.startswith(TOGETHER):
        item.add_marker("alone")
    if name.startswith(UNTRACED):
        item.add_marker("untraced")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout, or of the unpacked sdist."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def settings_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads the settings of whoever runs it, nor touches the store in their home."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("RINGDICT_")]:
        patch.delenv(name)
    patch.setenv("RINGDICT_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()
