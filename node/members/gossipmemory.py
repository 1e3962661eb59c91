"""What gossip keeps on disk: the last generation, and the addresses of all who were ever here.

Rules of this file:
1. A generation is durable before the node speaks in it.
2. Members are written as differences from what is on disk, one commit at a time, at most one every
   `KEEP_MEMBERS_INTERVAL_S`: a cluster that starts as a whole costs a few commits, not one a member.
3. A full disk keeps no member, and harms nothing else: the next change tries again. Any other error ends the
   process, since nobody knows what is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...exception import Error, StoreFullError
from ..config import KEEP_MEMBERS_INTERVAL_S, SCAN_ENTRIES_MAX
from ..world import NS_PER_S, Changes, NodeId, Storage, World

_GENERATION = b"generation"
_MEMBER = b"m"
_MEMBERS_END = b"n"
_GENERATION_BYTES = 8

Known = Callable[[], Mapping[NodeId, str]]
"""Says who is to be kept, and where each was reached."""


class GossipMemory:
    """One node's notes about itself and others. `known` is asked when there is time to write."""

    def __init__(self, world: World, storage: Storage, known: Known) -> None:
        self._world = world
        self._storage = storage
        self._known = known
        #: Ids and addresses on disk, or on their way to it.
        self.members: dict[NodeId, str] = self._read_members()
        self._wanted = False
        self._busy = False

    @property
    def generation(self) -> int:
        """The last one that was kept; 0: none."""
        return int.from_bytes(self._storage.get(_GENERATION) or b"", "big")

    def keep_generation(self, generation: int, kept: Callable[[], None]) -> None:
        """Make a generation durable, then call `kept`; never from within this call. Ends the process if that
        cannot be."""

        def done(error: Error | None) -> None:
            if error is not None:
                self._world.halt(f"the generation cannot be kept: {error}")
            else:
                kept()

        self._storage.commit({_GENERATION: generation.to_bytes(_GENERATION_BYTES, "big")}, done)

    def members_changed(self) -> None:
        """Write soon who is known now."""
        self._wanted = True
        if not self._busy:
            self._busy = True
            self._world.call_after(int(KEEP_MEMBERS_INTERVAL_S * NS_PER_S), self._write)

    def _write(self) -> None:
        self._wanted = False
        known = self._known()
        changed = {node: address for node, address in known.items() if self.members.get(node) != address}
        gone = [node for node in self.members if node not in known]
        changes: Changes = {_MEMBER + node: address.encode() for node, address in changed.items()}
        changes |= {_MEMBER + node: None for node in gone}
        if not changes:
            self._rest()
            return

        def done(error: Error | None) -> None:
            if error is None:
                self.members = dict(known)
            elif not isinstance(error, StoreFullError):
                self._world.halt(f"members cannot be kept: {error}")
            self._rest()

        self._storage.commit(changes, done)

    def _rest(self) -> None:
        self._busy = False
        if self._wanted:
            self.members_changed()

    def _read_members(self) -> dict[NodeId, str]:
        found: dict[NodeId, str] = {}
        first = _MEMBER
        while page := self._storage.scan(first, _MEMBERS_END, SCAN_ENTRIES_MAX):
            for key, address in page:
                found[NodeId(key[len(_MEMBER) :])] = address.decode("utf-8", "replace")
            first = page[-1][0] + b"\0"
        return found
