"""From a dataset version to a folder in a form that others read: all of it is there in one step, or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from storage.datasets import DatasetVersion
from storage.errors import UsageError
from storage.tables import with_plain_words
from tasks.exports import EXPORTS


def export(
    dataset: DatasetVersion,
    to: str,
    target: Path,
    *,
    split: str | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write a version, or one split of it, into the new or empty folder `target`, with its manifest beside it.

    What a takedown covers stays behind.

    Returns:
        What was written: dataset, form, path, samples, identities.

    Raises:
        UsageError: there is no such form or split, or the folder holds something.
    """
    if to not in EXPORTS:
        raise UsageError(f"--to {to!r} is no form to export to; there are: {', '.join(EXPORTS)}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} holds something already; name a folder that is new or empty")
    rows = with_plain_words(dataset.index())
    if split is not None:
        known = ", ".join(pc.unique(rows["split"]).to_pylist())
        rows = rows.filter(pc.equal(rows["split"], split))
        if not len(rows):
            raise UsageError(f"{dataset} has no split {split!r}; there are: {known}")
    temporary = target.absolute().with_name(f".tmp-{target.absolute().name}")
    # What a killed export left goes first.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        EXPORTS[to](dataset, rows, temporary, on_progress)
        (temporary / "manifest.json").write_text(json.dumps(dataset.manifest, indent=2, ensure_ascii=False) + "\n")
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    people = pc.count_distinct(rows["identity"]).as_py()
    return {"dataset": str(dataset), "to": to, "path": str(target), "samples": len(rows), "identities": people}
