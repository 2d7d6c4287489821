"""Shards and lines that versions share: they go with the last version that uses them, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.leases.leases import alone
from storage.versions.datasets import DatasetVersion, all_versions, open_dataset
from storage.versions.readers import reading
from storage.versions.sample_shards import STAGE, UNIT
from tasks.maintenance.prune.apply import Pruned, apply
from tasks.maintenance.prune.decide import Plan
from tasks.maintenance.prune.plan_prune import plan_prune
from tasks.maintenance.prune.policy import Policy
from tests.tasks.maintenance.conftest import Killed, killed_at
from tests.tasks.maintenance.prune.versions import NOW, contents, dataset, sharing_dataset

LAST_1 = Policy(keep_last=1)
LONG_S = 3600.0


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def planned(lake: Lake) -> Plan:
    return plan_prune(lake, LAST_1, NOW, watches=False)


def pruned(lake: Lake, plan: Plan | None = None) -> Pruned:
    return apply(lake, plan or planned(lake), by="ada", now=NOW, good_for_s=LONG_S)


def faces(version: DatasetVersion) -> list[bytes]:
    """All faces of a version, read one by one, and the URL of each of its lines."""
    rows = version.index().to_pylist()
    urls = [url.encode() for url in version.outcomes()["url"].to_pylist()]
    return [version.read(row["shard"], row["offset"], row["length"]) for row in rows] + urls


def in_shards(letters: str) -> list[bytes]:
    return [one.encode() * 99 for one in letters] + [one.encode() for one in letters]


def test_what_only_the_pruned_version_used_goes_and_what_is_shared_stays(lake):
    sharing_dataset(lake, "v0", 9, "abc")
    sharing_dataset(lake, "v1", 8, "bcd")
    sharing_dataset(lake, "other", 7, "a", name="faces-bbox")
    before, plan = contents(lake), planned(lake)
    done = pruned(lake, plan)
    after = contents(lake)

    gone = {path for path in before if path not in after}
    folders = sorted(path.rpartition("/")[0] for path in gone)
    assert folders == [
        "datasets/faces-mtcnn/lines",
        *["datasets/faces-mtcnn/shards"] * 2,
        *["datasets/faces-mtcnn/v0"] * 2,
    ]
    assert sum(len(before[path]) for path in gone) == plan.num_bytes == done.num_bytes
    assert faces(open_dataset(lake, "faces-mtcnn@v1")) == in_shards("bcd")
    assert faces(open_dataset(lake, "faces-bbox@other")) == in_shards("a")
    assert not planned(lake)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_kill_at_any_step_leaves_every_other_version_whole_and_is_completed_by_the_next_prune(tmp_path, monkeypatch):
    def filled(place: str) -> Lake:
        lake = Lake(tmp_path / place)
        sharing_dataset(lake, "v0", 9, "abc")
        sharing_dataset(lake, "v1", 8, "cde")
        return lake

    calm = filled("calm")
    pruned(calm)
    for step in range(1000):
        lake = filled(f"killed-{step}")
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                pruned(lake)
                break
            except Killed:
                pass
        # The process of these leases is gone; here it is this one, which runs.
        lake.remove("leases")
        assert faces(open_dataset(lake, "faces-mtcnn@v1")) == in_shards("cde")
        for one in all_versions(lake):
            assert len(faces(one)) == 6
        pruned(lake)
        assert contents(lake).keys() == contents(calm).keys(), step
    assert step > 8


def test_a_version_published_between_plan_and_removal_keeps_what_it_uses(local):
    sharing_dataset(local, "v0", 9, "ab")
    sharing_dataset(local, "v1", 8, "c")
    plan = planned(local)
    sharing_dataset(local, "v2", 7, "bc")
    done = pruned(local, plan)

    assert faces(open_dataset(local, "faces-mtcnn@v2")) == in_shards("bc")
    assert list(done.kept.values()) == ["faces-mtcnn@v2 uses it now"]


def test_shared_files_of_a_dataset_that_is_being_published_stay(local):
    sharing_dataset(local, "v0", 9, "a")
    local.remove("datasets/faces-mtcnn/v0")
    with alone(local, STAGE, "faces-mtcnn", UNIT, good_for_s=LONG_S):
        assert not planned(local).goes
    assert len(planned(local).goes) == 2


def test_readers_of_the_old_and_of_the_new_layout_read_on_while_a_prune_runs(local):
    for number in range(3):
        dataset(local, f"own{number}", 20 - number)
        sharing_dataset(local, f"v{number}", 9 - number, "abc"[number:])
    held = [open_dataset(local, f"faces-mtcnn@{version}") for version in ("own0", "v0")]
    before = [faces(one) for one in held]
    num_read = 0

    def read_on(_: str) -> None:
        nonlocal num_read
        assert [faces(one) for one in held] == before
        num_read += 1

    with reading(local, datasets=held, good_for_s=LONG_S):
        apply(local, planned(local), by="ada", now=NOW, good_for_s=LONG_S, on_progress=read_on)
        read_on("")
    assert num_read > 3
    assert {one.version for one in all_versions(local)} == {"own0", "v0", "v2"}
