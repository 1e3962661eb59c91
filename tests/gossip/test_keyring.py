"""Sealing: what is sealed is opened, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.gossip.config import KEYS_MAX, SECRET_BYTES_MIN
from ringdict.gossip.keyring import NONCE_BYTES, OVERHEAD_BYTES, Keyring, SealError

OLD, NEW = b"the old secret of all", b"the new secret of all"
NONCE = bytes(range(NONCE_BYTES))


@given(st.binary(max_size=1400), st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_what_one_seals_another_opens(letter: bytes, nonce: bytes) -> None:
    sealed = Keyring(OLD, "c").seal(letter, nonce)
    assert len(sealed) == len(letter) + OVERHEAD_BYTES
    assert Keyring(OLD, "c").open(sealed) == letter


def test_the_letter_cannot_be_seen() -> None:
    assert b"plain text" not in Keyring(OLD, "c").seal(b"this is plain text", NONCE)


@given(st.data())
def test_one_bit_is_enough_to_be_refused(data: st.DataObject) -> None:
    ring = Keyring(OLD, "c")
    sealed = bytearray(ring.seal(b"letter", NONCE))
    at = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(SealError):
        ring.open(bytes(sealed))


@given(st.binary(max_size=200))
def test_anything_else_is_refused(noise: bytes) -> None:
    ring = Keyring(OLD, "c")
    for sealed in (
        noise,
        ring.seal(b"", NONCE)[: len(noise) % OVERHEAD_BYTES],
        b"\1" + ring.names[0] + noise,
    ):
        with pytest.raises(SealError):
            ring.open(sealed)


def test_another_cluster_does_not_open_it() -> None:
    sealed = Keyring(OLD, "one").seal(b"letter", NONCE)
    for other in (Keyring(OLD, "two"), Keyring(NEW, "one")):
        with pytest.raises(SealError):
            other.open(sealed)


def test_a_key_is_changed_without_a_pause() -> None:
    """Install everywhere, use everywhere, remove everywhere: at every moment all understand each other."""
    rings = [Keyring(OLD, "c") for _ in range(3)]

    def all_understand() -> None:
        for sender in rings:
            for receiver in rings:
                assert receiver.open(sender.seal(b"letter", NONCE)) == b"letter"

    old = rings[0].names[0]
    for step in ("install", "use", "remove"):
        for ring in rings:
            new = ring.install(NEW)
            if step == "use":
                ring.use(new)
            if step == "remove":
                ring.remove(old)
            all_understand()
    assert [ring.names for ring in rings] == [Keyring(NEW, "c").names] * 3
    with pytest.raises(SealError):
        rings[0].open(Keyring(OLD, "c").seal(b"letter", NONCE))


def test_a_ring_cannot_be_left_without_a_key_to_seal_with() -> None:
    ring = Keyring(OLD, "c")
    with pytest.raises(ValueError, match="use another"):
        ring.remove(ring.names[0])
    with pytest.raises(KeyError):
        ring.use(b"none")
    with pytest.raises(KeyError):
        ring.remove(b"none")


def test_there_are_limits() -> None:
    ring = Keyring(bytes(SECRET_BYTES_MIN), "c")
    for number in range(1, KEYS_MAX):
        ring.install(bytes([number]) * SECRET_BYTES_MIN)
    ring.install(bytes([1]) * SECRET_BYTES_MIN)  # is there already
    with pytest.raises(ValueError, match="remove one"):
        ring.install(b"one more secret of all")
    with pytest.raises(ValueError, match="at least"):
        Keyring(bytes(SECRET_BYTES_MIN - 1), "c")
    with pytest.raises(ValueError, match="nonce"):
        ring.seal(b"", bytes(NONCE_BYTES - 1))


def test_a_ring_holds_what_it_is_told_and_seals_with_the_first() -> None:
    ring, old = Keyring(OLD, "c"), Keyring(OLD, "c")
    ring.hold([NEW, OLD])
    assert ring.open(old.seal(b"letter", NONCE)) == b"letter"
    assert ring.names == [Keyring(NEW, "c").names[0], *old.names]
    with pytest.raises(SealError):
        old.open(ring.seal(b"letter", NONCE))
    for wrong in ([], [NEW, b"short"], [OLD + bytes([number]) for number in range(KEYS_MAX + 1)]):
        with pytest.raises(ValueError, match="secrets"):
            ring.hold(wrong)
    assert len(ring.names) == 2
    ring.hold([NEW])
    with pytest.raises(SealError):
        ring.open(old.seal(b"letter", NONCE))
