"""The identity of an invented person: the traits common to all pictures.

Lengths are in head units: 1 is half the width of an average face, x runs right, y down, and the line between the
eyes is y = 0. The chin of an average face is at y = 1.5 and the top of the skull at y = -1.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]

HAIR_STYLES = ("bald", "buzz", "short", "swept", "fringe", "bob", "long", "curly", "bun")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "round", "square")

# From lightest to darkest; a person's skin colour is between two neighbours.
_SKINS = np.array(
    [[250, 222, 202], [240, 200, 172], [226, 180, 142], [200, 150, 112], [164, 112, 78], [122, 80, 56], [88, 58, 44]]
)
_HAIRS = np.array(
    [
        [28, 24, 26],
        [58, 40, 30],
        [96, 66, 42],
        [136, 96, 58],
        [190, 152, 96],
        [222, 190, 134],
        [150, 74, 38],
        [150, 148, 148],
        [212, 208, 202],
        [96, 74, 130],
    ]
)
_HAIR_SHARES = (0.22, 0.2, 0.15, 0.1, 0.08, 0.07, 0.07, 0.05, 0.04, 0.02)
_IRISES = np.array([[62, 38, 24], [98, 62, 34], [112, 98, 48], [78, 108, 72], [76, 116, 158], [112, 124, 136]])


@dataclass(frozen=True, slots=True)
class Identity:
    """Traits of one invented person. Shapes are lengths in head units, or factors near 1."""

    skin: RGB
    face_width: float
    face_length: float
    jaw_width: float
    chin_width: float
    ear_size: float
    eye_spacing: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: RGB
    brow_height: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_thickness: float
    lip_red: float
    hair_style: str
    hair: RGB
    hair_volume: float
    hairline: float
    parting: float
    beard: str
    glasses: str
    freckles: float
    lines: float
    mole_xy: tuple[float, float] | None


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person. Traits are independent, so that two people differ in most of them."""
    skin = _between(rng, _SKINS, 7)
    hair = _jitter(rng, _HAIRS[rng.choice(len(_HAIRS), p=_HAIR_SHARES)], 10)
    style = str(rng.choice(HAIR_STYLES, p=(0.06, 0.09, 0.16, 0.14, 0.13, 0.13, 0.14, 0.09, 0.06)))
    may_have_beard = style in ("bald", "buzz", "short", "swept", "curly") and rng.random() < 0.55
    return Identity(
        skin=skin,
        face_width=rng.uniform(0.9, 1.1),
        face_length=rng.uniform(0.9, 1.12),
        jaw_width=rng.uniform(0.68, 0.92),
        chin_width=rng.uniform(0.26, 0.5),
        ear_size=rng.uniform(0.75, 1.25),
        eye_spacing=rng.uniform(0.38, 0.51),
        eye_width=rng.uniform(0.19, 0.27),
        eye_height=rng.uniform(0.075, 0.135),
        eye_tilt=rng.uniform(-0.2, 0.24),
        iris=_jitter(rng, _IRISES[rng.integers(len(_IRISES))], 8),
        brow_height=rng.uniform(0.27, 0.41),
        brow_thickness=rng.uniform(0.04, 0.12),
        brow_arch=rng.uniform(0.0, 0.13),
        nose_length=rng.uniform(0.5, 0.72),
        nose_width=rng.uniform(0.17, 0.3),
        mouth_y=rng.uniform(0.92, 1.06),
        mouth_width=rng.uniform(0.3, 0.47),
        lip_thickness=rng.uniform(0.055, 0.13),
        lip_red=rng.uniform(0.15, 0.8),
        hair_style=style,
        hair=hair,
        hair_volume=rng.uniform(0.06, 0.26),
        hairline=rng.uniform(-0.98, -0.7),
        parting=rng.uniform(-0.5, 0.5),
        beard=str(rng.choice(BEARDS[1:])) if may_have_beard else "none",
        glasses=str(rng.choice(GLASSES, p=(0.82, 0.09, 0.09))),
        freckles=rng.uniform(0.3, 1.0) if rng.random() < 0.15 else 0.0,
        lines=rng.uniform(0.0, 1.0) ** 2,
        mole_xy=(rng.uniform(-0.6, 0.6), rng.uniform(0.45, 1.2)) if rng.random() < 0.2 else None,
    )


def _between(rng: np.random.Generator, anchors: np.ndarray, spread: int) -> RGB:
    """A colour between two neighbours of a scale, jittered by up to `spread` per channel."""
    at = rng.uniform(0, len(anchors) - 1.001)
    low = int(at)
    return _jitter(rng, anchors[low] + (at - low) * (anchors[low + 1] - anchors[low]), spread)


def _jitter(rng: np.random.Generator, colour: np.ndarray, spread: int) -> RGB:
    red, green, blue = np.clip(colour + rng.uniform(-spread, spread, 3), 0, 255).astype(int).tolist()
    return red, green, blue
