"""`Dict`: one dictionary that every process of a host shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ..exception import InvalidError
from ..node.config import LOCK_TTL_DEFAULT_S
from ..node.store.operation import Clear
from . import batch
from .access import Access
from .cluster import Cluster, resolve
from .ephemeral import Ephemeral
from .handle import Handle, Target, object_id, parse_object_id
from .info import DictInfo, K, V
from .lock import Lock
from .method import drive, method
from .name import check_environment, check_name
from .objects import DictObjects
from .transport import BLOCKING, Transport
from .ttl import EPOCH, UNSET, Ttl, TtlOrUnset, ttl_ms
from .view import DictItemsView, DictKeysView, DictValuesView, viewing

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    from .signature import Items, Keys, Values

READS = ("nearest", "primary", "any")


# What pyright calls incompatible overrides below are attributes that are called like the methods they stand
# for, with `.aio` beside: assignable in use, as the tests of `collections.abc` and of typing show.
class Dict(Access[K, V], MutableMapping[K, V]):
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
    def from_name(
        cls,
        name: str,
        *,
        create_if_missing: bool = False,
        environment_name: str | None = None,
        cluster: Cluster | str | None = None,
        ttl: Ttl = None,
        allow_pickle: bool = False,
        reads: str = "nearest",
    ) -> Dict[K, V]:
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
    ) -> Dict[K, V]:
        """A handle for the Dict of that `object_id`. Once deleted, it stays so: another Dict made under
        the same name has another id. `InvalidError`: it is not an id.
        """
        return cls._of(Target(dict_id=parse_object_id(object_id), cluster=cluster, allow_pickle=allow_pickle))

    @classmethod
    def ephemeral(
        cls, *, cluster: Cluster | str | None = None, ttl: Ttl = None, allow_pickle: bool = False
    ) -> Ephemeral:
        """An anonymous Dict for the length of a ``with`` or ``async with``; deleted behind it, and also
        some minutes after the death of the process that made it, or after it was last heard of by a
        majority of a cluster's nodes. Its handle may be sent to others.
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
        entries, size_bytes = await self._retry(io, lambda bound: bound.measure(io))
        record = (await self._connect(io)).record
        created_at = EPOCH + timedelta(milliseconds=record.created_ms)
        return DictInfo(record.name, created_at, record.created_by, entries, size_bytes)

    @method
    async def len(self, io: Transport) -> int:
        """How many entries there are, those that have expired not counted."""
        return await self._retry(io, lambda bound: bound.count(io))

    @method
    async def clear(self, io: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Remove all entries and release all locks, at once whatever their number."""
        await self._write(io, Clear())

    # -- many keys ---------------------------------------------------------------------------------

    @method
    async def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        io: Transport,
        mapping_or_pairs: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]] = (),
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
        return cast("dict[K, V]", await batch.get_many(self, io, keys, fresh=fresh))

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
            return here.place == there.place and (mine.environment or here.environment) == (
                its.environment or there.environment
            )
        return self is other or (
            resolve(mine.cluster).place == resolve(its.cluster).place and self.object_id == other.object_id
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

    # -- views -------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        keys: Keys[K]  # pyright: ignore[reportIncompatibleMethodOverride]
        values: Values[V]  # pyright: ignore[reportIncompatibleMethodOverride]
        items: Items[K, V]  # pyright: ignore[reportIncompatibleMethodOverride]
    else:
        keys = viewing(
            DictKeysView,
            """The keys, of those with that prefix (str, bytes, or the first items of a tuple).

            Streams in pages: each key once, none missed that was there throughout; in no order.
            """,
        )
        values = viewing(DictValuesView, "The values; as `keys`.")
        items = viewing(DictItemsView, "Keys and values in pairs; as `keys`.")


Dict.objects = DictObjects(Dict._of)
