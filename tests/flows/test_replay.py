"""The main job on real photographs, graded against the truth of the replay world."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from pathlib import Path

import pytest

from flows.pipeline import pipeline
from flows.retry import retry
from storage.files.lake import Lake
from storage.versions.datasets import all_versions
from synthetic.origin import serving
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tests.flows.grading import accepted_urls, dataset_urls, expected, read_truth

REPLAY = Path(__file__).parents[2].parent / "shared" / "data" / "replay"

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not REPLAY.is_dir(), reason="the replay world of real photos is not beside the repository"),
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Lake:
    """The lake after the main job and at most three rounds of retry."""
    folder = str(tmp_path_factory.mktemp("replay") / "lake")
    with pytest.MonkeyPatch.context() as patch, serving(REPLAY) as origin:
        patch.setenv("FACEMILL_SILENCE_S", "5")
        patch.setenv("FACEMILL_TOTAL_S", "20")
        address = f"127.0.0.1:{origin.port}"
        links = str(REPLAY / "links")
        asyncio.run(pipeline(folder, links=links, connect_to=address, steps=4))
        for _ in range(3):
            asyncio.run(retry(folder, connect_to=address))
    return Lake(folder)


def test_every_picture_that_can_be_had_is_accepted_and_no_other_reaches_a_dataset(graded: Lake) -> None:
    truth = read_truth(REPLAY)
    assert expected(REPLAY, "accepted") - accepted_urls(graded) == set()
    assert accepted_urls(graded) & expected(REPLAY, "policy") == set()
    for name, urls in dataset_urls(graded).items():
        assert Counter(truth[url]["expect"] for url in urls) == {"accepted": len(urls)}, name


def test_copies_are_collapsed(graded: Lake) -> None:
    for version in all_versions(graded):
        index = version.index(["identity", "image_digest", "line"]).to_pylist()
        claims = Counter((row["identity"], row["image_digest"]) for row in index)
        assert max(claims.values()) == 1, f"{version} has one person twice from one picture"


def test_listed_boxes_that_frame_no_face_stay_out_and_the_others_are_kept(graded: Lake) -> None:
    with (REPLAY / "boxes.csv").open(encoding="utf-8", newline="") as file:
        is_good = {(row["identity"], int(row["line"])): row["box_ok"] == "1" for row in csv.DictReader(file)}
    (version,) = [one for one in all_versions(graded) if one.name == "faces-bbox"]
    samples = version.index(["identity", "line"]).to_pylist()
    good = sum(is_good[row["identity"], row["line"]] for row in samples)
    assert good / len(samples) >= 0.97


def test_where_the_methods_agree_the_listed_box_frames_the_face_and_few_faces_are_lost(graded: Lake) -> None:
    with (REPLAY / "boxes.csv").open(encoding="utf-8", newline="") as file:
        is_good = {(row["identity"], int(row["line"])): row["box_ok"] == "1" for row in csv.DictReader(file)}
    agreed = (
        publish_source(graded, Request("agreed", "vggface1", "agree")).dataset.index(["identity", "line"]).to_pylist()
    )
    good = sum(is_good[row["identity"], row["line"]] for row in agreed)
    assert good / len(agreed) >= 0.99
    assert len(agreed) > 500


def test_both_methods_and_a_model_came_out_of_it(graded: Lake) -> None:
    sizes = {one.name: one.manifest["num_samples"] for one in all_versions(graded)}
    assert sizes["faces-bbox"] > 600
    assert sizes["faces-mtcnn"] > 550
    assert graded.names("models/embedder")
