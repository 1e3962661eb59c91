"""ringdict: one Python dict that every process, container and host shares."""

import sys as _sys

from . import exception
from .client import info as types
from .client.cluster import Cluster
from .client.dict import Dict
from .client.lock import Lock
from .exception import *  # noqa: F403 - every error is public here as well
from .exception import __all__ as _errors

# `ringdict.types` is an alias: a file of that name at the root of the repository would stand in front of
# the standard library's `types` for every program that is started there.
_sys.modules[__name__ + ".types"] = types

__version__ = "0.1.0.dev0"

__all__ = ["Cluster", "Dict", "Lock", "__version__", "exception", "types", *_errors]  # noqa: PLE0604
