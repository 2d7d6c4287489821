"""Lighting of a head. Face detectors need the shading that makes drawn skin look round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic.geometry import Points, Pose, ellipse, mirrored, smooth
from synthetic.identity import Identity
from synthetic.layer import UNDER, Plane, Region, SoftMask, coarse_size
from synthetic.person import Figure, face_outline


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one picture: direction (x right, y down, z to the viewer) and strengths."""

    x: float
    y: float
    z: float
    ambient: float
    colour: tuple[float, float, float]


def brightness(region: Region, figure: Figure, light: Light) -> Plane:
    """Lambertian shading of an ellipsoid of the head's size, as a coarse plane, about 0.4 to 1.25."""
    who, _, pose = figure
    width, height = coarse_size(region)
    columns = region.left + (np.arange(width, dtype=np.float64) + 0.5) * UNDER
    rows = region.top + (np.arange(height, dtype=np.float64) + 0.5) * UNDER
    x, y = pose.grid(columns, rows)
    nx, ny = x / (1.25 * who.face_width) + 0.5 * np.sin(pose.yaw), (y - 0.15) / 1.9 - 0.4 * np.sin(pose.pitch)
    nx, ny = np.clip(nx / np.maximum(1.0, y / 1.2), -0.92, 0.92), np.clip(ny, -0.92, 0.7)
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0.03, None))
    lit = np.clip(nx * light.x + ny * light.y + nz * light.z, 0, None)
    return np.asarray(light.ambient + (1.22 - light.ambient) * lit, np.float32)


def shadows(region: Region, figure: Figure, light: Light) -> Plane:
    """Shadow strength on skin, 0-1: eye sockets, one side of the nose, below nose, lip, chin."""
    mask = SoftMask(region)
    _shade_under_chin_and_hair(mask, figure)
    _shade_eye_sockets(mask, figure)
    _shade_nose(mask, figure, light)
    _shade_mouth_and_cheeks(mask, figure)
    return mask.pixels(0.075 * figure.pose.unit_px)


def _shade_under_chin_and_hair(mask: SoftMask, figure: Figure) -> None:
    who, _, pose = figure
    chin, brim = 1.53 * who.face_length, who.hairline
    neck = [(-0.75, chin - 0.5), (0.75, chin - 0.5), (0.7, chin + 0.22), (0, chin + 0.42), (-0.7, chin + 0.22)]
    mask.fill(pose.outline(smooth(neck)), 0.62)
    mask.fill(pose.outline(face_outline(who)), 0.0)
    if who.hair_style != "bald":
        fringe = [(-0.85, brim - 0.3), (0.85, brim - 0.3), (0.8, brim + 0.12), (-0.8, brim + 0.12)]
        mask.fill(pose.face(smooth(fringe)), 0.3)


def _shade_eye_sockets(mask: SoftMask, figure: Figure) -> None:
    who, _, pose = figure
    for side in (-1, 1):
        mask.fill(pose.face(ellipse(side * who.eye_spacing * 0.95, -0.08, who.eye_width + 0.1, 0.24)), 0.33)
        mask.fill(pose.face(ellipse(side * who.eye_spacing * 0.62, -0.03, 0.13, 0.17)), 0.42)


def _shade_nose(mask: SoftMask, figure: Figure, light: Light) -> None:
    """Shade the side of the nose away from the light, and the area below its tip."""
    who, _, pose = figure
    base, wide = who.nose_length, who.nose_width
    away = -1 if light.x > 0 else 1
    ridge = [(away * 0.06, -0.1), (away * 0.12, 0.25), (away * 0.1, base - 0.05)]
    flank = [(away * wide * 1.25, base), (away * wide * 0.95, base - 0.25), (away * 0.3, 0.1)]
    mask.fill(pose.face(smooth(ridge + flank)), 0.22 + 0.3 * min(abs(light.x), 0.8))
    mask.fill(pose.face(ellipse(0, base + 0.15, wide * 0.9, 0.1)), 0.45)


