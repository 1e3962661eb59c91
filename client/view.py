"""`keys()`, `values()`, `items()`: views that stream a Dict in pages.

A view can be iterated any number of times, each time anew, and holds no transaction and no connection
between two pages: nothing is left open when a loop is broken off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..node.store.table import Page
from .info import Prefix
from .keys import decode_key, encode_key, encode_prefix
from .method import drive, watch_for_loops
from .transport import BLOCKING, current

if TYPE_CHECKING:
    from .dict import Dict
    from .finder import BoundDict

T = TypeVar("T")
Pick = Callable[["Dict[Any, Any]", bytes, bytes | None], T]
"""Makes an element of the encoded key and value; of a damaged value, which is None, or raises."""


def pick_key(_: Dict[Any, Any], key: bytes, __: bytes | None) -> object:
    """The key."""
    return decode_key(key)


def pick_value(handle: Dict[Any, Any], key: bytes, body: bytes | None) -> object:
    """The value."""
    if body is None:
        handle._raise_damaged(decode_key(key) if key else None)
    return handle._decode(body)


def pick_item(handle: Dict[Any, Any], key: bytes, body: bytes | None) -> tuple[object, object]:
    """Both."""
    value = pick_value(handle, key, body)
    return decode_key(key), value


class Stream(Generic[T]):
    """What the three views share: a Dict, a prefix, and what to make of each entry."""

    name: ClassVar[str]

    def __init__(self, handle: Dict[Any, Any], prefix: Prefix | None, pick: Pick[T]) -> None:
        self.handle = handle
        self.prefix = b"" if prefix is None else encode_prefix(prefix)
        self.pick = pick

    def __iter__(self) -> Iterator[T]:
        watch_for_loops(self.name, "async for … in ….{name}.aio()")
        handle, pick = self.handle, self.pick
        for page in self._pages():
            for key, body in page.entries:
                if key or pick is not pick_key:  # a key that damage made unreadable hides no others
                    yield pick(handle, key, body)

    def _pages(self) -> Iterator[Page]:
        handle, prefix = self.handle, self.prefix
        bound, page = drive(handle._first_page(BLOCKING, prefix))
        yield page
        while page.next is not None:
            page = drive(handle._next_page(BLOCKING, bound, page.next, prefix))
            yield page

    def __len__(self) -> int:
        """Of a prefix, by a scan that decodes nothing: `list(view)` asks for it, too, as a hint."""
        if not self.prefix:
            return len(self.handle)
        watch_for_loops(self.name, "async for … in ….{name}.aio()")
        return sum(len(page.entries) for page in self._pages())


class AsyncStream(AsyncIterator[T]):
    """The same for an event loop. A plain object: it may be dropped half-way without being closed."""

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream
        self._bound: BoundDict | None = None
        self._next: bytes | None = None
        self._entries: Iterator[tuple[bytes, bytes | None]] = iter(())

    async def __anext__(self) -> T:
        stream = self._stream
        while True:
            for key, body in self._entries:
                if key or stream.pick is not pick_key:
                    return stream.pick(stream.handle, key, body)
            self._entries = iter((await self._page()).entries)

    async def _page(self) -> Page:
        handle, prefix = self._stream.handle, self._stream.prefix
        if self._bound is None:
            self._bound, page = await handle._first_page(current(), prefix)
        elif self._next is None:
            raise StopAsyncIteration
        else:
            page = await handle._next_page(current(), self._bound, self._next, prefix)
        self._next = page.next
        return page


class DictKeysView(Stream[Any], KeysView[Any]):
    """`d.keys(prefix)`."""

    name = "keys"

    def __init__(self, handle: Dict[Any, Any], prefix: Prefix | None = None) -> None:
        KeysView.__init__(self, handle)
        Stream.__init__(self, handle, prefix, pick_key)

    def __contains__(self, key: object) -> bool:
        return matches(key, self.prefix) and key in self.handle


class DictValuesView(Stream[Any], ValuesView[Any]):
    """`d.values(prefix)`."""

    name = "values"

    def __init__(self, handle: Dict[Any, Any], prefix: Prefix | None = None) -> None:
        ValuesView.__init__(self, handle)
        Stream.__init__(self, handle, prefix, pick_value)

    def __contains__(self, value: object) -> bool:
        return any(value == mine for mine in self)


class DictItemsView(Stream[Any], ItemsView[Any, Any]):
    """`d.items(prefix)`."""

    name = "items"

    def __init__(self, handle: Dict[Any, Any], prefix: Prefix | None = None) -> None:
        ItemsView.__init__(self, handle)
        Stream.__init__(self, handle, prefix, pick_item)

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        missing = object()
        return matches(key, self.prefix) and self.handle.get(key, missing) == value


def matches(key: object, prefix: bytes) -> bool:
    """Whether a key is one of those that start with an encoded prefix."""
    return not prefix or encode_key(key).startswith(prefix)


class viewing:  # noqa: N801 - reads like `property`
    """Makes a method that returns a view, and whose ``aio`` returns an async iterator."""

    def __init__(self, view: Callable[[Dict[Any, Any], Prefix | None], Stream[Any]], doc: str) -> None:
        self._view = view
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Dict[Any, Any] | None, owner: type) -> object:
        if instance is None:
            return self
        view = self._view

        def call(prefix: Prefix | None = None) -> Stream[Any]:
            return view(instance, prefix)

        def aio(prefix: Prefix | None = None) -> AsyncStream[Any]:
            return AsyncStream(view(instance, prefix))

        call.__name__ = call.__qualname__ = self._name
        call.__doc__ = self.__doc__
        cast("Any", call).aio = aio
        instance.__dict__[self._name] = call
        return call
