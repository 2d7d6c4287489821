"""Plans carried out: in a folder and in a bucket, killed at every step, and while others use the lake."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.errors import VersionPruned
from storage.files.lake import Lake
from storage.leases.lease_holders import Holders, holders
from storage.leases.leases import alone, held
from storage.versions.datasets import DatasetVersion, find_dataset, open_dataset, versions
from storage.versions.evaluations import evaluations
from storage.versions.models import has_model, model_versions, open_model
from storage.versions.readers import reading
from storage.versions.tombstones import write_tombstone
from tasks.maintenance.fsck.findings import Kind as FindingKind
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.fsck.repair import repair
from tasks.maintenance.prune import apply as apply_module
from tasks.maintenance.prune.apply import Pruned, apply
from tasks.maintenance.prune.decide import Plan, decide
from tasks.maintenance.prune.gather import gather
from tasks.maintenance.prune.plan_prune import plan_prune
from tasks.maintenance.prune.policy import Policy
from tests.tasks.maintenance.conftest import Killed, killed_at
from tests.tasks.maintenance.prune.versions import NOW, champion, contents, dataset, model, tag

LAST_1 = Policy(keep_last=1)
LONG_S = 3600.0


@pytest.fixture(params=["local", "memory", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "s3":
        return Lake(f"{request.getfixturevalue('bucket')}/lake")
    return Lake(tmp_path / "lake" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def filled(lake: Lake) -> Lake:
    """Four dataset versions: v0 has a tag, v2 a model that stays, v3 is the newest; and the models m0 to m2."""
    for number in range(4):
        dataset(lake, f"v{number}", 40 - 10 * number)
    tag(lake, "golden", "v0")
    for number, on in enumerate(("v1", "v2", "v2")):
        model(lake, f"m{number}", 20 - number, f"faces-mtcnn@{on}")
    champion(lake, "m1")
    return lake


def pruned(lake: Lake, policy: Policy = LAST_1, found: Plan | None = None) -> Pruned:
    plan = found or plan_prune(lake, policy, NOW, watches=False)
    return apply(lake, plan, by="ada", now=NOW, good_for_s=LONG_S)


def left(lake: Lake) -> tuple[list[str], list[str]]:
    """The versions that are there."""
    return [one.version for one in versions(lake, "faces-mtcnn")], [one.version for one in model_versions(lake)]


def test_what_goes_goes_and_what_stays_is_not_touched(lake):
    before = contents(filled(lake))
    plan = plan_prune(lake, LAST_1, NOW, watches=False)
    done = pruned(lake, found=plan)
    after = contents(lake)

    assert left(lake) == (["v0", "v2", "v3"], ["m1", "m2"])
    assert done == Pruned(["embedder@m0", "faces-mtcnn@v1"], {}, plan.num_bytes)
    gone = {path for path in before if path not in after}
    assert {path.rpartition("/")[0] for path in gone} == {
        "datasets/faces-mtcnn/v1", "models/embedder/m0", "evaluations/embedder/m0",
    }  # fmt: skip
    assert sum(len(before[path]) for path in gone) == plan.num_bytes
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {"datasets/faces-mtcnn/v1/manifest.json", "models/embedder/m0/manifest.json"}
    assert inspect_kinds(lake) == set()


def inspect_kinds(lake: Lake) -> set[FindingKind]:
    """The kinds of findings, without those of the made rows of the small versions."""
    made = {FindingKind.BROKEN_BYTES, FindingKind.BROKEN_TAR, FindingKind.UNTRUE_MANIFEST, FindingKind.UNREADABLE}
    return {one.kind for one in inspect(jobs(lake, quick=True)) if not one.is_note} - made


def test_the_tombstone_says_when_why_and_by_whom_and_keeps_what_the_manifest_said(lake):
    filled(lake)
    before = lake.read_json("datasets/faces-mtcnn/v1/manifest.json")
    pruned(lake)
    entry = find_dataset(lake, "faces-mtcnn@v1").manifest.pop("pruned")
    assert {name: entry[name] for name in ("at", "why", "by")} == {
        "at": NOW.isoformat(timespec="milliseconds"), "why": "not among the newest 1", "by": "ada",
    }  # fmt: skip
    assert (entry["bytes"] > 0, len(entry["manifest_sha256"])) == (True, 64)
    after = lake.read_json("datasets/faces-mtcnn/v1/manifest.json")
    assert {name: after[name] for name in before} == before


def test_a_second_prune_finds_nothing_to_do(lake):
    pruned(filled(lake))
    before = contents(lake)
    assert not plan_prune(lake, LAST_1, NOW, watches=False)
    assert pruned(lake) == Pruned()
    assert contents(lake) == before


def test_a_plan_alone_changes_nothing(lake):
    before = contents(filled(lake))
    assert plan_prune(lake, LAST_1, NOW, watches=False)
    assert contents(lake) == before


def test_lineage_is_given_up_only_when_asked_for_and_the_tombstone_says_whose(local):
    pruned(filled(local), Policy(keep_last=1, even_lineage=True))
    assert left(local) == (["v0", "v3"], ["m1", "m2"])
    entry = find_dataset(local, "faces-mtcnn@v2").manifest["pruned"]
    assert entry["even_lineage"] == ["embedder@m1", "embedder@m2"]
    assert [one.detail for one in inspect(jobs(local)) if one.is_note and one.path == "models/embedder/m1"] == [
        "it was trained on faces-mtcnn@v2, which was pruned"
    ]


@pytest.mark.parametrize("reference", ["faces-mtcnn@v1", "embedder@m0"])
def test_readers_refuse_a_pruned_version_in_one_line(lake, reference):
    pruned(filled(lake))
    opens: Callable[[Lake, str], Any] = open_dataset if reference.startswith("faces") else open_model
    with pytest.raises(VersionPruned) as error:
        opens(lake, reference)
    told = str(error.value)
    assert told.startswith(f"{reference} was pruned on 2026-11-28 (not among the newest 1): ")
    assert ("publish it again with `facemill publish --source made --dataset faces --method mtcnn`" in told) or (
        "train it again with `facemill train --dataset faces-mtcnn@v1 --model embedder`" in told
    )
    assert "\n" not in told


def test_a_reader_that_has_a_version_open_ends_with_that_line_and_takes_nothing_for_whole(lake):
    filled(lake)
    faces, embedder = open_dataset(lake, "faces-mtcnn@v1"), open_model(lake, "embedder@m0")
    row = faces.index(["shard", "offset", "length"]).to_pylist()[0]
    (evaluation,) = evaluations(embedder)
    pruned(lake)
    for read in (
        faces.index,
        faces.outcomes,
        faces.whole_index,
        lambda: faces.read(**row),
        lambda: embedder.read("weights.safetensors"),
        evaluation.scores,
    ):
        with pytest.raises(VersionPruned, match="was pruned on 2026-11-28"):
            read()


def is_whole(lake: Lake, path: str, before: dict[str, bytes]) -> bool:
    """Whether all files of a folder are as before."""
    return all(lake.read(file) == data for file, data in before.items() if file.startswith(f"{path}/"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_kill_at_any_step_leaves_what_the_next_prune_completes(tmp_path):
    for step in range(100):
        lake = filled(Lake(tmp_path / str(step)))
        before = contents(lake)
        with pytest.MonkeyPatch.context() as patch:
            killed_at(step, patch)
            try:
                pruned(lake)
                break
            except Killed:
                pass
        # The process of these leases is gone; here it is this one, which runs.
        lake.remove("leases")
        # Whatever reads a version finds it whole, or refuses it.
        for folder, is_there in (
            ("datasets/faces-mtcnn/v1", not find_dataset(lake, "faces-mtcnn@v1").pruned),
            ("models/embedder/m0", has_model(lake, "embedder", "m0")),
        ):
            assert not is_there or is_whole(lake, folder, before), (step, folder)
        stays = [path for path in before if not path.startswith(("datasets/faces-mtcnn/v1", "models/embedder/m0"))]
        assert [path for path in stays if path not in contents(lake) and "evaluations/embedder/m0" not in path] == []
        pruned(lake)
        assert left(lake) == (["v0", "v2", "v3"], ["m1", "m2"])
        assert lake.names("datasets/faces-mtcnn/v1") == lake.names("models/embedder/m0") == ["manifest.json"]
        assert lake.names("evaluations/embedder/m0") == []
        assert held(lake) == []
        assert inspect_kinds(lake) == set()
    assert step > 10


def test_check_finds_what_a_kill_left_and_its_repair_removes_it(local):
    filled(local)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply_module, "remove_remains", _die)
        with pytest.raises(Killed):
            pruned(local)
    found = [one for one in inspect(jobs(local)) if one.kind is FindingKind.HALF_PRUNED]
    assert [one.path for one in found] == ["models/embedder/m0"]
    done = repair(local, found, NOW)
    assert len(done.removed) == 6
    assert done.moved == []
    assert FindingKind.HALF_PRUNED not in {one.kind for one in inspect(jobs(local))}


def _die(*_: object) -> None:
    raise Killed


def after_the_tombstone(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Let something happen right after each tombstone is written."""
    real = write_tombstone

    def acting(lake: Lake, folder: str, entry: dict[str, Any]) -> bytes:
        before = real(lake, folder, entry)
        act(folder)
        return before

    monkeypatch.setattr(apply_module, "write_tombstone", acting)


