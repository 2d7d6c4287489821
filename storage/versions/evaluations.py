"""Evaluations of model versions on tests, stored next to the immutable version.

    evaluations/<model>/<version>/<test>.parquet    the score of every pair (`records.SCORES`), with a stamp
    evaluations/<model>/<version>/<test>.json       the metrics and the stamp; written last

A test is called `name@version`: a dataset version means its test split. The stored scores allow a
paired comparison of two models without running them again.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa

from storage.errors import LakeError, changed_meanwhile, if_there
from storage.files.lake import Lake
from storage.records import SCORES
from storage.tables.parquet import read_as, read_stamp, write_table
from storage.text.json_shapes import TEXT, Shape, require
from storage.text.names import VERSIONED
from storage.versions.models import FIGURES, ModelVersion

_FACTS: Shape = {**FIGURES, "model": VERSIONED, "test": VERSIONED, "stamp": TEXT, "folds?": [{}]}


class Evaluation:
    """One evaluation, opened for reading.

    Raises:
        LakeError: its facts are damaged, or not there.
    """

    def __init__(self, lake: Lake, path: str) -> None:
        self._lake, self._path = lake, path
        self.facts: dict[str, Any] = lake.read_json(f"{path}.json")
        require(self.facts, _FACTS, f"{lake.url}/{path}.json")

    def scores(self) -> pa.Table:
        """The pairs (`records.SCORES`).

        Raises:
            LakeError: they cannot be read. `ChangedMeanwhile`: they are those of another evaluation by now.
            VersionPruned: the model has been pruned, and they with it.
        """
        path = f"{self._path}.parquet"
        try:
            scores = read_as(self._lake, path, SCORES)
            if not self.has_scores():
                raise changed_meanwhile(f"{self._lake.url}/{path}: scores")
        except LakeError:
            with suppress(LakeError):
                ModelVersion(self._lake, *self.facts["model"].split("@")).check_not_pruned()
            raise
        return scores

    def has_scores(self) -> bool:
        """Whether the scores that are there are its own. They are written first: a kill leaves those of the next."""
        return read_stamp(self._lake, f"{self._path}.parquet") in (None, self.facts["stamp"])


def write_evaluation(model: ModelVersion, test: str, stamp: str, facts: dict[str, Any], scores: pa.Table) -> Evaluation:
    """Write the scores, then the facts; an earlier evaluation is replaced."""
    path = model.lake.evaluations(model.name, model.version, test)
    write_table(model.lake, f"{path}.parquet", scores, stamp=stamp)
    model.lake.write_json(f"{path}.json", {**facts, "model": str(model), "test": test, "stamp": stamp})
    return Evaluation(model.lake, path)


def find_evaluation(model: ModelVersion, test: str, stamp: str) -> Evaluation | None:
    """The evaluation on a test, if there is one with this stamp; otherwise None."""
    found = if_there(lambda: Evaluation(model.lake, model.lake.evaluations(model.name, model.version, test)))
    return found if found and found.facts["stamp"] == stamp and found.has_scores() else None


def evaluations(model: ModelVersion) -> list[Evaluation]:
    """All evaluations of a version, by the name of the test."""
    names = model.lake.names(model.lake.evaluations(model.name, model.version))
    tests = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    paths = [model.lake.evaluations(model.name, model.version, test) for test in tests if VERSIONED.fits(test)]
    # One may have been pruned since they were listed.
    return [one for path in paths if (one := if_there(partial(Evaluation, model.lake, path)))]
