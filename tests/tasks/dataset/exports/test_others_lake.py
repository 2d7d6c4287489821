"""An index from somebody else: no name in it leads an export, a redaction or a look out of its folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, url_key
from storage.tables.parquet import read_table, write_table
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.takedowns import record
from tasks.dataset.export_version import export
from tasks.dataset.exports import EXPORTS
from tasks.maintenance.fsck.findings import Kind
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.takedown.redact import redact
from tests.layout_1 import to_layout_1
from tests.tasks.builders import NOW
from tests.tasks.dataset.test_publish_version import ROWS, make

every_form = pytest.mark.parametrize("form", EXPORTS)
# What an index may say of a row, and which word of the error names it.
LIES: list[tuple[str, Any]] = [
    ("split", "/tmp/elsewhere"),
    ("split", "../train"),
    ("split", "dev"),
    ("split", "train\n"),
    ("sample", "../../../thesis"),
    ("sample", "0123456789ABCDEF"),
    ("sample", "0123456789abcdef.jpg/.."),
    ("shard", "../../../mine.tar"),
    ("shard", "/etc/passwd"),
    ("shard", "train-00000.tar/../../../mine.tar"),
    ("shard", "train-00000-r1-r2.tar"),
    ("shard", "manifest.json"),
    ("offset", -1),
    ("length", -5),
    ("source", "../../other"),
    ("method", ".."),
]


@pytest.fixture(scope="module", params=[1, 2], ids="layout {}".format)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    version = make(tmp_path_factory.mktemp("lake")).publish().dataset
    return version if request.param > 1 else to_layout_1(version)


@pytest.fixture
def dataset(made: DatasetVersion, tmp_path: Path) -> DatasetVersion:
    """A copy to lie in, beside a tar that is nobody's business."""
    shutil.copytree(made.lake.root, tmp_path / "lake")
    (tmp_path / "mine.tar").write_bytes(b"a diary" * 4000)
    return open_dataset(Lake(tmp_path / "lake"), made.name)


def lie(dataset: DatasetVersion, column: str, value: Any, *, rows: int = 1) -> None:
    """Let the index say `value` of its first rows."""
    path = f"{dataset.folder}/index.parquet"
    table = read_table(dataset.lake, path)
    found = table.to_pylist()
    for row in found[:rows]:
        row[column] = value
    write_table(dataset.lake, path, pa.Table.from_pylist(found, schema=table.schema))


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.attack(7)
@pytest.mark.parametrize(("column", "value"), LIES, ids=str)
@every_form
def test_a_name_in_an_index_writes_and_reads_nothing_outside(dataset, tmp_path, form, column, value):
    lie(dataset, column, value)
    before = everything(tmp_path)
    with pytest.raises(LakeError) as error:
        export(dataset, form, tmp_path / "out" / "here")

    assert everything(tmp_path) == before
    for word in ("index.parquet", f"{column} is", "facemill check"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.attack(7)
@pytest.mark.parametrize(("column", "value"), LIES, ids=str)
def test_a_redaction_stays_in_its_version_and_a_check_says_what_is_wrong(dataset, tmp_path, column, value):
    lie(dataset, column, value)
    record(dataset.lake, [Takedown(TakedownKind.URL, url_key(ROWS[0][2]), None, NOW, "")])
    before = everything(tmp_path)
    with pytest.raises(LakeError, match=f"{column} is"):
        redact(dataset, {})
    found = [one for one in inspect(jobs(dataset.lake)) if one.path == dataset.folder]

    assert everything(tmp_path) == before
    assert [(one.kind, f"{column} is" in one.detail) for one in found] == [(Kind.UNREADABLE, True)]


@pytest.mark.attack(7)
@pytest.mark.parametrize(("column", "value"), [("offset", 2**62), ("length", 2**62), ("length", 3_000_000)])
def test_a_place_beyond_the_end_of_a_shard_is_one_line(dataset, tmp_path, column, value):
    lie(dataset, column, value)
    with pytest.raises(LakeError, match=r"has no .* bytes at|lacks samples that an index has in it"):
        export(dataset, "imagefolder", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    kinds = {Kind.UNREADABLE, Kind.UNTRUE_MANIFEST} if dataset.shares_files else {Kind.BROKEN_BYTES}
    assert kinds.intersection(one.kind for one in inspect(jobs(dataset.lake)))


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "name", ["x" * 300, "metadata.csv", "", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "\u202ebob", "é" * 200]
)
def test_a_name_that_no_folder_can_have_is_one_line(dataset, tmp_path, name):
    lie(dataset, "identity", name)
    with pytest.raises(UsageError, match="cannot be the name of a folder; export to hf-parquet instead"):
        export(dataset, "imagefolder", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(dataset, "hf-parquet", tmp_path / "other")


@pytest.mark.attack(15)
@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "-rf"])
def test_a_name_that_a_spreadsheet_computes_is_in_no_table(dataset, tmp_path, name):
    lie(dataset, "identity", name)
    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        export(dataset, "imagefolder", tmp_path / "out")


@pytest.mark.attack(17)
def test_a_target_that_cannot_be_is_one_line(dataset, tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        export(dataset, "imagefolder", tmp_path / ("x" * 300))


@pytest.mark.attack(17)
@pytest.mark.parametrize("damage", ["text", "empty", "cut", "no column", "null", "other type", "not UTF-8"])
def test_an_index_that_is_no_index_is_one_line(dataset, tmp_path, damage):
    path = Path(dataset.lake.full(f"{dataset.folder}/index.parquet"))
    table = read_table(dataset.lake, f"{dataset.folder}/index.parquet")
    at = table.column_names.index("sample")
    if damage in {"text", "empty", "cut"}:
        path.write_bytes({"text": b"not parquet", "empty": b"", "cut": path.read_bytes()[:900]}[damage])
    else:
        bad = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        )
        column = {
            "null": pa.nulls(len(table), pa.string()),
            "other type": pa.array([[1]] * len(table)),
            "not UTF-8": pa.chunked_array([bad] * len(table)),
        }.get(damage)
        other = table.drop_columns("sample")
        write_table(
            dataset.lake,
            f"{dataset.folder}/index.parquet",
            other if column is None else other.add_column(at, "sample", column),
        )
    with pytest.raises(LakeError) as error:
        export(dataset, "imagefolder", tmp_path / "out")
    assert "index.parquet" in str(error.value)
    assert "\n" not in str(error.value)
    assert {one.kind for one in inspect(jobs(dataset.lake)) if one.path == dataset.folder} == {Kind.UNREADABLE}
