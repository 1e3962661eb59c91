"""The first words on every connection: who speaks, in which version, to which cluster, and proof on both
sides that they know its secret. Bytes in, bytes out: sockets are the shell's.

Caller to listener: `Hello`. Back: `Welcome`, which proves the listener. Then `Proof`, which proves the
caller; its messages may follow at once. Each is one frame of at most HANDSHAKE_BYTES_MAX, a msgpack array.

Rules of this file:
1. The secret goes over no line. What is proved with it covers every byte that both have said before, numbers
   drawn for this one connection among them: no proof is good for another connection, another side, or
   changed words.
2. Whoever is refused before the proofs hears why in words, with version 0. Such words are proved by nobody:
   they are shown, cleaned and cut, and nothing is decided by them.
3. A wrong proof is answered by nothing but the end of the connection.
4. While the secret is being changed a side has several, and any that both have will do: the listener proves
   each of its own, the caller the one that it knows. Nothing is said of which secrets there are.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Final

import msgspec

from ...exception import AuthError, ProtocolError
from ..config import ADDRESS_BYTES_MAX, HANDSHAKE_BYTES_MAX, REFUSAL_CHARS_MAX, SECRETS_MAX
from ..world import Address

MAGIC: Final = b"ringdict"
VERSION_MIN: Final = 1
"""The oldest version of the protocol that this code speaks."""
VERSION_MAX: Final = 1
"""The newest. Both sides use the highest version that both speak."""
NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
CLIENT_PREFIX: Final = "client/"
"""What made-up addresses of clients begin with: no peer may call itself so."""

_Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_ClusterId = Annotated[bytes, msgspec.Meta(max_length=16)]


class Role(IntEnum):
    """What the caller is to the listener."""

    CLIENT = 0
    """It asks. What goes back to it goes over this connection."""
    PEER = 1
    """A node. What goes back to it goes to the address that it says."""


class _Hello(msgspec.Struct, array_like=True, gc=False):
    magic: bytes
    version_min: _Version
    version_max: _Version
    role: Role
    address: str
    cluster_id: _ClusterId
    nonce: _Bytes32


class _Welcome(msgspec.Struct, array_like=True, gc=False):
    version: _Version
    cluster_id: _ClusterId
    nonce: Annotated[bytes, msgspec.Meta(max_length=NONCE_BYTES)]
    proof: Annotated[bytes, msgspec.Meta(max_length=PROOF_BYTES)]
    text: str


class _ManifoldWelcome(_Welcome):
    """Of a listener with several secrets."""

    other_proofs: Annotated[tuple[_Bytes32, ...], msgspec.Meta(max_length=SECRETS_MAX - 1)] = ()


class _Proof(msgspec.Struct, array_like=True, gc=False):
    proof: _Bytes32


_encode: Final = msgspec.msgpack.Encoder().encode
_read_hello: Final = msgspec.msgpack.Decoder(_Hello).decode
_read_welcome: Final = msgspec.msgpack.Decoder(_ManifoldWelcome).decode
_read_proof: Final = msgspec.msgpack.Decoder(_Proof).decode


def _prove(secret: bytes, side: bytes, hello: bytes, welcome: bytes) -> bytes:
    # msgpack says where each of the two ends, so that no two pairs read alike.
    return hmac.digest(secret, side + hello + welcome, "sha256")


def _listener_proof(secret: bytes, hello: bytes, welcome: _Welcome) -> bytes:
    unproved = _Welcome(welcome.version, welcome.cluster_id, welcome.nonce, b"", welcome.text)
    return _prove(secret, b"listener", hello, _encode(unproved))


def _find(proofs: Iterable[bytes], wanted: bytes) -> bool:
    """Whether it is among them."""
    return any(hmac.compare_digest(proof, wanted) for proof in proofs)


def clean(text: str) -> str:
    """What a stranger said, so that it can be shown to people: one line, and not a long one."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:REFUSAL_CHARS_MAX])


