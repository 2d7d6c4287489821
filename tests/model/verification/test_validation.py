"""The validation curve of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.embedding.data import Faces, load_faces
from model.verification.validation import is_due, validation_auc, watched_faces
from model.versions.version import load_backbone
from tests.model.conftest import write_dataset


def faces(*labels: int) -> Faces:
    num = len(labels)
    images = np.zeros((num, 32, 32, 3), np.uint8)
    return Faces(images, np.array(labels, np.int64), tuple("abc"), tuple(f"{at}" for at in range(num)))


def test_the_last_point_is_the_auc_of_the_published_weights(trained, drawn):
    history = trained.read_json("history.json")["intervals"]
    points = [(row["step"], row["val_auc"]) for row in history if row["val_auc"] is not None]
    assert [step for step, _ in points] == [5, 10, 15, 20]
    val = load_faces(drawn, "val", 32)
    assert points[-1][1] == pytest.approx(validation_auc(load_backbone(trained), val, torch.device("cpu")), abs=1e-6)


def test_a_point_is_due_at_every_fifth_report_and_at_the_last():
    assert [number for number in range(1, 13) if is_due(number, is_last=number == 12)] == [5, 10, 12]


def test_only_faces_that_form_pairs_of_both_kinds_are_watched():
    assert [watched_faces(faces(*labels)) for labels in ((), (0,), (0, 0), (0, 1))] == [None] * 4
    assert watched_faces(faces(0, 0, 1)) is not None
    many = faces(*[at // 2 for at in range(300)])
    found = watched_faces(many)
    assert found is not None
    assert len(found) == len(found.images) == len(found.samples) == 128


def test_without_val_people_there_is_no_curve(lake, tiny, tmp_path):
    from model.training.training_loop import train

    dataset = write_dataset(lake, "few", {"train": 8, "test": 3}, faces_each=4)
    model = train(lake, dataset, replace(tiny(), steps=2), work_folder=tmp_path / "work")
    assert [row["val_auc"] for row in model.read_json("history.json")["intervals"]] == [None, None]
