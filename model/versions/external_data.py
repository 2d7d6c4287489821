"""Check of ONNX graphs for external data: an untrusted graph could make ONNX Runtime read other files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage.errors import LakeError
from storage.text.names import visible


def refuse_external_data(graph: bytes) -> None:
    """Refuse an ONNX graph that stores any tensor in another file.

    ONNX Runtime would read such files from the working directory into the embeddings.

    Raises:
        LakeError: the graph has external data, or is not ONNX.
    """
    import onnx  # noqa: PLC0415
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = onnx.ModelProto.FromString(graph)
    except DecodeError as error:
        raise no_network(error) from error
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise LakeError(
                f"model.onnx stores the tensor {tensor.name[:80]!a} in an external file, which is not allowed: copy "
                "the version again"
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in an ONNX message: initializers, sparse initializers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else [value]:
            if field.message_type.full_name == "onnx.TensorProto":
                yield inner
            else:
                yield from _tensors(inner)


def no_network(error: Exception) -> LakeError:
    """The error for a graph that cannot be read or run, with the reason."""
    words = " ".join(visible(str(error)).split())[:200]
    return LakeError(f"model.onnx cannot be run ({words}): copy the version again, or retrain")
