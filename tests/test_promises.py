"""What docs promise names the tests that show it, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`(test_\w+)`")
DOCUMENTS = ("consistency.md", "locks.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_test_that_a_promise_names_is_there(root: Path, name: str) -> None:
    text = (root / "docs" / name).read_text(encoding="utf-8")
    named = set(NAMED.findall(text))
    sources = [path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")]
    there = {found for source in sources for found in re.findall(r"def (test_\w+)\(", source)}
    assert len(named) > 5
    assert sorted(named - there) == []
