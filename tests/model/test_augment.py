import pytest
import torch

from model.augment import augment, normalise, step_generator

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_black_and_white_become_minus_one_and_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(3).reshape(2, 1, 1, 3)
    assert normalise(images).flatten(1).tolist() == [[-1.0] * 3, [1.0] * 3]


def test_a_step_changes_a_batch_the_same_way_again():
    again = [augment(IMAGES, step_generator(3, 9, CPU)) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize(("seed", "step"), [(3, 10), (4, 9)])
def test_another_step_or_seed_changes_it_otherwise(seed, step):
    assert not torch.equal(augment(IMAGES, step_generator(3, 9, CPU)), augment(IMAGES, step_generator(seed, step, CPU)))


def test_shape_and_range_stay():
    out = augment(IMAGES, step_generator(0, 0, CPU))
    assert out.shape == (16, 3, 32, 32)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.min() >= -1
    assert out.max() <= 1


def test_without_strength_a_picture_is_kept_or_mirrored():
    plain, out = normalise(IMAGES), augment(IMAGES, step_generator(0, 0, CPU), strength=0)
    mirrored = plain.flip(3)
    kept = [torch.allclose(o, p, atol=1e-4) for o, p in zip(out, plain, strict=True)]
    flipped = [torch.allclose(o, m, atol=1e-4) for o, m in zip(out, mirrored, strict=True)]
    assert all(k != f for k, f in zip(kept, flipped, strict=True))
    assert 0 < sum(flipped) < 16


def test_a_share_of_the_pictures_has_a_rectangle_erased():
    white = torch.full((400, 32, 32, 3), 255, dtype=torch.uint8)
    holes = (augment(white, step_generator(0, 0, CPU)) == 0).all(1).flatten(1).any(1)
    assert 0.15 < holes.float().mean() < 0.35


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    augment(IMAGES, step_generator(0, 0, CPU))
    assert torch.equal(before, torch.get_rng_state())
