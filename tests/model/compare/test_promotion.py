"""From a trained version to the champion: judged once, compared on the same pairs, promoted beyond chance only."""

import numpy as np
import pytest

from model.compare.comparison import compare_versions, differences
from model.compare.evaluation_store import evaluate_version, evaluate_version_on_lfw, people_seen, version_thresholds
from model.compare.promotion import objection, promote
from model.training.training_loop import train
from model.verification.lfw import parse_pairs
from storage.errors import PromotionRefused, UsageError
from storage.files.lake import Lake
from storage.versions.aliases import alias_history, aliases
from storage.versions.evaluations import evaluations
from storage.versions.models import ModelVersion, write_model
from tests.model.conftest import write_dataset


@pytest.fixture(scope="module")
def versions(tiny, tmp_path_factory):
    """A lake with two versions of a model, of which the second has seen more than one batch, and their dataset."""
    lake = Lake(tmp_path_factory.mktemp("versions") / "lake")
    dataset = write_dataset(lake, "drawn", {"train": 16, "val": 4, "test": 30}, faces_each=4)
    weak, strong = (train(lake, dataset, tiny(steps=steps), work_folder=lake.work_folder) for steps in (1, 40))
    return weak, strong, dataset


@pytest.fixture
def no_champion(versions):
    weak, _, _ = versions
    weak.lake.remove("models/tiny/aliases")


def test_judging_a_version_on_its_own_test_people_gives_the_figures_it_was_published_with(versions):
    weak, _, dataset = versions
    facts = evaluate_version(weak, dataset, device="cpu").facts
    published = weak.read_json("metrics.json")["trained"]
    assert {name: facts[name] for name in ("auc", "eer", "rank_1", "threshold")} == pytest.approx(
        {name: published[name] for name in ("auc", "eer", "rank_1", "threshold")}
    )
    assert (facts["model"], facts["test"], facts["num_people_seen"]) == (str(weak), "drawn@v1", 0)


def test_what_was_judged_is_not_judged_again(versions):
    weak, _, dataset = versions
    first = evaluate_version(weak, dataset, device="cpu").facts["evaluated_at"]
    assert evaluate_version(weak, dataset, device="cpu").facts["evaluated_at"] == first
    assert "drawn@v1" in [one.facts["test"] for one in evaluations(weak)]


def test_people_of_the_test_whom_the_model_was_trained_on_are_named(versions):
    weak, _, _ = versions
    assert people_seen(weak, ["Person_000", "person 001", "Pérson-016", "Person_030", "Somebody"]) == [
        "Person_000",
        "Pérson-016",
        "person 001",
    ]


def test_a_model_whose_dataset_is_gone_may_have_known_anybody(versions):
    weak, _, _ = versions
    orphan = write_model(weak.lake, "orphan", "v1", {}, {**weak.manifest, "dataset": "gone@v1"})
    assert people_seen(orphan, ["Person_000"]) is None
    assert version_thresholds(orphan) is None


def test_lfw_is_judged_beside_the_version_with_its_thresholds_tried(versions):
    weak, _, _ = versions
    pairs = parse_pairs("2\t1\nAda\t1\t2\nBo\t1\tCyd\t1\nBo\t1\t2\nAda\t1\tCyd\t1\n")
    faces = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    found = evaluate_version_on_lfw(weak, pairs, faces, test="lfw@v1", num_without_face=1, device="cpu")
    assert 0 <= found.facts["accuracy"] <= 1
    assert found.facts["num_without_face"] == 1
    assert found.facts["operating_points"][0]["threshold"] == version_thresholds(weak).accuracy
    assert found.scores()["left"].to_pylist() == pairs.left.tolist()


def test_two_versions_differ_in_what_they_were_made_of_and_on_the_same_pairs(versions):
    weak, strong, dataset = versions
    assert differences(weak, strong)["steps"] == (1, 40)
    assert "width" not in differences(weak, strong)
    found = compare_versions(weak, strong, dataset, device="cpu").auc
    assert (found.first, found.second) == pytest.approx((weak.manifest["auc"], strong.manifest["auc"]))
    assert found.interval[0] < found.difference < found.interval[1]


@pytest.mark.usefixtures("no_champion")
def test_the_first_champion_needs_no_comparison_and_a_better_one_takes_its_place(versions):
    weak, strong, _ = versions
    assert promote(weak, dataset=None, device="cpu", by="ada").over is None
    event = promote(strong, dataset=None, device="cpu", by="ada", why="more steps")
    assert (event.version, event.over, event.forced) == (strong.version, weak.version, False)
    assert (event.figures or {})["auc"]["interval"][0] > 0
    assert aliases(weak.lake, "tiny")["champion"] == strong.version


@pytest.mark.usefixtures("no_champion")
def test_a_worse_version_is_refused_and_changes_nothing_unless_forced(versions):
    weak, strong, _ = versions
    promote(strong, dataset=None, device="cpu", by="ada")
    with pytest.raises(PromotionRefused, match=r"lower bound of its AUC over tiny@\w+ on drawn@v1 must be above 0"):
        promote(weak, dataset=None, device="cpu", by="ada")
    assert len(alias_history(weak.lake, "tiny")) == 1
    event = promote(weak, dataset=None, device="cpu", by="ada", force=True)
    assert event.forced
    assert (event.figures or {})["auc"]["difference"] < 0


@pytest.mark.usefixtures("no_champion")
def test_a_version_of_equal_weights_is_refused(versions):
    weak, _, _ = versions
    files = {file: weak.read(file) for file in weak.manifest["files"]}
    twin: ModelVersion = write_model(weak.lake, "tiny", "twin", files, weak.manifest)
    promote(weak, dataset=None, device="cpu", by="ada")
    with pytest.raises(PromotionRefused, match=r"difference is \+0\.00000"):
        promote(twin, dataset=None, device="cpu", by="ada")


@pytest.mark.usefixtures("no_champion")
def test_a_version_that_knows_people_of_the_test_is_refused(versions):
    weak, strong, _ = versions
    write_dataset(weak.lake, "shifted", {"test": 20}, faces_each=3)  # its people are those the versions trained on
    promote(weak, dataset=None, device="cpu", by="ada")
    with pytest.raises(PromotionRefused, match="trained on 20 people of the test split of shifted@v1"):
        promote(strong, dataset="shifted", device="cpu", by="ada")


def test_a_test_of_few_people_says_too_little_to_promote_by(versions):
    weak, strong, dataset = versions
    found = compare_versions(weak, strong, dataset, device="cpu")
    assert objection(found) is None
    found.second.facts["num_identities"] = 19
    assert "evaluated on 19 people; intervals and comparisons need at least 20" in (objection(found) or "")


@pytest.mark.usefixtures("no_champion")
def test_the_champion_is_not_promoted_twice(versions):
    weak, _, _ = versions
    promote(weak, dataset=None, device="cpu", by="ada")
    with pytest.raises(UsageError, match="is already the champion of tiny"):
        promote(weak, dataset=None, device="cpu", by="ada", force=True)
