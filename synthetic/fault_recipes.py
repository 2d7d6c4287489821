"""Recipes for the faults: one function per fault, listed at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from PIL import Image

from storage.records import Box
from synthetic import image_bodies as bodies
from synthetic.album import Album, Line, Shot, num_faces, scaled
from synthetic.portrait import draw
from synthetic.response_table import Response

Recipe = Callable[[Album], None]

# Forbidden redirect targets: non-public addresses, and URLs that are not web addresses.
PRIVATE_TARGETS = (
    "http://10.0.0.8/x.jpg",
    "http://[::1]:1/x.jpg",
    "http://localhost:1/x.jpg",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
)
_OPT_OUT = json.dumps({"X-Robots-Tag": "noai, noimageai"}, separators=(",", ":"))
_RETRY_AFTER = json.dumps({"Retry-After": "1"}, separators=(",", ":"))
# Shorter JPEGs would consist mostly of zeros.
_ZEROED_LEAST_BYTES = 12_500


def add(album: Album, fault: str) -> None:
    """Add one link with the given fault to the album."""
    RECIPES[fault](album)


def _plain(album: Album) -> None:
    shot = album.take()
    album.originals.append(shot)
    album.keep(shot)


# -- no picture --


def _error(status: int) -> Recipe:
    def recipe(album: Album) -> None:
        page = album.store.put(bodies.HTML_PAGE, "html")
        album.lose(Response(album.book.link(), "status", page, status))

    return recipe


def _html(album: Album) -> None:
    album.lose(Response(album.book.link(), "html", album.store.put(bodies.HTML_PAGE, "html")))


def _no_dns(album: Album) -> None:
    album.lose(Response(album.book.dead_link(), "nxdomain"))


def _misbehaving(kind: str) -> Recipe:
    """A response without a body."""

    def recipe(album: Album) -> None:
        album.lose(Response(album.book.link(), kind))

    return recipe


def _never_whole(kind: str) -> Recipe:
    """A response that starts like a valid picture."""

    def recipe(album: Album) -> None:
        album.lose(Response(album.book.link(), kind, album.take().response.body))

    return recipe


def _redirect_loop(album: Album) -> None:
    album.lose(Response(album.book.link(), "redirect", status=301, location="SELF"))


def _redirect_private(album: Album) -> None:
    target = PRIVATE_TARGETS[(album.index + len(album.lines)) % len(PRIVATE_TARGETS)]
    album.lose(Response(album.book.link(), "redirect", status=302, location=target, expect="policy"))


# -- a picture that must be rejected or not used --


def _placeholder(album: Album) -> None:
    body = album.store.put(bodies.encoded(bodies.placeholder(), "JPEG", 85), "jpg")
    album.lose(Response(album.book.link_on(album.index % 10), "image", body))


def _thumbnail(album: Album) -> None:
    image = draw(album.person.looks, album.rng).image.resize((40, 40), Image.Resampling.BICUBIC)
    album.lose(Response(album.book.link(), "image", album.store.put(bodies.encoded(image, "JPEG", 85), "jpg")))


def _zeroed(album: Album) -> None:
    data = b""
    while len(data) < _ZEROED_LEAST_BYTES:
        data = bodies.encoded(draw(album.person.looks, album.rng).image, "JPEG", 95)
    album.lose(Response(album.book.link(), "image", album.store.put(bodies.zeroed(data), "jpg")))


def _half_cut(album: Album) -> None:
    data = bodies.encoded(draw(album.person.looks, album.rng).image, "JPEG", 88)
    album.lose(Response(album.book.link(), "image", album.store.put(bodies.half(data), "jpg")))


def _giant_png(album: Album) -> None:
    album.lose(Response(album.book.link(), "image", album.store.put(bodies.giant_png(), "png")))


def _opted_out(album: Album) -> None:
    shot = album.take()
    album.keep(_changed(shot, headers=_OPT_OUT, expect="policy"), box_ok=False)


# -- a picture, indirectly --


def _redirect(album: Album) -> None:
    target = album.take()
    album.responses.append(target.response._replace(expect="target"))
    album.keep(
        _changed(target, url=album.book.link(), kind="redirect", body="", status=302, location=target.response.url)
    )


def _late(**changes: Any) -> Recipe:
    """A valid picture that arrives late."""

    def recipe(album: Album) -> None:
        album.keep(_changed(album.take(), **changes))

    return recipe


# -- a picture of another kind, size or person than listed --


def _other_person(album: Album) -> None:
    album.keep(album.take(album.stranger(album.rng)))


def _box_shifted(album: Album) -> None:
    shot = album.take()
    left, top, right, bottom = shot.boxes[0]
    dx, dy = album.rng.uniform(0.8, 1.4, 2) * album.rng.choice((-1, 1), 2) * (right - left)
    album.keep(shot, box_xyxy=(left + dx, top + dy, right + dx, bottom + dy), box_ok=False)


def _box_rescaled(album: Album) -> None:
    """The box belongs to the original picture; the served one has 40 to 60% of its size."""
    portrait = draw(album.person.looks, album.rng)
    factor = float(album.rng.uniform(0.4, 0.6))
    image = _resized(portrait.image, factor)
    shot = album.served(portrait, image.size, bodies.encoded(image, "JPEG", 88), "jpg", album.person)
    faces = num_faces(tuple(scaled(box, factor) for box in shot.boxes))
    album.keep(_changed(shot, faces=faces), box_ok=False)


def _in_form(form: str) -> Recipe:
    def recipe(album: Album) -> None:
        album.keep(album.take(form=form))

    return recipe


def _exif_rotated(album: Album) -> None:
    """The listed box belongs to the picture with its orientation applied."""
    portrait = draw(album.person.looks, album.rng)
    data, stored = bodies.exif_rotated(portrait.image, int(album.rng.choice((3, 6, 8))), 88)
    album.keep(album.served(portrait, stored.size, data, "jpg", album.person))


def _cmyk(album: Album) -> None:
    portrait = draw(album.person.looks, album.rng)
    data = bodies.encoded(portrait.image.convert("CMYK"), "JPEG", 88)
    album.keep(album.served(portrait, portrait.image.size, data, "jpg", album.person))


def _group_photo(album: Album) -> None:
    """One URL in two link files, with a box per person; the ground truth is the owner of the first."""
    if album.neighbour is None:
        return _plain(album)
    shot = album.take(companion=album.neighbour.looks)
    album.keep(shot)
    album.guests.append(Line(shot.response.url, album.jittered(shot.boxes[1]), True, shot.yaw_deg))
    return None


# -- a repeated picture --


def _exact_copy(album: Album) -> None:
    if not album.originals:
        return _plain(album)
    return _copy_of(album, _any_original(album))


def _borrowed(album: Album) -> None:
    """The same bytes under two people's names: a conflict that the bytes cannot resolve."""
    return _plain(album) if album.lent is None else _copy_of(album, album.lent)


