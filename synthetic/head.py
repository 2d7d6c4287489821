"""Drawing of a head: the body layer (shoulders, neck, back hair, skin) and the features layer over it."""

from __future__ import annotations

import numpy as np

from synthetic.geometry import Points, Pose, ellipse, mirrored, smooth
from synthetic.hair import draw_back_hair, draw_front_hair
from synthetic.identity import Identity
from synthetic.layer import Layer, mixed, tinted
from synthetic.person import Figure, Mood, face_outline


def draw_body(layer: Layer, figure: Figure) -> None:
    """Draw everything behind the features, back to front."""
    who, mood, pose = figure
    draw_back_hair(layer, figure)
    neck = 0.56 * who.jaw_width / 0.8
    layer.fill(
        pose.body(smooth(mirrored([(0, 0.9), (neck, 0.95), (neck, 1.75), (1.1, 2.15), (0.6, 3.6), (0, 3.7)]))),
        tinted(who.skin, 0.93),
    )
    _draw_clothes(layer, mood, pose)
    for side in (-1, 1):
        ear = ellipse(side * who.face_width * 1.0, 0.2, 0.15 * who.ear_size, 0.29 * who.ear_size)
        layer.fill(pose.outline(ear), tinted(who.skin, 0.9))
        inner = ellipse(side * who.face_width * 1.03, 0.2, 0.07 * who.ear_size, 0.17 * who.ear_size)
        layer.fill(pose.outline(inner), tinted(who.skin, 0.74))
    layer.fill(pose.outline(face_outline(who)), who.skin)


def _draw_clothes(layer: Layer, mood: Mood, pose: Pose) -> None:
    deep = 1.95 + mood.neckline
    left = smooth([(-0.62, 1.8), (-1.45, 2.08), (-2.15, 2.5), (-2.5, 3.6), (-2.55, 5.0)], closed=False)
    cloth = np.concatenate([left, [(-2.55, 14.0), (2.55, 14.0)], left[::-1] * (-1, 1)])
    opening = smooth([(0.62, 1.8), (0.36, deep), (0, deep + 0.12), (-0.36, deep), (-0.62, 1.8)], closed=False)
    layer.fill(pose.body(np.concatenate([cloth, opening])), mood.clothes)
    layer.line(pose.body(opening), tinted(mood.clothes, 0.72), 0.07 * pose.unit_px)
    for side in (-1, 1):
        fold = smooth([(side * 1.5, 2.5), (side * 1.62, 3.2), (side * 1.55, 4.5)], closed=False)
        layer.line(pose.body(fold), tinted(mood.clothes, 0.85), 0.05 * pose.unit_px)


def draw_features(layer: Layer, figure: Figure) -> None:
    """Draw eyes, brows, nose, mouth, marks, front hair and glasses."""
    who, mood, pose = figure
    _draw_marks(layer, who, pose)
    for side in (-1, 1):
        _draw_eye(layer, who, mood, pose, side)
        _draw_brow(layer, who, mood, pose, side)
    _draw_nose(layer, who, pose)
    _draw_mouth(layer, who, mood, pose)
    draw_front_hair(layer, figure)
    if who.glasses != "none":
        _draw_glasses(layer, who, pose)


def _draw_marks(layer: Layer, who: Identity, pose: Pose) -> None:
    """Draw freckles, mole, and the lines beside the mouth and below the eyes."""
    dark = tinted(who.skin, 0.72)
    # A person has the same freckles in every picture: their positions are derived from the identity.
    rng = np.random.default_rng(round(who.freckles * 1e6))
    for _ in range(round(26 * who.freckles)):
        x, y = rng.uniform(-0.62, 0.62), rng.uniform(0.2, 0.7)
        layer.fill(pose.face(ellipse(x, y, 0.018, 0.018, num=6)), tinted(who.skin, 0.82))
    if who.mole_xy is not None:
        layer.fill(pose.face(ellipse(*who.mole_xy, 0.042, 0.042, num=10)), tinted(who.skin, 0.45))
    for side in (-1, 1):
        fold = smooth(
            [
                (side * (who.nose_width + 0.08), who.nose_length),
                (side * (who.mouth_width + 0.1), who.mouth_y - 0.16),
                (side * (who.mouth_width + 0.13), who.mouth_y),
            ],
            closed=False,
        )
        layer.line(pose.face(fold), mixed(who.skin, dark, 0.25 + 0.6 * who.lines), 0.02 * pose.unit_px)
        bag = smooth(
            [
                (side * (who.eye_spacing - 0.16), 0.19),
                (side * who.eye_spacing, 0.25),
                (side * (who.eye_spacing + 0.18), 0.19),
            ],
            closed=False,
        )
        layer.line(pose.face(bag), mixed(who.skin, dark, 0.15 + 0.6 * who.lines), 0.02 * pose.unit_px)


