"""Puts an exported detector into a model repository under a name of its own, and takes it back."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
import yaml
from tritonclient.utils import InferenceServerException

from tritonface_server.configs import model_configs
from tritonface_server.detectors import DETECTORS, Detector, get_detector
from tritonface_server.endpoints import Endpoints
from tritonface_server.errors import CommandError
from tritonface_server.images import SizeError, check_network_size
from tritonface_server.machine import LaunchError
from tritonface_server.repository import WARMUP_PHOTO, build_entry
from tritonface_server.server import TritonServer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RECEIPT = "published.json"
NETWORK, SETTINGS = "model.onnx", "inference.yml"


class PublishError(CommandError):
    """Nothing was published or taken back; the message says why."""


def read_folder(folder: Path, name: str) -> Detector:
    """The facts of an exported folder, to be served as `name`.

    The detector is the one its inference.yml names; input size, labels and threshold are the folder's own.

    Raises:
        PublishError: a file is missing or says something that cannot be served.
    """
    for file_name in (NETWORK, SETTINGS):
        if not (folder / file_name).is_file():
            raise PublishError(f"{folder} has no {file_name}; make the folder with `python -m training.export`")
    try:
        settings = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        facts = get_detector(settings["Global"]["model_name"])
        (resize,) = (step for step in settings["Preprocess"] if step["type"] == "Resize")
        height, width = resize["target_size"]
        labels = tuple(str(label) for label in settings["label_list"])
        threshold = float(settings.get("draw_threshold", facts.score_threshold))
        check_network_size((width, height), facts.size_multiple)
    except (yaml.YAMLError, UnicodeError, KeyError, TypeError, ValueError, SizeError) as error:
        raise PublishError(f"{folder / SETTINGS} cannot be used: {type(error).__name__}: {error}") from error
    return replace(facts, name=name, input_size_wh=(width, height), labels=labels, score_threshold=threshold)


def publish(folder: Path, name: str, repository: Path) -> list[str]:
    """Serve an exported folder as `name`; what was published under that name before is kept for `undo`.

    The new models are written beside the repository and loaded by a server of their own, which must find its way
    through a real photo. Only then are they moved in, folder by folder, the ensembles last, so that a server that
    polls the repository never sees half a model.

    Returns:
        the names of the new models.

    Raises:
        PublishError: an unsuitable name or folder, or a network that does not run.
    """
    if not NAME.fullmatch(name):
        raise PublishError(f"the name is {name!r}; use letters, digits, '.', '_' and '-', 64 at most")
    models = _models_of(name)
    taken = [model for model in models if (repository / model).exists()]
    if taken and not (repository / name / RECEIPT).is_file():
        raise PublishError(f"{repository} has a model {taken[0]!r} that was not published; choose another name")
    detector = read_folder(folder, name)
    with _beside(repository) as staging:
        build_entry(detector, folder / NETWORK, staging)
        _try_out(staging, name)
        (staging / name / RECEIPT).write_text(json.dumps(_receipt(folder), indent=2))
        _move(
            models[::-1], repository, _kept(repository, name) / datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
        )
        _move(models, staging, repository)
    return models


def undo(name: str, repository: Path) -> bool:
    """Take back the last publication of `name`.

    Returns:
        whether an earlier one took its place.

    Raises:
        PublishError: nothing was published under that name.
    """
    models = _models_of(name)
    if not NAME.fullmatch(name) or not (repository / name / RECEIPT).is_file():
        known = ", ".join(published(repository)) or "nothing"
        raise PublishError(f"{name!r} was not published in {repository}; published are: {known}")
    earlier = sorted(_kept(repository, name).glob("*"))
    with _beside(repository) as discarded:
        _move(models[::-1], repository, discarded)
    if earlier:
        _move(models, earlier[-1], repository)
        earlier[-1].rmdir()
    return bool(earlier)


def published(repository: Path) -> list[str]:
    """The names under which detectors were published."""
    return sorted(receipt.parent.name for receipt in repository.glob(f"*/{RECEIPT}"))


def _models_of(name: str) -> list[str]:
    """The models that serve a detector, steps first and ensembles last; the same for all detectors."""
    return list(model_configs(replace(next(iter(DETECTORS.values())), name=name)))


def _move(models: list[str], source: Path, target: Path) -> None:
    """Move the model folders that exist, in this order; a rename each, which nobody sees half done."""
    for model in models:
        if (source / model).exists():
            target.mkdir(parents=True, exist_ok=True)
            (source / model).rename(target / model)


def _kept(repository: Path, name: str) -> Path:
    """Where earlier publications of a name wait for `undo`: beside the repository, on the same file system."""
    return repository.parent / f".{repository.name}.earlier" / name


@contextmanager
def _beside(repository: Path) -> Iterator[Path]:
    repository.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{repository.name}.", dir=repository.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _try_out(staging: Path, name: str) -> None:
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[WARMUP_PHOTO.read_bytes()]], dtype=object))
    log = staging.with_name(f"{staging.name}.log")
    try:
        with (
            TritonServer(staging, Endpoints.free(), log=log) as server,
            triton.InferenceServerClient(server.endpoints.grpc) as client,
        ):
            for ensemble in (name, f"{name}_hpi"):
                client.infer(ensemble, [image], client_timeout=60)
    except (LaunchError, InferenceServerException) as error:
        raise PublishError(f"the network cannot be served: {error}") from error
    finally:
        log.unlink(missing_ok=True)


def _receipt(folder: Path) -> dict[str, str]:
    return {
        "source": str(folder.resolve()),
        "published": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sha256": hashlib.sha256((folder / NETWORK).read_bytes()).hexdigest(),
    }
