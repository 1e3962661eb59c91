"""What a command line said, and how its words are read."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, TypeAlias

from ...exception import InvalidError
from .notation import Notation

if TYPE_CHECKING:
    from .exit_code import ExitCode
    from .terminal import Terminal

Prefix: TypeAlias = str | bytes | tuple[Hashable, ...]
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Arguments(Namespace):
    """What the command line said; each command reads what its parser declares."""

    version: bool
    run: Callable[[Arguments, Terminal], ExitCode] | None
    command: str
    environment: str | None
    cluster: str | None
    json: bool
    yes: bool
    name: str
    key: str
    value: str
    literal: bool
    json_key: bool
    json_value: bool
    as_bytes: bool
    raw: bool
    repr: bool
    all: bool
    count: int
    prefix: str | None
    ttl: str | None
    if_absent: bool
    create_if_missing: bool
    allow_existing: bool
    allow_missing: bool
    processes: int
    seconds: float
    seed: int | None
    keep: bool
    scenario: str
    profile: str
    mode: str
    seeds: int
    first: int
    jobs: int
    shells: bool
    compare: bool
    report: str | None
    table: bool
    whole: bool
    words: list[str]
    history: str | None
    save: str | None
    case: str | None
    faults: str | None
    nodes: int | None
    clients: int | None
    quiet: bool
    luck: int
    skip: float
    file: str
    live: bool
    ready: bool
    dict: str | None
    three_nodes: bool
    listen: str | None
    advertise: str | None
    join: str | None
    found: bool
    data: str | None
    secret_file: str | None
    force: bool
    gossip: bool
    durability: str | None
    replicas: str | None
    partitions: str | None
    value_bytes_max: str | None
    move_rate: str | None
    zone: str | None
    weight: str | None
    insecure: bool
    ready_file: str | None
    log: str | None
    log_level: str | None
    target: str
    backups: list[str]
    rate: int | None
    here: bool
    lost: list[str]
    cluster_id: str

    def read_key(self) -> Hashable:
        """KEY, as the options say it is written. `InvalidError` if it is no key."""
        return self.key_notation.read_key(self.key)

    def read_prefix(self) -> Prefix | None:
        """What the keys asked for begin with; None: no prefix. `InvalidError` if no key begins so."""
        if self.prefix is None:
            return None
        prefix = self.key_notation.read(self.prefix)
        if isinstance(prefix, (str, bytes, tuple)):
            return prefix
        raise InvalidError(f"a prefix is a str, bytes or a tuple, not {type(prefix).__name__}")

    @property
    def ttl_s(self) -> float | None:
        """Seconds of `--ttl`; None: never. `InvalidError` if it is no time to live."""
        if self.ttl is None or self.ttl == "none":
            return None
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", self.ttl)
        if match is None:
            raise InvalidError(f"--ttl {self.ttl}: write seconds (90), a unit (90s, 15m, 2h, 7d), or none")
        return float(match[1]) * _UNITS_S[match[2]]

    @property
    def key_notation(self) -> Notation:
        """How KEY is written."""
        if self.json_key:
            return Notation.JSON
        return Notation.LITERAL if self.literal else Notation.TEXT

    @property
    def value_notation(self) -> Notation:
        """How VALUE is written."""
        if self.as_bytes:
            return Notation.BYTES
        if self.json_value:
            return Notation.JSON
        return Notation.LITERAL if self.literal else Notation.TEXT
