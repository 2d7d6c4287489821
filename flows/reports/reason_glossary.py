"""The meanings of the reasons that a page names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from storage.reason_meanings import reason_meanings
from storage.records import Reason
from tasks.dataset.funnel import NOT_PLANNED, PENDING

_UNFINISHED = {
    PENDING: "the link has not been requested yet, or is to be requested again",
    NOT_PLANNED: "the line is not among the people and links that were chosen for this lake",
}


class Explained(NamedTuple):
    """A reason and its meaning in plain text."""

    reason: str
    text: str


def explained(reasons: Iterable[str]) -> list[Explained]:
    """The given reasons with their meanings, in the order of the pipeline; without those of another release."""
    named, texts = set(reasons), _texts()
    return [Explained(word, texts[word]) for word in (*Reason, *_UNFINISHED) if word in named]


def _texts() -> dict[str, str]:
    # The backticks of Markdown mark options and file names, which are recognized without them.
    return {word: one.text.replace("`", "") for word, one in reason_meanings().items()} | _UNFINISHED
