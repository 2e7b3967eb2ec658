"""Adapts Triton tensors to pure functions; see server/tritonface_server/steps/postprocess.py."""

from tritonface_server.steps.postprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
