from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import network_file, shipped
from training.paths import ROOT
from tritonface_server import tensorrt
from tritonface_server.configs import GPU, onnxruntime_config, tensorrt_config
from tritonface_server.limits import MAX_BATCH_SIZE
from tritonface_server.repository import build_entry
from tritonface_server.served_models import read_config
from tritonface_server.tensorrt import (
    TensorRTError,
    build,
    build_command,
    check,
    check_engine,
    engine_target,
    find_gpu,
    find_tensorrt,
    find_trtexec,
    naming,
    target,
    tensorrt_version,
)

GPU_NAME, VERSION = "NVIDIA A100-SXM4-40GB", "10.4.0"
NETWORK = b"... decode/Exp.0 ..."
ENGINE = f"model.NVIDIA-A100-SXM4-40GB.trt-10.4.0.640x640.{hashlib.sha256(NETWORK).hexdigest():.8}.plan"
TRTEXEC = """#!/bin/sh
echo "$@" > "$(dirname "$0")/arguments"
for argument; do case $argument in
    --saveEngine=*) printf %s engine > "${argument#*=}" ;;
    --timingCacheFile=*) printf %s timings > "${argument#*=}" ;;
esac; done
"""


def command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tritonface_server", "tensorrt", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that stand for those of the container; nothing here is TensorRT."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program(programs / "trtexec", TRTEXEC)
    program(programs / "nvidia-smi", f"#!/bin/sh\necho '{GPU_NAME}'\n")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tensorrt, "find_tensorrt", lambda: VERSION)
    return programs


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    exported, folder = tmp_path / "exported", tmp_path / "model_repository"
    exported.mkdir()
    (exported / "model.onnx").write_bytes(NETWORK)
    (exported / "inference.yml").write_bytes(network_file().with_name("inference.yml").read_bytes())
    build_entry(shipped(), exported, folder)
    return folder


def in_use(repository: Path, model: str) -> pb.ModelConfig:
    """What Triton reads of a model with `--model-config-name=gpu_tensorrt`."""
    config = read_config(repository / model, "gpu_tensorrt")
    assert config
    return config


@pytest.mark.parametrize("action", ["build", "check"])
def test_an_empty_repository(tmp_path: Path, action: str) -> None:
    run = command_line(action, "--model-repository", str(tmp_path), PATH="")
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr == f"error: there is no network in {tmp_path}; `make repository` and `make export` write it\n"


def test_a_machine_without_trtexec_is_told_so_in_one_line(repository: Path) -> None:
    run = command_line("build", "--model-repository", str(repository), PATH="")
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith("error: there is no trtexec in PATH or at ") and run.stderr.count("\n") == 1
    assert "container" in run.stderr


def test_a_machine_without_a_gpu_is_told_so_in_one_line(repository: Path, container: Path) -> None:
    (container / "nvidia-smi").unlink()
    run = command_line("build", "--model-repository", str(repository), PATH=str(container))
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "no NVIDIA GPU is found (there is no nvidia-smi)" in run.stderr and "--gpus all" in run.stderr


def test_a_machine_without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", no_library)
    with pytest.raises(TensorRTError, match=r"no libnvinfer\.so\.10.*container"):
        find_tensorrt()


@pytest.mark.parametrize("major", [8, 11])
def test_another_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    def library(name: str) -> object:
        if name != f"libnvinfer.so.{major}":
            raise OSError(name)
        return object()

    monkeypatch.setattr("ctypes.CDLL", library)
    with pytest.raises(TensorRTError, match=f"this is TensorRT {major}, but .* for 10"):
        find_tensorrt()


@pytest.mark.parametrize(("number", "version"), [(100001, "10.0.1"), (100400, "10.4.0"), (101303, "10.13.3")])
def test_versions(number: int, version: str) -> None:
    assert tensorrt_version(number) == version


def test_only_the_standard_library_is_needed() -> None:
    imports = "import sys, tritonface_server.cli, tritonface_server.tensorrt"
    code = imports + "; print({'numpy', 'google', 'tritonclient'} & sys.modules.keys())"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT / "server", capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("exit 0", "no NVIDIA GPU is found .nvidia-smi lists none"),
        ("echo No devices were found; exit 6", "No devices were found"),
        ("echo A; echo B", r"several kinds \(A, B\); choose with CUDA_VISIBLE_DEVICES"),
    ],
)
def test_no_gpu_or_too_many(container: Path, answer: str, message: str) -> None:
    program(container / "nvidia-smi", f"#!/bin/sh\n{answer}\n")
    with pytest.raises(TensorRTError, match=message):
        find_gpu()


