"""Histogram features of faces (edges, textures, colours), and a discriminative projection of them.

A cheap embedder for the time before a network is trained: fitting nine thousand faces takes two minutes of one core.
The features are histograms of oriented gradients (Dalal and Triggs, CVPR 2005) and of uniform local binary patterns
(Ahonen, Hadid and Pietikäinen, PAMI 2006), per cell of the aligned face, and the colours of the cells. The projection
is that of Fisherfaces (Belhumeur, Hespanha and Kriegman, PAMI 1997): principal components, whitened, followed by the
directions with the largest ratio of between-person to within-person variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.embedding.embed import unit_rows

Floats = NDArray[np.float32]

IMAGE_PX = 112
_COMPONENTS = 1200
_DIRECTIONS = 192
# Shrinkage of the within-person covariance towards a multiple of the identity.
_SPHERE_SHARE = 0.3
# More faces are subsampled: their histograms would not fit into memory (40 KB per face, 80 KB with mirror image).
_MOST_FACES = 10_000
_ROWS_AT_ONCE = 128
_NUM_ANGLES = 12
_NUM_PATTERNS = 59


@dataclass(frozen=True)
class Projection:
    """Projection of histograms [n, f] to embeddings [n, d].

    Attributes:
        mean: [f].
        components: [f, k], scaled to variance 1.
        directions: [k, d], each weighted by the between-person share of its variance.
    """

    mean: Floats
    components: Floats
    directions: Floats

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Embed aligned faces, uint8 [n, 112, 112, 3], to unit rows, float32 [n, d], averaged with mirror images."""
        rows = [self._project(_describe(one)) + self._project(_describe(one[:, :, ::-1])) for one in _batches(images)]
        return unit_rows(np.concatenate(rows))

    def _project(self, histograms: Floats) -> Floats:
        whitened = np.dot(histograms - self.mean, self.components)
        return unit_rows(np.dot(unit_rows(whitened), self.directions))


def fit_projection(images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int = 0) -> Projection:
    """Fit the projection to labelled faces and their mirror images.

    Args:
        images: uint8 [n, 112, 112, 3], aligned.
        labels: [n], from 0.
    """
    kept = np.unique(np.linspace(0, len(images) - 1, min(len(images), _MOST_FACES)).astype(int))
    labels = np.tile(np.unique(labels[kept], return_inverse=True)[1], 2)
    both = [images[kept], images[kept][:, :, ::-1]]
    histograms = np.concatenate([describe(one) for one in both])
    mean = histograms.mean(0)
    histograms -= mean
    components = _components(histograms, min(_COMPONENTS, len(kept) - 1), seed)
    directions = _directions(unit_rows(histograms @ components), labels)
    return Projection(mean, components, directions)


def describe(images: NDArray[np.uint8]) -> Floats:
    """Compute the histograms [n, f] of aligned faces, uint8 [n, 112, 112, 3] RGB."""
    return np.concatenate([_describe(part) for part in _batches(images)])


