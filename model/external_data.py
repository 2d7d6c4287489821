"""An ONNX graph from somebody else is looked through before it is opened: it may name other files to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage.errors import LakeError
from storage.names import visible


def refuse_external_data(graph: bytes) -> None:
    """Refuse an ONNX graph that has a tensor in another file, wherever in it that stands.

    ONNX Runtime would read such files of the working folder into the embeddings.

    Raises:
        LakeError: it has one, or is no ONNX.
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
                f"model.onnx keeps the tensor {tensor.name[:80]!a} in another file, and none is read: every number of "
                "a version lies in its own files; get the version anew"
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message of ONNX: initializers, sparse ones, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else [value]:
            if field.message_type.full_name == "onnx.TensorProto":
                yield inner
            else:
                yield from _tensors(inner)


def no_network(error: Exception) -> LakeError:
    """The error for a graph that cannot be read or run, and why."""
    words = " ".join(visible(str(error)).split())[:200]
    return LakeError(f"model.onnx is no network that can be run ({words}): get the version anew, or train again")
