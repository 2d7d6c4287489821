"""The samples of a version that a model doubts, kept with the state of what they were counted on.

To count them, all faces of a source are compared with their scores. While no table of the source has changed since, the
counts are those of then (`storage.stamps.cached_results`).
"""

from __future__ import annotations

from typing import Any

from storage.stamps.cached_results import read_cached, state_of, table_states, write_cached
from storage.text.json_shapes import COUNT, NUMBER, TEXT, Shape
from storage.text.source_names import sources_of
from storage.versions.datasets import DatasetVersion
from tasks.dataset.unchanged import links_state, methods_read

_DOUBTS: Shape = {
    "scores": {"*": TEXT},
    "found": {
        **dict.fromkeys(("method", "model", "dataset"), TEXT),
        **dict.fromkeys(("faces", "people", "wrong_person", "samples"), COUNT),
        "wrong_person_score": NUMBER,
        "same_person": [{"identity": TEXT, "other": TEXT, "same_person_score": NUMBER}],
        "doubtful": {"*": COUNT},
        "report?": TEXT,
    },
}


def doubts_state(version: DatasetVersion, settings: dict[str, Any]) -> str:
    """The state of what the doubts follow from, besides the scores.

    Args:
        settings: those of a pipeline.
    """
    lake, sources = version.lake, sources_of(version.source)
    methods = methods_read(version.manifest["method"])
    faces = [table_states(lake, lake.faces(method, source)) for source in sources for method in methods]
    return state_of(str(version), version.state, [links_state(lake, source) for source in sources], faces, settings)


def known_doubts(version: DatasetVersion, model: str, state: str) -> dict[str, Any] | None:
    """The doubts that were counted in this state, with the scores that the lake holds; None if they are not known."""
    known = read_cached(version.lake, _name(version, model), state, _DOUBTS)
    if known is None or known["scores"] != _scores(version, model):
        return None
    found: dict[str, Any] = known["found"]
    doubtful = sorted(found["doubtful"].items(), key=lambda item: -item[1])
    return {**found, "doubtful": dict(doubtful)}


def keep_doubts(version: DatasetVersion, model: str, state: str, found: dict[str, Any]) -> None:
    """Keep the doubts that were counted in this state."""
    write_cached(version.lake, _name(version, model), state, {"scores": _scores(version, model), "found": found})


def _scores(version: DatasetVersion, model: str) -> dict[str, str]:
    lake = version.lake
    return lake.states(lake.cleaned(version.manifest["method"], version.source, *model.split("@")))


def _name(version: DatasetVersion, model: str) -> str:
    return f"doubts/{version}-by-{model}"
