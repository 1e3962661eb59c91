"""`ringdict dict …` as a user runs it: what each command does and prints."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

import ringdict
from ringdict.cli import main
from ringdict.client.info import Entry, Version
from ringdict.client.shell import commands
from ringdict.exception import ConflictError

if TYPE_CHECKING:
    from .conftest import Opener, Shell

NO, USAGE, NAME, STORE, UNREADABLE = 1, 2, 3, 4, 6


# -- entries -------------------------------------------------------------------------------------


def test_what_is_put_can_be_got_and_popped_once(shell: Shell) -> None:
    assert shell("put", "--create-if-missing", "notes", "colour", "green") == ""
    assert shell("get", "notes", "colour") == "green\n"
    assert shell("len", "notes") == "1\n"
    assert shell("len", "notes", "--json") == "1\n"
    assert shell("pop", "notes", "colour") == "green\n"
    assert "notes has no 'colour'" in shell.fails("pop", "notes", "colour", code=NO)
    assert "notes has no 'colour'" in shell.fails("get", "notes", "colour", code=NO)


def test_if_absent_leaves_a_key_alone(shell: Shell) -> None:
    shell("create", "notes")
    shell("put", "notes", "k", "first", "--if-absent")
    assert "'k' already" in shell.fails("put", "notes", "k", "second", "--if-absent", code=NO)
    assert shell("get", "notes", "k") == "first\n"


def test_literals_are_keys_and_values_of_any_type(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    shell("put", "-l", "d", "('user', 7)", "{'tags': {1, 2}, 'raw': b'\\x00'}")
    shell("put", "-l", "d", "42", "None")
    assert shell("get", "-l", "d", "('user', 7)") == "{'tags': {1, 2}, 'raw': b'\\x00'}\n"
    assert shell("get", "-l", "d", "42.0") == "None\n"  # equal keys are one key
    assert "it has the int 42: add --literal" in shell.fails("get", "d", "42", code=NO)


def test_json_says_what_literals_cannot(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    key = '{"$uuid": "12345678-1234-5678-1234-567812345678"}'
    value = '{"when": {"$datetime": "2026-01-02T03:04:05+00:00"}, "price": {"$decimal": "1.50"}}'
    shell("put", "d", "--json-key", key, "--json-value", value)
    assert shell("get", "d", "--json-key", key, "--json") == f"{value}\n"
    listed = json.loads(shell("items", "d", "--json"))
    assert listed == {"key": json.loads(key), "value": json.loads(value)}


def test_the_store_has_the_types_that_were_written(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    shell("put", "-l", "d", "1", "(1, 'a', [b'x'])")
    shell("put", "d", "text", "1")
    shell("put", "d", "raw", "--bytes", "1")
    assert dict(store("d").items()) == {1: (1, "a", [b"x"]), "text": "1", "raw": b"1"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", "a\nb\n"),
        (None, "None\n"),
        (b"\x00", "b'\\x00'\n"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001\n"),
        (date(2026, 1, 2), "2026-01-02\n"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00\n"),
        (timedelta(hours=1), "1:00:00\n"),
        ("\ud800", "\\ud800\n"),
        ("ключ", "ключ\n"),
    ],
)
def test_values_read_well(shell: Shell, store: Opener, value: object, text: str) -> None:
    store("d")["k"] = value
    assert shell("get", "d", "k") == text


def test_an_int_of_any_size_is_shown(shell: Shell, store: Opener) -> None:
    store("d")["k"] = [2**40_000]
    digits = f"0x1{'0' * 10_000}"
    assert shell("get", "d", "k") == shell("get", "d", "k", "--json") == f'[{{"$int": "{digits}"}}]\n'


def test_arguments_need_not_be_utf_8(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    shell("put", "d", b"\xff", b"\xfe")
    assert shell("get", "d", b"\xff") == "\\udcfe\n"
    assert shell("get", "d", b"\xff", "--raw").encode("utf-8", "surrogateescape") == b"\xfe"
    assert shell.run("dict", "items", "d", LC_ALL="C", PYTHONUTF8="0").out == "\\udcff\t\\udcfe\n"


def test_a_value_comes_from_standard_input(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    shell("put", "d", "text", "-", stdin="größer\n\n".encode())
    assert shell("get", "d", "text", "--repr") == "'größer\\n'\n"
    shell("put", "d", "json", "-", "--json-value", stdin=b'{"a": [1, 2]}\n')
    assert shell("get", "d", "json") == "{'a': [1, 2]}\n"
    blob = bytes(range(256))
    shell("put", "d", "blob", "-", "--bytes", stdin=blob)
    assert shell.run("dict", "get", "d", "blob", "--raw").output == blob
    assert "use --json" in shell.fails("get", "d", "json", "--raw", code=USAGE)
    store("d")["lone"] = "\ud800"
    assert "use --json" in shell.fails("get", "d", "lone", "--raw", code=USAGE)


def test_a_dash_can_begin_a_value(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    shell("put", "d", "n", "-5")
    shell("put", "d", "--", "o", "-x")
    assert shell("get", "d", "n") == "-5\n"
    assert shell("get", "d", "o") == "-x\n"


def test_a_time_to_live_is_kept(shell: Shell, store: Opener) -> None:
    shell("create", "d", "--ttl", "2h")
    shell("put", "d", "default", "v")
    shell("put", "d", "minutes", "v", "--ttl", "15m")
    shell("put", "d", "never", "v", "--ttl", "none")
    dictionary = store("d")
    assert dictionary.ttl("default") == pytest.approx(7_200, abs=60)
    assert dictionary.ttl("minutes") == pytest.approx(900, abs=60)
    assert dictionary.ttl("never") is None


# -- listings ------------------------------------------------------------------------------------


def test_items_are_lines_of_key_and_value(shell: Shell, store: Opener) -> None:
    store("d").update({("n", number): f"value {number}" for number in range(30)})
    assert len(shell("items", "d").splitlines()) == 20
    assert len(shell("items", "d", "7").splitlines()) == 7
    assert shell("items", "d", "0") == ""
    lines = shell("items", "d", "--all").splitlines()
    assert sorted(lines) == sorted(f"('n', {number})\tvalue {number}" for number in range(30))
    assert "('n', 3)\t'value 3'" in shell("items", "d", "--all", "--repr").splitlines()
    rows = [json.loads(line) for line in shell("items", "d", "--all", "--json").splitlines()]
    assert {"key": {"$tuple": ["n", 3]}, "value": "value 3"} in rows


def test_items_of_a_prefix(shell: Shell, store: Opener) -> None:
    store("d").update({"user:1": 1, "user:2": 2, "job:1": 3, ("user", 1): 4})
    assert sorted(shell("items", "d", "--prefix", "user:").splitlines()) == ["user:1\t1", "user:2\t2"]
    assert shell("items", "d", "-l", "--prefix", "('user',)") == "('user', 1)\t4\n"
    assert shell("items", "d", "--json-key", "--prefix", '{"$tuple": ["user"]}') == "('user', 1)\t4\n"
    assert "a prefix is" in shell.fails("items", "d", "-l", "--prefix", "7", code=USAGE)


def test_an_entry_stays_on_its_line(shell: Shell, store: Opener) -> None:
    store("d")["a\tb"] = "one\ntwo\x1b[2J\x9b\u202e"
    assert shell("items", "d") == "a\\tb\tone\\ntwo\\x1b[2J\\x9b\\u202e\n"


class Foreign:
    """Something that only pickle can store."""


def test_pickled_values_are_named_and_passed_over(shell: Shell, store: Opener) -> None:
    store("d", allow_pickle=True).update({"good": 1, "foreign": complex, "fine": 2})
    outcome = shell.run("dict", "items", "d")
    assert outcome.code == UNREADABLE
    lines = sorted(outcome.out.splitlines())
    assert [lines[0], lines[2]] == ["fine\t2", "good\t1"]
    assert lines[1].startswith("foreign\t(cannot be read: ")
    assert outcome.err == "ringdict: 1 value could not be read, 0 damaged\n"
    rows = [json.loads(line) for line in shell("items", "d", "--json", code=UNREADABLE).splitlines()]
    assert [row["key"] for row in rows if "error" in row] == ["foreign"]
    shell.fails("get", "d", "foreign", code=UNREADABLE)


def test_pop_does_not_lose_what_it_cannot_show(shell: Shell, store: Opener) -> None:
    dictionary = store("d", allow_pickle=True)
    dictionary["foreign"] = complex
    shell.fails("pop", "d", "foreign", code=UNREADABLE)
    assert dictionary["foreign"] is complex


class Busy:
    """A Dict whose entries change whenever somebody has looked at them."""

    def get_entry(self, _key: str) -> Entry[str]:
        return Entry("seen", Version(1), None)

    def pop(self, _key: str, _default: object, *, if_version: int) -> str:
        raise ConflictError("changed since", if_version + 1)


def test_pop_prints_what_it_removed_or_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_open", lambda _args: Busy())
    assert main(["dict", "pop", "d", "k"]) == NO
    output, errors = capsys.readouterr()
    assert output == ""
    assert "nothing was popped" in errors


def test_damaged_values_are_named_and_passed_over(shell: Shell) -> None:
    values = {f"k{number}": f"value-{number}-of-five" for number in range(5)}
    with ringdict.Cluster(shell.url) as cluster:
        ringdict.Dict.from_name("d", cluster=cluster, create_if_missing=True).update(values)
    damage(shell.home, b"value-3-of-five")
    outcome = shell.run("dict", "items", "d")
    assert outcome.code == STORE
    shown = dict(line.split("\t") for line in outcome.out.splitlines())
    assert shown.pop("k3").startswith("(cannot be read: ")
    assert shown == {key: value for key, value in values.items() if key != "k3"}
    assert outcome.err == "ringdict: 1 value could not be read, 1 damaged\n"
    assert "k3" in shell.fails("get", "d", "k3", code=STORE)


def damage(home: Path, value: bytes) -> None:
    """Change one byte of a value in the store's file, which nobody has open."""
    found = 0
    for path in home.rglob("*.mdb"):
        data = path.read_bytes()
        at = data.find(value)
        while at >= 0:
            found += 1
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([value[0] ^ 1]))
            at = data.find(value, at + 1)
    assert found


