from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import ChangedMeanwhile, UsageError
from storage.files.lake import Lake
from storage.records import REJECTED_LINES, VERDICTS, Reason, Takedown, TakedownKind, identity_key
from storage.tables.parquet import rows_to_table, write_table
from storage.versions.takedowns import record
from tasks.dataset import find_duplicates as compare
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.find_duplicates import compare_pictures, read_verdicts, verdicts_now
from tasks.dataset.source_tables import (
    lines_left_out,
    planned_lines,
    read_faces,
    read_plan,
    source_digests,
    stored_faces,
)
from tasks.links.lines_in_lake import lines_in
from tasks.links.plan import plan
from tests.tasks.builders import BOX, NOW, OTHER_BOX, attempt, attempts, face, faces
from tests.tasks.image_shards import link_lines

SOURCE = "vggface1"
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
    with pytest.raises(UsageError, match="holds no links yet: run `facemill ingest` first"):
        read_plan(Lake(tmp_path), SOURCE)


def test_planned_are_also_lines_beyond_the_selection_that_share_a_url_with_it(lake):
    assert len(read_plan(lake, SOURCE)) == 3
    assert names(planned_lines(lake, SOURCE)) == ["Ada/1", "Ada/2", "Ada/3", "Bo/1"]


def test_lines_that_were_not_planned_are_counted_by_reason(lake):
    reasons = [Reason.BAD_URL, Reason.MALFORMED_LINE, Reason.BAD_URL]
    rows = [{"identity": "Ada", "line": at, "text": "?", "reason": reason} for at, reason in enumerate(reasons)]
    write_table(lake, lake.links(SOURCE, "rejected.parquet"), rows_to_table(rows, REJECTED_LINES))

    assert lines_left_out(lake, SOURCE, len(LINES)) == {"bad_url": 2, "malformed_line": 1}
    assert lines_left_out(lake, SOURCE, len(planned_lines(lake, SOURCE))) == {
        "bad_url": 2,
        "malformed_line": 1,
        "not_planned": 1,
    }


def verdict_by_line(lake: Lake, rules: DedupeRules = DedupeRules()) -> dict[str, str | None]:
    compare_pictures(lake, SOURCE, rules)
    table = read_verdicts(lake, SOURCE, rules)
    assert table.schema == VERDICTS
    return dict(zip(names(table), table["reason"].to_pylist(), strict=True))


def test_verdicts_are_given_on_planned_lines_with_a_picture(lake):
    found = verdict_by_line(lake)

    assert set(found) == {"Ada/1", "Ada/2", "Bo/1"}
    assert sorted(found.values(), key=str) == [None, None, "exact_duplicate"]
    assert found["Bo/1"] is None


def test_the_same_pictures_are_compared_once(lake, monkeypatch):
    first = verdict_by_line(lake)
    monkeypatch.setattr(compare, "dedupe", pytest.fail)

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


def test_reading_verdicts_compares_nothing_and_writes_nothing(lake, monkeypatch):
    monkeypatch.setattr(compare, "dedupe", pytest.fail)
    before = sorted(Path(lake.root).rglob("*"))
    with pytest.raises(UsageError, match="have not been compared since they changed: run `facemill publish"):
        read_verdicts(lake, SOURCE)
    assert sorted(Path(lake.root).rglob("*")) == before


def test_verdicts_for_the_moment_are_those_that_are_kept_and_are_not_written(lake):
    now = verdicts_now(lake, SOURCE)
    assert lake.names(lake.unique(SOURCE)) == []
    assert compare_pictures(lake, SOURCE)
    assert not compare_pictures(lake, SOURCE)
    assert read_verdicts(lake, SOURCE).equals(now)
    assert verdicts_now(lake, SOURCE).equals(now)


def test_faces_come_with_the_shard_that_holds_each(lake):
    fetch(lake, "0000-1", attempt(C, round=2))
    for stem, row in (("0000-0", face("Ada", 1, A)), ("0000-1", face("Ada", 3, C))):
        write_table(lake, f"{lake.faces('bbox', SOURCE, stem)}.parquet", faces(row))
    found = read_faces(lake, SOURCE, "bbox")

    assert dict(zip(names(found), found["shard"].to_pylist(), strict=True)) == {
        "Ada/1": f"faces/bbox/{SOURCE}/0000-0.tar",
        "Ada/3": f"faces/bbox/{SOURCE}/0000-1.tar",
    }
    assert set(found["method"].to_pylist()) == {"bbox"}


