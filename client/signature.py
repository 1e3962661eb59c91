"""Signatures of the methods that have more than one: what a type checker sees of `d.get` and `d.get.aio`.

The generic descriptor of `method` carries one signature; overloads need a class of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, ItemsView, KeysView, ValuesView
from typing import Protocol, TypeVar, overload

from .info import Prefix
from .ttl import UNSET, Unset

K_co = TypeVar("K_co", covariant=True)
D = TypeVar("D")
K_contra = TypeVar("K_contra", contravariant=True)

V_co = TypeVar("V_co", covariant=True)


class Get(Protocol[K_contra, V_co]):
    """`get(key, default=None, *, fresh=False)`."""

    @overload
    def __call__(self, key: K_contra, /, *, fresh: bool = False) -> V_co | None: ...
    @overload
    def __call__(self, key: K_contra, /, default: D, *, fresh: bool = False) -> V_co | D: ...
    @overload
    def aio(self, key: K_contra, /, *, fresh: bool = False) -> Awaitable[V_co | None]: ...
    @overload
    def aio(self, key: K_contra, /, default: D, *, fresh: bool = False) -> Awaitable[V_co | D]: ...


class Remove(Protocol[K_contra, V_co]):
    """`pop(key[, default], *, if_version=<unset>)`."""

    @overload
    def __call__(self, key: K_contra, /, *, if_version: int | Unset = UNSET) -> V_co: ...
    @overload
    def __call__(self, key: K_contra, /, default: D, *, if_version: int | Unset = UNSET) -> V_co | D: ...
    @overload
    def aio(self, key: K_contra, /, *, if_version: int | Unset = UNSET) -> Awaitable[V_co]: ...
    @overload
    def aio(
        self, key: K_contra, /, default: D, *, if_version: int | Unset = UNSET
    ) -> Awaitable[V_co | D]: ...


class Keys(Protocol[K_co]):
    """`keys(prefix=None)`."""

    def __call__(self, prefix: Prefix | None = None) -> KeysView[K_co]: ...
    def aio(self, prefix: Prefix | None = None) -> AsyncIterator[K_co]: ...


class Values(Protocol[V_co]):
    """`values(prefix=None)`."""

    def __call__(self, prefix: Prefix | None = None) -> ValuesView[V_co]: ...
    def aio(self, prefix: Prefix | None = None) -> AsyncIterator[V_co]: ...


class Items(Protocol[K_co, V_co]):
    """`items(prefix=None)`."""

    def __call__(self, prefix: Prefix | None = None) -> ItemsView[K_co, V_co]: ...
    def aio(self, prefix: Prefix | None = None) -> AsyncIterator[tuple[K_co, V_co]]: ...