def _draw_eye(layer: Layer, who: Identity, mood: Mood, pose: Pose, side: int) -> None:
    """Draw one eye: white, iris clipped to the lids, pupil, highlight, lashes and the fold of the lid."""
    half, tall = who.eye_width, who.eye_height * mood.eyes_open
    along = np.linspace(-1, 1, 15)
    upper = -tall * (1 - np.abs(along) ** 2.2)
    lower = tall * 0.72 * (1 - along**2)

    def place(x: Points, y: Points, lift: float = 0.0) -> Points:
        """Convert eye coordinates (x towards the temple) to pixels."""
        turned_y = y - x * np.sin(who.eye_tilt)
        return pose.face(np.stack([side * (who.eye_spacing + x), turned_y], axis=1), lift)

    lids = (np.concatenate([along, along[::-1]]) * half, np.concatenate([upper, lower[::-1]]))
    layer.fill(place(*lids), (236, 232, 228))
    shade = (lids[0], np.concatenate([upper, (upper * 0.45)[::-1]]))
    layer.fill(place(*shade), (196, 188, 184))
    radius = who.eye_height * 0.98
    gaze = (side * mood.gaze_x * half * 0.4, mood.gaze_y * tall * 0.4)
    for size, colour in ((1.0, tinted(who.iris, 0.6)), (0.82, who.iris), (0.44, (16, 12, 12))):
        ring = ellipse(*gaze, radius * size, radius * size)
        at = ring[:, 0] / half
        clipped = np.clip(ring[:, 1], np.interp(at, along, upper), np.interp(at, along, lower))
        layer.fill(place(ring[:, 0], clipped), colour)
    spark = ellipse(
        gaze[0] - side * radius * 0.3, max(gaze[1] - radius * 0.35, -tall * 0.6), radius * 0.22, radius * 0.22, num=10
    )
    layer.fill(place(spark[:, 0], spark[:, 1]), (255, 255, 255))
    lash = mixed(who.hair, (24, 18, 18), 0.75)
    layer.line(place(along * half, upper), lash, 0.045 * pose.unit_px)
    layer.line(place(along * half, lower), tinted(who.skin, 0.66), 0.018 * pose.unit_px)
    crease = -tall * 1.15 - 0.055 + 0.05 * along**2
    layer.line(place(along * half * 1.05, crease), tinted(who.skin, 0.64), 0.025 * pose.unit_px)


def _draw_brow(layer: Layer, who: Identity, mood: Mood, pose: Pose, side: int) -> None:
    along = np.linspace(-1, 1, 11)
    middle = -who.brow_height - mood.brow_raise - who.brow_arch * (1 - (along - 0.2) ** 2) + 0.012 * along
    thick = who.brow_thickness * (0.75 - 0.4 * along) * 0.8
    x = who.eye_spacing + 0.02 + along * (who.eye_width + 0.09)
    shape = np.stack(
        [side * np.concatenate([x, x[::-1]]), np.concatenate([middle - thick, (middle + thick)[::-1]])], axis=1
    )
    grey = who.hair if sum(who.hair) < 480 else tinted(who.hair, 0.72)
    layer.fill(pose.face(shape), mixed(tinted(grey, 0.72), who.skin, 0.12))


