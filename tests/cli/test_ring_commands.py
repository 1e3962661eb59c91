"""`ringdict status|ring|leave|remove|join-cancel` against small processes that answer as nodes do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringdict.cli import main
from ringdict.node.network.message import (
    AskRing,
    AskStatus,
    Command,
    Commanded,
    Get,
    Present,
    Reason,
    Refused,
    Request,
    Resolve,
    Resolved,
    TellRing,
    TellStatus,
)
from ringdict.node.network.wire import decode, encode
from ringdict.node.world import Address, World
from ringdict.ring.change import flip, found, join
from ringdict.ring.codec import encode_decree
from ringdict.ring.decree import Decree
from ringdict.ring.member import Member, MemberState
from tests.node.served import served

MARK = (2, bytes(8))
IDS = [bytes([number]) * 16 for number in (1, 2)]


class Sham:
    """Says what a node says."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.node = IDS[number]
        self.decree: Decree | None = None
        self.status: dict[str, Any] = {
            "ready": True, "epoch": 2, "complaints": [],
            "hints": {"aa": {"count": 4, "bytes": 9}, "bb": {"count": 3, "bytes": 9}},
            "convergence": {"waiting_partitions": 5, "ages_s": {"aa": 3.1, "bb": 12.4}},
            "gossip": {
                "health_points": 1,
                "members": [{"node": one.hex(), "state": "alive"} for one in IDS],
            },
        }  # fmt: skip
        self.commands: list[Command] = []
        self.answer: Any = None

    def on_frame(self, source: Address, frame: bytes) -> None:
        asked = decode(frame)
        assert isinstance(asked, Request)
        number = asked.number
        reply: Any = None
        match asked:
            case AskRing():
                told = b"" if self.decree is None else encode_decree(self.decree)
                members = [] if self.decree is None else self.decree.members
                reply = TellRing(number, told, [(one.member_id, one.address, True) for one in members])
            case AskStatus():
                reply = TellStatus(number, json.dumps(self.status).encode())
            case Command():
                self.commands.append(asked)
                reply = self.answer or Commanded(number, (3, bytes(8)))
            case Resolve():
                reply = Resolved(number, b"12345678", b"")
            case Get():
                reply = Present(number, (77, 1, 0), 0, 0, b"", b"v")
            case _:
                pass
        if reply is not None:
            self.world.send(source, encode(reply))

    def on_datagram(self, source: Address, datagram: bytes) -> None:
        pass


