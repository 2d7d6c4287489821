"""Generation of a synthetic dataset: link files, the origin's responses, and the ground truth of each link.

The same numbers and seed give the same bytes. The dataset is generated next to its folder and then renamed, so a folder
with a `world.json` is complete; leftovers of an interrupted run are deleted.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import UsageError
from synthetic.album import Album, Line, Person, Shot
from synthetic.fault_recipes import add
from synthetic.faults import PLAIN, REPEATS, deal
from synthetic.identity import sample_identity
from synthetic.image_bodies import BodyStore
from synthetic.invented_names import AddressBook, invented_names
from synthetic.response_table import BoxRow, Response, read_boxes, read_responses

# Increase with every change of the generated files: datasets of another version are not reused.
VERSION = 1
# Additional names for the wrong people of the fault other_person.
_NUM_STRANGERS = 40
# More names exist, but drawing 1000 identities with 1000 links takes five hours.
_MOST_IDENTITIES = 10_000
# Purposes of the random generators.
_FOR_DEAL, _FOR_NAMES, _FOR_LINKS, _FOR_LOOKS, _FOR_ALBUM = range(5)


@dataclass(frozen=True, slots=True)
class WorldSummary:
    """Counts of a dataset: link lines, distinct URLs, and URLs by kind and expectation."""

    num_identities: int
    num_links: int
    num_urls: int
    kinds: dict[str, int]
    expects: dict[str, int]
    num_copies: int
    num_boxes_off: int


def make_world(
    folder: Path,
    *,
    num_identities: int,
    per_identity: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> WorldSummary:
    """Generate a dataset in `folder`, which must be empty or not exist; an equal dataset is kept.

    Args:
        folder: the folder for `links/`, `responses.csv`, `bodies/`, `boxes.csv` and `world.json`.
        num_identities: number of people with a link file, at most 10,000.
        per_identity: number of lines per link file.
        seed: random seed; the same seed gives the same bytes.
        on_progress: called with (links done, total links) after each person.

    Raises:
        UsageError: the folder contains other files, or a number is out of range.
    """
    wanted = {"version": VERSION, "num_identities": num_identities, "per_identity": per_identity, "seed": seed}
    if not 0 < num_identities <= _MOST_IDENTITIES or per_identity < 1 or seed < 0:
        raise UsageError(
            f"a synthetic dataset has 1 to {_MOST_IDENTITIES:,} identities with at least 1 link, and a seed from 0, "
            f"not {num_identities} identities with {per_identity} links and seed {seed}"
        )
    if _is_there(folder, wanted):
        return world_summary(folder)
    making = folder.absolute().with_name(f".{folder.absolute().name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    _Maker(making, num_identities, per_identity, seed).make(on_progress)
    summary = world_summary(making)
    about = json.dumps(wanted | {"summary": asdict(summary)}, indent=2, sort_keys=True)
    (making / "world.json").write_text(about + "\n", encoding="utf-8")
    making.replace(folder)
    return summary


def world_summary(folder: Path) -> WorldSummary:
    """Count the contents of a generated or recorded dataset.

    Raises:
        UsageError: the folder is not a dataset.
    """
    kinds: Counter[str] = Counter()
    expects: Counter[str] = Counter()
    alive, num_copies, num_urls = set(), 0, 0
    for response in read_responses(folder):
        kinds[response.kind] += 1
        expects[response.expect] += 1
        num_copies += bool(response.same_as)
        num_urls += response.expect != "target"
        if response.expect == "accepted":
            alive.add(response.url)
    boxes = list(read_boxes(folder))
    return WorldSummary(
        num_identities=len({row.identity for row in boxes}),
        num_links=len(boxes),
        num_urls=num_urls,
        kinds=dict(sorted(kinds.items())),
        expects=dict(sorted(expects.items())),
        num_copies=num_copies,
        num_boxes_off=sum(row.url in alive and not row.box_ok for row in boxes),
    )


def _is_there(folder: Path, wanted: dict[str, int]) -> bool:
    """Whether the requested dataset already exists.

    Raises:
        UsageError: the folder contains something else.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file: choose a new or empty folder")
    about = folder / "world.json"
    if about.is_file():
        found = _read_about(about)
        if {name: found.get(name) for name in wanted} == wanted:
            return True
        held = {name: found.get(name) for name in wanted}
        raise UsageError(
            f"{folder} contains another dataset ({held}) than requested ({wanted}): delete it or choose another folder"
        )
    if any(folder.iterdir()):
        raise UsageError(f"{folder} contains files but no complete dataset: choose a new or empty folder")
    return False


