"""One identity's links as they come into being: the answers of the origin and the lines of the link file."""

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

# Faces smaller than this do not count in the column `faces`.
_SMALLEST_FACE_PX = 30


class Person(NamedTuple):
    """An invented person and the name."""

    name: str
    looks: Identity


class Line(NamedTuple):
    """What a link file says of one picture, and whether its box frames a face in the picture served."""

    url: str
    box_xyxy: Box
    box_ok: bool
    yaw_deg: float


class Shot(NamedTuple):
    """A picture as it is served: the origin's answer, all boxes with that of the person meant first, and the turn."""

    response: Response
    boxes: tuple[Box, ...]
    yaw_deg: float


class Album:
    """Collects the links of one person.

    Args:
        index: the how-many-eth album of the world this is.
        person: whose link file it is.
        rng: all chance in this album.
        book: invents the URLs.
        store: keeps the bodies.
        stranger: invents or picks somebody else, for pictures of the wrong person.
        neighbour: who stands beside the person in group photos; None: no group photos.
        lent: a picture of somebody else's album that this one may repeat.
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
        # Pictures that copies may be made of, and lines that belong into the neighbour's link file.
        self.originals: list[Shot] = []
        self.guests: list[Line] = []

    def take(self, of: Person | None = None, *, form: str = "JPEG", companion: Identity | None = None) -> Shot:
        """Draw a picture (of this album's person unless told) and put it where the origin serves it."""
        person = of or self.person
        portrait = draw(person.looks, self.rng, companion)
        data = encoded(portrait.image, form, int(self.rng.integers(78, 95)))
        return self.served(portrait, portrait.image.size, data, form.lower(), person)

    def served(self, portrait: Portrait, size: tuple[int, int], data: bytes, ending: str, truth: Person) -> Shot:
        """A picture that is answered with `data`; `size` is the one stored there."""
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
        """Add a picture's answer and its line; the box listed is a little off, as detectors' boxes are."""
        self.responses.append(shot.response)
        listed = box_xyxy or self.jittered(shot.boxes[0])
        self.lines.append(Line(shot.response.url, listed, box_ok, shot.yaw_deg))

    def lose(self, response: Response) -> None:
        """Add an answer that leads to no picture; its line lists the box of the picture there once was."""
        self.responses.append(response)
        left, top, side = self.rng.uniform(20, 250), self.rng.uniform(10, 200), self.rng.uniform(60, 260)
        self.lines.append(Line(response.url, (left, top, left + side, top + side), False, self.rng.normal(0, 13)))

    def jittered(self, box: Box) -> Box:
        """A square moved and scaled by about a fiftieth of its side."""
        side = box[2] - box[0]
        dx, dy = self.rng.normal(0, 0.02, 2) * side
        half = side / 2 * (1 + self.rng.normal(0, 0.02))
        x, y = (box[0] + box[2]) / 2 + dx, (box[1] + box[3]) / 2 + dy
        return float(x - half), float(y - half), float(x + half), float(y + half)


def num_faces(boxes: tuple[Box, ...]) -> str:
    """How many faces are 30 px and larger, as the column `faces` wants it."""
    return str(sum(right - left >= _SMALLEST_FACE_PX for left, _, right, _ in boxes))


def scaled(box: Box, factor: float) -> Box:
    """A box in a picture of another size."""
    left, top, right, bottom = (float(value * factor) for value in box)
    return left, top, right, bottom