class Pair:
    def __init__(self, shams: list[Sham], addresses: list[Address]) -> None:
        self.shams = shams
        self.addresses = addresses
        self.url = f"ringdict://{addresses[0]}"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    for name in ("RINGDICT_URL", "RINGDICT_SECRET", "RINGDICT_SECRET_FILE", "RINGDICT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        shams: list[Sham] = []

        def make(number: int) -> Any:
            def factory(world: World) -> Sham:
                shams.append(Sham(world, number))
                return shams[-1]

            return factory

        nodes = [stack.enter_context(served(tmp_path / str(number), make(number))) for number in range(2)]
        members = [
            Member(IDS[number], MemberState.ACTIVE, address=node.address) for number, node in enumerate(nodes)
        ]
        decree = found(b"c" * 16, members[0], 64, 2)
        decree = join(decree, replace(members[1], state=MemberState.JOINING))
        for sham in shams:
            sham.decree = decree
        monkeypatch.setenv("RINGDICT_URL", f"ringdict://{nodes[0].address}")
        yield Pair(shams, [node.address for node in nodes])


def test_status_shows_every_member_and_whether_all_agree(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 nodes answer, all agree" in out
    assert out.count("alive") == 2
    for word in ("0101010101", "0202020202", "joining", "active", "12 s", *pair.addresses):
        assert word in out
    pair.shams[1].status["epoch"] = 1
    assert main(["status", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["all_agree"]
    assert [node["status"]["epoch"] for node in told["nodes"]] == [2, 1]
    assert told["nodes"][1]["state"] == "joining"


def test_a_node_that_is_not_there_is_shown_as_that(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    decree = pair.shams[0].decree
    assert decree is not None
    gone = replace(decree.members[1], address="127.0.0.1:1")
    pair.shams[0].decree = replace(decree, members=(decree.members[0], gone))
    assert main(["status", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["nodes"][1]["status"] is None
    assert "127.0.0.1:1" in told["nodes"][1]["error"]
    assert main(["status"]) == 1
    assert "1 of 2 nodes answer, they do not all agree" in capsys.readouterr().out


def test_where_gossip_differs_all_beliefs_are_shown(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.shams[1].status["gossip"]["members"][0]["state"] = "suspect"
    main(["status"])
    assert "alive/suspect" in capsys.readouterr().out


def test_gossip_is_shown_with_since_when_how_far_and_whether_all_agree(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, sham in enumerate(pair.shams):
        members = [
            {
                "node": one.hex(), "state": "alive", "service": pair.addresses[place], "since_ms": 0,
                "rtt_us": 1234 if place else None, "generation": 5 + place, "incarnation": 77 + place,
            }
            for place, one in enumerate(IDS)
        ]  # fmt: skip
        sham.status["gossip"] |= {"node": IDS[number].hex(), "digest": "00ff", "members": members}
    assert main(["status", "--gossip"]) == 0
    out = capsys.readouterr().out
    assert "gossip as 010101010101 sees it" in out
    for word in ("SINCE", " d ", "77", "78", "1.23 ms", "00ff", *pair.addresses):
        assert word in out
    pair.shams[1].status["gossip"]["digest"] = "00fe"
    assert main(["status", "--gossip"]) == 1
    assert "gossip has 2 views of who is alive" in capsys.readouterr().out
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["gossip_views"] == ["00fe", "00ff"]


def test_orchestrators_are_told_by_exit_codes(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--live"]) == 0
    assert main(["status", "--ready"]) == 0
    pair.shams[0].status |= {"ready": False, "complaints": ["it is in no ring"]}
    assert main(["status", "--live"]) == 0
    assert main(["status", "--ready"]) == 1
    assert "not ready: it is in no ring" in capsys.readouterr().err
    assert main(["status", "--live", "--cluster", "ringdict://127.0.0.1:1"]) == 1


def test_the_ring_is_shown_as_a_table_and_as_json(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ring"]) == 0
    out = capsys.readouterr().out
    assert "64 partitions, 2 replicas" in out
    assert "primaries" in out
    assert main(["ring", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(member["primaries"] for member in told["members"]) == 64
    assert not told["at_rest"]


def test_the_ring_is_at_rest_once_former_owners_are_dropped(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    decree = pair.shams[0].decree
    assert decree is not None
    while decree.pending is not None:
        decree = flip(decree, range(64))
    assert any(decree.former)
    for now, is_at_rest in ((decree, False), (flip(decree, (), range(64)), True)):
        for sham in pair.shams:
            sham.decree = now
        assert main(["ring", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["at_rest"] is is_at_rest


def test_the_way_of_one_key(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ring", "7", "-l", "--dict", "users"]) == 0
    out = capsys.readouterr().out
    assert "primary" in out
    assert "77" in out
    assert main(["ring", "ada", "--dict", "users", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 <= told["partition"] < 64
    assert told["owners"][0]["version"] == "77"
    assert main(["ring", "ada"]) == 2
    assert "--dict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "verb"), [("leave", "leave"), ("remove", "remove"), ("join-cancel", "cancel")]
)
def test_the_ring_is_changed_on_demand(
    pair: Pair, word: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "02020202", "--json", "-y"]) == 0
    assert json.loads(capsys.readouterr().out) == {"epoch": 3}
    assert main([word, pair.addresses[1], "-y"]) == 0
    assert [(one.verb, one.member_id) for one in pair.shams[0].commands] == [(verb, IDS[1])] * 2
    assert main([word, "ffff", "-y"]) == 3
    assert main([word, "02020202"]) == 2  # nobody to ask


def test_a_member_is_given_another_weight_or_zone_and_keeps_the_rest(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adjust", "02020202", "--weight", "3", "-y"]) == 0
    assert main(["adjust", "02020202", "--zone", "b", "--weight", "2", "-y"]) == 0
    asked = [(one.verb, one.member_id, one.weight, one.zone) for one in pair.shams[0].commands]
    assert asked == [("adjust", IDS[1], 3, ""), ("adjust", IDS[1], 2, "b")]
    for words in ([], ["--weight", "0"], ["--weight", "9"], ["--weight", "x"], ["--zone", "z" * 65]):
        assert main(["adjust", "02020202", *words, "-y"]) == 2
    assert "--zone has at most" in capsys.readouterr().err
    assert len(pair.shams[0].commands) == 2


def test_what_a_node_takes_over_is_shown_with_who_is_waited_for(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.shams[1].status["moves"] = {
        "pending_partitions": 60, "taking_partitions": 40, "ready_partitions": 10, "since_s": 4.0,
        "moved_entries": 1_234, "moved_bytes": 2 << 20, "rate_bytes_s": float(1 << 19),
        "waits_for": {IDS[0].hex(): 30},
    }  # fmt: skip
    main(["status"])
    said = capsys.readouterr().out
    assert "10/40" in said
    assert (
        "020202020202: has 10 of 40 partitions that it takes over, 60 are pending; 1,234 entries, "
        "2 MiB in 4 s (512 KiB/s)"
    ) in said
    assert "020202020202: waits for 010101010101 with 30 of them" in said


@pytest.mark.parametrize(("reason", "code"), [(Reason.INVALID, 2), (Reason.UNAVAILABLE, 4)])
def test_a_change_that_is_refused_ends_in_words(
    pair: Pair, reason: Reason, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.shams[0].answer = Refused(1, reason, "there is a reason", MARK)
    assert main(["remove", "02020202", "-y"]) == code
    assert "there is a reason" in capsys.readouterr().err


def test_without_a_cluster_the_commands_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RINGDICT_URL", raising=False)
    for words in (["status"], ["ring"], ["leave", "x"]):
        assert main(words) == 2
        assert "say which cluster" in capsys.readouterr().err
    assert main(["ring", "--cluster", "ringdict://127.0.0.1:1"]) == 4
    assert "127.0.0.1:1" in capsys.readouterr().err
