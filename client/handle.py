"""What stands between a `Dict`'s methods and the store: finding the Dict, and saying what went wrong.

A handle knows how its Dict is called; it looks for it at first use and is *bound* to it from then on. When
the Dict was deleted meanwhile, it looks once more: made again under its name, it is found again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from ..exception import ConflictError, InvalidError, NotFoundError, StoreDamagedError
from ..node.store.catalogue import Record
from ..node.store.entry import DamagedEntryError, Stored
from ..node.store.operation import MismatchError, MissingKeyError, NotANumberError, Operation
from ..node.store.table import Page
from ..node.store.transaction import DictGoneError
from .cluster import Cluster, resolve
from .keys import decode_key, encode_key
from .transport import Transport

if TYPE_CHECKING:
    from .finder import BoundDict
    from .values import ValueCodec

R = TypeVar("R")

ID_PREFIX = "di-"


class Target(NamedTuple):
    """Which Dict a handle stands for, and how it treats it. Everything that a pickled handle carries.

    One of `name` and `dict_id` is set. `ttl_ms` None: whatever the Dict's is.
    """

    name: str | None = None
    dict_id: bytes | None = None
    environment: str | None = None
    cluster: Cluster | str | None = None
    create: bool = False
    ttl_ms: int | None = None
    allow_pickle: bool = False
    reads: str = "nearest"


class Handle:
    """The part of a Dict handle that is not the mapping."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._bound: BoundDict | None = None
        #: Whether the Dict was found once: from then on it is not made again if it was deleted.
        self._found = False
        self._codec: ValueCodec  # with the first binding

    # -- finding the Dict --------------------------------------------------------------------------

    async def _bind(self, io: Transport) -> BoundDict:
        """Find the Dict, or make it, if the handle is to and has never found it."""
        target = self._target
        create = target.create and not self._found
        cluster = resolve(target.cluster)
        from .finder import finder_of  # with the first binding: `import ringdict` need not wait for it

        finder = finder_of(cluster)
        try:
            if target.dict_id is not None:
                bound = await finder.by_id(io, cluster, target.dict_id, reads=target.reads)
            else:
                assert target.name is not None
                environment = target.environment or cluster.environment
                new = new_record(cluster, environment, target.name, target.ttl_ms or 0) if create else None
                bound = await finder.find_dict(io, cluster, environment, target.name, new, reads=target.reads)
        except DictGoneError:
            self._bound = None
            raise NotFoundError(f"{self._title()} does not exist") from None
        if target.ttl_ms is not None and target.ttl_ms != bound.record.ttl_ms:
            raise InvalidError(
                f"{self._title()} was made with a default ttl of {bound.record.ttl_ms / 1000 or None} s, "
                f"not {target.ttl_ms / 1000} s"
            )
        return self._adopt(bound)

    def _adopt(self, bound: BoundDict) -> BoundDict:
        """Be bound to a Dict that was found."""
        from .values import ValueCodec  # 8 ms, which `import ringdict` need not wait for

        self._codec = ValueCodec(
            allow_pickle=self._target.allow_pickle, value_bytes_max=bound.value_bytes_max
        )
        self._bound = bound
        self._found = True
        return bound

    async def _connect(self, io: Transport) -> BoundDict:
        """The Dict, looked up at first use."""
        return self._bound or await self._bind(io)

    async def _retry(self, io: Transport, call: Callable[[BoundDict], Awaitable[R]]) -> R:
        """Do something with the Dict, and once more if it turns out to have been made anew."""
        bound = self._bound or await self._bind(io)
        try:
            return await call(bound)
        except DictGoneError:
            bound = await self._bind(io)
        try:
            return await call(bound)
        except DictGoneError:
            raise NotFoundError(f"{self._title()} was deleted") from None

    # -- using it ----------------------------------------------------------------------------------

    async def _read(self, io: Transport, key: object, *, fresh: bool = False) -> bytes | None:
        """The value's bytes of a key, None if absent."""
        encoded = encode_key(key)
        bound = self._bound or await self._bind(io)
        try:
            return await bound.read(io, encoded, fresh=fresh)
        except DictGoneError:
            pass
        except DamagedEntryError:
            self._raise_damaged(key)
        return await self._retry(io, lambda bound: bound.read(io, encoded, fresh=fresh))

    async def _find(self, io: Transport, key: object, *, fresh: bool = False) -> Stored | None:
        """The entry of a key, None if absent."""
        encoded = encode_key(key)
        try:
            return await self._retry(io, lambda bound: bound.find(io, encoded, fresh=fresh))
        except DamagedEntryError:
            self._raise_damaged(key)

    async def _first_page(self, io: Transport, prefix: bytes) -> tuple[BoundDict, Page]:
        """The first stretch of the Dict, and the Dict that the following ones must come from."""

        async def page(bound: BoundDict) -> tuple[BoundDict, Page]:
            return bound, await bound.page(io, None, prefix)

        with self._naming_damage():
            return await self._retry(io, page)

    async def _next_page(self, io: Transport, bound: BoundDict, start: bytes, prefix: bytes) -> Page:
        """A further stretch, of the very same Dict: never of one that was made anew meanwhile."""
        try:
            with self._naming_damage():
                return await bound.page(io, start, prefix)
        except DictGoneError:
            raise NotFoundError(f"{self._title()} was deleted during the iteration") from None

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except DamagedEntryError as damage:
            self._raise_damaged(decode_key(damage.args[0]))

    async def _write(self, io: Transport, operation: Operation[R], key: object = None) -> R:
        """Carry out an operation, of one key if that is given."""
        try:
            try:
                return await (self._bound or await self._connect(io)).write(io, operation)
            except DictGoneError:
                return await self._retry(io, lambda bound: bound.write(io, operation))
        except MissingKeyError:
            raise self._key_error(key) from None
        except MismatchError as mismatch:
            current = mismatch.args[0]
            raise ConflictError(
                f"key {key!r} in {self._title()} is {f'at version {current}' if current else 'absent'}",
                current,
            ) from None
        except NotANumberError:
            raise TypeError(f"the value of {key!r} in {self._title()} is not a number") from None
        except DamagedEntryError:
            self._raise_damaged(key)

    def _encode(self, value: object) -> bytes:
        return self._codec.encode(value)

    def _decode(self, body: bytes) -> object:
        return self._codec.decode(body)

    # -- words -------------------------------------------------------------------------------------

    def _title(self) -> str:
        if self._target.name is not None:
            return f"Dict {self._target.name!r}"
        return f"Dict {object_id(self._target.dict_id or b'')}"

    def _key_error(self, key: object) -> KeyError:
        return KeyError(key, f"not in {self._title()}")

    def _raise_damaged(self, key: object) -> NoReturn:
        raise StoreDamagedError(
            f"the value of {key!r} in {self._title()} is damaged: its bytes on disk are not what was "
            "written. Write it anew, or delete the key",
            key,
        ) from None