# -- whole Dicts ---------------------------------------------------------------------------------


def test_dicts_are_made_listed_and_deleted(shell: Shell) -> None:
    assert shell("list") == ""
    assert json.loads(shell("list", "--json")) == []
    shell("create", "first")
    shell("create", "second")
    shell("put", "second", "k", "v")
    assert "first" in shell.fails("create", "first", code=NAME)
    shell("create", "first", "--allow-existing")
    head, *rows = [line.split() for line in shell("list").splitlines()]
    assert head == ["NAME", "CREATED", "BY", "ENTRIES", "SIZE"]
    assert {row[0] for row in rows} == {"first", "second"}
    infos = {info["name"]: info for info in json.loads(shell("list", "--json"))}
    assert infos["second"]["entries"] == 1
    assert datetime.fromisoformat(infos["second"]["created_at"]).tzinfo is not None
    shell("delete", "first", "-y")
    assert [info["name"] for info in json.loads(shell("list", "--json"))] == ["second"]


def test_a_missing_dict_has_an_exit_code_of_its_own(shell: Shell) -> None:
    for words in (["get", "d", "k"], ["put", "d", "k", "v"], ["pop", "d", "k"], ["items", "d"], ["len", "d"]):
        assert "'d'" in shell.fails(*words, code=NAME)
    shell.fails("clear", "d", "-y", code=NAME)
    shell.fails("delete", "d", "-y", code=NAME)
    shell.fails("delete", "d", code=NAME)
    shell("delete", "d", "--allow-missing", "-y")
    shell("delete", "d", "--allow-missing")


