"""Builds TensorRT engines on the GPU that will run them, and refuses engines that were built elsewhere.

An engine runs on one kind of GPU and one version of TensorRT, and stands for one network at one input size, so its file
name carries all four. The standard library is enough here: the container has little more.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tritonface_server.errors import CommandError
from tritonface_server.limits import MAX_BATCH_SIZE

PROFILE = (1, 8, MAX_BATCH_SIZE)
"""Batch sizes of the one optimisation profile: smallest, the one to be fast at, largest."""

DECODING = "decode/"
"""What the names of the layers behind the heads' last convolutions begin with; `training.onnx_network` gives them."""

TENSORRT_MAJOR = 10
CONTAINER = "NVIDIA's tritonserver or tensorrt container with TensorRT 10 (24.10, for instance)"
TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")
ENGINE_KIND = "gpu_tensorrt"
"""The name, `--model-config-name`, of the configurations that use the engines which are there."""

IN_USE, WITH_ENGINE = f"configs/{ENGINE_KIND}.pbtxt", "engine.pbtxt"
"""In the folder of a high-performance network and in that of its ensemble: the configuration that Triton reads, with
ONNX Runtime until there is an engine; and what it becomes then, where no `--model-config-name` finds it."""

REBUILD = "`tritonface-server tensorrt build` (`make tensorrt`) in the container builds one for this machine"


class TensorRTError(CommandError):
    """No engine can be built or used here; the message says why and what to do."""


def chosen(names: list[str] | None, repository: Path) -> list[str]:
    """These names, or those of all detectors with a network in the repository; TensorRTError if there is none."""
    configs = sorted(repository.glob(f"*_hpi_detector/{WITH_ENGINE}"))
    there = [config.parent.name.removesuffix("_hpi_detector") for config in configs]
    names = names or [name for name in there if _onnx_file(name, repository).is_file()]
    if not names:
        raise TensorRTError(f"there is no network in {repository}; `make repository` and `make export` write it")
    return names


class Target(NamedTuple):
    """What an engine is built for.

    Attributes:
        gpu: its name, dashes for all but letters and digits.
        tensorrt: "10.4.0".
        size: width and height of its input, "640x640".
        network: the first digits of the SHA-256 of the exported network.
    """

    gpu: str
    tensorrt: str
    size: str
    network: str

    def file_name(self) -> str:
        """For instance `model.NVIDIA-A100-SXM4-40GB.trt-10.4.0.640x640.1f0c2d3e.plan`."""
        return f"model.{self.gpu}.trt-{self.tensorrt}.{self.size}.{self.network}.plan"


def target(gpu_name: str, tensorrt: str, size_wh: tuple[int, int], network: bytes) -> Target:
    """What an engine of this network has to be built for here."""
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", gpu_name).strip("-")
    return Target(gpu, tensorrt, "{}x{}".format(*size_wh), hashlib.sha256(network).hexdigest()[:8])


def engine_target(file_name: str) -> Target:
    """What an engine was built for, read from its file name; TensorRTError if that does not say."""
    match = re.fullmatch(r"model\.([A-Za-z0-9-]+)\.trt-(\d+\.\d+\.\d+)\.(\d+x\d+)\.([0-9a-f]{8})\.plan", file_name)
    if match is None:
        raise TensorRTError(f"{file_name} does not say what it was built for; {REBUILD}")
    return Target(*match.groups())


def check_engine(file_name: str, here: Target) -> None:
    """TensorRTError unless the engine was built for this."""
    built = engine_target(file_name)
    if (built.gpu, built.tensorrt) != (here.gpu, here.tensorrt):
        raise TensorRTError(
            f"{file_name} was built for {built.gpu} with TensorRT {built.tensorrt}, but this machine has "
            f"{here.gpu} with TensorRT {here.tensorrt}, and engines run nowhere else; {REBUILD}"
        )
    if built != here:
        raise TensorRTError(
            f"{file_name} was built of the network {built.network} at {built.size}, but there is {here.network} at "
            f"{here.size} now; {REBUILD}"
        )


