"""For the tests of programs that use ringdict: Dicts of their own, and nothing left behind.

In a pytest suite, ``pytest_plugins = ["ringdict.testing"]`` in ``conftest.py`` gives the fixtures
``ringdict_home`` and ``ringdict_dict``; elsewhere `isolated_home` and `isolated_dict` are context managers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .client.cluster import Cluster, forget
from .client.dict import Dict

__all__ = ["isolated_dict", "isolated_home", "ringdict_dict", "ringdict_home"]

VARIABLES = ("RINGDICT_URL", "RINGDICT_HOME", "RINGDICT_ENVIRONMENT", "RINGDICT_DURABILITY")


@contextmanager
def isolated_home(folder: Path | None = None) -> Iterator[Path]:
    """While it lasts, every Dict that is looked up by name alone lives in a store of its own.

    It reaches programs whose handles are made in their modules, since a handle looks for its Dict at first
    use only; one that was used before stays where it was. Child processes inherit it.

    Args:
        folder: where; None: a temporary folder, removed behind.
    """
    if folder is None:
        with (
            tempfile.TemporaryDirectory(prefix="ringdict-") as temporary,
            isolated_home(Path(temporary)) as home,
        ):
            yield home
        return
    before = {name: os.environ.pop(name, None) for name in VARIABLES}
    os.environ["RINGDICT_HOME"] = str(folder)
    os.environ["RINGDICT_DURABILITY"] = "none"
    try:
        yield folder
    finally:
        forget(folder)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def isolated_dict(name: str = "test", **options: Any) -> Iterator[Dict[Any, Any]]:  # noqa: ANN401 - as from_name
    """A new, empty Dict in a store of its own; `options` as for `Dict.from_name`."""
    with (
        tempfile.TemporaryDirectory(prefix="ringdict-") as folder,
        Cluster(Path(folder).as_uri() + "?durability=none") as cluster,
    ):
        yield Dict.from_name(name, create_if_missing=True, cluster=cluster, **options)


try:
    import pytest
except ImportError:  # fixtures are for those who have pytest
    pass
else:

    @pytest.fixture
    def ringdict_home(tmp_path: Path) -> Iterator[Path]:
        """`isolated_home` for one test."""
        with isolated_home(tmp_path / "ringdict") as home:
            yield home

    @pytest.fixture
    def ringdict_dict() -> Iterator[Dict[Any, Any]]:
        """`isolated_dict` for one test."""
        with isolated_dict() as handle:
            yield handle
