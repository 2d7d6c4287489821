"""Make the golden lake of format 1: `PYTHONPATH=<checkout of 9e3fbf5> python make.py /golden`.

It was made once, by the code of commit 9e3fbf5, and is never made again by later code: the tests show that later code
reads what that code wrote. FOLDER must not exist; its path stands in `origin.json`, so it is given a plain name. The
result is `FOLDER/lake`, packed as `format-1.tar.xz` beside this file (`tar -C FOLDER -cJf format-1.tar.xz lake`).

The people are drawn by the synthetic source. Pictures and boxes are scaled to 0.4 of their size to keep it small.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from storage.files.lake import Lake
from synthetic.origin import serving
from synthetic.world import make_world

_SEED, _IDENTITIES, _PER_IDENTITY, _SCALE, _MIN_FACE_PX = 4, 8, 4, 0.4, 40


def main(folder: Path) -> None:
    """Run the stages up to `publish` on a small world, each as its own command."""
    world, lake = folder / "world", folder / "lake"
    make_world(world, num_identities=_IDENTITIES, per_identity=_PER_IDENTITY, seed=_SEED)
    for body in (world / "bodies").glob("*.jpg"):
        body.write_bytes(_smaller(body.read_bytes()))
    for links in (world / "links").iterdir():
        links.write_text("".join(map(_scaled, links.read_text().splitlines())))
    asked = ["--lake", str(lake), "--source", "synthetic"]
    with serving(world) as origin:
        web = ["--links", str(world / "links"), "--connect-to", f"127.0.0.1:{origin.port}"]
        _facemill("ingest", *asked, *web)
        _facemill("retry", *asked, *web)
    _facemill("crop", *asked, "--method", "both")
    _facemill("publish", *asked, "--method", "both", "--min-face", str(_MIN_FACE_PX))
    # Which runs did what, and their logs and pages: nothing that a later facemill must read.
    for path in ("leases", "work"):
        Lake(lake).remove(path)


def _smaller(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        size = [max(64, round(side * _SCALE)) for side in image.size]
        small = image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()


def _scaled(line: str) -> str:
    number, url, *box, pose, score, curation = line.split(" ")
    sides = [f"{float(side) * _SCALE:.2f}" for side in box]
    return " ".join([number, url, *sides, pose, score, curation]) + "\n"


def _facemill(*words: str) -> None:
    program = "from flows.cli.app import main; main()"
    environment = {**os.environ, "FACEMILL_WORKERS": "1"}
    subprocess.run([sys.executable, "-c", program, *words], check=True, env=environment)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
