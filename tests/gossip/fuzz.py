"""Any bytes at a core, led by what they reach: `python fuzz.py SECONDS`, where atheris is installed.

What comes first says what the bytes are: a whole datagram or frame, what follows the header of one, or bodies
of messages with heads that fit. Whatever they are, nothing is raised, what must hold of a core holds, and who
was not heard of by a valid word is not there.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from typing import Any

atheris: Any = import_module("atheris")

with atheris.instrument_imports(include=["ringdict.gossip"]):
    from ringdict.gossip.codec import decode, encode, encode_header, label_of
    from ringdict.gossip.config import LAN
    from ringdict.gossip.core import Gossip
    from ringdict.gossip.instruction import SendDatagram
    from ringdict.gossip.member import NodeId, Profile, Record, Status
    from ringdict.gossip.message import Ack, Ping, Ring, Rumour

ME, FRIEND = NodeId(b"m" * 16), NodeId(b"f" * 16)
LABEL = label_of(LAN.label)
HEAD = encode_header(LABEL, FRIEND, 1)
KINDS = 16
"""Of messages, known ones and one more."""
PIECE_BYTES = 64
"""Of the input, in each letter."""


def acquainted() -> Gossip:
    """A core that has one peer: it was told of, and has answered."""
    core = Gossip(ME, 1, Profile("me:7000"), random.Random(1))
    core.start(1.0)
    told = HEAD + encode(Rumour(Record(FRIEND, 1, 0, Status.ALIVE, Profile("f:7000"))))
    asked = core.handle_datagram(told, "f:7000", 1.0)
    for letter in [decode(one.data, LABEL) for one in asked if isinstance(one, SendDatagram)]:
        for ping in [message for message in letter.messages if isinstance(message, Ping)]:
            core.handle_datagram(HEAD + encode(Ack(ping.nonce, 0, Ring())), "f:7000", 1.0)
    assert core.live_count == 2
    return core


def letter_of(way: int, piece: bytes) -> bytes:
    """What a piece of the input is sent as."""
    if way == 0 or not piece:
        return piece
    if way == 1:
        return HEAD + piece
    return HEAD + bytes((piece[0] % KINDS, *(len(piece) - 1).to_bytes(2, "big"))) + piece[1:]


def one_input(data: bytes) -> None:
    """One life of a core, a second or so each piece."""
    core, now = acquainted(), 1.0
    way, rest = (data[0], data[1:]) if data else (0, b"")
    for at in range(0, max(1, len(rest)), PIECE_BYTES):
        letter = letter_of(way & 3, rest[at : at + PIECE_BYTES])
        handle = core.handle_frame if way & 4 else core.handle_datagram
        handle(letter, "f:7000", now)
        now += (way >> 4) / 8
        due = core.next_deadline()
        if due is not None and due <= now:
            core.tick(now)
        core.validate()
        # Who is believed to be alive has answered a ping of this core's own, whose nonce no input knows.
        strangers = [view for view in core.members() if view.node_id not in (ME, FRIEND)]
        assert all(view.status is not Status.ALIVE for view in strangers), strangers


if __name__ == "__main__":
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-verbosity=1"], one_input)
    atheris.Fuzz()
