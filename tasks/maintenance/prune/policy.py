"""The policy of a prune: how many versions are kept, and for how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from storage.errors import UsageError

_DURATION = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_NAMES = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept: what either limit keeps. Without limits everything is.

    Attributes:
        keep_last: so many of the newest of each dataset, model or kind of table.
        keep_within: what is younger, as `parse_duration` takes it; empty for no such limit.
        even_lineage: remove a dataset version although a kept model was trained on it.

    Raises:
        UsageError: a limit is out of range.
    """

    keep_last: int | None = None
    keep_within: str = ""
    even_lineage: bool = False

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise UsageError(f"--keep-last {self.keep_last} must be at least 1: the newest version is always kept")
        if self.keep_within:
            parse_duration(self.keep_within)

    @property
    def is_set(self) -> bool:
        """Whether it has a limit."""
        return self.keep_last is not None or bool(self.keep_within)

    @property
    def age(self) -> timedelta | None:
        """The age up to which everything is kept; None for no such limit."""
        return parse_duration(self.keep_within) if self.keep_within else None

    def why_kept(self, rank: int, age: timedelta | None) -> str | None:
        """Which limit keeps something; None if none does.

        Args:
            rank: 0 for the newest of its kind, 1 for the one before.
            age: None if it is unknown.
        """
        if not self.is_set:
            return "no policy is set"
        if self.keep_last is not None and rank < self.keep_last:
            return f"among the newest {self.keep_last}"
        if self.age is not None and age is None:
            return "its age is unknown"
        if self.age is not None and age is not None and age <= self.age:
            return f"younger than {self.words_of_age}"
        return None

    @property
    def why_removed(self) -> str:
        """Why something goes that no limit keeps."""
        last = f"not among the newest {self.keep_last}" if self.keep_last is not None else ""
        return ", ".join(filter(None, (last, f"older than {self.words_of_age}" if self.keep_within else "")))

    @property
    def words_of_age(self) -> str:
        """The age in words, such as "30 days"."""
        return f"{self.keep_within[:-1]} {_NAMES[self.keep_within[-1]]}" if self.keep_within else ""


def parse_duration(text: str) -> timedelta:
    """A number of hours, days or weeks: 12h, 30d, 4w.

    Raises:
        UsageError: it is none.
    """
    if not (match := _DURATION.fullmatch(text)):
        raise UsageError(f"--keep-within {text} is no duration: write hours, days or weeks as 12h, 30d or 4w")
    return int(match[1]) * _UNITS[match[2]]
