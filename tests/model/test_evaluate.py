import json

import numpy as np
import pytest
import torch

from model.backbones import MobileFaceNet
from model.data import load_faces
from model.evaluate import evaluate, report, triplet_figures
from model.pairs import frozen_triplets

LABELS = np.repeat(np.arange(10), 5)


def embeddings(noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, 16))[LABELS]
    return ((centres + noise * rng.normal(size=(50, 16))) * 3).astype(np.float32)


def test_better_embeddings_get_better_figures():
    good, bad = (report(embeddings(noise), LABELS, embeddings(noise, 1), LABELS) for noise in (0.3, 2.0))
    assert good.auc > bad.auc
    assert good.eer < bad.eer
    assert good.accuracy > bad.accuracy
    assert good.rank_1 > bad.rank_1
    assert good.triplet.accuracy > bad.triplet.accuracy
    assert good.auc_interval[0] <= good.auc <= good.auc_interval[1]


def test_the_threshold_comes_from_val_or_else_from_folds():
    none = np.zeros((0, 16), np.float32)
    assert report(embeddings(1.0), LABELS, embeddings(1.0, 1), LABELS).threshold_from == "val"
    assert report(embeddings(1.0), LABELS, none, LABELS[:0]).threshold_from == "folds"
    assert report(embeddings(1.0), LABELS, embeddings(1.0, 1)[:5], LABELS[:5]).threshold_from == "folds"


def test_small_test_sets_claim_no_tar_at_tiny_fars():
    assert report(embeddings(1.0), LABELS, embeddings(1.0, 1), LABELS).tar_at_far == {
        "0.01": None,
        "0.001": None,
        "0.0001": None,
    }


def test_triplet_losses_agree_with_a_slow_loop_for_unit_and_raw_embeddings():
    raw = embeddings(1.0)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    figures = triplet_figures(raw, LABELS, seed=5)
    for rows, losses in ((unit, figures.unit), (raw, figures.raw)):
        for margin in (1.0, 2.0):
            costs = [
                max(0.0, ((rows[a] - rows[p]) ** 2).sum() - ((rows[a] - rows[n]) ** 2).sum() + margin)
                for a, p, n in frozen_triplets(LABELS, seed=5)[:2000]
            ]
            assert losses[f"{margin:g}"] == pytest.approx(np.mean(costs), rel=0.1)


def test_a_report_is_plain_json(drawn):
    test, val = load_faces(drawn, "test", 32), load_faces(drawn, "val", 32)
    made = evaluate(MobileFaceNet(32, 0.25, 32), test, val, device=torch.device("cpu"))
    assert json.loads(json.dumps(made.to_json(), allow_nan=False))["num_genuine"] == 8 * 15
    assert made.num_impostor == 48 * 47 // 2 - 8 * 15