def build_command(size_wh: tuple[int, int], onnx_file: Path, engine_file: Path, timing_cache: Path) -> list[str]:
    """Arguments of trtexec: FP16, except for box decoding and scores, which stay FP32.

    Layers are chosen with a wildcard on purpose: trtexec then leaves out shape tensors and integer layers, which it
    does not for names given in full.
    """
    width, height = size_wh
    shapes = [f"picture:{batch}x{height}x{width}x3" for batch in PROFILE]
    return [
        f"--onnx={onnx_file}",
        f"--saveEngine={engine_file}",
        f"--timingCacheFile={timing_cache}",
        *(f"--{which}Shapes={shape}" for which, shape in zip(("min", "opt", "max"), shapes)),
        "--fp16",
        "--noTF32",  # or FP32 matrix products, such as expected distances, would be rounded to FP16's ten bits
        "--precisionConstraints=obey",
        f"--layerPrecisions={DECODING}*:fp32",
        f"--layerOutputTypes={DECODING}*:fp32",
        "--skipInference",
    ]


def find_trtexec() -> Path:
    """The program that builds engines, in PATH or where the containers have it; TensorRTError if in neither."""
    found = shutil.which("trtexec") or shutil.which(TRTEXEC)
    if found is None:
        raise TensorRTError(f"there is no trtexec in PATH or at {TRTEXEC}; run this in {CONTAINER}")
    return Path(found)


def find_gpu() -> str:
    """Name of the GPU, or of those in CUDA_VISIBLE_DEVICES; TensorRTError if there is none or several kinds."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible}")
    try:
        run = subprocess.run(command, capture_output=True, text=True)
        said, failed = (run.stdout + run.stderr).strip(), run.returncode != 0
    except OSError:
        said, failed = "there is no nvidia-smi", True
    if failed or not said:
        raise TensorRTError(
            f"no NVIDIA GPU is found ({' '.join(said.split()) or 'nvidia-smi lists none'}); engines are built on the "
            "GPU that will run them: start the container there, with `--gpus all`"
        )
    names = sorted(set(said.splitlines()))
    if len(names) > 1:
        raise TensorRTError(f"the GPUs are of several kinds ({', '.join(names)}); choose with CUDA_VISIBLE_DEVICES=0")
    return names[0]


def find_tensorrt() -> str:
    """Version of the library that trtexec and Triton load, "10.4.0"; TensorRTError unless its major version is 10."""
    for major in (TENSORRT_MAJOR, TENSORRT_MAJOR + 1, 8):
        try:
            library = ctypes.CDLL(f"libnvinfer.so.{major}")
        except OSError:
            continue
        if major != TENSORRT_MAJOR:
            raise TensorRTError(
                f"this is TensorRT {major}, but FP16 with FP32 decoding is written for {TENSORRT_MAJOR} (11 has no "
                f"--fp16 and no --layerPrecisions, 8 no INT64 shapes); use {CONTAINER}"
            )
        return tensorrt_version(library.getInferLibVersion())
    raise TensorRTError(f"there is no TensorRT here (no libnvinfer.so.{TENSORRT_MAJOR}); run this in {CONTAINER}")


def tensorrt_version(number: int) -> str:
    """What the library's getInferLibVersion means: 100400 is "10.4.0"."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def build(name: str, repository: Path) -> Path:
    """Build a detector's engine and have it used; TensorRTError, and what was there stays in use, if that fails."""
    trtexec, gpu, version = find_trtexec(), find_gpu(), find_tensorrt()
    onnx_file, folder, ensemble = _onnx_file(name, repository), _folder(name, repository), repository / f"{name}_hpi"
    for needed in (onnx_file, folder / WITH_ENGINE, ensemble / WITH_ENGINE):
        if not needed.is_file():
            raise TensorRTError(f"there is no {needed}; `make repository` and `make export` write it")
    network, size_wh = onnx_file.read_bytes(), input_size_wh(folder / WITH_ENGINE)
    if DECODING.encode() not in network:
        raise TensorRTError(f"no layer of {onnx_file} is named {DECODING}..., to stay FP32; `make export` names them")
    here = target(gpu, version, size_wh, network)
    engine = folder / "1" / here.file_name()
    logs = repository.resolve().parent / "build" / "tensorrt"
    for needed in (engine.parent, logs):
        needed.mkdir(parents=True, exist_ok=True)
    timing_cache = logs / f"timing.{here.gpu}.trt-{version}.cache"  # one of another GPU makes the builder fail
    partial, log = engine.with_name(f".{engine.name}.partial"), logs / f"{name}.log"
    try:
        with log.open("wb") as output:
            command = [str(trtexec), *build_command(size_wh, onnx_file, partial, timing_cache)]
            status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
        if status or not partial.is_file() or not partial.stat().st_size:
            errors = [line for line in log.read_text(errors="replace").splitlines() if "[E]" in line]
            last = f": {errors[-1]}" if errors else ""
            raise TensorRTError(f"trtexec built no engine of {name} (exit status {status}){last}; see {log}")
        partial.replace(engine)
    finally:
        partial.unlink(missing_ok=True)
    for model in (ensemble, folder):  # clients must not be offered a size that the engine lacks, not even in between
        use_engine(model, engine.name)
    return engine


