"""What detecting and cropping the faces of a source would cost: pictures, CPU time, bytes. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.configuration.setting_groups import SettingValues, changed
from flows.configuration.settings import load_settings
from storage.files.free_room import free_room
from storage.files.lake import Lake
from storage.files.stored_files import stored_files
from tasks.dataset.source_tables import lines_to_crop, read_faces
from tasks.faces.crop_shard import uncropped
from tasks.faces.detect_shard import is_detected
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch.ledger import accepted, read_ledger

# CPU seconds a photograph, by the smallest face searched for in pixels, as `python -m bench.detect` printed them
# (docs/detect.md).
_DETECT_CPU_S = ((96, 0.0094), (40, 0.0351), (20, 0.0961))
# 122,000 crops by one method, as published, took 3 GB.
_CROP_BYTES = 25_000


@dataclass(frozen=True, slots=True)
class CropCost:
    """The detection and crops of one source.

    Attributes:
        pictures: in the lake, and expected from a fetch.
        to_search: those whose faces are not detected yet; `to_crop` those not cropped yet by each method.
        cpu_hours: of the detection; `hours` with `processes` at work.
        num_bytes: of the crops.
    """

    source: str
    pictures: int
    to_search: int
    to_crop: int
    methods: list[str]
    cpu_hours: float
    processes: int
    hours: float
    num_bytes: int


def crop_cost(
    lake: Lake, source: str, methods: Sequence[str], settings: SettingValues, *, check_boxes: bool = True, new: int = 0
) -> CropCost:
    """The detection and crops of the pictures of a source.

    Args:
        methods: crop methods.
        new: pictures that a fetch is expected to bring.
    """
    machine = load_settings()
    detector = changed(machine.detector(), "detect", settings)
    crops = changed(CropSettings(check_boxes=check_boxes), "crop", settings)
    by_shard = _pictures_by_shard(lake, source)
    to_search = new + sum(num for stem, num in by_shard.items() if not is_detected(lake, source, stem, detector))
    to_crop = new + _to_crop(lake, source, by_shard, list(methods), detector, crops)
    cpu_hours = to_search * _detect_cpu_s(detector) / 3600
    processes = machine.num_workers()
    return CropCost(
        source=source,
        pictures=new + sum(by_shard.values()),
        to_search=to_search,
        to_crop=to_crop,
        methods=list(methods),
        cpu_hours=cpu_hours,
        processes=processes,
        hours=cpu_hours / processes,
        num_bytes=sum(round(to_crop * crop_bytes(lake, source, one)) for one in methods),
    )


def _pictures_by_shard(lake: Lake, source: str) -> dict[str, int]:
    """The number of accepted pictures of each shard."""
    shards = accepted(read_ledger(lake, source, ["key", "outcome", "shard"]))["shard"].cast(pa.string())
    return {item["values"]: item["counts"] for item in pc.value_counts(shards.drop_null()).to_pylist()}


def _to_crop(
    lake: Lake,
    source: str,
    by_shard: dict[str, int],
    methods: list[str],
    detector: DetectorSettings,
    crops: CropSettings,
) -> int:
    """The number of pictures whose faces are missing or outdated for one of the methods."""
    if not by_shard or not lake.exists(lake.plan(source)):
        return sum(by_shard.values())
    lines = LinesByKey(lines_to_crop(lake, source))
    return sum(
        num
        for stem, num in by_shard.items()
        if not is_detected(lake, source, stem, detector)
        or uncropped(lake, source, stem, lines, methods, settings=crops)
    )


def _detect_cpu_s(detector: DetectorSettings) -> float:
    return next((cpu_s for px, cpu_s in _DETECT_CPU_S if detector.min_face_px >= px), _DETECT_CPU_S[-1][1])


def crop_bytes(lake: Lake, source: str, method: str) -> float:
    """The bytes of one crop: the mean of the lake's own, if it has any."""
    held = sum(file.num_bytes for file in stored_files(lake, lake.faces(method, source)))
    num = len(accepted(read_faces(lake, source, method))) if held else 0
    return held / num if num else _CROP_BYTES


def disk_cost(lake: Lake, needed: int) -> dict[str, int | None]:
    """The bytes needed, and those free on the disk of a local lake; None for a bucket."""
    room = free_room(Path(lake.root)) if lake.is_local else None
    return {"needed": needed, "free": room.free_bytes if room else None}
