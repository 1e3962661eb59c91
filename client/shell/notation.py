"""How keys and values are written on a command line, and shown to a person."""

from __future__ import annotations

import ast
import os
from collections.abc import Hashable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from ...exception import InvalidError
from ..keys import encode_key

_PLAIN: Final = (datetime, date, time, timedelta, Decimal, UUID)
"""Kinds whose `str` reads better than their `repr`, and says as much."""


class Notation(StrEnum):
    """What the text of an argument stands for."""

    TEXT = "text"
    """Itself, a str."""

    LITERAL = "Python literal"
    """What Python would read: `42`, `("user", 7)`, `b"\\x00"`, `None`."""

    JSON = "JSON"
    """Typed JSON, the notation that can name every kind."""

    BYTES = "bytes"
    """Its bytes, as the operating system hands them over."""

    def read(self, text: str) -> object:
        """The value that `text` stands for. `InvalidError` if it stands for none."""
        match self:
            case Notation.TEXT:
                return text
            case Notation.LITERAL:
                return _literal(text)
            case Notation.JSON:
                from .typed_json import loads

                return loads(text)
            case Notation.BYTES:
                return os.fsencode(text)

    def read_key(self, text: str) -> Hashable:
        """The key that `text` stands for. `InvalidError` if it stands for none, or for no key."""
        key = self.read(text)
        try:
            encode_key(key)
        except TypeError as error:
            raise InvalidError(f"not a key: {error}") from None
        assert isinstance(key, Hashable)  # what has an encoding does
        return key


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        hint = "; text needs quotes of its own in a literal" if text.isidentifier() else ""
        raise InvalidError(f"not a Python literal: {_cut(text)}{hint}") from None


def _cut(text: str, chars_max: int = 60) -> str:
    return text if len(text) <= chars_max else text[:chars_max] + "…"


def shown(value: object, *, as_repr: bool = False) -> str:
    """`value` for a person to read. Texts are themselves unless `as_repr`, which tells `1` from `"1"`."""
    if not as_repr and isinstance(value, str):
        return value
    if not as_repr and isinstance(value, _PLAIN):
        return str(value)
    try:
        return repr(value)
    except ValueError:  # an int in it has more digits than Python turns into decimal
        return _json(value)


def _json(value: object) -> str:
    from .typed_json import dumps

    return dumps(value)


def pretty(value: object, columns: int) -> str:
    """`value` for a person to read, with large containers spread over lines of `columns`."""
    if not isinstance(value, (list, tuple, dict, set, frozenset)):
        return shown(value)
    from pprint import pformat

    try:
        return pformat(value, width=columns, sort_dicts=False)
    except ValueError:
        return _json(value)
