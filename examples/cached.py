"""A cached computation that a hundred readers do not start a hundred times (no stampede).

A value is fresh for a while, and usable for longer. When it is no longer fresh one reader computes it anew,
and all others take the old one meanwhile. When there is none at all, one computes it and the others wait
for it.

    python examples/cached.py                          # in many terminals at once
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ringdict import Dict
from ringdict.exception import LockTimeoutError

T = TypeVar("T")


def cached(
    cache: Dict[str, Any],
    key: str,
    compute: Callable[[], T],
    *,
    fresh_s: float,
    usable_s: float,
    compute_s: float = 30.0,
    now_s: Callable[[], float] = time.time,
) -> T:
    """The value of a key, computed by `compute` if need be.

    Args:
        fresh_s: how long it is taken as it is.
        usable_s: how long the old one is taken while another is computed; more than `fresh_s`.
        compute_s: how long that takes at most: then another reader may try.
        now_s: seconds since 1970.
    """
    found = cache.get(key)
    if found is not None and now_s() < found[1]:
        value: T = found[0]
        return value
    lock = cache.lock(key, ttl=compute_s, wait_s=None if found is None else 0.0)
    try:
        lock.acquire()
    except LockTimeoutError:
        assert found is not None  # only then it does not wait
        old: T = found[0]
        return old
    try:
        found = cache.get(key, fresh=True)  # somebody may have been faster
        if found is None or now_s() >= found[1]:
            found = (compute(), now_s() + fresh_s)
            cache.put(key, found, ttl=usable_s)
        new: T = found[0]
        return new
    finally:
        if lock.owned():
            lock.release()


def main() -> None:
    cache: Dict[str, Any] = Dict.from_name("reports", create_if_missing=True)

    def compute() -> int:
        print("computing", flush=True)
        time.sleep(2.0)
        return 42

    print(cached(cache, "answer", compute, fresh_s=10.0, usable_s=60.0))


if __name__ == "__main__":
    main()
