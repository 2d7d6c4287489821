from __future__ import annotations

import numpy as np
import pytest

from tasks.label_noise.estimate import CleanRules, FaceSet, estimate_noise, expected_limit
from tests.tasks.crowds import changed, crowd, listed_as

STRAY = {3: 7, 40: 2, 41: 2, 100: 0}


def test_faces_under_another_name_are_found_and_no_others():
    wrong = estimate_noise(listed_as(crowd(), STRAY)).wrong
    assert set(np.flatnonzero(wrong > 0.5)) == set(STRAY)
    assert wrong[list(STRAY)].min() > 0.9


def test_a_face_under_another_name_says_whom_it_looks_like():
    faces = crowd()
    looks_like = estimate_noise(listed_as(faces, STRAY)).looks_like
    assert (looks_like == faces.people).mean() > 0.99
    assert looks_like[list(STRAY)].tolist() == faces.people[list(STRAY)].tolist()


def test_somebody_unknown_is_found():
    everybody = crowd(people=24)
    stranger = everybody.embeddings[20 * 12]
    faces = changed(crowd(people=20), "embeddings", 5, stranger)
    assert np.flatnonzero(estimate_noise(faces).wrong > 0.5).tolist() == [5]


def test_the_larger_part_of_a_person_stays():
    faces = listed_as(crowd(each=12), dict.fromkeys(range(12, 17), 0))  # 12 of one and 5 of another
    assert np.flatnonzero(estimate_noise(faces).wrong > 0.5).tolist() == list(range(12, 17))


def test_copies_of_a_wrong_picture_do_not_vouch_for_each_other():
    faces, copies = crowd(each=10), list(range(100, 110))
    faces = changed(listed_as(faces, dict.fromkeys(copies, 0)), "embeddings", copies, faces.embeddings[100])
    assert estimate_noise(faces).wrong[copies].max() < 0.5, "as so many pictures they would"
    copied = estimate_noise(changed(faces, "pictures", copies, 100)).wrong
    assert copied[copies].min() > 0.9
    assert copied[:10].max() < 0.5


def test_of_two_faces_in_one_picture_one_is_wrong():
    faces = crowd(noise=0.5)
    # Both fit, one of them better: without the rule both would stay.
    both = changed(changed(faces, "pictures", 1, 0), "places", 1, 1)
    assert estimate_noise(faces).wrong[:2].max() < 0.1
    assert estimate_noise(both).wrong[:2].max() >= 0.4
    assert estimate_noise(both).wrong[:2].sum() >= 0.99


def test_the_same_face_twice_in_copies_of_one_picture_is_not_held_against_it():
    faces = crowd(noise=0.5)
    faces = changed(changed(faces, "pictures", 1, 0), "embeddings", 1, faces.embeddings[0])
    assert estimate_noise(faces).wrong[:2].max() < 0.1


def test_a_face_that_may_not_speak_is_judged_and_changes_nothing_for_others():
    faces = crowd()
    odd = changed(listed_as(faces, STRAY), "is_example", list(STRAY), False)
    found = estimate_noise(odd)
    assert found.wrong[list(STRAY)].min() > 0.9
    moved = estimate_noise(changed(odd, "embeddings", list(STRAY), -faces.embeddings[list(STRAY)]))
    quiet = np.setdiff1d(np.arange(len(faces.people)), list(STRAY))
    assert np.allclose(found.wrong[quiet], moved.wrong[quiet], atol=0.02)


def test_a_person_with_one_face_keeps_it():
    faces = listed_as(crowd(people=10), dict.fromkeys([5], 10))
    lonely = estimate_noise(faces).wrong[5]
    assert lonely < 0.5 or estimate_noise(faces).looks_like[5] == 0


def test_two_names_of_one_person_are_found_and_no_others():
    faces = crowd(people=10, each=16)
    halves = listed_as(faces, dict.fromkeys(range(8), 10))  # person 0 and person 10
    same = estimate_noise(halves).same
    assert same[0, 10] == same[10, 0] > 0.9
    same[0, 10] = same[10, 0] = 0
    assert same.max() < 0.1


def test_names_that_are_one_person_do_not_lose_their_faces_as_wrong():
    halves = listed_as(crowd(people=10, each=16), dict.fromkeys(range(8), 10))
    assert estimate_noise(halves).wrong.max() < 0.5


def test_scores_are_probabilities_that_hold_what_they_say():
    faces = crowd(people=60, each=15, noise=1.4, seed=3)
    rng = np.random.default_rng(0)
    stray = rng.choice(900, 45, replace=False)
    moved = {int(row): int((faces.people[row] + rng.integers(1, 60)) % 60) for row in stray}
    wrong = estimate_noise(listed_as(faces, moved)).wrong
    is_stray = np.isin(np.arange(900), stray)
    assert wrong.sum() == pytest.approx(45, rel=0.4)
    assert wrong[is_stray].mean() > 10 * wrong[~is_stray].mean()


def test_caution_finds_more_among_many_wrong_faces_and_scores_say_how_many_there_are():
    rng, faces = np.random.default_rng(9), crowd(people=40, noise=1.4, seed=1)
    stray = np.flatnonzero(rng.random(480) < 0.1)
    moved = {int(row): int((faces.people[row] + rng.integers(1, 40)) % 40) for row in stray}
    bold, cautious = (estimate_noise(listed_as(faces, moved), CleanRules(caution=one)).wrong for one in (1, 3))
    found, found_with = ((wrong[stray] >= expected_limit(wrong, 0.02)).mean() for wrong in (bold, cautious))
    assert found_with > found + 0.05
    assert cautious.sum() == pytest.approx(len(stray), rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_faces_changes_nothing(seed):
    faces = listed_as(crowd(people=8), {3: 7})
    order = np.random.default_rng(seed).permutation(len(faces.people))
    turned = FaceSet(
        faces.embeddings[order],
        faces.people[order],
        faces.pictures[order],
        faces.places[order],
        faces.is_example[order],
    )
    assert np.allclose(estimate_noise(faces).wrong[order], estimate_noise(turned).wrong, atol=0.02)


@pytest.mark.parametrize(("people", "each"), [(1, 1), (1, 8), (2, 1), (2, 2), (5, 1)])
def test_hardly_any_faces_are_judged_without_failing(people, each):
    found = estimate_noise(crowd(people=people, each=each))
    assert ((found.wrong >= 0) & (found.wrong <= 1)).all()
    assert found.same.shape == (people, people)


def test_who_expects_more_wrong_faces_doubts_more():
    faces = listed_as(crowd(noise=1.4), STRAY)
    few, many = (estimate_noise(faces, CleanRules(wrong_share=share)).wrong for share in (0.01, 0.2))
    assert (many >= few - 1e-6).all()


@pytest.mark.parametrize(("lost", "limit"), [(0.0, 1.0), (0.08, 0.7), (0.2, 0.5), (1.0, 0.1)])
def test_the_limit_is_the_lowest_that_costs_no_more_right_faces_than_are_expected(lost, limit):
    # Of ten faces 4.2 are right, by their scores; from 0.7 on 0.3 of them, from 0.5 on 0.8.
    wrong = np.array([1.0, 1.0, 1.0, 1.0, 0.7, 0.5, 0.2, 0.2, 0.1, 0.1])
    assert expected_limit(wrong, lost) == limit


def test_a_model_that_sees_nothing_throws_out_nobody_much():
    blind = changed(crowd(), "embeddings", slice(None), crowd(people=240, each=1).embeddings)
    wrong = estimate_noise(blind).wrong
    assert (wrong >= expected_limit(wrong, 0.02)).mean() < 0.05
