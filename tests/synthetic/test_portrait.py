from dataclasses import FrozenInstanceError, asdict, astuple

import numpy as np
import pytest

from storage.records import Box
from synthetic.identity import sample_identity
from synthetic.portrait import draw


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def dhash(image) -> np.ndarray:
    small = np.asarray(image.convert("L").resize((9, 8)), int)
    return (small[:, 1:] > small[:, :-1]).ravel()


def iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_the_same_seed_draws_the_same_picture():
    one, other = (draw(sample_identity(rng(1)), rng(2)) for _ in range(2))
    assert one.image.tobytes() == other.image.tobytes()
    assert one.box_xyxy == other.box_xyxy


def test_a_person_looks_the_same_for_the_same_seed_and_cannot_be_changed():
    who = sample_identity(rng(5))
    assert who == sample_identity(rng(5)) != sample_identity(rng(6))
    with pytest.raises(FrozenInstanceError):
        who.hair_style = "bald"  # type: ignore[misc]  # frozen, as tested


def test_two_people_differ_in_nearly_every_shape():
    shapes = [[v for v in astuple(sample_identity(rng(n))) if isinstance(v, float)] for n in range(30)]
    assert all(sum(a != b for a, b in zip(shapes[0], other, strict=True)) >= 15 for other in shapes[1:])


def test_traits_hold_plain_values_only():
    kinds = {type(value) for value in asdict(sample_identity(rng(7))).values()}
    assert kinds <= {float, str, tuple, type(None)}


def test_pictures_of_one_person_share_no_perceptual_hash():
    hashes = [dhash(draw(sample_identity(rng(1)), rng(3, n)).image) for n in range(25)]
    distances = [int((a != b).sum()) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 6


def test_the_box_is_a_square_of_110_to_260_px_inside_the_picture():
    for n in range(20):
        portrait = draw(sample_identity(rng(n)), rng(4, n))
        left, top, right, bottom = portrait.box_xyxy
        assert right - left == pytest.approx(bottom - top)
        assert 110 <= right - left <= 260
        assert left >= 0 <= top and right <= portrait.image.width and bottom <= portrait.image.height


def test_some_pictures_show_a_bystander_beside_the_person():
    portraits = [draw(sample_identity(rng(n)), rng(9, n)) for n in range(40)]
    accompanied = [portrait for portrait in portraits if portrait.bystanders]
    assert 2 <= len(accompanied) <= 18
    for portrait in accompanied:
        assert iou(portrait.box_xyxy, portrait.bystanders[0]) == 0
        assert portrait.bystanders[0][0] >= 0 and portrait.bystanders[0][2] <= portrait.image.width


def test_a_companion_is_about_as_large_as_the_person():
    one, two = sample_identity(rng(1)), sample_identity(rng(2))
    portrait = draw(one, rng(3), companion=two)
    (other,) = portrait.bystanders
    assert (other[2] - other[0]) / (portrait.box_xyxy[2] - portrait.box_xyxy[0]) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_mtcnn_finds_the_face_where_the_box_says():
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    mtcnn = MTCNN(min_face_size=40, keep_all=True, device="cpu")
    found = []
    for n in range(60):
        portrait = draw(sample_identity(rng(11, n)), rng(12, n))
        if portrait.bystanders:
            continue
        boxes, scores = mtcnn.detect(portrait.image)
        sure = [] if boxes is None else [box for box, score in zip(boxes, scores, strict=True) if score >= 0.9]
        found.append(max((iou(tuple(box), portrait.box_xyxy) for box in sure), default=0.0) >= 0.4)
    assert len(found) >= 40
    assert np.mean(found) >= 0.95
