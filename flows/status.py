"""What a lake holds, counted from its tables alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.datasets import all_versions
from storage.lake import Lake
from storage.models import model_versions
from storage.records import Outcome
from storage.tables import read_table
from tasks.catalog import read_faces
from tasks.ledger import accepted, due, read_ledger


def lake_status(lake: Lake) -> dict[str, Any]:
    """Counts by source, and the dataset and model versions."""
    return {
        "lake": lake.url,
        "sources": {source: source_status(lake, source) for source in lake.names("links")},
        "datasets": [
            {
                "dataset": one.name,
                "version": one.version,
                "published_at": one.manifest["published_at"],
                "samples": one.manifest["num_samples"],
                "identities": one.manifest["num_identities"],
            }
            for one in all_versions(lake)
        ],
        "models": [
            {
                "model": one.name,
                "version": one.version,
                "trained_at": one.manifest["trained_at"],
                "dataset": one.manifest["dataset"],
                "auc": one.manifest["auc"],
            }
            for one in model_versions(lake)
        ],
    }


def source_status(lake: Lake, source: str) -> dict[str, Any]:
    """The counts of one source: links, candidates, accepted, rejected by reason, due for retry, faces by method."""
    ledger = read_ledger(lake, source, ["key", "outcome", "reason", "next_try"])
    planned = lake.exists(lake.plan(source))
    methods = [method for method in lake.names("faces") if source in lake.names(f"faces/{method}")]
    return {
        "links": len(read_table(lake, lake.links(source, "lines.parquet"), ["line"])),
        "rejected_lines": len(read_table(lake, lake.links(source, "rejected.parquet"), ["line"])),
        "candidates": len(read_table(lake, lake.plan(source), ["unit"])) if planned else 0,
        "accepted": len(accepted(ledger)),
        "rejected": _counts(ledger["reason"]),
        "due": len(due(ledger, datetime.now(UTC))),
        "faces": {method: _num_faces(read_faces(lake, source, method)) for method in methods},
    }


def _num_faces(faces: pa.Table) -> int:
    return _counts(faces["outcome"]).get(Outcome.ACCEPTED.value, 0)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    items = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    return {item["values"]: item["counts"] for item in sorted(items, key=lambda item: -item["counts"])}
