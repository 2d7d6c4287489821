"""Items on lines of limited width: none is ever broken."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from flows.telemetry.fitting import fitted, wrapped

ITEMS = ["gone 214", "dns 84", "not_an_image 54", "server_error 36"]


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (100, "gone 214, dns 84, not_an_image 54, server_error 36"),
        (50, "gone 214, dns 84, not_an_image 54, server_error 36"),
        (49, "gone 214, dns 84, not_an_image 54, ..."),
        (21, "gone 214, dns 84, ..."),
        (20, "gone 214, ..."),
        (8, ""),
    ],
)
def test_what_does_not_fit_is_left_out_whole_and_told(room: int, text: str) -> None:
    assert fitted(ITEMS, room) == text
    assert cell_len(fitted(ITEMS, room)) <= room


@pytest.mark.parametrize("width", range(24, 90))
def test_wrapped_lines_hold_every_item_whole_and_are_no_wider_than_asked(width: int) -> None:
    lines = wrapped(ITEMS, width, first="why  ", rest="     ")
    assert all(len(line) <= width for line in lines)
    assert " ".join(line.removeprefix("why").strip() for line in lines) == ", ".join(ITEMS)
    assert lines[0].startswith("why  gone 214")


def test_an_item_longer_than_a_line_has_a_line_of_its_own() -> None:
    assert wrapped(["a", "b" * 30, "c"], 10) == ["a,", "b" * 30 + ",", "c"]
    assert wrapped([], 10) == []


def test_a_wide_letter_counts_as_the_two_columns_it_takes() -> None:
    assert fitted(["東京都", "大阪"], 8) == ""
    assert fitted(["東京都", "大阪"], 12) == "東京都, 大阪"
    assert wrapped(["東京都", "大阪"], 9) == ["東京都,", "大阪"]
