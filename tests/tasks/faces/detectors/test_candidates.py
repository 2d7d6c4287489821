from __future__ import annotations

import numpy as np
import torch
from facenet_pytorch.models.utils.detect_face import bbreg, nms_numpy, rerec

from tasks.faces.detectors.candidates import (
    Candidates,
    Floats,
    best_of,
    best_of_nested,
    moved,
    overlapped,
    squared,
    windows,
)


def boxes_of(num: int) -> Floats:
    rng = np.random.default_rng(num)
    corners = rng.uniform(1, 300, (num, 2))
    return np.hstack((corners, corners + rng.uniform(20, 200, (num, 2)))).astype(np.float32)


def found_at(*boxes: tuple[float, ...], pictures: tuple[int, ...] = ()) -> Candidates:
    scores = np.linspace(0.9, 0.7, len(boxes), dtype=np.float32)
    return Candidates(np.array(boxes, np.float32), scores, np.array(pictures or [0] * len(boxes)))


def candidates(num: int) -> Candidates:
    scores = (np.random.default_rng(num).permutation(num) / num).astype(np.float32)
    return Candidates(boxes_of(num), scores, np.zeros(num, np.int64))


def test_a_worse_box_goes_where_a_better_one_of_its_group_overlaps_it() -> None:
    found = found_at((1, 1, 101, 101), (1, 1, 100, 100), (300, 300, 400, 400))
    assert best_of(found, found.pictures, 0.5).tolist() == [0, 2]
    assert best_of(found, np.array([0, 1, 1]), 0.5).tolist() == [0, 1, 2]


def test_a_box_is_overlapped_by_one_of_its_own_picture_only() -> None:
    some = found_at((0, 0, 10, 10), (0, 0, 10, 10), (50, 0, 60, 10), pictures=(0, 1, 0))
    others = found_at((0, 0, 10, 6), (53, 0, 63, 10))
    assert overlapped(some, others, 0.5).tolist() == [True, False, True]
    assert overlapped(some, others, 0.55).tolist() == [True, False, False]
    assert overlapped(some, others.pick(np.zeros(2, bool)), 0.5).tolist() == [False] * 3


def test_groups_are_kept_apart_however_many_there_are() -> None:
    found = candidates(40)
    alone = best_of(found, found.pictures, 0.3)
    many = found.joined(found)
    groups = np.array([0] * 40 + [5000] * 40)
    kept = best_of(many, groups, 0.3)
    assert kept[kept < 40].tolist() == alone.tolist()
    assert kept[kept >= 40].tolist() == (alone + 40).tolist()


def test_no_candidates_are_none_after_every_step() -> None:
    none = candidates(0)
    assert best_of(none, none.pictures, 0.5).tolist() == []
    assert best_of_nested(none.boxes, none.scores, 0.7) == []
    assert squared(moved(none.boxes, none.boxes, 1)).shape == (0, 4)


def test_boxes_inside_better_ones_go_as_in_the_shipped_code() -> None:
    found = candidates(60)
    boxes, scores = found.boxes, found.scores
    assert best_of_nested(boxes, scores, 0.4) == nms_numpy(boxes, scores, 0.4, "Min").tolist()


def test_edges_move_and_boxes_are_squared_as_in_the_shipped_code() -> None:
    boxes, shares = boxes_of(30), boxes_of(30) / np.float32(1000)
    theirs = bbreg(torch.from_numpy(boxes.copy()), torch.from_numpy(shares))
    assert np.array_equal(moved(boxes, shares, 1), theirs)
    assert np.array_equal(squared(boxes), rerec(torch.from_numpy(boxes.copy())))


def test_windows_are_whole_pixels_inside_the_picture() -> None:
    found = found_at((-9.5, 3.9, 50.9, 60), (90, 90, 190, 190), (120, 5, 140, 25), (-40, 5, 0.5, 45))
    pixels, there = windows(found.boxes, np.array([[100, 120]] * 4))
    assert there.tolist() == [True, True, False, False]
    assert pixels[:2].tolist() == [[0, 2, 50, 60], [89, 89, 100, 120]]
