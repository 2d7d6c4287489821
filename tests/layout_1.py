"""Dataset versions as the first releases wrote them: shards of their own, and all columns in the index."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import SAMPLES
from storage.tables.parquet import with_plain_words, write_table
from storage.versions.datasets import DatasetVersion
from storage.versions.sample_shards import stem_of


def to_layout_1(version: DatasetVersion) -> DatasetVersion:
    """Rewrite a version of which no other shares the shards."""
    lake, index = version.lake, with_plain_words(version.index())
    numbers: dict[str, int] = {}
    for shard in sorted(pc.unique(index["shard"]).to_pylist()):
        split = stem_of(shard).partition("-")[0]
        numbers[split] = numbers.get(split, -1) + 1
        own = f"{split}-{numbers[split]:05d}.tar"
        lake.move(f"{lake.shards(version.name, stem_of(shard))}.tar", f"{version.folder}/{own}")
        index = index.set_column(
            index.schema.get_field_index("shard"), "shard", pc.replace_substring(index["shard"], shard, own)
        )
    lake.remove(lake.shards(version.name))
    write_table(lake, f"{version.folder}/index.parquet", pa.table(index).cast(SAMPLES))
    manifest = {name: value for name, value in version.manifest.items() if name != "layout"}
    lake.write_json(f"{version.folder}/manifest.json", manifest)
    return DatasetVersion(lake, version.name, version.version)