def test_a_tag_that_comes_between_plan_and_removal_is_heeded(lake):
    before = contents(filled(lake))
    plan = plan_prune(lake, LAST_1, NOW, watches=False)
    tag(lake, "late", "v1")
    assert pruned(lake, found=plan).kept == {"faces-mtcnn@v1": "it is now late"}
    assert is_whole(lake, "datasets/faces-mtcnn/v1", before)


def test_a_tag_that_comes_right_after_the_tombstone_takes_it_back(lake, monkeypatch):
    before = contents(filled(lake))

    def late(folder: str) -> None:
        if "v1" in folder:
            tag(lake, "late", "v1")

    after_the_tombstone(monkeypatch, late)
    assert pruned(lake).kept == {"faces-mtcnn@v1": "it is now late"}
    assert is_whole(lake, "datasets/faces-mtcnn/v1", before)
    assert open_dataset(lake, "faces-mtcnn@late").version == "v1"


def test_a_model_that_becomes_champion_meanwhile_stays_and_so_does_its_dataset(local):
    before = contents(filled(local))
    plan = plan_prune(local, LAST_1, NOW, watches=False)
    champion(local, "m0")
    assert pruned(local, found=plan).kept == {
        "embedder@m0": "it is now champion", "faces-mtcnn@v1": "embedder@m0 was trained on it",
    }  # fmt: skip
    assert is_whole(local, "models/embedder/m0", before) and is_whole(local, "datasets/faces-mtcnn/v1", before)


