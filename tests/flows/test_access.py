"""Who may read what a command writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.app import set_umask
from storage.files.lake import Lake


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> set[str]:
    return {f"{path.stat().st_mode & 0o7777:o}" for path in (folder, *folder.rglob("*"))}


@pytest.mark.attack(13)
@pytest.mark.parametrize(
    ("access", "lake", "other"),
    [
        (None, {"700", "600"}, {"700", "600"}),
        ("private", {"700", "600"}, {"700", "600"}),
        ("group", {"2770", "660"}, {"770", "660"}),
        ("everybody", {"700", "600"}, {"700", "600"}),
    ],
)
def test_a_command_and_those_it_starts_write_for_the_user_or_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, access: str | None, lake: set[str], other: set[str]
) -> None:
    if access is not None:
        monkeypatch.setenv("FACEMILL_ACCESS", access)
    set_umask()
    Lake(tmp_path / "lake").write("plan/made.parquet", b"")
    assert modes(tmp_path / "lake") == lake
    program = "import sys, pathlib; at = pathlib.Path(sys.argv[1]); at.mkdir(); (at / 'file').write_bytes(b'')"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "other")], check=True)
    assert modes(tmp_path / "other") == other
