"""Every kind of damage is found, named and repaired, and the road brings back what was lost."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.files.stores import lost_uploads
from storage.records import url_key
from storage.tables.parquet import read_stamp, read_table, write_table
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import record_alias
from storage.versions.datasets import all_versions
from storage.versions.models import write_model
from tasks.fetch.ledger import image_stems
from tasks.maintenance.fsck.findings import Finding, Kind, Remedy, remedy
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.fsck.repair import repair
from tasks.maintenance.takedown.forget import TakedownRequest, coverage, forget
from tasks.maintenance.takedown.purge import purge
from tasks.maintenance.takedown.rewrite import replace_shard
from tests.layout_1 import to_layout_1
from tests.tasks.maintenance.conftest import GROUP, SOURCE, Killed, Mill, killed_at

Damage = Callable[[Mill], object]


def check(lake: Lake, *, quick: bool = False) -> list[Finding]:
    return inspect(jobs(lake, quick=quick))


def kinds(findings: list[Finding]) -> set[Kind]:
    return {finding.kind for finding in findings}


def file(mill: Mill, pattern: str) -> Path:
    """The first file of the lake that matches."""
    return min(Path(mill.lake.root).glob(pattern))


def cut(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:num_bytes])


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def alter(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def repeat_rows(mill: Mill, path: str, num: int = 1) -> None:
    """The table with its first rows twice, under the stamp it had."""
    table = read_table(mill.lake, path)
    rows = [*table.to_pylist(), *table.slice(0, num).to_pylist()]
    stamp = read_stamp(mill.lake, path) or ""
    write_table(mill.lake, path, type(table).from_pylist(rows, schema=table.schema), stamp=stamp)


def change_first_row(mill: Mill, pattern: str, **values: object) -> None:
    path = str(file(mill, pattern).relative_to(mill.lake.root))
    table = read_table(mill.lake, path)
    rows = table.to_pylist()
    write_table(mill.lake, path, type(table).from_pylist([rows[0] | values, *rows[1:]], schema=table.schema))


def drop_last_row(mill: Mill, path: str) -> None:
    table = read_table(mill.lake, path)
    write_table(mill.lake, path, table.slice(0, len(table) - 1), stamp=read_stamp(mill.lake, path) or "")


def stem(mill: Mill) -> str:
    return image_stems(mill.lake, SOURCE)[0]


def add_orphan(mill: Mill) -> None:
    (Path(mill.lake.root) / f"images/{SOURCE}/0000-0077-abcdef.tar").write_bytes(
        file(mill, "images/*/*.tar").read_bytes()
    )


def add_leftover(mill: Mill) -> None:
    """What a writer of this machine leaves behind when it is killed."""
    with suppress(ZeroDivisionError), mill.lake.create(f"images/{SOURCE}/x") as temporary:
        name, folder = temporary.name, temporary.parent
        raise ZeroDivisionError
    (folder / re.sub(r"-\d+-", f"-{2**22 + 1}-", name)).write_bytes(b"half a picture")


def lose_shard(mill: Mill) -> None:
    for path in (file(mill, "images/*/*.parquet"), file(mill, "images/*/*.tar")):
        path.unlink()


def replace_half(mill: Mill) -> None:
    """A replacement that was killed before the old shard went."""
    replace_shard(
        mill.lake, SOURCE, stem(mill), read_table(mill.lake, f"{mill.lake.images(SOURCE, stem(mill))}.parquet")
    )


IMAGES, FACES, DATASET, SHARDS = (
    f"images/{SOURCE}/*",
    f"faces/bbox/{SOURCE}/*",
    "datasets/faces/*/",
    "datasets/faces/shards/*",
)
DAMAGES: dict[str, tuple[Damage, set[Kind], bool]] = {
    "a picture's byte is flipped": (lambda mill: flip(file(mill, IMAGES + ".tar"), 900), {Kind.BROKEN_BYTES}, False),
    "a tar of pictures is cut short": (lambda mill: cut(file(mill, IMAGES + ".tar"), 9000), {Kind.BROKEN_BYTES}, True),
    "only the end of a tar is cut": (
        lambda mill: cut(file(mill, IMAGES + ".tar"), file(mill, IMAGES + ".tar").stat().st_size - 512),
        {Kind.BROKEN_TAR}, True,
    ),
    "a header in a tar is flipped": (lambda mill: flip(file(mill, IMAGES + ".tar"), 3), {Kind.BROKEN_TAR}, False),
    "a tar of pictures is gone": (lambda mill: file(mill, IMAGES + ".tar").unlink(), {Kind.NO_TAR}, True),
    "an index of pictures is gone": (
        lambda mill: file(mill, IMAGES + ".parquet").unlink(), {Kind.NO_INDEX, Kind.NO_SHARD}, True,
    ),
    "an index of pictures is cut": (lambda mill: cut(file(mill, IMAGES + ".parquet"), 700), {Kind.UNREADABLE}, True),
    "an index has a row twice": (
        lambda mill: repeat_rows(mill, f"{mill.lake.images(SOURCE, stem(mill))}.parquet"), {Kind.MISCOUNT}, True,
    ),
    "a shard of pictures is gone whole": (lose_shard, {Kind.NO_SHARD}, True),
    "a shard was replaced and did not go": (replace_half, {Kind.SUPERSEDED}, True),
    "a tar has no index": (add_orphan, {Kind.NO_INDEX}, True),
    "a killed writer left a file": (add_leftover, {Kind.LEFTOVER}, True),
    "a file nobody writes": (
        lambda mill: mill.lake.write(f"images/{SOURCE}/notes.txt", b"!"), {Kind.STRANGE_FILE}, True,
    ),
    "detections are cut": (lambda mill: cut(file(mill, "detections/*/*"), 99), {Kind.UNREADABLE}, True),
    "a detection is missing": (
        lambda mill: drop_last_row(mill, mill.lake.detections(SOURCE, stem(mill))), {Kind.MISCOUNT}, True,
    ),
    "a crop's byte is flipped": (lambda mill: flip(file(mill, FACES + ".tar"), 900), {Kind.BROKEN_BYTES}, False),
    "a tar of crops is gone": (lambda mill: file(mill, FACES + ".tar").unlink(), {Kind.NO_TAR}, True),
    "an index of crops is gone": (lambda mill: file(mill, FACES + ".parquet").unlink(), {Kind.NO_INDEX}, True),
    "a row of crops is missing": (
        lambda mill: drop_last_row(mill, mill.lake.faces("bbox", SOURCE, stem(mill)) + ".parquet"),
        {Kind.MISCOUNT}, True,
    ),
    "a sample's byte is flipped": (lambda mill: flip(file(mill, DATASET + "*.tar"), 900), {Kind.BROKEN_BYTES}, False),
    "a shard of samples is gone": (lambda mill: file(mill, DATASET + "*.tar").unlink(), {Kind.NO_TAR}, True),
    "the rows of a shard of samples are gone": (
        lambda mill: file(mill, SHARDS + ".parquet").unlink(), {Kind.NO_INDEX, Kind.UNREADABLE}, True,
    ),
    "the rows of a shard of samples are cut": (
        lambda mill: cut(file(mill, SHARDS + ".parquet"), 99), {Kind.UNREADABLE}, True,
    ),
    "a row of a shard of samples tells of another picture": (
        lambda mill: change_first_row(mill, SHARDS + ".parquet", url="http://elsewhere.example/"),
        {Kind.UNTRUE_MANIFEST}, False,
    ),
    "a row of an index of samples lies elsewhere": (
        lambda mill: change_first_row(mill, DATASET + "index.parquet", offset=77), {Kind.UNREADABLE}, True,
    ),
    "a row of an index of samples names another person": (
        lambda mill: change_first_row(mill, DATASET + "index.parquet", identity="Person_9"),
        {Kind.UNTRUE_MANIFEST}, True,
    ),
    "the lines of a version are gone": (
        lambda mill: file(mill, "datasets/*/lines/*").unlink(), {Kind.UNREADABLE}, True,
    ),
    "the lines of a version are cut": (lambda mill: cut(file(mill, "datasets/*/lines/*"), 99), {Kind.UNREADABLE}, True),
    "an index of samples is gone": (
        lambda mill: file(mill, DATASET + "index.parquet").unlink(), {Kind.UNREADABLE}, True,
    ),
    "a manifest is altered": (
        lambda mill: alter(file(mill, DATASET + "manifest.json"), num_samples=20), {Kind.UNTRUE_MANIFEST}, True,
    ),
    "a manifest tells of other rules": (
        lambda mill: alter(file(mill, DATASET + "manifest.json"), method="mtcnn"), {Kind.UNTRUE_MANIFEST}, True,
    ),
    "a manifest is no manifest": (
        lambda mill: alter(file(mill, DATASET + "manifest.json"), funnel=[1]), {Kind.UNTRUE_MANIFEST}, True,
    ),
    "a manifest is gone": (lambda mill: file(mill, DATASET + "manifest.json").unlink(), {Kind.UNFINISHED}, True),
    "lines are missing": (
        lambda mill: drop_last_row(mill, mill.lake.links(SOURCE, "lines.parquet")), {Kind.MISCOUNT}, True,
    ),
    "the plan has a link twice": (lambda mill: repeat_rows(mill, mill.lake.plan(SOURCE)), {Kind.MISCOUNT}, True),
    "verdicts are cut": (lambda mill: cut(file(mill, "unique/*/*"), 99), {Kind.UNREADABLE}, True),
}  # fmt: skip


def test_a_sound_lake_is_clean(ready: Mill) -> None:
    assert check(Lake(ready.lake.url + "-empty")) == []
    assert check(ready.lake) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_repaired_and_made_good(ready: Mill, name: str) -> None:
    damage, expected, is_seen_quickly = DAMAGES[name]
    (before,) = all_versions(ready.lake)
    index = before.index()
    damage(ready)

    found = check(ready.lake)
    assert kinds(found) >= expected
    assert (kinds(check(ready.lake, quick=True)) >= expected) == is_seen_quickly
    done = repair(ready.lake, found, datetime.now(UTC))
    assert check(ready.lake) == []
    note = ready.lake.read_json(f"{done.folder}/note.json")
    assert {row["kind"] for row in note["findings"]} == kinds(found)
    assert all(ready.lake.exists(f"{done.folder}/{path}") and not ready.lake.exists(path) for path in done.moved)

    after = ready.run().dataset
    assert str(after) == str(before)
    assert after.index().equals(index)
    assert check(ready.lake) == []


@pytest.mark.parametrize(
    "name", ["a sample's byte is flipped", "a shard of samples is gone", "an index of samples is gone"]
)
def test_damage_of_a_version_of_layout_1_is_found_and_repaired(ready: Mill, name: str) -> None:
    damage, expected, _ = DAMAGES[name]
    (version,) = all_versions(ready.lake)
    index = version.index()
    to_layout_1(version)
    assert check(ready.lake) == []
    damage(ready)

    found = check(ready.lake)
    assert kinds(found) >= expected
    repair(ready.lake, found, datetime.now(UTC))
    after = ready.run().dataset
    assert after.index().equals(index)
    assert check(ready.lake) == []


def test_a_repair_killed_at_any_step_and_run_again_mends_all(ready: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(file(ready, IMAGES + ".tar"), 900)
    file(ready, DATASET + "index.parquet").unlink()
    start = Path(ready.lake.root)
    for step in range(1000):
        lake = Lake(start.with_name(f"killed-{step}"))
        shutil.copytree(start, lake.root)
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                repair(lake, check(lake), datetime.now(UTC))
                break
            except Killed:
                pass
        repair(lake, check(lake), datetime.now(UTC))
        assert check(lake) == []
        mended = Mill(lake, ready.links, ready.web)
        assert list(mended.outcomes().values()).count("lost") == 1
    assert step > 5


def test_a_lake_in_an_object_store_is_mended_and_purged_alike(ready: Mill) -> None:
    flip(file(ready, IMAGES + ".tar"), 900)
    file(ready, DATASET + "manifest.json").unlink()
    lake = Lake(f"memory://{uuid.uuid4().hex}")
    lake.fs.put(f"{ready.lake.root}/", f"{lake.root}/", recursive=True)
    assert kinds(check(lake)) == {Kind.BROKEN_BYTES, Kind.UNFINISHED}
    repair(lake, check(lake), datetime.now(UTC))
    assert check(lake) == []

    mended = Mill(lake, ready.links, ready.web)
    mended.run()
    request = TakedownRequest(urls=(GROUP,))
    forget(lake, request, coverage(lake, request))
    assert purge(lake).pictures == 1
    mended.run()
    assert (check(lake), mended.outcomes()[url_key(GROUP)]) == ([], "taken_down")


def test_parts_of_an_upload_whose_writer_was_killed_are_dropped_and_leases_are_no_fault(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.files.lake.lost_uploads", partial(lost_uploads, older_than=timedelta(0)))
    lake = Lake(f"{bucket}/lake")
    lake.write_json("leases/crop/made/0000.1.json", {"holder": "killed"})
    place = {"Bucket": bucket.removeprefix("s3://"), "Key": "lake/datasets/faces/v1/train-00000.tar"}
    for _ in range(2):
        lake.fs.call_s3("create_multipart_upload", **place)
    found = check(lake)
    assert {(one.kind, one.path, remedy(one)) for one in found} == {
        (Kind.PARTIAL_UPLOAD, "datasets/faces/v1/train-00000.tar", Remedy.ABORT)
    }
    assert repair(lake, found, datetime.now(UTC)).aborted == 2
    assert check(lake) == []


def test_only_what_is_broken_is_asked_for_again(ready: Mill) -> None:
    flip(file(ready, IMAGES + ".tar"), 900)
    found = check(ready.lake)
    ready.request.clear()
    assert repair(ready.lake, found, datetime.now(UTC)).lost == 1
    ready.run()
    assert len(ready.request) == 1


def test_what_cannot_be_had_again_stops_with_its_own_reason_and_counts_add_up(ready: Mill) -> None:
    cut(file(ready, IMAGES + ".tar"), 9000)
    (finding,) = check(ready.lake)
    ready.web.clear()
    repair(ready.lake, [finding], datetime.now(UTC))
    outcomes = ready.outcomes()
    assert {outcomes[key] for key in finding.keys} == {"lost"}
    ready.fetch()
    assert {ready.outcomes()[key] for key in finding.keys} == {"gone"}
    assert len(ready.outcomes()) == len(outcomes)


def test_a_model_whose_files_are_not_what_its_manifest_says_is_put_aside(ready: Mill) -> None:
    write_model(ready.lake, "embedder", "v1", {"weights": b"1", "card.md": b"2"}, {"trained_at": "2026"})
    ready.lake.write("models/embedder/v1/weights", b"3")
    ready.lake.write("models/embedder/v2/weights", b"3")
    found = check(ready.lake)
    assert {(one.path, one.kind) for one in found} == {
        ("models/embedder/v1", Kind.BROKEN_BYTES),
        ("models/embedder/v2", Kind.UNFINISHED),
    }
    repair(ready.lake, found, datetime.now(UTC))
    assert check(ready.lake) == []
    assert ready.lake.names("models/embedder") == []


def test_computed_tables_are_put_aside_with_what_belongs_to_them(ready: Mill) -> None:
    for path in ("evaluations/m/v/faces@v.parquet", "cleaned/bbox/vggface1/m/v/faces.parquet"):
        ready.lake.write(path, b"?")
        ready.lake.write(path.replace("parquet", "json"), b"{}")
    found = check(ready.lake)
    assert {one.path for one in found} == {"evaluations/m/v/faces@v", "cleaned/bbox/vggface1/m/v"}
    done = repair(ready.lake, found, datetime.now(UTC))
    assert check(ready.lake) == [] and len(done.moved) == 3


def test_the_aliases_of_a_model_are_no_version(ready: Mill) -> None:
    write_model(ready.lake, "embedder", "v1", {"weights": b"1"}, {"trained_at": "2026"})
    record_alias(ready.lake, "embedder", AliasEvent("candidate", "train", "v1", None, "test"))
    assert check(ready.lake) == []


def test_a_takedown_that_was_not_purged_is_found_and_purged(ready: Mill) -> None:
    request = TakedownRequest(urls=(GROUP,))
    forget(ready.lake, request, coverage(ready.lake, request))
    found = check(ready.lake)
    assert kinds(found) == {Kind.TAKEN_DOWN}
    assert repair(ready.lake, found, datetime.now(UTC)).purged
    ready.run()
    assert check(ready.lake) == []
    assert ready.outcomes()[url_key(GROUP)] == "taken_down"


def test_a_shard_that_a_run_was_writing_when_it_was_looked_at_stays(ready: Mill) -> None:
    index = file(ready, IMAGES + ".parquet")
    index.rename(index.with_name(".tmp-0123"))
    found = [one for one in check(ready.lake) if one.kind is Kind.NO_INDEX]
    index.with_name(".tmp-0123").rename(index)
    assert (len(found), repair(ready.lake, found, datetime.now(UTC)).moved) == (1, [])
    assert check(ready.lake) == []


def test_takedowns_that_cannot_be_read_are_left_alone_and_told(ready: Mill) -> None:
    ready.lake.write(ready.lake.takedowns("20260101T000000"), b"?")
    (finding,) = check(ready.lake)
    assert (finding.kind, remedy(finding)) == (Kind.UNREADABLE, Remedy.BACKUP)
    done = repair(ready.lake, [finding], datetime.now(UTC))
    assert (len(done.left), done.moved) == (1, [])
    assert check(ready.lake) == [finding]


def test_a_look_changes_nothing(ready: Mill) -> None:
    flip(file(ready, IMAGES + ".tar"), 900)
    root = Path(ready.lake.root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    check(ready.lake)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_repair_removes_what_killed_writers_left_and_keeps_no_copy(ready: Mill) -> None:
    add_leftover(ready)
    done = repair(ready.lake, check(ready.lake), datetime.now(UTC))
    (removed,) = done.removed
    assert removed.startswith(f"images/{SOURCE}/.tmp-")
    assert list(Path(ready.lake.root).rglob(".tmp-*")) == [] and check(ready.lake) == []


@pytest.mark.attack(6)
@pytest.mark.parametrize("place", ["quarantine", "detections/other"])
def test_a_repair_moves_nothing_through_a_link_out_of_the_lake(ready: Mill, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "diary.parquet").write_bytes(b"precious")
    link = Path(ready.lake.root) / place
    link.symlink_to(outside)
    lose_shard(ready)
    with pytest.raises(LakeError, match=f"{place}.* links out of the lake.*mount --bind"):
        repair(ready.lake, check(ready.lake), datetime.now(UTC))
    assert [path.name for path in outside.iterdir()] == ["diary.parquet"]
    assert (outside / "diary.parquet").read_bytes() == b"precious"
