"""Counts of faces: kept or not, they are those of the faces."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, url_key
from storage.tables.counts import total, totals
from storage.versions.takedowns import record
from tasks.dataset.face_counts import face_counts
from tasks.dataset.source_tables import read_faces
from tasks.fetch.ledger import accepted
from tests.opened import opened_files, tables_opened
from tests.tasks.builders import NOW
from tests.tasks.made_lake import PEOPLE, SOURCE, STEM, make_lake, url_of


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path / "lake")


def assert_as_counted_now(lake: Lake) -> None:
    for method in ("bbox", "mtcnn"):
        counts, faces = face_counts(lake, SOURCE, method).now(), read_faces(lake, SOURCE, method)
        assert total(counts) == len(faces)
        assert total(accepted(counts)) == len(accepted(faces))
        assert totals(counts, "reason") == Counter(faces["reason"].drop_null().to_pylist())


def forget(lake: Lake) -> None:
    record(lake, [Takedown(TakedownKind.URL, url_key(url_of(PEOPLE[0], 3)), None, NOW, "")])


CHANGES = {
    "nothing": lambda lake: None,
    "a takedown": forget,
    "lost faces": lambda lake: lake.remove(f"{lake.faces('mtcnn', SOURCE, STEM)}.parquet"),
    "lost images": lambda lake: lake.remove(f"{lake.images(SOURCE, STEM)}.parquet"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_counts_are_those_of_the_faces_after(lake: Lake, change: str) -> None:
    face_counts(lake, SOURCE, "mtcnn").keep()
    CHANGES[change](lake)
    assert (face_counts(lake, SOURCE, "mtcnn").kept() is None) == (change != "nothing")
    assert_as_counted_now(lake)


def test_kept_counts_are_read_without_the_faces(lake: Lake) -> None:
    face_counts(lake, SOURCE, "mtcnn").keep()
    with opened_files() as opened:
        assert total(face_counts(lake, SOURCE, "mtcnn").now())
    assert tables_opened(opened) == []
