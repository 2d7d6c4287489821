"""The package as it is installed: everything it needs is in it, wherever it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.versions.datasets import all_versions
from tests.chaos.service import serving
from tests.waiting import GUARD_S

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow
PACKAGES = ("facemill", "flows", "tasks", "model", "storage", "synthetic", "stats")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
READ = """
import json, flows.service.setup as setup
from flows.service.schedule import deployments
from prefect.utilities.importtools import import_object
described = setup.with_parameters(deployments(), {"lake": "/somewhere/lake"})
flow = import_object(described["deployments"][0]["entrypoint"])
print(json.dumps({"from": setup.__file__, "flow": flow.fn.__code__.co_filename, **described}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy of the tree, with what is installed here: nothing is downloaded."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    made = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, str(made)], cwd=source, check=True, capture_output=True)
    (file,) = made.glob("*.whl")
    return zipfile.ZipFile(file)


def test_every_file_of_the_packages_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "flows/service/prefect.yaml" in wanted
    assert wanted - set(wheel.namelist()) == set()


def test_an_installed_copy_reads_its_deployments_and_flows_from_itself_in_any_folder(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    wheel.extractall(installed)
    told = json.loads(
        subprocess.run(
            [sys.executable, "-P", "-c", READ],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert Path(told["from"]).is_relative_to(installed)
    assert Path(told["flow"]).is_relative_to(installed)
    assert {one["parameters"]["lake"] for one in told["deployments"]} == {"/somewhere/lake"}
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def installed(wheel: zipfile.ZipFile, tmp_path: Path) -> Path:
    """A fresh environment with the wheel, beside the packages that it needs."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel.filename)], check=True)
    folder = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # Files with the ending .pth in that folder are not read, so this tree's own editable install is not found by it.
    (folder / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run(
        [python, "-P", "-c", "import flows, tasks; print(flows.__file__, tasks.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(Path(one).is_relative_to(folder) for one in found.stdout.split())
    return environment / "bin" / "facemill"


def test_an_installed_service_runs_a_pipeline_to_its_end(installed: Path, tmp_path: Path) -> None:
    small = {"source": "synthetic", "identities": 6, "per_identity": 10, "method": "mtcnn", "min_face": 60}
    with serving(tmp_path, "--source", "synthetic", program=[str(installed)], cwd=tmp_path) as service:
        run = service.start_run("pipeline/pipeline", lake=str(tmp_path / "lake"), **small)
        assert service.wait_for(run, within_s=GUARD_S) == "COMPLETED"
        assert service.stop() == 0
    (version,) = all_versions(Lake(tmp_path / "lake"))
    assert version.manifest["num_identities"] == small["identities"]
