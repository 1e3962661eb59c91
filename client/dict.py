"""`Dict`: one dictionary that every process of a host shares."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..exception import InvalidError
from ..node import layout
from ..node.config import LOCK_TTL_DEFAULT_S
from ..node.entry import Stored
from ..node.operation import (
    Clear,
    DeleteMany,
    Increment,
    Pop,
    Put,
    PutIfAbsent,
    Replace,
    SetDefault,
    Touch,
)
from . import batch
from .cluster import Cluster, resolve
from .ephemeral import Ephemeral
from .embedded import EmbeddedDict
from .handle import Handle, Target, object_id, operation_ids, parse_object_id
from .info import DictInfo, Entry, Version
from .keys import decode_key, encode_key
from .lock import Lock
from .method import drive, method, watch_for_loops
from .name import check_environment, check_name
from .objects import DictObjects
from .transport import BLOCKING, Transport
from .ttl import EPOCH, UNSET, Ttl, TtlOrUnset, Unset, expiry_instant, ttl_ms
from .view import DictItemsView, DictKeysView, DictValuesView, viewing

if TYPE_CHECKING:
    from .signature import Get, Items, Keys, Remove, Values

K = TypeVar("K")
V = TypeVar("V")

READS = ("nearest", "primary", "any")
ACKS = ("all", "majority", "one")


class Dict(Handle, MutableMapping[K, V], Generic[K, V]):
    """A named dictionary that is shared by all processes, containers and hosts that use its name.

    Made with `Dict.from_name`, `Dict.from_id` or `Dict.ephemeral`, never by calling it. Behaves like a
    builtin dict; the README says where it differs. Every method but the builtin operators comes in two
    forms: ``d.get(k)`` blocks, ``await d.get.aio(k)`` runs on asyncio and on Trio. A handle is cheap, may
    be shared between threads, pickled (it travels by name, without data), and used after a fork.

    A cancelled ``.aio`` write that had not begun never will; one that had begun goes on in the background,
    and whoever cancelled it does not hear of its outcome.

    Errors that every method may raise: `NotFoundError` (there is no such Dict, or it was deleted),
    `UnavailableError`, `StoreFullError`, `StoreDamagedError`, `ClosedError`; of a key, builtin `TypeError`
    (a type that cannot be a key) and `RequestSizeError` (over 4 KiB encoded); of a value, builtin
    `TypeError`, `ValueTooLargeError` and `DeserializationError`.
    """

    objects: ClassVar[DictObjects]

    def __init__(self) -> None:
        raise InvalidError("Dict() cannot be called; use Dict.from_name(name, create_if_missing=True)")

    @classmethod
    def _of(cls, target: Target) -> Dict[Any, Any]:
        self = cls.__new__(cls)
        Handle.__init__(self, target)
        return self

    # -- making a handle ---------------------------------------------------------------------------

    @classmethod
    def from_name(  # noqa: PLR0913 - each is the user's to choose
        cls,
        name: str,
        *,
        create_if_missing: bool = False,
        environment_name: str | None = None,
        cluster: Cluster | str | None = None,
        ttl: Ttl = None,
        allow_pickle: bool = False,
        reads: str = "nearest",
    ) -> Dict[Any, Any]:
        """A handle for the Dict of that name. Does no I/O: the Dict is looked for at first use.

        Args:
            name: 1 to 64 letters, digits, ``-``, ``_`` or ``.``.
            create_if_missing: make the Dict at first use if there is none; else that is `NotFoundError`.
            environment_name: where the name lives; None: ``RINGDICT_ENVIRONMENT``, else "main".
            cluster: a URL (``file:///folder``), a `Cluster`, or None: what the environment variables say
                at first use, else the embedded store in the user's state folder.
            ttl: default time to live of entries, in seconds or as a timedelta, kept with the Dict when it
                is made; None: whatever it has. Another than it has: `InvalidError` at first use.
            allow_pickle: let values of any type be stored, and be unpickled by this handle. Whoever can
                write to the Dict can then run code in this process.
            reads: "nearest", "primary" or "any" replica; an embedded store has one.

        Raises:
            InvalidError: an argument is none of these.
        """
        if reads not in READS:
            raise InvalidError(f"reads must be one of {', '.join(READS)}; not {reads!r}")
        if environment_name is not None:
            check_environment(environment_name)
        target = Target(
            name=check_name(name),
            environment=environment_name,
            cluster=cluster,
            create=create_if_missing,
            ttl_ms=None if ttl is None else ttl_ms(ttl, 0),
            allow_pickle=allow_pickle,
            reads=reads,
        )
        return cls._of(target)

    @classmethod
    def from_id(
        cls,
        object_id: str,
        *,
        cluster: Cluster | str | None = None,
        allow_pickle: bool = False,
    ) -> Dict[Any, Any]:
        """A handle for the Dict of that `object_id`. Once deleted, it stays so: another Dict made under
        the same name has another id. `InvalidError`: it is not an id.
        """
        return cls._of(
            Target(dict_id=parse_object_id(object_id), cluster=cluster, allow_pickle=allow_pickle)
        )

    @classmethod
    def ephemeral(
        cls, *, cluster: Cluster | str | None = None, ttl: Ttl = None, allow_pickle: bool = False
    ) -> Ephemeral:
        """An anonymous Dict for the length of a ``with`` or ``async with``; deleted behind it, and also
        some minutes after the death of the process that made it. Its handle may be sent to others.
        """
        return Ephemeral(cls._of, cluster, ttl_ms(ttl, 0), allow_pickle)

    def __reduce__(self) -> tuple[object, ...]:
        return Dict._of, (self._target,)

    def __repr__(self) -> str:
        target = self._target
        if target.name is not None:
            return f"ringdict.Dict.from_name({target.name!r})"
        return f"ringdict.Dict.from_id({self.object_id!r})"

    # -- the Dict as a whole -----------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """Its name; None for an ephemeral one. A handle made from an id looks the Dict up for it."""
        if self._target.name is not None:
            return self._target.name
        return (self._bound or drive(self._connect(BLOCKING))).record.name

    @property
    def object_id(self) -> str:
        """Its id, for `from_id`. Looks the Dict up if that was not done yet."""
        if self._target.dict_id is not None:
            return object_id(self._target.dict_id)
        bound = self._bound or drive(self._connect(BLOCKING))
        return object_id(bound.dict_id)

    @method
    async def hydrate(self, io: Transport) -> Dict[K, V]:
        """Look the Dict up now (making it, if the handle says so) rather than at first use."""
        await self._connect(io)
        return self

    @method
    async def info(self, io: Transport) -> DictInfo:
        """What is known of the Dict: name, when and by whom it was made, entries, bytes."""
        entries = await self._retry(io, lambda bound: bound.count(io))
        bound = await self._connect(io)
        state = await bound.state(io)
        record = bound.record
        created_at = EPOCH + timedelta(milliseconds=record.created_ms)
        return DictInfo(record.name, created_at, record.created_by, entries, state.bytes)

    @method
    async def len(self, io: Transport) -> int:
        """How many entries there are, those that have expired not counted."""
        return await self._retry(io, lambda bound: bound.count(io))

    @method
    async def clear(self, io: Transport) -> None:
        """Remove all entries and release all locks, at once whatever their number."""
        await self._write(io, Clear())

    # -- one key: reads ----------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        watch_for_loops("get")
        body = drive(self._read(BLOCKING, key))
        if body is None:
            raise self._key_error(key)
        return cast("V", self._decode(body))

    async def _get(
        self, io: Transport, key: K, /, default: object = None, *, fresh: bool = False
    ) -> object:
        """The value of a key, or `default` if it is absent. A stored None is a value, not an absence.

        `fresh` asks a majority of replicas; an embedded store is always fresh.
        """
        del fresh
        body = await self._read(io, key)
        return default if body is None else self._decode(body)

    @method
    async def contains(self, io: Transport, key: object, /, *, fresh: bool = False) -> bool:
        """Whether the key is there."""
        del fresh
        return await self._read(io, key) is not None

    def __contains__(self, key: object) -> bool:
        return self.contains(key)

    @method
    async def get_entry(self, io: Transport, key: K, /, *, fresh: bool = False) -> Entry[V] | None:
        """The value with its version and expiry, None if the key is absent.

        The version serves `if_version`; of an entry that an atomic operation made it is a fencing token.
        """
        del fresh
        found = await self._find(io, key)
        if found is None:
            return None
        value = cast("V", self._decode(found.body))
        return Entry(value, Version(found.version), expiry_instant(found.expires_ms))

    @method
    async def ttl(self, io: Transport, key: K, /, *, fresh: bool = False) -> float | None:
        """Seconds until the entry expires, None for never. `KeyError` if it is absent."""
        del fresh
        found: Stored | None = await self._find(io, key)
        if found is None:
            raise self._key_error(key)
        if not found.expires_ms:
            return None
        bound = await self._connect(io)
        return max(0.0, (found.expires_ms - bound.store.clock.now_ms()) / 1000)

    # -- one key: writes ---------------------------------------------------------------------------

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        watch_for_loops("pop")
        if not drive(self._write(BLOCKING, DeleteMany([encode_key(key)]), key)):
            raise self._key_error(key)

    @method
    async def put(  # noqa: PLR0913 - each is the user's to choose
        self,
        io: Transport,
        key: K,
        value: V,
        /,
        *,
        skip_if_exists: bool = False,
        ttl: TtlOrUnset = UNSET,
        ack: str = "all",
    ) -> bool:
        """Store a value. True: written.

        Args:
            skip_if_exists: atomically, only if the key is absent; False is then the answer to all but one
                of those who ask at once.
            ttl: time to live in seconds or as a timedelta; None: for ever; unset: the Dict's default.
            ack: which replicas must have it, "all" that are reachable, a "majority", or "one".
        """
        if ack not in ACKS:
            raise InvalidError(f"ack must be one of {', '.join(ACKS)}; not {ack!r}")
        bound = self._bound or await self._connect(io)
        lifetime_ms = bound.record.ttl_ms if ttl is UNSET else ttl_ms(ttl, 0)
        kind = PutIfAbsent if skip_if_exists else Put
        operation = kind(encode_key(key), self._encode(value), lifetime_ms, operation_ids.next())
        return await self._write(io, operation, key)

    async def _pop(
        self,
        io: Transport,
        key: K,
        /,
        default: object = UNSET,
        *,
        if_version: int | Unset = UNSET,
    ) -> object:
        """Remove a key and return its value, atomically: what one write stored goes to one caller.

        `default` is for an absent key, else that is `KeyError`. With `if_version`, only an entry at that
        version is removed; another is `ConflictError`.
        """
        version = None if isinstance(if_version, Unset) else if_version
        body = await self._write(io, Pop(encode_key(key), version, operation_ids.next()), key)
        if body is not None:
            return self._decode(body)
        if default is UNSET:
            raise self._key_error(key)
        return default

    @method
    async def setdefault(  # type: ignore[override]  # the descriptor stands where Mapping has a function
        self, io: Transport, key: K, default: V = cast("Any", None), /, *, ttl: TtlOrUnset = UNSET
    ) -> V:
        """The value of a key; `default`, stored atomically, if it is absent."""
        bound = await self._connect(io)
        body = self._encode(default)
        lifetime_ms = ttl_ms(ttl, bound.record.ttl_ms)
        operation = SetDefault(encode_key(key), body, lifetime_ms, operation_ids.next())
        return cast("V", self._decode(await self._write(io, operation, key)))

    @method
    async def replace(self, io: Transport, key: K, value: V, /, *, if_version: int | None) -> Version:
        """Store a value if the entry is still at `if_version`, None: if it is absent. Its new version.

        Raises:
            ConflictError: it is at another version, `.current`.
            KeyError: it is absent, and `if_version` is not None.
        """
        bound = await self._connect(io)
        operation = Replace(
            encode_key(key), self._encode(value), if_version, bound.record.ttl_ms, operation_ids.next()
        )
        return Version(await self._write(io, operation, key))

    @method
    async def incr(  # noqa: PLR0913
        self,
        io: Transport,
        key: K,
        delta: float = 1,
        /,
        *,
        initial: float | None = 0,
        ttl: TtlOrUnset = UNSET,
    ) -> int | float:
        """Add `delta` to a number, atomically. The sum.

        An absent key starts at `initial`, with `ttl`; None: `KeyError`. `TypeError`: not a number.
        `OverflowError`: a float and an int too large for one.
        """
        delta = plain_number(delta)
        initial = None if initial is None else plain_number(initial)
        bound = await self._connect(io)
        operation = Increment(
            encode_key(key),
            delta,
            initial,
            ttl_ms(ttl, bound.record.ttl_ms),
            operation_ids.next(),
            bound.store.value_bytes_max,
        )
        return await self._write(io, operation, key)

    @method
    async def touch(
        self, io: Transport, key: K, ttl: Ttl, /, *, if_version: int | Unset = UNSET
    ) -> bool:
        """Give an entry another time to live, None: for ever. False: the key is absent."""
        version = None if isinstance(if_version, Unset) else if_version
        operation = Touch(encode_key(key), ttl_ms(ttl, 0), version, operation_ids.next())
        return await self._write(io, operation, key)

    @method
    async def popitem(self, io: Transport) -> tuple[K, V]:  # type: ignore[override]
        """Remove some entry, atomically, and return it. `KeyError` if the Dict is empty."""
        found = await self._retry(io, lambda bound: self._pop_some(io, bound))
        if found is None:
            raise KeyError(f"{self._title()} is empty")
        return cast("tuple[K, V]", found)

    async def _pop_some(self, io: Transport, bound: EmbeddedDict) -> tuple[object, object] | None:
        """Try entries in turn. Poppers begin at different places, or all would go for the same entry."""
        partition = layout.PARTITION_NAMES[random.randrange(layout.PARTITIONS)]  # noqa: S311 - no secret
        start: bytes | None = bound.dict_id + partition
        for _ in ("from there to the end", "from the beginning"):
            while True:
                with self._naming_damage():
                    page = await bound.page(io, start, b"")
                for key, _body in page.entries:
                    body = await bound.write(io, Pop(key, None, operation_ids.next()))
                    if body is not None:
                        return decode_key(key), self._decode(body)
                start = page.next
                if start is None:
                    break
        return None

    # -- many keys ---------------------------------------------------------------------------------

    @method
    async def update(  # type: ignore[override]
        self,
        io: Transport,
        mapping_or_pairs: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        ttl: TtlOrUnset = UNSET,
        **kw: V,
    ) -> None:
        """Store many values. Up to 10,000 entries are one transaction: all or none.

        Raises:
            PartialFailureError: of more than that, some transactions took effect and others did not.
        """
        bound = await self._connect(io)
        pairs = batch.pairs(mapping_or_pairs, kw)
        await batch.update(self, io, pairs, ttl_ms(ttl, bound.record.ttl_ms))

    @method
    async def get_many(self, io: Transport, keys: Iterable[K], /, *, fresh: bool = False) -> dict[K, V]:
        """The values of those of the keys that are there, up to 10,000 from one snapshot."""
        del fresh
        return cast("dict[K, V]", await batch.get_many(self, io, keys))

    @method
    async def delete_many(self, io: Transport, keys: Iterable[K], /) -> int:
        """Remove those of the keys that are there; how many. Transactions as `update`."""
        return await batch.delete_many(self, io, keys)

    # -- all keys ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.len()

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dict) and self._same_dict(other):
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # its value changes

    def _same_dict(self, other: Dict[Any, Any]) -> bool:
        """Whether both stand for one Dict, as far as that is known without asking."""
        mine, its = self._target, other._target
        if mine.name is not None and mine.name == its.name:
            here, there = resolve(mine.cluster), resolve(its.cluster)
            return here.store is there.store and (mine.environment or here.environment) == (
                its.environment or there.environment
            )
        return self is other or (
            resolve(mine.cluster).store is resolve(its.cluster).store and self.object_id == other.object_id
        )

    # -- locks -------------------------------------------------------------------------------------

    def lock(self, key: K, *, ttl: Ttl = LOCK_TTL_DEFAULT_S, wait_s: float | None = None) -> Lock:
        """A lock of that name, for ``with`` and ``async with``. Locks are no entries: they have a key space
        of their own, and show up in neither `len` nor `keys`. No I/O until it is acquired.

        Args:
            ttl: how long it outlives a holder that died; None: for ever.
            wait_s: how long to wait for it; None: for ever; 0: not at all.
        """
        return Lock(self, key, ttl_ms(ttl, 0), wait_s)

    # -- inside ------------------------------------------------------------------------------------

    def _encode(self, value: object) -> bytes:
        assert self._codec is not None
        return self._codec.encode(value)

    def _decode(self, body: bytes) -> object:
        assert self._codec is not None
        return self._codec.decode(body)

    # -- methods with several signatures, and views ------------------------------------------------

    if TYPE_CHECKING:
        get: Get[K, V]  # type: ignore[assignment]
        pop: Remove[K, V]  # type: ignore[assignment]
        keys: Keys[K]  # type: ignore[assignment]
        values: Values[V]  # type: ignore[assignment]
        items: Items[K, V]  # type: ignore[assignment]
    else:
        get = method(_get)
        pop = method(_pop)
        keys = viewing(
            DictKeysView,
            """The keys, of those with that prefix (str, bytes, or the first items of a tuple).

            Streams in pages: each key once, none missed that was there throughout; in no order.
            """,
        )
        values = viewing(DictValuesView, "The values; as `keys`.")
        items = viewing(DictItemsView, "Keys and values in pairs; as `keys`.")


def plain_number(number: float) -> int | float:
    """A number as an int or float proper, whatever subclass it came as; `TypeError` if it is none."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"incr adds numbers, not {type(number).__name__}")
    return int(number) if isinstance(number, int) else float(number)


Dict.objects = DictObjects(Dict._of)
