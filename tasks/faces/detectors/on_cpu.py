"""The networks on one CPU thread, in ONNX Runtime: one picture at a time, by cumulative sums down its columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime import InferenceSession, SessionOptions

from tasks.faces.detectors.column_sums import ColumnSums, across
from tasks.faces.detectors.onnx_graphs import first_graph, second_graph, third_graph
from tasks.faces.detectors.picture_batch import Floats, Integers, Windows
from tasks.faces.detectors.pyramid import STRIDE_PX, Canvas, Pyramids, bins, edges, level_bins
from tasks.faces.detectors.shipped_parts import weights

# The pixels of a strip of the canvas that the first network processes at a time: a whole canvas of 120,000 px takes 15%
# longer, one of 300,000 px 45%.
_STRIP_PX = 24_000


class Stage(NamedTuple):
    """A network for crops of `side_px`, run on `chunk` at a time: the number that fits a core's cache (1 MB)."""

    session: InferenceSession
    side_px: int
    chunk: int


class CpuNetworks:
    """Loads pictures for the networks."""

    batch = 1

    def __init__(self) -> None:
        # There is one process per core; threads within it need more CPU time for the same work (measured).
        torch.set_num_threads(1)
        self._first = _session(first_graph(weights("pnet")))
        self._second = Stage(_session(second_graph(weights("rnet"))), 24, 16)
        self._third = Stage(_session(third_graph(weights("onet"))), 48, 2)

    def load(self, pictures: list[NDArray[np.uint8]]) -> CpuBatch:
        """Load one picture; batches are not faster on a CPU."""
        (pixels,) = pictures
        return CpuBatch(self._first, (self._second, self._third), pixels)


class CpuBatch:
    """One picture and the networks' outputs on it (`picture_batch.PictureBatch`)."""

    def __init__(self, first: InferenceSession, stages: tuple[Stage, Stage], pixels: NDArray[np.uint8]) -> None:
        self._first, self._stages, self._width = first, stages, pixels.shape[1]
        self._sums = ColumnSums(pixels)

    def propose(self, levels: Pyramids, canvas: Canvas, threshold: float) -> Windows:
        """As `PictureBatch.propose`."""
        colours, added = self._draw(levels, canvas), edges(levels, canvas)[:, None]
        step, total = max(1, _STRIP_PX // canvas.width // STRIDE_PX), canvas.height // STRIDE_PX - 5
        strips = [slice(start, min(start + step, total)) for start in range(0, total, step)]
        answer = np.concatenate([self._strip(colours, added, rows) for rows in strips], axis=2)
        picture, row, column = np.nonzero(answer[:, 0] >= np.log(threshold / (1 - threshold)))
        outputs = answer[picture, :, row, column]
        return Windows(picture, row, column, _chances(outputs[:, 0]), outputs[:, 1:])

    def refine(self, pictures: Integers, pixels: Integers) -> Floats:
        """As `PictureBatch.refine`."""
        return self._outputs(self._stages[0], pixels)

    def finish(self, pictures: Integers, pixels: Integers) -> Floats:
        """As `PictureBatch.finish`."""
        return self._outputs(self._stages[1], pixels)

    def _strip(self, colours: Floats, added: Floats, rows: slice) -> Floats:
        """Some rows of the first network's output; one row needs 12 rows of the canvas."""
        top, bottom = rows.start * STRIDE_PX, rows.stop * STRIDE_PX + 10
        given = {"colours": colours[:, top:bottom], "edges": added[:, :, top : bottom - 2]}
        answer: Floats = self._first.run(None, given)[0]
        return answer

    def _draw(self, levels: Pyramids, canvas: Canvas) -> Floats:
        """The canvas with all levels, [1, height, width, 3]."""
        rows, columns = (level_bins(levels, axis)[:, 0] for axis in (0, 1))
        heights, widths = ((ends[1] - ends[0]).astype(np.float32) for ends in (rows, columns))
        bands = self._sums.bands(rows, 0, self._width)
        sheet = np.zeros((1, canvas.height, canvas.width, 3), np.float32)
        row = column = 0
        for (top, left), (tall, wide) in zip(canvas.corners, levels.sizes[0].tolist(), strict=True):
            down, along = slice(row, row + tall), slice(column, column + wide)
            level = sheet[0, top : top + tall, left : left + wide]
            across(bands[down], columns[:, along], level)
            level /= (heights[down, None] * widths[along])[..., None]
            row, column = row + tall, column + wide
        return sheet

    def _outputs(self, stage: Stage, pixels: Integers) -> Floats:
        """Outputs [n, ...] for windows (left, top, right, bottom) of the picture, the face probability first."""
        crops = self._crops(pixels, stage.side_px)
        # At least one chunk, even an empty one, which gives the output its shape.
        starts = range(0, max(len(crops), 1), stage.chunk)
        parts = [stage.session.run(None, {"colours": crops[start : start + stage.chunk]})[0] for start in starts]
        outputs: Floats = np.concatenate(parts)
        outputs[:, 0] = _chances(outputs[:, 0])
        return outputs

    def _crops(self, pixels: Integers, side_px: int) -> Floats:
        """Windows resized to [n, side, side, 3]."""
        # [2, n, 2, side]: starts and ends of columns, then of rows.
        ends = bins((pixels[:, 2:] - pixels[:, :2])[..., None], side_px, np.arange(side_px))
        lengths = (ends[1] - ends[0]).astype(np.float32)
        columns, rows = ends[:, :, 0].swapaxes(0, 1), (ends[:, :, 1] + pixels[:, 1, None]).swapaxes(0, 1)
        crops = np.empty((len(pixels), side_px, side_px, 3), np.float32)
        for left, right, down, along, crop in zip(*pixels[:, ::2].T.tolist(), rows, columns, crops, strict=True):
            across(self._sums.bands(down, left, right), along, crop)
        crops /= (lengths[:, 1, :, None] * lengths[:, 0, None, :])[..., None]
        return crops


def _chances(logits: Floats) -> Floats:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _session(model: ModelProto) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
