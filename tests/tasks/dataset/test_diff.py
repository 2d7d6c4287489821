from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import LINE_OUTCOMES, SAMPLES
from storage.tables.parquet import rows_to_table, write_table
from storage.versions.datasets import DatasetVersion
from tasks.dataset.diff import Setting, diff

Line = tuple[str, int]


def sample(identity: str, line: int, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SAMPLES.names, "x")
    row |= dict.fromkeys(("width", "height", "face_px", "offset", "length"), 1)
    row |= dict.fromkeys(("image_digest", "cluster", "crop_digest"), bytes(32)) | {"face_box_xyxy": (0, 0, 1, 1)}
    row |= dict.fromkeys(("landmarks", "score", "agreement", "border", "sharpness", "yaw_deg", "roll_deg"))
    row |= {"identity": identity, "line": line, "split": "train", "source": "made", "method": "mtcnn"}
    row |= dict.fromkeys(("listed_identity", "kept"))
    return row | {"url": f"http://{identity}.example/{line}", **changes}


def version(
    lake: Lake,
    name: str,
    samples: list[dict[str, Any]],
    stopped: dict[Line, tuple[str, str | None]] | None = None,
    **manifest: Any,
) -> DatasetVersion:
    """A version of these samples, and of lines that `stopped` at a stage for a reason; None: it has no outcomes."""
    folder = lake.dataset("faces", name)
    write_table(lake, f"{folder}/index.parquet", rows_to_table(samples, SAMPLES))
    if stopped is not None:
        outcomes = {(row["identity"], row["line"]): ("sample", None) for row in samples} | stopped
        rows = [
            {"identity": identity, "line": line, "url": "http://x.example", "stage": stage, "reason": reason}
            for (identity, line), (stage, reason) in outcomes.items()
        ]
        write_table(lake, f"{folder}/outcomes.parquet", rows_to_table(rows, LINE_OUTCOMES))
    lake.write_json(f"{folder}/manifest.json", {"published_at": name, "source": "made", **manifest})
    return DatasetVersion(lake, "faces", name)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def rows(changes: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in changes.select(["identity", "line", "change", "why"]).to_pylist()]


def test_what_came_and_went_is_told_with_its_outcome_in_the_other_version(lake):
    stopped = {("Bo", 1): ("fetch", "dns"), ("Bo", 2): ("fetch", None), ("Cy", 1): ("select", "blurred")}
    before = version(
        lake, "a", [sample("Ada", 1), sample("Cy", 1), sample("Cy", 2)], {**stopped, ("Cy", 1): ("x", "x")}
    )
    after = version(lake, "b", [sample("Ada", 1), *(sample("Bo", line) for line in (1, 2, 3))], stopped)
    found = diff(before, after)

    assert rows(found.changes) == [
        ("Bo", 1, "came", "fetch: dns"),
        ("Bo", 2, "came", "fetch: pending"),
        ("Bo", 3, "came", "not a line of it"),
        ("Cy", 1, "went", "select: blurred"),
        ("Cy", 2, "went", "not a line of it"),
    ]
    assert found.num_kept == 1
    assert found.changes["url"].to_pylist()[0] == "http://Bo.example/1"


def test_a_face_in_both_is_kept_recropped_or_moved(lake):
    other = b"1" * 32
    before = version(lake, "a", [sample("Ada", line) for line in range(5)], {})
    after = version(
        lake,
        "b",
        [
            sample("Ada", 0),
            sample("Ada", 1, split="test"),
            sample("Ada", 2, crop_digest=other, image_digest=other),
            sample("Ada", 3, crop_digest=other, method="bbox"),
            sample("Ada", 4, crop_digest=other, split="val"),
        ],
        {},
    )
    found = diff(before, after)

    assert found.num_kept == 1
    assert found.counts() == {
        "came": {},
        "went": {},
        "recropped": {"another crop": 1, "another picture": 1, "mtcnn to bbox": 1},
        "moved": {"train to test": 1, "train to val": 1},
    }


def test_the_settings_and_sources_that_changed_are_named(lake):
    one: dict[str, Any] = {
        "method": "mtcnn",
        "select": {"min_face_px": 100, "min_faces": 2},
        "made_from": {"links": "01"},
    }
    other = {**one, "select": {"min_face_px": 150, "min_faces": 2}, "split": {"test_share": 0.1}}
    found = diff(version(lake, "a", [sample("Ada", 1)], **one), version(lake, "b", [sample("Ada", 1)], **other))

    assert found.settings == (Setting("select.min_face_px", 100, 150), Setting("split.test_share", None, 0.1))


def test_what_was_taken_out_of_a_version_for_a_takedown_went_for_that(lake):
    before = version(lake, "a", [sample("Ada", 1)], {})
    redacted = version(lake, "b", [], {("Ada", 1): ("sample", None)})

    assert rows(diff(before, redacted).changes) == [("Ada", 1, "went", "taken_down")]


def test_a_version_with_itself_differs_in_nothing(lake):
    same = version(lake, "a", [sample("Ada", 1)], {})
    found = diff(same, same)

    assert (found.settings, found.num_kept, len(found.changes)) == ((), 1, 0)


def test_a_version_older_than_outcomes_cannot_tell_why_but_what(lake):
    before, after = version(lake, "a", [sample("Ada", 1)]), version(lake, "b", [sample("Bo", 1)], {})

    assert rows(diff(before, after).changes) == [
        ("Bo", 1, "came", "faces@a has no outcomes"),
        ("Ada", 1, "went", "not a line of it"),
    ]


def test_lines_of_two_sources_are_never_the_same_line(lake):
    before = version(lake, "a", [sample("Ada", 1)], {})
    after = version(lake, "b", [sample("Ada", 1, source="other")], {}, source="other")

    assert rows(diff(before, after).changes) == [
        ("Ada", 1, "came", "not a line of it"),
        ("Ada", 1, "went", "not a line of it"),
    ]
