"""A person in one picture: identity, expression, clothes and pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from synthetic.geometry import Points, Pose, mirrored, smooth
from synthetic.identity import RGB, Identity


@dataclass(frozen=True, slots=True)
class Mood:
    """Expression and clothes of a person in one picture."""

    smile: float
    mouth_open: float
    eyes_open: float
    gaze_x: float
    gaze_y: float
    brow_raise: float
    clothes: RGB
    neckline: float
    strands_seed: int


class Figure(NamedTuple):
    """A person in one picture."""

    who: Identity
    mood: Mood
    pose: Pose


def face_outline(who: Identity) -> Points:
    """The outline of the face without hair, in head units."""
    width, length = who.face_width, who.face_length
    return smooth(
        mirrored(
            [
                (0, -1.34),
                (0.64 * width, -1.17),
                (0.93 * width, -0.62),
                (width, 0.0),
                (0.97 * width, 0.42),
                (who.jaw_width * width, 0.98 * length),
                (who.chin_width * 1.35, 1.36 * length),
                (who.chin_width * 0.6, 1.5 * length),
                (0, 1.53 * length),
            ]
        )
    )
