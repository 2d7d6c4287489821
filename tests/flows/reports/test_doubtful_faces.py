"""Faces that a model doubts: the page of `clean`, and what the report on a version shows by their scores."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flows.reports import doubtful_faces as pages
from flows.reports.dataset_report import write_report
from flows.reports.doubtful_faces import write_doubts
from storage.files.lake import Lake
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tasks.label_noise.score_table import Cleaned, Cleaning, clean_stamp, write_cleaned
from tests.flows.reports.judged import CLEANING, faces_of, scores_of
from tests.flows.reports.reader import read_page
from tests.tasks.made_lake import PEOPLE, SOURCE, make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = make_lake(tmp_path_factory.mktemp("lake"))
    compare_pictures(lake, SOURCE)
    return lake


@pytest.fixture(scope="module")
def faces(lake: Lake) -> pa.Table:
    return faces_of(lake)


@pytest.fixture(scope="module")
def cleaned(faces: pa.Table) -> Cleaned:
    return scores_of(faces)


def written(lake: Lake, faces: pa.Table, cleaned: Cleaned, state: str = "a") -> str:
    path = write_doubts(lake, faces, cleaned, CLEANING, source=SOURCE, method="mtcnn", state=state)
    assert path is not None
    assert path.is_relative_to(lake.work_folder)
    return path.read_text(encoding="utf-8")


def test_each_doubtful_face_is_beside_faces_of_its_person_and_of_whom_it_looks_like(lake, faces, cleaned):
    page = read_page(written(lake, faces, cleaned))

    assert f"2 of {len(faces)} faces have a score of at least 0.900" in page.text
    first, second = "Person A, line 3: score 0.990", "Person B, line 9: score 0.950"
    assert page.text.index(first) < page.text.index(second)
    assert f"{first} listed as Person A other faces of Person A Person H, whom it looks like" in page.text
    assert "Person D and Person E: score 0.600" in page.text
    assert page.num_pictures == (1 + 3 + 3) + (1 + 3) + (3 + 3)


def test_the_page_of_many_doubts_is_no_larger(lake, faces, cleaned, monkeypatch):
    monkeypatch.setattr(pages, "_FACES", 1)
    monkeypatch.setattr(pages, "_PAIRS", 0)
    page = read_page(written(lake, faces, cleaned, "b"))

    assert page.num_pictures == 1 + 3 + 3
    assert "2 of" in page.text


def test_a_page_is_written_again_only_for_other_scores(lake, faces, cleaned):
    once = written(lake, faces, cleaned, "c")
    nothing = Cleaned(cleaned.faces, cleaned.people.slice(0, 0))

    assert written(lake, faces, nothing, "c") == once
    assert written(lake, faces, nothing, "d") != once


def test_without_doubts_there_is_no_page(lake, faces, cleaned):
    certain = Cleaned(cleaned.faces, cleaned.people.slice(0, 0))
    doubts = write_doubts(lake, faces, certain, Cleaning("judge@v2", 1.0), source=SOURCE, method="mtcnn", state="a")

    assert doubts is None
    assert not list(lake.work_folder.rglob("*judge-v2*"))


def test_the_report_on_a_cleaned_version_shows_its_doubts_and_people_who_look_alike_and_what_changed(
    lake, faces, cleaned
):
    write_cleaned(lake, lake.cleaned("mtcnn", SOURCE, "judge", "v1"), cleaned, clean_stamp("judge@v1", faces))
    plain = publish_source(lake, Request("all", SOURCE, "mtcnn", SelectRules(min_face_px=40))).dataset
    version = publish_source(lake, Request("all", SOURCE, "mtcnn", cleaning=CLEANING)).dataset
    page = read_page(write_report(version).read_text(encoding="utf-8"))

    assert "Kept, but doubtful Samples" in page.text
    assert "Most likely of somebody else Person C: score 0.50" in page.text
    assert "Person D and Person E: score 0.60 Person D Person E" in page.text
    assert "wrong_person: 2" in page.text
    assert f"Since {plain}, the newest older version." in page.text
    assert f"select: face_too_small {len(PEOPLE)}" in page.text
    assert "select: wrong_person 2" in page.text
    assert "select.min_face_px 40 100" in page.text
    assert "Changes since the version before" not in read_page(write_report(plain).read_text(encoding="utf-8")).text
