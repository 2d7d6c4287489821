"""What a prune reads of a lake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.leases.lease_holders import Holders
from storage.leases.leases import Held
from storage.records import VERDICTS
from storage.tables.parquet import write_table
from storage.versions.tombstones import write_tombstone
from tasks.maintenance.prune.gather import gather
from tasks.maintenance.prune.inventory import Inventory, Item, Kind, Version
from tests.tasks.maintenance.prune.versions import champion, contents, dataset, days_ago, model, tag


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def version(found: Inventory, name: str) -> Version:
    return next(one for one in found.versions if str(one) == name)


def item(found: Inventory, path: str) -> Item:
    return next(one for one in found.items if str(one) == path)


def write(lake: Lake, path: str, data: bytes = b"12345", days: float = 0) -> None:
    lake.write(path, data)
    when = days_ago(days).timestamp()
    os.utime(Path(lake.root) / path, (when, when))


def test_versions_are_told_with_their_sizes_names_and_lineage(lake):
    old, new = dataset(lake, "v0", 9), dataset(lake, "v1", 2, cleaning={"model": "embedder@m0"})
    tag(lake, "golden", "v0")
    tag(lake, "paper", "v0")
    for number, on in enumerate((old, new, new)):
        model(lake, f"m{number}", 5 - number, on)
        champion(lake, f"m{number}")
    before = contents(lake)
    found = gather(lake, Holders())

    assert contents(lake) == before
    sizes = {one: sum(len(data) for path, data in before.items() if path.startswith(f"{one}/")) for one in (
        "datasets/faces-mtcnn/v0", "models/embedder/m0", "evaluations/embedder/m0",
    )}  # fmt: skip
    manifests = {path: len(data) for path, data in before.items() if path.endswith("/manifest.json")}
    first = version(found, old)
    assert (first.at, first.bearing) == (days_ago(9), "it has the tag golden, paper")
    assert first.num_bytes == sizes[first.path] - manifests[f"{first.path}/manifest.json"] > 0
    assert first.writer == ("publish", "made", "all")
    assert version(found, new).scored_by == "embedder@m0"
    scorer = version(found, "embedder@m0")
    evaluations = sizes["evaluations/embedder/m0"]
    assert scorer.num_bytes == sizes[scorer.path] - manifests[f"{scorer.path}/manifest.json"] + evaluations
    assert (scorer.dataset, scorer.bearing) == (old, "")
    assert version(found, "embedder@m1").bearing == "`models rollback` would return to it"
    assert version(found, "embedder@m2").bearing == "it is the champion"


def test_a_pruned_version_is_none_and_one_of_which_files_are_left_is_unfinished(lake):
    for number in range(3):
        dataset(lake, f"v{number}", 9 - number)
        if number < 2:
            write_tombstone(lake, f"datasets/faces-mtcnn/v{number}", {"at": "x", "why": "y", "by": "z", "bytes": 1})
    for file in ("index.parquet", "outcomes.parquet", "train-00000.tar"):
        lake.remove(f"datasets/faces-mtcnn/v0/{file}")
    found = gather(lake, Holders())
    assert [str(one) for one in found.versions] == ["faces-mtcnn@v2"]
    assert [str(one) for one in found.unfinished] == ["faces-mtcnn@v1"]


def test_a_version_without_a_manifest_is_left_alone(lake):
    lake.write("datasets/faces-mtcnn/torn/train-00000.tar", b"x")
    lake.write("models/embedder/torn/weights.safetensors", b"x")
    assert gather(lake, Holders()) == Inventory()


def test_a_time_that_cannot_be_read_is_unknown(lake):
    dataset(lake, "v0", 1, published_at="soon")
    dataset(lake, "v1", 1, published_at="2026-01-02")
    found = gather(lake, Holders())
    assert version(found, "faces-mtcnn@v0").at is None
    assert version(found, "faces-mtcnn@v1").at.isoformat() == "2026-01-02T00:00:00+00:00"


def test_tables_and_work_files_are_told_with_what_they_belong_to(lake):
    dataset(lake, "v0", 9)
    model(lake, "m0", 9, "faces-mtcnn@v0")
    write_table(lake, "unique/made/0123.parquet", VERDICTS.empty_table())
    for scorer in ("embedder/m0", "histograms/0123"):
        write(lake, f"cleaned/mtcnn/made/{scorer}/people.parquet")
        write(lake, f"cleaned/mtcnn/made/{scorer}/faces.parquet", days=3)
    for path in (
        "work/reports/faces-mtcnn-v0.html", "work/reports/model-embedder-m0.html", "work/reports/crop-made.html",
        "work/faces/faces-mtcnn@v0-train-112px-1.npy", "work/faces/faces-mtcnn@v0-less-3-test-32px-1.npy",
        "work/faces/lfw-0123.npz", "work/embeddings/0123.npy", "work/checkpoint-embedder-m9.safetensors",
        "work/something/else", "quarantine/20261101T000000000000/images/made/x.tar", "quarantine/by hand/x",
    ):  # fmt: skip
        write(lake, path, days=4)
    write(lake, "work/faces/.tmp-writing.npy")
    found = gather(lake, Holders())

    belongs = {str(one): one.of for one in found.items}
    assert belongs == {
        "unique/made/0123.parquet": None,
        "cleaned/mtcnn/made/embedder/m0": "models/embedder@m0",
        "cleaned/mtcnn/made/histograms/0123": None,
        "quarantine/20261101T000000000000": None,
        "quarantine/by hand": None,
        "work/reports/faces-mtcnn-v0.html": "datasets/faces-mtcnn@v0",
        "work/reports/model-embedder-m0.html": "models/embedder@m0",
        "work/reports/crop-made.html": None,
        "work/faces/faces-mtcnn@v0-train-112px-1.npy": "datasets/faces-mtcnn@v0",
        "work/faces/faces-mtcnn@v0-less-3-test-32px-1.npy": "datasets/faces-mtcnn@v0",
        "work/faces/lfw-0123.npz": None,
        "work/embeddings/0123.npy": None,
        "work/checkpoint-embedder-m9.safetensors": None,
    }
    scores = item(found, "cleaned/mtcnn/made/histograms/0123")
    assert [path.rpartition("/")[2] for path in scores.paths] == ["faces.parquet", "people.parquet", "0123"]
    assert (scores.num_bytes, scores.source, scores.newest_stays) == (10, "made", True)
    assert item(found, "work/embeddings/0123.npy").at == days_ago(4)
    assert item(found, "quarantine/20261101T000000000000").at.isoformat() == "2026-11-01T00:00:00+00:00"
    assert item(found, "quarantine/by hand").at == days_ago(4)


def test_leases_say_what_is_held_and_which_runs_have_ended(lake):
    def lease(stage: str, of: str, unit: str) -> Held:
        return Held(stage, of, unit, "host", "", False, f"leases/{stage}/{of}/{unit}.1.json")

    running = (lease("read", "datasets", "faces-mtcnn@v0-0123abcd"), lease("train", "embedder", "m1"))
    found = gather(lake, Holders(running, (lease("crop", "made", "0001"),)))
    assert found.held == {"datasets/faces-mtcnn@v0"}
    assert found.working == {("read", "datasets", "faces-mtcnn@v0-0123abcd"), ("train", "embedder", "m1")}
    assert found.gone_leases == ("leases/crop/made/0001.1.json",)
    assert {one.kind for one in found.items} <= set(Kind)
