"""Adapts Triton tensors to pure functions; see server/tritonface_server/steps/preprocess.py."""

from tritonface_server.steps.preprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
