from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.errors import LakeError, LeakError, UsageError, VersionPruned
from storage.files.lake import Lake
from storage.records import FACES, LINE_OUTCOMES, REJECTED_LINES, SAMPLES, Box, bytes_digest
from storage.stamps.code_version import code_version
from storage.tables.parquet import read_as, write_table
from storage.tables.shards import create_shard
from storage.tables.stored_rows import StoredRows
from storage.versions.datasets import open_dataset, versions
from storage.versions.sample_shards import read_rows, shared_shards
from storage.versions.tombstones import write_tombstone
from tasks.dataset import publish_version as publishing
from tasks.dataset.decide_outcomes import Content, decide
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import exclude
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.funnel import count_outcomes
from tasks.dataset.leaks import count_leaks
from tasks.dataset.publish_request import Request, id_by_manifest, version_id
from tasks.dataset.publish_version import Published, publish, publish_source
from tasks.dataset.samples import chosen_people, collect_samples, kept_lines, kept_outcomes
from tasks.dataset.select import SelectRules
from tasks.dataset.split import SplitRules, split_identities
from tasks.label_noise.estimate import CleanRules
from tasks.links.plan import plan
from tests.buckets import Faults
from tests.tasks.builders import BOX, OTHER_BOX, attempt, attempts, face, faces, jpeg, selected, shuffled, verdicts
from tests.tasks.image_shards import link_lines
from tests.tasks.made_lake import LINES, MALFORMED, PEOPLE, SOURCE, STEM, ends, make_lake

NUM_PEOPLE, FACES_EACH = 12, 3
ORIGIN = {"made_from": {"links": "0123"}, "terms": "Drawn; free of terms."}
ROWS = [
    (f"Person_{who:02d}", line, f"http://h{who}.example/{line}.jpg", None)
    for who in range(NUM_PEOPLE)
    for line in range(FACES_EACH)
]


@dataclass(frozen=True)
class Made:
    """A lake with crops, and what is to be published of them."""

    lake: Lake
    request: Request
    content: Content

    def publish(self, on_progress: Callable[[int], None] = lambda done: None) -> Published:
        return publish(self.lake, self.request, self.content, ORIGIN, on_progress=on_progress)

    @property
    def folder(self) -> Path:
        return Path(self.lake.full(self.lake.dataset("faces", version_id(self.request, self.content.samples))))


def make(
    folder: Path | str, *, num_stems: int = 2, order: int = 0, crops: int = 0, rules: SelectRules = SelectRules()
) -> Made:
    """Crops of all ROWS spread over so many shards in some order; `crops` chooses how they look."""
    lake, rows, table = Lake(folder), shuffled(ROWS, order), []
    for number in range(num_stems):
        shard = f"{lake.faces('mtcnn', 'made', f'{number:04d}-0')}.tar"
        with create_shard(lake, shard) as tar:
            for identity, line, url, _ in rows[number::num_stems]:
                data = jpeg(crops + ROWS.index((identity, line, url, None)))
                offset, length = tar.add(f"{line}.jpg", data)
                row = face(identity, line, url, crop_digest=bytes_digest(data), offset=offset, length=length)
                table.append({**row, "shard": shard})
    lines = link_lines(*ROWS)
    found = faces(*table).append_column("method", pa.array(["mtcnn"] * len(table)))
    found = found.append_column("shard", pa.array([row["shard"] for row in table]))
    judged = verdicts(lines, [None] * len(lines))
    outcomes = selected(
        lines, attempts(*[attempt(url) for _, _, url, _ in ROWS]), judged, found, method="mtcnn", rules=rules
    )
    request = Request("faces", "made", "mtcnn", rules)
    splits = split_identities(chosen_people(lines, outcomes), request.split)
    listed = StoredRows.of(lines)
    samples = collect_samples(request, lines, listed, judged, StoredRows.of(found), outcomes, splits)
    tables = samples, kept_outcomes("made", lines, outcomes), kept_lines("made", listed, outcomes)
    return Made(lake, request, Content(*tables, count_outcomes(outcomes, "mtcnn")))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "lake")


