from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import PLACED_SAMPLES, SAMPLES
from storage.tables.parquet import rows_to_table, with_plain_words
from storage.tables.shards import read_member
from storage.versions.sample_shards import columns_to_read, rows_at, shared_shards, stem_of, with_content
from tests.one_sample import sample_row, written_shard


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


def samples(letters: str) -> pa.Table:
    rows = [sample_row(letter) | {"url": f"http://{letter}", "identity": letter.upper()} for letter in letters]
    return with_plain_words(rows_to_table(rows, SAMPLES))


def written(lake: Lake, letters: str) -> pa.Table:
    return written_shard(lake, "faces", samples(letters), [letter.encode() * 1000 for letter in letters])


def placed(*tables: pa.Table) -> pa.Table:
    whole = pa.concat_tables([with_plain_words(table) for table in tables]).select(PLACED_SAMPLES.names)
    cluster = pa.nulls(len(whole), PLACED_SAMPLES.field("cluster").type)
    at = whole.schema.get_field_index("cluster")
    return whole.set_column(at, PLACED_SAMPLES.field("cluster"), cluster).cast(PLACED_SAMPLES)


def test_a_shard_holds_each_sample_with_its_facts_and_a_row(lake):
    rows = written(lake, "abc")
    (shard,) = shared_shards(lake, "faces")
    assert rows.schema == SAMPLES
    assert rows["shard"].to_pylist() == [shard] * 3
    tar = f"{lake.dataset('faces')}/{shard}"
    for row, letter in zip(rows.to_pylist(), "abc", strict=True):
        assert read_member(lake, tar, row["offset"], row["length"]) == letter.encode() * 1000
    with lake.open(tar) as file, tarfile.open(fileobj=file) as members:
        names = members.getnames()
    assert names == [f"{row['sample']}.{ending}" for row in rows.to_pylist() for ending in ("jpg", "json")]


def test_the_name_of_a_shard_is_a_digest_of_its_rows(lake, tmp_path: Path):
    other = Lake(tmp_path / "other")
    assert written(lake, "ab")["shard"].equals(written(other, "ab")["shard"])
    assert len({stem_of(written(other, letters)["shard"][0].as_py()) for letters in ("ab", "ba", "a")}) == 3


def test_a_shard_without_its_rows_or_its_tar_is_not_there(lake):
    written(lake, "ab"), written(lake, "cd"), written(lake, "ef")
    first, second, third = shared_shards(lake, "faces")
    lake.remove(f"{lake.shards('faces', stem_of(first))}.parquet")
    lake.remove(f"{lake.shards('faces', stem_of(second))}.tar")
    assert shared_shards(lake, "faces") == [third]


def test_the_columns_that_an_index_lacks_come_from_the_shards_in_the_order_of_the_index(lake):
    index = placed(written(lake, "ab"), written(lake, "cd")).take(pa.array([3, 0, 2]))
    for columns in (["url"], ["identity", "url", "offset"], ["identity"], list(SAMPLES.names)):
        found = with_content(lake, "faces", index.select(columns_to_read(columns)), columns)
        assert found.column_names == columns
        assert found.schema == pa.schema([SAMPLES.field(name) for name in columns])
        if "url" in columns:
            assert found["url"].to_pylist() == ["http://d", "http://a", "http://c"]


def test_columns_that_the_index_has_are_read_without_the_shards(lake):
    index = placed(written(lake, "ab"))
    lake.remove(lake.shards("faces"))
    assert columns_to_read(["identity", "split"]) == ["identity", "split"]
    assert with_content(lake, "faces", index, ["identity"])["identity"].to_pylist() == ["A", "B"]


def test_of_no_samples_there_are_no_rows(lake):
    empty = PLACED_SAMPLES.empty_table()
    assert with_content(lake, "faces", empty, ["url"]) == pa.schema([SAMPLES.field("url")]).empty_table()


@pytest.mark.parametrize("offset", [0, 513, 10**9])
def test_a_place_where_no_sample_lies_is_one_line(lake, offset):
    index = placed(written(lake, "ab"))
    at = index.schema.get_field_index("offset")
    wrong = index.set_column(at, SAMPLES.field("offset"), pa.array([offset, index["offset"][1].as_py()]))
    with pytest.raises(LakeError, match="lacks samples that an index has in it: run `facemill check`"):
        rows_at(lake, "faces", wrong, ["url"])


def test_a_shard_that_is_gone_is_one_line(lake):
    index = placed(written(lake, "ab"))
    lake.remove(lake.shards("faces"))
    with pytest.raises(LakeError, match=r"train-[0-9a-f]{16}\.parquet cannot be read .*facemill check"):
        rows_at(lake, "faces", index, ["url"])
