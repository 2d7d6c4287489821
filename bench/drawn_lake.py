"""A lake as `ingest` and `crop` leave it, drawn in minutes: real link lines, drawn results, many shards."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.hashes import draw_pictures
from bench.versions import crop_jpeg, draw_attempts, draw_faces
from storage.files.lake import Lake
from storage.records import DETECTIONS, LINK_LINES
from storage.tables.parquet import read_as, stamp, write_table
from storage.tables.shards import create_shard
from tasks.faces import crop_shard, detect_shard
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch.consent import record_consent
from tasks.fetch.ledger import RULES, unit_name
from tasks.links.collect import collect_links
from tasks.links.plan import plan
from tasks.links.sources import source_named

SOURCE = "vggface1"
METHODS = ("bbox", "mtcnn")
# As 500 MB of pictures to a shard gave in the original experiment: of 900 links 500 pictures.
_ATTEMPTS_PER_SHARD = 900
_CROPS = "work/crops.tar"
# So that a version of tens of millions of samples fits a disk, at 3 KB each with its header and its JSON.
_CROP_PX = 32


def draw_lake(folder: Path, archive: Path, num_lines: int, most_each: int | None = None) -> Lake:
    """Draw the lake in `folder/lake` and its link files in `folder/links`, unless both are there.

    Args:
        most_each: the most lines of a person; None for all.
    """
    lake = Lake(folder / "lake")
    if lake.exists("drawn.json"):
        return lake
    write_links(folder / "links", archive, num_lines, most_each)
    links = asyncio.run(collect_links(lake, source_named(SOURCE), str(folder / "links")))
    lines = read_as(lake, lake.links(SOURCE, "lines.parquet"), LINK_LINES)
    candidates = plan(lines)
    place = _draw_crop(lake)
    write_table(lake, lake.plan(SOURCE), candidates, stamp=stamp(links.digest, None, None))
    rng = np.random.default_rng(0)
    hashes, digests, _ = draw_pictures(len(candidates), rng)
    by_key, units = LinesByKey(lines), candidates["unit"].to_numpy()
    for unit in np.unique(units).tolist():
        first, end = np.searchsorted(units, [unit, unit + 1]).tolist()
        for number, at in enumerate(range(first, end, _ATTEMPTS_PER_SHARD)):
            some = slice(at, min(at + _ATTEMPTS_PER_SHARD, end))
            asked = candidates.slice(at, some.stop - at)
            attempts = draw_attempts(asked, rng, (hashes[some], digests[some]))
            _draw_shard(lake, f"{unit_name(unit)}-{number}-aaaaaa", attempts, by_key, place, rng)
    record_consent(lake, SOURCE, by="bench", told="a drawn lake")
    lake.write_json("drawn.json", {"lines": num_lines})
    return lake


def write_links(folder: Path, archive: Path, num_lines: int, most_each: int | None = None) -> None:
    """Link files with the first `num_lines` lines of the archive; when it ends, again under other names and URLs.

    Args:
        most_each: the most lines of a person; None for all.
    """
    folder.mkdir(parents=True)
    left = num_lines
    for name, lines in _people(archive):
        some = lines[:most_each][:left]
        (folder / name).write_bytes(b"".join(some))
        left -= len(some)
        if not left:
            return


def _people(archive: Path) -> Iterator[tuple[str, list[bytes]]]:
    with tarfile.open(archive) as tar:
        files = {
            Path(one.name).name: file.read().splitlines(keepends=True)
            for one in tar
            if one.name.endswith(".txt") and (file := tar.extractfile(one))
        }
    yield from files.items()
    for again in count(2):
        for name, lines in files.items():
            yield f"{name.removesuffix('.txt')}_{again}.txt", [_renamed(line, again) for line in lines]


def _renamed(line: bytes, again: int) -> bytes:
    """A link line with another URL; a malformed one as it is."""
    number, *rest = line.split(b" ", 2)
    return b" ".join((number, rest[0] + f"?{again}".encode(), rest[1])) if len(rest) > 1 else line


def placed(attempts: pa.Table, stem: str, offsets: pa.Array, lengths: pa.Array) -> pa.Table:
    """Drawn attempts with the places of their pictures in a shard; null where there is no picture."""
    filled = {
        "shard": pc.if_else(pc.is_valid(attempts["digest"]), stem, None),
        "offset": offsets,
        "length": lengths,
        "rules": pa.array([RULES] * len(attempts), pa.int16()),
    }
    for name, column in filled.items():
        at = attempts.schema.get_field_index(name)
        attempts = attempts.set_column(at, attempts.schema.field(at), column)
    return attempts


def _draw_crop(lake: Lake) -> tuple[int, int]:
    """Write the one crop that all faces have; returns its offset and length in the tar."""
    with create_shard(lake, _CROPS) as tar:
        return tar.add("crop.jpg", crop_jpeg(_CROP_PX))


def _draw_shard(
    lake: Lake,
    stem: str,
    attempts: pa.Table,
    lines: LinesByKey,
    place: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    is_there = pc.is_valid(attempts["digest"])
    at = [pc.if_else(is_there, pa.scalar(one, pa.int64()), None) for one in (512, 60_000)]
    attempts = placed(attempts, stem, *at)
    write_table(lake, f"{lake.images(SOURCE, stem)}.parquet", attempts)
    fetched = attempts.filter(is_there).sort_by("key")
    nothing: list[list[float]] = [[]] * len(fetched)
    detections = [fetched["key"], fetched["digest"], fetched["width"], fetched["height"], nothing, nothing, nothing]
    table = pa.table([*detections, pa.nulls(len(fetched))], DETECTIONS.names).cast(DETECTIONS)
    detected = detect_shard._stamp(DetectorSettings())
    write_table(lake, lake.detections(SOURCE, stem), table, stamp=detected)
    joined = crop_shard._join(lines, detect_shard.accepted_images(lake, SOURCE, stem))
    listed = lines.of(fetched["key"].to_pylist())  # in the order of the list: by identity and line
    for method in METHODS:
        made_from = crop_shard._stamp(detected, joined, method, CropSettings())
        path = lake.faces(method, SOURCE, stem)
        write_table(lake, f"{path}.parquet", draw_faces(listed, place, rng), stamp=made_from)
        Path(lake.full(f"{path}.tar")).hardlink_to(lake.full(_CROPS))
