"""Sealing: letters in AES-GCM under a key of the cluster's secret, with several keys while one replaces
another.

Rules of this file:
1. Who has no key can neither read a letter nor make one that is opened. Whoever has one can do both: members
   are not protected from each other.
2. What is sealed says which key it is under, so that opening tries one key only, whatever the ring holds.
3. To change the key without a pause: `install` the new one everywhere, `use` it everywhere, `remove` the old
   one.
4. A nonce is used once. It is random, so one key is good for 2**32 letters (NIST SP 800-38D): of 1,000 nodes
   that send three a second, for two weeks. Change it in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .config import KEYS_MAX, SECRET_BYTES_MIN

FORMAT: Final = 1
NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 4
_HEAD_BYTES: Final = 1 + _NAME_BYTES
_TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = _HEAD_BYTES + NONCE_BYTES + _TAG_BYTES
"""What sealing adds to a letter."""


class SealError(ValueError):
    """These bytes were not sealed under a key of this ring, for this cluster."""


def key_name(secret: bytes) -> str:
    """The name of a secret's key, which may be shown."""
    return _Key(secret).name.hex()


class _Key:
    def __init__(self, secret: bytes) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=b"ringdict gossip, AES-256-GCM").derive(secret)
        digest = Hash(SHA256())
        digest.update(b"name of " + derived)
        self.name = digest.finalize()[:_NAME_BYTES]  # tells nothing of the key
        self.cipher = AESGCM(derived)


class Keyring:
    """The keys of one node: one to seal with, all to open with.

    `secret` is the cluster's, of at least `SECRET_BYTES_MIN` bytes; `label` is bound to every letter, so that
    a letter of one cluster is not opened in another that has the same secret. ValueError for a secret that is
    too short, and for more than `KEYS_MAX`.
    """

    def __init__(self, secret: bytes, label: str) -> None:
        self._label = label.encode()
        self._keys: dict[bytes, _Key] = {}
        self._primary = self.install(secret)

    @property
    def names(self) -> list[bytes]:
        """Names of the keys, the one that seals first. They can be shown to anybody."""
        return [self._primary, *(name for name in self._keys if name != self._primary)]

    def install(self, secret: bytes) -> bytes:
        """Open letters under the key of this secret, too; return the key's name."""
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"a secret of {len(secret)} bytes: at least {SECRET_BYTES_MIN}")
        key = _Key(secret)
        if key.name not in self._keys and len(self._keys) >= KEYS_MAX:
            raise ValueError(f"a keyring holds {KEYS_MAX} keys at most: remove one first")
        self._keys.setdefault(key.name, key)
        return key.name

    def use(self, name: bytes) -> None:
        """Seal with this key from now on. KeyError if it is not installed."""
        if name not in self._keys:
            raise KeyError(name.hex())
        self._primary = name

    def remove(self, name: bytes) -> None:
        """Open no letters under this key any more. KeyError if it is not there, ValueError if it is in
        use."""
        if name == self._primary:
            raise ValueError("the key that seals cannot be removed: use another first")
        del self._keys[name]

    def hold(self, secrets: Sequence[bytes]) -> None:
        """Have the keys of exactly these, and seal with the first. ValueError, and nothing changes, if one is
        too short, they are too many, or none."""
        if not 0 < len(secrets) <= KEYS_MAX or any(len(secret) < SECRET_BYTES_MIN for secret in secrets):
            raise ValueError(f"from 1 to {KEYS_MAX} secrets of at least {SECRET_BYTES_MIN} bytes")
        keys = [_Key(secret) for secret in secrets]
        self._keys = {key.name: key for key in keys}
        self._primary = keys[0].name

    def seal(self, letter: bytes, nonce: bytes) -> bytes:
        """Return the letter sealed, `OVERHEAD_BYTES` longer; `nonce` is `NONCE_BYTES` fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        head = bytes((FORMAT,)) + self._primary
        return head + nonce + self._keys[self._primary].cipher.encrypt(nonce, letter, head + self._label)

    def open(self, sealed: bytes) -> bytes:
        """Return the letter; `SealError` for anything else. Costs one decryption at most, and no more than
        the bytes."""
        head, nonce = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES : _HEAD_BYTES + NONCE_BYTES]
        key = self._keys.get(head[1:])
        if len(sealed) < OVERHEAD_BYTES or head[0] != FORMAT or key is None:
            raise SealError("sealed under no key of this ring")
        try:
            return key.cipher.decrypt(nonce, sealed[_HEAD_BYTES + NONCE_BYTES :], head + self._label)
        except InvalidTag:
            raise SealError("not sealed by anybody who has the key") from None
