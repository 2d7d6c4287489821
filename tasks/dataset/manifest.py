"""The manifest of a dataset version besides its settings: time, code version and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.stamps.code_version import code_version
from storage.tables.parquet import with_plain_words
from tasks.dataset.funnel import Funnel

# The manifest fields about the version itself.
_RESULTS = {
    "name", "version", "published_at", "num_samples", "num_identities", "splits", "funnel", "funnels", "leaks",
    "redactions",
}  # fmt: skip


def manifest_counts(index: pa.Table, funnel: Funnel, funnels: Mapping[str, Funnel] | None = None) -> dict[str, Any]:
    """Samples and people in all and by split, and the funnel from link lines to samples.

    Args:
        index: `records.SAMPLES`.
        funnels: of each source, where there are several.
    """
    by_source = {name: one.to_json() for name, one in (funnels or {}).items()}
    return {
        "published_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "code": code_version(),
        **sample_counts(index),
        "funnel": funnel.to_json(),
        **({"funnels": by_source} if by_source else {}),
    }


def sample_counts(index: pa.Table) -> dict[str, Any]:
    """Samples and people, in all and by split.

    Args:
        index: of `records.SAMPLES`, split and identity.
    """
    plain = with_plain_words(index.select(["split", "identity"]))
    by_person = plain.group_by(["split", "identity"]).aggregate([([], "count_all")])
    by_split = by_person.group_by("split").aggregate([("count_all", "sum"), ([], "count_all")])
    return {
        "num_samples": len(index),
        "num_identities": pc.count_distinct(plain["identity"]).as_py(),
        "splits": {
            row["split"]: {"samples": row["count_all_sum"], "identities": row["count_all"]}
            for row in by_split.sort_by("split").to_pylist()
        },
    }


def origins(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings and inputs of a version, flattened: `{"select.min_face_px": 100, ...}`."""
    return dict(_flat({name: value for name, value in manifest.items() if name not in _RESULTS}))


# The fields of `origins` that tell no choice of the user: digests of the inputs, the code, the terms.
_GIVEN = ("made_from", "code", "terms", "terms_by_source", "names_people")


def settings_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a user chose for a version, flattened: `{"source": "a", "select.min_face_px": 100, ...}`."""
    return {name: one for name, one in origins(manifest).items() if name.partition(".")[0] not in _GIVEN}


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, f"{above}{name}.")
        else:
            yield f"{above}{name}", one
