"""Batch sampling: P identities with K faces each, a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.errors import UsageError


class PKSampler:
    """Draws batches of P identities x K faces.

    Identities with a single face are never drawn, because they form no positive pair. P is limited by the number of
    identities, K by the largest number of faces of one identity. Identities with fewer than K faces repeat some.

    Raises:
        UsageError: fewer than two identities have two faces.
    """

    def __init__(
        self, labels: NDArray[np.int64], identities_per_batch: int, faces_per_identity: int, seed: int
    ) -> None:
        order = np.argsort(labels, kind="stable")
        starts = np.unique(labels[order], return_index=True)[1]
        self._faces = [faces for faces in np.split(order, starts[1:]) if len(faces) >= 2]
        if len(self._faces) < 2:
            raise UsageError(
                f"training needs at least 2 train identities with 2 faces; the train split has {len(starts)} "
                f"identities, {len(self._faces)} of them with 2 faces: publish a dataset with more people"
            )
        self.identities_per_batch = min(identities_per_batch, len(self._faces))
        self.faces_per_identity = min(faces_per_identity, max(len(faces) for faces in self._faces))
        self._seed = seed

    @property
    def batch_size(self) -> int:
        """Faces in a batch."""
        return self.identities_per_batch * self.faces_per_identity

    def indices(self, step: int) -> NDArray[np.int64]:
        """The batch of one step: int64 [P * K] row indices of the training set, the K of an identity adjacent."""
        rng = np.random.default_rng((self._seed, step))
        chosen = rng.choice(len(self._faces), self.identities_per_batch, replace=False)
        rows = [np.resize(rng.permutation(self._faces[one]), self.faces_per_identity) for one in chosen]
        return np.concatenate(rows).astype(np.int64)
