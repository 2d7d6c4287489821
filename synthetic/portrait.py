"""A picture of one or two people, with random pose, light, expression and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from storage.records import Box
from synthetic import light as lights
from synthetic.geometry import Pose
from synthetic.head import draw_body, draw_features
from synthetic.identity import RGB, Identity, sample_identity
from synthetic.layer import Layer, Plane, Region, enlarged
from synthetic.person import Figure, Mood
from synthetic.scene import paint_scene

Pixels = NDArray[np.float32]
# The square face box reaches from the upper forehead to just above the chin: 2.3 head units around (0, 0.32).
_BOX_UNITS = 2.3
_BOX_CENTRE = (0.0, 0.32)
# The drawn area around the point between the eyes, in head units: left, top, right; clothes extend to the lower edge
# of the picture.
_REACH = (-2.6, -2.4, 2.6)
_SHARE_ALONE, _SHARE_BYSTANDER = 0.82, 0.15


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture with its ground truth: square face boxes in pixels, as tight as VGGFace1's."""

    image: Image.Image
    box_xyxy: Box
    bystanders: tuple[Box, ...]
    yaw_deg: float


def draw(who: Identity, rng: np.random.Generator, companion: Identity | None = None) -> Portrait:
    """Draw `who`: mostly alone, with a smaller bystander in 15% of the pictures and one of the same size in 3%.

    Args:
        who: the labelled person.
        rng: source of all variation between pictures.
        companion: a second person of the same size; `bystanders` then contains only their box.
    """
    unit_px = float(np.exp(rng.uniform(np.log(110), np.log(260)))) / _BOX_UNITS
    beside, share = companion, float(rng.uniform(0.92, 1.06))
    chance = rng.random()
    if companion is None and chance > _SHARE_ALONE:
        beside = sample_identity(rng)
        if chance < _SHARE_ALONE + _SHARE_BYSTANDER:
            share = float(rng.uniform(0.35, 0.6))
    pose = _pose(rng, unit_px)
    size, pose, other = _composed(rng, pose, share if beside else 0.0)
    light = _light(rng)
    canvas = paint_scene(rng, size)
    if beside and other:
        _paint_person(canvas, Figure(beside, _mood(rng), other), light)
    _paint_person(canvas, Figure(who, _mood(rng), pose), light)
    image = _photographed(rng, canvas, light)
    bystanders = (face_box(other),) if other else ()
    return Portrait(image, face_box(pose), bystanders, float(np.degrees(pose.yaw)))


def face_box(pose: Pose) -> Box:
    """The square box of a face: left, top, right, bottom."""
    ((x, y),) = pose.face([_BOX_CENTRE]) * 0.4 + pose.outline([_BOX_CENTRE]) * 0.6
    half = pose.unit_px * _BOX_UNITS / 2
    return float(x - half), float(y - half), float(x + half), float(y + half)


# -- random variation --


def _pose(rng: np.random.Generator, unit_px: float) -> Pose:
    yaw, pitch, roll = np.radians(np.clip(rng.normal(0, (13, 6, 6)), (-30, -13, -16), (30, 13, 16)))
    return Pose(0.0, 0.0, unit_px, float(yaw), float(pitch), float(roll))


def _composed(rng: np.random.Generator, pose: Pose, share: float) -> tuple[tuple[int, int], Pose, Pose | None]:
    """The picture's size and the poses of the people; `share` is the second person's scale, 0 for none."""
    unit = pose.unit_px
    room_left, room_right = rng.uniform(1.6, 3.6, 2) * unit
    top, bottom = rng.uniform(1.75, 2.8) * unit, rng.uniform(2.2, 4.4) * unit
    other = None
    if share:
        apart = (1.75 + 1.75 * share) * unit
        aside = _pose(rng, unit * share)
        on_left = rng.random() < 0.5
        room_left, room_right = (
            (apart + 1.4 * share * unit, room_right) if on_left else (room_left, apart + 1.4 * share * unit)
        )
        y = top + rng.uniform(-0.2, 0.5) * unit
        other = Pose(room_left + (-apart if on_left else apart), y, aside.unit_px, aside.yaw, aside.pitch, aside.roll)
    size = (round(room_left + room_right), round(top + bottom))
    return size, Pose(room_left, top, unit, pose.yaw, pose.pitch, pose.roll), other