def _read_about(about: Path) -> dict[str, Any]:
    """The content of `world.json`; empty if the file is damaged."""
    with suppress(ValueError, RecursionError):
        value = json.loads(about.read_bytes())
        return value if isinstance(value, dict) else {}
    return {}


class _Maker:
    """Makes the albums one by one, and writes each before the next, so that only one is in memory."""

    def __init__(self, folder: Path, num_identities: int, per_identity: int, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._num, self._per_identity = num_identities, per_identity
        self._hands = deal(num_identities, per_identity, self._rng(_FOR_DEAL))
        self._names = invented_names(num_identities + _NUM_STRANGERS, self._rng(_FOR_NAMES))
        self._book = AddressBook(self._rng(_FOR_LINKS))
        self._store = BodyStore(folder / "bodies")

    def make(self, on_progress: Callable[[int, int], None] | None) -> None:
        (self._folder / "links").mkdir()
        with ExitStack() as files:
            responses, boxes = (
                csv.writer(
                    files.enter_context((self._folder / name).open("w", newline="", encoding="utf-8")),
                    lineterminator="\n",
                )
                for name in ("responses.csv", "boxes.csv")
            )
            responses.writerow(Response._fields)
            boxes.writerow(BoxRow._fields)
            guests: list[Line] = []
            lent: Shot | None = None
            for index in range(self._num):
                album = self._album(index, lent, guests)
                responses.writerows(album.responses)
                boxes.writerows(self._write_links(album))
                guests, lent = album.guests, album.originals[0] if album.originals else None
                if on_progress:
                    on_progress((index + 1) * self._per_identity, self._num * self._per_identity)

    def _album(self, index: int, lent: Shot | None, guests: list[Line]) -> Album:
        """One person's album; `guests`, lines of the neighbour's group photos, replace plain pictures."""
        last = index == self._num - 1
        album = Album(
            index,
            self._person(index),
            self._rng(_FOR_ALBUM, index),
            book=self._book,
            store=self._store,
            stranger=lambda rng: self._stranger(index, rng),
            neighbour=None if last else self._person(index + 1),
            lent=lent,
        )
        hand = sorted(self._hands[index], key=lambda fault: fault in REPEATS)
        for guest in guests[: hand.count(PLAIN)]:
            hand.remove(PLAIN)
            album.lines.append(guest)
        for fault in hand:
            add(album, fault)
        return album

    def _write_links(self, album: Album) -> list[BoxRow]:
        """Write the link file with shuffled lines; returns its rows of `boxes.csv`."""
        texts, rows = [], []
        for number, at in enumerate(album.rng.permutation(len(album.lines)).tolist(), start=1):
            line = album.lines[at]
            texts.append(_link_text(number, line, album.rng))
            rows.append(BoxRow(album.person.name, number, line.url, int(line.box_ok)))
        path = self._folder / "links" / f"{album.person.name}.txt"
        path.write_text("".join(texts), encoding="ascii", newline="\n")
        return rows

    def _person(self, index: int) -> Person:
        return Person(self._names[index], sample_identity(self._rng(_FOR_LOOKS, index)))

    def _stranger(self, index: int, rng: np.random.Generator) -> Person:
        """Another person than `index`, equally often from another link file or from none."""
        others = [other for other in range(self._num) if other != index]
        if others and rng.random() < 0.5:
            return self._person(int(rng.choice(others)))
        return self._person(self._num + int(rng.integers(_NUM_STRANGERS)))

    def _rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *purpose])


def _link_text(number: int, line: Line, rng: np.random.Generator) -> str:
    """VGGFace1's nine fields: id, url, left, top, right, bottom, pose (over 2: frontal), score, curation."""
    box = " ".join(f"{value:.2f}" for value in line.box_xyxy)
    pose = 3 if abs(line.yaw_deg) < 20 else 1 + (line.yaw_deg > 0)
    return f"{number:08d} {line.url} {box} {pose:.2f} {rng.uniform(0.9, 5.5):.2f} {int(rng.random() < 0.38)}\n"
