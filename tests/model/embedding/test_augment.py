import pytest
import torch

from model.embedding.augment import augment, draw_augmentation, normalise, step_generator

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def changed(images: torch.Tensor, seed: int = 0, step: int = 0, strength: float = 1.0) -> torch.Tensor:
    return augment(images, draw_augmentation(len(images), step_generator(seed, step, CPU), strength))


def test_black_and_white_become_minus_one_and_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(3).reshape(2, 1, 1, 3)
    assert normalise(images).flatten(1).tolist() == [[-1.0] * 3, [1.0] * 3]


def test_a_step_changes_a_batch_the_same_way_again():
    again = [changed(IMAGES, 3, 9) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize(("seed", "step"), [(3, 10), (4, 9)])
def test_another_step_or_seed_changes_it_otherwise(seed, step):
    assert not torch.equal(changed(IMAGES, 3, 9), changed(IMAGES, seed, step))


def test_shape_and_range_stay():
    out = changed(IMAGES)
    assert out.shape == (16, 3, 32, 32)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.min() >= -1
    assert out.max() <= 1


def test_without_strength_a_picture_is_kept_or_mirrored():
    plain, out = normalise(IMAGES), changed(IMAGES, strength=0)
    mirrored = plain.flip(3)
    kept = [torch.allclose(o, p, atol=1e-4) for o, p in zip(out, plain, strict=True)]
    flipped = [torch.allclose(o, m, atol=1e-4) for o, m in zip(out, mirrored, strict=True)]
    assert all(k != f for k, f in zip(kept, flipped, strict=True))
    assert 0 < sum(flipped) < 16


def test_a_share_of_the_pictures_has_a_rectangle_erased():
    white = torch.full((400, 32, 32, 3), 255, dtype=torch.uint8)
    holes = (changed(white) == 0).all(1).flatten(1).any(1)
    assert 0.15 < holes.float().mean() < 0.35


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    changed(IMAGES)
    assert torch.equal(before, torch.get_rng_state())


def test_a_part_of_a_batch_is_changed_as_within_the_whole():
    changes = draw_augmentation(16, step_generator(0, 0, CPU))
    part = slice(4, 12)
    assert torch.allclose(augment(IMAGES[part], changes.of(part)), augment(IMAGES, changes)[part], atol=1e-4)


def test_what_comes_in_from_beyond_the_border_is_black_in_half_of_the_pictures():
    white = torch.full((400, 32, 32, 3), 255, dtype=torch.uint8)
    is_framed = (changed(white) == -1).all(1).flatten(1).any(1)
    assert 0.4 < is_framed.float().mean() < 0.6
    assert (changed(white, strength=0) != -1).all()
