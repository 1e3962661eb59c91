"""`Dict.objects`: making, listing and deleting Dicts by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..exception import AlreadyExistsError, InvalidError, NotFoundError
from ..node.store import catalogue
from ..node.store.transaction import DictGoneError
from .cluster import Cluster, resolve
from .handle import Target, new_record
from .method import method
from .name import check_environment, check_name
from .transport import Transport
from .ttl import EPOCH, Ttl, ttl_ms

if TYPE_CHECKING:
    from .dict import Dict
    from .finder import Finder


class DictObjects:
    """The Dicts of an environment. `environment_name` and `cluster` mean what they do in `Dict.from_name`."""

    def __init__(self, make: Callable[[Target], Dict[Any, Any]]) -> None:
        self._make = make

    @method
    async def create(
        self,
        io: Transport,
        name: str,
        *,
        allow_existing: bool = False,
        ttl: Ttl = None,
        environment_name: str | None = None,
        cluster: Cluster | str | None = None,
    ) -> None:
        """Make a Dict, with a default time to live for its entries if one is given.

        Raises:
            AlreadyExistsError: there is one of that name, and `allow_existing` is off.
        """
        where = resolve(cluster)
        environment = check_environment(environment_name or where.environment)
        new = new_record(where, environment, check_name(name), ttl_ms(ttl, 0))
        try:
            await finder(where).create_dict(io, where, new, allow_existing=allow_existing)
        except catalogue.TakenError:
            raise AlreadyExistsError(f"there is a Dict {name!r} already") from None

    @method
    async def list(
        self,
        io: Transport,
        *,
        max_objects: int | None = None,
        created_before: datetime | str | None = None,
        environment_name: str | None = None,
        cluster: Cluster | str | None = None,
    ) -> list[Dict[Any, Any]]:
        """Handles of the named Dicts, the newest first.

        Args:
            max_objects: no more than so many.
            created_before: a datetime or ISO string; without a zone it is local time.
        """
        if max_objects is not None and max_objects < 0:
            raise InvalidError(f"max_objects must not be negative: {max_objects}")
        before_ms = None if created_before is None else instant_ms(created_before)
        where = resolve(cluster)
        environment = check_environment(environment_name or where.environment)
        found = [
            bound
            for bound in await finder(where).list_dicts(io, where, environment)
            if before_ms is None or bound.record.created_ms < before_ms
        ]
        found.sort(key=lambda bound: (-bound.record.created_ms, bound.record.name))
        handles: list[Dict[Any, Any]] = []
        for bound in found[:max_objects]:
            handle = self._make(Target(name=bound.record.name, environment=environment, cluster=cluster))
            handle._adopt(bound)
            handles.append(handle)
        return handles

    @method
    async def delete(
        self,
        io: Transport,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        cluster: Cluster | str | None = None,
    ) -> None:
        """Delete a Dict and all that is in it, at once whatever its size.

        Raises:
            NotFoundError: there is none of that name, and `allow_missing` is off.
        """
        where = resolve(cluster)
        environment = check_environment(environment_name or where.environment)
        check_name(name)
        try:
            await finder(where).delete_dict(io, where, environment, name)
        except DictGoneError:
            if not allow_missing:
                raise NotFoundError(f"there is no Dict {name!r}") from None


def finder(where: Cluster) -> Finder:
    """How Dicts are found there; loaded with the first use."""
    from .finder import finder_of

    return finder_of(where)


def instant_ms(when: datetime | str) -> int:
    """An instant in milliseconds since 1970; `InvalidError` if it is neither of both."""
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise InvalidError(f"not an ISO date or time: {when!r}") from None
    if not isinstance(when, datetime):
        raise InvalidError(f"created_before must be a datetime or an ISO string, not {when!r}")
    return int((when.astimezone() - EPOCH).total_seconds() * 1000)
