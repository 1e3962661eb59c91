"""Commits on their way to disk, against a plain dict that has them all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringdict.exception import Error
from ringdict.node.served.overlay import Overlay

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=2)), max_size=3)
STEPS = st.lists(st.one_of(st.just("settle"), st.just("discard"), CHANGES), max_size=20)


@given(STEPS, KEYS, KEYS, st.integers(0, 5))
def test_what_is_seen_is_the_disk_with_all_that_waits_on_top(
    steps: list[str | dict[bytes, bytes | None]], first: bytes, end: bytes, count: int
) -> None:
    overlay = Overlay()
    disk: dict[bytes, bytes] = {}
    told: list[int] = []

    def done(number: int) -> None:
        told.append(number)

    for number, step in enumerate(steps):
        if isinstance(step, dict):
            overlay.add(step, lambda _error, number=number: done(number))  # type: ignore[misc]
        elif step == "discard":
            for tell in overlay.discard():
                tell(Error("full"))
        elif overlay.waiting:
            apply(disk, overlay.first(1)[0])
            overlay.settle()(None)
        seen = dict(disk)
        for _, changes, _ in overlay.waiting:
            apply(seen, changes)
        for key in (b"a", b"b", b"c", b"d", b"e"):
            assert (overlay.get(key) if key in overlay else disk.get(key)) == seen.get(key)
        below = [(key, disk[key]) for key in sorted(disk) if first <= key < end]
        assert (
            overlay.merge(first, end, count, below)
            == [(key, seen[key]) for key in sorted(seen) if first <= key < end][:count]
        )
    assert told == sorted(told)
    assert overlay.keys_count == len({key for _, changes, _ in overlay.waiting for key in changes})


def apply(entries: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