def _light(rng: np.random.Generator) -> lights.Light:
    direction = np.array([rng.uniform(-0.75, 0.75), rng.uniform(-0.7, -0.1), rng.uniform(0.75, 1.1)])
    x, y, z = (direction / np.linalg.norm(direction)).tolist()
    warmth = rng.normal(0, 0.06)
    red, green, blue = 1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth
    return lights.Light(x, y, z, rng.uniform(0.38, 0.68), (red, green, blue))


def _mood(rng: np.random.Generator) -> Mood:
    clothes: RGB = tuple(rng.integers(20, 235, 3).tolist())
    return Mood(
        smile=float(np.clip(rng.normal(0.65, 0.45), -0.3, 1.3)),
        mouth_open=float(np.clip(rng.normal(0.15, 0.45), 0, 1)),
        eyes_open=rng.uniform(0.72, 1.15),
        gaze_x=rng.uniform(-0.8, 0.8),
        gaze_y=rng.uniform(-0.5, 0.5),
        brow_raise=float(rng.normal(0, 0.025)),
        clothes=clothes,
        neckline=rng.uniform(0.0, 0.5),
        strands_seed=int(rng.integers(2**32)),
    )


# -- painting --


def _paint_person(canvas: Pixels, figure: Figure, light: lights.Light) -> None:
    pose = figure.pose
    region = _region(canvas, pose)
    lit = lights.brightness(region, figure, light)
    gain, glow = _skin_light(region, figure, light, lit)
    body = Layer(region)
    draw_body(body, figure)
    colour, cover = body.pixels()
    _paste(canvas, region, colour * enlarged(gain, region) + glow, cover)
    head = region._replace(height=min(region.height, int(pose.y + 2 * pose.unit_px) - region.top))
    features = Layer(head)
    draw_features(features, figure)
    colour, cover = features.pixels()
    _paste(canvas, head, colour * enlarged(lit, region)[: head.height], cover)


def _skin_light(region: Region, figure: Figure, light: lights.Light, lit: Plane) -> tuple[Plane, Pixels]:
    """The coarse factor on the body's colours, and the offset added to them (height, width, 3)."""
    who = figure.who
    gain = lit * (1 - lights.shadows(region, figure, light))
    shine, blood = lights.highlights(region, figure, light) * 34, lights.blush(region, figure.pose)
    glow = [lit * (shine + blood * tint) for tint in (16, -9, -7)]
    if who.beard != "none":
        bare = 1 - lights.beard(region, figure)
        gain = gain * bare
        glow = [part * bare + lit * (1 - bare) * (0.8 * hair) for part, hair in zip(glow, who.hair, strict=True)]
    return gain, np.concatenate([enlarged(part, region) for part in glow], axis=2)


def _region(canvas: Pixels, pose: Pose) -> Region:
    height, width = canvas.shape[:2]
    left, top = max(0, int(pose.x + _REACH[0] * pose.unit_px)), max(0, int(pose.y + _REACH[1] * pose.unit_px))
    right = min(width, int(pose.x + _REACH[2] * pose.unit_px))
    return Region(left, top, right - left, height - top)


def _paste(canvas: Pixels, region: Region, colour: Pixels, cover: Pixels) -> None:
    part = canvas[region.top : region.top + region.height, region.left : region.left + region.width]
    part += (colour - part) * cover


def _photographed(rng: np.random.Generator, canvas: Pixels, light: lights.Light) -> Image.Image:
    """Apply camera effects: colour of the light, exposure, contrast, grain and slight blur."""
    exposure, contrast = rng.uniform(0.74, 1.06), rng.uniform(0.8, 1.15)
    canvas *= np.array(light.colour, np.float32) * np.float32(exposure * contrast)
    grain = rng.integers(-128, 128, canvas.shape[:2], np.int8) * np.float32(rng.uniform(0.0, 0.07))
    canvas += (grain + np.float32(128 * (1 - contrast)))[..., None]
    image = Image.fromarray(np.clip(canvas, 0, 255, out=canvas).astype(np.uint8))
    blur = rng.uniform(-0.6, 0.8)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else image
