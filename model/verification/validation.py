"""The validation curve of a training: how well its averaged weights tell people apart who are not trained on.

It is for people who look at a training, and decides nothing: thresholds are chosen on the whole split, by the final
weights.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from model.embedding.data import Faces
from model.embedding.embed import embed_raw
from model.verification.evaluation import scored_pairs
from stats.roc import auc, roc

# With these two a training of the preset `smoke` embeds 768 faces for the curve, beside 9,600 that it trains on.
_MAX_FACES = 128
_REPORTS_PER_POINT = 5


def watched_faces(val: Faces) -> Faces | None:
    """The first faces of the val split, those of a person together; None if they form no pairs of both kinds."""
    images, labels, samples = val.images[:_MAX_FACES], val.labels[:_MAX_FACES], val.samples[:_MAX_FACES]
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        return None
    return Faces(images, labels, val.identities, samples)


def is_due(num_reports: int, *, is_last: bool) -> bool:
    """Whether the report of this number, from 1, has a point of the curve: every fifth, and the last."""
    return is_last or num_reports % _REPORTS_PER_POINT == 0


def validation_auc(backbone: nn.Module, faces: Faces, device: torch.device) -> float:
    """The ROC AUC of all pairs of faces.

    Args:
        backbone: left in evaluation mode.
        faces: as `watched_faces` gives them.
    """
    pairs = scored_pairs(embed_raw(backbone, faces.images, device), faces.labels)
    return float(auc(roc(pairs.scores, pairs.same)))