def input_size_wh(config_file: Path) -> tuple[int, int]:
    """The one size of pictures that a text-format model configuration allows, read without protobuf."""
    height, width = re.findall(r"^ +dims: (\d+)$", config_file.read_text(), flags=re.MULTILINE)[:2]
    return int(width), int(height)


def use_engine(model: Path, file_name: str) -> None:
    """Make the configuration in use of a network or its ensemble the one with an engine, atomically."""
    text = naming(file_name, (model / WITH_ENGINE).read_text())
    partial = model / f".{WITH_ENGINE}.partial"
    partial.write_text(text)
    partial.replace(model / IN_USE)


def naming(file_name: str, text: str) -> str:
    """A text-format model configuration that names this engine if it is one of TensorRT, written without protobuf."""
    return text + f'default_model_filename: "{file_name}"\n' if '\nbackend: "tensorrt"\n' in text else text


def check(name: str, repository: Path) -> Path:
    """The engine that a detector's configuration names, if it exists and fits this machine; TensorRTError if not."""
    folder, named = _folder(name, repository), named_engine(name, repository)
    if not named:
        raise TensorRTError(f"{name} has no engine yet, ONNX Runtime serves it; {REBUILD}")
    if not (folder / "1" / named).is_file():
        raise TensorRTError(f"the engine of {name}, {folder / '1' / named}, is missing; {REBUILD}")
    here = target(
        find_gpu(), find_tensorrt(), input_size_wh(folder / WITH_ENGINE), _onnx_file(name, repository).read_bytes()
    )
    check_engine(named, here)
    return folder / "1" / named


def named_engine(name: str, repository: Path) -> str | None:
    """File name of the engine that a detector's configuration names, which need not be there; None if it names none."""
    config_file = _folder(name, repository) / IN_USE
    text = config_file.read_text() if config_file.is_file() else ""
    named = re.search(r'^default_model_filename: "(.*)"', text, flags=re.MULTILINE)
    return named[1] if named else None


def built_engine(name: str, repository: Path, size_wh: tuple[int, int], network: bytes) -> str | None:
    """The engine that a detector's configuration names, if it is there and was built of this; None otherwise."""
    named = named_engine(name, repository)
    if not named or not (_folder(name, repository) / "1" / named).is_file():
        return None
    with suppress(TensorRTError):
        built = engine_target(named)
        return named if built == target(built.gpu, built.tensorrt, size_wh, network) else None
    return None


def _onnx_file(name: str, repository: Path) -> Path:
    return repository / f"{name}_detector" / "1" / "model.onnx"


def _folder(name: str, repository: Path) -> Path:
    return repository / f"{name}_hpi_detector"
