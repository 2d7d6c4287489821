"""The line of a progress bar: what it keeps where there is little room."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from flows.telemetry.progress_line import ProgressLine

NOTE = "45 accepted, gone 7, dns 6, not_an_image 4, others 16, hosts slowed 2"
FETCH = ProgressLine("fetch", 45_120, 2_600_000, 231.44, 11_000, NOTE)
DETECT = ProgressLine("detect and crop", 46, 1200, 2.31, 500)


@pytest.mark.parametrize("line", [FETCH, DETECT], ids=lambda line: line.name)
@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_from_80_columns_on_count_bar_rate_and_time_left_are_all_there(line: ProgressLine, width: int) -> None:
    shown = line.text(width).plain
    assert cell_len(shown) <= width
    assert shown.startswith(line.name)
    assert f"{line.done:,}/{line.total:,}" in shown
    assert "\u2500" * 8 in shown
    assert f"{line.per_s:.1f}/s" in shown
    assert " left" in shown


def test_details_get_what_is_left_of_the_line_and_none_is_cut() -> None:
    assert FETCH.text(80).plain.endswith("  45 accepted, ...")
    assert FETCH.text(120).plain.endswith("  45 accepted, gone 7, dns 6, ...")
    assert FETCH.text(200).plain.endswith(NOTE)


def test_a_narrow_terminal_has_no_bar_and_keeps_the_count() -> None:
    for width in range(20, 60):
        shown = FETCH.text(width).plain
        assert cell_len(shown) <= width
        assert "45,120/2,600,000" in shown
        assert "\u2500" not in shown


def test_before_the_first_step_no_time_is_promised_and_after_the_last_the_time_taken_is_told() -> None:
    assert "left" not in ProgressLine("fetch", 0, 10, 0.0, None).text(80).plain
    ended = ProgressLine("train", 300, 300, 3.2, 0.0, "loss 0.123", took_s=94).text(80).plain
    assert "in 94 s" in ended
    assert ended.endswith("loss 0.123")
    assert "\u2501" * 10 in ended
    assert "in 0 s" not in ProgressLine("fetch", 0, 0, 0.0, None).text(80).plain


def test_a_bar_is_full_only_when_the_work_is_done() -> None:
    assert "\u2501" * 10 not in ProgressLine("fetch", 999, 1000, 5.0, 1.0).text(80).plain
    assert "#" * 10 in ProgressLine("fetch", 1000, 1000, 5.0, 0.0).text(80, plain=True).plain


@pytest.mark.parametrize(("per_s", "text"), [(0.0, "0.0/s"), (0.04, "0.04/s"), (12.34, "12.3/s"), (12_345, "12,345/s")])
def test_a_rate_has_the_digits_that_matter(per_s: float, text: str) -> None:
    assert f" {text} " in ProgressLine("fetch", 1, 10, per_s, 1.0).text(80).plain


def test_text_from_outside_cannot_move_the_cursor() -> None:
    assert "\x1b" not in ProgressLine("a\x1b[2J", 1, 2, 1.0, 1.0, "b\x1b[2J").text(120).plain
