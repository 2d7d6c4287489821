from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.errors import ChangedMeanwhile, LakeError
from storage.files.lake import Lake
from storage.files.stores import lost_uploads
from storage.records import bytes_digest, identity_key, url_key
from storage.tables.parquet import read_table, write_table
from storage.tables.shards import read_member
from storage.versions.datasets import DatasetVersion, all_versions, open_dataset
from storage.versions.models import write_model
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import read_faces
from tasks.dataset.split import SplitRules
from tasks.fetch.ledger import accepted, image_stems
from tasks.links.collect import collect_links
from tasks.links.sources import source_named
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.prune.apply import Pruned, apply
from tasks.maintenance.prune.plan_prune import plan_prune
from tasks.maintenance.prune.policy import Policy
from tasks.maintenance.takedown.blank_lines import lines_to_blank
from tasks.maintenance.takedown.forget import TakedownRequest, coverage, forget
from tasks.maintenance.takedown.purge import Purged, purge
from tasks.maintenance.takedown.rewrite import successor
from tasks.web.responses import FetchResult
from tests.layout_1 import to_layout_1
from tests.tasks.maintenance.conftest import COPIED, COPY, GROUP, SMALLER, SOURCE, Killed, Mill, killed_at

_ONE_SPLIT = SplitRules(test_share=0, val_share=0, least_identities=0)
PERSON_0 = TakedownRequest(names=("Person_0",))


def take_down(lake: Lake, request: TakedownRequest) -> None:
    forget(lake, request, coverage(lake, request))


def holding(lake: Lake, data: bytes) -> list[str]:
    """Every file below the lake in which the bytes stand; pictures lie uncompressed in tars."""
    root = Path(lake.root)
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and data in path.read_bytes()]


def files(lake: Lake) -> dict[str, bytes]:
    root = Path(lake.root)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def crops_of(mill: Mill, url: str) -> list[bytes]:
    faces = read_faces(mill.lake, SOURCE, "bbox").to_pylist()
    mine = [row for row in faces if row["key"] == url_key(url)]
    return [read_member(mill.lake, row["shard"], row["offset"], row["length"]) for row in mine]


