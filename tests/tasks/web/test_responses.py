from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.web.responses import retry_after_s, storable

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Sun, 01 Nov 2026 12:02:00 GMT", 120),
        ("Sunday, 01-Nov-26 12:02:00 GMT", 120),
        ("Sun Nov  1 12:02:00 2026", 120),
        ("Sun, 01 Nov 2026 14:02:00 +0200", 120),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 01 Nov 2099 11:00:00 GMT", None),
        ("99999999999", None),
        ("10000000", None),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
        ("²", None),
        ("-1", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d{1,3}:\d\d:\d\d( GMT| [+-]\d{1,5})?"))
def test_any_retry_after_is_seconds_or_nothing(text: str) -> None:
    seconds = retry_after_s(text, NOW)
    assert seconds is None or 0 <= seconds < 10_000_000
    storable(text).encode()
