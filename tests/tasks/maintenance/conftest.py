"""A small lake that came the whole road, without Prefect and with a detector that always finds the same two faces."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from storage.files.lake import Lake
from storage.records import Box, FoundFace, Reason
from storage.tables.parquet import read_table, write_table
from storage.versions.takedowns import read_forgotten
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import Published, publish_source
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import lines_to_crop
from tasks.dataset.split import SplitRules
from tasks.faces import detect_shard as detect
from tasks.faces.crop_shard import crop_shard, uncropped
from tasks.faces.detect_shard import detect_shard, is_detected
from tasks.faces.detectors import DetectorSettings
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch import fetch_unit as fetch
from tasks.fetch.fetch_unit import fetch_unit, to_pending
from tasks.fetch.ledger import image_stems, pending_due, pending_new, read_ledger
from tasks.fetch.takedown_filter import GuardedTransport
from tasks.links.collect import collect_links
from tasks.links.plan import plan
from tasks.links.sources import source_named
from tasks.web.responses import FetchResult

SOURCE = "vggface1"
NUM_PEOPLE, FACES_EACH = 6, 3
GROUP = "http://h0.example/0-0.jpg"
COPIED, COPY = "http://h0.example/0-1.jpg", "http://copy.example/1.jpg"
SMALLER = "http://small.example/2.jpg"
LEFT: Box = (10.0, 30.0, 75.0, 130.0)
RIGHT: Box = (85.0, 30.0, 150.0, 130.0)


def drawn(number: int, px: int = 160) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).resize((160, 160)).resize((px, px)).save(file, "JPEG", quality=95)
    return file.getvalue()


class TwoFaces:
    """A detector that finds one face on the left and one on the right of every picture."""

    batch = 8

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        return [tuple(found(box, image.width) for box in (LEFT, RIGHT)) for image in images]


def found(box: Box, width: int) -> FoundFace:
    left, top, right, bottom = scaled(box, width)
    middle = (left + right) / 2
    eyes, mouth = top + (bottom - top) * 0.4, top + (bottom - top) * 0.8
    landmarks = (left + 15, eyes, right - 15, eyes, middle, (eyes + mouth) / 2, left + 18, mouth, right - 18, mouth)
    return FoundFace((left, top, right, bottom), 0.99, landmarks)


def scaled(box: Box, width: int) -> Box:
    left, top, right, bottom = (value * width / 160 for value in box)
    return left, top, right, bottom


@dataclass
class Mill:
    """A lake, the link files it is made from, and the web behind them."""

    lake: Lake
    links: Path
    web: dict[str, bytes]
    request: list[str] = field(default_factory=list)

    async def get(self, url: str) -> FetchResult:
        self.request.append(url)
        return (
            FetchResult(url, self.web[url])
            if url in self.web
            else FetchResult(url, reason=Reason.GONE, http_status=404)
        )

    def run(self) -> Published:
        """Everything that is not done yet, from the link files to a dataset version."""
        self.fetch()
        lines = LinesByKey(lines_to_crop(self.lake, SOURCE))
        for stem in image_stems(self.lake, SOURCE):
            if not is_detected(self.lake, SOURCE, stem, DetectorSettings()):
                detect_shard(self.lake, SOURCE, stem, DetectorSettings())
            if uncropped(self.lake, SOURCE, stem, lines, ["bbox"], settings=CropSettings()):
                crop_shard(self.lake, SOURCE, stem, lines, ["bbox"], settings=CropSettings())
        # One split: pictures that several people share would else be left out of one of two.
        one_split = SplitRules(test_share=0, val_share=0, least_identities=0)
        return publish_source(self.lake, Request("faces", SOURCE, "bbox", SelectRules(min_face_px=20), one_split))

    def fetch(self) -> None:
        """Ask for what is new, and for what is due."""
        asyncio.run(collect_links(self.lake, source_named(SOURCE), str(self.links)))
        candidates = plan(read_table(self.lake, self.lake.links(SOURCE, "lines.parquet")))
        write_table(self.lake, self.lake.plan(SOURCE), candidates)
        ledger = read_ledger(self.lake, SOURCE)
        due = pending_due(candidates, ledger, datetime.now(UTC))
        pending = pa.concat_tables([pending_new(candidates, ledger), due])
        guarded = GuardedTransport(self, partial(read_forgotten, self.lake, SOURCE))
        asyncio.run(fetch_unit(self.lake, SOURCE, 0, to_pending(pending), guarded))

    def outcomes(self) -> dict[bytes, str]:
        """What the ledger says of each key."""
        rows = read_ledger(self.lake, SOURCE, ["key", "outcome", "reason"]).to_pylist()
        return {row["key"]: row["reason"] or row["outcome"] for row in rows}


def build(folder: Path) -> Mill:
    """Six people with three pictures each, and a link that is gone.

    Person_1 names a picture of Person_0 too, GROUP; Person_2 has a picture whose bytes are another one of Person_0's,
    COPY of COPIED; Person_3 a smaller copy of Person_0's third, SMALLER.
    """
    urls = {f"Person_{n}": [f"http://h{n}.example/{n}-{m}.jpg" for m in range(FACES_EACH)] for n in range(NUM_PEOPLE)}
    web = {url: drawn(number) for number, url in enumerate(url for one in urls.values() for url in one)}
    web |= {COPY: web[COPIED], SMALLER: drawn(2, px=120)}
    lines = {person: [(url, LEFT) for url in theirs] for person, theirs in urls.items()}
    for person, url in ((1, GROUP), (2, COPY), (3, SMALLER), (4, "http://h4.example/gone.jpg")):
        lines[f"Person_{person}"].append((url, scaled(RIGHT, 120 if url == SMALLER else 160)))
    links = folder / "links"
    links.mkdir()
    for name, listed in lines.items():
        (links / f"{name}.txt").write_text("".join(link_line(n, *line) for n, line in enumerate(listed, 1)))
    return Mill(Lake(folder / "lake"), links, web)


def link_line(number: int, url: str, box: Box) -> str:
    return f"{number:08d} {url} {' '.join(f'{value:.2f}' for value in box)} 3.00 2.00 1\n"


class Killed(BaseException):
    """A process that ends in the middle of something."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the so-manieth write, removal or move in any lake end the process before it is done."""
    left = iter(range(step))
    for name in ("create", "remove", "move"):
        real = getattr(Lake, name)

        def dying(lake: Lake, *paths: str, real=real, **options: bool):
            if next(left, None) is None:
                raise Killed
            return real(lake, *paths, **options)

        monkeypatch.setattr(Lake, name, dying)


@pytest.fixture(scope="module")
def small_and_quick() -> Iterator[None]:
    """Small shards, and the detector of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "ATTEMPTS_PER_SHARD", 8)
        patch.setattr(detect, "load_detector", lambda settings: TwoFaces())
        yield


@pytest.fixture
def mill(tmp_path: Path, small_and_quick: None) -> Mill:
    """A mill that has not run yet."""
    return build(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_and_quick: None) -> Mill:
    """A mill that has run once; read only."""
    mill = build(tmp_path_factory.mktemp("finished"))
    mill.run()
    return mill


@pytest.fixture
def ready(finished: Mill, tmp_path: Path) -> Mill:
    """A copy of `finished` to do anything with."""
    shutil.copytree(finished.lake.root, tmp_path / "lake")
    return Mill(Lake(tmp_path / "lake"), finished.links, dict(finished.web))
