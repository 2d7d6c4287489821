"""Evaluation of published model versions; results are stored with the version in the lake and reused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.configuration.config import config_of
from model.devices.device import resolve_device
from model.embedding.data import load_faces
from model.embedding.embed import embed_raw
from model.verification.evaluation import evaluate_embeddings
from model.verification.lfw import LfwPairs, evaluate_on_pairs
from model.verification.pairs import check_pairs, verification_pairs
from model.verification.thresholds import Thresholds
from model.versions.version import load_backbone
from stats.roc import Scored
from storage.errors import UsageError
from storage.records import SCORES, Split
from storage.tables.parquet import stamp
from storage.text.json_shapes import COUNT, FIGURE, Shape, require
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.evaluations import Evaluation, find_evaluation, write_evaluation
from storage.versions.models import ModelVersion

# The fields required of a stored evaluation.
_REPORT: Shape = {
    **dict.fromkeys(("num_identities", "num_faces", "num_genuine", "num_impostor"), COUNT),
    **dict.fromkeys(("auc", "eer", "accuracy", "rank_1"), FIGURE),
}
# Increase it when the same embeddings give different metrics or pairs.
_FIGURES_VERSION = 2


def evaluate_version(model: ModelVersion, dataset: DatasetVersion, *, device: str) -> Evaluation:
    """Evaluate a version on the test split of a dataset version, unless already stored.

    Raises:
        UsageError: the test split has no pairs.
    """
    made_from = stamp("test split", dataset.state, _FIGURES_VERSION)
    if found := find_evaluation(model, str(dataset), made_from):
        require(found.facts, _REPORT, f"the evaluation of {model} on {dataset}")
        return found
    faces = load_faces(dataset, Split.TEST, image_px(model), cache_folder=model.lake.work_folder / "faces")
    check_pairs(faces.labels, Split.TEST)
    raw = embed_raw(load_backbone(model), faces.images, resolve_device(device))
    report, scored = evaluate_embeddings(raw, faces.labels, version_thresholds(model))
    rows = verification_pairs(faces.labels)
    facts = _facts(model, report.to_json(), faces.identities)
    return write_evaluation(model, str(dataset), made_from, facts, _scores(rows.left, rows.right, scored))


def evaluate_version_on_lfw(
    model: ModelVersion,
    pairs: LfwPairs,
    faces: NDArray[np.uint8],
    *,
    test: str,
    num_without_face: int,
    device: str,
) -> Evaluation:
    """Evaluate a version on the pairs of LFW.

    Args:
        faces: uint8 [photos, px, px, 3], aligned, in the order of `pairs.photos`.
        test: name of the test in the lake; it identifies the pairs and the photos.
        num_without_face: number of photos without a detected face.
    """
    made_from = stamp("lfw", test, num_without_face, _FIGURES_VERSION)
    if found := find_evaluation(model, test, made_from):
        return found
    raw = embed_raw(load_backbone(model), faces, resolve_device(device))
    report, scored = evaluate_on_pairs(raw, pairs, version_thresholds(model), num_without_face=num_without_face)
    facts = _facts(model, report.to_json(), {photo.name for photo in pairs.photos})
    return write_evaluation(model, test, made_from, facts, _scores(pairs.left, pairs.right, scored))


def image_px(model: ModelVersion) -> int:
    """Side of a version's square input."""
    return config_of(model).image_px


def version_thresholds(model: ModelVersion) -> Thresholds | None:
    """Thresholds and calibration of a version; None for an old version without them."""
    if "thresholds.json" not in model.manifest["files"]:
        return None
    return Thresholds.from_json(model.read_json("thresholds.json"))


def scored_pairs_of(evaluation: Evaluation) -> Scored:
    """The pairs of a stored evaluation with their scores."""
    table = evaluation.scores()
    left, right = (table[f"{side}_identity"].to_numpy().astype(np.int64) for side in ("left", "right"))
    return Scored(table["score"].to_numpy(), left, right)


def people_seen(model: ModelVersion, people: Iterable[str]) -> list[str] | None:
    """The `people` used for a version's training or thresholds, by name; None if unknown.

    Names are compared ignoring case, accents and punctuation.
    """
    try:
        dataset = open_dataset(model.lake, model.dataset)
    except UsageError:
        return None
    rows = dataset.index(["identity", "split"]).to_pylist()
    known = {_plain_name(row["identity"]) for row in rows if row["split"] != Split.TEST}
    return sorted(name for name in people if _plain_name(name) in known)


def _facts(model: ModelVersion, figures: dict[str, Any], people: Iterable[str]) -> dict[str, Any]:
    seen = people_seen(model, people)
    # Only the number is stored: takedowns search names in datasets, not here.
    return {
        **figures,
        "evaluated_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "num_people_seen": None if seen is None else len(seen),
    }


def _scores(left: NDArray[np.int64], right: NDArray[np.int64], scored: Scored) -> pa.Table:
    columns = (left, right, scored.left, scored.right, scored.scores)
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, SCORES, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCORES)


def _plain_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall("[a-z0-9]+", letters))
