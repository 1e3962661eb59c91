"""`ringdict key …`: what it does to the file of secrets, and when it does nothing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from ringdict import rotation
from ringdict.cli import main
from ringdict.gossip.keyring import key_name
from ringdict.rotation import Keys

OLD, NEW = b"the old secret of all", b"the new secret of all"
OLD_KEY, NEW_KEY = key_name(OLD), key_name(NEW)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(OLD)
    monkeypatch.setenv("RINGDICT_SECRET_FILE", str(path))
    monkeypatch.delenv("RINGDICT_URL", raising=False)
    return path


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Keys]:
    """What the members have, whoever they are."""
    nodes: list[Keys] = []
    monkeypatch.setattr(rotation, "_nodes", lambda _args, _file: nodes)
    return nodes


def run(*words: str) -> int:
    return main(["key", *words])


def test_a_new_secret_is_put_behind_the_others_once(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").write_bytes(NEW + b"\n")
    assert run("install", str(tmp_path / "new")) == 0
    assert run("install", str(tmp_path / "new")) == 0
    assert path.read_bytes().splitlines() == [OLD, NEW]
    assert path.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out.split() == [NEW_KEY, NEW_KEY]


def test_it_comes_from_standard_input_and_begins_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NEW)))
    assert run("install", "-", "--secret-file", str(tmp_path / "fresh")) == 0
    assert (tmp_path / "fresh").read_bytes() == NEW + b"\n"


@pytest.mark.parametrize("text", [b"", b"short", b"\n".join(b"a secret of number %d" % n for n in range(8))])
def test_what_is_no_secret_or_too_many_changes_nothing(path: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "new").write_bytes(text)
    assert run("install", str(tmp_path / "new")) == 2
    assert path.read_bytes() == OLD


def test_a_secret_is_used_once_every_node_has_it(
    path: Path, nodes: list[Keys], capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(OLD + b"\n" + NEW)
    nodes += [Keys("one:1", (OLD_KEY, NEW_KEY)), Keys("two:2", (OLD_KEY,))]
    assert run("use", NEW_KEY) == 1
    assert f"two:2 does not have {NEW_KEY} yet" in capsys.readouterr().err
    nodes[1] = Keys("two:2", (), "does not answer")
    assert run("use", NEW_KEY) == 1
    assert path.read_bytes().splitlines() == [OLD, NEW]
    nodes[1] = Keys("two:2", (NEW_KEY, OLD_KEY))
    assert run("use", NEW_KEY[:5]) == 0
    assert path.read_bytes().splitlines() == [NEW, OLD]


def test_a_secret_goes_once_no_node_uses_it(
    path: Path, nodes: list[Keys], capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(NEW + b"\n" + OLD)
    nodes += [Keys("one:1", (NEW_KEY, OLD_KEY)), Keys("two:2", (OLD_KEY, NEW_KEY))]
    assert run("remove", OLD_KEY) == 1
    assert f"two:2 uses {OLD_KEY} still" in capsys.readouterr().err
    nodes[1] = Keys("two:2", ("aaaa",))
    assert run("remove", OLD_KEY) == 1
    assert run("remove", NEW_KEY, "--force") == 2  # never the one in use
    nodes[1] = Keys("two:2", (NEW_KEY,))
    assert run("remove", OLD_KEY) == 0
    assert path.read_bytes() == NEW + b"\n"


def test_who_asks_nobody_has_to_say_so(path: Path) -> None:
    path.write_bytes(OLD + b"\n" + NEW)
    assert run("use", NEW_KEY) == 2
    assert run("use", NEW_KEY, "--force") == 0
    assert run("use", "no name") == 3
    assert path.read_bytes().splitlines() == [NEW, OLD]


def test_the_list_shows_names_and_no_secrets(
    path: Path, nodes: list[Keys], capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(NEW + b"\n" + OLD)
    assert run("list") == 0  # nobody was asked
    nodes += [Keys("one:1", (NEW_KEY, OLD_KEY)), Keys("two:2", (OLD_KEY, "aaaa"))]
    capsys.readouterr()
    assert run("list") == 1
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        [NEW_KEY, "in use", "1 of 2", "1 of 2"],
        [OLD_KEY, "good as well", "2 of 2", "1 of 2"],
        ["aaaa", "-", "1 of 2", "0 of 2"],
    ]
    nodes[1] = Keys("two:2", (NEW_KEY, OLD_KEY))
    assert run("list") == 0


def test_without_a_file_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGDICT_SECRET_FILE", raising=False)
    assert run("list") == 2
