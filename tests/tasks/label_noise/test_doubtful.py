from __future__ import annotations

import pyarrow as pa
import pytest

from storage.records import FACE_VERDICTS, SAME_PEOPLE
from storage.tables.parquet import rows_to_table
from storage.versions.datasets import DatasetVersion
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.label_noise.doubtful import doubtful_samples
from tasks.label_noise.score_table import Cleaned, Cleaning
from tests.tasks.made_lake import PEOPLE, SOURCE, make_lake

LIMITS = Cleaning("embedder@1", 0.5)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    """Lines 3, 7, 8 and 9 of each person."""
    return publish_source(make_lake(tmp_path_factory.mktemp("lake")), Request("faces-mtcnn", SOURCE, "mtcnn")).dataset


def scores(*wrong: tuple[str, int, float], people: pa.Table = SAME_PEOPLE.empty_table()) -> Cleaned:
    rows = [
        {"identity": person, "line": line, "crop_digest": bytes(32), "wrong_person_score": score, "is_confirmed": True}
        for person, line, score in wrong
    ]
    return Cleaned(rows_to_table(rows, FACE_VERDICTS), people)


def test_samples_at_or_above_the_limit_are_counted_and_faces_that_are_no_samples_are_not(
    version: DatasetVersion,
) -> None:
    found = scores((PEOPLE[0], 3, 0.5), (PEOPLE[1], 9, 0.9), (PEOPLE[1], 3, 0.4), (PEOPLE[0], 6, 0.9))
    assert doubtful_samples(version, found, LIMITS) == {"wrong_person": 2}
    assert doubtful_samples(version, scores((PEOPLE[0], 3, 0.4)), LIMITS) == {}


def test_a_sample_counts_once_also_if_its_person_is_another_by_two_names(version: DatasetVersion) -> None:
    pair = {"identity": PEOPLE[0], "other": PEOPLE[1], "same_person_score": 1.0}
    rows = [(PEOPLE[1], line, 0.9 if line == 9 else 0.1) for line in (3, 4, 7, 8, 9)]
    found = scores(*rows, people=rows_to_table([pair], SAME_PEOPLE))
    assert doubtful_samples(version, found, LIMITS) == {"same_person": 3, "wrong_person": 1}
