"""How much the content of a dataset differs from an earlier version of it: whether a new version is worth making."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from storage.versions.datasets import DatasetVersion

_FACE = ("sample", "split", "crop_digest")


@dataclass(frozen=True, slots=True)
class VersionChange:
    """Faces and people of an earlier version, and those added and removed since.

    A face with another crop, or in another split, counts as one removed and one added.
    """

    num_faces: int
    num_people: int
    faces_added: int
    faces_removed: int
    people_added: int
    people_removed: int

    @property
    def share(self) -> float:
        """The share of faces or of people that was added or removed, whichever is larger; 1 if there were none."""
        faces = max(self.faces_added, self.faces_removed) / max(self.num_faces, 1)
        people = max(self.people_added, self.people_removed) / max(self.num_people, 1)
        return max(faces, people) if self.num_faces else 1.0

    def __str__(self) -> str:
        return (
            f"{self.faces_added:,} faces added and {self.faces_removed:,} removed of {self.num_faces:,}, "
            f"{self.people_added:,} people added and {self.people_removed:,} removed of {self.num_people:,}"
        )


def change_since(before: DatasetVersion, samples: pa.Table) -> VersionChange:
    """The change from a version, without what was taken down since, to `samples` (`samples.collect_samples`)."""
    index = before.index([*_FACE, "identity"])
    ours, theirs = _faces(index), _faces(samples)
    old, new = _people(index), _people(samples)
    return VersionChange(
        num_faces=len(index),
        num_people=len(old),
        faces_added=_num_missing(theirs, ours),
        faces_removed=_num_missing(ours, theirs),
        people_added=_num_missing(new, old),
        people_removed=_num_missing(old, new),
    )


def no_change(version: DatasetVersion) -> VersionChange:
    """The change from a version of which nothing was taken down to itself."""
    return VersionChange(version.manifest["num_samples"], version.manifest["num_identities"], 0, 0, 0, 0)


def _faces(table: pa.Table) -> pa.Array:
    """What makes a face of a version the same in another: [n], its sample, split and crop."""
    plain = [table[name].cast(pa.string()) for name in _FACE[:2]]
    joined = pc.binary_join_element_wise(*plain, "/").cast(pa.binary())
    crops = table["crop_digest"].cast(pa.binary())
    return pc.binary_join_element_wise(joined, crops, b"/").combine_chunks()


def _people(table: pa.Table) -> pa.Array:
    return pc.unique(table["identity"].cast(pa.string()))


def _num_missing(wanted: pa.Array, among: pa.Array) -> int:
    """How many of `wanted` are not in `among`."""
    return int(pc.sum(pc.invert(pc.is_in(wanted, value_set=among))).as_py() or 0)
