"""The funnel of a run on a screen of 24 lines, and its reasons in words."""

from __future__ import annotations

from typing import Any

import pytest

from flows.telemetry.reason_words import reason_words
from flows.telemetry.run_summary import summary_lines
from storage.records import Reason
from tasks.dataset.funnel import NOT_PLANNED, PENDING

FAILED = {"gone": 214, "dns": 84, "not_an_image": 54, "forbidden": 48, "server_error": 36, "cut_short": 14}


def published(method: str, crop: dict[str, int], *, is_new: bool = True, note: str = "") -> dict[str, Any]:
    """The result of publishing one dataset: 1,200 lines, of which 239 are left after dedupe."""
    cropped = 239 - sum(crop.values())
    stages = [
        ("links", 1200, 1200, {}),
        ("fetch", 1200, 750, FAILED),
        ("dedupe", 750, 239, {"exact_duplicate": 511}),
        ("crop", 239, cropped, crop),
        ("select", cropped, cropped, {}),
    ]
    keys = ("stage", "num_in", "num_out", "rejected")
    funnel = {"method": method, "stages": [dict(zip(keys, stage, strict=True)) for stage in stages]}
    counts = {"samples": cropped, "identities": 40, "is_new": is_new, "note": note, "funnels": {}}
    return {"dataset": f"faces-{method}", "version": "f" * 16, "funnel": funnel, **counts}


BOTH = [published("bbox", {"box_out_of_image": 6}), published("mtcnn", {"several_people": 39}, is_new=False)]


@pytest.mark.parametrize("width", [80, 120])
def test_two_datasets_fit_half_a_screen_and_no_line_is_too_wide(width: int) -> None:
    lines = summary_lines(BOTH, width)
    assert len(lines) <= 12
    assert all(len(line.replace("[bold]", "").replace("[/]", "")) <= width for line in lines)


def test_each_stage_has_what_is_left_by_dataset_and_the_top_reasons_in_words() -> None:
    text = "\n".join(summary_lines(BOTH, 80)).replace("[bold]", "").replace("[/]", "")
    assert (
        text
        == """\
after     bbox  mtcnn  top reasons
links    1,200  1,200
fetch      750    750  not found 214, unknown host 84, not a picture 54, ...
dedupe     239    239  same picture twice 511
crop       233    200  bbox: box out of image 6
                       mtcnn: several people 39
select     233    200
dataset  faces-bbox@ffffffffffffffff: 233 faces of 40 people
dataset  faces-mtcnn@ffffffffffffffff (existing): 200 faces of 40 people"""
    )


def test_the_note_of_a_dataset_that_stayed_as_it_was_is_told() -> None:
    assert summary_lines([published("mtcnn", {}, note="no new version: 0 added")], 80)[-1].endswith(
        "people; no new version: 0 added"
    )
    assert summary_lines([], 80) == []


def test_every_reason_has_short_words_of_its_own() -> None:
    words = [reason_words(reason) for reason in (*Reason, PENDING, NOT_PLANNED)]
    assert len(set(words)) == len(words)
    assert max(map(len, words)) <= 24
    assert not any("_" in one for one in words)
    assert reason_words("of_a_newer_version") == "of a newer version"
