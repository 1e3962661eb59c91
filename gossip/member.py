"""What is said of a member, and which of two words about one node is the later.

Rules of this file:
1. A node is its id: random, kept in its data folder, the same at any address.
2. Its generation grows with each start, its incarnation with each refutation. It alone makes either.
3. Words about one node are totally ordered (`Record.rank`). To merge two is to take the later one, so merging
   is commutative, associative and idempotent, and neither number ever goes back.
4. Who has left in a generation stays so in that generation, whatever its incarnation: it said so itself.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, NewType, Protocol

from .config import (
    ADDRESS_BYTES_MAX,
    GENERATION_STEPS_MAX,
    INCARNATION_STEPS_MAX,
    METADATA_BYTES_MAX,
    VERSION_BYTES_MAX,
    ZONE_BYTES_MAX,
)

NodeId = NewType("NodeId", bytes)

NODE_ID_BYTES = 16
NOBODY = NodeId(bytes(NODE_ID_BYTES))
GENERATION_BITS = 10
NUMBER_MAX = 1 << 63  # half of what a message can carry


class Dice(Protocol):
    """The part of `random.Random` that gossip draws from; the one who runs it brings it."""

    def random(self) -> float: ...
    def randrange(self, stop: int, /) -> int: ...
    def randbytes(self, n: int, /) -> bytes: ...
    def shuffle(self, x: list[Any], /) -> None: ...


class Status(enum.IntEnum):
    """What a member is held for. A greater one of the same incarnation is the later word."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Profile(NamedTuple):
    """What a node says of itself; it changes with a new incarnation only."""

    address: str
    """Where its datagrams and streams arrive: ``host:port``."""
    service: str = ""
    """Where it serves clients and peers: ``host:port``."""
    zone: str = ""
    version: str = ""
    metadata: bytes = b""

    def check(self) -> Profile:
        """Return itself, or raise ValueError if a field is too long to be told to others."""
        sizes = (
            ("address", len(self.address.encode()), ADDRESS_BYTES_MAX),
            ("service", len(self.service.encode()), ADDRESS_BYTES_MAX),
            ("zone", len(self.zone.encode()), ZONE_BYTES_MAX),
            ("version", len(self.version.encode()), VERSION_BYTES_MAX),
            ("metadata", len(self.metadata), METADATA_BYTES_MAX),
        )
        for name, size, most in sizes:
            if size > most:
                raise ValueError(f"{name} of {size} bytes: at most {most}")
        if not self.address:
            raise ValueError("a node without an address cannot be reached")
        return self


class Record(NamedTuple):
    """One word about one node."""

    node_id: NodeId
    generation: int
    incarnation: int
    status: Status
    profile: Profile

    def rank(self) -> tuple[int, bool, int, int, Profile]:
        """The order of words about one node. The profile only breaks ties that an honest node never makes."""
        return (
            self.generation,
            self.status is Status.LEFT,
            self.incarnation,
            int(self.status),
            self.profile,
        )


def merge(one: Record, other: Record) -> Record:
    """Return the later of two words about one node; ValueError if they are about two."""
    if one.node_id != other.node_id:
        raise ValueError("words about two nodes cannot be merged")
    return max(one, other, key=Record.rank)


def plausible(known: tuple[int, int], said: tuple[int, int]) -> bool:
    """Whether a node can have come from (generation, incarnation) `known` to those `said` by honest steps.

    A number near the end of what a message can carry would leave its node none to refute with.
    """
    generation, incarnation = said
    step = incarnation - (known[1] if generation == known[0] else 0)
    return (
        generation - known[0] <= GENERATION_STEPS_MAX
        and step <= INCARNATION_STEPS_MAX
        and generation < NUMBER_MAX
        and incarnation < NUMBER_MAX
    )


def next_generation(last: int, wall_ms: int, dice: Dice) -> int:
    """Return the generation of a node's next start: above `last`, and above that of any copy started earlier.

    `last` is the greatest that its data folder knows of, 0 if none; the caller makes the result durable
    before the node speaks. The clock is in it so that a folder restored from a backup does not begin behind
    itself, and ten random bits so that two copies started in one millisecond differ.
    """
    return max(last + 1, (wall_ms << GENERATION_BITS) | dice.randrange(1 << GENERATION_BITS))
