"""One key at a time: the reads and writes of a Dict's entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, cast

from ..exception import ConflictError, InvalidError
from ..node.config import POP_ATTEMPTS_MAX
from ..node.store.entry import DamagedEntryError, Stored
from ..node.store.operation import DeleteMany, Increment, Pop, Put, PutIfAbsent, Replace, SetDefault, Touch
from ..node.store.transaction import DictGoneError
from .handle import Handle, operation_ids
from .info import Entry, K, V, Version
from .keys import decode_key, encode_key
from .method import SLOWLY, drive, method, watch_for_loops
from .transport import BLOCKING, Transport
from .ttl import UNSET, Ttl, TtlOrUnset, Unset, expiry_instant, ttl_ms

if TYPE_CHECKING:
    from .finder import BoundDict
    from .signature import Get, Remove

ACKS = ("all", "majority", "one")


class Access(Handle, Generic[K, V]):
    """The methods of a Dict that are about one key."""

    # -- reads -------------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        watch_for_loops("get")
        value = self._get_now(key, UNSET)
        if value is SLOWLY:
            value = drive(self._get(BLOCKING, key, UNSET))
        if value is UNSET:
            raise self._key_error(key)
        return cast("V", value)

    def _get_now(self, key: K, /, default: object = None, *, fresh: bool = False) -> object:
        bound = self._bound
        if bound is None or fresh or bound.cluster.closed:
            return SLOWLY
        try:
            body = bound.read_now(encode_key(key))
        except (DictGoneError, DamagedEntryError):
            return SLOWLY
        return default if body is None else self._codec.decode(body)

    async def _get(self, io: Transport, key: K, /, default: object = None, *, fresh: bool = False) -> object:
        """The value of a key, or `default` if it is absent. A stored None is a value, not an absence.

        `fresh` asks a majority of replicas; an embedded store is always fresh.
        """
        body = await self._read(io, key, fresh=fresh)
        return default if body is None else self._decode(body)

    @method
    async def contains(self, io: Transport, key: object, /, *, fresh: bool = False) -> bool:
        """Whether the key is there."""
        return await self._read(io, key, fresh=fresh) is not None

    def __contains__(self, key: object) -> bool:
        return self.contains(key)

    @method
    async def get_entry(self, io: Transport, key: K, /, *, fresh: bool = False) -> Entry[V] | None:
        """The value with its version and expiry, None if the key is absent.

        The version serves `if_version`; of an entry that an atomic operation made it is a fencing token.
        """
        found = await self._find(io, key, fresh=fresh)
        if found is None:
            return None
        value = cast("V", self._decode(found.body))
        return Entry(value, Version(found.version), expiry_instant(found.expires_ms))

    @method
    async def ttl(self, io: Transport, key: K, /, *, fresh: bool = False) -> float | None:
        """Seconds until the entry expires, None for never. `KeyError` if it is absent."""
        found: Stored | None = await self._find(io, key, fresh=fresh)
        if found is None:
            raise self._key_error(key)
        if not found.expires_ms:
            return None
        bound = await self._connect(io)
        return max(0.0, (found.expires_ms - bound.now_ms()) / 1000)

    # -- writes ------------------------------------------------------------------------------------

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        watch_for_loops("pop")
        if not drive(self._write(BLOCKING, DeleteMany([encode_key(key)]), key)):
            raise self._key_error(key)

    def _put_now(
        self,
        key: K,
        value: V,
        /,
        *,
        skip_if_exists: bool = False,
        ttl: TtlOrUnset = UNSET,
        ack: str = "all",
    ) -> object:
        bound = self._bound
        if bound is None or bound.cluster.closed:
            return SLOWLY
        operation = self._put_operation(bound, key, value, skip_if_exists, ttl, ack)
        try:
            return bound.write_now(operation)
        except (DictGoneError, DamagedEntryError):
            return SLOWLY  # nothing was written; the plan knows what to do about it

    async def _put(
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
        bound = self._bound or await self._connect(io)
        operation = self._put_operation(bound, key, value, skip_if_exists, ttl, ack)
        return await self._write(io, operation, key)

    def _put_operation(
        self,
        bound: BoundDict,
        key: K,
        value: V,
        skip_if_exists: bool,  # noqa: FBT001 - passed on as it came
        ttl: TtlOrUnset,
        ack: str,
    ) -> Put | PutIfAbsent:
        if ack not in ACKS:
            raise InvalidError(f"ack must be one of {', '.join(ACKS)}; not {ack!r}")
        lifetime_ms = bound.record.ttl_ms if ttl is UNSET else ttl_ms(ttl, 0)
        if skip_if_exists:
            return PutIfAbsent(encode_key(key), self._codec.encode(value), lifetime_ms, operation_ids.next())
        return Put(encode_key(key), self._codec.encode(value), lifetime_ms, ack)

    put = method(_put, _put_now)

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
        taken = await self._take(io, key, encode_key(key), version)
        if taken is not None:
            return taken[0]
        if default is UNSET:
            raise self._key_error(key)
        return default

    async def _take(
        self, io: Transport, key: object, encoded: bytes, if_version: int | None
    ) -> tuple[object] | None:
        """Remove an entry and give its value, None if it is absent.

        The value is decoded before it is removed, and removed only if it is still that one: who cannot
        read it must not destroy it. Every retry means that somebody else wrote the key, or that the replica
        which was read first is behind.
        """
        fresh = (await self._connect(io)).is_one_copy
        for _ in range(POP_ATTEMPTS_MAX):
            entry = await self._find(io, key, fresh=fresh)
            if entry is None and not fresh:
                fresh = True
                continue
            if entry is None:
                return None
            fresh = True
            value = (self._decode(entry.body),)
            try:
                version = entry.version if if_version is None else if_version
                body = await self._write(io, Pop(encoded, version, operation_ids.next()), key)
            except ConflictError:
                if if_version is not None:
                    raise
            else:
                return None if body is None else value
        body = await self._write(io, Pop(encoded, None, operation_ids.next()), key)
        return None if body is None else (self._decode(body),)

    @method
    async def setdefault(
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
    async def incr(
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
            bound.value_bytes_max,
        )
        return await self._write(io, operation, key)

    @method
    async def touch(self, io: Transport, key: K, ttl: Ttl, /, *, if_version: int | Unset = UNSET) -> bool:
        """Give an entry another time to live, None: for ever. False: the key is absent."""
        version = None if isinstance(if_version, Unset) else if_version
        operation = Touch(encode_key(key), ttl_ms(ttl, 0), version, operation_ids.next())
        return await self._write(io, operation, key)

    @method
    async def popitem(self, io: Transport) -> tuple[K, V]:
        """Remove some entry, atomically, and return it. `KeyError` if the Dict is empty."""
        found = await self._retry(io, lambda bound: self._pop_some(io, bound))
        if found is None:
            raise KeyError(f"{self._title()} is empty")
        return cast("tuple[K, V]", found)

    async def _pop_some(self, io: Transport, bound: BoundDict) -> tuple[object, object] | None:
        """Try entries in turn. Poppers begin at different places, or all would go for the same entry."""
        start = bound.somewhere()
        damaged: set[bytes] = set()
        for _ in ("from there to the end", "from the beginning"):
            while True:
                page = await bound.page(io, start, b"")
                for encoded, body in page.entries:
                    if body is None:
                        damaged.add(encoded)
                        continue
                    key = decode_key(encoded)
                    taken = await self._take(io, key, encoded, None)
                    if taken is not None:
                        return key, taken[0]
                start = page.next
                if start is None:
                    break
        for encoded in damaged:  # nothing else is left
            self._raise_damaged(decode_key(encoded) if encoded else None)
        return None

    # -- methods with several signatures -----------------------------------------------------------

    if TYPE_CHECKING:
        get: Get[K, V]
        pop: Remove[K, V]
    else:
        get = method(_get, _get_now)
        pop = method(_pop)


def plain_number(number: float) -> int | float:
    """A number as an int or float proper, whatever subclass it came as; `TypeError` if it is none."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"incr adds numbers, not {type(number).__name__}")
    return int(number) if isinstance(number, int) else float(number)
