"""Where a Dict is found: what both kinds of places, stores and clusters of nodes, offer to handles.

A handle is bound to a `BoundDict`, and does not know which kind it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..node.store.catalogue import Record
from ..node.store.entry import Stored
from ..node.store.operation import Operation
from ..node.store.table import Page
from .seeds import require_msgspec
from .transport import Transport

if TYPE_CHECKING:
    from .cluster import Cluster

R = TypeVar("R")


class BoundDict(Protocol):
    """One Dict in its place. Every call raises `DictGoneError` once it was deleted, and `ClosedError` once
    its cluster was closed. Keys and values are bytes."""

    @property
    def cluster(self) -> Cluster: ...
    @property
    def record(self) -> Record: ...
    @property
    def dict_id(self) -> bytes: ...
    @property
    def value_bytes_max(self) -> int: ...

    def now_ms(self) -> int:
        """The clock that expiry is judged by, as well as it is known here."""
        ...

    @property
    def is_one_copy(self) -> bool:
        """Whether there is one copy of each entry: then every read is of the newest."""
        ...

    # Short cuts of the blocking colour: no check, no plan; a failure of theirs is tried again by the plan.

    @property
    def read_now(self) -> ReadNow: ...

    def write_now(self, operation: Operation[R]) -> R:
        """Carry out an operation."""
        ...

    # Plans' steps.

    def read(self, io: Transport, key: bytes, *, fresh: bool = False) -> Awaitable[bytes | None]:
        """The value's bytes of a key, None if absent."""
        ...

    def find(self, io: Transport, key: bytes, *, fresh: bool = False) -> Awaitable[Stored | None]:
        """The entry of a key, None if absent."""
        ...

    def read_many(
        self, io: Transport, keys: Sequence[bytes], *, fresh: bool = False
    ) -> Awaitable[list[bytes | None]]:
        """The values' bytes of many keys, in their order."""
        ...

    def page(self, io: Transport, start: bytes | None, prefix: bytes) -> Awaitable[Page]:
        """A stretch of the Dict, from `start` (None: the beginning; else a page's `next`)."""
        ...

    def somewhere(self) -> bytes | None:
        """A place to begin a stretch at, drawn at random."""
        ...

    def count(self, io: Transport) -> Awaitable[int]:
        """How many entries there are."""
        ...

    def measure(self, io: Transport) -> Awaitable[tuple[int, int]]:
        """How many entries there are, and how many bytes their keys and values have."""
        ...

    def write(self, io: Transport, operation: Operation[R]) -> Awaitable[R]:
        """Carry out an operation."""
        ...

    def is_free(self, io: Transport, lock: bytes) -> Awaitable[bool]:
        """Whether nobody holds a lock."""
        ...

    def holds(self, io: Transport, lock: bytes, token: int) -> Awaitable[bool]:
        """Whether a lock is held with that token."""
        ...

    def wait_for(
        self, io: Transport, lock: bytes, holder: bytes, seconds: float, pause_s: float
    ) -> Awaitable[None]:
        """Let time pass until a lock may be free that `holder` was refused; so long at the most. `pause_s`:
        between two looks, where nobody tells."""
        ...


class ReadNow(Protocol):
    """The value's bytes of a key, None if absent."""

    def __call__(self, key: bytes, /) -> bytes | None: ...


class Finder(Protocol):
    """A place where Dicts live."""

    async def find_dict(
        self,
        io: Transport,
        cluster: Cluster,
        environment: str,
        name: str,
        create: Record | None = None,
        *,
        reads: str = "nearest",
    ) -> BoundDict:
        """The Dict of a name, made as `create` says if there is none.

        Raises:
            DictGoneError: there is none, and `create` is None.
        """
        ...

    async def by_id(
        self, io: Transport, cluster: Cluster, dict_id: bytes, *, reads: str = "nearest"
    ) -> BoundDict:
        """The Dict of an id; `DictGoneError` if there is none."""
        ...

    async def list_dicts(self, io: Transport, cluster: Cluster, environment: str) -> list[BoundDict]:
        """The named Dicts of an environment."""
        ...

    async def create_dict(
        self, io: Transport, cluster: Cluster, new: Record, *, allow_existing: bool
    ) -> None:
        """Make the Dict of a name; `TakenError` if there is one, and `allow_existing` is off."""
        ...

    async def delete_dict(self, io: Transport, cluster: Cluster, environment: str, name: str) -> None:
        """End the Dict of a name; `DictGoneError` if there is none."""
        ...

    async def create_ephemeral(self, io: Transport, cluster: Cluster, record: Record) -> BoundDict:
        """Make a Dict without a name, as `record` says."""
        ...

    async def delete_ephemeral(self, io: Transport, cluster: Cluster, dict_id: bytes) -> None:
        """End it; `DictGoneError` if it is ended already."""
        ...

    def beat(self, cluster: Cluster, dict_id: bytes) -> None:
        """Say, blocking, that whoever made it is alive; `DictGoneError` if it is ended."""
        ...


def finder_of(cluster: Cluster) -> Finder:
    """How Dicts of that cluster are found."""
    if cluster.is_of_nodes:
        require_msgspec()
        from . import remote

        return remote
    from . import embedded

    return embedded
