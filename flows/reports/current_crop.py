"""Crops of faces that were read some time ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.records import bytes_digest


def if_current(crop: bytes, face: Mapping[str, Any]) -> bytes:
    """A crop as it was read at the place of a face; empty if it is of another.

    Another run may have cropped again since the faces were read: at the place may lie something else by now.
    """
    return crop if bytes_digest(crop) == face["crop_digest"] else b""
