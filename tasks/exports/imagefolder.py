"""A folder a person, as torchvision's ImageFolder and the imagefolder of Hugging Face datasets read it.

<split>/<identity>/<sample>.jpg
<split>/metadata.csv                 one row a picture; `file_name` is its path below the split
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from storage.datasets import DatasetVersion
from storage.errors import UsageError
from storage.tables import with_plain_words

_FACTS = ("identity", "source", "method", "line", "url", "score", "agreement", "face_px", "sharpness")
_SIDES = ("face_left", "face_top", "face_right", "face_bottom")


def write_imagefolder(
    dataset: DatasetVersion, rows: pa.Table, folder: Path, on_progress: Callable[[int], None]
) -> None:
    """Write the samples `rows` of a version's index below `folder`.

    Raises:
        UsageError: a person's name cannot be a folder's name.
    """
    rows, done = with_plain_words(rows), 0
    for split in pc.unique(rows["split"]).to_pylist():
        place = folder / split
        place.mkdir()
        with (place / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["file_name", *_FACTS, *_SIDES, "image_sha256"])
            for row in rows.filter(pc.equal(rows["split"], split)).to_pylist():
                name = f"{_folder_name(row['identity'])}/{row['sample']}.jpg"
                (place / name).parent.mkdir(exist_ok=True)
                (place / name).write_bytes(dataset.read(row["shard"], row["offset"], row["length"]))
                facts = [row[fact] for fact in _FACTS]
                table.writerow([name, *facts, *row["face_box_xyxy"], row["image_digest"].hex()])
                done += 1
                on_progress(done)


def _folder_name(identity: str) -> str:
    if identity.startswith(".") or not identity.isprintable() or "/" in identity or "\\" in identity:
        raise UsageError(f"the name {identity!r} cannot be that of a folder; export to hf-parquet instead")
    return identity
