"""ringdict: one Python dict that every process, container and host shares."""

import sys as _sys

from . import exception
from .client import info as types
from .client.cluster import Cluster
from .client.dict import Dict
from .client.lock import Lock
from .exception import (
    AlreadyExistsError,
    AsyncUsageWarning,
    AuthError,
    ClosedError,
    ConflictError,
    DeserializationError,
    Error,
    FormatError,
    InvalidError,
    LockLostError,
    LockTimeoutError,
    NoQuorumError,
    NotFoundError,
    OutcomeUnknownError,
    PartialFailureError,
    ProtocolError,
    RequestSizeError,
    RequestTimeoutError,
    StoreDamagedError,
    StoreFullError,
    UnavailableError,
    ValueTooLargeError,
)

# `ringdict.types` is an alias: a file of that name at the root of the repository would stand in front of
# the standard library's `types` for every program that is started there.
_sys.modules[__name__ + ".types"] = types

__version__ = "0.1.0.dev0"

__all__ = [
    "AlreadyExistsError",
    "AsyncUsageWarning",
    "AuthError",
    "ClosedError",
    "Cluster",
    "ConflictError",
    "DeserializationError",
    "Dict",
    "Error",
    "FormatError",
    "InvalidError",
    "Lock",
    "LockLostError",
    "LockTimeoutError",
    "NoQuorumError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartialFailureError",
    "ProtocolError",
    "RequestSizeError",
    "RequestTimeoutError",
    "StoreDamagedError",
    "StoreFullError",
    "UnavailableError",
    "ValueTooLargeError",
    "__version__",
    "exception",
    "types",
]
