"""CPU time, memory and opened files of commands with nothing to do, by the number of link lines.

    python -m bench.scale                             a million of VGGFace1's lines
    python -m bench.scale --lines 250000,2500000      real lines, under further names where more are wanted
    python -m bench.scale --keep FOLDER --json        keep the lakes for the next run
    python -m bench.scale --commands read,publish     only some of the rows

The lakes are drawn as `ingest` and `crop` leave them (`bench.drawn_lake`): nothing is due, and the tars of images are
absent, since no command with nothing to do reads them; all faces have one crop. Each command is a process of its own.
`read` is `ingest --dry-run` of a list that no lake has: all of it is read, and its links are counted by host.
`compact` does what the runs that fetched and cropped would have done at their ends. The first `ingest` and the first
`crop` compare everything, as after a change of the list or of the code; the second ones find nothing changed. The
pipeline is the whole one, by both methods, after a drawn training (`bench.drawn_training`): the first one writes the
pages of doubtful faces, the second finds nothing changed.
`start` is what the same command takes on a lake of 2,000 lines, which is subtracted from the CPU time. `files` are the
openings of files in the lake, leases included.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.drawn_lake import SOURCE, draw_lake
from bench.drawn_training import draw_training
from bench.usage import measured

_ARCHIVE = Path(__file__).parents[1].parent / "shared" / "data" / "vgg_face_dataset.tar.xz"
# A pipeline needs six people, and a list of VGGFace1 has a thousand lines.
_SMALL, _OF_A_PERSON = 2_000, 20


class Cost(NamedTuple):
    """What a command took."""

    cpu_s: float
    rss_bytes: int
    num_opened: int


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """The measured commands by the name of their row, in the order in which they run."""
    lake = ("--lake", str(folder / "lake"), "--source", SOURCE)
    links = ("--links", str(folder / "links"))
    ingest, crop, publish = ("ingest", *lake, *links), ("crop", *lake), ("publish", *lake, "--method", "mtcnn")
    pipeline = ("pipeline", *lake, *links)
    unread = ("ingest", "--lake", str(folder / "unread"), "--source", SOURCE, *links, "--dry-run")
    return {
        "read": unread,
        "compact": ("compact", "--lake", str(folder / "lake")),
        "status": ("status", "--lake", str(folder / "lake")),
        "retry": ("retry", *lake),
        "ingest": ingest,
        "ingest again": ingest,
        "crop": crop,
        "crop again": crop,
        "publish": publish,
        "publish again": publish,
        "publish bbox": ("publish", *lake, "--method", "bbox"),
        "pipeline": pipeline,
        "pipeline again": pipeline,
    }


def run(folder: Path, num_lines: int, wanted: Collection[str]) -> dict[str, Cost]:
    """The cost of each of the wanted commands on a lake of so many lines."""
    lake = draw_lake(folder, _ARCHIVE, num_lines, most_each=_OF_A_PERSON if num_lines == _SMALL else None)
    found = {}
    for name, arguments in commands(folder).items():
        if name not in wanted:
            continue
        if name == "pipeline":
            draw_training(lake)
        counted = [sys.executable, "-m", "bench.opened", str(folder / "lake"), str(folder / "opened")]
        used = measured([*counted, *arguments], folder / "log")
        found[name] = Cost(used.cpu_s, used.rss_bytes, int((folder / "opened").read_text()))
        print(f"{num_lines:>11,} lines  {name:14} {used.cpu_s:8.2f} CPU-s", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", default="1000000", help="numbers of lines, separated by commas")
    parser.add_argument("--keep", type=Path, help="folder of the lakes")
    names = list(commands(Path()))
    parser.add_argument("--commands", default=",".join(names), help="the rows, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    wanted = options.commands.split(",")
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"unknown command {unknown[0]}: the rows are {', '.join(names)}")
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facemill-bench-")))
        sizes = [_SMALL, *(int(one) for one in options.lines.split(","))]
        found = {num: run(folder / str(num), num, wanted) for num in sizes}
    start = found.pop(_SMALL)
    rows = [
        {
            "lines": num,
            "command": name,
            "cpu_s": round(used.cpu_s - start[name].cpu_s, 2),
            "start_cpu_s": round(start[name].cpu_s, 2),
            "mb": round(used.rss_bytes / 1e6),
            "files": used.num_opened,
        }
        for num, usages in found.items()
        for name, used in usages.items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    form = "{lines:>11,} lines  {command:14} {cpu_s:8.2f} CPU-s after {start_cpu_s:5.2f} to start"
    form += "  {mb:6,} MB  {files:7,} files"
    for row in rows:
        print(form.format(**row))


if __name__ == "__main__":
    main()
