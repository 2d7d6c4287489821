"""Training, cleaning and training again on a made lake: in this order, once, and only where something changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.publish import publish
from flows.refine import refine
from flows.telemetry.cleaning_words import cleaning_page
from model.configuration.config import PRESETS, TrainConfig
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.aliases import aliases
from storage.versions.datasets import all_versions, open_dataset
from storage.versions.models import model_versions
from tests.model.conftest import draw_face
from tests.tasks import made_lake
from tests.tasks.dataset.test_version_change import lose
from tests.tasks.made_lake import LINES, PEOPLE, SOURCE, make_lake, url_of

# With so many wrong faces expected, a model of two steps doubts some.
DOUBTS: dict[str, Any] = {"clean.wrong_share": 0.2}


looks = made_lake._looks


def crop(number: int) -> bytes:
    """The drawn face of one crop of the made lake: a face of its person, but for the last line of the first person."""
    person, line = divmod(number % 1000, len(LINES))
    is_wrong = (person, line) == (0, len(LINES) - 1)
    return draw_face(len(PEOPLE) if is_wrong else person, number)[0]


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    """A preset that trains in a second, and runs that no server records."""
    tiny = TrainConfig(width=0.25, embedding_dim=16, image_px=32, identities_per_batch=4, faces_per_identity=4, steps=2)
    with pytest.MonkeyPatch.context() as patch, temporary_settings(restore_defaults={PREFECT_API_URL}):
        patch.delenv("PREFECT_API_URL")
        patch.setitem(PRESETS, "smoke", tiny)
        patch.setattr("tests.tasks.made_lake.jpeg", crop)
        # Only faces with landmarks are examples of their person.
        patch.setattr("tests.tasks.made_lake._looks", lambda *what: looks(*what) | {"landmarks": draw_face(0, 0)[1]})
        yield


@pytest.fixture(scope="module")
def first(fast: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A lake with a version of both methods that were refined, and the result."""
    folder = tmp_path_factory.mktemp("refined") / "lake"
    return folder, refined(make_lake(folder))


@pytest.fixture
def lake(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> Lake:
    """A copy of the lake."""
    return Lake(shutil.copytree(first[0], tmp_path / "lake"))


def refined(lake: Lake, min_change: float = 0.0, least: float = 0.0) -> dict[str, Any]:
    """Publish and refine; with a threshold each."""
    versions = publish(lake.url, SOURCE, min_change=min_change, settings={"select.min_faces": 3})
    names = [f"{one['dataset']}@{one['version']}" for one in versions]
    return refine(lake.url, names, device="cpu", min_change=least, settings=DOUBTS)


def made(lake: Lake) -> set[str]:
    return {str(one) for one in [*all_versions(lake), *model_versions(lake)]}


def test_a_version_is_trained_on_and_then_its_cleaned_version_which_lacks_the_doubtful_faces_alone(
    first: tuple[Path, dict[str, Any]],
) -> None:
    lake, done = Lake(first[0]), first[1]
    before = [open_dataset(lake, one["dataset"]) for one in done["clean"]]
    after = [open_dataset(lake, f"{one['dataset']}@{one['version']}") for one in done["publish_cleaned"]]
    assert [done["train"]["dataset"], done["train_cleaned"]["dataset"]] == [str(before[-1]), str(after[-1])]
    assert aliases(lake, "embedder") == {"candidate": done["train_cleaned"]["version"]}
    for plain, cleaned, scored, told in zip(before, after, done["clean"], done["publish_cleaned"], strict=True):
        assert cleaned.manifest["cleaning"]["model"] == f"embedder@{done['train']['version']}"
        assert cleaned.manifest["clean"] == {"wrong_share": 0.2}
        assert cleaned.manifest["select"] == plain.manifest["select"]
        assert told["cleaned_from"]["version"] == plain.version
        went = told["cleaned_from"]["changes"]["went"]
        assert went["select: wrong_person"] == scored["doubtful"]["wrong_person"] > 0
        assert told["samples"] == scored["samples"] - sum(went.values())


def test_the_page_names_both_versions_both_models_and_what_cleaning_changed(
    first: tuple[Path, dict[str, Any]],
) -> None:
    done = first[1]
    page = cleaning_page(done)
    for name in ("train", "train_cleaned"):
        assert f"- embedder@{done[name]['version']} on {done[name]['dataset']}: AUC on unseen people 0." in page
    for scored, told in zip(done["clean"], done["publish_cleaned"], strict=True):
        counts = f"{told['samples']} faces of {told['identities']} people"
        assert f"- {told['dataset']}@{told['version']}: {counts}" in page
        assert f"{scored['doubtful']['wrong_person']} wrong person" in page


def test_a_second_run_makes_nothing_and_names_the_same_versions(first: tuple[Path, dict[str, Any]], lake: Lake) -> None:
    versions = made(lake)
    second = refined(lake)
    assert made(lake) == versions
    assert "clean" not in second
    for name in ("train", "train_cleaned"):
        assert second[name] == first[1][name] | {"is_new": False}
    for before, after in zip(first[1]["publish_cleaned"], second["publish_cleaned"], strict=True):
        assert after == before | {"is_new": False, "funnel": after["funnel"]}
        assert json.dumps(after["funnel"], sort_keys=True) == json.dumps(before["funnel"], sort_keys=True)


def test_a_version_that_was_kept_since_little_changed_is_neither_trained_on_nor_cleaned_again(lake: Lake) -> None:
    versions = made(lake)
    lose(lake, url_of(PEOPLE[0], 3))
    second = refined(lake, min_change=0.05)
    assert not second["train"]["is_new"]
    assert made(lake) == versions


def test_a_version_that_differs_too_little_to_be_trained_on_is_not_cleaned(
    first: tuple[Path, dict[str, Any]], lake: Lake
) -> None:
    versions = made(lake)
    lose(lake, url_of(PEOPLE[0], 3))
    second = refined(lake, least=0.05)
    assert list(second) == ["train"]
    assert second["train"]["left_out"] == (
        f"0 faces added and 1 removed of 32, 0 people added and 0 removed of 8 since {first[1]['train']['dataset']}, "
        f"of embedder@{first[1]['train']['version']}: less than 5.0%"
    )
    assert len(made(lake) - versions) == 1  # the published version


def test_a_new_version_is_trained_on_and_cleaned_by_its_own_model(lake: Lake) -> None:
    versions = made(lake)
    lose(lake, url_of(PEOPLE[0], 3))
    second = refined(lake, min_change=0.01, least=0.01)
    assert second["train"]["is_new"] and second["train_cleaned"]["is_new"]
    assert {one["model"] for one in second["clean"]} == {f"embedder@{second['train']['version']}"}
    # faces-mtcnn and its cleaned version; faces-bbox, which is as before, cleaned by the new model; two models.
    assert len(made(lake) - versions) == 5
    assert aliases(lake, "embedder") == {"candidate": second["train_cleaned"]["version"]}


def test_what_is_cleaned_already_or_cannot_be_published_again_is_refused_in_a_line(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is cleaned already: name the version from which it was made"):
        refine(lake.url, ["faces-mtcnn"])
    (tmp_path / "names").write_text(PEOPLE[0])
    (excluded,) = publish(lake.url, SOURCE, method="mtcnn", exclude=tmp_path / "names")
    with pytest.raises(UsageError, match=r"without people on a list of names.*--exclude FILE --cleaned-by MODEL"):
        refine(lake.url, [f"{excluded['dataset']}@{excluded['version']}"])
