"""Running totals of fetch results, for the bar, the table in Prefect's UI and the JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from flows.telemetry.counters import count_attempt
from storage.records import Attempt, Outcome
from tasks.web.host_queue import HostCounts

_NUM_SHOWN = 3


class Tally:
    """Counts attempts in one thread; readable from any.

    Args:
        hosts: returns the current host counts; zeros if pictures come from a folder.
    """

    def __init__(self, hosts: Callable[[], HostCounts] = lambda: HostCounts(0, 0, 0)) -> None:
        self._hosts = hosts
        self._outcomes: Counter[str] = Counter()
        self._received_bytes = 0

    def add(self, attempt: Attempt) -> None:
        """Count one attempt."""
        self._outcomes[str(attempt.reason or Outcome.ACCEPTED)] += 1
        self._received_bytes += attempt.received_bytes or 0
        count_attempt(attempt)

    @property
    def outcomes(self) -> dict[str, int]:
        """Attempts by outcome, `accepted` or a reason; most frequent first."""
        # Copied in one step: the other thread may add an outcome.
        return dict(sorted(dict(self._outcomes).items(), key=lambda item: -item[1]))

    @property
    def accepted(self) -> int:
        """The number of accepted pictures."""
        return self._outcomes[Outcome.ACCEPTED.value]

    @property
    def rejected(self) -> dict[str, int]:
        """Failed attempts by reason; most frequent first."""
        return {word: num for word, num in self.outcomes.items() if word != Outcome.ACCEPTED}

    def facts(self) -> dict[str, Any]:
        """All counts as JSON values."""
        hosts = self._hosts()._asdict()
        return {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "received_bytes": self._received_bytes,
            "hosts": hosts,
        }

    def note(self) -> str:
        """The main counts in one line."""
        hosts = self._hosts()
        rejected = self.rejected
        words = [f"{self.accepted} accepted"]
        words += [f"{reason} {num}" for reason, num in list(rejected.items())[:_NUM_SHOWN]]
        others = sum(list(rejected.values())[_NUM_SHOWN:])
        words += [f"others {others}"] if others else []
        words += [f"hosts slowed {hosts.slowed}"] if hosts.slowed else []
        words += [f"hosts down {hosts.down}"] if hosts.down else []
        return ", ".join(words)

    def rows(self) -> list[dict[str, Any]]:
        """All counts as rows of a table."""
        hosts = self._hosts()
        rows = [{"what": word, "number": num} for word, num in self.outcomes.items()]
        rows += [{"what": f"hosts {word}", "number": num} for word, num in hosts._asdict().items() if hosts.known]
        return [*rows, {"what": "megabytes received", "number": round(self._received_bytes / 1e6)}]
