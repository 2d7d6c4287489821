from __future__ import annotations

import numpy as np
import pytest

from tasks.label_noise.plda import PeopleModel, fit_people, sums_by
from tests.tasks.crowds import crowd

FREE = PeopleModel(np.zeros(3), np.eye(3), 1.0, 2.0)


def joint(points: np.ndarray, spread: float) -> float:
    """Log density of points [n] of one person on a line, whose centre has variance `spread`, by the full covariance."""
    num = len(points)
    covariance = np.eye(num) + spread * np.ones((num, num))
    _, size = np.linalg.slogdet(covariance)
    return float(-(points @ np.linalg.solve(covariance, points) + size + num * np.log(2 * np.pi)) / 2)


def test_oneness_is_the_ratio_of_the_two_densities():
    faces = np.random.default_rng(0).normal(size=(5, 3))
    together = sum(joint(faces[:, axis], FREE.spread) for axis in range(3))
    by_themselves = sum(joint(faces[:, axis], 0.0) for axis in range(3))
    assert FREE.same_person_llr(faces.sum(0), np.array(5.0)) == pytest.approx(together - by_themselves)


def test_likeness_is_what_joining_adds_to_both():
    rng = np.random.default_rng(1)
    faces, theirs = rng.normal(size=(4, 3)), rng.normal(size=(2, 6, 3))
    match_llr = FREE.match_llr(faces, theirs.sum(1), np.array([6.0, 6.0]))
    for row, face in enumerate(faces):
        for person, others in enumerate(theirs):
            joined = FREE.same_person_llr(others.sum(0) + face, np.array(7.0))
            apart = FREE.same_person_llr(others.sum(0), np.array(6.0)) + FREE.same_person_llr(face, np.array(1.0))
            assert match_llr[row, person] == pytest.approx(joined - apart)


def test_a_face_is_likest_to_its_own_person():
    faces = crowd(people=12, each=10)
    model = fit_people(faces.embeddings, faces.people, np.ones(120))
    placed = model.place(faces.embeddings)
    sums = sums_by(faces.people, placed, 12)
    assert (model.match_llr(placed, sums, np.full(12, 10.0)).argmax(1) == faces.people).mean() > 0.99


def test_more_pictures_of_a_person_say_more():
    centre = np.array([2.0, 0, 0])
    face = np.array([[2.0, 0, 0]])
    few, many = (FREE.match_llr(face, (centre * num)[None], np.array([num]))[0, 0] for num in (1.0, 20.0))
    assert many > few > 0


@pytest.mark.parametrize("each", [1, 2])
def test_few_faces_give_a_model_that_is_finite(each):
    faces = crowd(people=3, each=each)
    model = fit_people(faces.embeddings, faces.people, np.ones(3 * each))
    assert np.isfinite(model.place(faces.embeddings)).all()
    assert np.isfinite(model.spread)
