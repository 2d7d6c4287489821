import json

import numpy as np
import pytest
import torch

from model.backbones import MobileFaceNet
from model.embedding.data import load_faces
from model.verification.evaluation import evaluate, evaluate_embeddings, thresholds_of, triplet_figures
from model.verification.pairs import frozen_triplets
from stats.bootstrap import identity_weights

LABELS = np.repeat(np.arange(10), 5)


def embeddings(noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, 16))[LABELS]
    return ((centres + noise * rng.normal(size=(50, 16))) * 3).astype(np.float32)


def report(noise: float, val_noise: float | None = 1.0):
    raw = embeddings(noise)
    val = (embeddings(val_noise, 1), LABELS) if val_noise is not None else (raw[:5], LABELS[:5])
    return evaluate_embeddings(raw, LABELS, thresholds_of(*val, raw, LABELS))[0]


def test_better_embeddings_get_better_figures():
    good, bad = report(0.3, 0.3), report(2.0, 2.0)
    assert good.auc > bad.auc
    assert good.eer < bad.eer
    assert good.accuracy > bad.accuracy
    assert good.rank_1 > bad.rank_1
    assert good.triplet.accuracy > bad.triplet.accuracy
    assert good.calibration.brier < bad.calibration.brier


def test_every_headline_figure_lies_in_its_interval():
    found = report(2.0)
    for figure in ("auc", "eer", "accuracy", "rank_1"):
        low, high = getattr(found, f"{figure}_interval")
        assert low < getattr(found, figure) < high, figure


def test_the_threshold_comes_from_val_or_else_from_folds():
    assert report(1.0).threshold_from == "val"
    without_val = report(1.0, None)
    assert without_val.threshold_from == "folds"
    assert without_val.calibration is None
    assert without_val.operating_points == []


def test_thresholds_of_val_are_tried_on_test():
    raw = embeddings(1.0)
    thresholds = thresholds_of(embeddings(1.0, 1), LABELS, raw, LABELS)
    (point,) = evaluate_embeddings(raw, LABELS, thresholds)[0].operating_points
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    left, right = np.triu_indices(50, 1)
    accepted, same = (unit[left] * unit[right]).sum(1) >= point.threshold, LABELS[left] == LABELS[right]
    assert (point.chosen_for, point.threshold) == ("accuracy", thresholds.accuracy)
    assert (point.far, point.tar) == pytest.approx((accepted[~same].mean(), accepted[same].mean()))
    assert point.tar_interval[0] <= point.tar <= point.tar_interval[1]


def test_small_test_sets_claim_no_tar_at_tiny_fars():
    assert report(1.0).tar_at_far == {"0.01": None, "0.001": None, "0.0001": None}
    assert report(1.0).tar_at_far_interval == {"0.01": None, "0.001": None, "0.0001": None}


def test_the_lines_of_the_plots_hold_the_figures():
    found = report(1.0)
    line = found.roc
    assert np.trapezoid(line.tar, line.far) == pytest.approx(found.auc, abs=0.01)
    assert all(low <= tar <= high for low, tar, high in zip(line.tar_low, line.tar, line.tar_high, strict=True))
    assert sum(found.distances.genuine) == pytest.approx(1, abs=1e-3)
    assert sum(found.distances.impostor) == pytest.approx(1, abs=1e-3)


def test_triplet_losses_agree_with_a_slow_loop_for_unit_and_raw_embeddings():
    raw = embeddings(1.0)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    figures = triplet_figures(raw, LABELS, identity_weights(int(LABELS.max()) + 1))
    for rows, losses in ((unit, figures.unit), (raw, figures.raw)):
        for margin in (1.0, 2.0):
            far = [[((one - other) ** 2).sum() for other in rows] for one in rows]
            costs = [max(0.0, far[a][p] - far[a][n] + margin) for a, p, n in frozen_triplets(LABELS)]
            assert losses[f"{margin:g}"] == pytest.approx(np.mean(costs), rel=1e-5)


def test_a_report_is_plain_json(drawn):
    test, val = load_faces(drawn, "test", 32), load_faces(drawn, "val", 32)
    made, thresholds = evaluate(MobileFaceNet(32, 0.25, 32), test, val, device=torch.device("cpu"))
    assert json.loads(json.dumps(made.to_json(), allow_nan=False))["num_genuine"] == 8 * 15
    assert made.num_impostor == 48 * 47 // 2 - 8 * 15
    assert thresholds.chosen_on == "val"
    assert thresholds.num_genuine == 4 * 15
