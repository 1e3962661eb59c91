"""`ringdict node`: what is said on the command line and in the environment, and the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringdict.client.shell.arguments import Arguments
from ringdict.exception import InvalidError, UnavailableError
from ringdict.node.disk.durability import Durability
from ringdict.serve import Launch, read, set_up_log, trace_to_log

NAMES = (
    "listen", "advertise", "join", "data", "secret_file", "durability", "replicas", "zone", "weight",
    "partitions", "value_bytes_max", "move_rate",
    "ready_file", "log", "log_level",
)  # fmt: skip
SECRET = "a secret of some length"


def said(environ: dict[str, str] | None = None, **options: str | bool) -> Launch:
    fields: dict[str, object] = {**dict.fromkeys(NAMES), "found": False, "insecure": False, **options}
    return read(Arguments(**fields), environ or {})


def test_without_a_word_a_node_stays_on_this_host() -> None:
    launch = said()
    assert launch.listen == launch.address == "127.0.0.1:7447"
    assert (launch.join, launch.found, launch.secrets, launch.insecure) == ((), False, (), False)
    assert (launch.durability, launch.replicas, launch.weight) == (Durability.INTERVAL, 3, 1)
    assert (launch.partitions, launch.value_bytes_max) == (1024, 102_400)
    assert launch.move_rate_bytes_s == 64 << 20
    assert launch.data.name == "node"


def test_every_option_has_a_variable_and_wins_over_it(tmp_path: Path) -> None:
    environ = {
        "RINGDICT_LISTEN": "127.0.0.1:1", "RINGDICT_JOIN": "127.0.0.1:2, 127.0.0.1:3",
        "RINGDICT_DATA": str(tmp_path), "RINGDICT_DURABILITY": "fsync", "RINGDICT_REPLICAS": "5",
        "RINGDICT_PARTITIONS": "4096", "RINGDICT_VALUE_BYTES_MAX": "5000000", "RINGDICT_MOVE_RATE": "8",
        "RINGDICT_ZONE": "a", "RINGDICT_WEIGHT": "2", "RINGDICT_SECRET": SECRET, "RINGDICT_INSECURE": "1",
        "RINGDICT_READY_FILE": "/run/ready", "RINGDICT_LOG": "json", "RINGDICT_LOG_LEVEL": "debug",
        "NOTIFY_SOCKET": "@there",
    }  # fmt: skip
    launch = said(environ)
    assert (launch.listen, launch.join) == ("127.0.0.1:1", ("127.0.0.1:2", "127.0.0.1:3"))
    assert (launch.durability, launch.replicas, launch.zone, launch.weight) == (Durability.FSYNC, 5, "a", 2)
    assert (launch.partitions, launch.value_bytes_max) == (4096, 5_000_000)
    assert launch.move_rate_bytes_s == 8 << 20
    assert (launch.secrets, launch.insecure, launch.notify_socket) == ((SECRET.encode(),), True, "@there")
    assert (launch.data, launch.ready_file) == (tmp_path, Path("/run/ready"))
    assert (launch.log_form, launch.log_level) == ("json", "debug")
    assert said(environ, replicas="1", zone="b").replicas == 1
    assert said({"RINGDICT_FOUND": "yes"}).found


@pytest.mark.parametrize(
    "options",
    [
        {"join": "127.0.0.1:1", "found": True}, {"listen": "nonsense"}, {"listen": "0.0.0.0:7000"},
        {"replicas": "0"}, {"replicas": "many"}, {"partitions": "100"},
        {"partitions": "4"}, {"partitions": "8192"}, {"value_bytes_max": "0"},
        {"value_bytes_max": "99999999"}, {"weight": "99"}, {"zone": "z" * 65}, {"log": "xml"},
        {"durability": "sometimes"}, {"log_level": "loud"}, {"secret_file": "/not/there"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(options: dict[str, str | bool]) -> None:
    with pytest.raises(InvalidError):
        said({}, **options)
    with pytest.raises(InvalidError, match="1 or 0"):
        said({"RINGDICT_FOUND": "perhaps"})


def test_names_of_nodes_to_join_stay_names_and_its_own_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "gone.example":
            raise OSError("no such name")
        hosts = ["10.0.0.1", "10.0.0.2"] if host == "nodes.example" else [host]
        return [(2, 1, 6, "", (one, port)) for one in hosts]

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    launch = said(listen="10.0.0.1:7", join="nodes.example:7, gone.example:7,nodes.example:7")
    assert launch.join == ("nodes.example:7", "gone.example:7")  # it may come: looked up for ever
    with pytest.raises(UnavailableError, match=r"gone\.example"):
        said(listen="gone.example:7")
    with pytest.raises(InvalidError, match="host:port"):
        said(join="nodes.example:7,nodes")
    launch = said(listen="0.0.0.0:7", advertise="nodes.example:9")  # a container
    assert (launch.listen, launch.address) == ("0.0.0.0:7", "10.0.0.1:9")


def test_a_secret_comes_from_a_file_that_nobody_else_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ringdict"), "propagate", True)
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    assert said(secret_file=str(path)).secrets == (SECRET.encode(),)
    assert not caplog.records
    path.chmod(0o644)
    assert said({"RINGDICT_SECRET_FILE": str(path)}).secrets == (SECRET.encode(),)
    assert "can read the secret" in caplog.text
    for text in ("", "short", "x" * 100_000):
        path.write_text(text)
        with pytest.raises(InvalidError, match="secret"):
            said(secret_file=str(path))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("ringdict")
    before = logger.handlers, logger.propagate, logger.level
    yield logger
    logger.handlers, logger.propagate, level = before
    logger.setLevel(level)


def test_the_log_is_json_or_for_people(logger: logging.Logger) -> None:
    stream = io.StringIO()
    set_up_log("json", "info", stream)
    logging.getLogger("ringdict.node.x").info("hello %s", "you")
    logging.getLogger("ringdict.node.x").debug("not shown")
    trace_to_log("member", {"node": b"\x01\xff", "name": "taken", "change": "joined"})
    trace_to_log("applied", {"rows": 3})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["hello you", "member"]
    assert (lines[0]["level"], lines[0]["logger"]) == ("info", "ringdict.node.x")
    assert (lines[1]["node"], lines[1]["change"], lines[1]["name_"]) == ("01ff", "joined", "taken")
    assert lines[0]["timestamp"].endswith("Z")
    stream = io.StringIO()
    set_up_log("console", "debug", stream)
    trace_to_log("applied", {"rows": 3})
    assert "applied" in stream.getvalue()
    assert "rows=3" in stream.getvalue()
