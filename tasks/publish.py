"""From faces to a dataset version: the samples copied into shards by split, an index, and a manifest last."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.datasets import DatasetVersion
from storage.errors import UsageError
from storage.lake import Lake
from storage.records import SAMPLES
from storage.shards import create_shard, read_member
from storage.tables import stamp, write_table
from tasks.crop import sample_name
from tasks.funnel import Funnel
from tasks.select import SelectRules, Stage
from tasks.split import SplitRules, split_identities

_SAMPLES_PER_SHARD = 10_000


@dataclass(frozen=True, slots=True)
class Publication:
    """What a version is made of, and what its manifest says of where it came from."""

    name: str
    source: str
    method: str
    select: SelectRules
    split: SplitRules
    funnel: Funnel
    links_digest: str
    terms: str


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset version, and whether it was not there before."""

    dataset: DatasetVersion
    funnel: Funnel
    is_new: bool


def collect_samples(
    publication: Publication, lines: pa.Table, verdicts: pa.Table, faces: pa.Table, fates: pa.Table
) -> pa.Table:
    """The samples in publishing order: by split, then by sample name, which is a digest and so shuffles people.

    Args:
        faces: `records.FACES` with the column `stem`, the shard of crops that holds each.
        fates: of every line, as `select.select` gives them.

    Returns:
        `records.SAMPLES` without shard, offset and length, and with `stem`, `from_offset` and `from_length`, where the
        crop lies now.
    """
    chosen = fates.filter(pc.equal(fates["stage"], Stage.SAMPLE.value))
    rows = pc.equal(fates["stage"], Stage.SAMPLE.value)
    lines, face, verdict = lines.filter(rows), faces.take(chosen["face"]), verdicts.take(chosen["verdict"])
    people = lines["identity"].cast(pa.string()).to_pylist()
    numbers = lines["line"].to_pylist()
    splits = split_identities(zip(people, verdict["cluster"].to_pylist(), strict=True), publication.split)
    names = [
        sample_name(publication.source, person, number, publication.method)
        for person, number in zip(people, numbers, strict=True)
    ]
    columns: dict[str, Any] = {
        "sample": pa.array(names, pa.string()),
        "identity": people,
        "split": [splits[person].value for person in people],
        "source": [publication.source] * len(people),
        "method": [publication.method] * len(people),
        "line": lines["line"],
        "url": lines["url"],
        "cluster": verdict["cluster"],
    }
    same = (
        "image_digest",
        "crop_digest",
        "width",
        "height",
        "face_box_xyxy",
        "landmarks",
        "score",
        "agreement",
        "fit",
        "face_px",
        "border",
        "sharpness",
        "yaw_deg",
        "roll_deg",
    )
    columns |= {name: face[name] for name in same}
    columns |= {"stem": face["stem"], "from_offset": face["offset"], "from_length": face["length"]}
    return pa.table(columns).sort_by([("split", "ascending"), ("sample", "ascending")])


def version_id(publication: Publication, samples: pa.Table) -> str:
    """The id of the version these samples make: a digest of what is in it and of the rules that chose it."""
    content = samples.select(["sample", "identity", "split", "crop_digest"]).to_pylist()
    rules = [publication.source, publication.method, asdict(publication.select), asdict(publication.split)]
    return stamp("dataset", rules, [list(row.values()) for row in content])


def publish(
    lake: Lake,
    publication: Publication,
    samples: pa.Table,
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Published:
    """Write the version that these samples make, or find it written already.

    Raises:
        UsageError: there are no samples.
    """
    if not len(samples):
        raise UsageError(
            f"no {publication.method} face of {publication.source} is fit to be published: "
            + "; ".join(f"{one.stage} {one.num_out} of {one.num_in}" for one in publication.funnel.stages)
        )
    version = version_id(publication, samples)
    folder = lake.dataset(publication.name, version)
    is_new = not lake.exists(f"{folder}/manifest.json")
    if is_new:
        index = _write_shards(lake, folder, publication, samples, on_progress)
        write_table(lake, f"{folder}/index.parquet", index)
        lake.write_json(f"{folder}/manifest.json", _manifest(publication, version, index))
    return Published(DatasetVersion(lake, publication.name, version), publication.funnel, is_new)


def _write_shards(
    lake: Lake, folder: str, publication: Publication, samples: pa.Table, on_progress: Callable[[int], None]
) -> pa.Table:
    places: list[tuple[str, int, int]] = []
    for split in pc.unique(samples["split"]).to_pylist():
        part = samples.filter(pc.equal(samples["split"], split))
        for number, start in enumerate(range(0, len(part), _SAMPLES_PER_SHARD)):
            shard = f"{split}-{number:05d}.tar"
            with create_shard(lake, f"{folder}/{shard}") as tar:
                for row in part.slice(start, _SAMPLES_PER_SHARD).to_pylist():
                    crop = lake.faces(publication.method, publication.source, row["stem"])
                    jpeg = read_member(lake, f"{crop}.tar", row["from_offset"], row["from_length"])
                    places.append((shard, *tar.add(f"{row['sample']}.jpg", jpeg)))
                    tar.add(f"{row['sample']}.json", _sample_json(row))
                    on_progress(len(places))
    shards, offsets, lengths = zip(*places, strict=True)
    whole = samples.append_column("shard", pa.array(shards)).append_column("offset", pa.array(offsets))
    return whole.append_column("length", pa.array(lengths)).select(SAMPLES.names).cast(SAMPLES)


def _sample_json(row: dict[str, Any]) -> bytes:
    """What stands beside the picture in the shard, for readers that know no Parquet."""
    names = ("identity", "split", "source", "method", "line", "url", "face_box_xyxy", "landmarks", "score")
    facts = {name: row[name] for name in names} | {"image_sha256": row["image_digest"].hex()}
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()


def _manifest(publication: Publication, version: str, index: pa.Table) -> dict[str, Any]:
    splits = index["split"].cast(pa.string()).to_numpy()
    people = index["identity"].cast(pa.string()).to_numpy()
    return {
        "name": publication.name,
        "version": version,
        "published_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "facemill": installed_version("facemill"),
        "source": publication.source,
        "links_digest": publication.links_digest,
        "method": publication.method,
        "select": asdict(publication.select),
        "split": asdict(publication.split),
        "num_samples": len(index),
        "num_identities": len(np.unique(people)),
        "splits": {
            split: {
                "samples": int((splits == split).sum()),
                "identities": len(np.unique(people[splits == split])),
            }
            for split in np.unique(splits)
        },
        "funnel": publication.funnel.to_json(),
        "terms": publication.terms,
    }