def test_a_training_that_ends_between_plan_and_removal_keeps_its_dataset(local):
    plan = plan_prune(filled(local), LAST_1, NOW, watches=False)
    model(local, "m9", 0, "faces-mtcnn@v1")
    assert pruned(local, found=plan).kept == {"faces-mtcnn@v1": "embedder@m9 was trained on it"}


def test_a_kill_right_after_the_tombstone_of_a_version_that_came_into_use_loses_nothing(local):
    before = contents(filled(local))

    def late(folder: str) -> None:
        if "v1" in folder:
            tag(local, "late", "v1")
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        after_the_tombstone(patch, late)
        with pytest.raises(Killed):
            pruned(local)
    assert pruned(local).kept == {"faces-mtcnn@v1": "it has the tag late"}
    assert is_whole(local, "datasets/faces-mtcnn/v1", before)
    assert pruned(local) == Pruned()


def test_what_a_run_reads_stays_until_it_has_ended(lake):
    before = contents(filled(lake))
    plan = plan_prune(lake, LAST_1, NOW, watches=False)
    faces = open_dataset(lake, "faces-mtcnn@v1")
    with reading(lake, datasets=[faces], models=[open_model(lake, "embedder@m0")], good_for_s=LONG_S):
        planned = plan_prune(lake, LAST_1, NOW, watches=False)
        assert not planned.goes
        assert pruned(lake, found=plan).kept == {
            "embedder@m0": "a run reads it now", "faces-mtcnn@v1": "a run reads it now",
        }  # fmt: skip
        assert is_whole(lake, "datasets/faces-mtcnn/v1", before)
        assert len(faces.index()) == 1
    pruned(lake)
    assert left(lake) == (["v0", "v2", "v3"], ["m1", "m2"])


