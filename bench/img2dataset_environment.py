"""img2dataset 1.47.0 in a separate virtual environment, with its best settings for this comparison.

Its newest release pins pandas < 3 and an old albumentations, so it cannot share facemill's environment. The only
other requirement is `setuptools<81`: later versions lack webdataset's `pkg_resources`. Installing takes half a minute
and 600 MB; an existing environment is reused.

Settings: two processes of 64 threads, shards small enough to keep both busy to the end (its default of 10,000 would
leave all work to one process), tars as in facemill, no resizing, original bytes (`skip_reencode`), SHA-256 on, EXIF
off. `--disable_all_reencoding` is not used: it disables decoding, and error pages with status 200 are accepted as
pictures. The variant `img2dataset, unchecked` shows what that saves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.environment import environment_with

VERSION = "1.47.0"


def program(folder: Path) -> Path:
    """The command in its environment in `folder`, which is created if needed."""
    return environment_with(folder, "img2dataset", [f"img2dataset=={VERSION}", "setuptools<81"]) / "img2dataset"


def command(program: Path, urls: Path, output: Path, num: int, *, checked: bool = True) -> list[str]:
    """The command line to fetch the URLs of a text file, one per line."""
    options = {
        "url_list": urls,
        "output_folder": output,
        "output_format": "webdataset",
        "processes_count": 2,
        "thread_count": 64,
        "number_sample_per_shard": max(num // 4, 1),
        "resize_mode": "no",
        "skip_reencode": True,
        "disable_all_reencoding": not checked,
        "compute_hash": "sha256",
        "extract_exif": False,
        "timeout": 10,
        "enable_wandb": False,
    }
    return [str(program), *(f"--{name}={value}" for name, value in options.items())]


def quiet_environment(folder: Path) -> dict[str, str]:
    """Environment of its process: no update checks, which cost time and network access; wandb's files in `folder`."""
    return {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "TMPDIR": str(folder)}


def num_accepted(output: Path) -> int:
    """The number of pictures in its shards."""
    return sum(json.loads(path.read_text())["successes"] for path in output.glob("*_stats.json"))
