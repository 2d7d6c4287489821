"""What a pipeline's training and cleaning leave in a lake, drawn: a model version without weights, and scores."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from bench.drawn_lake import METHODS, SOURCE
from flows.configuration.training_config import training_config
from model.configuration.config import model_version_id
from storage.files.lake import Lake
from storage.records import FACE_VERDICTS, SAME_PEOPLE
from storage.versions.datasets import find_dataset
from storage.versions.models import ModelVersion, write_model
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.find_duplicates import read_verdicts
from tasks.dataset.people import PeopleRules, people_in
from tasks.dataset.source_tables import planned_lines, read_faces
from tasks.label_noise.score_table import Cleaned, clean_stamp, faces_to_score, write_cleaned

_MODEL = "embedder"
_FIGURES = {"untrained": {"auc": 0.6}, "trained": {"auc": 0.9}}
# About as many doubtful faces as a trained model finds in VGGFace1.
_DOUBTED = 0.02


def draw_training(lake: Lake) -> None:
    """Draw the model of the newest `faces-mtcnn`, with the pipeline's settings, and its scores of all faces."""
    dataset = find_dataset(lake, f"faces-{METHODS[-1]}")
    _, config = training_config(_MODEL, preset="auto", steps=None)
    version = model_version_id(dataset, config)
    files: dict[str, Any] = {"metrics.json": _FIGURES, "history.json": {"intervals": []}, "lineage.json": {}}
    contents = {name: json.dumps(value).encode() for name, value in files.items()} | {"card.md": b"# A drawn model\n"}
    manifest = {"dataset": str(dataset), "config": config.recipe(), "trained_at": "2026-01-01T00:00:00.000+00:00"}
    model = write_model(lake, _MODEL, version, contents, manifest | {"auc": 0.9})
    for method in METHODS:
        _draw_scores(lake, method, model)


def _draw_scores(lake: Lake, method: str, model: ModelVersion) -> None:
    rng = np.random.default_rng(0)
    people = people_in(planned_lines(lake, SOURCE, ["identity", "key"]), PeopleRules())
    verdicts = read_verdicts(lake, SOURCE, DedupeRules(), PeopleRules())
    faces = faces_to_score(people.added_to(read_faces(lake, SOURCE, method)), verdicts)
    columns = {name: faces[name] for name in ("identity", "line", "crop_digest")}
    doubted = rng.random(len(faces)) < _DOUBTED
    columns["wrong_person_score"] = pa.array(np.where(doubted, 0.99, rng.beta(1, 60, len(faces))), pa.float32())
    columns["is_confirmed"] = pa.array(np.ones(len(faces), np.bool_))
    for name in set(FACE_VERDICTS.names) - set(columns):
        columns[name] = pa.nulls(len(faces), FACE_VERDICTS.field(name).type)
    scores = Cleaned(pa.table(columns).select(FACE_VERDICTS.names).cast(FACE_VERDICTS), SAME_PEOPLE.empty_table())
    write_cleaned(lake, lake.cleaned(method, SOURCE, model.name, model.version), scores, clean_stamp(str(model), faces))
