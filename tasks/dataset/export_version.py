"""Export a dataset version to a folder in a common format, atomically."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from storage.errors import UsageError
from storage.files.lake import CANNOT_WRITE, to_json
from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion
from tasks.dataset.exports import EXPORTS


def export(
    dataset: DatasetVersion,
    to: str,
    target: Path,
    *,
    split: str | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Write a version, or one split of it, into the new or empty folder `target`, with its manifest.

    Samples under takedown are left out.

    Returns:
        What was written: dataset, form, path, samples, identities.

    Raises:
        UsageError: there is no such form or split, or the folder is not empty.
    """
    if to not in EXPORTS:
        raise UsageError(f"--to {to!r} is not an export format; choose from {', '.join(EXPORTS)}")
    rows = with_plain_words(dataset.index())
    if split is not None:
        known = ", ".join(pc.unique(rows["split"]).to_pylist())
        rows = rows.filter(pc.equal(rows["split"], split))
        if not len(rows):
            raise UsageError(f"{dataset} has no split {split!r}; there are: {known}")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is not empty; name a new or empty folder")
        with _whole_folder(target) as temporary:
            EXPORTS[to](dataset, rows, temporary, on_progress)
            (temporary / "manifest.json").write_bytes(to_json(dataset.manifest))
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            raise
        raise UsageError(f"{target} cannot be written: {error.strerror}; name another folder") from error
    people = pc.count_distinct(rows["identity"]).as_py()
    return {"dataset": str(dataset), "to": to, "path": str(target), "samples": len(rows), "identities": people}


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block succeeds and is removed when it fails."""
    target = target.absolute()
    temporary = target.with_name(f".tmp-{target.name}")
    # Remove the leftovers of killed exports first.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
