"""Making a world: a folder of link files, and the answers an origin gives to them, with the truth about each.

The same numbers and seed give the same bytes. A world comes into being beside its folder and is moved there in one
step, so a folder with a `world.json` is complete; what an interrupted making left behind is thrown away.
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

# To be raised with every change that draws or deals otherwise: worlds of another version are not taken for this one.
VERSION = 1
# Names beyond those of the link files: the wrong people of other_person.
_NUM_STRANGERS = 40
# There are names for more, but nobody waits for them: 1000 identities of 1000 links are drawn in five hours.
_MOST_IDENTITIES = 10_000
# What each random generator of a world is for.
_FOR_DEAL, _FOR_NAMES, _FOR_LINKS, _FOR_LOOKS, _FOR_ALBUM = range(5)


@dataclass(frozen=True, slots=True)
class WorldSummary:
    """A world in numbers: link lines, distinct URLs, and how many of them are of each kind and expectation."""

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
    """Make a world in `folder`, which must be empty or not exist yet; a world of the same numbers is left as it is.

    Args:
        folder: where `links/`, `responses.csv`, `bodies/`, `boxes.csv` and `world.json` will lie.
        num_identities: people with a link file, at most 10,000.
        per_identity: lines of each link file.
        seed: of all chance; the same seed gives the same bytes.
        on_progress: called with (links done, links in all) after each person.

    Raises:
        UsageError: the folder holds something else, or a number is out of range.
    """
    wanted = {"version": VERSION, "num_identities": num_identities, "per_identity": per_identity, "seed": seed}
    if not 0 < num_identities <= _MOST_IDENTITIES or per_identity < 1 or seed < 0:
        raise UsageError(
            f"a world has 1 to {_MOST_IDENTITIES:,} identities of at least 1 link and a seed from 0 on; asked for were "
            f"{num_identities} identities of {per_identity} links and seed {seed}"
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
    """Count what a world holds, made or recorded.

    Raises:
        UsageError: the folder is not a world.
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
    """Whether the world is there already.

    Raises:
        UsageError: something else is.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder for the world, or one that does not exist yet")
    about = folder / "world.json"
    if about.is_file():
        found = _told(about)
        if {name: found.get(name) for name in wanted} == wanted:
            return True
        held = {name: found.get(name) for name in wanted}
        raise UsageError(
            f"{folder} holds another world ({held}) than was asked for ({wanted}): remove it or name another folder"
        )
    if any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds files but no finished world: name an empty folder, or one that does not exist yet"
        )
    return False


def _told(about: Path) -> dict[str, Any]:
    """What a world says of itself; nothing, where the file is damaged."""
    with suppress(ValueError, RecursionError):
        value = json.loads(about.read_bytes())
        return value if isinstance(value, dict) else {}
    return {}


class _Maker:
    """Makes the albums one after the other, and writes each before the next, so memory holds one at a time."""

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
        """One person's album; `guests`, lines of the neighbour's group photos, stand in for plain pictures."""
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
        """Write the link file, its lines shuffled, and return what to say of its boxes."""
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
        """Somebody but the person `index`: as often from another link file as from none."""
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
