from __future__ import annotations

import pickle
import re
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import (
    ATTEMPTS,
    CANDIDATES,
    DETECTIONS,
    FACES,
    LINK_LINES,
    Attempt,
    Candidate,
    Face,
    Fit,
    ImageFacts,
    LinkLine,
    Outcome,
    Reason,
    Retry,
    bytes_digest,
    url_key,
)
from storage.tables.parquet import read_table, rows_to_table, write_table

URL = "http://a.example/1.jpg"
BOX = (1.5, 2.25, 30.0, 40.75)
POINTS = tuple(float(number) for number in range(10))
THEN = datetime(2026, 11, 1, 12, 30, 0, 125_000, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def through_parquet(lake: Lake, rows: list[dict], schema: pa.Schema) -> list[dict]:
    write_table(lake, "table.parquet", rows_to_table(rows, schema))
    found = read_table(lake, "table.parquet")
    assert found.schema == schema
    return [
        {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in found.to_pylist()
    ]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_whether_it_is_worth_another_try(reason):
    assert reason.retry in Retry
    assert Reason(reason.value) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason  # noqa: S301
    assert str(reason) == reason.value == reason.name.lower()


def test_no_two_reasons_share_a_word():
    assert len(Reason.__members__) == len(list(Reason)) == len({reason.value for reason in Reason})


def test_every_reason_is_given_somewhere():
    tasks = Path(__file__).parents[2] / "tasks"
    code = "\n".join(path.read_text() for path in tasks.rglob("*.py"))

    assert [reason for reason in Reason if not re.search(rf"Reason\.{reason.name}\b", code)] == []


def test_the_columns_of_a_table_are_the_fields_of_its_record():
    image = [field.name for field in fields(ImageFacts)]
    attempt = [name for field in fields(Attempt) for name in (image if field.name == "image" else [field.name])]

    assert list(LinkLine._fields) == LINK_LINES.names
    assert list(Candidate._fields) == CANDIDATES.names
    assert attempt == ATTEMPTS.names
    assert [field.name for field in fields(Face)] == FACES.names


def test_link_lines_and_candidates_come_back_from_parquet_as_they_went(lake):
    lines = [
        LinkLine("Ada_Aal", 1, URL, url_key(URL), BOX, 2.5, 0.75, True),
        LinkLine("Bo_Berg", 2, "Bo_Berg/1.jpg", url_key("Bo_Berg/1.jpg"), None, None, None, None),
    ]
    candidates = [Candidate(url_key(URL), URL, 104)]

    assert [LinkLine(**row) for row in through_parquet(lake, [one._asdict() for one in lines], LINK_LINES)] == lines
    assert [Candidate(**row) for row in through_parquet(lake, [one._asdict() for one in candidates], CANDIDATES)] == (
        candidates
    )


def test_faces_come_back_from_parquet_as_they_went(lake):
    key, digest = url_key(URL), bytes_digest(b"picture")
    whole = Face(
        "Ada_Aal", 1, key, digest, Outcome.ACCEPTED, None, 1, 0.5, Fit.RESCALED, 0.75, 28.5,
        0.25, 312.5, -30.0, 4.5, BOX, BOX, POINTS, 640, 480, digest, 64, 64, 512, 2**40,
    )  # fmt: skip
    rejected = Face("Ada_Aal", 2, key, digest, Outcome.REJECTED, Reason.NO_FACE, 0)

    assert [Face(**row) for row in through_parquet(lake, [asdict(whole), asdict(rejected)], FACES)] == [whole, rejected]


def test_attempts_come_back_from_parquet_as_they_went(lake):
    key, image = url_key(URL), ImageFacts(bytes_digest(b"picture"), 2**33, "jpeg", 640, 480, bytes(range(16)))
    whole = Attempt(key, URL, Outcome.ACCEPTED, None, "", 200, 2, 1, None, URL, THEN, 0.5, image, "0000-0", 512, 2**33)
    failed = Attempt(key, URL, Outcome.REJECTED, Reason.DNS, "no such host", None, 1, 1, THEN, URL, THEN, 0.25)
    flat = [{**asdict(one), **(asdict(one.image) if one.image else {})} for one in (whole, failed)]
    back = through_parquet(lake, flat, ATTEMPTS)

    assert back == [{name: row.get(name) for name in ATTEMPTS.names} for row in flat]


def test_detections_hold_any_number_of_faces(lake):
    rows: list[dict[str, Any]] = [
        {"boxes": [BOX, BOX], "scores": [1.0, 0.5], "landmarks": [POINTS, POINTS], "reason": None},
        {"boxes": [], "scores": [], "landmarks": [], "reason": Reason.BROKEN_IMAGE},
    ]
    same = {"key": url_key(URL), "digest": bytes(32), "width": 1, "height": 1}
    found = through_parquet(lake, [{**row, **same} for row in rows], DETECTIONS)

    assert [tuple(box) for box in found[0]["boxes"]] == [BOX, BOX]
    assert [tuple(points) for points in found[0]["landmarks"]] == [POINTS, POINTS]
    assert found[1]["boxes"] == ()


def test_the_key_of_a_url_is_that_of_its_very_letters():
    urls = ["http://a.example/%41", "http://a.example/A", "http://A.example/A", "http://a.example/A?", "a/\udcff.jpg"]

    assert len({url_key(url) for url in urls}) == len(urls)
    assert {len(url_key(url)) for url in urls} == {16}