def _near_copy(album: Album) -> None:
    if not album.originals:
        return _plain(album)
    original = _any_original(album)
    factor = float(album.rng.uniform(0.5, 0.85))
    image = _resized(album.store.picture(original.response.body), factor)
    boxes: tuple[Box, ...] = tuple(scaled(box, factor) for box in original.boxes)
    copy = _changed(
        original,
        url=album.book.link(),
        body=album.store.put(bodies.encoded(image, "JPEG", int(album.rng.integers(60, 80))), "jpg"),
        same_as=original.response.url,
        faces=num_faces(boxes),
        size=f"{image.width}x{image.height}",
    )
    return album.keep(copy._replace(boxes=boxes))


def _same_url(album: Album) -> None:
    if not album.originals:
        return _plain(album)
    shot = _any_original(album)
    return album.lines.append(Line(shot.response.url, album.jittered(shot.boxes[0]), True, shot.yaw_deg))


def _copy_of(album: Album, shot: Shot) -> None:
    album.keep(_changed(shot, url=album.book.link(), same_as=shot.response.url))


def _any_original(album: Album) -> Shot:
    return album.originals[int(album.rng.integers(len(album.originals)))]


def _changed(shot: Shot, **changes: Any) -> Shot:
    return shot._replace(response=shot.response._replace(**changes))


def _resized(image: Image.Image, factor: float) -> Image.Image:
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


RECIPES: dict[str, Recipe] = {
    "plain": _plain,
    "not_found": _error(404),
    "gone": _error(410),
    "forbidden": _error(403),
    "server_error": _error(500),
    "html": _html,
    "no_dns": _no_dns,
    "reset": _misbehaving("reset"),
    "hang": _misbehaving("hang"),
    "endless": _misbehaving("endless"),
    "gzip_bomb": _misbehaving("gzipbomb"),
    "truncated": _never_whole("truncated"),
    "drip": _never_whole("drip"),
    "redirect_loop": _redirect_loop,
    "redirect_private": _redirect_private,
    "placeholder": _placeholder,
    "thumbnail": _thumbnail,
    "zeroed": _zeroed,
    "half_cut": _half_cut,
    "giant_png": _giant_png,
    "opted_out": _opted_out,
    "redirect": _redirect,
    "slow": _late(kind="slow"),
    "busy_503": _late(fail_first=1, fail_status=503, headers=_RETRY_AFTER),
    "busy_429": _late(fail_first=1, fail_status=429, headers=_RETRY_AFTER),
    "flaky_500": _late(fail_first=2, fail_status=500),
    "other_person": _other_person,
    "box_shifted": _box_shifted,
    "box_rescaled": _box_rescaled,
    "png": _in_form("PNG"),
    "webp": _in_form("WEBP"),
    "gif": _in_form("GIF"),
    "exif_rotated": _exif_rotated,
    "cmyk": _cmyk,
    "group_photo": _group_photo,
    "exact_copy": _exact_copy,
    "near_copy": _near_copy,
    "borrowed": _borrowed,
    "same_url": _same_url,
}
