"""CPython's own tests of what a mapping is, `test.mapping_tests.BasicTestMappingProtocol`, on a Dict.

Two of its assertions cannot hold: `d.values(None)` and `d.items(None)` must raise `TypeError` there, since
a dict's take no argument; a Dict's take a prefix, and None is none. The rest of these two tests is
repeated below.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from ringdict import Cluster, Dict

mapping_tests = pytest.importorskip(
    "test.mapping_tests",
    reason="this distribution leaves CPython's own tests out (Debian: libpython3-testsuite)",
    exc_type=ImportError,
)


class TestMappingProtocol(mapping_tests.BasicTestMappingProtocol):  # type: ignore[misc, name-defined]
    """Every test makes as many empty Dicts as it likes."""

    @pytest.fixture(autouse=True)
    def place(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.numbers = count()

    def _empty_mapping(self) -> Dict[Any, Any]:
        return Dict.from_name(f"d{next(self.numbers)}", create_if_missing=True, cluster=self.cluster)

    def test_values(self) -> None:
        d = self._empty_mapping()
        assert list(d.values()) == list(d.values(None)) == []

    def test_items(self) -> None:
        d = self._empty_mapping()
        assert list(d.items()) == list(d.items(None)) == []