def _shade_mouth_and_cheeks(mask: SoftMask, figure: Figure) -> None:
    who, mood, pose = figure
    below_lip = who.mouth_y + who.lip_thickness * 1.3 + mood.mouth_open * 0.15 + 0.09
    mask.fill(pose.face(ellipse(0, below_lip, who.mouth_width * 0.6, 0.06)), 0.36)
    for side in (-1, 1):
        hollow = [(side * 0.98, 0.35), (side * 0.66, 0.62), (side * 0.6, 1.1), (side * 0.9, 0.9)]
        mask.fill(pose.face(smooth(hollow)), 0.2)


def highlights(region: Region, figure: Figure, light: Light) -> Plane:
    """Strength of highlights on skin, 0-1: forehead, ridge and tip of the nose, cheekbones, chin, lower lip."""
    who, _, pose = figure
    mask = SoftMask(region)
    lean = 0.1 * light.x
    ridge = [
        (-0.05 + lean, -0.05),
        (0.05 + lean, -0.05),
        (0.06 + lean, who.nose_length - 0.1),
        (-0.06 + lean, who.nose_length - 0.1),
    ]
    mask.fill(pose.face(ridge, lift=0.1), 0.75)
    mask.fill(pose.face(ellipse(lean, who.nose_length - 0.06, 0.1, 0.09), lift=0.2), 0.9)
    mask.fill(pose.face(ellipse(lean * 3, -0.58, 0.42, 0.16)), 0.45)
    for side in (-1, 1):
        mask.fill(pose.face(ellipse(side * 0.52 + lean, 0.42, 0.2, 0.13)), 0.5 + 0.25 * side * light.x)
    mask.fill(pose.face(ellipse(lean, who.face_length * 1.36, 0.16, 0.08)), 0.45)
    return mask.pixels(0.07 * pose.unit_px)


def blush(region: Region, pose: Pose) -> Plane:
    """Strength of redness, 0-1: cheeks and the tip of the nose."""
    mask = SoftMask(region)
    for side in (-1, 1):
        mask.fill(pose.face(ellipse(side * 0.56, 0.55, 0.26, 0.2)), 0.8)
    mask.fill(pose.face(ellipse(0, 0.55, 0.16, 0.14), lift=0.15), 0.6)
    return mask.pixels(0.13 * pose.unit_px)


def beard(region: Region, figure: Figure) -> Plane:
    """Coverage of the skin by beard, 0-1."""
    who, _, pose = figure
    mask = SoftMask(region)
    strength = 0.42 if who.beard == "stubble" else 0.9
    mouth, chin, jaw = who.mouth_y, 1.5 * who.face_length, who.jaw_width * who.face_width
    if who.beard in ("stubble", "full"):
        mask.fill(pose.outline(_full_beard(who, mouth, chin, jaw)), strength)
        mask.fill(pose.face(ellipse(0, mouth + 0.02, who.mouth_width * 1.02, 0.15)), strength * 0.25)
    if who.beard == "goatee":
        mask.fill(
            pose.face(smooth(mirrored([(0, mouth + 0.16), (0.3, mouth + 0.22), (0.3, chin - 0.12), (0, chin + 0.02)]))),
            strength,
        )
    if who.beard != "none":
        top = [
            (0, who.nose_length + 0.16),
            (0.24, who.nose_length + 0.16),
            (who.mouth_width + 0.06, mouth - 0.03),
            (who.mouth_width, mouth + 0.05),
            (0.2, mouth - 0.1),
            (0, mouth - 0.09),
        ]
        mask.fill(pose.face(smooth(mirrored(top)), lift=0.04), strength)
    return mask.pixels(0.03 * pose.unit_px)


def _full_beard(who: Identity, mouth: float, chin: float, jaw: float) -> Points:
    grown = 0.0 if who.beard == "stubble" else 0.08
    right = [
        (0, mouth - 0.12),
        (0.42, mouth - 0.12),
        (0.72 * who.face_width, 0.62),
        (0.99 * who.face_width, 0.1),
        (0.98 * who.face_width, 0.5),
        (jaw + grown, chin * 0.66),
        (who.chin_width * 1.35 + grown, chin * 0.92 + grown),
        (0, chin + 0.03 + grown),
    ]
    return smooth(mirrored(right))
