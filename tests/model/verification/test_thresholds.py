import json

import numpy as np

from model.verification.thresholds import Thresholds, choose_thresholds


def chosen() -> Thresholds:
    rng = np.random.default_rng(0)
    same = np.arange(5000) < 1000
    return choose_thresholds((rng.normal(size=5000) / 5 + 0.5 * same).astype(np.float32), same, chosen_on="val")


def test_thresholds_come_back_from_json_as_they_were():
    assert Thresholds.from_json(json.loads(json.dumps(chosen().to_json(), allow_nan=False))) == chosen()


def test_a_stricter_far_asks_for_a_higher_cosine_and_none_is_given_for_what_4000_impostors_cannot_tell():
    found = chosen()
    assert (found.far["0.01"] or 0) > found.accuracy
    assert found.far["0.001"] is None
    assert (found.num_genuine, found.num_impostor) == (1000, 4000)