def test_a_reader_that_comes_right_after_the_tombstone_keeps_its_version_or_is_refused(lake, monkeypatch):
    before = contents(filled(lake))
    faces = open_dataset(lake, "faces-mtcnn@v1")
    told: list[str] = []

    def read(folder: str) -> None:
        if "v1" in folder:
            try:
                with reading(lake, datasets=[faces], good_for_s=LONG_S):
                    told.append("read")
            except VersionPruned:
                told.append("refused")

    after_the_tombstone(monkeypatch, read)
    pruned(lake)
    assert told == ["refused"]
    assert left(lake)[0] == ["v0", "v2", "v3"]
    assert "datasets/faces-mtcnn/v1/index.parquet" in before


def test_a_version_that_is_being_written_again_is_left_to_its_writer(local):
    filled(local)
    with alone(local, "publish", "made", "all", good_for_s=LONG_S):
        assert [str(one.what) for one in plan_prune(local, LAST_1, NOW, watches=False).goes] == ["embedder@m0"]


def test_leases_of_ended_runs_go_and_hold_nothing(local):
    filled(local)
    dead = {"holder": "x", "count": 0, "good_for_s": 60.0, "process": json.dumps(1)}
    path = "leases/read/datasets/faces-mtcnn@v1-0123abcd.1.json"
    local.write_json(path, dead)
    slept: list[float] = []
    found = holders(local, sleep=slept.append)
    assert ([one.path for one in found.gone], sum(slept)) == ([path], 60.0)
    assert [one.path for one in holders(local, watches=False).running] == [path]

    assert "faces-mtcnn@v1" not in {str(one.what) for one in plan_prune(local, LAST_1, NOW, watches=False).goes}
    plan = decide(gather(local, Holders(gone=found.gone)), LAST_1, NOW)
    assert pruned(local, found=plan).removed == [path, "embedder@m0", "faces-mtcnn@v1"]
    assert held(local) == []


def test_samples_under_takedown_are_purged_first(local, monkeypatch):
    filled(local)
    monkeypatch.setattr(DatasetVersion, "taken_down", lambda self: pa.chunked_array([pa.array([True])]))
    assert pruned(local).kept == {"faces-mtcnn@v1": "samples of it are taken down: run `facemill forget --purge` first"}


def test_tables_and_work_files_go_also_where_the_lake_is_in_a_bucket(lake):
    filled(lake)
    lake.write("quarantine/20260101T000000000000/x/y.tar", b"x" * 7)
    lake.write("quarantine/20260201T000000000000/x/y.tar", b"x" * 7)
    report = lake.work_folder / "reports" / "faces-mtcnn-v1.html"
    report.parent.mkdir(parents=True)
    report.write_text("page")
    done = pruned(lake)
    assert {"quarantine/20260101T000000000000", "work/reports/faces-mtcnn-v1.html"} <= set(done.removed)
    assert lake.names("quarantine") == ["20260201T000000000000"]
    assert not report.exists()
