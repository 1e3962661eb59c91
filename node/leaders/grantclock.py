"""For how long a leader has seen the grants that end by time.

Rules of this file:
1. Time is that of this node's own clock, and begins when the grant was proposed here, or else with the
   leadership: a new leader lets every grant have its whole time again. Of a grant whose instant had to be
   forgotten it begins when the last of those was made that were forgotten.
2. An entry that can be seen still, since a plain put or touch gave it longer to live, is not over.
"""

from __future__ import annotations

from collections.abc import Callable

from ..world import NS_PER_MS
from .leaderconfig import GRANTS_MAX, TTL_MARGIN_RATIO
from .plain import PlainEntry
from .record import Record


class GrantClock:
    """Of one leadership. `peek` tells what is seen of a name."""

    def __init__(self, begun_ns: int, peek: Callable[[bytes], PlainEntry | None]) -> None:
        self._begun_ns = begun_ns
        self._peek = peek
        #: By name: the grant's token, and when it was granted or extended.
        self._granted: dict[bytes, tuple[int, int]] = {}

    def note(self, name: bytes, record: Record, now_ns: int) -> None:
        """A grant begins, or begins anew."""
        if record.ttl_ms and record.body is not None:
            self._granted.pop(name, None)
            while len(self._granted) >= GRANTS_MAX:
                _, since_ns = self._granted.pop(next(iter(self._granted)))
                self._begun_ns = max(self._begun_ns, since_ns)
            self._granted[name] = (record.token, now_ns)

    def is_over(self, name: bytes, held: Record, now_ns: int) -> bool:
        """Whether a grant's time has passed."""
        if not held.ttl_ms:
            return False
        token, since_ns = self._granted.get(name, (0, 0))
        if token != held.token:
            since_ns = self._begun_ns
        if now_ns - since_ns < int(held.ttl_ms * NS_PER_MS * (1 + TTL_MARGIN_RATIO)):
            return False
        seen = self._peek(name)
        return seen is None or seen.version < held.token
