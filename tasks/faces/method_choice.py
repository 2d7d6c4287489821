"""Which crop methods a choice of --method means for a source, and which datasets come of it."""

from __future__ import annotations

from storage.errors import UsageError
from tasks.faces.methods import AGREE, METHOD_CHOICES
from tasks.links.sources.source import Source


def methods_of(method: str, source: Source) -> list[str]:
    """The crop methods of a choice ("both" and "agree": bbox and mtcnn) that the source supports.

    Raises:
        UsageError: the method is unknown, or "agree" is chosen for a source without listed boxes.
    """
    if method not in METHOD_CHOICES:
        raise UsageError(f"unknown crop method {method!r}; choose one of {', '.join(METHOD_CHOICES)}")
    requested = ["bbox", "mtcnn"] if method in {"both", AGREE} else [method]
    if source.has_boxes:
        return requested
    if method == AGREE:
        raise UsageError(
            f"--method {AGREE} compares listed boxes with detected faces, and {source.name} has no listed boxes"
        )
    return [one for one in requested if one != "bbox"] or ["mtcnn"]


def datasets_of(method: str, *sources: Source) -> list[str]:
    """The methods that get one dataset each: those of `methods_of` for every source, or "agree" alone.

    Raises:
        UsageError: as `methods_of`, or no method is supported by all the sources.
    """
    supported = [methods_of(method, source) for source in sources]
    common = [one for one in supported[0] if all(one in methods for methods in supported)]
    if not common:
        without = ", ".join(source.name for source in sources if not source.has_boxes)
        raise UsageError(f"--method {method} needs listed boxes, and {without} has none: use --method mtcnn")
    return [AGREE] if method == AGREE else common
