"""Other tools in separate virtual environments, for comparison."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def environment_with(folder: Path, package: str, wanted: Sequence[str]) -> Path:
    """The programs of the environment `folder`, which is created unless it contains `package`.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    if not list(folder.glob(f"lib/python*/site-packages/{package}")):
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *wanted]
        subprocess.run(pip, check=True)
    return folder / "bin"