def _batches(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [images[start : start + _ROWS_AT_ONCE] for start in range(0, len(images), _ROWS_AT_ONCE)]


def _describe(images: NDArray[np.uint8]) -> Floats:
    gray = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    half = gray.reshape(len(gray), IMAGE_PX // 2, 2, IMAGE_PX // 2, 2).mean((2, 4))
    patterns = [_patterns(gray, 1, 14), _patterns(gray, 3, 14), _patterns(half, 2, 13)]
    parts = [_gradients(gray), _gradients(half), *patterns, _colours(images)]
    return np.concatenate([part.reshape(len(images), -1) for part in parts], 1)


def _gradients(gray: Floats, cell_px: int = 8) -> Floats:
    """Histograms of gradient angles, weighted by magnitude; each cell normalized by the energy around it."""
    down, across = np.zeros_like(gray), np.zeros_like(gray)
    down[:, 1:-1], across[:, :, 1:-1] = gray[:, 2:] - gray[:, :-2], gray[:, :, 2:] - gray[:, :, :-2]
    turn = np.arctan2(down, across) / (2 * np.pi) % 1 * _NUM_ANGLES
    size, low = np.hypot(down, across), np.floor(turn).astype(np.int64)
    # Each gradient is distributed over the two nearest angles.
    cells = _in_cells(low % _NUM_ANGLES, _NUM_ANGLES, cell_px, size * (low + 1 - turn))
    cells += _in_cells((low + 1) % _NUM_ANGLES, _NUM_ANGLES, cell_px, size * (turn - low))
    energy = np.pad((cells**2).sum(-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(energy, (3, 3), (1, 2)).sum((3, 4))
    # Differences below 5 gray levels over two pixels are mostly noise.
    held: Floats = np.minimum(cells / np.sqrt(around + (5 * cell_px**2) ** 2)[..., None], 0.4).astype(np.float32)
    return held


def _patterns(gray: Floats, radius: int, cell_px: int) -> Floats:
    """Square roots of histograms of local binary patterns: which of eight neighbours are brighter than a pixel."""
    height, width = gray.shape[1:]
    centre = gray[:, radius:-radius, radius:-radius]
    codes = np.zeros(centre.shape, np.uint8)
    for bit, (row, column) in enumerate(((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))):
        top, left = radius + row * radius, radius + column * radius
        neighbour = gray[:, top : top + height - 2 * radius, left : left + width - 2 * radius]
        codes |= (neighbour >= centre).astype(np.uint8) << bit
    cells = _in_cells(_UNIFORM[codes], _NUM_PATTERNS, cell_px)
    return np.sqrt(cells / (4 * cell_px**2)).astype(np.float32)


def _colours(images: NDArray[np.uint8], cell_px: int = 16) -> Floats:
    """Red and blue minus gray of each cell."""
    side = IMAGE_PX // cell_px
    cells = images.reshape(len(images), side, cell_px, side, cell_px, 3).mean((2, 4), dtype=np.float32)
    colours: Floats = (cells[..., ::2] - cells.mean(-1, keepdims=True)) / 80
    return colours


def _uniform_patterns() -> NDArray[np.int64]:
    """The bin of each of 256 patterns: its own if it has at most two transitions around the circle, else the last."""
    codes = np.arange(256)
    bits = codes[:, None] >> np.arange(8) & 1
    is_uniform = (bits != np.roll(bits, 1, axis=1)).sum(1) <= 2
    return np.where(is_uniform, np.cumsum(is_uniform) - 1, _NUM_PATTERNS - 1)


_UNIFORM = _uniform_patterns()


def _in_cells(
    words: NDArray[np.int64], num_words: int, cell_px: int, weights: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Counts of each word [n, h, w] per complete cell: [n, h / cell, w / cell, num_words]."""
    rows, columns = words.shape[1] // cell_px, words.shape[2] // cell_px
    inside = np.s_[:, : rows * cell_px, : columns * cell_px]
    row, column = np.arange(rows * cell_px) // cell_px, np.arange(columns * cell_px) // cell_px
    cell = row[:, None] * columns + column
    first = np.arange(len(words))[:, None, None] * rows * columns
    keys = (first + cell) * num_words + words[inside]
    shape = (len(words), rows, columns, num_words)
    weighed = None if weights is None else weights[inside].ravel()
    return np.bincount(keys.ravel(), weighed, int(np.prod(shape))).reshape(shape).astype(np.float64)


def _components(centred: Floats, num: int, seed: int) -> Floats:
    """The first principal components [f, num], scaled to variance 1.

    By random projection and two power iterations (Halko, Martinsson and Tropp, SIAM Review 2011).
    """
    basis = np.random.default_rng(seed).normal(size=(centred.shape[1], num + 60)).astype(np.float32)
    for _ in range(2):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    seen = centred @ basis
    size, axes = np.linalg.eigh(seen.T @ seen / len(seen))
    components: Floats = (basis @ (axes[:, -num:] / np.sqrt(np.maximum(size[-num:], 1e-9)))).astype(np.float32)
    return components


def _directions(rows: Floats, labels: NDArray[np.int64]) -> Floats:
    """The directions [k, d] with the largest ratio of between-person to within-person variance."""
    num, dim = int(labels.max()) + 1, rows.shape[1]
    counts = np.bincount(labels)[:, None]
    centres = np.zeros((num, dim))
    np.add.at(centres, labels, rows)
    centres /= counts
    away, apart = rows - centres[labels], centres - rows.mean(0)
    within = away.T @ away / len(rows)
    within = (1 - _SPHERE_SHARE) * within + _SPHERE_SHARE * np.trace(within) / dim * np.eye(dim)
    size, axes = np.linalg.eigh(within)
    white = axes / np.sqrt(size)
    between, turn = np.linalg.eigh(white.T @ (counts * apart).T @ apart @ white / len(rows))
    between = np.maximum(between[-_DIRECTIONS:], 0)
    directions: Floats = (white @ turn[:, -_DIRECTIONS:] * np.sqrt(between / (1 + between))).astype(np.float32)
    return directions
