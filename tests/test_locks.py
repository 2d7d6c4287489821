"""The lock files name every file that is installed, by its hash, and nothing else."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
BUILD = PROJECT["build-system"]["requires"]
RUNTIME = [*PROJECT["project"]["dependencies"], *EXTRAS["scale"]]
# What each lock must hold, as pyproject.toml asks for it.
WANTED = {
    "requirements.lock": [*RUNTIME, *EXTRAS["dev"], *EXTRAS["s3"], *BUILD],
    "requirements-image.lock": [*RUNTIME, *BUILD],
    "requirements-tools.lock": PROJECT["dependency-groups"]["tools"],
    "requirements-docs.lock": PROJECT["dependency-groups"]["docs"],
}
every_lock = pytest.mark.parametrize("lock", WANTED)


def entries(lock: str) -> list[str]:
    """The requirements of a lock, each with its hashes on one line."""
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if not line.startswith("#")]


def locked(lock: str) -> dict[str, set[str]]:
    """The versions by name; more than one where the newest does not run on every Python."""
    versions: dict[str, set[str]] = defaultdict(set)
    for entry in entries(lock):
        requirement = Requirement(entry.split("--hash=")[0])
        [version] = requirement.specifier
        assert version.operator == "==" and "*" not in version.version, entry
        versions[canonicalize_name(requirement.name)].add(version.version)
    return versions


def named(requirements: list[str]) -> list[Requirement]:
    """Those of other projects: an extra may name this one's own extras."""
    return [one for one in map(Requirement, requirements) if one.name != PROJECT["project"]["name"]]


@pytest.mark.attack(14)
@every_lock
def test_every_requirement_of_a_lock_has_one_version_and_a_sha256_of_its_files(lock: str) -> None:
    assert len(locked(lock)) >= len(WANTED[lock])
    for entry in entries(lock):
        _, *hashes = entry.split("--hash=")
        assert hashes, f"{entry} has no hash"
        for one in hashes:
            kind, _, digest = one.strip().partition(":")
            assert kind == "sha256" and len(digest) == 64, entry


@pytest.mark.attack(14)
@every_lock
def test_a_lock_names_no_index_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert [line for line in text.splitlines() if "://" in line or line.startswith("-") or " @ " in line] == []


@pytest.mark.attack(14)
@every_lock
def test_what_the_project_asks_for_is_locked_at_a_version_that_it_allows(lock: str) -> None:
    versions = locked(lock)
    for wanted in named(WANTED[lock]):
        found = versions[canonicalize_name(wanted.name)]
        assert found and all(wanted.specifier.contains(version) for version in found), wanted


@pytest.mark.attack(14)
def test_the_image_has_the_versions_of_the_tests_and_none_of_their_packages() -> None:
    image, everything = locked("requirements-image.lock"), locked("requirements.lock")
    assert {name: everything[name] for name in image} == image
    asked_for = {canonicalize_name(one.name) for one in named(RUNTIME)}
    for one in named(EXTRAS["dev"]):
        assert canonicalize_name(one.name) not in image.keys() - asked_for


@pytest.mark.attack(14)
def test_nothing_is_installed_but_by_the_hashes_of_a_lock() -> None:
    """A command either takes a lock with its hashes, or builds this project alone with what a lock brought."""
    files = [ROOT / "Makefile", ROOT / "deploy" / "Dockerfile", ROOT / ".ci" / "run"]
    commands = [line for file in files for line in file.read_text().splitlines() if "pip install" in line]
    assert len(commands) == 4
    for command in commands:
        by_hash = "--require-hashes --only-binary :all:" in command
        assert by_hash or "--no-deps --no-build-isolation --editable ." in command, command