def test_environments_and_stores_are_apart(shell: Shell, tmp_path: Path) -> None:
    shell("create", "d", "-e", "blue")
    shell.fails("len", "d", code=NAME)
    assert shell("len", "d", "--environment", "blue") == "0\n"
    assert shell.run("dict", "len", "d", RINGDICT_ENVIRONMENT="blue").out == "0\n"
    shell.fails("len", "d", "-e", "blue", "--cluster", (tmp_path / "other").as_uri(), code=NAME)
    assert shell("len", "d", "-e", "blue", "--cluster", shell.url) == "0\n"


@pytest.mark.parametrize("command", ["delete", "clear"])
def test_what_destroys_needs_a_yes(shell: Shell, store: Opener, command: str) -> None:
    store("d").hydrate()
    shell("put", "d", "k", "v")
    assert "-y" in shell.fails(command, "d", code=USAGE, stdin=b"y\n")
    assert shell("len", "d") == "1\n"
    shell(command, "d", "-y")
    if command == "clear":
        assert shell("len", "d") == "0\n"
    else:
        shell.fails("len", "d", code=NAME)


def test_compact_needs_the_store_for_itself(shell: Shell, store: Opener) -> None:
    store("d").hydrate()
    assert str(os.getpid()) in shell.fails("compact", code=STORE)


def test_compact_gives_space_back(shell: Shell) -> None:
    shell.fails("compact", code=STORE)  # there is no store yet
    with ringdict.Cluster(f"{shell.url}?durability=none") as cluster:
        dictionary = ringdict.Dict.from_name("d", cluster=cluster, create_if_missing=True)
        dictionary.update((number, bytes(1_000)) for number in range(5_000))
        dictionary.clear()
        dictionary["k"] = "v"
    sizes = json.loads(shell("compact", "--json"))
    assert sizes["before_bytes"] > 5_000_000
    assert sizes["after_bytes"] < 500_000
    assert "->" in shell("compact", "--cluster", shell.url)
    assert shell("get", "d", "k") == "v\n"
