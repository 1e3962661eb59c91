"""An event that is delivered several times, at once or days later, and carried out once.

Whoever stores the event's id first has claimed it. A claim that nobody finishes ends after a while, and the
next delivery carries the event out: once if all goes well, and once more if the one who claimed it died in
the middle, which nobody can tell from having died right behind. Where that must not happen either, the
effect itself has to be idempotent, or fenced: the claim's version is a fencing token (see job_runner.py).

    python examples/webhook.py event-1                # and again
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from uuid import uuid4

from ringdict import Dict
from ringdict.exception import ConflictError

CLAIM_S = 60.0
"""How long carrying an event out may take."""

MEMORY_S = 7 * 86_400.0
"""How long an event may be delivered again: what the sender says of its retries."""


DONE = "done"


class Delivery(Enum):
    """What became of one delivery."""

    CARRIED_OUT = "carried out"
    DONE_BEFORE = "it was carried out before"
    UNDER_WAY = "another process is at it: ask the sender to come again"
    LOST = "it took longer than its claim lasted, and another process has taken it over"


def deliver(
    events: Dict[str, str],
    event_id: str,
    carry_out: Callable[[int], None],
    *,
    claim_s: float = CLAIM_S,
    memory_s: float = MEMORY_S,
) -> Delivery:
    """Carry an event out, unless that was done.

    `carry_out` gets a fencing token; if it raises, the claim ends.
    """
    claim = f"claim {uuid4().hex}"
    if not events.put(event_id, claim, skip_if_exists=True, ttl=claim_s):
        return Delivery.DONE_BEFORE if events.get(event_id, fresh=True) == DONE else Delivery.UNDER_WAY
    entry = events.get_entry(event_id, fresh=True)
    if entry is None or entry.value != claim:
        return Delivery.LOST
    try:
        carry_out(entry.version)
    except BaseException:
        try:
            events.pop(event_id, None, if_version=entry.version)
        except ConflictError:
            pass  # it is another one's claim by now
        raise
    try:
        events.replace(event_id, DONE, if_version=entry.version)
        events.touch(event_id, memory_s)
    except (ConflictError, KeyError):
        return Delivery.LOST
    return Delivery.CARRIED_OUT


def main() -> None:
    events: Dict[str, str] = Dict.from_name("webhooks", create_if_missing=True)
    outcome = deliver(events, sys.argv[1], lambda token: print(f"charging the card, token {token}"))
    print(outcome.value)


if __name__ == "__main__":
    main()
