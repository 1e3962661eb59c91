"""docs/format.md and the code say the same, in both directions."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ringdict.client import extension, keyformat
from ringdict.client.keys import decode_key, encode_key
from ringdict.client.values import ValueCodec
from ringdict.node.config import KEY_BYTES_MAX, KEY_DEPTH_MAX, VALUE_BYTES_DEFAULT, VALUE_DEPTH_MAX
from ringdict.node.store.number import BIG_INT, EXTENDED

DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(.+?)` \| `([^`]+)` \|", re.MULTILINE)

NAMES: dict[str, Any] = {
    "Decimal": Decimal,
    "UUID": UUID,
    "ZoneInfo": ZoneInfo,
    "array": np.array,
    "date": date,
    "datetime": datetime,
    "float32": np.float32,
    "inf": inf,
    "nan": nan,
    "str_": np.str_,
    "time": time,
    "timedelta": timedelta,
    "timezone": timezone,
}

codec = ValueCodec(allow_pickle=False, value_bytes_max=1 << 20)


def section(title: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    match = re.search(rf"^(#+) {title}\n(.*?)(?=^#{{1,3}} |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title!r}"
    return match[2]


def golden(title: str) -> list[tuple[str, bytes]]:
    rows = [(source, bytes.fromhex(digits)) for source, digits in ROW.findall(section(title))]
    assert len(rows) > 25
    return rows


def codes(text: str) -> dict[str, int]:
    return {name: int(code, 16) for code, name in ROW.findall(text)}


def table(title: str, heading: str) -> str:
    """The table under a heading whose first column has this name."""
    text = section(title)
    return text[text.index(f"\n| {heading} |") :].partition("\n\n")[0]


def constants(module: ModuleType) -> dict[str, int]:
    return {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and type(value) is int and value < 256
    }


@pytest.mark.parametrize(("source", "data"), golden("Golden keys"))
def test_golden_keys(source: str, data: bytes) -> None:
    key = eval(source, NAMES)
    assert encode_key(key) == data
    decoded = decode_key(data)
    assert encode_key(decoded) == data
    assert decoded == key or source == "nan"


@pytest.mark.parametrize(("source", "data"), golden("Golden values"))
def test_golden_values(source: str, data: bytes) -> None:
    value = eval(source, NAMES)
    assert codec.encode(value) == data
    decoded = codec.decode(data)
    assert type(decoded) is type(value)
    assert repr(decoded) == repr(value)


def test_every_key_tag_is_documented() -> None:
    documented = codes(table("Keys", "tag")) | codes(table("Keys", "head"))
    assert documented == {
        name: value
        for name, value in constants(keyformat).items()
        if name not in {"ESCAPE", "SHORT_SIZE_MAX", "INTEGRAL", "FRACTIONAL"}
    }
    assert "`00` (`INTEGRAL`)" in DOCUMENT
    assert keyformat.INTEGRAL == 0
    assert "`01`\n(`FRACTIONAL`)" in DOCUMENT
    assert keyformat.FRACTIONAL == 1


def test_every_extension_is_documented() -> None:
    documented = codes(table("Values", "code"))
    assert documented == constants(extension) | {"BIG_INT": BIG_INT}
    assert len(set(documented.values())) == len(documented)


def test_every_extension_but_pickle_is_among_the_golden_values() -> None:
    examples = [data for _, data in golden("Golden values")]
    for name, code in codes(table("Values", "code")).items():
        if name != "PICKLE":
            heads = (rb"\xc7." + re.escape(bytes([code])), b"[\xd4-\xd8]" + re.escape(bytes([code])))
            found = [data for data in examples if any(re.search(head, data, re.DOTALL) for head in heads)]
            assert found, name


def test_every_time_zone_form_is_documented() -> None:
    for name in ("OFFSET", "NAMED_OFFSET", "ZONE"):
        assert f"`{getattr(extension, name).hex()}` (`{name}`)" in DOCUMENT


def test_limits_are_those_of_the_code() -> None:
    keys, values = section("Keys"), section("Values")
    assert f"At most {KEY_BYTES_MAX:,} bytes" in keys
    assert f"to a depth of {KEY_DEPTH_MAX}." in keys
    assert f"At most {VALUE_BYTES_DEFAULT:,} bytes" in values
    assert f"to a depth of {VALUE_DEPTH_MAX}." in values
    assert f"begin with `{EXTENDED:02x}`" in values
