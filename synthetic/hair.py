"""Drawing of hair, behind the head and over the forehead."""

from __future__ import annotations

import numpy as np

from synthetic.geometry import Points, Pose, ellipse, mirrored, smooth
from synthetic.identity import RGB, Identity
from synthetic.layer import Layer, mixed, tinted
from synthetic.person import Figure


def draw_back_hair(layer: Layer, figure: Figure) -> None:
    """Draw the hair behind the head."""
    who, _, pose = figure
    if who.hair_style == "bald":
        return
    volume, width = who.hair_volume, who.face_width
    dark = tinted(who.hair, 0.72)
    if who.hair_style == "curly":
        _draw_curls(layer, figure, dark)
        return
    if who.hair_style == "bun":
        layer.fill(pose.outline(ellipse(0.1, -1.62 - volume, 0.46, 0.42)), tinted(who.hair, 0.85))
    bottom = {"bob": 1.35, "long": 2.9}.get(who.hair_style, 0.25)
    flare = {"bob": 0.3, "long": 0.36}.get(who.hair_style, 0.03)
    shape = smooth(
        mirrored(
            [
                (0, -1.45 - volume),
                (0.75 * width, -1.22 - volume * 0.8),
                (width + volume * 0.75, -0.5),
                (width + volume * 0.5 + flare * 0.6, 0.3),
                (width + flare, bottom),
                (0.5, bottom + 0.12),
                (0, bottom),
            ]
        )
    )
    layer.fill(pose.outline(shape), dark)
    if bottom > 1:
        falls = [(0.7 + 0.5 * t, 0.2 + 0.2 * t, 0.75 + 0.5 * t) for t in np.linspace(0.2, 0.8, 7)]
        _draw_strands(layer, figure, dark, [(s * x0, y0, s * x1, bottom) for s in (-1, 1) for x0, y0, x1 in falls])


def _draw_curls(layer: Layer, figure: Figure, colour: RGB) -> None:
    """Draw a cloud of curls around the head."""
    who, _, pose = figure
    puff, radius = who.hair_volume * 0.6, 0.34 + who.hair_volume * 0.5
    for angle in np.linspace(-0.15, np.pi + 0.15, 15):
        x, y = np.cos(angle) * (who.face_width + puff), -0.25 - np.sin(angle) * (1.1 + puff)
        layer.fill(pose.outline(ellipse(x, y, radius, radius)), colour)


def _draw_strands(layer: Layer, figure: Figure, colour: RGB, strands: list[tuple[float, float, float, float]]) -> None:
    """Draw lighter and darker hairs, each from (x0, y0) to (x1, y1)."""
    _, mood, pose = figure
    rng = np.random.default_rng(mood.strands_seed)
    for x0, y0, x1, y1 in strands:
        sway = rng.normal(0, 0.05)
        points = smooth([(x0, y0), ((x0 + x1) / 2 + sway, (y0 + y1) / 2), (x1, y1)], closed=False, steps=4)
        layer.line(pose.outline(points), tinted(colour, rng.uniform(0.78, 1.3)), 0.022 * pose.unit_px)


def _hairline(who: Identity) -> list[tuple[float, float]]:
    """The hairline, from the right temple to the left one."""
    width, part, top = who.face_width, who.parting, who.hairline
    if who.hair_style == "fringe":
        low = -0.5
        return [
            (0.97 * width, 0.02),
            (0.86 * width, low),
            (0.4, low + 0.05),
            (0, low),
            (-0.4, low + 0.05),
            (-0.86 * width, low),
            (-0.97 * width, 0.02),
        ]
    if who.hair_style in ("swept", "long"):
        return [
            (0.98 * width, 0.05),
            (0.84 * width, -0.52),
            (part + 0.25, top - 0.02),
            (part, top - 0.16),
            (part - 0.28, top + 0.05),
            (-0.84 * width, -0.46),
            (-0.98 * width, 0.05),
        ]
    return [
        (0.97 * width, -0.02),
        (0.86 * width, -0.5),
        (0.66 * width, top + 0.1),
        (0, top),
        (-0.66 * width, top + 0.1),
        (-0.86 * width, -0.5),
        (-0.97 * width, -0.02),
    ]


def draw_front_hair(layer: Layer, figure: Figure) -> None:
    """Draw the hair over the forehead, from the crown down to the hairline."""
    who, _, pose = figure
    if who.hair_style == "bald":
        return
    thin = who.hair_style == "buzz"
    volume = 0.03 if thin else who.hair_volume
    width = who.face_width
    colour = mixed(who.hair, who.skin, 0.3) if thin else who.hair
    crown = smooth(
        [
            (-1.01 * width - volume * 0.4, 0.12),
            (-width - volume * 0.6, -0.55),
            (-0.72 * width, -1.22 - volume * 0.8),
            (0, -1.42 - volume),
            (0.72 * width, -1.22 - volume * 0.8),
            (width + volume * 0.6, -0.55),
            (1.01 * width + volume * 0.4, 0.12),
        ],
        closed=False,
    )
    hairline = smooth(_hairline(who), closed=False)
    rim = np.concatenate([pose.outline(crown), _hairline_pixels(pose, hairline)])
    layer.fill(rim, colour)
    if who.hair_style == "curly":
        for x, y in hairline[::4]:
            layer.fill(pose.outline(ellipse(x, min(y, -0.35) - 0.12, 0.24, 0.22)), tinted(colour, 0.95))
        return
    tops = [(x * 0.8, -1.36 - volume * 0.9 + 0.18 * abs(x), x, y - 0.04) for x, y in hairline[2:-2]]
    _draw_strands(layer, figure, colour, [] if thin else tops)


def _hairline_pixels(pose: Pose, hairline: Points) -> Points:
    """The middle of the hairline moves with half the depth of the face; its ends lie on the outline."""
    share: Points = np.clip(1 - np.abs(hairline[:, :1]), 0, 1) * 0.5
    return pose.outline(hairline) * (1 - share) + pose.face(hairline) * share