def test_a_version_holds_every_sample_with_its_picture(made):
    dataset = made.publish().dataset
    index = dataset.index()

    assert index.schema == SAMPLES
    assert len(index) == len(ROWS)
    for row in index.to_pylist():
        assert bytes_digest(dataset.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]
        assert row["shard"].startswith(f"shards/{row['split']}-")


@pytest.mark.parametrize(("limit", "where"), [("_BYTES_AT_A_TIME", "memory://"), ("_SAMPLES_AT_A_TIME", "/")])
def test_shards_are_the_same_however_many_are_written_at_a_time(tmp_path, monkeypatch, limit, where):
    monkeypatch.setattr(publishing, "_SAMPLES_PER_SHARD", 5)
    whole, some = (make(f"{where}{tmp_path}/{name}") for name in ("whole", "some"))
    first = whole.publish().dataset
    monkeypatch.setattr(f"storage.versions.write_shards.{limit}", 7)
    second = some.publish().dataset

    assert len(first.shards()) > 5
    assert [whole.lake.read(path) for path in first.shards()] == [some.lake.read(path) for path in second.shards()]
    assert first.index().equals(second.index())


def test_of_two_that_publish_a_version_at_the_same_time_the_first_one_s_manifest_stays(made):
    published: list[Any] = []

    def another_does_meanwhile(done: int) -> None:
        if not published:
            published.append(None)
            published[0] = made.publish()

    second = made.publish(another_does_meanwhile)
    assert (published[0].is_new, second.is_new) == (True, False)
    assert second.dataset.manifest == published[0].dataset.manifest
    assert len(versions(made.lake, "faces")) == 1


def test_a_person_is_in_one_split_and_every_split_has_people(made):
    rows = made.publish().dataset.index(["identity", "split"]).to_pylist()
    splits = {row["identity"]: row["split"] for row in rows}

    assert {(row["identity"], row["split"]) for row in rows} == set(splits.items())
    assert set(splits.values()) == {"train", "val", "test"}


def test_the_manifest_counts_what_is_there_and_says_where_it_came_from(made):
    manifest = made.publish().dataset.manifest

    assert manifest["num_samples"] == len(ROWS) == sum(one["samples"] for one in manifest["splits"].values())
    assert manifest["num_identities"] == NUM_PEOPLE == sum(one["identities"] for one in manifest["splits"].values())
    assert manifest["version"] == made.folder.name
    assert (manifest["made_from"], manifest["terms"]) == (ORIGIN["made_from"], ORIGIN["terms"])
    assert (manifest["method"], manifest["select"]["min_face_px"]) == ("mtcnn", 100)
    assert manifest["code"] == code_version()
    assert manifest["funnel"]["stages"][-1]["num_out"] == len(ROWS)


def test_the_manifest_says_that_nothing_stands_on_two_sides(made):
    leaks = made.publish().dataset.manifest["leaks"]

    assert leaks == {"identities": 0, "clusters": 0, "image_digests": 0, "crop_digests": 0, "ties": 0}


def test_a_version_that_leaks_is_not_published_and_leaves_nothing(made):
    rows = made.content.samples.to_pylist()
    rows[0]["cluster"] = next(row["cluster"] for row in rows if row["split"] != rows[0]["split"])
    samples = pa.Table.from_pylist(rows, schema=made.content.samples.schema)

    with pytest.raises(LeakError, match="1 clusters"):
        replace(made, content=replace(made.content, samples=samples)).publish()
    with pytest.raises(LeakError, match="1 ties"):
        replace(made, content=replace(made.content, ties=((rows[0]["identity"], rows[-1]["identity"]),))).publish()
    assert made.lake.names("datasets") == []


def test_the_manifest_tells_an_exclusion_without_the_names(made):
    exclusion = exclude([ROWS[0][0]], [ROWS[0][0]])
    manifest = replace(made, request=replace(made.request, exclusion=exclusion)).publish().dataset.manifest

    assert manifest["exclude"] == exclusion.to_json()
    assert ROWS[0][0] not in str(manifest)


