"""Generates millions of dHashes with the statistics of photographs, to measure `tasks.dataset.hamming`.

Hashes of photos are far from uniform. Neighbouring cells are similar, and many pictures have a flat background with
equal cells. Each hash is therefore computed from a generated picture of 9x9 cells: a random field whose power
decreases with frequency as in photographs, a brighter or darker centre for the person, random contrast and
brightness, clipped at black and white. The parameters were chosen so that two hashes that are not copies agree in two
bytes as often as two photos in `../shared/data/replay`; `python -m bench.dedupe` prints both rates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint8]

_POWER = 2.8
_MIDDLE = 1.6
_CONTRAST, _CONTRAST_SPREAD = 30.0, 0.7
_BRIGHTNESS, _BRIGHTNESS_SPREAD = 128.0, 40.0
_AT_A_TIME = 200_000
# Of 97 copies in the replay dataset, the numbers that differ from their original in 0, 1, 2 ... bits.
_COPIES_BY_BITS = (31, 29, 18, 11, 5, 2, 1)


def made_hashes(num: int, rng: np.random.Generator) -> Hashes:
    """Hashes of generated pictures without intended copies, [num, 16]."""
    root = _field()
    return np.concatenate([_some(min(_AT_A_TIME, num - at), root, rng) for at in range(0, num, _AT_A_TIME)])


def draw_pictures(num: int, rng: np.random.Generator) -> tuple[Hashes, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(hashes, digests, pairs) of pictures, one in twelve a copy of another, a third of these byte for byte."""
    hashes, digests = made_hashes(num, rng), rng.integers(0, 256, (num, 32), dtype=np.uint8)
    pairs = plant_copies(hashes, num // 12, rng)
    original, copy = pairs[: len(pairs) // 3].T
    hashes[copy], digests[copy] = hashes[original], digests[original]
    return hashes, digests, pairs


def to_column(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """Bytes [n, k] as a column of fixed-size binary values."""
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows.tobytes())])


def plant_copies(hashes: Hashes, num: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Turn `num` of the hashes into copies of others, some copied very often; returns the pairs, [num, 2]."""
    rows = rng.permutation(len(hashes))
    copies, originals = rows[:num], rows[num:]
    copied = originals[(len(originals) * rng.random(num) ** 3).astype(np.int64)]
    bits = rng.choice(len(_COPIES_BY_BITS), num, p=np.array(_COPIES_BY_BITS) / sum(_COPIES_BY_BITS))
    # Bit positions are drawn with replacement: a copy differs in at most this many.
    flips = np.zeros((num, 128), dtype=np.uint8)
    for number in range(1, len(_COPIES_BY_BITS)):
        some = np.flatnonzero(bits >= number)
        flips[some, rng.integers(0, 128, len(some))] ^= 1
    hashes[copies] = hashes[copied] ^ np.packbits(flips, axis=1)
    return np.stack([copied, copies], axis=1)


def agreement(hashes: Hashes, num_bits: int = 16) -> float:
    """The rate at which two unrelated hashes agree in a band of neighbouring bits, relative to uniform hashes."""
    words = hashes.view(np.uint64)
    apart = np.bitwise_count(words[:, None] ^ words[None]).sum(axis=2) > 16
    bands = hashes.view(">u2").T
    return float(np.mean([(band[:, None] == band)[apart].mean() for band in bands]) * 2**num_bits)


def _some(num: int, root: npt.NDArray[np.float32], rng: np.random.Generator) -> Hashes:
    def drawn(*shape: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal((num, *shape), dtype=np.float32)

    across, down = np.mgrid[-1:1:9j, -1:1:9j]
    middle = np.exp(-((down / 0.45) ** 2) - ((across + 0.2) / 0.55) ** 2).ravel().astype(np.float32)
    cells = drawn(81) @ root.T + middle * (_MIDDLE * (drawn(1) + 0.5))
    contrast = _CONTRAST * np.exp(_CONTRAST_SPREAD * drawn(1))
    seen = _BRIGHTNESS + _BRIGHTNESS_SPREAD * drawn(1) + contrast * cells
    gray = np.rint(seen.clip(0, 255)).reshape(num, 9, 9)
    bits = [gray[:, :8, 1:] > gray[:, :8, :-1], gray[:, 1:, :8] > gray[:, :-1, :8]]
    return np.packbits(np.concatenate([one.reshape(num, 64) for one in bits], axis=1), axis=1)


def _field() -> npt.NDArray[np.float32]:
    """A root of the covariance of 9x9 cells of a random field with power decreasing with frequency, [81, 81]."""
    frequency = np.fft.fftfreq(64)
    power = np.hypot(frequency[:, None], frequency)
    power[0, 0] = np.inf
    covariance = np.fft.ifft2(power**-_POWER).real
    row, column = np.divmod(np.arange(81), 9)
    cells = covariance[row[:, None] - row, column[:, None] - column] / covariance[0, 0]
    values, vectors = np.linalg.eigh(cells)
    return (vectors * np.sqrt(values.clip(0))).astype(np.float32)
