"""A dataset version from a training corpus of aligned faces, for benchmarks that train on real faces.

    python -m bench.corpus --lake LAKE                    ../shared/data/faces112.tar.xz next to the repository
    python -m bench.corpus --lake LAKE --archive ARCHIVE

The archive contains `crops/<identity>/<n>.jpg`, already aligned by five points to the ArcFace template, and `crops.csv`
(file, identity, source, score). The JPEGs are copied into the shards unchanged. The box of a face is its whole picture,
so that every input size is a plain scaling of it. A twentieth of the people each are held out as val and test, by the
same hash as in `facemill publish`. The same archive gives the same version, and an existing version is not rewritten.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from storage.files.lake import Lake
from storage.records import SAMPLES, Split
from storage.tables.parquet import rows_to_table, stamp, write_table
from storage.tables.shards import create_shard
from storage.versions.datasets import DatasetVersion
from tasks.dataset.split import SplitRules, split_identities

NAME = "faces112"
ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / f"{NAME}.tar.xz"
_RULES = SplitRules(test_share=0.05, val_share=0.05)
_TERMS = "Photographs of others, for research only; the faces are biometric data and stay where they are."


def publish_corpus(lake: Lake, archive: Path = ARCHIVE, rules: SplitRules = _RULES) -> DatasetVersion:
    """The archive as a dataset version of `lake`, written unless it exists."""
    rows, pictures = read_corpus(archive)
    holders: dict[bytes, str] = {}
    shared = [(row["identity"], holders.setdefault(row["cluster"], row["identity"])) for row in rows]
    splits = split_identities((row["identity"] for row in rows), rules, shared)
    rows = sorted(({**row, "split": splits[row["identity"]].value} for row in rows), key=lambda row: row["sample"])
    version = stamp("corpus", [[row[name] for name in ("sample", "split", "image_digest")] for row in rows])
    folder = lake.dataset(NAME, version)
    if not lake.exists(f"{folder}/manifest.json"):
        index = [row for split in Split for row in _write_shard(lake, folder, split, rows, pictures)]
        write_table(lake, f"{folder}/index.parquet", rows_to_table(index, SAMPLES))
        lake.write_json(f"{folder}/manifest.json", _manifest(version, index))
    return DatasetVersion(lake, NAME, version)


def read_corpus(archive: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """A row of `records.SAMPLES` per picture, without split and location; and the JPEGs by sample name."""
    with tarfile.open(archive) as tar:
        files = {one.name: _content(tar, one) for one in tar if one.isfile()}
    table = csv.DictReader(io.StringIO(files["crops.csv"].decode()))
    rows = [_row(number, listed, files[f"crops/{listed['file']}"]) for number, listed in enumerate(table)]
    return rows, {row["sample"]: files[f"crops/{row['url'].removeprefix('file:')}"] for row in rows}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _row(number: int, listed: dict[str, str], jpeg: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(jpeg).digest()
    width, height = Image.open(io.BytesIO(jpeg)).size
    return {
        "sample": hashlib.sha256(listed["file"].encode()).hexdigest()[:16],
        "identity": listed["identity"],
        "source": NAME,
        "method": "aligned",
        "line": number,
        "url": f"file:{listed['file']}",
        "image_digest": digest,
        "cluster": digest,
        "crop_digest": digest,
        "width": width,
        "height": height,
        "face_box_xyxy": (0.0, 0.0, float(width), float(height)),
        "score": float(listed["score"]),
        "face_px": float(min(width, height)),
    }


def _write_shard(
    lake: Lake, folder: str, split: Split, rows: list[dict[str, Any]], pictures: dict[str, bytes]
) -> Iterator[dict[str, Any]]:
    """Write the shard of one split; its rows with the location of each picture."""
    shard = f"{split.value}-00000.tar"
    with create_shard(lake, f"{folder}/{shard}") as tar:
        for row in rows:
            if row["split"] == split:
                offset, length = tar.add(f"{row['sample']}.jpg", pictures[row["sample"]])
                yield {**row, "shard": shard, "offset": offset, "length": length}


def _manifest(version: str, index: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": NAME,
        "version": version,
        "published_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": NAME,
        "method": "aligned",
        "num_samples": len(index),
        "num_identities": len({row["identity"] for row in index}),
        "splits": {
            split.value: {
                "samples": sum(row["split"] == split for row in index),
                "identities": len({row["identity"] for row in index if row["split"] == split}),
            }
            for split in Split
        },
        "terms": _TERMS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Lake, required=True)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    args = parser.parse_args()
    dataset = publish_corpus(args.lake, args.archive)
    print(dataset, ", ".join(f"{split} {count}" for split, count in dataset.manifest["splits"].items()))


if __name__ == "__main__":
    main()
