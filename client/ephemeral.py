"""`Dict.ephemeral()`: an anonymous Dict that lives as long as whoever made it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exception import Error
from ..node.config import HEARTBEAT_INTERVAL_S
from ..node.store.transaction import DictGoneError
from .cluster import Cluster, resolve
from .handle import Target, new_record
from .method import drive, watch_for_loops
from .transport import BLOCKING, Transport, current

if TYPE_CHECKING:
    from .dict import Dict
    from .finder import BoundDict, Finder


class Ephemeral:
    """Context manager, plain and async. The Dict is made on entry and deleted on exit."""

    def __init__(
        self,
        make: Callable[[Target], Dict[Any, Any]],
        cluster: Cluster | str | None,
        ttl_ms: int,
        allow_pickle: bool,  # noqa: FBT001 - passed on as it came
    ) -> None:
        self._make = make
        self._cluster = cluster
        self._ttl_ms = ttl_ms
        self._allow_pickle = allow_pickle
        self._finder: Finder | None = None
        self._bound: BoundDict | None = None
        self._heart: Heart | None = None

    def __enter__(self) -> Dict[Any, Any]:
        watch_for_loops("ephemeral", "async with ….{name}()")
        return drive(self._begin(BLOCKING))

    async def __aenter__(self) -> Dict[Any, Any]:
        return await self._begin(current())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        drive(self._end(BLOCKING))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        io = current()
        await io.finish(self._end(io))

    async def _begin(self, io: Transport) -> Dict[Any, Any]:
        from .finder import finder_of

        where = resolve(self._cluster)
        finder = self._finder = finder_of(where)
        record = new_record(where, where.environment, None, self._ttl_ms)
        bound = self._bound = await finder.create_ephemeral(io, where, record)
        self._heart = Heart(lambda: finder.beat(where, bound.dict_id))
        target = Target(dict_id=bound.dict_id, cluster=self._cluster, allow_pickle=self._allow_pickle)
        handle = self._make(target)
        handle._adopt(bound)
        return handle

    async def _end(self, io: Transport) -> None:
        assert self._finder is not None
        assert self._bound is not None
        assert self._heart is not None
        self._heart.stop()
        with suppress(DictGoneError):
            await self._finder.delete_ephemeral(io, self._bound.cluster, self._bound.dict_id)


class Heart:
    """Says once a minute that the owner is alive, in a thread of its own."""

    def __init__(self, beat: Callable[[], None], interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._stopped = threading.Event()
        threading.Thread(target=self._serve, name="ringdict-heart", daemon=True).start()

    def stop(self) -> None:
        """Say no more."""
        self._stopped.set()

    def _serve(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._beat()
            except DictGoneError:
                return
            except Error:
                continue  # five may be missed
