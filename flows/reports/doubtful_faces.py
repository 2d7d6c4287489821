"""HTML page of the faces that a model doubts: each beside other faces of its person and of whom it looks like.

The page shows faces. It is written to the lake's work folder, which may be deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.current_crop import if_current
from storage.files.lake import Lake
from storage.tables.shards import read_member
from tasks.label_noise.score_table import Cleaned, Cleaning
from tasks.links.line_ids import by_person

# Limits of the page's length and weight, whatever the number of faces.
_FACES, _PAIRS, _BESIDE = 24, 10, 3
_HEAD_BYTES = 1000


def write_doubts(
    lake: Lake, faces: pa.Table, cleaned: Cleaned, cleaning: Cleaning, *, source: str, method: str, state: str
) -> Path | None:
    """Write the page and return its path; None if there is no doubt. A page of the same state is left as it is.

    Args:
        faces: `score_table.faces_to_score`.
        cleaned: the scores of the same rows.
        cleaning: the model and the limits that decide which faces are doubtful.
        state: the stamp of the scores.
    """
    scores = cleaned.faces["wrong_person_score"].to_numpy()
    num_wrong, pairs = int((scores >= cleaning.wrong_person_score).sum()), cleaned.people.to_pylist()
    if not num_wrong and not pairs:
        return None
    path = lake.reports_folder / f"clean-{source}-{method}-{cleaning.model.replace('@', '-')}.html"
    if _state_of(path) == state:
        return path
    people = _People(lake, faces, cleaned)
    worst = np.argsort(-scores, kind="stable")[: min(num_wrong, _FACES)].tolist()
    return page.write(
        path,
        "doubtful.html",
        title=f"Doubtful faces of {source.replace('+', ', ')} by {method}",
        state=state,
        model=cleaning.model,
        limit=cleaning.wrong_person_score,
        same_limit=cleaning.same_person_score,
        num_faces=len(faces),
        num_wrong=num_wrong,
        num_pairs=len(pairs),
        suspects=[people.suspect(row) for row in worst],
        pairs=[people.pair(row) for row in pairs[:_PAIRS]],
    )


class _People:
    """Figures of faces and of the people they are listed under."""

    def __init__(self, lake: Lake, faces: pa.Table, cleaned: Cleaned) -> None:
        self._lake = lake
        self._scores = cleaned.faces["wrong_person_score"].to_numpy()
        self._looks_like = cleaned.faces["looks_like"]
        self._names = by_person(faces)["identity"].cast(pa.string())
        self._rows = faces.select(["identity", "line", "cluster", "crop_digest", "shard", "offset", "length"])

    def suspect(self, row: int) -> dict[str, Any]:
        """A doubtful face, other faces of its person, and faces of the person it looks like."""
        face, name = self._rows.slice(row, 1).to_pylist()[0], self._names[row].as_py()
        figures = [page.figure([self._crop(face)], f"listed as {_plain(name)}")]
        figures += self._figures(name, f"other faces of {_plain(name)}", face["cluster"])
        looks_like = self._looks_like[row].as_py()
        if looks_like is not None:
            figures += self._figures(looks_like, f"{_plain(looks_like)}, whom it looks like", face["cluster"])
        title = f"{_plain(face['identity'])}, line {face['line']}: score {self._scores[row]:.3f}"
        return {"title": title, "figures": figures}

    def pair(self, row: dict[str, Any]) -> dict[str, Any]:
        """Faces of two names that may be one person."""
        names = (row["identity"], row["other"])
        figures = [figure for name in names for figure in self._figures(name, _plain(name))]
        return {
            "title": f"{' and '.join(map(_plain, names))}: score {row['same_person_score']:.3f}",
            "figures": figures,
        }

    def _figures(self, name: str, caption: str, but_cluster: bytes | None = None) -> list[page.Figure]:
        """The least doubtful faces of a person, of different pictures, as at most one figure."""
        found: dict[bytes, dict[str, Any]] = {}
        for row in self._least_doubtful(name).tolist():
            face = self._rows.slice(row, 1).to_pylist()[0]
            if face["cluster"] != but_cluster:
                found.setdefault(face["cluster"], face)
            if len(found) == _BESIDE:
                break
        return [page.figure(map(self._crop, found.values()), caption)] if found else []

    def _least_doubtful(self, name: str) -> npt.NDArray[np.int64]:
        rows = np.flatnonzero(pc.equal(self._names, name))
        order: npt.NDArray[np.int64] = rows[np.argsort(self._scores[rows], kind="stable")]
        return order

    def _crop(self, face: dict[str, Any]) -> bytes:
        return if_current(read_member(self._lake, face["shard"], face["offset"], face["length"]), face)


def _state_of(path: Path) -> str | None:
    """The state that a page was written for."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        _, _, rest = file.read(_HEAD_BYTES).partition('<meta name="state" content="')
    return rest.partition('"')[0]


def _plain(name: str) -> str:
    return name.replace("_", " ")
