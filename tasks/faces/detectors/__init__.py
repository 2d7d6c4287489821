"""The engines that find faces, one a file. A new one is a file, a function and a line here and a test.

Torch is imported in this folder only, and with the first picture: it takes two seconds, which the command line and
every other stage do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from storage.errors import UsageError
from tasks.faces.detectors.detector import Detector, DetectorSettings


def _packed(settings: DetectorSettings) -> Detector:
    from tasks.faces.detectors.fast import PackedMtcnn  # noqa: PLC0415

    return PackedMtcnn(settings)


def _shipped(settings: DetectorSettings) -> Detector:
    from tasks.faces.detectors.reference import ShippedMtcnn  # noqa: PLC0415

    return ShippedMtcnn(settings)


ENGINES: Mapping[str, Callable[[DetectorSettings], Detector]] = {
    "packed": _packed,
    "shipped": _shipped,
}


@cache
def load_detector(settings: DetectorSettings) -> Detector:
    """The detector these settings name, made once a process.

    Raises:
        UsageError: there is no such engine.
    """
    if settings.engine not in ENGINES:
        raise UsageError(f"there is no face detector {settings.engine!r}; there are: {', '.join(ENGINES)}")
    return ENGINES[settings.engine](settings)


__all__ = ["ENGINES", "Detector", "DetectorSettings", "load_detector"]
