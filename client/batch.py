"""Many keys in one call: `update`, `get_many`, `delete_many`, a transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..exception import Error, PartialFailureError
from ..node.config import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX
from ..node.store.operation import DeleteMany, Operation, PutMany
from .keys import decode_key, encode_key
from .transport import Transport

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    from .dict import Dict

T = TypeVar("T")


def pairs(
    source: SupportsKeysAndGetItem[Any, Any] | Iterable[tuple[Any, Any]], more: Mapping[str, Any]
) -> Iterator[tuple[Any, Any]]:
    """The pairs that `dict.update` would take from these arguments."""
    if isinstance(source, Mapping):
        yield from source.items()
    elif hasattr(source, "keys"):
        mapping = cast("SupportsKeysAndGetItem[Any, Any]", source)
        for key in mapping.keys():  # noqa: SIM118 - it need not be iterable itself
            yield key, mapping[key]
    else:
        for key, value in source:
            yield key, value
    yield from more.items()


async def update(
    handle: Dict[Any, Any], io: Transport, source: Iterator[tuple[Any, Any]], ttl_ms: int
) -> None:
    """Store pairs; of equal keys the last. Everything is encoded, and so refused, before the first write."""
    encode = handle._codec.encode  # bound already, by who asks for the default time to live
    rows = {encode_key(key): encode(value) for key, value in source}
    batches = split(list(rows.items()), row_bytes)
    await carry_out(handle, io, batches, lambda rows: PutMany(rows, ttl_ms), lambda row: decode_key(row[0]))


def row_bytes(row: tuple[bytes, bytes]) -> int:
    """The size of a key and its value."""
    return len(row[0]) + len(row[1])


async def get_many(
    handle: Dict[Any, Any], io: Transport, keys: Iterable[Any], *, fresh: bool
) -> dict[Any, Any]:
    """The values of the keys that are there."""
    asked = [(encode_key(key), key) for key in keys]
    found: dict[Any, Any] = {}
    for some in split(asked, lambda _: 1):
        with handle._naming_damage():
            bodies = await _read_many(handle, io, [pair[0] for pair in some], fresh=fresh)
        found.update(
            (key, handle._decode(body))
            for (_, key), body in zip(some, bodies, strict=True)
            if body is not None
        )
    return found


async def _read_many(
    handle: Dict[Any, Any], io: Transport, keys: list[bytes], *, fresh: bool
) -> list[bytes | None]:
    return await handle._retry(io, lambda bound: bound.read_many(io, keys, fresh=fresh))


async def delete_many(handle: Dict[Any, Any], io: Transport, keys: Iterable[Any]) -> int:
    """Remove the keys that are there; how many."""
    encoded = list(dict.fromkeys(map(encode_key, keys)))
    batches = split(encoded, len)
    return sum(await carry_out(handle, io, batches, DeleteMany, decode_key))


async def carry_out(
    handle: Dict[Any, Any],
    io: Transport,
    batches: Sequence[Sequence[T]],
    operation: Callable[[Sequence[T]], Operation[Any]],
    key_of: Callable[[T], object],
) -> list[Any]:
    """One transaction a batch; what each answered.

    Raises:
        PartialFailureError: one failed behind others that did not. The rest was not tried.
    """
    answers: list[Any] = []
    for number, rows in enumerate(batches):
        try:
            answers.append(await handle._write(io, operation(rows)))
        except Error as error:
            if not number:
                raise
            done = [key_of(row) for rows in batches[:number] for row in rows]
            failed = {key_of(row): error for rows in batches[number:] for row in rows}
            raise PartialFailureError(
                f"{len(done)} of {len(done) + len(failed)} keys are done; then: {error}", failed, done
            ) from error
    return answers


def split(rows: Sequence[T], size_bytes: Callable[[T], int]) -> list[Sequence[T]]:
    """The rows in batches that one transaction may hold."""
    batches: list[Sequence[T]] = []
    for start in range(0, len(rows), BATCH_ENTRIES_MAX):
        batches.extend(_split_bytes(rows[start : start + BATCH_ENTRIES_MAX], size_bytes))
    return batches


def _split_bytes(rows: Sequence[T], size_bytes: Callable[[T], int]) -> Iterator[Sequence[T]]:
    sizes = list(map(size_bytes, rows))
    if sum(sizes) <= BATCH_BYTES_MAX:
        yield rows
        return
    first = total_bytes = 0
    for number, size in enumerate(sizes):
        if number > first and total_bytes + size > BATCH_BYTES_MAX:
            yield rows[first:number]
            first, total_bytes = number, 0
        total_bytes += size
    yield rows[first:]
