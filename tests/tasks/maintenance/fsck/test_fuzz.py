"""Damage at random: whatever a manifest, a setting or an index says, only errors for people come of it."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from model.compare.evaluation_store import version_thresholds
from model.configuration.ranges import published_settings
from storage.errors import FacemillError, LakeError
from storage.files.lake import Lake
from storage.records import SAMPLES, SCORES, Takedown, TakedownKind, bytes_digest, identity_key
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import create_shard
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import record_alias
from storage.versions.datasets import all_versions, open_dataset
from storage.versions.evaluations import evaluations, write_evaluation
from storage.versions.models import model_versions, write_model
from storage.versions.takedowns import record
from tasks.dataset.diff import diff
from tasks.dataset.export_version import export
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.takedown.redact import redact
from tests.fuzzing import examples
from tests.tasks.builders import NOW

FIGURES = {
    "auc": 0.9, "auc_interval": [0.8, 1.0], "eer": 0.1, "accuracy": 0.8, "rank_1": 0.7, "num_identities": 4,
    "tar_at_far": {"0.01": 0.5}, "tar_at_far_interval": {"0.01": None},
}  # fmt: skip
FILES = {
    "config.json": {"backbone": "mobilefacenet", "embedding_dim": 16, "image_px": 32, "width": 0.5, "mirror": True},
    "metrics.json": {"trained": FIGURES, "untrained": FIGURES},
    "thresholds.json": {
        "chosen_on": "val", "num_genuine": 1, "num_impostor": 1, "accuracy": 0.5, "far": {"0.01": None},
        "calibration": {"slope": 1.0, "offset": 0.0},
    },
    "history.json": {"intervals": [{"step": 1, "loss": 0.5, "learning_rate": 0.1}]},
}  # fmt: skip
SIDE = {"method": "bbox", "margin": 1.0}
EXPERIMENT = {
    "cells": [{**SIDE, "model": "embedder@v1", "dataset": "faces@v1", "own": FIGURES, "common": FIGURES}],
    "common_test": {"num_identities": 4, "num_faces": 8},
    "differences": [{"from": SIDE, "to": SIDE, "auc": {"difference": 0.1, "interval": [0.0, 0.2]}}],
}
MANIFEST = {
    "name": "faces", "version": "v1", "published_at": "2026", "source": "made", "method": "bbox", "terms": "none",
    "num_samples": 3, "num_identities": 3, "splits": {"train": {"samples": 3, "identities": 3}},
    "funnel": {"method": "bbox", "stages": [{"stage": "fetch", "num_in": 3, "num_out": 3, "rejected": {"gone": 0}}]},
    "cleaning": {"model": "embedder@v1"}, "leaks": {"people": 0},
    "redactions": [{"at": "2026", "num_samples": 1, "samples": ["0123456789abcdef"]}],
}  # fmt: skip
NASTY = [
    "../../up",
    "/etc/passwd",
    "a/b",
    "..",
    "",
    "x" * 300,
    "\x9b",
    "train",
    "0123456789abcdef",
    "[/b]",
    "v1@v1",
    "faces@v1",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("sample", "identity", "split", "source", "method", "url", "shard"),
        st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    "offset": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5000),
    "length": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5000),
    "line": st.integers(-(2**31), 2**31 - 1),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of three samples and one model version that all sorts of files name."""
    lake = Lake(tmp_path_factory.mktemp("sound") / "lake")
    file, rows = io.BytesIO(), []
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    with create_shard(lake, "datasets/faces/v1/train-00000.tar") as shard:
        for number in range(3):
            sample = f"{number:016x}"
            place = shard.add(f"{sample}.jpg", file.getvalue())
            rows.append(
                dict.fromkeys(("line", "width", "height", "face_px"), number)
                | dict.fromkeys(("image_digest", "cluster"), bytes(32))
                | {"crop_digest": bytes_digest(file.getvalue()), "face_box_xyxy": (0, 0, 1, 1), "sample": sample}
                | {
                    "identity": f"P{number}",
                    "split": "train",
                    "source": "made",
                    "method": "bbox",
                    "url": f"http://{number}",
                }
                | dict(zip(("offset", "length"), place, strict=True), shard="train-00000.tar")
            )
    write_table(lake, "datasets/faces/v1/index.parquet", rows_to_table(rows, SAMPLES))
    lake.write_json("datasets/faces/v1/manifest.json", MANIFEST)
    files = {name: json.dumps(value).encode() for name, value in FILES.items()}
    model = write_model(lake, "embedder", "v1", files, {"dataset": "faces@v1", "trained_at": "2026", "auc": 0.9})
    record_alias(lake, "embedder", AliasEvent("champion", "promote", "v1", None, "ada"))
    write_evaluation(model, "faces@v1", "stamp", FIGURES, pa.Table.from_pylist([], schema=SCORES))
    lake.write_json(lake.experiment("0123456789abcdef"), EXPERIMENT)
    record(lake, [Takedown(TakedownKind.IDENTITY, identity_key("P0"), None, NOW, "")])
    return Path(lake.root)


@contextmanager
def copied(sound: Path) -> Iterator[Lake]:
    """A copy of the lake alone in a folder; whatever appears beside it, or beside `out`, is too much."""
    with tempfile.TemporaryDirectory(prefix="facemill-") as folder:
        shutil.copytree(sound, Path(folder) / "lake")
        yield Lake(Path(folder) / "lake")
        assert {path.name for path in Path(folder).iterdir()} <= {"lake", "out"}


