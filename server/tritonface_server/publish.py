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
from tritonclient.utils import InferenceServerException

from tritonface_server.configs import model_names
from tritonface_server.endpoints import Endpoints
from tritonface_server.errors import CommandError
from tritonface_server.export_folder import NETWORK, ExportFolderError, read_folder
from tritonface_server.machine import LaunchError
from tritonface_server.repository import WARMUP_PHOTO, build_entry
from tritonface_server.server import TritonServer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RECEIPT = "published.json"


class PublishError(CommandError):
    """Nothing was published or taken back; the message says why."""


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
    models = model_names(name)
    taken = [model for model in models if (repository / model).exists()]
    if taken and not (repository / name / RECEIPT).is_file():
        raise PublishError(f"{repository} has a model {taken[0]!r} that was not published; choose another name")
    try:
        detector = replace(read_folder(folder), name=name)
    except ExportFolderError as error:
        raise PublishError(str(error)) from error
    with _beside(repository) as staging:
        build_entry(detector, folder, staging)
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
    models = model_names(name)
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
