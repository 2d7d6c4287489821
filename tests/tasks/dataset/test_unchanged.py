"""Publishing the same again: no table is read, and after any change the result is that of the long way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from storage.errors import ChangedMeanwhile
from storage.files.lake import Lake
from storage.records import ATTEMPTS, FACES, LINK_LINES, Reason, Takedown, TakedownKind, bytes_digest, url_key
from storage.tables.parquet import read_as, rows_to_table, write_table
from storage.tables.shards import create_shard
from storage.versions.takedowns import record
from storage.versions.tombstones import write_tombstone
from tasks.dataset import publish_version
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import exclude
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import Published, publish_source
from tasks.dataset.select import SelectRules
from tasks.dataset.version_change import VersionChange
from tasks.links.plan import plan
from tests.opened import opened_files, tables_opened
from tests.tasks.builders import NOW, attempt, attempts, jpeg
from tests.tasks.made_lake import PEOPLE, SOURCE, STEM, make_lake, url_of

REQUEST = Request(name="faces-agree", source=SOURCE, method="agree")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with every outcome, and a version of it."""
    folder = tmp_path_factory.mktemp("published") / "lake"
    publish_source(make_lake(folder), REQUEST)
    return folder


@pytest.fixture
def lake(published: Path, tmp_path: Path) -> Lake:
    """A copy with the same modification times."""
    shutil.copytree(published, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def outcome(published: Published) -> tuple[object, ...]:
    """What publishing tells, but for the time of the manifest."""
    funnels = {name: one.to_json() for name, one in published.funnels.items()}
    return str(published.dataset), published.funnel.to_json(), funnels, published.change, published.note


def is_read(publish: Callable[[], Published], kind: str = "faces") -> bool:
    with opened_files() as opened:
        publish()
    return any(path.startswith(f"{kind}/") for path in tables_opened(opened))


def test_the_same_again_reads_no_table_of_the_source(lake: Lake) -> None:
    with opened_files() as opened:
        again = publish_source(lake, REQUEST, min_change=0.5)
    assert tables_opened(opened) == []
    assert not again.is_new
    assert again.change == VersionChange(again.dataset.manifest["num_samples"], len(PEOPLE), 0, 0, 0, 0)
    lake.remove(lake.cache())
    assert outcome(again) == outcome(publish_source(lake, REQUEST, min_change=0.5))


def take_down(lake: Lake) -> None:
    record(lake, [Takedown(TakedownKind.URL, url_key(url_of(PEOPLE[0], 3)), None, NOW, "")])


def fetch_one_more(lake: Lake) -> None:
    row = attempts(attempt(url_of(PEOPLE[0], 2), Reason.GONE))
    write_table(lake, f"{lake.images(SOURCE, '0000-1')}.parquet", row)


def lose_faces(lake: Lake) -> None:
    path = f"{lake.faces('bbox', SOURCE, STEM)}.parquet"
    faces = read_as(lake, path, FACES)
    write_table(lake, path, faces.filter(pc.not_equal(faces["line"], 3)), stamp="bbox")


def plan_fewer(lake: Lake) -> None:
    lines = read_as(lake, lake.links(SOURCE, "lines.parquet"), LINK_LINES)
    write_table(lake, lake.plan(SOURCE), plan(lines, list(PEOPLE[:-1])))


def repair_images(lake: Lake) -> None:
    path = f"{lake.images(SOURCE, STEM)}.parquet"
    write_table(lake, path, read_as(lake, path, ATTEMPTS))


CHANGES = {
    "a takedown": take_down,
    "a new shard": fetch_one_more,
    "other faces": lose_faces,
    "another plan": plan_fewer,
    "images written again": repair_images,
    "lost verdicts": lambda lake: lake.remove(lake.unique(SOURCE)),
    "lost cache": lambda lake: lake.remove(lake.cache()),
    "damaged cache": lambda lake: [lake.write(f"cache/publish/{name}", b"{}") for name in lake.names("cache/publish")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_result_is_that_of_the_long_way(lake: Lake, tmp_path: Path, change: str) -> None:
    CHANGES[change](lake)
    shutil.copytree(lake.root, tmp_path / "other")
    other = Lake(tmp_path / "other")
    other.remove(other.cache())
    with opened_files() as opened:
        ours = publish_source(lake, REQUEST)
    assert tables_opened(opened) != []
    theirs = publish_source(other, REQUEST)
    assert (outcome(ours), ours.is_new) == (outcome(theirs), theirs.is_new)
    # The change of a second publishing is that from the version it has just made.
    again, long = publish_source(lake, REQUEST), publish_source(other, REQUEST)
    assert outcome(again)[:3] == outcome(ours)[:3]
    assert outcome(again) == outcome(long)
    assert not is_read(lambda: publish_source(lake, REQUEST))


REQUESTS = {
    "other settings": Request("faces-agree", SOURCE, "agree", SelectRules(min_face_px=60)),
    "another method": Request("faces-agree", SOURCE, "bbox"),
    "other comparison": Request("faces-agree", SOURCE, "agree", dedupe=DedupeRules(placeholder_hosts=5)),
    "without a person": Request("faces-agree", SOURCE, "agree", exclusion=exclude(PEOPLE, PEOPLE[:1])),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_another_request_is_decided_for_itself(lake: Lake, request_: Request) -> None:
    assert is_read(lambda: publish_source(lake, request_))
    assert not is_read(lambda: publish_source(lake, request_))
    assert not is_read(lambda: publish_source(lake, REQUEST))


def test_a_version_that_is_gone_is_made_again(lake: Lake) -> None:
    version = publish_source(lake, REQUEST).dataset
    write_tombstone(lake, version.folder, {"at": NOW.isoformat(), "by": "tests", "why": "space", "bytes": 1})
    restored = publish_source(lake, REQUEST)
    assert (restored.is_new, restored.dataset.version) == (True, version.version)


def test_pictures_are_compared_once(lake: Lake) -> None:
    assert not compare_pictures(lake, SOURCE)
    with opened_files() as opened:
        assert not compare_pictures(lake, SOURCE)
    assert tables_opened(opened) == []
    assert compare_pictures(lake, SOURCE, DedupeRules(placeholder_hosts=5))


# -- beside other runs --

OTHER = replace(REQUEST, name="other-agree")
STEPS = ("compare_pictures", "decide", "_place")


@contextmanager
def changed_after(step: str, change: Callable[[], object], times: int = 1) -> Iterator[None]:
    """Have another run change the lake after a step of publishing, the first times."""
    real, left = getattr(publish_version, step), [None] * times

    def stepping(*args: Any, **options: Any) -> Any:
        done = real(*args, **options)
        if left:
            left.pop()
            change()
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish_version, step, stepping)
        yield


def fetch_a_picture(lake: Lake) -> None:
    """A picture that was not there, of a line that is planned."""
    row = attempt(url_of(PEOPLE[0], 2), digest=bytes(32), dhash=bytes(16), shard="0000-1", offset=512, length=9)
    write_table(lake, f"{lake.images(SOURCE, '0000-1')}.parquet", attempts(row))


def crop_again(lake: Lake) -> None:
    """Other crops, as `crop_shard` writes them: the old index goes first."""
    path = lake.faces("mtcnn", SOURCE, STEM)
    rows = read_as(lake, f"{path}.parquet", FACES).to_pylist()
    lake.remove_file(f"{path}.parquet")
    with create_shard(lake, f"{path}.tar") as tar:
        for number, row in enumerate(rows):
            if row["offset"] is not None:
                data = jpeg(number + 3000)
                row["offset"], row["length"] = tar.add(f"{number}.jpg", data)
                row["crop_digest"] = bytes_digest(data)
    write_table(lake, f"{path}.parquet", rows_to_table(rows, FACES), stamp="mtcnn again")


def list_other_lines(lake: Lake) -> None:
    """As many lines, of which the first are of another person: every other line lies in another row."""
    rows = read_as(lake, lake.links(SOURCE, "lines.parquet"), LINK_LINES).to_pylist()
    last = [row for row in rows if row["identity"] == PEOPLE[-1]]
    rows = [row | {"identity": "Aaron"} for row in last] + rows[: -len(last)]
    write_table(lake, lake.links(SOURCE, "lines.parquet"), rows_to_table(rows, LINK_LINES), stamp="other")


@pytest.mark.parametrize("step", STEPS)
def test_a_version_is_of_the_pictures_that_were_there_when_it_was_begun(lake: Lake, tmp_path: Path, step: str) -> None:
    shutil.copytree(lake.root, tmp_path / "before")
    with changed_after(step, lambda: fetch_a_picture(Lake(lake.url))):
        ours = publish_source(lake, OTHER)
    assert outcome(ours) == outcome(publish_source(Lake(tmp_path / "before"), OTHER))
    assert publish_source(lake, OTHER).funnel != ours.funnel


@pytest.mark.parametrize("change", [take_down, lose_faces, plan_fewer, crop_again, list_other_lines])
@pytest.mark.parametrize("step", STEPS[:2])
def test_a_version_is_of_one_state_of_what_other_runs_replace(
    lake: Lake, tmp_path: Path, step: str, change: Callable[[Lake], object]
) -> None:
    shutil.copytree(lake.root, tmp_path / "changed")
    with changed_after(step, lambda: change(Lake(lake.url))):
        ours = publish_source(lake, OTHER)
    change(changed := Lake(tmp_path / "changed"))
    assert outcome(ours) == outcome(publish_source(changed, OTHER))
    index = ours.dataset.index(["shard", "offset", "length", "crop_digest"])
    for row in index.to_pylist():
        assert bytes_digest(ours.dataset.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_crops_that_are_replaced_before_they_are_copied_are_not_published(lake: Lake) -> None:
    with changed_after("count_leaks", lambda: crop_again(Lake(lake.url))):
        found = publish_source(lake, OTHER).dataset
    index = found.index(["shard", "offset", "length", "crop_digest"])
    assert len(index)
    for row in index.to_pylist():
        assert bytes_digest(found.read(row["shard"], row["offset"], row["length"])) == row["crop_digest"]


def test_what_other_runs_go_on_replacing_is_told_in_one_line_and_nothing_is_published(lake: Lake) -> None:
    with changed_after("decide", lambda: crop_again(Lake(lake.url)), times=9), pytest.raises(ChangedMeanwhile) as error:
        publish_source(lake, OTHER)
    assert str(error.value) == (
        f"{lake.url}: lines or faces of {SOURCE} were replaced by another run while they were read; once it has "
        "ended, run the same command again"
    )
    assert "other-agree" not in lake.names("datasets")
