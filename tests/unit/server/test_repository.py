from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import SHIPPED, network_file, shipped
from training.paths import MODEL_REPOSITORY
from tritonface_server import tensorrt
from tritonface_server.configs import cpu_config_name, model_configs, preprocess_configs
from tritonface_server.publish import RECEIPT, published, undo
from tritonface_server.repository import build_entry, bytes_tensor, rebuild, take_in
from tritonface_server.served_models import models_of, preprocess_of, read_config


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


def test_every_step_warms_up_and_only_networks_on_gpus_aim_at_batches() -> None:
    shared = {"640x640_cubic_preprocess": preprocess_configs(shipped())}
    for model_name, variants in {**model_configs(shipped()), **shared}.items():
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
    shared = preprocess_configs(shipped())
    assert [*shared] == ["cpu_1", "cpu", "cpu_4", "cpu_8", "cpu_16", "gpu", "gpu_tensorrt"]
    assert [*configs["BlazeFace_postprocess"]] == ["cpu", "cpu_16", "gpu", "gpu_tensorrt"]


def test_model_files_only_adapt() -> None:
    models = sorted(MODEL_REPOSITORY.rglob("model.py"))
    assert {path.parents[1] for path in models} >= {*MODEL_REPOSITORY.glob("*_postprocess")} != set()
    for path in models:
        assert len(path.read_text().splitlines()) <= 5, path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    build_entry(shipped(), network_file().parent, tmp_path)
    return tmp_path


def scaled_decoding(repository: Path) -> str:
    """As the model says that decodes for BlazeFace, beside which nothing else does."""
    (step,) = repository.glob("*_preprocess")
    assert step.name == preprocess_of(repository, "BlazeFace")
    config = read_config(step)
    assert config
    return config.parameters["scaled_decoding"].string_value


def named_in(repository: Path, config: str) -> str:
    text = (repository / "BlazeFace_hpi_detector" / "configs" / f"{config}.pbtxt").read_text()
    return text_format.Parse(text, pb.ModelConfig()).default_model_filename


@pytest.mark.fault("B9")
def test_scaled_decoding_stays_as_it_is_set(repository: Path) -> None:
    assert scaled_decoding(repository) == "true"
    for told, becomes in [(None, "true"), (False, "false"), (None, "false"), (True, "true"), (False, "false")]:
        rebuild(repository, [], told)
        assert scaled_decoding(repository) == becomes
    take_in(network_file().parent, repository)
    assert scaled_decoding(repository) == "false"
    assert preprocess_of(repository, "BlazeFace") == "640x640_cubic_whole_preprocess"


@pytest.mark.fault("B9")
def test_a_repository_from_before_scaled_decoding_was_usual_gets_it(repository: Path) -> None:
    (step,) = repository.glob("*_preprocess")
    config = (step / "config.pbtxt").read_text()
    (step / "config.pbtxt").write_text(config.replace('"true"', '"false"'))
    assert scaled_decoding(repository) == "false"
    rebuild(repository, [])
    assert scaled_decoding(repository) == "true"


@pytest.mark.fault("B9")
def test_an_engine_stays_until_the_network_changes(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    network = network_file().read_bytes()
    engine = tensorrt.target("NVIDIA L4", "10.4.0", (640, 640), network).file_name()
    models = [repository / "BlazeFace_hpi", repository / "BlazeFace_hpi_detector"]
    by_onnxruntime = [read_config(model, "gpu_tensorrt") for model in models]
    for model in models:
        tensorrt.use_engine(model, engine)
    rebuild(repository, [])
    assert [read_config(model, "gpu_tensorrt") for model in models] == by_onnxruntime  # it is named, but not there
    for model in models:
        tensorrt.use_engine(model, engine)
    by_engine = [read_config(model, "gpu_tensorrt") for model in models]
    (models[1] / "1" / engine).write_bytes(b"engine")
    rebuild(repository, [])
    take_in(network_file().parent, repository)
    assert [read_config(model, "gpu_tensorrt") for model in models] == by_engine
    assert named_in(repository, "gpu_tensorrt") == engine

    trained_on = tmp_path_factory.mktemp("exported")
    shutil.copy(network_file().with_name("inference.yml"), trained_on)
    (trained_on / "model.onnx").write_bytes(network + b"\0")
    take_in(trained_on, repository)
    assert [read_config(model, "gpu_tensorrt") for model in models] == by_onnxruntime


@pytest.mark.fault("B9")
def test_a_quantised_network_stays_until_the_network_changes(repository: Path) -> None:
    for name in ("model.xml", "model.bin"):
        (repository / "BlazeFace_hpi_detector" / "1" / name).write_bytes(b"quantised")
    rebuild(repository, [])
    assert named_in(repository, "cpu") == "model.xml"
    take_in(network_file().parent, repository)
    assert named_in(repository, "cpu") == "model.onnx"
    assert not (repository / "BlazeFace_hpi_detector" / "1" / "model.bin").exists()


def with_a_step_of_its_own(repository: Path) -> Path:
    """As earlier versions wrote a repository: what decodes belongs to one detector."""
    (shared,) = repository.glob("*_preprocess")
    for config in repository.rglob("*.pbtxt"):
        config.write_text(config.read_text().replace(shared.name, "BlazeFace_preprocess"))
    return shared.rename(repository / "BlazeFace_preprocess")


def test_a_repository_of_an_earlier_version_is_renewed(repository: Path) -> None:
    before = files(repository)
    own = with_a_step_of_its_own(repository)
    assert models_of(repository, ["BlazeFace"])[0] == own.name and files(repository) != before
    rebuild(repository, [])
    assert files(repository) == before and not own.exists()


def test_what_an_earlier_version_published_can_be_taken_back(repository: Path) -> None:
    with_a_step_of_its_own(repository)
    (repository / "BlazeFace" / RECEIPT).write_text("{}")
    assert published(repository) == ["BlazeFace"]
    assert not undo("BlazeFace", repository)
    assert files(repository) == {}