class Caller:
    """The side that connected.

    Send `hello` as a frame; give the frame that comes back to `feed`, send what that returns as a frame, and
    go on with messages.

    Args:
        secret: the cluster's, empty if it has none.
        others: secrets that are good as well, while one replaces another.
        nonce: `NONCE_BYTES` random bytes, never used before.
        address: where a peer listens; "" for a client.
        cluster_id: of the cluster that is meant; empty: whichever it is.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        nonce: bytes,
        role: Role = Role.CLIENT,
        address: str = "",
        cluster_id: bytes = b"",
        others: Sequence[bytes] = (),
    ) -> None:
        self._secrets = (secret, *others)
        self._cluster_id = cluster_id
        self.hello: bytes = _encode(_Hello(MAGIC, VERSION_MIN, VERSION_MAX, role, address, cluster_id, nonce))
        #: The version that both speak; 0 until `feed`.
        self.version = 0
        #: The cluster that the listener belongs to; empty: to none yet.
        self.cluster_id = b""
        #: The secret that both sides know; empty until `feed`.
        self.secret = b""

    def feed(self, frame: bytes) -> bytes:
        """The listener's answer, which must come first; gives the proof to send.

        Raises:
            AuthError: the listener does not know the secret, or knows another.
            ProtocolError: it speaks other versions, belongs to another cluster, or is no ringdict.
        """
        try:
            welcome = _read_welcome(frame[: HANDSHAKE_BYTES_MAX + 1])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProtocolError("what answers there is no node of ringdict") from None
        if not welcome.version:
            raise ProtocolError(f"the node refuses the connection: {clean(welcome.text)}")
        if not VERSION_MIN <= welcome.version <= VERSION_MAX or len(welcome.nonce) != NONCE_BYTES:
            raise ProtocolError(f"the node answers in version {welcome.version}, which was not offered")
        proofs = (welcome.proof, *welcome.other_proofs)
        known = [one for one in self._secrets if _find(proofs, _listener_proof(one, self.hello, welcome))]
        if not known:
            raise AuthError(_SECRETS_DIFFER)
        if self._cluster_id and welcome.cluster_id and self._cluster_id != welcome.cluster_id:
            raise ProtocolError(_CLUSTERS_DIFFER)
        self.version = welcome.version
        self.cluster_id = welcome.cluster_id
        self.secret = known[0]
        return _encode(_Proof(_prove(self.secret, b"caller", self.hello, frame)))


class Listener:
    """The side that was connected to.

    Give each frame that comes to `feed`, and send what that returns, if anything, as a frame, until `done`,
    or until `refused`: then close.

    Args: as of `Caller`, and
        takes_clients: False: there are too many already.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        nonce: bytes,
        cluster_id: bytes = b"",
        takes_clients: bool = True,
        others: Sequence[bytes] = (),
    ) -> None:
        self._takes_clients = takes_clients
        self._secrets = (secret, *others)
        self._nonce = nonce
        self._cluster_id = cluster_id
        self._hello = b""
        self._welcome = b""
        #: The caller has proved itself; what follows are messages.
        self.done = False
        #: Why the connection ends once the answer is sent; "": it does not.
        self.refused = ""
        self.version = 0
        #: The secret that the caller has proved to know; empty until `done`.
        self.secret = b""
        self.role = Role.CLIENT
        #: Where the caller listens, if it is a peer.
        self.address = Address("")

    def feed(self, frame: bytes) -> bytes | None:
        """The caller's next frame; what to send back.

        Raises:
            AuthError: the caller does not know the secret, or knows another. Close.
            ProtocolError: it is no ringdict, or talks nonsense. Close.
        """
        assert not self.done
        assert not self.refused
        if len(frame) > HANDSHAKE_BYTES_MAX:
            raise ProtocolError("no handshake: too long")
        try:
            if not self._hello:
                return self._greet(frame, _read_hello(frame))
            proof = _read_proof(frame).proof
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"no handshake: {error}") from None
        known = [
            one for one in self._secrets if _find([proof], _prove(one, b"caller", self._hello, self._welcome))
        ]
        if not known:
            raise AuthError(_SECRETS_DIFFER)
        self.secret = known[0]
        self.done = True
        return None

    def _greet(self, frame: bytes, hello: _Hello) -> bytes:
        self._hello = frame
        if hello.magic != MAGIC:
            raise ProtocolError("no handshake: not ringdict")
        self.refused = self._objection(hello)
        if self.refused:
            return _encode(_Welcome(0, b"", b"", b"", self.refused))
        self.version = min(VERSION_MAX, hello.version_max)
        self.role, self.address = hello.role, Address(hello.address)
        said = (self.version, self._cluster_id, self._nonce)
        first, *others = [_listener_proof(one, frame, _Welcome(*said, b"", "")) for one in self._secrets]
        plain = _Welcome(*said, first, "")
        self._welcome = _encode(_ManifoldWelcome(*said, first, "", tuple(others)) if others else plain)
        return self._welcome

    def _objection(self, hello: _Hello) -> str:
        """Why the caller cannot be served, in words for it; "": it can."""
        if hello.version_max < VERSION_MIN:
            return (
                f"you speak protocol {hello.version_max} at most, this node {VERSION_MIN} at least: "
                "use a newer ringdict on your side"
            )
        if hello.version_min > VERSION_MAX:
            return (
                f"you speak protocol {hello.version_min} at least, this node {VERSION_MAX} at most: "
                "this node must be upgraded first"
            )
        if self._cluster_id and hello.cluster_id and self._cluster_id != hello.cluster_id:
            return _CLUSTERS_DIFFER
        if hello.role is Role.CLIENT and not self._takes_clients:
            return "this node has too many clients"
        if hello.role is Role.CLIENT:
            return "a client has no address" if hello.address else ""
        return "" if _may_be_a_peer(hello.address) else "a peer says the address that it listens on"


def _may_be_a_peer(address: str) -> bool:
    if len(address) > ADDRESS_BYTES_MAX or len(address.encode("utf-8", "replace")) > ADDRESS_BYTES_MAX:
        return False
    return bool(address) and address.isprintable() and not address.startswith(CLIENT_PREFIX)


def refusal(text: str) -> bytes:
    """The frame that a listener answers any hello with when it takes nobody, and why: then close."""
    return _encode(_Welcome(0, b"", b"", b"", text))


_SECRETS_DIFFER: Final = "the other side does not have the same cluster secret"
_CLUSTERS_DIFFER: Final = "these are two clusters, founded apart: they cannot merge"
