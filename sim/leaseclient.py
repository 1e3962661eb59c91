"""A client that takes locks for a time, extends some of them, gives some back, and lets the others end."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from ..node.network.leadermessage import Act, Verb
from .lockclient import LockClient

TTL_MS = 300
"""Of all of them: an extension by whoever else read the token neither shortens nor lengthens it."""


class LeaseClient(LockClient):
    """Asks one thing at a time."""

    wins: ClassVar[frozenset[str]] = LockClient.wins | {"lease"}

    def _draw(self, key: str) -> tuple[str, object, Act]:
        roll = self.dice.random()
        held = self.versions.get(key)
        if held is not None and roll < 0.3:
            act = replace(self._new(key, Verb.EXTEND), version=held[1], ttl_ms=TTL_MS)
            return "extend", held[0], act
        if held is not None and roll < 0.45:
            return "release", held[0], replace(self._new(key, Verb.RELEASE), version=held[1])
        if roll < 0.6:
            return "read", None, self._new(key, Verb.GET)
        if roll < 0.65:
            return "pop", None, self._new(key, Verb.POP)
        word = f"{self.world.identity.address}.{self.serial}"
        act = replace(self._new(key, Verb.PUT_IF_ABSENT, word.encode()), ttl_ms=TTL_MS)
        return "lease", (word, TTL_MS), act
