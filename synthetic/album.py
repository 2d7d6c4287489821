"""One identity's links under construction: responses of the origin and lines of the link file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from storage.records import Box
from synthetic.identity import Identity
from synthetic.image_bodies import BodyStore, encoded
from synthetic.invented_names import AddressBook
from synthetic.portrait import Portrait, draw
from synthetic.response_table import Response

# Smaller faces are not counted in the column `faces`.
_SMALLEST_FACE_PX = 30


class Person(NamedTuple):
    """An invented person with a name."""

    name: str
    looks: Identity


class Line(NamedTuple):
    """A line of a link file, and whether its box frames a face in the served picture."""

    url: str
    box_xyxy: Box
    box_ok: bool
    yaw_deg: float


class Shot(NamedTuple):
    """A served picture: response, boxes (the labelled person first), and yaw."""

    response: Response
    boxes: tuple[Box, ...]
    yaw_deg: float


class Album:
    """Collects the links of one person.

    Args:
        index: index of the album in the dataset.
        person: the person of the link file.
        rng: source of all randomness in this album.
        book: generates the URLs.
        store: stores the bodies.
        stranger: creates or picks another person, for mislabelled pictures.
        neighbour: the second person in group photos; None: no group photos.
        lent: a picture of another album that this one may repeat.
    """

    def __init__(
        self,
        index: int,
        person: Person,
        rng: np.random.Generator,
        *,
        book: AddressBook,
        store: BodyStore,
        stranger: Callable[[np.random.Generator], Person],
        neighbour: Person | None,
        lent: Shot | None,
    ) -> None:
        self.index, self.person, self.rng, self.book, self.store = index, person, rng, book, store
        self.stranger, self.neighbour, self.lent = stranger, neighbour, lent
        self.responses: list[Response] = []
        self.lines: list[Line] = []
        # Pictures that may be copied, and lines for the neighbour's link file.
        self.originals: list[Shot] = []
        self.guests: list[Line] = []

    def take(self, of: Person | None = None, *, form: str = "JPEG", companion: Identity | None = None) -> Shot:
        """Draw a picture, by default of this album's person, and store it for the origin."""
        person = of or self.person
        portrait = draw(person.looks, self.rng, companion)
        data = encoded(portrait.image, form, int(self.rng.integers(78, 95)))
        return self.served(portrait, portrait.image.size, data, form.lower(), person)

    def served(self, portrait: Portrait, size: tuple[int, int], data: bytes, ending: str, truth: Person) -> Shot:
        """A picture served with the body `data`; `size` is its stored size."""
        boxes = (portrait.box_xyxy, *portrait.bystanders)
        response = Response(
            url=self.book.link(),
            kind="image",
            body=self.store.put(data, ending.replace("jpeg", "jpg")),
            expect="accepted",
            truth_identity=truth.name,
            faces=num_faces(boxes),
            size=f"{size[0]}x{size[1]}",
        )
        return Shot(response, boxes, portrait.yaw_deg)

    def keep(self, shot: Shot, *, box_xyxy: Box | None = None, box_ok: bool = True) -> None:
        """Add a picture's response and line; the listed box is slightly jittered, like a detector's box."""
        self.responses.append(shot.response)
        listed = box_xyxy or self.jittered(shot.boxes[0])
        self.lines.append(Line(shot.response.url, listed, box_ok, shot.yaw_deg))

    def lose(self, response: Response) -> None:
        """Add a response without a picture; its line lists the box of a lost picture."""
        self.responses.append(response)
        left, top, side = self.rng.uniform(20, 250), self.rng.uniform(10, 200), self.rng.uniform(60, 260)
        self.lines.append(Line(response.url, (left, top, left + side, top + side), False, self.rng.normal(0, 13)))

    def jittered(self, box: Box) -> Box:
        """A square shifted and scaled by about 2% of its side."""
        side = box[2] - box[0]
        dx, dy = self.rng.normal(0, 0.02, 2) * side
        half = side / 2 * (1 + self.rng.normal(0, 0.02))
        x, y = (box[0] + box[2]) / 2 + dx, (box[1] + box[3]) / 2 + dy
        return float(x - half), float(y - half), float(x + half), float(y + half)


def num_faces(boxes: tuple[Box, ...]) -> str:
    """The number of faces of at least 30 px, in the format of the column `faces`."""
    return str(sum(right - left >= _SMALLEST_FACE_PX for left, _, right, _ in boxes))


def scaled(box: Box, factor: float) -> Box:
    """A box scaled to another picture size."""
    left, top, right, bottom = (float(value * factor) for value in box)
    return left, top, right, bottom
