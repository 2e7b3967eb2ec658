"""Triton's `onnxruntime` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "onnxruntime"`, reads the same files and the same
thread parameters as the native backend, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tritonface_server.network_backend import NetworkBackend
from tritonface_server.runtimes import Run, onnxruntime_run


class TritonPythonModel(NetworkBackend):
    """One instance of one ONNX model."""

    default_file_name = "model.onnx"
    run_errors = (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException)

    def load(self, model_file: Path, parameters: dict[str, str], instances: int) -> Run:
        """A session on the CPU."""
        return onnxruntime_run(
            model_file,
            self.outputs,
            threads=int(parameters.get("intra_op_thread_count", 0)),
            parallel_operators=int(parameters.get("inter_op_thread_count", 0)),
        )
