"""Durations as text."""

from __future__ import annotations

import pytest

from storage.text.durations import hours_text, seconds_text


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "1 min"), (0.5, "30 min"), (1, "1.0 hours"), (1234.5, "1,234.5 hours")]
)
def test_a_duration_in_hours_is_at_least_a_minute(hours: float, text: str) -> None:
    assert hours_text(hours) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h"), (1e6, "278 h")],
)
def test_a_duration_in_seconds_is_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
    assert len(text) <= 7