def _draw_nose(layer: Layer, who: Identity, pose: Pose) -> None:
    """Draw nostrils and wings; the ridge is rendered by light and shadow only."""
    base, wide = who.nose_length, who.nose_width
    dark, deep = tinted(who.skin, 0.62), tinted(who.skin, 0.34)
    for side in (-1, 1):
        wing = smooth(
            [
                (side * wide * 0.86, base - 0.15),
                (side * wide * 1.06, base - 0.03),
                (side * wide * 0.9, base + 0.07),
                (side * wide * 0.55, base + 0.06),
            ],
            closed=False,
        )
        layer.line(pose.face(wing, lift=0.1), dark, 0.03 * pose.unit_px)
        layer.fill(pose.face(ellipse(side * wide * 0.48, base + 0.055, wide * 0.27, 0.036), lift=0.16), deep)
    under = smooth([(-wide * 0.3, base + 0.08), (0, base + 0.115), (wide * 0.3, base + 0.08)], closed=False)
    layer.line(pose.face(under, lift=0.2), dark, 0.025 * pose.unit_px)


def _draw_mouth(layer: Layer, who: Identity, mood: Mood, pose: Pose) -> None:
    """Draw two lips, with teeth in the gap of an open mouth."""
    half = who.mouth_width * (1 + 0.18 * mood.smile)
    along = np.linspace(-1, 1, 17)
    curve = who.mouth_y - mood.smile * 0.11 * along**2 + 0.03 * mood.smile
    gap = mood.mouth_open * 0.15 * (1 - along**2)
    bow = 1 - np.abs(along) ** 1.7 - 0.22 * np.exp(-((along / 0.13) ** 2))
    top = curve - gap * 0.3 - who.lip_thickness * np.clip(bow, 0, None)
    bottom = curve + gap + who.lip_thickness * 1.25 * (1 - along**2)

    def band(high: Points, low: Points) -> Points:
        x = np.concatenate([along, along[::-1]]) * half
        return pose.face(np.stack([x, np.concatenate([high, low[::-1]])], axis=1), lift=0.05)

    lips = mixed(tinted(who.skin, 0.78), (186, 52, 66), who.lip_red)
    layer.fill(band(top, curve), tinted(lips, 0.86))
    layer.fill(band(curve, bottom), lips)
    layer.fill(
        band(
            curve + gap + who.lip_thickness * 0.35 * (1 - along**2),
            curve + gap + who.lip_thickness * 0.7 * (1 - along**2),
        ),
        tinted(lips, 1.1),
    )
    layer.fill(band(curve - gap * 0.3, curve + gap), (74, 28, 30))
    if mood.mouth_open > 0.25:
        layer.fill(band(curve - gap * 0.3, curve + gap * 0.45), (238, 234, 226))
    line = np.stack([along * half, curve], axis=1)
    if mood.mouth_open < 0.15:
        layer.line(pose.face(line, lift=0.05), tinted(lips, 0.45), 0.028 * pose.unit_px)
    for end in (line[:2], line[-2:]):
        layer.line(pose.face(end, lift=0.05), tinted(lips, 0.5), 0.04 * pose.unit_px)


def _draw_glasses(layer: Layer, who: Identity, pose: Pose) -> None:
    frame, width = (38, 34, 40), 0.045 * pose.unit_px
    squareness = 2.0 if who.glasses == "round" else 5.0
    angle = np.linspace(0, 2 * np.pi, 33)
    for side in (-1, 1):
        ring = np.stack(
            [
                side * (who.eye_spacing + 0.02)
                + 0.33 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / squareness),
                0.03 + 0.27 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / squareness),
            ],
            axis=1,
        )
        layer.line(pose.face(ring, lift=0.12), frame, width)
        outer = pose.face([(side * (who.eye_spacing + 0.35), -0.02)], lift=0.12)
        layer.line(np.concatenate([outer, pose.outline([(side * who.face_width, 0.02)])]), frame, width)
    bridge = smooth([(-who.eye_spacing + 0.31, 0.0), (0, -0.05), (who.eye_spacing - 0.31, 0.0)], closed=False)
    layer.line(pose.face(bridge, lift=0.14), frame, width)
