from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import UsageError
from storage.lake import Lake
from storage.records import REJECTED_LINES, VERDICTS, Reason
from storage.tables import rows_to_table, write_table
from tasks import catalog
from tasks.catalog import malformed_lines, planned_lines, read_faces, read_plan, read_verdicts
from tasks.dedupe import DedupeRules
from tasks.plan import plan
from tests.tasks.builders import BOX, OTHER_BOX, attempt, attempts, face, faces
from tests.tasks.image_shards import SOURCE, link_lines

A, B, C, D = (f"http://{name}.example/1" for name in "abcd")
LINES = link_lines(
    ("Ada", 1, A, BOX), ("Ada", 2, B, BOX), ("Ada", 3, C, BOX), ("Bo", 1, A, OTHER_BOX), ("Bo", 2, D, BOX)
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Ada's lines are planned; A and B were fetched and are copies of each other, C was gone."""
    lake = Lake(tmp_path)
    write_table(lake, lake.links(SOURCE, "lines.parquet"), LINES)
    write_table(lake, lake.plan(SOURCE), plan(LINES, ["Ada"]))
    fetch(lake, "0000-0", attempt(A, picture="p"), attempt(B, picture="p"), attempt(C, Reason.DNS))
    return lake


def fetch(lake: Lake, stem: str, *rows: dict) -> None:
    write_table(lake, f"{lake.images(SOURCE, stem)}.parquet", attempts(*rows))


def names(table: pa.Table) -> list[str]:
    return [f"{row['identity']}/{row['line']}" for row in table.select(["identity", "line"]).to_pylist()]


def test_without_a_plan_the_error_says_what_makes_one(tmp_path):
    with pytest.raises(UsageError, match=r"no plan for made yet: run `facemill ingest --source made`"):
        read_plan(Lake(tmp_path), "made")


def test_planned_are_also_lines_beyond_the_selection_that_share_a_url_with_it(lake):
    assert len(read_plan(lake, SOURCE)) == 3
    assert names(planned_lines(lake, SOURCE)) == ["Ada/1", "Ada/2", "Ada/3", "Bo/1"]


def test_lines_that_were_malformed_are_counted_by_reason(lake):
    reasons = [Reason.BAD_URL, Reason.MALFORMED_LINE, Reason.BAD_URL]
    rows = [{"identity": "Ada", "line": at, "text": "?", "reason": reason} for at, reason in enumerate(reasons)]
    write_table(lake, lake.links(SOURCE, "rejected.parquet"), rows_to_table(rows, REJECTED_LINES))

    assert malformed_lines(lake, SOURCE) == {"bad_url": 2, "malformed_line": 1}


def verdict_by_line(lake: Lake, rules: DedupeRules = DedupeRules()) -> dict[str, str | None]:
    table = read_verdicts(lake, SOURCE, planned_lines(lake, SOURCE), rules)
    assert table.schema == VERDICTS
    return dict(zip(names(table), table["reason"].to_pylist(), strict=True))


def test_verdicts_are_given_on_planned_lines_with_a_picture(lake):
    found = verdict_by_line(lake)

    assert set(found) == {"Ada/1", "Ada/2", "Bo/1"}
    assert sorted(found.values(), key=str) == [None, None, "exact_duplicate"]
    assert found["Bo/1"] is None


def test_the_same_pictures_are_compared_once(lake, monkeypatch):
    first = verdict_by_line(lake)
    monkeypatch.setattr(catalog, "dedupe", pytest.fail)

    assert verdict_by_line(lake) == first
    assert len(lake.names(lake.unique(SOURCE))) == 1


def test_pictures_are_compared_anew_when_more_of_them_come_or_the_rules_change(lake):
    before = verdict_by_line(lake)
    fetch(lake, "0000-1", attempt(C, round=2))

    assert set(verdict_by_line(lake)) == {*before, "Ada/3"}
    assert len(lake.names(lake.unique(SOURCE))) == 2
    verdict_by_line(lake, DedupeRules(near_distance=0))
    assert len(lake.names(lake.unique(SOURCE))) == 3


def test_pictures_are_compared_anew_when_the_boxes_listed_change(lake):
    verdict_by_line(lake)
    rows = [{**row, "box_xyxy": BOX} for row in LINES.to_pylist()]
    write_table(lake, lake.links(SOURCE, "lines.parquet"), rows_to_table(rows, LINES.schema))

    assert verdict_by_line(lake)["Bo/1"] == "conflict"


def test_before_the_first_picture_there_are_no_verdicts(tmp_path):
    assert read_verdicts(Lake(tmp_path), SOURCE, LINES).equals(VERDICTS.empty_table())


def test_faces_come_with_the_shard_that_holds_each(lake):
    fetch(lake, "0000-1", attempt(C, round=2))
    for stem, row in (("0000-0", face("Ada", 1, A)), ("0000-1", face("Ada", 3, C))):
        write_table(lake, f"{lake.faces('bbox', SOURCE, stem)}.parquet", faces(row))
    found = read_faces(lake, SOURCE, "bbox")

    assert dict(zip(names(found), found["stem"].to_pylist(), strict=True)) == {"Ada/1": "0000-0", "Ada/3": "0000-1"}


def test_pictures_not_cropped_yet_give_no_faces(lake):
    assert len(read_faces(lake, SOURCE, "bbox")) == 0
    assert "stem" in read_faces(lake, SOURCE, "bbox").column_names
