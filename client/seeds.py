"""The URL of a cluster of nodes, taken apart: ``ringdict://host:port,host:port``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ..exception import InvalidError
from ..node.config import VALUE_BYTES_DEFAULT
from .config import CLUSTER_VALUE_BYTES_MAX

SCHEME = "ringdict://"


class Seeds(NamedTuple):
    """Where to begin, and how to use what is found there."""

    addresses: tuple[str, ...]
    value_bytes_max: int = VALUE_BYTES_DEFAULT


def is_of_nodes(url: str) -> bool:
    """Whether a URL names nodes rather than a folder."""
    return url.startswith(SCHEME)


def joined(urls: Sequence[str]) -> str:
    """Several URLs of nodes as one: all are places to begin at."""
    if not urls or not all(isinstance(url, str) and is_of_nodes(url) for url in urls):
        raise InvalidError(f"several URLs must all be {SCHEME}host:port; not {list(urls)!r}")
    hosts = [url.removeprefix(SCHEME).partition("?")[0].rstrip("/") for url in urls]
    options = dict.fromkeys(url.partition("?")[2] for url in urls if "?" in url)
    if len(options) > 1:
        raise InvalidError(f"the URLs have different options: {', '.join(options)}")
    return SCHEME + ",".join(hosts) + "".join(f"?{option}" for option in options)


def parse_seeds(url: str) -> Seeds:
    """Take a URL of nodes apart.

    Raises:
        InvalidError: it is none.
    """
    from urllib.parse import parse_qsl

    rest, _, query = url.removeprefix(SCHEME).partition("?")
    addresses = rest.rstrip("/").split(",")
    for address in addresses:
        split_address(address)
    options = dict(parse_qsl(query, keep_blank_values=True))
    text = options.pop("value_bytes_max", None) or os.environ.get("RINGDICT_VALUE_BYTES_MAX")
    if options or "#" in url:
        raise InvalidError(f"{url!r}: the known option is value_bytes_max")
    if text is None:
        return Seeds(tuple(dict.fromkeys(addresses)))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= CLUSTER_VALUE_BYTES_MAX):
        raise InvalidError(f"value_bytes_max must be from 1 to {CLUSTER_VALUE_BYTES_MAX}, not {text!r}")
    return Seeds(tuple(dict.fromkeys(addresses)), int(text))


def split_address(address: str) -> tuple[str, int]:
    """The host and port of "host:port" or "[::1]:port"; `InvalidError` if it is neither."""
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_host = bool(bare) and not set(bare) & set("/@?# []") and (":" not in bare or host != bare)
    if not (colon and is_host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise InvalidError(f"not an address of a node: {address!r}; write {SCHEME}host:port,host:port")
    return bare, int(port)


def require_msgspec() -> None:
    """Raise ImportError, and say what to do, if what clusters of nodes need is not installed."""
    try:
        import msgspec  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "clusters of nodes need more than is installed: pip install ringdict[cluster]", name="msgspec"
        ) from error
