"""The face detection engines, one per file. To add one: a file, a function, a line here and a test.

Torch is imported in this folder only, with the first picture: the import takes two seconds, and no other stage needs
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from storage.errors import UsageError
from tasks.faces.detectors.detector import Detector, DetectorSettings


def _fast(settings: DetectorSettings) -> Detector:
    from tasks.faces.detectors.fast import FastMtcnn  # noqa: PLC0415

    return FastMtcnn(settings)


def _reference(settings: DetectorSettings) -> Detector:
    from tasks.faces.detectors.reference import ReferenceMtcnn  # noqa: PLC0415

    return ReferenceMtcnn(settings)


ENGINES: Mapping[str, Callable[[DetectorSettings], Detector]] = {
    "packed": _fast,
    "shipped": _reference,
}


@cache
def load_detector(settings: DetectorSettings) -> Detector:
    """The detector of these settings, loaded once per process.

    Raises:
        UsageError: the engine is unknown, or the device is cuda and there is none.
    """
    if settings.engine not in ENGINES:
        raise UsageError(f"there is no face detector {settings.engine!r}; there are: {', '.join(ENGINES)}")
    if settings.device == "cuda":
        from torch.cuda import is_available  # noqa: PLC0415

        if not is_available():
            raise UsageError("detect.device is cuda, but torch finds no CUDA device; leave it at cpu")
    return ENGINES[settings.engine](settings)


__all__ = ["ENGINES", "Detector", "DetectorSettings", "load_detector"]