def test_faces_on_which_the_methods_agree_are_those_of_mtcnn(lake):
    for method, row in (("bbox", face("Ada", 1, A)), ("mtcnn", face("Ada", 1, A, crop_digest=bytes(32)))):
        write_table(lake, f"{lake.faces(method, SOURCE, '0000-0')}.parquet", faces(row))
    found = read_faces(lake, SOURCE, "agree")

    assert found.schema.names == read_faces(lake, SOURCE, "mtcnn").schema.names
    assert (found["method"].to_pylist(), found["crop_digest"].to_pylist()) == (["mtcnn"], [bytes(32)])


def test_faces_cropped_by_an_older_facemill_lack_the_newest_columns_and_are_read(lake):
    path = f"{lake.faces('bbox', SOURCE, '0000-0')}.parquet"
    write_table(lake, path, faces(face("Ada", 1, A)).drop_columns(["length"]))

    assert read_faces(lake, SOURCE, "bbox")["length"].to_pylist() == [None]


def test_few_columns_of_the_faces_of_two_sources_are_read_when_a_takedown_is_of_one_of_them(lake):
    write_table(lake, f"{lake.images('other', '0000-0')}.parquet", attempts(attempt(A), attempt(B)))
    for source in (SOURCE, "other"):
        path = f"{lake.faces('bbox', source, '0000-0')}.parquet"
        write_table(lake, path, faces(face("Ada", 1, A), face("Bo", 2, D)))
    record(lake, [Takedown(TakedownKind.IDENTITY, identity_key("Ada"), SOURCE, NOW, "")])
    found = read_faces(lake, f"other+{SOURCE}", "bbox", ["identity", "line"])

    assert found.column_names == ["identity", "line", "method", "shard", "source"]
    assert list(zip(found["source"].to_pylist(), names(found), strict=True)) == [
        ("other", "Ada/1"),
        ("other", "Bo/2"),
        (SOURCE, "Bo/2"),
    ]


def test_what_a_dataset_is_made_from_is_told_by_digests_that_follow_the_lake(lake):
    lake.write_json(lake.links(SOURCE, "origin.json"), {"digest": "0123"})
    path = f"{lake.faces('bbox', SOURCE, '0000-0')}.parquet"
    write_table(lake, path, faces(face("Ada", 1, A)), stamp="one")
    before = source_digests(lake, SOURCE)
    write_table(lake, path, faces(face("Ada", 1, A)), stamp="two")
    recropped = source_digests(lake, SOURCE)
    fetch(lake, "0000-1", attempt(C, round=2))
    fetched = source_digests(lake, SOURCE)

    assert (before["links"], set(before)) == ("0123", {"links", "images", "detections", "faces"})
    assert recropped == {**before, "faces": recropped["faces"]} != before
    assert fetched["images"] != before["images"]


def test_pictures_not_cropped_yet_give_no_faces(lake):
    assert len(read_faces(lake, SOURCE, "bbox")) == 0
    assert {"method", "shard"} <= set(read_faces(lake, SOURCE, "bbox").column_names)


def write_faces(lake: Lake, stem: str, *urls: str) -> None:
    rows = faces(*[face("Ada", number, url) for number, url in enumerate(urls)])
    write_table(lake, f"{lake.faces('bbox', SOURCE, stem)}.parquet", rows)


@pytest.mark.parametrize("change", ["fewer", "more", "gone"])
@pytest.mark.parametrize("stem", ["0000-0", "0000-1"])
def test_faces_that_are_read_twice_are_the_same_or_it_is_an_error(lake: Lake, stem: str, change: str) -> None:
    fetch(lake, "0000-1", attempt(C, round=2))
    write_faces(lake, "0000-0", A, B)
    write_faces(lake, "0000-1", C, D)
    stored = stored_faces(lake, SOURCE, "bbox")
    assert stored.table(["line"]).equals(stored.table(["line"]))
    if change == "gone":
        lake.remove(f"{lake.faces('bbox', SOURCE, stem)}.parquet")
    else:
        write_faces(lake, stem, *{"fewer": [A], "more": [A, B, C]}[change])
    with pytest.raises(ChangedMeanwhile, match=r"faces/bbox/vggface1: faces were replaced by another run"):
        stored.table(["line"])


@pytest.mark.parametrize("most_bytes", [0, 10**6])
def test_lines_whose_columns_are_read_one_after_another_are_of_one_list_or_it_is_an_error(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr("tasks.links.lines_in_lake._SMALL_BYTES", most_bytes)
    path = lake.links(SOURCE, "lines.parquet")
    write_table(lake, path, LINES, stamp="before")
    listed = lines_in(lake, SOURCE)
    assert listed.table(["key"])["key"].equals(LINES["key"])
    write_table(lake, path, LINES.take(list(reversed(range(len(LINES))))), stamp="after")
    with pytest.raises(ChangedMeanwhile, match=r"lines.parquet: link lines were replaced by another run"):
        listed.table(["url"])