def check_places(lake: Lake) -> None:
    """Every index names a tar that is there, and in it the bytes it says."""
    for stem in image_stems(lake, SOURCE):
        for row in accepted(read_table(lake, f"{lake.images(SOURCE, stem)}.parquet")).to_pylist():
            data = read_member(lake, f"{lake.images(SOURCE, row['shard'])}.tar", row["offset"], row["length"])
            assert bytes_digest(data) == row["digest"]
    for version in all_versions(lake):
        for row in version.index().to_pylist():
            assert bytes_digest(version.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_what_it_covers_is_counted_before_it_is_recorded(ready: Mill) -> None:
    ready.run()
    (found,) = coverage(ready.lake, replace(PERSON_0, near_copies=True))
    assert found.counts() == {
        "source": SOURCE,
        "num_people": 1,
        "num_lines": 3,
        "num_links": 3,
        "num_pictures": 4,
        "num_elsewhere": 1,
        "num_near": 1,
    }
    assert [one.num_near for one in coverage(ready.lake, PERSON_0)] == [None]
    assert ready.lake.names("takedowns") == []


def test_somebody_can_be_forgotten_before_anything_was_fetched(mill: Mill) -> None:
    asyncio.run(collect_links(mill.lake, source_named(SOURCE), str(mill.links)))
    (found,) = coverage(mill.lake, PERSON_0)
    assert (found.num_links, found.num_pictures, found.num_near) == (3, 0, None)
    take_down(mill.lake, PERSON_0)
    mill.run()
    assert not [url for url in mill.request if "h0.example" in url]


def test_the_bytes_are_gone_from_the_lake_and_what_is_left_goes_on_as_before(ready: Mill) -> None:
    before = ready.run().dataset
    gone = [ready.web[GROUP], ready.web[COPIED], *crops_of(ready, GROUP), *crops_of(ready, COPY)]
    assert len(gone) == 5 and all(holding(ready.lake, data) for data in gone)
    ready.lake.write("work/faces.npy", gone[0])
    ready.lake.write("quarantine/then/images/x.tar", gone[0])
    ready.lake.write(f"{before.folder}/report.html", gone[0])
    ready.lake.write(f"{ready.lake.images(SOURCE)}/0000-0009-ffffff.tar", gone[0])

    take_down(ready.lake, PERSON_0)
    purged = purge(ready.lake)

    assert [holding(ready.lake, data) for data in gone] == [[]] * len(gone)
    assert ready.lake.names(ready.lake.cache()) == []
    for stem in image_stems(ready.lake, SOURCE):
        urls = read_table(ready.lake, f"{ready.lake.images(SOURCE, stem)}.parquet", ["url"])["url"].to_pylist()
        assert not [url for url in urls if "h0.example" in url or url == COPY]
    assert (purged.pictures, purged.datasets) == (4, {str(before): 5})
    after = ready.run()
    assert Counter(after.dataset.index()["identity"].to_pylist()) == {
        "Person_1": 3, "Person_2": 3, "Person_3": 4, "Person_4": 3, "Person_5": 3,
    }  # fmt: skip
    assert after.funnel.stages[1].rejected == {"taken_down": 5, "gone": 1}
    assert {row["url"] for row in after.dataset.outcomes().to_pylist() if row["reason"] == "taken_down"} == {""}
    assert purge(ready.lake) == Purged()


def test_near_copies_go_too_where_that_is_asked_for(ready: Mill) -> None:
    take_down(ready.lake, TakedownRequest(names=("Person_0",), near_copies=True))
    purge(ready.lake)
    assert holding(ready.lake, ready.web[SMALLER]) == []


def test_nothing_taken_down_is_asked_for_when_links_are_read_anew(mill: Mill) -> None:
    take_down(mill.lake, TakedownRequest(urls=(GROUP,), digests=(bytes_digest(mill.web[COPIED]),)))
    mill.run()
    assert GROUP not in mill.request
    assert COPIED in mill.request  # what it serves is known only then
    taken = [mill.outcomes()[url_key(url)] for url in (GROUP, COPIED, COPY, SMALLER)]
    assert taken == ["taken_down"] * 3 + ["accepted"]
    assert holding(mill.lake, mill.web[COPIED]) == []
    request = len(mill.request)
    mill.run()
    assert len(mill.request) == request


def test_a_version_says_what_it_lost_and_stays_readable(ready: Mill) -> None:
    before = ready.run().dataset
    outcomes = before.outcomes()
    lost = {row["sample"] for row in before.index().to_pylist() if row["url"] == GROUP}
    take_down(ready.lake, TakedownRequest(urls=(GROUP,)))
    purge(ready.lake)

    after = open_dataset(ready.lake, str(before))
    (entry,) = after.redactions
    assert (set(entry["samples"]), entry["num_samples"]) == (lost, 2)
    assert after.manifest["num_samples"] == len(after.index()) == before.manifest["num_samples"] - 2
    assert after.manifest["funnel"] == before.manifest["funnel"]
    assert (after.version, after.state) == (before.version, f"{before}-less-2")
    assert after.outcomes().drop_columns("url").equals(outcomes.drop_columns("url"))
    assert GROUP not in after.outcomes()["url"].to_pylist()
    check_places(ready.lake)

    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    purge(ready.lake)
    again = open_dataset(ready.lake, str(before))
    assert [one["num_samples"] for one in again.redactions] == [2, 2]
    check_places(ready.lake)


def test_models_that_knew_what_is_forgotten_are_named_and_later_ones_are_not(ready: Mill) -> None:
    dataset = ready.run().dataset

    def train(version: str) -> None:
        manifest = ready.lake.read(f"{dataset.folder}/manifest.json")
        lineage = {"dataset_manifest_sha256": bytes_digest(manifest).hex(), "dataset_state": dataset.state}
        files = {"lineage.json": json.dumps(lineage).encode()}
        write_model(ready.lake, "embedder", version, files, {"trained_at": "2026-01-01"})

    train("before")
    take_down(ready.lake, TakedownRequest(urls=(GROUP,)))
    train("between")
    assert purge(ready.lake).models == {"embedder@before": str(dataset)}
    train("after")
    assert purge(ready.lake).models == {"embedder@before": str(dataset)}


def prune_all_but_the_newest(lake: Lake, *, even_lineage: bool = False) -> Pruned:
    plan = plan_prune(lake, Policy(keep_last=1, even_lineage=even_lineage), datetime.now(UTC))
    return apply(lake, plan, by="ada", now=datetime.now(UTC), good_for_s=3600)


def test_of_a_pruned_version_nothing_is_left_to_purge_and_its_models_are_told_apart(ready: Mill) -> None:
    older = ready.run().dataset
    newer = publish_another(ready)
    for version, on in (("on-older", older), ("on-newer", newer)):
        manifest = {"dataset": str(on), "trained_at": "2026-01-01"}
        write_model(ready.lake, version, "v1", {"lineage.json": b"{}"}, manifest)
    assert prune_all_but_the_newest(ready.lake).kept == {}
    assert open_dataset(ready.lake, str(older))
    assert prune_all_but_the_newest(ready.lake, even_lineage=True).removed == [str(older)]
    ready.lake.write(f"{older.folder}/train-00000.tar", ready.web[COPIED])

    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    purged = purge(ready.lake)
    assert holding(ready.lake, ready.web[COPIED]) == []
    assert purged.datasets == {str(newer): 2}
    assert purged.unknown == {"on-older@v1": str(older)}
    assert older.folder in purged.removed


def test_a_version_with_samples_under_takedown_is_pruned_after_the_purge(ready: Mill) -> None:
    older = ready.run().dataset
    publish_another(ready)
    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    assert "forget --purge" in prune_all_but_the_newest(ready.lake).kept[str(older)]
    purge(ready.lake)
    assert prune_all_but_the_newest(ready.lake).removed == [str(older)]
    assert purge(ready.lake).unknown == {}


def test_faces_are_not_looked_for_again_in_pictures_that_stay(ready: Mill) -> None:
    ready.run()
    stems = image_stems(ready.lake, SOURCE)
    take_down(ready.lake, TakedownRequest(urls=(GROUP,)))
    purge(ready.lake)
    (new,) = set(image_stems(ready.lake, SOURCE)) - set(stems)
    assert new in {successor(stem) for stem in stems}
    kept = read_table(ready.lake, ready.lake.detections(SOURCE, new))["key"].to_pylist()
    there = accepted(read_table(ready.lake, f"{ready.lake.images(SOURCE, new)}.parquet"))["key"].to_pylist()
    assert sorted(kept) == sorted(there) and url_key(GROUP) not in kept


def publish_another(mill: Mill) -> DatasetVersion:
    """A second version of the same samples, which shares all shards with the first."""
    request = Request("faces", SOURCE, "bbox", SelectRules(min_face_px=21), _ONE_SPLIT)
    return publish_source(mill.lake, request).dataset


def test_shards_that_versions_share_are_replaced_in_all_of_them(ready: Mill) -> None:
    first, second = ready.run().dataset, publish_another(ready)
    assert (before := first.shards()) == second.shards()
    digests = {one.version: one.manifest["lines"] for one in (first, second)}
    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    purged = purge(ready.lake)

    assert purged.datasets == {str(first): 2, str(second): 2}
    assert holding(ready.lake, ready.web[COPIED]) == []
    after = all_versions(ready.lake)
    assert {one.version: one.manifest["lines"] for one in after} == digests
    assert after[0].shards() == after[1].shards() != before
    assert not any(COPIED in one.outcomes()["url"].to_pylist() for one in after)
    check_places(ready.lake)
    assert inspect(jobs(ready.lake)) == []


def test_who_reads_a_version_meanwhile_reads_what_is_left_of_it(ready: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ready.run().dataset
    take_down(ready.lake, PERSON_0)
    index, placed = version.index(), DatasetVersion.placed
    places = [tuple(row.values()) for row in index.select(["shard", "offset", "length"]).to_pylist()]
    purges = [lambda: purge(Lake(ready.lake.url))]

    def then_purged(version: DatasetVersion, columns: Sequence[str] | None = None) -> pa.Table:
        found = placed(version, columns)
        while purges:
            purges.pop()()
        return found

    monkeypatch.setattr(DatasetVersion, "placed", then_purged)
    left = version.whole_index()
    assert sorted(left["sample"].to_pylist()) == sorted(index["sample"].to_pylist())
    with pytest.raises(ChangedMeanwhile, match=f"{version.version}: samples were replaced by another run"):
        version.read_all(places)


def test_a_shard_that_a_run_is_writing_meanwhile_stays(ready: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.run()
    take_down(ready.lake, PERSON_0)
    tar = f"{ready.lake.images(SOURCE)}/0000-0099-ffffff.tar"

    def then_written(lake: Lake) -> list[str]:
        Lake(lake.url).write(tar, b"its index comes next")
        return lines_to_blank(lake)

    monkeypatch.setattr("tasks.maintenance.takedown.purge.lines_to_blank", then_written)
    assert tar not in purge(ready.lake).removed
    assert ready.lake.exists(tar)
    assert tar in purge(ready.lake).removed


def test_samples_that_no_version_lists_any_more_are_purged_from_the_shards(ready: Mill) -> None:
    version = ready.run().dataset
    gone = crops_of(ready, COPIED)
    placed = version.placed()
    kept = placed.filter(pc.invert(pc.equal(version.index()["url"], COPIED)))
    write_table(ready.lake, f"{version.folder}/index.parquet", kept)
    assert len(kept) < len(placed) and all(holding(ready.lake, data) for data in gone)

    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    purge(ready.lake)
    assert [holding(ready.lake, data) for data in gone] == [[]] * len(gone)
    check_places(ready.lake)


@pytest.mark.parametrize("layout", [1, 2])
def test_killed_at_any_step_and_run_again_it_ends_as_if_undisturbed(
    ready: Mill, monkeypatch: pytest.MonkeyPatch, layout: int
) -> None:
    version = ready.run().dataset
    if layout == 1:
        to_layout_1(version)
    else:
        publish_another(ready)
    ready.lake.write(f"cleaned/bbox/{SOURCE}/embedder/v1/faces.parquet", b"scores by name")
    ready.lake.write(f"unique/other+{SOURCE}/of.parquet", b"pictures of two lists")
    take_down(ready.lake, TakedownRequest(urls=(COPIED,)))
    start, calm = Path(ready.lake.root), Path(ready.lake.root).with_name("calm")
    shutil.copytree(start, calm)
    purge(Lake(calm))
    wanted = files(Lake(calm))

    for step in range(1000):
        lake = Lake(start.with_name(f"killed-{step}"))
        shutil.copytree(start, lake.root)
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                purge(lake)
                break
            except Killed:
                pass
        check_places(lake)
        purge(lake)
        found = files(lake)
        assert found.keys() == wanted.keys()
        assert {path for path in found if found[path] != wanted[path]} <= {
            path
            for path in wanted
            if path.endswith("manifest.json")  # it bears a time
        }
    assert step > 10


def test_what_cannot_be_searched_goes_though_no_shard_holds_the_picture_any_more(ready: Mill) -> None:
    """As after a repair that put its only copy in the quarantine."""
    version = ready.run().dataset
    take_down(ready.lake, PERSON_0)
    purge(ready.lake)
    left = ("quarantine/now/images/x.tar", "work/reports/faces.html", f"{version.folder}/report.html")
    for path in left:
        ready.lake.write(path, ready.web[GROUP])
    purge(ready.lake)
    assert holding(ready.lake, ready.web[GROUP]) == []
    assert not any(ready.lake.exists(path) for path in left)


def test_crops_go_though_the_shard_of_their_pictures_is_not_there(ready: Mill) -> None:
    gone = crops_of(ready, GROUP)
    take_down(ready.lake, TakedownRequest(urls=(GROUP,), digests=(bytes_digest(ready.web[COPIED]),)))
    held = [path for path in files(ready.lake) if path.startswith("faces/") and gone[0] in ready.lake.read(path)]
    (stem,) = (Path(path).stem for path in held)
    for ending in (".parquet", ".tar"):
        ready.lake.remove(f"{ready.lake.images(SOURCE, stem)}{ending}")
    purge(ready.lake)
    assert [holding(ready.lake, data) for data in gone] == [[]] * len(gone)
    assert [path for path in files(ready.lake) if stem in path] == []


def test_a_version_with_lines_of_its_own_loses_the_urls_of_pictures_that_it_never_had(ready: Mill) -> None:
    version = to_layout_1(ready.run().dataset)
    gone = "http://h4.example/gone.jpg"
    write_table(ready.lake, version.outcomes_path, version.outcomes())
    manifest = {name: value for name, value in version.manifest.items() if name != "lines"}
    ready.lake.write_json(f"{version.folder}/manifest.json", manifest)
    before = open_dataset(ready.lake, str(version)).outcomes()
    assert gone in before["url"].to_pylist()

    take_down(ready.lake, TakedownRequest(urls=(gone,)))
    purge(ready.lake)
    after = open_dataset(ready.lake, str(version)).outcomes()
    assert gone not in after["url"].to_pylist()
    assert after.drop_columns("url").equals(before.drop_columns("url"))


def test_a_person_is_found_under_her_name_however_it_is_written(ready: Mill) -> None:
    take_down(ready.lake, TakedownRequest(names=("person 0",)))
    assert ready.outcomes()[url_key(GROUP)] == "taken_down"
    assert identity_key("person 0") == identity_key("Person_0")


def test_a_link_stays_covered_when_a_later_list_gives_it_to_another_person(mill: Mill) -> None:
    asyncio.run(collect_links(mill.lake, source_named(SOURCE), str(mill.links)))
    take_down(mill.lake, PERSON_0)
    (mill.links / "Person_0.txt").rename(mill.links / "Person_9.txt")
    mill.run()
    assert not [url for url in mill.request if "h0.example" in url]


def test_a_picture_to_which_other_links_redirected_goes_with_the_url_that_is_taken_down(mill: Mill) -> None:
    """The redirected link is of another person; the URL itself is in no list."""
    final, known = "http://elsewhere.example/1.jpg", mill.get

    async def redirecting(url: str) -> FetchResult:
        answer = await known(url)
        return replace(answer, final_url=final) if url == GROUP else answer

    mill.get = redirecting  # type: ignore[method-assign]
    mill.run()
    (found,) = coverage(mill.lake, TakedownRequest(urls=(final,)))
    assert found.num_pictures == 1
    take_down(mill.lake, TakedownRequest(urls=(final,)))
    purge(mill.lake)
    assert mill.outcomes()[url_key(GROUP)] == "taken_down"
    assert holding(mill.lake, mill.web[GROUP]) == []


def test_urls_of_copies_are_blank_in_versions(ready: Mill) -> None:
    version = ready.run().dataset
    take_down(ready.lake, PERSON_0)
    purge(ready.lake)
    urls = open_dataset(ready.lake, str(version)).outcomes()["url"].to_pylist()
    assert not [url for url in urls if "h0.example" in url or url == COPY]


UNCLAIMED = (".tmp-vm-4194305-0123456789abcdef0123456789abcdef", ".tmp-0123.npz", ".tmp-0123456789ab-7-7-0123")
PLACES = ("plan", f"images/{SOURCE}", "datasets/faces", "work/faces", "quarantine", "quarantine/now/images", "")


def test_what_writers_left_goes_unless_its_writer_is_known_to_run(ready: Mill) -> None:
    ready.run()
    root = Path(ready.lake.root)
    left = [root / place / name for place in PLACES for name in UNCLAIMED]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ready.web[GROUP])
    with ready.lake.create("plan/other.parquet") as mine:
        take_down(ready.lake, PERSON_0)
        purged = purge(ready.lake)
        assert [path for path in left if path.exists()] == [] and mine.exists()
    assert holding(ready.lake, ready.web[GROUP]) == []
    assert f"plan/{UNCLAIMED[0]}" in purged.removed


def test_what_is_left_of_uploads_to_a_bucket_goes_from_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lake = Lake("memory://purged")
    lake.write("takedowns/one.parquet", b"")
    left = lake.work_folder / "uploads" / UNCLAIMED[0]
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half a shard")
    assert lake.unclaimed() == [f"work/uploads/{left.name}"]
    purge(lake)
    assert not left.exists()


def test_uploads_to_a_bucket_whose_writers_were_killed_are_dropped(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("storage.files.lake.lost_uploads", partial(lost_uploads, older_than=timedelta(0)))
    lake = Lake(f"{bucket}/lake")
    lake.write("takedowns/one.parquet", b"")
    place = {"Bucket": bucket.removeprefix("s3://"), "Key": f"lake/images/{SOURCE}/0000-0000-aaaaaa.tar"}
    lake.fs.call_s3("create_multipart_upload", **place)
    assert f"images/{SOURCE}/0000-0000-aaaaaa.tar" in purge(lake).removed
    assert lake.lost_uploads() == []


@pytest.mark.attack(6)
@pytest.mark.parametrize("place", ["quarantine", "detections", f"images/{SOURCE}", "datasets/faces", "work"])
def test_a_purge_removes_nothing_behind_a_link_out_of_the_lake(ready: Mill, tmp_path: Path, place: str) -> None:
    ready.run()
    take_down(ready.lake, PERSON_0)
    outside = tmp_path / "outside"
    folder = Path(ready.lake.root) / place
    if folder.exists():
        folder.rename(outside)
    else:
        (outside / "inner").mkdir(parents=True)
        (outside / "inner" / "thesis.jpg").write_bytes(b"precious")
    folder.symlink_to(outside)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    assert before or place == "work"
    with pytest.raises(LakeError, match=f"{place}.* links out of the lake.*mount --bind"):
        purge(Lake(ready.lake.url))
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