def test_the_visible_gpu(container: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gpu() == GPU_NAME
    program(container / "nvidia-smi", '#!/bin/sh\ncase "$*" in *--id=1) echo B ;; *) echo A; echo B ;; esac\n')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert find_gpu() == "B"


def test_where_the_container_has_trtexec(container: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_trtexec() == container / "trtexec"
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(tensorrt, "TRTEXEC", container / "trtexec")
    assert find_trtexec() == container / "trtexec"


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        (GPU_NAME, ENGINE),
        ("NVIDIA H100 80GB HBM3", ENGINE.replace("A100-SXM4-40GB", "H100-80GB-HBM3")),
        ("Quadro RTX 6000/8000", ENGINE.replace("NVIDIA-A100-SXM4-40GB", "Quadro-RTX-6000-8000")),
    ],
)
def test_an_engines_name_says_what_it_was_built_for(gpu: str, name: str) -> None:
    here = target(gpu, VERSION, (640, 640), NETWORK)
    assert here.file_name() == name
    check_engine(name, here)
    assert engine_target(name) == here


@pytest.mark.parametrize(
    "name", ["", "model.plan", "model.A.trt-10.4.0.plan", ENGINE.replace("10.4.0", "10.4"), "a/" + ENGINE]
)
def test_names_that_do_not_say(name: str) -> None:
    with pytest.raises(TensorRTError, match=r"does not say what it was built for.*make tensorrt"):
        engine_target(name)


@pytest.mark.parametrize(("gpu", "version"), [("NVIDIA L4", VERSION), (GPU_NAME, "10.5.0"), (GPU_NAME, "10.4.1")])
def test_an_engine_from_elsewhere_is_refused(gpu: str, version: str) -> None:
    with pytest.raises(TensorRTError) as refusal:
        check_engine(ENGINE, target(gpu, version, (640, 640), NETWORK))
    for part in ("NVIDIA-A100-SXM4-40GB", VERSION, gpu.replace(" ", "-"), version, "tritonface-server tensorrt build"):
        assert part in str(refusal.value)


@pytest.mark.fault("B9")
@pytest.mark.parametrize(("size_wh", "network"), [((640, 640), b"trained on"), ((640, 320), NETWORK)])
def test_an_engine_of_another_network_is_refused(size_wh: tuple[int, int], network: bytes) -> None:
    with pytest.raises(TensorRTError, match=r"was built of the network .* at 640x640, but there is .* now; "):
        check_engine(ENGINE, target(GPU_NAME, VERSION, size_wh, network))


def test_the_command() -> None:
    assert build_command((640, 640), Path("model.onnx"), Path("model.plan"), Path("timing.cache")) == [
        "--onnx=model.onnx",
        "--saveEngine=model.plan",
        "--timingCacheFile=timing.cache",
        "--minShapes=picture:1x640x640x3",
        "--optShapes=picture:8x640x640x3",
        "--maxShapes=picture:32x640x640x3",
        "--fp16",
        "--noTF32",
        "--precisionConstraints=obey",
        "--layerPrecisions=decode/*:fp32",
        "--layerOutputTypes=decode/*:fp32",
        "--skipInference",
    ]


def test_the_config_has_the_interface_of_the_detector() -> None:
    config, onnx = tensorrt_config(shipped()), onnxruntime_config(shipped(), "BlazeFace_detector", GPU)
    assert (config.name, config.backend) == ("BlazeFace_hpi_detector", "tensorrt")
    assert config.max_batch_size == onnx.max_batch_size == MAX_BATCH_SIZE == tensorrt.PROFILE[-1]
    for ours, theirs in zip([*config.input, *config.output], [*onnx.input, *onnx.output], strict=True):
        assert (ours.name, ours.data_type, len(ours.dims)) == (theirs.name, theirs.data_type, len(theirs.dims))
        assert all(b in (-1, a) for a, b in zip(ours.dims, theirs.dims))


