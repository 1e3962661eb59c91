"""`Dict.ephemeral()`: an anonymous Dict that lives as long as whoever made it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exception import Error
from ..node.config import HEARTBEAT_INTERVAL_S
from ..node.store import catalogue
from ..node.store.store import Store
from ..node.store.transaction import DictGoneError, WriteTransaction
from .capability import EPHEMERAL, require
from .cluster import Cluster, resolve
from .embedded import EmbeddedDict
from .handle import Target, new_record
from .method import drive, watch_for_loops
from .transport import BLOCKING, Transport, current

if TYPE_CHECKING:
    from .dict import Dict


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
        self._where: Cluster | None = None
        self._dict_id = b""
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
        where = self._where = resolve(self._cluster)
        if where.is_of_nodes:
            require(EPHEMERAL)
        store = where.store
        self._dict_id = dict_id = store.random(8)
        record = new_record(where, where.environment, None, self._ttl_ms)
        await io.run(
            store,
            lambda transaction: catalogue.create_ephemeral(transaction, record, dict_id),
            where.timeout_s,
        )
        self._heart = Heart(store, dict_id)
        target = Target(dict_id=dict_id, cluster=self._cluster, allow_pickle=self._allow_pickle)
        handle = self._make(target)
        handle._adopt(EmbeddedDict(where, dict_id, record))
        return handle

    async def _end(self, io: Transport) -> None:
        assert self._where is not None
        assert self._heart is not None
        self._heart.stop()
        with suppress(DictGoneError):
            await io.run(
                self._where.store,
                lambda transaction: catalogue.delete(transaction, self._dict_id),
                self._where.timeout_s,
            )


class Heart:
    """Says once a minute that the owner is alive, in a thread of its own."""

    def __init__(self, store: Store, dict_id: bytes, interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
        self._store = store
        self._dict_id = dict_id
        self._interval_s = interval_s
        self._stopped = threading.Event()
        threading.Thread(target=self._serve, name="ringdict-heart", daemon=True).start()

    def stop(self) -> None:
        """Say no more."""
        self._stopped.set()

    def _serve(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._store.run(self._beat)
            except DictGoneError:
                return
            except Error:
                continue  # five may be missed

    def _beat(self, transaction: WriteTransaction) -> None:
        catalogue.beat(transaction, self._dict_id)