def shards_of(made: Made) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (made.folder.parent / "shards").iterdir()}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_the_same_content_published_again_is_the_same_version_and_nothing_is_written(made):
    first = made.publish()
    before = files(made.folder)
    again = made.publish()

    assert (first.is_new, again.is_new) == (True, False)
    assert str(again.dataset) == str(first.dataset)
    assert files(made.folder) == before
    assert len(versions(made.lake, "faces")) == 1


def test_a_version_does_not_hang_on_the_shards_and_the_order_its_crops_lay_in(made, tmp_path):
    other = make(tmp_path / "other", num_stems=5, order=1)
    made.publish(), other.publish()

    assert other.folder.name == made.folder.name
    assert (other.folder / "index.parquet").read_bytes() == (made.folder / "index.parquet").read_bytes()
    assert shards_of(other) == shards_of(made)


def test_other_crops_and_other_rules_make_another_version(made, tmp_path):
    samples = made.content.samples
    requests = [
        made.request,
        replace(made.request, select=SelectRules(min_face_px=99)),
        replace(made.request, split=SplitRules(test_share=0.5)),
        replace(made.request, source="other"),
        replace(made.request, method="agree"),
        replace(made.request, exclusion=exclude([], ["Somebody"])),
        replace(made.request, exclusion=exclude([], ["Somebody Else"])),
        replace(made.request, dedupe=DedupeRules(near_distance=4)),
        replace(made.request, clean=CleanRules(rounds=2)),
        replace(made.request, made_with={"crop": {"margin": 0.2}}),
    ]
    ids = {version_id(request, samples) for request in requests}
    ids.add(version_id(made.request, make(tmp_path / "other", crops=100).content.samples))
    ids.add(version_id(made.request, samples.slice(1)))

    assert len(ids) == 12
    assert version_id(replace(made.request, name="other"), samples) in ids


def fewer(made: Made, num: int) -> Made:
    """The same without the last samples of the train split, and with other settings, so that both are versions."""
    samples = made.content.samples
    train = np.flatnonzero(pc.equal(samples["split"], "train").to_numpy())
    left = samples.take(pa.array(np.setdiff1d(np.arange(len(samples)), train[-num:])))
    request = replace(made.request, select=SelectRules(min_face_px=101))
    return replace(made, request=request, content=replace(made.content, samples=left))


