"""One leader among many candidates, and another one within the ttl when it dies.

The leader extends its lock three times in each ttl. It steps down by itself when it cannot, by its own
clock and before the ttl is over: it counts from before it asked. What the leader changes elsewhere should
still check `token`, as job_runner.py does: no clock helps a process that does not run.

    python examples/leader_election.py alice          # and bob, in another terminal
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ringdict import Dict
from ringdict.exception import LockLostError, LockTimeoutError, OutcomeUnknownError, UnavailableError

RENEWALS_PER_TTL = 3
"""Two may fail before the lead is lost."""


class Candidate:
    """One who would lead."""

    def __init__(self, elections: Dict[str, object], office: str, *, ttl_s: float = 10.0) -> None:
        self._lock = elections.lock(office, ttl=ttl_s, wait_s=ttl_s / RENEWALS_PER_TTL)
        self._ttl_s = ttl_s
        self._ends_s = 0.0

    @property
    def token(self) -> int | None:
        """Grows with each new leader; None: this is none."""
        return self._lock.token if self.leads() else None

    def leads(self) -> bool:
        """Whether it leads, as far as its own clock can tell."""
        return self._lock.token is not None and time.monotonic() < self._ends_s

    def campaign(self) -> bool:
        """Wait for the lead, for a part of the ttl; whether it has it now."""
        if self._lock.token is not None:
            self.resign()  # it has led, and not heard in time that it still does
        asked_s = time.monotonic()
        try:
            self._lock.acquire()
        except LockTimeoutError:
            return False
        self._ends_s = asked_s + self._ttl_s  # it was granted later than it was asked for
        return self.leads()

    def renew(self) -> bool:
        """Go on leading for another ttl; whether it still leads."""
        asked_s = time.monotonic()
        try:
            self._lock.extend()
        except LockLostError:
            self._ends_s = 0.0
        except (UnavailableError, OutcomeUnknownError):
            pass  # until the ttl is over it leads: the next renewal may come through
        else:
            self._ends_s = asked_s + self._ttl_s
        return self.leads()

    def resign(self) -> None:
        """Let another one lead, at once."""
        self._ends_s = 0.0
        try:
            self._lock.release()
        except LockLostError:
            pass


def lead(candidate: Candidate, work: Callable[[int], bool], *, ttl_s: float) -> None:
    """Campaign, and while it leads call `work` with the token, until that says False."""
    while True:
        while not candidate.campaign():
            pass
        renew_at_s = 0.0
        while candidate.leads():
            if time.monotonic() >= renew_at_s:
                if not candidate.renew():
                    break
                renew_at_s = time.monotonic() + ttl_s / RENEWALS_PER_TTL
            token = candidate.token
            if token is not None and not work(token):
                candidate.resign()
                return


def main() -> None:
    name = sys.argv[1]
    elections: Dict[str, object] = Dict.from_name("elections", create_if_missing=True)
    candidate = Candidate(elections, "office", ttl_s=3.0)

    def work(token: int) -> bool:
        print(f"{name} leads, token {token}", flush=True)
        time.sleep(0.5)
        return True

    lead(candidate, work, ttl_s=3.0)


if __name__ == "__main__":
    main()
