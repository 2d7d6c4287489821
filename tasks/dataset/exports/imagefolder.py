"""A folder per person, as torchvision's ImageFolder and the imagefolder of Hugging Face datasets read it.

<split>/<identity>/<sample>.jpg
<split>/metadata.csv                 one row a picture; `file_name` is its path below the split

Cells are the values of the index. A name that a spreadsheet would evaluate as a formula is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion

_FACTS = ("identity", "source", "method", "line", "url", "score", "agreement", "face_px", "sharpness")
_TABLE = "metadata.csv"
# Hidden folders and `..`; formulas of spreadsheets (OWASP, CSV injection), of which `-` is also an option of commands.
_STARTS = (".", "=", "+", "-", "@", "\t", "\r")
# What file systems take.
_MAX_NAME_BYTES = 255
_SHOWN = 60
_READ_AT_ONCE = 100
_SIDES = ("face_left", "face_top", "face_right", "face_bottom")


def write_imagefolder(
    dataset: DatasetVersion, rows: pa.Table, folder: Path, on_progress: Callable[[int], None]
) -> None:
    """Write the samples `rows` of a version's index below `folder`.

    Raises:
        UsageError: a person's name cannot be a folder's name.
    """
    rows, done = with_plain_words(rows), 0
    for identity in pc.unique(rows["identity"]).to_pylist():
        _check_folder_name(identity)
    for split in pc.unique(rows["split"]).to_pylist():
        place = folder / split
        place.mkdir()
        with (place / _TABLE).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["file_name", *_FACTS, *_SIDES, "image_sha256"])
            for row, crop in _crops(dataset, rows.filter(pc.equal(rows["split"], split)).to_pylist()):
                name = f"{row['identity']}/{row['sample']}.jpg"
                (place / name).parent.mkdir(exist_ok=True)
                (place / name).write_bytes(crop)
                facts = [row[fact] for fact in _FACTS]
                table.writerow([name, *facts, *row["face_box_xyxy"], row["image_digest"].hex()])
                done += 1
                on_progress(done)


def _crops(dataset: DatasetVersion, rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], bytes]]:
    for start in range(0, len(rows), _READ_AT_ONCE):
        some = rows[start : start + _READ_AT_ONCE]
        yield from zip(
            some, dataset.read_all([(row["shard"], row["offset"], row["length"]) for row in some]), strict=True
        )


def _check_folder_name(identity: str) -> None:
    """Refuse a name that is not the name of a folder, is reserved in this format, or is a formula in a spreadsheet."""
    is_plain = identity.isprintable() and not any(sign in identity for sign in "/\\")
    is_short = len(identity.encode("utf-8", "replace")) <= _MAX_NAME_BYTES
    if not identity or not is_plain or not is_short or identity.startswith(_STARTS) or identity == _TABLE:
        shown = ascii(identity) if len(identity) <= _SHOWN else f"{identity[:_SHOWN]!a}... of {len(identity)} letters"
        raise UsageError(f"{shown} cannot be the name of a folder; export to hf-parquet instead")
