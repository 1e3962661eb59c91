"""What a cluster can do by now. The one place that says so: what is added here works on a cluster.

Deletes and atomic operations need a leader for each partition, which clusters do not have yet.
"""

from __future__ import annotations

from typing import Any

from ..exception import UnavailableError
from ..node.store.operation import Operation, Put, PutMany, Touch

WRITES: frozenset[type[Operation[Any]]] = frozenset({Put, PutMany, Touch})
"""The operations of node/store/operation.py that a cluster carries out."""

LOCKS = "locks"
EPHEMERAL = "ephemeral Dicts"
DELETE_DICT = "deleting a Dict"
WHOLE: frozenset[str] = frozenset()
"""Of `LOCKS`, `EPHEMERAL` and `DELETE_DICT`, those that a cluster has."""


class NotYetError(UnavailableError):
    """Clusters cannot do that yet. Nothing happened."""


def can(what: type[Operation[Any]] | str) -> bool:
    """Whether clusters can do that."""
    return what in WHOLE if isinstance(what, str) else what in WRITES


def require(what: type[Operation[Any]] | str) -> None:
    """Raise `UnavailableError` if clusters cannot do that yet."""
    if not can(what):
        name = what if isinstance(what, str) else NAMES.get(what.__name__, what.__name__)
        raise NotYetError(
            f"{name}: clusters cannot do atomic operations and deletes yet; an embedded store can"
        )


NAMES = {
    "Clear": "clear()",
    "DeleteMany": "deleting keys",
    "Increment": "incr()",
    "Pop": "pop()",
    "PutIfAbsent": "put(skip_if_exists=True)",
    "Replace": "replace()",
    "SetDefault": "setdefault()",
}
"""What users call them."""
