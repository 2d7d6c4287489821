"""Small lakes with versions of datasets and models, and all that belongs to them: real files, hardly any bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from storage.files.lake import Lake
from storage.records import LINE_OUTCOMES, PLACED_SAMPLES, SAMPLES, SCORES, STORED_OUTCOMES
from storage.tables.parquet import rows_to_table, with_plain_words, write_table
from storage.tables.stored_rows import StoredRows
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import Alias, record_alias
from storage.versions.evaluations import write_evaluation
from storage.versions.models import ModelVersion, write_model
from storage.versions.shared_lines import write_lines
from storage.versions.tags import record_tag
from tests.one_sample import sample_row, write_one_sample, written_shard

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)
_METRICS = b'{"trained": {}, "untrained": {}}'


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def dataset(lake: Lake, version: str, days: float, name: str = "faces-mtcnn", **manifest: Any) -> str:
    """A version of one sample, published so many days before `NOW`."""
    folder = lake.dataset(name, version)
    write_one_sample(lake, folder, "0123456789abcdef.jpg", version.encode())
    outcome = {"identity": "x", "line": 1, "url": "x", "stage": "sample", "source": "made"}
    write_table(lake, f"{folder}/outcomes.parquet", rows_to_table([outcome], LINE_OUTCOMES))
    told = {"name": name, "version": version, "source": "made", "method": "mtcnn", "num_samples": 1}
    told |= {"num_identities": 1, "splits": {"train": {"samples": 1, "identities": 1}}}
    lake.write_json(f"{folder}/manifest.json", told | {"published_at": days_ago(days).isoformat(), **manifest})
    return f"{name}@{version}"


def sharing_dataset(lake: Lake, version: str, days: float, letters: str, name: str = "faces-mtcnn") -> str:
    """A version of a sample for each letter, each in a shard of its own that other versions may share."""
    placed = [_written(lake, name, letter) for letter in letters]
    index = pa.concat_tables(placed).select(PLACED_SAMPLES.names).cast(PLACED_SAMPLES)
    folder = lake.dataset(name, version)
    write_table(lake, f"{folder}/index.parquet", index)
    outcomes = [
        {"identity": "x", "line": at, "url": one, "stage": "sample", "source": "made"} for at, one in enumerate(letters)
    ]
    table = rows_to_table(outcomes, LINE_OUTCOMES)
    write_table(lake, f"{folder}/outcomes.parquet", table.select(STORED_OUTCOMES.names))
    told = {"name": name, "version": version, "source": "made", "method": "mtcnn", "num_samples": len(letters)}
    told |= {
        "layout": 2,
        "lines": write_lines(lake, name, StoredRows.of(table)),
        "published_at": days_ago(days).isoformat(),
    }
    lake.write_json(f"{folder}/manifest.json", told)
    return f"{name}@{version}"


def _written(lake: Lake, name: str, letter: str) -> pa.Table:
    samples = with_plain_words(rows_to_table([sample_row(letter)], SAMPLES))
    return with_plain_words(written_shard(lake, name, samples, [letter.encode() * 99]))


def model(lake: Lake, version: str, days: float, on: str, name: str = "embedder") -> ModelVersion:
    """A version trained so many days before `NOW`, with an evaluation."""
    files = {"weights.safetensors": version.encode() * 10, "metrics.json": _METRICS}
    files |= {"lineage.json": b"{}", "config.json": b"{}"}
    made = write_model(lake, name, version, files, {"dataset": on, "trained_at": days_ago(days).isoformat()})
    write_evaluation(made, on, "stamp", {"auc": 0.9}, pa.Table.from_pylist([], schema=SCORES))
    return made


def tag(lake: Lake, name: str, version: str, dataset_name: str = "faces-mtcnn") -> None:
    record_tag(lake, dataset_name, AliasEvent(name, "tag", version, None, "ada"))


def champion(lake: Lake, version: str, name: str = "embedder") -> None:
    record_alias(lake, name, AliasEvent(Alias.CHAMPION.value, "promote", version, None, "ada"))


def contents(lake: Lake) -> dict[str, bytes]:
    """Every file of a lake, in a folder or a bucket."""
    root = lake.root.lstrip("/")
    return {path.lstrip("/").removeprefix(f"{root}/"): lake.fs.cat_file(path) for path in lake.fs.find(lake.root)}
