"""Nodes that only gossip, on the seam: what is simulated, and what tests run as real processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..gossip.config import LAN, Settings
from ..gossip.keyring import Keyring
from ..gossip.member import Profile
from ..node.members.gossiping import Gossiping
from ..node.world import Address, World


class GossipNode:
    """A process with nothing but `Gossiping` in it."""

    gossiping_class: ClassVar[type[Gossiping]] = Gossiping

    def __init__(
        self,
        world: World,
        seeds: Iterable[str],
        *,
        settings: Settings = LAN,
        keyring: Keyring | None = None,
        insecure: bool = False,
        profile: Profile | None = None,
    ) -> None:
        self.world = world
        self.gossiping = self.gossiping_class(
            world, world.storage("gossip"), profile or Profile(world.identity.address), seeds,
            settings=settings, keyring=keyring, insecure=insecure,
        )  # fmt: skip
        self.gossiping.start()

    def on_frame(self, source: Address, frame: bytes) -> None:
        self.gossiping.on_letter(source, frame)

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        self.gossiping.on_datagram(source, datagram)

    def validate(self) -> None:
        self.gossiping.validate()