def test_build_then_check(container: Path, repository: Path) -> None:
    with pytest.raises(TensorRTError, match="has no engine yet, ONNX Runtime serves it"):
        check("BlazeFace", repository)
    engine = build("BlazeFace", repository)
    assert engine == repository / "BlazeFace_hpi_detector" / "1" / ENGINE
    assert engines(repository) == [ENGINE] and engine.read_bytes() == b"engine"
    assert "--fp16" in (container / "arguments").read_text()
    logs = repository.parent / "build" / "tensorrt"
    assert (logs / "timing.NVIDIA-A100-SXM4-40GB.trt-10.4.0.cache").read_text() == "timings"
    assert check("BlazeFace", repository) == engine
    engine.unlink()
    with pytest.raises(TensorRTError, match=r"the engine of BlazeFace, .* is missing"):
        check("BlazeFace", repository)


@pytest.mark.fault("D")
def test_one_name_serves_without_an_engine_and_uses_the_one_that_is_there(container: Path, repository: Path) -> None:
    network, ensemble = "BlazeFace_hpi_detector", "BlazeFace_hpi"
    assert in_use(repository, network) == read_config(repository / network, "gpu")
    assert in_use(repository, ensemble) == read_config(repository / ensemble)
    build("BlazeFace", repository)
    assert (in_use(repository, network).backend, in_use(repository, network).default_model_filename) == (
        "tensorrt",
        ENGINE,
    )
    assert "only_wh" in str(in_use(repository, ensemble).parameters["img_size"])
    assert not list(repository.rglob("*.partial"))
    for model in (network, ensemble):
        other = read_config(repository / model, "gpu")
        assert other and other != in_use(repository, model), "servers without this engine keep their settings"


def engines(repository: Path) -> list[str]:
    return [path.name for path in (repository / "BlazeFace_hpi_detector" / "1").glob("*.plan*")]


def test_an_engine_copied_to_another_machine_is_refused(container: Path, repository: Path) -> None:
    build("BlazeFace", repository)
    program(container / "nvidia-smi", "#!/bin/sh\necho NVIDIA L4\n")
    with pytest.raises(TensorRTError, match=r"built for NVIDIA-A100-SXM4-40GB .* this machine has NVIDIA-L4 "):
        check("BlazeFace", repository)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("echo '[E] no kernel' >&2; exit 1", r"BlazeFace \(exit status 1\): \[E\] no kernel; see .*BlazeFace\.log"),
        ("exit 0", r"exit status 0\); see"),
    ],
)
def test_a_failed_build_leaves_the_old_engine(container: Path, repository: Path, failure: str, message: str) -> None:
    engine = build("BlazeFace", repository)
    program(container / "trtexec", f"#!/bin/sh\n{failure}\n")
    with pytest.raises(TensorRTError, match=message):
        build("BlazeFace", repository)
    assert engines(repository) == [ENGINE] and engine.read_bytes() == b"engine"
    assert check("BlazeFace", repository) == engine


@pytest.mark.parametrize(
    "missing", ["BlazeFace_detector/1/model.onnx", "BlazeFace_hpi_detector/engine.pbtxt", "BlazeFace_hpi/engine.pbtxt"]
)
def test_what_the_build_needs(container: Path, repository: Path, missing: str) -> None:
    (repository / missing).unlink()
    with pytest.raises(TensorRTError, match=rf"there is no .*{missing}; `make repository`"):
        build("BlazeFace", repository)


def test_a_network_without_named_decoding_is_not_built_in_fp16(container: Path, repository: Path) -> None:
    (repository / "BlazeFace_detector" / "1" / "model.onnx").write_bytes(b"Exp.0")
    with pytest.raises(TensorRTError, match=r"named decode/.*make export"):
        build("BlazeFace", repository)


def test_naming_an_engine_keeps_the_rest() -> None:
    config = tensorrt_config(shipped())
    named = text_format.Parse(naming(ENGINE, text_format.MessageToString(config)), pb.ModelConfig())
    assert named.default_model_filename == ENGINE
    config.default_model_filename = ENGINE
    assert named == config
    other = text_format.MessageToString(onnxruntime_config(shipped(), "BlazeFace_hpi_detector", GPU))
    assert naming(ENGINE, other) == other
