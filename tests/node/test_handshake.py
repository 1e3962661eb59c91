"""The handshake: who is let in, who is refused in which words, and what strangers can do."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import AuthError, ProtocolError
from ringdict.node.config import HANDSHAKE_BYTES_MAX, REFUSAL_CHARS_MAX, SECRETS_MAX
from ringdict.node.network import handshake
from ringdict.node.network.handshake import Caller, Listener, Role, refusal

SECRET = b"a secret of the cluster"
CLUSTER = b"c" * 16
NONCES = (b"1" * 32, b"2" * 32)


def a_caller(secret: bytes = SECRET, *, cluster_id: bytes = b"", role: Role = Role.CLIENT) -> Caller:
    address = "host:7000" if role is Role.PEER else ""
    return Caller(secret=secret, nonce=NONCES[0], role=role, address=address, cluster_id=cluster_id)


def a_listener(secret: bytes = SECRET, cluster_id: bytes = CLUSTER) -> Listener:
    return Listener(secret=secret, nonce=NONCES[1], cluster_id=cluster_id)


def hello(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "magic": b"ringdict", "low": 1, "high": 1, "role": 0, "address": "", "cluster": b"",
        "nonce": b"n" * 32,
    }  # fmt: skip
    return msgspec.msgpack.encode(list((fields | changes).values()))


def words(frame: bytes | None) -> str:
    assert frame is not None
    version, _, _, _, text = msgspec.msgpack.decode(frame)
    assert version == 0
    return str(text)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("secret", [SECRET, b""])
def test_who_knows_the_secret_is_let_in_and_says_who_it_is(role: Role, secret: bytes) -> None:
    caller, listener = a_caller(secret, role=role), a_listener(secret)
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    assert not listener.done
    assert listener.feed(caller.feed(welcome)) is None
    assert listener.done
    assert (listener.role, listener.address) == (role, "host:7000" if role is Role.PEER else "")
    assert caller.version == listener.version == 1
    assert caller.cluster_id == CLUSTER


def test_the_bytes_are_those_of_the_protocol() -> None:
    """Written out by hand: another program must be able to do it from docs/protocol.md."""
    caller, listener = a_caller(role=Role.PEER), a_listener()
    encode = msgspec.msgpack.encode
    assert caller.hello == encode([b"ringdict", 1, 1, 1, "host:7000", b"", NONCES[0]])
    unproved = encode([1, CLUSTER, NONCES[1], b"", ""])
    proof = hmac.new(SECRET, b"listener" + caller.hello + unproved, hashlib.sha256).digest()
    welcome = listener.feed(caller.hello) or b""
    assert welcome == encode([1, CLUSTER, NONCES[1], proof, ""])
    answer = hmac.new(SECRET, b"caller" + caller.hello + welcome, hashlib.sha256).digest()
    assert caller.feed(welcome) == encode([answer])


OLD, NEW, STRANGE = b"the old secret", b"the new secret", b"of somebody else"


@pytest.mark.parametrize(
    ("calls", "listens", "agreed"),
    [
        ([OLD], [OLD, NEW], OLD),
        ([OLD], [NEW, OLD], OLD),
        ([NEW], [OLD, NEW], NEW),
        ([OLD, NEW], [OLD], OLD),
        ([NEW, OLD], [OLD], OLD),
        ([OLD, NEW], [NEW, OLD], OLD),
        ([NEW, OLD], [OLD, NEW], NEW),
        ([STRANGE, OLD], [NEW, OLD, b"more", b"and more"], OLD),
    ],
)
def test_any_secret_that_both_have_will_do(calls: list[bytes], listens: list[bytes], agreed: bytes) -> None:
    caller = Caller(secret=calls[0], others=calls[1:], nonce=NONCES[0])
    listener = Listener(secret=listens[0], others=listens[1:], nonce=NONCES[1])
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    assert listener.feed(caller.feed(welcome)) is None
    assert listener.done
    assert caller.secret == listener.secret == agreed


def test_who_has_none_of_several_secrets_is_not_let_in() -> None:
    caller = Caller(secret=STRANGE, others=[b""], nonce=NONCES[0])
    listener = Listener(secret=OLD, others=[NEW], nonce=NONCES[1])
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    with pytest.raises(AuthError):
        caller.feed(welcome)
    for stolen in msgspec.msgpack.decode(welcome)[5] + [msgspec.msgpack.decode(welcome)[3]]:
        again = Listener(secret=OLD, others=[NEW], nonce=NONCES[1])
        again.feed(caller.hello)
        with pytest.raises(AuthError):
            again.feed(msgspec.msgpack.encode([stolen]))  # the listener's own proofs, sent back
    assert not listener.done
    assert listener.secret == b""


def test_the_bytes_of_a_listener_with_several_secrets_are_those_of_the_protocol() -> None:
    caller = Caller(secret=OLD, nonce=NONCES[0])
    listener = Listener(secret=NEW, others=[OLD], nonce=NONCES[1], cluster_id=CLUSTER)
    encode = msgspec.msgpack.encode
    said = b"listener" + caller.hello + encode([1, CLUSTER, NONCES[1], b"", ""])
    first, other = (hmac.new(secret, said, hashlib.sha256).digest() for secret in (NEW, OLD))
    welcome = listener.feed(caller.hello) or b""
    assert welcome == encode([1, CLUSTER, NONCES[1], first, "", [other]])
    answer = hmac.new(OLD, b"caller" + caller.hello + welcome, hashlib.sha256).digest()
    assert caller.feed(welcome) == encode([answer])


def test_as_many_secrets_as_there_may_be_fit_into_the_handshake() -> None:
    others = [b"%d" % number for number in range(SECRETS_MAX - 1)]
    caller = Caller(secret=OLD, nonce=NONCES[0])
    welcome = Listener(secret=NEW, others=[*others[1:], OLD], nonce=NONCES[1], cluster_id=CLUSTER).feed(
        caller.hello
    )
    assert welcome is not None
    assert len(welcome) <= HANDSHAKE_BYTES_MAX
    assert caller.feed(welcome)


@pytest.mark.parametrize(("mine", "theirs"), [(SECRET, b"another"), (SECRET, b""), (b"", SECRET)])
def test_a_listener_without_the_secret_is_found_out(mine: bytes, theirs: bytes) -> None:
    caller, listener = a_caller(mine), a_listener(theirs)
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    with pytest.raises(AuthError, match="same cluster secret"):
        caller.feed(welcome)


def test_a_caller_without_the_secret_is_found_out() -> None:
    caller, listener = a_caller(b"guessed"), a_listener()
    assert listener.feed(caller.hello) is not None
    with pytest.raises(AuthError, match="same cluster secret"):
        listener.feed(msgspec.msgpack.encode([b"p" * 32]))
    assert not listener.done


def test_a_proof_is_good_for_one_connection_and_one_side() -> None:
    caller, listener = a_caller(), a_listener()
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    proof = caller.feed(welcome)
    again = Listener(secret=SECRET, nonce=b"3" * 32, cluster_id=CLUSTER)
    assert again.feed(caller.hello) is not None
    with pytest.raises(AuthError):
        again.feed(proof)  # what was overheard
    mirrored = a_listener()
    answer = mirrored.feed(caller.hello)
    assert answer is not None
    with pytest.raises(AuthError):
        mirrored.feed(msgspec.msgpack.encode([msgspec.msgpack.decode(answer)[3]]))  # its own, sent back


@pytest.mark.parametrize("place", range(5))
def test_words_that_were_changed_on_the_way_are_noticed(place: int) -> None:
    caller, listener = a_caller(), a_listener()
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    fields = msgspec.msgpack.decode(welcome)
    fields[place] = [2, b"d" * 16, b"4" * 32, b"5" * 32, "other words"][place]
    with pytest.raises((AuthError, ProtocolError)):
        caller.feed(msgspec.msgpack.encode(fields))


def test_older_and_newer_refuse_each_other_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    older = a_listener().feed(hello(low=0, high=0))
    assert words(older).endswith("use a newer ringdict on your side")
    newer = a_listener().feed(hello(low=2, high=3))
    assert words(newer).endswith("this node must be upgraded first")
    with pytest.raises(ProtocolError, match="you speak protocol 2 at least, this node 1 at most"):
        a_caller().feed(newer or b"")
    monkeypatch.setattr(handshake, "VERSION_MAX", 4)
    for high, wanted in ((1, 1), (3, 3), (9, 4)):
        listener = a_listener()
        listener.feed(hello(high=high))
        assert listener.version == wanted


@pytest.mark.parametrize(("mine", "theirs"), [(b"", CLUSTER), (CLUSTER, b""), (CLUSTER, CLUSTER), (b"", b"")])
def test_who_is_in_no_cluster_yet_is_let_in(mine: bytes, theirs: bytes) -> None:
    caller, listener = a_caller(cluster_id=mine), a_listener(cluster_id=theirs)
    welcome = listener.feed(caller.hello)
    assert welcome is not None
    listener.feed(caller.feed(welcome))
    assert listener.done


def test_two_clusters_that_were_founded_apart_refuse_each_other() -> None:
    listener = a_listener()
    answer = listener.feed(a_caller(cluster_id=b"d" * 16).hello)
    assert listener.refused
    assert "cannot merge" in words(answer)
    # A listener that lets it pass: the caller looks for itself.
    caller = a_caller(cluster_id=b"d" * 16)
    fields = msgspec.msgpack.decode(caller.hello)
    welcome = handshake._Welcome(1, CLUSTER, NONCES[1], b"", "")
    assert fields[5] == b"d" * 16
    welcome.proof = handshake._listener_proof(SECRET, caller.hello, welcome)
    with pytest.raises(ProtocolError, match="cannot merge"):
        caller.feed(msgspec.msgpack.encode(welcome))


@pytest.mark.parametrize(
    ("role", "address"),
    [(0, "host:1"), (1, ""), (1, "x" * 281), (1, "client/7"), (1, "a\nb:1"), (1, "\u0130" * 200)],
)
def test_an_address_that_cannot_be_is_refused(role: int, address: str) -> None:
    listener = a_listener()
    assert words(listener.feed(hello(role=role, address=address)))
    assert listener.refused


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"\x00", b"GET / HTTP/1.1", b"\x97" + b"\x91" * 900, hello(magic=b"redis"),
        hello(nonce=b"short"), hello(role=2), hello(low=-1), hello(high=1 << 20), hello(cluster=b"c" * 17),
        hello(address=None),
        hello() + b"x", bytes(HANDSHAKE_BYTES_MAX + 1), hello(address="a" * HANDSHAKE_BYTES_MAX),
    ],
)  # fmt: skip
def test_strangers_are_told_nothing(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        a_listener().feed(frame)
    with pytest.raises(ProtocolError):
        a_caller().feed(frame)


@given(st.lists(st.binary(max_size=HANDSHAKE_BYTES_MAX + 8), min_size=1, max_size=3))
def test_random_bytes_open_no_door(frames: list[bytes]) -> None:
    listener = a_listener()
    with pytest.raises((AuthError, ProtocolError)):
        for frame in [*frames, b""]:
            listener.feed(frame)
    with pytest.raises((AuthError, ProtocolError)):
        a_caller().feed(frames[0])


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    """Wherever one byte of the three frames differs, one side at least says no."""
    caller, listener = a_caller(role=Role.PEER), a_listener()
    which = data.draw(st.integers(0, 2))
    frames = [caller.hello]

    def spoilt(frame: bytes) -> bytes:
        place = data.draw(st.integers(0, len(frame) - 1))
        return frame[:place] + bytes([frame[place] ^ data.draw(st.integers(1, 255))]) + frame[place + 1 :]

    with pytest.raises((AuthError, ProtocolError)):
        answer = listener.feed(spoilt(caller.hello) if which == 0 else caller.hello) or b""
        frames.append(answer)
        proof = caller.feed(spoilt(answer) if which == 1 else answer)
        listener.feed(spoilt(proof) if which == 2 else proof)
        assert all(one != other for one, other in pairwise(frames))


def test_a_refusal_is_shown_as_one_line_and_not_a_long_one() -> None:
    with pytest.raises(ProtocolError) as caught:
        a_caller().feed(refusal("no\x1b[31m\n" + "x" * 600))
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < REFUSAL_CHARS_MAX + 50
