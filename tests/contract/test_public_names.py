"""What the SDK exports, and what it must not need."""

from __future__ import annotations

import inspect
import subprocess
import sys

import tritonface


def test_every_public_name_is_exported() -> None:
    public = {
        name for name, value in vars(tritonface).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(tritonface.__all__)


def test_errors_form_one_tree() -> None:
    errors = [value for value in vars(tritonface).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(errors) == 9
    assert all(issubclass(error, tritonface.TritonFaceError) for error in errors)
    drawn = tritonface._errors.__doc__ or ""
    assert all(error.__name__ in drawn for error in errors)


def test_the_sdk_imports_neither_paddle_nor_opencv_nor_the_server() -> None:
    code = "import sys, tritonface; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tritonface._detector" in modules
    assert not {"paddle", "cv2", "onnxruntime", "tritonface_server", "training", "pytriton"} & set(modules)
    only_when_needed = {"aiohttp", "av", "gevent", "grpc", "shtab", "supervision", "tritonclient", "yaml"}
    assert not only_when_needed & set(modules)
