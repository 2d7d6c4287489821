"""A damaged JSON file of a lake ends every command that reads it with one line that names the file."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.training_config import training_config
from flows.experiment import _grid
from model.compare.experiment_grid import experiment_id
from storage.files.lake import Lake
from storage.records import SCORES, bytes_digest
from storage.versions.alias_events import AliasEvent
from storage.versions.aliases import record_alias
from storage.versions.datasets import all_versions
from storage.versions.evaluations import write_evaluation
from storage.versions.models import write_model
from tests.tasks.maintenance.fsck.test_fuzz import EXPERIMENT, FIGURES, FILES

GOLDEN = Path(__file__).parents[1] / "golden/format-1.tar.xz"
KINDS = {
    "format": "lake.json",
    "origin": "links/synthetic/origin.json",
    "dataset": "datasets/faces-mtcnn/*/manifest.json",
    "model": "models/embedder/*/manifest.json",
    "config": "models/embedder/*/config.json",
    "metrics": "models/embedder/*/metrics.json",
    "thresholds": "models/embedder/*/thresholds.json",
    "history": "models/embedder/*/history.json",
    "lineage": "models/embedder/*/lineage.json",
    "alias": "models/embedder/aliases/*.json",
    "evaluation": "evaluations/embedder/*/*.json",
    "experiment": "experiments/*.json",
}
# Not JSON, no object, an object of nothing.
DAMAGE = {"cut": b'{"a": ', "a list": b"[]", "empty": b"{}"}
COMMANDS: dict[str, str] = {
    "status": "status --lake {lake}",
    "check": "check --lake {lake}",
    "datasets list": "datasets list --lake {lake}",
    "datasets show": "datasets show faces-mtcnn --lake {lake}",
    "diff": "diff faces-mtcnn faces-bbox --lake {lake}",
    "export": "export faces-mtcnn {out} --to imagefolder --lake {lake}",
    "report": "report faces-mtcnn --lake {lake}",
    "models list": "models list --lake {lake}",
    "models show": "models show embedder --lake {lake}",
    "models show alias": "models show embedder@champion --lake {lake}",
    "models evaluate": "models evaluate embedder --dataset faces-mtcnn --lake {lake}",
    "models report": "models report embedder --dataset faces-mtcnn --lake {lake}",
    "models diff": "models diff embedder@v1 embedder@v2 --dataset faces-mtcnn --lake {lake}",
    "models promote": "models promote embedder@v1 --dataset faces-mtcnn --lake {lake}",
    "models rollback": "models rollback embedder --lake {lake}",
    "embed": "embed {photo} --lake {lake}",
    "compare": "compare {photo} {photo} --lake {lake}",
    "forget": "forget --identity Nobody --lake {lake}",
    "prune": "prune --keep-last 9 --lake {lake}",
    "ingest": "ingest --source synthetic --lake {lake}",
    "retry": "retry --lake {lake}",
    "crop": "crop --method mtcnn --lake {lake}",
    "clean": "clean --method mtcnn --model embedder --lake {lake}",
    "publish": "publish --method mtcnn --lake {lake}",
    "train": "train --dataset faces-mtcnn --preset smoke --steps 2 --device cpu --lake {lake}",
    "experiment": "experiment --methods bbox,mtcnn --margins 1 --preset smoke --device cpu --lake {lake}",
}
# Which commands read which file, whatever else they do: all that look at versions, and all that open one.
ALL_DATASETS = {"status", "datasets list", "datasets show", "diff", "export", "report", "forget", "prune", "experiment"}
JUDGES = {"models evaluate", "models report", "models diff", "models promote"}
ALL_MODELS = JUDGES | {"models show", "embed", "compare"}
READ_BY = {
    "format": set(COMMANDS),
    "origin": {"ingest", "publish"},
    "dataset": ALL_DATASETS | JUDGES | {"train"},
    "model": ALL_MODELS | {"status", "datasets list", "datasets show", "models list", "models show alias", "prune"},
    "config": ALL_MODELS - {"models show"},
    "metrics": {"models show"},
    "alias": {
        "datasets list",
        "datasets show",
        "models list",
        "models show alias",
        "models promote",
        "models rollback",
        "prune",
    },
    "evaluation": JUDGES,
    "experiment": {"experiment"},
}


def make(folder: Path) -> None:
    """A lake of every kind of file, and a photo beside it."""
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    lake = Lake(folder / "lake")
    (dataset,) = (one for one in all_versions(lake) if one.name == "faces-mtcnn")
    files = {name: json.dumps(value).encode() for name, value in {**FILES, "lineage.json": {}}.items()}
    told = {"dataset": str(dataset), "trained_at": "2026", "auc": 0.9}
    for version in ("v1", "v2"):
        model = write_model(lake, "embedder", version, files, told)
        record_alias(lake, "embedder", AliasEvent("champion", "promote", version, None, "ada"))
        write_evaluation(model, str(dataset), "stamp", FIGURES, pa.Table.from_pylist([], schema=SCORES))
    Image.new("RGB", (200, 200)).save(folder / "photo.jpg")
    cells = _grid(
        lake,
        "faces",
        ["bbox", "mtcnn"],
        [1.0],
        [0],
        training_config("experiment", preset="smoke", steps=None, device="cpu")[1],
    )
    lake.write_json(lake.experiment(experiment_id(cells)), EXPERIMENT)


def damage(lake: Lake, pattern: str, data: bytes) -> None:
    """Put bytes in place of the files; the digest that a model's manifest has of one stays true."""
    for path in sorted(Path(lake.root).glob(pattern)):
        path.write_bytes(data)
        manifest = path.with_name("manifest.json")
        if path.parts[-4] == "models" and path.name != manifest.name and manifest.exists():
            told: dict[str, Any] = json.loads(manifest.read_bytes())
            told["files"][path.name] = bytes_digest(data).hex()
            manifest.write_text(json.dumps(told))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make(folder)
    return folder


@pytest.fixture
def facemill(whole: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Runs a command of `COMMANDS` on a copy of the lake, and says what came of it."""
    shutil.copytree(whole / "lake", tmp_path / "lake")
    places = {"lake": tmp_path / "lake", "out": tmp_path / "out", "photo": whole / "photo.jpg"}
    return lambda name: CliRunner().invoke(app, [word.format(**places) for word in COMMANDS[name].split()])


def test_each_command_that_is_swept_gets_past_the_files_it_reads(facemill: Callable[[str], Any]) -> None:
    """Else it would be refused for another reason, and the sweep say nothing."""
    assert set().union(*READ_BY.values()) == set(COMMANDS)
    for name in ("status", "datasets list", "models list", "models show", "models show alias", "experiment", "forget"):
        result = facemill(name)
        assert result.exit_code == 0, (name, result.stderr)


@pytest.mark.attack(17)
@pytest.mark.parametrize("how", ["cut", "empty"])
@pytest.mark.parametrize("kind", READ_BY)
def test_a_damaged_file_ends_every_command_that_reads_it_in_one_line(
    facemill: Callable[[str], Any], tmp_path: Path, kind: str, how: str
) -> None:
    damage(Lake(tmp_path / "lake"), KINDS[kind], DAMAGE[how])
    for name in sorted(READ_BY[kind]):
        result = facemill(name)
        assert isinstance(result.exception, SystemExit), (name, result.exception)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), (name, result.stderr)
        assert re.match(f"facemill: .*/{KINDS[kind].replace('*', '[^/]+')}", result.stderr), (name, result.stderr)
        assert "facemill check" in result.stderr or kind == "format"
