"""Seeds by name: looked up for ever, since names of container platforms come to mean other addresses.

A part of a node's shell. One name may have many addresses, one a member (a headless service of Kubernetes),
or none yet.
"""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from ..config import (
    RESOLVE_INTERVAL_S,
    RESOLVE_PAUSE_S_MAX,
    RESOLVE_PAUSE_S_MIN,
    RESOLVE_TIMEOUT_S,
    SEEDS_MAX,
)
from ..network.sockets import join_address, split_address
from ..world import Address

Lookup = Callable[[str, int], Awaitable[Sequence[tuple[str, int]]]]
"""Finds the IP addresses and ports of a host name and a port; `OSError` if there are none."""


async def look_up(host: str, port: int) -> list[tuple[str, int]]:
    """Ask the operating system."""
    found = await trio.socket.getaddrinfo(host, port, type=stdlib_socket.SOCK_DGRAM)
    return [(str(address[0]), int(address[1])) for _, _, _, _, address in found]


async def resolve(names: Sequence[Address], lookup: Lookup = look_up) -> tuple[list[Address], bool]:
    """The addresses of all names, in order, each once, at most SEEDS_MAX; and whether each name has some.

    Raises:
        InvalidError: a name is not host:port.
    """
    addresses: dict[Address, None] = {}
    complete = True
    for name in names:
        host, port = split_address(name)
        found: Sequence[tuple[str, int]] = ()
        with trio.move_on_after(RESOLVE_TIMEOUT_S):
            try:
                found = await lookup(host, port)
            except OSError:
                pass  # not there, or not yet
        complete = complete and bool(found)
        addresses |= dict.fromkeys(join_address(*one) for one in found)
    return list(addresses)[:SEEDS_MAX], complete


async def keep_resolving(
    names: Sequence[Address],
    set_seeds: Callable[[Sequence[Address]], None],
    has_peers: Callable[[], bool],
    lookup: Lookup = look_up,
) -> None:
    """Look the names up and tell `set_seeds` what they mean, for ever.

    Often while nobody else is here or a name has no address, ever more slowly up to RESOLVE_PAUSE_S_MAX; then
    every RESOLVE_INTERVAL_S. Addresses found before are kept while a name cannot be looked up.

    Raises:
        InvalidError: a name is not host:port.
    """
    pause_s = RESOLVE_PAUSE_S_MIN
    known: list[Address] = []
    while names:
        addresses, complete = await resolve(names, lookup)
        if not complete:
            addresses = list(dict.fromkeys([*addresses, *known]))[:SEEDS_MAX]
        if addresses != known:
            known = addresses
            set_seeds(known)
        if complete and has_peers():
            pause_s = RESOLVE_PAUSE_S_MIN
            await trio.sleep(RESOLVE_INTERVAL_S)
        else:
            await trio.sleep(pause_s)
            pause_s = min(RESOLVE_PAUSE_S_MAX, 2 * pause_s)
