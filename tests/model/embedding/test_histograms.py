import numpy as np
import pytest

from model.embedding.data import load_faces
from model.embedding.histograms import IMAGE_PX, _in_cells, _uniform_patterns, describe, fit_projection
from storage.files.lake import Lake
from tests.model.conftest import write_dataset


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twenty-four drawn people to fit to, six others to judge by."""
    lake = Lake(tmp_path_factory.mktemp("people") / "lake")
    dataset = write_dataset(lake, "people", {"train": 24, "test": 6}, faces_each=5)
    return [load_faces(dataset, split, IMAGE_PX) for split in ("train", "test")]


@pytest.fixture(scope="module")
def projection(people):
    return fit_projection(people[0].images, people[0].labels)


def test_words_are_counted_in_the_cell_they_stand_in():
    rng = np.random.default_rng(0)
    words, weights = rng.integers(0, 5, (3, 9, 10)), rng.random((3, 9, 10)).astype(np.float32)
    found = _in_cells(words, 5, 4, weights)
    assert found.shape == (3, 2, 2, 5)
    for face, row, column, word in np.ndindex(found.shape):
        cell = np.s_[face, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
        assert found[face, row, column, word] == pytest.approx(weights[cell][words[cell] == word].sum(), rel=1e-5)


def test_there_are_58_patterns_that_change_at_most_twice_and_one_for_the_rest():
    numbers = _uniform_patterns()
    assert np.bincount(numbers).tolist() == [1] * 58 + [198]
    assert numbers[0b00111000] != numbers[0b01010000] == 58


def test_histograms_hang_little_on_the_light_and_much_on_what_is_drawn(people):
    faces = people[1].images[::5]
    plain, darker = describe(faces), describe((faces * 0.8).astype(np.uint8))
    own = np.linalg.norm(plain - darker, axis=1)
    others = np.linalg.norm(plain[:, None] - plain[None], axis=2)[np.triu_indices(len(plain), 1)]
    assert own.max() < others.min()


def test_unseen_people_are_told_apart_by_what_other_people_differ_in(people, projection):
    test = people[1]
    one, other = np.triu_indices(len(test), 1)
    is_genuine = test.labels[one] == test.labels[other]

    def apart(rows: np.ndarray) -> float:
        """By how many of their deviations impostor pairs are less alike than genuine ones."""
        likeness = (rows[one] * rows[other]).sum(1)
        impostor = likeness[~is_genuine]
        return float((likeness[is_genuine].mean() - impostor.mean()) / impostor.std())

    shuffled = np.random.default_rng(0).permutation(people[0].labels)
    chance = fit_projection(people[0].images, shuffled)
    assert apart(projection.embed(test.images)) > apart(chance.embed(test.images)) + 1


def test_embeddings_are_unit_rows_the_same_for_a_face_and_its_mirror_image(people, projection):
    faces = people[1].images
    rows = projection.embed(faces)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows, projection.embed(faces[:, :, ::-1]), atol=1e-4)
    assert np.allclose(rows[3:4], projection.embed(faces[3:4]), atol=1e-4)


def test_a_handful_of_faces_gives_a_finite_projection_and_always_the_same(people):
    one, again = (fit_projection(people[0].images[:12], people[0].labels[:12]) for _ in range(2))
    rows = one.embed(people[1].images)
    assert np.isfinite(rows).all()
    assert np.allclose(again.embed(people[1].images), rows, atol=1e-4)
