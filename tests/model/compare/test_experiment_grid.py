"""Methods by margins: what the models of a grid are compared on, and by what."""

import dataclasses

import numpy as np
import pytest

from model.compare.experiment_grid import Cell, common_test, evaluate_grid, experiment_id
from model.training.training_loop import train
from storage.files.lake import Lake
from tests.model.conftest import write_dataset


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return Lake(tmp_path_factory.mktemp("grid") / "lake")


@pytest.fixture(scope="module")
def datasets(lake):
    """Test people 8 to 11 with 4 faces, and 7 to 10 with 3: they share the first 3 faces of 8 to 10."""
    more = write_dataset(lake, "faces-bbox", {"train": 5, "val": 3, "test": 4}, faces_each=4)
    fewer = write_dataset(lake, "faces-mtcnn", {"train": 4, "val": 3, "test": 4}, faces_each=3)
    return more, fewer


@pytest.fixture(scope="module")
def cells(datasets, tiny):
    bbox, mtcnn = datasets
    return [
        Cell(method, dataset, tiny(margin=margin, steps=3))
        for method, dataset, margin in (("bbox", bbox, 1.0), ("bbox", bbox, 2.0), ("mtcnn", mtcnn, 1.0))
    ]


def test_the_common_test_is_the_lines_that_all_test_on_in_one_order(datasets, tmp_path):
    more, fewer = common_test(datasets, 32, tmp_path).values()
    assert more.identities == fewer.identities == ("Person_008", "Person_009", "Person_010")
    assert more.samples == fewer.samples
    assert len(more) == 9
    assert more.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert np.array_equal(more.labels, fewer.labels)
    assert np.array_equal(more.images, fewer.images)  # a drawn face is the same in both


def test_datasets_that_share_no_test_people_have_no_common_test(lake, datasets, tmp_path):
    others = write_dataset(lake, "others", {"train": 20, "test": 3}, faces_each=2)
    assert common_test([datasets[0], others], 32, tmp_path) == {}


def test_a_grid_is_judged_on_own_and_common_tests_and_cells_that_differ_in_one_thing_are_compared(
    lake, cells, tmp_path
):
    models = [train(lake, cell.dataset, cell.config, work_folder=tmp_path) for cell in cells]
    result = evaluate_grid(cells, models, device="cpu", work_folder=tmp_path)
    assert result["common_test"] == {"num_identities": 3, "num_faces": 9}
    for cell, told in zip(cells, result["cells"], strict=True):
        assert (told["method"], told["margin"]) == (cell.method, cell.config.margin)
        assert told["own"]["num_faces"] == (16 if cell.method == "bbox" else 12)
        assert told["common"]["num_genuine"] == 9
        low, high = told["common"]["triplet"]["unit_interval"]["1"]
        assert low <= told["common"]["triplet"]["unit"]["1"] <= high
    aucs = {(told["method"], told["margin"]): told["common"]["auc"] for told in result["cells"]}
    pairs = [
        tuple((one[side]["method"], one[side]["margin"]) for side in ("from", "to")) for one in result["differences"]
    ]
    assert pairs == [(("bbox", 1.0), ("bbox", 2.0)), (("bbox", 1.0), ("mtcnn", 1.0))]
    for (before, after), one in zip(pairs, result["differences"], strict=True):
        assert one["auc"]["difference"] == pytest.approx(aucs[after] - aucs[before])


def test_an_experiment_is_named_by_its_trainings(cells):
    changed = [*cells[:-1], dataclasses.replace(cells[-1], config=dataclasses.replace(cells[-1].config, seed=1))]
    assert experiment_id(cells) == experiment_id(list(cells))
    assert experiment_id(changed) != experiment_id(cells)
