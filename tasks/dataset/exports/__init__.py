"""The export formats of a dataset version, one per file. To add one: a file, a line here and a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from storage.versions.datasets import DatasetVersion
from tasks.dataset.exports.hf_parquet import write_hf_parquet
from tasks.dataset.exports.imagefolder import write_imagefolder

# (version, rows of its index, an empty folder, callback with the number of samples done)
Export = Callable[[DatasetVersion, pa.Table, Path, Callable[[int], None]], None]

EXPORTS: dict[str, Export] = {
    "imagefolder": write_imagefolder,
    "hf-parquet": write_hf_parquet,
}
