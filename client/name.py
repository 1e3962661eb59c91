"""Names of Dicts and of the environments that they live in."""

from __future__ import annotations

import re

from ..exception import InvalidError
from ..node.config import DICT_NAME_CHARS_MAX

NAME = re.compile(rf"[a-zA-Z0-9\-_.]{{1,{DICT_NAME_CHARS_MAX}}}")


def check_name(name: str) -> str:
    """The name, if a Dict can have it; else `InvalidError`."""
    return _check("Dict", name)


def check_environment(name: str) -> str:
    """The name, if an environment can have it; else `InvalidError`."""
    return _check("environment", name)


def _check(what: str, name: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidError(
            f"Invalid {what} name: {name!r}. Names have 1 to {DICT_NAME_CHARS_MAX} letters, digits, "
            "'-', '_' or '.'"
        )
    return name
