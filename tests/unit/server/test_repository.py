from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import SHIPPED, network_file, shipped
from training.detectors import DETECTORS
from training.paths import MODEL_REPOSITORY
from tritonface_server.configs import CPU_SETTINGS, cpu_config_name, model_configs
from tritonface_server.detector import Detector
from tritonface_server.repository import build_entry, bytes_tensor


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_an_empty_byte_string_as_a_tensor() -> None:
    assert bytes_tensor(b"") == b"\0\0\0\0"


def test_the_repository_is_what_the_builder_writes(tmp_path: Path) -> None:
    for name in SHIPPED:
        build_entry(shipped(name), network_file(name).parent, tmp_path)
    assert files(MODEL_REPOSITORY) == files(tmp_path)


def test_a_config_carries_the_detectors_facts() -> None:
    facts = shipped()
    config = pb.ModelConfig()
    text_format.Parse((MODEL_REPOSITORY / "BlazeFace_postprocess" / "config.pbtxt").read_text(), config)
    assert f'"iou_threshold": {facts.nms.iou_threshold}' in config.parameters["nms"].string_value


@pytest.mark.parametrize("facts", DETECTORS.values(), ids=DETECTORS)
def test_cpu_and_gpu_settings_stand_side_by_side(facts: Detector) -> None:
    configs = model_configs(facts)
    assert list(configs)[-2:] == [facts.name, f"{facts.name}_hpi"]  # ensembles last
    network, hpi = configs[f"{facts.name}_detector"], configs[f"{facts.name}_hpi_detector"]
    sizes = [name for name, _ in CPU_SETTINGS.values()]
    assert [*network] == [*sizes, "gpu", "gpu_tensorrt"] and [*hpi] == [*sizes, "gpu"]
    assert {config.backend for config in network.values()} == {"onnxruntime"}
    assert [config.backend for config in hpi.values()] == ["openvino"] * len(sizes) + ["tensorrt"]
    accelerators = network["gpu_tensorrt"].optimization.execution_accelerators.gpu_execution_accelerator
    assert [accelerator.name for accelerator in accelerators] == ["tensorrt"]
    for variants in configs.values():
        interfaces = {(str(list(config.input)), str(list(config.output))) for config in variants.values()}
        assert len(interfaces) == 1 or variants is hpi  # an engine is built for one size


def test_every_step_warms_up_and_only_networks_on_gpus_aim_at_batches() -> None:
    for model_name, variants in model_configs(shipped()).items():
        for device, config in variants.items():
            if config.platform != "ensemble":
                assert config.HasField("dynamic_batching")
                if model_name.endswith("detector"):
                    aims_at_batches = any(size > 1 for size in config.dynamic_batching.preferred_batch_size)
                    assert aims_at_batches is device.startswith("gpu")
                assert config.model_warmup and config.instance_group[0].count


@pytest.mark.parametrize(
    ("cpus", "name", "networks"),
    [
        (1, "cpu_1", 1),
        (2, "cpu", 2),
        (3, "cpu_4", 4),
        (4, "cpu_4", 4),
        (5, "cpu_8", 8),
        (16, "cpu_16", 16),
        (96, "cpu_16", 16),
    ],
)
def test_the_copies_of_a_network_follow_the_cpus(cpus: int, name: str, networks: int) -> None:
    assert cpu_config_name(cpus) == name
    for network in ("BlazeFace_detector", "BlazeFace_hpi_detector"):
        assert model_configs(shipped())[network][name].instance_group[0].count == networks


def test_a_size_like_the_default_is_not_written() -> None:
    configs = model_configs(shipped())
    assert [*configs["BlazeFace_preprocess"]] == ["cpu_1", "cpu", "cpu_8", "cpu_16", "gpu"]
    assert [*configs["BlazeFace_postprocess"]] == ["cpu", "cpu_16", "gpu"]


def test_model_files_only_adapt() -> None:
    for path in MODEL_REPOSITORY.rglob("model.py"):
        assert len(path.read_text().splitlines()) <= 5, path
