"""A contestant: how it is opened, and the statements that a user of it would write."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import ClassVar, cast

from .place import Crew, Place

__all__ = ["Bytes", "MissingError", "Peer", "Statements", "crew_of", "need", "pack", "port_of"]


Statements = Mapping[str, str]
"""Operation to source code."""


class MissingError(Exception):
    """This contestant cannot take part, because something is not installed. The message says what."""


class Peer(ABC):
    """One contestant.

    ``statements`` holds source code. It sees the names that `open` returns and the variables
    ``key`` and ``value`` (or ``batch``, a dict), and leaves what it got in ``result``.
    """

    name: ClassVar[str]
    server: ClassVar[str] = ""
    """The field of `Place` that it talks to, if any."""

    statements: ClassVar[Statements]

    library: ClassVar[str] = "asyncio"
    """Of the event loop that its statements await in: that, or "trio"."""

    @abstractmethod
    def open(self, place: Place) -> dict[str, object]:
        """The names that the statements use. Raises `MissingError`."""

    def close(self) -> None:  # noqa: B027  most have nothing to do, their process ends
        """Let go of what `open` opened."""

    async def aopen(self) -> dict[str, object]:
        """More names: those of what needs the event loop that it is used in."""
        return {}

    async def aclose(self) -> None:  # noqa: B027
        """The same for what needs the event loop that it was used in."""

    def server_pid(self) -> int:
        """The process that does the server's work."""
        raise MissingError("it has no server whose work is measured")

    def key(self, text: str) -> object:
        """A key as this contestant's user would hold it."""
        return text

    def value(self, plain: object) -> object:
        """A value as this contestant's user would hand it over."""
        return plain

    def read(self, value: object) -> object:
        """What its `get` answers after `value` was put."""
        return value


class Bytes(Peer):
    """One whose users serialise for themselves: spared that here."""

    def value(self, plain: object) -> object:
        return plain if isinstance(plain, bytes) else pack(plain)


def pack(plain: object) -> object:
    return cast("Callable[[object], object]", need("msgpack").packb)(plain)


def need(module: str) -> ModuleType:
    """The module, imported; `MissingError` if it cannot be."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingError(str(error)) from error


def crew_of(server: Crew | str) -> Crew:
    """The processes of a cluster of the `Place`; `MissingError` if they are not there."""
    if isinstance(server, str):
        raise MissingError(server)
    return server


def port_of(server: int | str) -> int:
    """The port of a server of the `Place`; `MissingError` if it is not there."""
    if isinstance(server, str):
        raise MissingError(server)
    return server