def use(lake: Lake) -> None:
    """All that is made of manifests and indexes; each thing on its own."""
    out = Path(lake.root).with_name("out")
    whole: list[Callable[[], object]] = [
        lambda: [one.state for one in all_versions(lake)],
        lambda: open_dataset(lake, "faces").index(),
        lambda: diff(open_dataset(lake, "faces"), open_dataset(lake, "faces")),
        lambda: export(open_dataset(lake, "faces"), "imagefolder", out),
        lambda: redact(open_dataset(lake, "faces"), {}),
        lambda: [published_settings(model) for model in model_versions(lake)],
        lambda: [model.read_json(file) for model in model_versions(lake) for file in FILES],
        lambda: [one.facts for model in model_versions(lake) for one in evaluations(model)],
        lambda: [version_thresholds(model) for model in model_versions(lake)],
        lambda: record_alias(lake, "embedder", AliasEvent("champion", "promote", "v1", None, "ada")),
    ]
    for one in whole:
        try:
            one()
        except FacemillError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 1000


def changed(value: Any, path: list[int], new: Any, *, gone: bool) -> Any:
    """`value` with the place that `path` chooses replaced, or gone."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if gone and len(path) == 1:
        del copy[key]
    else:
        copy[key] = changed(value[key], path[1:], new, gone=gone)
    return copy


def reseal(lake: Lake, path: str, data: bytes) -> None:
    """Write a file, with its digest in the manifest if it is one of a model version."""
    lake.write(path, data)
    folder, _, name = path.rpartition("/")
    if name in FILES:
        manifest = json.loads(lake.read(f"{folder}/manifest.json"))
        manifest["files"][name] = bytes_digest(data).hex()
        lake.write_json(f"{folder}/manifest.json", manifest)


fuzzed = settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.attack(17)
@fuzzed
@given(
    number=st.integers(0, 20), path=st.lists(st.integers(0, 9), max_size=4), new=VALUES, gone=st.booleans(),
    raw=st.none() | st.binary(max_size=30),
)  # fmt: skip
def test_any_manifest_is_read_or_refused_in_one_line(sound, number, path, new, gone, raw) -> None:
    with copied(sound) as lake:
        files = sorted(str(one.relative_to(lake.root)) for one in Path(lake.root).rglob("*.json"))
        files.remove("lake.json")
        file = files[number % len(files)]
        value = changed(json.loads(lake.read(file)), path, new, gone=gone)
        reseal(lake, file, json.dumps(value).encode() if raw is None else raw)
        inspect(jobs(lake))
        use(lake)


# What a reader once took and something after it could not: text that no file can hold again, keys that break the line,
# a list of nothing where a last one is looked for, a time to which nothing can be added, and nesting.
DEEP: Any = "x"
for _ in range(900):
    DEEP = [DEEP]
ODD: list[tuple[str, list[str | int], Any]] = [
    ("datasets/faces/v1/manifest.json", ["leaks"], {"two\nlines": -1}),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages", 0, "rejected"], {"two\nlines": "many"}),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages", 0, "rejected"], {"\x9b" * 5000: -1}),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages", 0, "rejected"], {"\ud800": 1}),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages", 0, "stage"], "\ud800"),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages", 0, "newer"], 1),
    ("datasets/faces/v1/manifest.json", ["funnel", "stages"], []),
    ("datasets/faces/v1/manifest.json", ["newer"], DEEP),
    ("models/embedder/aliases/*.json", ["over"], ...),
    ("models/embedder/aliases/*.json", ["why"], None),
    ("models/embedder/aliases/*.json", ["at"], "9999-12-31T23:59:59.999999+00:00"),
    ("models/embedder/aliases/*.json", ["at"], "0001-01-01T00:00:00+23:59"),
    ("models/embedder/v1/thresholds.json", ["newer"], 1),
    ("models/embedder/v1/thresholds.json", ["calibration", "newer"], 1),
]


@pytest.mark.attack(17)
@pytest.mark.parametrize(("pattern", "place", "new"), ODD, ids=[f"{one[0]}: {one[1][-1]}" for one in ODD])
def test_what_once_got_past_the_reader_of_a_manifest_is_read_or_refused_in_one_line(sound, pattern, place, new) -> None:
    with copied(sound) as lake:
        (file,) = (str(one.relative_to(lake.root)) for one in Path(lake.root).glob(pattern))
        value = json.loads(lake.read(file))
        inner = value
        for key in place[:-1]:
            inner = inner[key]
        inner.pop(place[-1], None) if new is ... else inner.__setitem__(place[-1], new)
        reseal(lake, file, json.dumps(value).encode())
        inspect(jobs(lake))
        use(lake)


@pytest.mark.attack(7)
@fuzzed
@given(
    cells=st.lists(
        st.sampled_from(sorted(CELLS)).flatmap(lambda name: st.tuples(st.just(name), CELLS[name])),
        min_size=1,
        max_size=3,
    )
)
def test_any_index_is_read_or_refused_and_leads_nowhere(sound, cells) -> None:
    with copied(sound) as lake:
        table = open_dataset(lake, "faces").whole_index().to_pylist()
        for name, value in cells:
            table[1][name] = value
        write_table(lake, "datasets/faces/v1/index.parquet", pa.Table.from_pylist(table, schema=SAMPLES))
        inspect(jobs(lake))
        use(lake)


@pytest.mark.attack(17)
@fuzzed
@example(at=2761, new=b"\x01", cut=False)  # columns of unequal length
@given(at=st.integers(0, 20_000), new=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_any_broken_table_is_refused_in_one_line(sound, at, new, cut) -> None:
    with copied(sound) as lake:
        path = Path(lake.full("datasets/faces/v1/index.parquet"))
        data = bytearray(path.read_bytes())
        at %= len(data)
        data[at : at + len(new)] = new
        path.write_bytes(bytes(data[:at] if cut else data))
        with suppress(LakeError):
            open_dataset(lake, "faces").whole_index()
        inspect(jobs(lake))
        use(lake)
