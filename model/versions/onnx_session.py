"""Sessions of ONNX Runtime on the CPU, for graphs that may come from strangers."""

from __future__ import annotations

from typing import Any

from model.versions.external_data import no_network, refuse_external_data


def open_session(graph: bytes, threads: int = 0) -> Any:
    """Open an ONNX Runtime session on the CPU; 0 threads: one per core.

    Raises:
        LakeError: the graph is invalid, or has external data.
    """
    import onnxruntime  # noqa: PLC0415

    refuse_external_data(graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads make everything else on busy cores twice as slow.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Force the format checked above: the bytes could also be in ONNX Runtime's own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except onnx_errors() as error:
        raise no_network(error) from error


def onnx_errors() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

    errors = (one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception))
    return (*errors, RuntimeError, ValueError, TypeError, MemoryError)
