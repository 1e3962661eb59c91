"""The file of secrets: what stands in it, what it may not hold, how it is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringdict.client.config import SECRET_BYTES_MAX
from ringdict.client.secretfile import SecretFile, is_open, parse_secrets, secrets_from_variables
from ringdict.exception import InvalidError
from ringdict.node.config import SECRETS_MAX

OLD, NEW = b"the old secret", b"the new secret"


def test_one_secret_a_line_and_white_space_around_it_is_none_of_it() -> None:
    assert parse_secrets(b"  the new secret\r\n\nthe old secret") == (NEW, OLD)
    assert parse_secrets(b"the old secret\nthe old secret\n") == (OLD,)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n \n", b"x" * (SECRET_BYTES_MAX + 1), b"\n".join(b"%d" % one for one in range(SECRETS_MAX + 1))],
)
def test_what_is_no_list_of_secrets_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError, match="secret"):
        parse_secrets(data)


def test_a_secret_that_can_be_guessed_is_refused_where_that_is_said() -> None:
    with pytest.raises(InvalidError, match="16 to"):
        parse_secrets(b"a secret of some length\nshort", 16)


def test_a_file_is_written_for_its_owner_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(OLD)
    path.chmod(0o644)
    (tmp_path / "secret.new").write_bytes(b"of one who was killed while writing")
    file = SecretFile(path)
    file.write((NEW, OLD))
    assert path.read_bytes() == b"the new secret\nthe old secret\n"
    assert not is_open(path)
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(OLD)
    (tmp_path / "secret").symlink_to("there")
    SecretFile(tmp_path / "secret").write([NEW])
    assert (tmp_path / "secret").is_symlink()
    assert (tmp_path / "there").read_bytes() == NEW + b"\n"


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="the secret"):
        SecretFile(tmp_path / "missing" / "secret").write([NEW])


def test_a_file_that_has_changed_is_read_again_and_nonsense_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(OLD)
    file = SecretFile(path)
    assert file.current() == file.read() == (OLD,)
    assert not file.changed()
    path.write_bytes(NEW + b"\n" + OLD)
    assert file.changed()
    assert file.current() == (NEW, OLD)
    path.write_bytes(b"")
    assert file.current() == (NEW, OLD)
    assert not file.changed()  # complained of once
    path.unlink()
    assert file.current() == (NEW, OLD)
    with pytest.raises(InvalidError):
        file.read()


def test_a_client_has_what_its_file_says_when_it_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RINGDICT_SECRET", raising=False)
    monkeypatch.delenv("RINGDICT_SECRET_FILE", raising=False)
    assert secrets_from_variables()() == ()
    path = tmp_path / "secret"
    path.write_bytes(OLD)
    monkeypatch.setenv("RINGDICT_SECRET_FILE", str(path))
    secrets = secrets_from_variables()
    assert secrets() == (OLD,)
    SecretFile(path).write([NEW])
    assert secrets() == (NEW,)
    monkeypatch.setenv("RINGDICT_SECRET", os.fsdecode(OLD))
    assert secrets_from_variables()() == (OLD,)
