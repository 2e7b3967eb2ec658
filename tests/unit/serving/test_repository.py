from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from serving.detectors import get_detector
from serving.repository import MODEL_REPOSITORY, build_entry, bytes_tensor, network_file, shipped_detectors


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_an_empty_byte_string_as_a_tensor() -> None:
    assert bytes_tensor(b"") == b"\0\0\0\0"


def test_the_repository_is_what_the_builder_writes(tmp_path: Path) -> None:
    for detector in shipped_detectors():
        build_entry(detector, network_file(detector), tmp_path)
    assert files(MODEL_REPOSITORY) == files(tmp_path)


def test_a_config_carries_the_detectors_facts() -> None:
    facts = get_detector("BlazeFace")
    config = pb.ModelConfig()
    text_format.Parse((MODEL_REPOSITORY / "BlazeFace_postprocess" / "config.pbtxt").read_text(), config)
    assert f'"iou_threshold": {facts.nms.iou_threshold}' in config.parameters["nms"].string_value


def test_model_files_only_adapt() -> None:
    for path in MODEL_REPOSITORY.rglob("model.py"):
        assert len(path.read_text().splitlines()) <= 5, path
