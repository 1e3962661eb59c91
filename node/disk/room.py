"""Room for a write that found its store full: a larger map, or pages that no sync point needs any more."""

from __future__ import annotations

from ...exception import StoreFullError
from ..config import STORE_SLACK_BYTES
from .environment import Environment
from .keeper import Keeper


class Room:
    """For one write, which tries again as long as `make` finds something."""

    def __init__(self, environment: Environment, keeper: Keeper | None, size_bytes_max: int | None) -> None:
        self._environment = environment
        self._keeper = keeper
        self._size_bytes_max = size_bytes_max
        self._synced = False

    def make(self, *, adding: bool) -> None:
        """Make room. `adding`: the write stores entries; one that only removes may exceed the limit a little.

        Raises:
            StoreFullError: there is none to be had.
        """
        limit_bytes = self._size_bytes_max
        try:
            if self._environment.grow(limit_bytes):
                return
        except StoreFullError:
            if self._keeper is None or self._synced:
                raise
        if self._keeper is not None and not self._synced:
            self._synced = True
            self._keeper.take_here()
            return
        assert limit_bytes is not None, "a map without a limit grows, or says why not"
        if adding or not self._environment.grow(limit_bytes + STORE_SLACK_BYTES):
            raise StoreFullError(
                f"the store in {self._environment.path.parent} has reached its limit of {limit_bytes} bytes "
                "(store_bytes_max). Nothing was written: remove something, or raise the limit"
            )
