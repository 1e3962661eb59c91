"""Where Dicts live: the embedded store of a folder, or a cluster of nodes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from ..exception import ClosedError, InvalidError
from ..node.config import GATE_TIMEOUT_S, MAP_BYTES, STORE_BYTES_MIN, VALUE_BYTES_DEFAULT, VALUE_BYTES_MAX
from ..node.disk.durability import Durability
from ..node.store.store import Store
from .name import check_environment
from .secretfile import Secrets, fixed, secrets_from_variables
from .seeds import Seeds, is_of_nodes, joined, parse_seeds, require_msgspec
from .transport import current

if TYPE_CHECKING:
    from .client import Client

ENVIRONMENT_DEFAULT = "main"


class Address(NamedTuple):
    """A URL taken apart: which folder, and how to use it. None: as the environment variables say."""

    folder: Path
    #: None: what the store's present users have, else the default.
    durability: Durability | None = None
    value_bytes_max: int = VALUE_BYTES_DEFAULT
    #: None: as large as the disk allows.
    store_bytes_max: int | None = None


class Tenant:
    """A store that this process has open, and how many clusters use it."""

    def __init__(self, address: Address, store: Store) -> None:
        self.address = address
        self.store = store
        self.users = 0


class Stores:
    """The stores that this process has open, one for each folder: LMDB allows no second handle."""

    def __init__(self) -> None:
        self.tenants: dict[Path, Tenant] = {}
        #: Guards all that this file keeps. Held across a fork, so that no child finds it taken for ever.
        self.lock = threading.RLock()

    def rent(self, address: Address) -> Store:
        """The store at that address.

        Raises:
            InvalidError: the process has it open with other settings.
        """
        with self.lock:
            tenant = self.tenants.get(address.folder)
            if tenant is None:
                store = Store(
                    address.folder,
                    durability=address.durability,
                    value_bytes_max=address.value_bytes_max,
                    store_bytes_max=address.store_bytes_max,
                )
                tenant = self.tenants[address.folder] = Tenant(address, store)
            elif address not in (tenant.address, tenant.address._replace(durability=None)):
                raise InvalidError(
                    f"this process has the store in {address.folder} open with {_settings(tenant.address)}; "
                    f"it cannot be opened with {_settings(address)} as well"
                )
            tenant.users += 1
            return tenant.store

    def leave(self, address: Address) -> None:
        """Close the store at that address when nobody else in this process uses it."""
        with self.lock:
            tenant = self.tenants[address.folder]
            tenant.users -= 1
            if not tenant.users:
                tenant.store.close()  # with the lock held: LMDB allows no second handle before that is done
                del self.tenants[address.folder]


STORES = Stores()

os.register_at_fork(
    before=STORES.lock.acquire, after_in_parent=STORES.lock.release, after_in_child=STORES.lock.release
)


class Cluster:
    """A place where Dicts live, shared by any number of handles.

    Args:
        urls: ``ringdict://host:port,host:port``, a cluster of nodes, of which any will do; or a list of such;
            its query may set ``value_bytes_max``. Or ``file:///folder``, an embedded store, whose query may
            set ``durability`` (``interval``, ``fsync``, ``none``), ``value_bytes_max`` and
            ``store_bytes_max``. None: what ``RINGDICT_URL`` says, else the embedded store in
            ``RINGDICT_HOME``, else the one in the user's state folder.
        secret: of a cluster of nodes; None: what ``RINGDICT_SECRET`` says, else what stands in the file of
            ``RINGDICT_SECRET_FILE``, else none. It is not pickled: whoever unpickles takes it from there.
        tls: not there yet.
        timeout_s: of each operation on nodes, all attempts together; on a store, how long a write waits for
            others. Then ``UnavailableError`` if nothing happened, else ``RequestTimeoutError``.
        environment: of names; None: what ``RINGDICT_ENVIRONMENT`` says, else "main".

    Environment variables are read at first use. Close it with ``close()``, ``aclose()`` or either kind of
    ``with``; the store of a folder is closed with the last cluster that uses it. Connections to nodes are
    made when they are needed, and made again when they broke; those of an event loop end with it.
    """

    def __init__(
        self,
        urls: str | list[str] | tuple[str, ...] | None = None,
        *,
        secret: str | bytes | None = None,
        timeout_s: float = GATE_TIMEOUT_S,
        tls: object = None,
        environment: str | None = None,
    ) -> None:
        if not timeout_s > 0:
            raise InvalidError(f"timeout_s must be above 0, not {timeout_s!r}")
        if tls is not None:
            raise InvalidError("this version has no TLS yet")
        if isinstance(urls, (list, tuple)):
            urls = urls[0] if len(urls) == 1 else joined(urls)
        if urls is not None:
            where(urls)  # a wrong URL is wrong at once, not at first use
        if secret is not None and urls is not None and not is_of_nodes(urls):
            raise InvalidError("an embedded store has no secret")
        if environment is not None:
            check_environment(environment)
        self.url = urls
        self.timeout_s = timeout_s
        self._environment = environment
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._address: Address | None = None
        self._store: Store | None = None
        self._client: Client | None = None
        self._is_of_nodes = None if urls is None else is_of_nodes(urls)
        #: Whether it was closed. For the rooms inside.
        self.closed = False

    @property
    def environment(self) -> str:
        """The environment that names are looked up in."""
        return self._environment or check_environment(
            os.environ.get("RINGDICT_ENVIRONMENT") or ENVIRONMENT_DEFAULT
        )

    @property
    def is_of_nodes(self) -> bool:
        """Whether it is a cluster of nodes rather than an embedded store."""
        if self._is_of_nodes is None:
            self._is_of_nodes = is_of_nodes(self.url or os.environ.get("RINGDICT_URL") or "")
        return self._is_of_nodes

    @property
    def place(self) -> object:
        """What is equal for clusters that are one. For the rooms inside."""
        return frozenset(self.client.seeds.addresses) if self.is_of_nodes else self.store

    def wall_ms(self) -> int:
        """The wall clock by which things are dated. For the rooms inside."""
        return time.time_ns() // 1_000_000 if self.is_of_nodes else self.store.host.wall_ms()

    @property
    def client(self) -> Client:
        """What talks to the nodes. For the rooms inside; users have no need of it."""
        if self._client is None:
            with STORES.lock:
                if self.closed:
                    raise ClosedError("the cluster was closed")
                if self._client is None:
                    seeds = parse_seeds(self.url or os.environ["RINGDICT_URL"])
                    secrets = secrets_from_variables() if self._secret is None else fixed(self._secret)
                    self._client = new_client(seeds, secrets, self.timeout_s)
        return self._client

    @property
    def store(self) -> Store:
        """The embedded store. For the rooms inside; users have no need of it."""
        if self._store is None:
            with STORES.lock:
                if self.closed:
                    raise ClosedError("the cluster was closed")
                if self._store is None:
                    self._address = parse(self.url) if self.url else from_variables()
                    self._store = STORES.rent(self._address)
        return self._store

    def close(self) -> None:
        """Close it; handles that use it raise `ClosedError` from then on. Waits for writes under way."""
        with STORES.lock:
            self.closed = True
            store, self._store = self._store, None
            client, self._client = self._client, None
        if client is not None:
            client.close()
        if store is not None and self._address is not None:
            STORES.leave(self._address)

    async def aclose(self) -> None:
        """`close` on an event loop, which goes on meanwhile."""
        io = current()
        await io.finish(io.in_thread(self.close))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"ringdict.Cluster({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.url, self.timeout_s, self._environment)


def _rebuild(url: str | None, timeout_s: float, environment: str | None) -> Cluster:
    return Cluster(url, timeout_s=timeout_s, environment=environment)


# -- addresses -----------------------------------------------------------------------------------


def parse(url: str) -> Address:
    """Take a URL apart.

    Raises:
        InvalidError: it is none of an embedded store.
    """
    from urllib.parse import parse_qsl, unquote, urlsplit  # 3 ms that a program without a URL does not pay

    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidError(
            f"not a URL of a place for Dicts: {url!r}; write ringdict://host:port,host:port or "
            "file:///absolute/folder"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    durability = options.pop("durability", None)
    value_bytes_max = options.pop("value_bytes_max", None)
    store_bytes_max = options.pop("store_bytes_max", None)
    if options or parts.fragment:
        raise InvalidError(f"{url!r}: known options are durability, value_bytes_max and store_bytes_max")
    return address(unquote(parts.path), durability, value_bytes_max, store_bytes_max)


def where(url: str) -> Address | Seeds:
    """Take a URL of either kind apart; `InvalidError` if it is none."""
    return parse_seeds(url) if is_of_nodes(url) else parse(url)


def new_client(seeds: Seeds, secrets: Callable[[], Secrets], timeout_s: float) -> Client:
    """A client of a cluster of nodes.

    Raises:
        ImportError: what that needs is not installed.
    """
    require_msgspec()
    from .client import Client

    return Client(seeds, secrets, timeout_s)


def from_variables() -> Address:
    """The embedded store that the environment variables say."""
    url = os.environ.get("RINGDICT_URL")
    if url:
        return parse(url)
    home = os.environ.get("RINGDICT_HOME")
    if not home:
        from platformdirs import user_state_path  # 5 ms that a configured program does not pay

        home = str(user_state_path("ringdict"))
    return address(home)


def address(
    folder: str,
    durability: str | None = None,
    value_bytes_max: str | None = None,
    store_bytes_max: str | None = None,
) -> Address:
    """An address, with what is None taken from the environment variables or the defaults."""
    durability = durability or os.environ.get("RINGDICT_DURABILITY") or None
    value_bytes_max = value_bytes_max or os.environ.get("RINGDICT_VALUE_BYTES_MAX") or None
    store_bytes_max = store_bytes_max or os.environ.get("RINGDICT_STORE_BYTES_MAX") or None
    return Address(
        Path(os.path.realpath(folder)),
        None if durability is None else Durability.parse(durability),
        VALUE_BYTES_DEFAULT
        if value_bytes_max is None
        else _limit("value_bytes_max", value_bytes_max, 1, VALUE_BYTES_MAX),
        None
        if store_bytes_max is None
        else _limit("store_bytes_max", store_bytes_max, STORE_BYTES_MIN, MAP_BYTES),
    )


def _limit(name: str, text: str, least: int, most: int) -> int:
    """A number of bytes that a user wrote."""
    if not text.isascii() or not text.isdigit():
        raise InvalidError(f"{name} must be a number of bytes, not {text!r}")
    if not least <= int(text) <= most:
        raise InvalidError(f"{name} must be from {least} to {most}, not {int(text)}")
    return int(text)


def _settings(address: Address) -> str:
    durability = address.durability.value if address.durability else "the default"
    limits = f"value_bytes_max={address.value_bytes_max}, store_bytes_max={address.store_bytes_max}"
    return f"durability={durability}, {limits}"


# -- the cluster that nobody named ---------------------------------------------------------------

_defaults: dict[tuple[str | None, Address | Seeds], Cluster] = {}


def resolve(cluster: Cluster | str | None) -> Cluster:
    """The cluster that a handle was given: itself, the one of a URL, or the one of the variables.

    Clusters made here live as long as the process, one for each address.
    """
    if isinstance(cluster, Cluster):
        return cluster
    url = cluster if cluster is not None else os.environ.get("RINGDICT_URL")
    place = where(url) if url else from_variables()
    with STORES.lock:
        found = _defaults.get((cluster, place))
        if found is None:
            found = _defaults[cluster, place] = Cluster(cluster)
            found._is_of_nodes = isinstance(place, Seeds)
        return found


def forget(folder: Path) -> None:
    """Close the clusters made by `resolve` whose store is in `folder`."""
    here = Path(os.path.realpath(folder))
    with STORES.lock:
        gone = [key for key in _defaults if isinstance(key[1], Address) and key[1].folder == here]
        clusters = [_defaults.pop(key) for key in gone]
    for cluster in clusters:
        cluster.close()
