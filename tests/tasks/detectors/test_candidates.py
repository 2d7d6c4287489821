from __future__ import annotations

import numpy as np
import torch
from facenet_pytorch.models.utils.detect_face import bbreg, nms_numpy, rerec

from tasks.detectors.candidates import Candidates, best_of, best_of_nested, moved, squared, windows


def boxes_of(num: int) -> torch.Tensor:
    rng = np.random.default_rng(num)
    corners = rng.uniform(1, 300, (num, 2))
    return torch.from_numpy(np.hstack((corners, corners + rng.uniform(20, 200, (num, 2))))).float()


def candidates(num: int) -> Candidates:
    scores = torch.from_numpy(np.random.default_rng(num).permutation(num) / num).float()
    return Candidates(boxes_of(num), scores, torch.zeros(num, dtype=torch.int64))


def test_a_worse_box_goes_where_a_better_one_of_its_group_overlaps_it() -> None:
    boxes = torch.tensor([[1.0, 1, 100, 100], [1, 1, 101, 101], [300, 300, 400, 400]])
    found = Candidates(boxes, torch.tensor([0.8, 0.9, 0.7]), torch.zeros(3, dtype=torch.int64))
    assert best_of(found, found.pictures, 0.5).tolist() == [1, 2]
    assert best_of(found, torch.tensor([0, 1, 1]), 0.5).tolist() == [1, 0, 2]


def test_groups_are_kept_apart_however_many_there_are() -> None:
    found = candidates(40)
    alone = best_of(found, found.pictures, 0.3)
    many = Candidates(*(torch.cat([part] * 2) for part in (found.boxes, found.scores, found.pictures)))
    groups = torch.tensor([0] * 40 + [5000] * 40)
    kept = best_of(many, groups, 0.3)
    assert kept[kept < 40].tolist() == alone.tolist()
    assert kept[kept >= 40].tolist() == (alone + 40).tolist()


def test_no_candidates_are_none_after_every_step() -> None:
    none = candidates(0)
    assert best_of(none, none.pictures, 0.5).tolist() == []
    assert best_of_nested(none.boxes.numpy(), none.scores.numpy(), 0.7) == []
    assert squared(moved(none.boxes, torch.zeros(0, 4), 1)).shape == (0, 4)


def test_boxes_inside_better_ones_go_as_in_the_shipped_code() -> None:
    found = candidates(60)
    boxes, scores = found.boxes.numpy(), found.scores.numpy()
    assert best_of_nested(boxes, scores, 0.4) == nms_numpy(boxes, scores, 0.4, "Min").tolist()


def test_edges_move_and_boxes_are_squared_as_in_the_shipped_code() -> None:
    boxes, shares = boxes_of(30), boxes_of(30) / 1000
    assert torch.equal(moved(boxes, shares, 1), bbreg(boxes.clone(), shares))
    assert torch.equal(squared(boxes), rerec(boxes.clone()))


def test_windows_are_whole_pixels_inside_the_picture() -> None:
    boxes = torch.tensor([[-9.5, 3.9, 50.9, 60.0], [90.0, 90, 190, 190], [120.0, 5, 140, 25], [-40.0, 5, 0.5, 45]])
    pixels, there = windows(boxes, torch.tensor([[100, 120]] * 4))
    assert there.tolist() == [True, True, False, False]
    assert pixels[:2].tolist() == [[0, 2, 50, 60], [89, 89, 100, 120]]
