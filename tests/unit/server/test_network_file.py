"""Weights that are no numbers are found, in single and in half precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exported import spoil_a_weight
from tests.shipped import network_file
from tritonface_server.network_file import NetworkFileError, check_weights

PRECISIONS = pytest.mark.parametrize("name", ["BlazeFace", "PP-YOLOE_plus-S_face"], ids=["float32", "float16"])


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(NetworkFileError, match="is no network"):
        check_weights(tmp_path / "model.onnx")


@PRECISIONS
def test_trained_weights_are_numbers(name: str) -> None:
    check_weights(network_file(name))


@PRECISIONS
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_one_that_is_no_number_is_named(name: str, value: float, tmp_path: Path) -> None:
    file = Path(shutil.copy(network_file(name), tmp_path))
    tensor = spoil_a_weight(file, value)
    with pytest.raises(NetworkFileError, match=rf"1 of \d+ values of '{tensor}' are not finite"):
        check_weights(file)
