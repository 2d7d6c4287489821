"""The samples of a dataset version that the scores of a model doubt."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from storage.versions.datasets import DatasetVersion
from tasks.label_noise.score_table import Cleaned, Cleaning
from tasks.links.line_ids import find_rows, line_ids


def doubtful_samples(version: DatasetVersion, cleaned: Cleaned, cleaning: Cleaning) -> dict[str, int]:
    """The samples that a version with this cleaning would leave out, counted by reason; the first reason counts."""
    refused = cleaned.refused(cleaning)
    samples = version.index(["source", "identity", "listed_identity", "line"])
    listed = pc.coalesce(samples["listed_identity"].cast(pa.string()), samples["identity"].cast(pa.string()))
    samples = samples.set_column(samples.schema.get_field_index("identity"), "identity", listed)
    if "source" not in refused.column_names:
        samples = samples.drop_columns(["source"])
    at = find_rows(line_ids(samples), line_ids(refused))
    reasons = refused["reason"].take(pa.array(at[at >= 0]))
    counts = {item["values"]: item["counts"] for item in pc.value_counts(reasons).to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