def test_versions_that_differ_a_little_share_their_shards_and_lines(made, tmp_path):
    first = made.publish().dataset
    before = shards_of(made)
    second = fewer(made, 2).publish().dataset
    assert first.shards() == second.shards()
    assert shards_of(made) == before
    assert first.manifest["lines"] == second.manifest["lines"]
    assert len(list((made.folder.parent / "lines").iterdir())) == 1

    alone = fewer(make(tmp_path / "alone"), 2).publish().dataset
    place = ["shard", "offset"]
    assert str(alone) == str(second)
    assert alone.shards() != second.shards()
    assert alone.index().drop_columns(place).equals(second.index().drop_columns(place))
    assert alone.outcomes().equals(second.outcomes())
    for row in second.index().to_pylist():
        assert bytes_digest(second.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_only_what_no_shard_has_is_written(made):
    done: list[int] = []
    smaller = fewer(made, 2).publish().dataset
    made.publish(done.append)
    assert done == [len(ROWS) - 2, len(ROWS)]
    sizes = [len(read_rows(made.lake, "faces", shard)) for shard in shared_shards(made.lake, "faces")]
    assert sorted(sizes)[0] == 2 and sum(sizes) == len(ROWS)
    assert set(smaller.shards()) < {made.lake.dataset("faces", one) for one in shared_shards(made.lake, "faces")}


def test_a_cluster_of_copies_that_grew_is_told_by_the_index_and_moves_no_sample(made):
    made.publish()
    before = shards_of(made)
    rows = made.content.samples.to_pylist()
    rows[0]["cluster"] = bytes(32)
    samples = pa.Table.from_pylist(rows, schema=made.content.samples.schema)
    request = replace(made.request, select=SelectRules(min_face_px=101))
    other = replace(made, request=request, content=replace(made.content, samples=samples)).publish().dataset
    assert shards_of(made) == before
    assert other.index(["cluster"])["cluster"].to_pylist() == samples["cluster"].to_pylist()
    assert other.placed()["cluster"].null_count == len(rows) - 1


def test_a_newer_layout_is_refused_in_one_line(made):
    version = made.publish().dataset
    manifest = f"{version.folder}/manifest.json"
    made.lake.write_json(manifest, version.manifest | {"layout": 3})
    with pytest.raises(LakeError, match="has layout 3, this facemill reads up to 2: install a newer version"):
        open_dataset(made.lake, "faces")


def test_the_outcome_of_every_line_stands_in_the_version(tmp_path):
    made = make(tmp_path, rules=SelectRules(min_faces=3))
    outcomes = made.publish().dataset.outcomes()

    assert outcomes.schema == LINE_OUTCOMES
    assert [row["stage"] for row in outcomes.to_pylist()] == ["sample"] * len(ROWS)
    assert [(row["identity"], row["line"], row["url"]) for row in outcomes.to_pylist()] == [row[:3] for row in ROWS]


def test_a_version_published_just_after_another_is_the_newest(made):
    for request in (made.request, replace(made.request, split=SplitRules(test_share=0.5))):
        last = publish(made.lake, request, made.content, ORIGIN)

    assert len(versions(made.lake, "faces")) == 2
    assert open_dataset(made.lake, "faces").version == last.dataset.version


def test_large_splits_are_cut_into_several_shards(made, monkeypatch):
    monkeypatch.setattr(publishing, "_SAMPLES_PER_SHARD", 5)
    dataset = made.publish().dataset
    counts = pc.value_counts(dataset.index(["shard"])["shard"]).to_pylist()

    assert max(item["counts"] for item in counts) == 5
    assert sum(item["values"].startswith("shards/train-") for item in counts) > 1
    for row in dataset.index().to_pylist():
        assert bytes_digest(dataset.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_progress_is_told_tar_by_tar(made, monkeypatch):
    done: list[int] = []
    one_shard_at_a_time(monkeypatch)
    made.publish(done.append)

    assert len(shared_shards(made.lake, "faces")) <= len(done) < len(ROWS)
    assert done == sorted(set(done)) and done[-1] == len(ROWS)


def one_shard_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.versions.write_shards._SAMPLES_AT_A_TIME", 1)


def killed_in_a_shard(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(done: int) -> None:
        if done == len(ROWS):
            raise KeyboardInterrupt

    one_shard_at_a_time(monkeypatch)
    made.publish(die)


def killed_before_the_manifest(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(made.lake, "write_once", die)
    made.publish()


@pytest.mark.parametrize("killed", [killed_in_a_shard, killed_before_the_manifest])
def test_a_version_killed_before_its_manifest_is_not_there_and_is_completed_later(made, tmp_path, monkeypatch, killed):
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        killed(made, patch)
    assert list(made.folder.parent.rglob("*.tar"))
    assert versions(made.lake, "faces") == []

    done, whole = made.publish(), make(tmp_path / "whole")
    whole.publish()
    assert done.is_new
    assert open_dataset(made.lake, "faces").version == whole.folder.name
    assert shards_of(made) == shards_of(whole)
    assert {path.name: path.read_bytes() for path in made.folder.iterdir() if path.suffix != ".json"} == {
        path.name: path.read_bytes() for path in whole.folder.iterdir() if path.suffix != ".json"
    }


def test_without_samples_there_is_no_version_but_a_word_on_where_they_went(tmp_path):
    made = make(tmp_path, rules=SelectRules(min_face_px=500))
    with pytest.raises(UsageError) as error:
        made.publish()

    assert str(error.value) == (
        "no mtcnn face of made meets the requirements: fetch 36 of 36; dedupe 36 of 36; crop 36 of 36; "
        "select 0 of 36 (face_too_small 36)"
    )
    assert made.lake.names("datasets") == []


def test_plain_tar_and_json_read_a_version(made):
    import tarfile

    dataset = made.publish().dataset
    (shard,) = (path for path in dataset.shards() if "test-" in path)
    with tarfile.open(made.lake.full(shard)) as tar:
        names = tar.getnames()
        member = tar.extractfile(names[1])
        assert member is not None
        facts = json.load(member)

    assert [name.removesuffix(".jpg") for name in names[::2]] == [name.removesuffix(".json") for name in names[1::2]]
    assert facts["split"] == "test"
    assert facts["url"].startswith("http://h")
    assert len(facts["face_box_xyxy"]) == 4


@pytest.mark.parametrize(("min_faces", "left"), [(2, FACES_EACH), (FACES_EACH + 1, 0)])
def test_a_group_photo_of_people_on_two_sides_stays_with_those_who_train(tmp_path, min_faces, left):
    splits = split_identities(row[0] for row in ROWS)
    learner, tested = (min(name for name in splits if splits[name] == side) for side in ("train", "test"))
    photo = [(learner, 9, "http://group.example/", BOX), (tested, 9, "http://group.example/", OTHER_BOX)]
    rules = SelectRules(min_faces=min_faces)
    lake = lake_of(tmp_path, [*ROWS, *photo])
    compare_pictures(lake, SOURCE)
    content = decide(lake, Request("faces", SOURCE, "mtcnn", rules))
    outcomes = {(row["identity"], row["line"]): row["reason"] or row["stage"] for row in content.outcomes.to_pylist()}

    assert (outcomes[learner, 9], outcomes[tested, 9]) == ("sample", "cross_split")
    assert Counter(content.samples["identity"].to_pylist())[tested] == left
    assert [outcomes[tested, line] for line in range(FACES_EACH)] == ["sample" if left else "few_faces"] * FACES_EACH
    assert not any(count_leaks(content.samples, content.ties).values())


def lake_of(folder: Path, rows: list[tuple[str, int, str, Box | None]]) -> Lake:
    """A lake in which each of these lines has a face, without pictures."""
    lake, lines = Lake(folder), link_lines(*rows)
    write_table(lake, lake.links(SOURCE, "lines.parquet"), lines)
    write_table(lake, lake.links(SOURCE, "rejected.parquet"), REJECTED_LINES.empty_table())
    lake.write_json(lake.links(SOURCE, "origin.json"), {"digest": "made"})
    write_table(lake, lake.plan(SOURCE), plan(lines))
    urls = dict.fromkeys(url for _, _, url, _ in rows)
    write_table(lake, f"{lake.images(SOURCE, STEM)}.parquet", attempts(*[attempt(url) for url in urls]))
    crops = {row: bytes_digest(repr(row).encode()) for row in rows}
    found = [face(*row[:3], crop_digest=crops[row], source_box_xyxy=row[3] or BOX) for row in rows]
    write_table(lake, f"{lake.faces('mtcnn', SOURCE, STEM)}.parquet", faces(*found))
    return lake


@pytest.mark.parametrize("method", ["bbox", "mtcnn", "agree"])
def test_every_link_line_of_a_source_is_a_sample_or_stopped_for_a_reason(tmp_path, method):
    lake = make_lake(tmp_path)
    dataset = publish_source(lake, Request("faces", SOURCE, method)).dataset
    stages = dataset.manifest["funnel"]["stages"]
    rejected = sum((Counter(one["rejected"]) for one in stages), Counter())
    outcomes = dataset.outcomes().to_pylist()

    assert stages[0]["num_in"] == MALFORMED + len(PEOPLE) * len(LINES)
    assert rejected + Counter(sample=stages[-1]["num_out"]) == ends(method) + Counter(malformed_line=MALFORMED)
    assert Counter(row["reason"] or ("sample" if row["stage"] == "sample" else "pending") for row in outcomes) == ends(
        method
    )
    assert {(row["identity"], row["line"]) for row in outcomes if row["stage"] == "sample"} == {
        (row["identity"], row["line"]) for row in dataset.index().to_pylist()
    }


def test_where_methods_agree_the_samples_are_those_of_mtcnn(tmp_path):
    lake = make_lake(tmp_path)
    agreed, detected = (publish_source(lake, Request(method, SOURCE, method)).dataset for method in ("agree", "mtcnn"))
    columns = ["sample", "method", "crop_digest"]
    both, mtcnn = ({tuple(row.values()) for row in one.index(columns).to_pylist()} for one in (agreed, detected))

    assert both < mtcnn
    for row in agreed.index().to_pylist():
        assert bytes_digest(agreed.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_a_source_published_again_writes_no_file_and_after_a_change_another_version(tmp_path):
    lake, request = make_lake(tmp_path), Request("faces", SOURCE, "mtcnn")
    first = publish_source(lake, request)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = publish_source(lake, request)
    other = publish_source(lake, replace(request, select=SelectRules(min_face_px=40)))

    assert (first.is_new, again.is_new, other.is_new) == (True, False, True)
    assert first.dataset.version == again.dataset.version != other.dataset.version
    assert {path: path.stat().st_mtime_ns for path in before if path.is_file()} == {
        path: when for path, when in before.items() if path.is_file()
    }
    assert first.dataset.manifest["made_from"]["links"] == "0123"


def test_settings_of_earlier_stages_are_in_the_manifest_where_they_differ(tmp_path):
    lake, request = make_lake(tmp_path), Request("faces", SOURCE, "mtcnn")
    plain = publish_source(lake, request).dataset
    assert not {"dedupe", "clean", "made_with"} & plain.manifest.keys()
    with_rules = publish_source(lake, replace(request, dedupe=DedupeRules(near_distance=0))).dataset
    assert with_rules.manifest["dedupe"] == {"near_distance": 0}

    path = f"{lake.faces('mtcnn', SOURCE, STEM)}.parquet"
    settings = {"crop": {"margin": 0.2}, "detect": {"thresholds": (0.5, 0.6, 0.7)}}
    write_table(lake, path, read_as(lake, path, FACES), stamp="other", settings=settings)
    cropped = publish_source(lake, request).dataset
    assert cropped.manifest["made_with"] == {"crop": {"margin": 0.2}, "detect": {"thresholds": [0.5, 0.6, 0.7]}}
    assert len({plain.version, with_rules.version, cropped.version}) == 3
    for one in (plain, with_rules, cropped):
        assert id_by_manifest(one.manifest, one.index()) == one.version


def test_publishing_the_same_content_restores_a_pruned_version_under_its_id(tmp_path):
    made = make(tmp_path)
    before = made.publish().dataset
    files = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    write_tombstone(made.lake, before.folder, {"at": "2026-11-28", "why": "old", "by": "ada", "bytes": 1})
    for path in made.folder.iterdir():
        if path.name not in {"manifest.json", "index.parquet"}:
            path.unlink()
    (made.folder / "train-00009.tar").write_bytes(b"left by a killed prune")
    with pytest.raises(VersionPruned):
        open_dataset(made.lake, str(before))

    again = made.publish()
    assert (str(again.dataset), again.is_new, again.dataset.pruned) == (str(before), True, None)
    assert made.publish().is_new is False
    after = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    assert after.keys() == files.keys()
    assert {name for name in files if after[name] != files[name]} <= {"manifest.json"}  # it bears a time
    assert open_dataset(made.lake, "faces@latest").version == before.version


def test_the_crops_of_a_version_in_a_bucket_take_one_request_a_tar(
    bucket: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = make(f"{bucket}/lake", num_stems=3)
    with faults.asking() as asked:
        dataset = made.publish().dataset
    read = [path for method, path in asked if method == "GET" and path.endswith(".tar")]
    assert len(read) == len(set(read)) == 3
    row = dataset.index().to_pylist()[0]
    assert bytes_digest(dataset.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]