def new_record(cluster: Cluster, environment: str, name: str | None, default_ttl_ms: int) -> Record:
    """What to write down about a Dict that is made now."""
    return Record(environment, name, cluster.wall_ms(), login_name(), default_ttl_ms)


def login_name() -> str:
    """Who this is: `RINGDICT_USER`, or the login name."""
    user = os.environ.get("RINGDICT_USER")
    if user:
        return user
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in its passwd
        return str(os.getuid())


def object_id(dict_id: bytes) -> str:
    """The id as users see it."""
    return ID_PREFIX + dict_id.hex()


def parse_object_id(text: str) -> bytes:
    """The 8 bytes of an id as users see it; `InvalidError` if it is none."""
    try:
        dict_id = bytes.fromhex(text.removeprefix(ID_PREFIX))
    except (ValueError, AttributeError, TypeError):
        dict_id = b""
    if len(dict_id) != 8 or not text.startswith(ID_PREFIX):
        raise InvalidError(f"not the id of a Dict: {text!r}")
    return dict_id


# -- operation ids -------------------------------------------------------------------------------


class OperationIds:
    """Names for operations, unlike those of any other process: 8 random bytes, 8 of a counter."""

    def __init__(self) -> None:
        self._client = os.urandom(8)
        self._numbers = itertools.count(1)

    def next(self) -> bytes:
        return self._client + next(self._numbers).to_bytes(8, "big")


operation_ids = OperationIds()


def _renew() -> None:
    operation_ids.__init__()  # type: ignore[misc]  # a forked child is another client


os.register_at_fork(after_in_child=_renew)
