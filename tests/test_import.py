"""`import ringdict` is cheap, drags in no event loop, and gives what it promises."""

from __future__ import annotations

import importlib
import os
import resource
import subprocess
import sys

import pytest

# What a program that only wants a dict has no use for. Each comes when it is first needed, if ever.
HEAVY = {
    "asyncio",
    "cloudpickle",
    "multiprocessing",
    "numpy",
    "pickle",
    "ringdict.cli",
    "ringdict.gossip",
    "ringdict.sim",
    "ringdict.testing",
    "ssl",
    "trio",
}
# `import ringdict` may cost so many times what an interpreter costs that does nothing. Time alone says little
# on a machine that is shared; the bench has the figure in milliseconds. (Measured: 3.3; 40 ms are 4.4.)
BARE_INTERPRETERS_MAX = 4.0
ROUNDS = 5


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter, whose imports nobody measures or delays."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "PYTHONDONTWRITEBYTECODE"))
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def cpu_s(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_it_imports_nothing_heavy() -> None:
    already = set(python("import sys; print(*sys.modules)").split())
    loaded = set(python("import sys, ringdict; print(*sys.modules)").split())
    assert not (loaded - already) & HEAVY


def test_it_costs_little() -> None:
    pairs = [(cpu_s("pass"), cpu_s("import ringdict")) for _ in range(ROUNDS)]
    bare, with_import = (min(times) for times in zip(*pairs, strict=True))
    assert with_import - bare <= BARE_INTERPRETERS_MAX * bare, f"{with_import:.3f} s, bare {bare:.3f} s"


@pytest.mark.parametrize("name", ["ringdict", "ringdict.exception", "ringdict.testing"])
def test_what_is_promised_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for public in module.__all__:
        assert getattr(module, public) is not None


def test_there_is_one_of_it() -> None:
    """Not a second one under the name of the folder that it lies in (see `PlainRoot` in conftest.py)."""
    import ringdict

    loaded = sys.modules.items()
    copies = [name for name, module in loaded if getattr(module, "__file__", None) == ringdict.__file__]
    assert copies == ["ringdict"]


def test_its_types_are_for_others_too() -> None:
    """The marker without which a user's type checker takes everything of ringdict for Any (PEP 561)."""
    from importlib.resources import files

    assert files("ringdict").joinpath("py.typed").is_file()
