"""Listed boxes against the truth of the replay world: kept where they frame a face, refused where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.boxes import Case, other_pictures, other_size, read_cases, scores

REPLAY = Path(__file__).parents[4].parent / "shared" / "data" / "replay"

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not REPLAY.is_dir(), reason="the replay world of real photos is not beside the repository"),
]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Every second line: searching all 1,400 pictures takes most of a minute, and `python -m bench.boxes` does that."""
    return read_cases(REPLAY, every=2)


def test_boxes_that_frame_a_face_are_kept_and_no_others(cases: list[Case]) -> None:
    assert len(cases) > 500
    for name, (precision, recall) in scores(cases).items():
        assert precision >= 0.97, name
        assert recall >= 0.97, name


def test_a_picture_served_at_another_size_keeps_most_of_its_boxes(cases: list[Case]) -> None:
    for scale in (0.5, 2.0):
        found = other_size(cases, scale)
        assert found["rescaled"] / found.total() > 0.9


def test_a_box_of_another_picture_seldom_fits_by_chance(cases: list[Case]) -> None:
    found = other_pictures(cases, 2000)
    assert (found["as_listed"] + found["rescaled"]) / found.total() < 0.2
