"""What is told of a network's file without a runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import openvino
import pytest

from tests.shipped import SHIPPED, network_file
from tritonface_server.network_outline import NetworkError, check_outline

OUTPUTS = ("boxes", "scores")


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(network_file(), tmp_path / "model.onnx"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_networks_are_whole(name: str) -> None:
    check_outline(network_file(name), OUTPUTS)


def test_an_empty_and_an_absent_file(onnx_file: Path) -> None:
    onnx_file.write_bytes(b"")
    for file in (onnx_file, onnx_file.with_name("absent.onnx")):
        with pytest.raises(NetworkError, match="cannot be loaded as an ONNX network"):
            check_outline(file, OUTPUTS)


@pytest.mark.parametrize("data", [b"no network", b"\x08", b"\x08\x07", b"\xff" * 20, b"\x3a\x00", b"\x3a\x02\x0a\x05"])
def test_what_is_no_onnx(onnx_file: Path, data: bytes) -> None:
    onnx_file.write_bytes(data)
    with pytest.raises(NetworkError, match="cannot be loaded as an ONNX network"):
        check_outline(onnx_file, OUTPUTS)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_file_that_is_cut_off(onnx_file: Path, share: float) -> None:
    whole = onnx_file.read_bytes()
    onnx_file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(NetworkError, match="cannot be loaded as an ONNX network"):
        check_outline(onnx_file, OUTPUTS)


def test_other_outputs(onnx_file: Path) -> None:
    with pytest.raises(NetworkError, match=r"has the outputs boxes, scores; wanted are boxes, masks"):
        check_outline(onnx_file, ["boxes", "masks"])


def test_openvinos_own_format(onnx_file: Path) -> None:
    file = onnx_file.with_suffix(".xml")
    openvino.save_model(openvino.Core().read_model(onnx_file), file)
    check_outline(file, OUTPUTS)
    weights = file.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    for spoil in (lambda: None, weights.unlink, lambda: file.write_text("<net>"), file.unlink):
        spoil()
        with pytest.raises(NetworkError, match=r"model\.xml cannot be loaded as a network"):
            check_outline(file, OUTPUTS)
