"""Puts an exported detector into a model repository under a name of its own, and takes it back."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonface_server.detections import check_labels
from tritonface_server.detector import Detector
from tritonface_server.endpoints import Endpoints
from tritonface_server.errors import CommandError
from tritonface_server.exchange import beside, exchange, exclusively, is_unfinished
from tritonface_server.export_folder import (
    INPUT_NAME,
    NETWORK,
    OUTPUT_NAMES,
    QUANTISED,
    ExportFolderError,
    exported_folder,
    read_accuracy,
    read_folder,
    sha256_of,
)
from tritonface_server.images import decode_image, resize
from tritonface_server.machine import LaunchError
from tritonface_server.model_names import PREPROCESS_STEP, model_names, scales
from tritonface_server.network_file import REMEDY, NetworkFileError, check_weights
from tritonface_server.repository import WARMUP_PHOTO, build_entry, write_preprocess
from tritonface_server.run_folder import run_folders
from tritonface_server.served_models import fits, is_used, preprocess_of
from tritonface_server.server import TritonServer, undrained
from tritonface_server.snapshot import copy_folder
from tritonface_server.watcher import repositories_beside, wait_until_loaded

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RECEIPT = "published.json"
TIMEOUT_S = 60
NANOSECONDS = 10**9


class PublishError(CommandError):
    """Nothing was published or taken back; the message says why."""


def publish(folder: Path, name: str, repository: Path, others: Sequence[Path] = ()) -> list[str]:
    """Serve an exported folder as `name`; what was published under that name before is kept for `undo`.

    What decodes for it is a model that detectors share: it comes if it is not there, and never replaces one that is.
    It may also lie in `others`, the repositories that the same servers have beside this one.

    The folder is copied once, so that a training may go on writing there. The new models are written beside the
    repository and loaded by a server of their own, which must find its way through a real photo. Only then are they
    moved in, folder by folder, the ensembles last, so that a watching server never sees half a model. Servers of the
    same user that watch the repository must load it, or it is taken back.

    Returns:
        the names of the new models.

    Raises:
        PublishError: an unsuitable name or folder, or a network that does not run.
    """
    if not NAME.fullmatch(name) or name.endswith(PREPROCESS_STEP):
        raise PublishError(
            f"the name is {name!r}; use letters, digits, '.', '_' and '-', 64 at most, and not {PREPROCESS_STEP!r} at "
            "its end"
        )
    with tempfile.TemporaryDirectory(prefix="tritonface-publish-") as copy:
        exported = Path(copy)
        detector, accuracy = _read(folder, exported)
        detector = replace(detector, name=name)
        repository.mkdir(parents=True, exist_ok=True)
        _check_named(repository, others)
        with exclusively(repository) as staging:
            _check_free(name, repository, others)
            new = staging / "models"
            build_entry(detector, exported, new)
            _check_shared(name, new, (repository, *others))
            _try_out(new, detector, log=staging / "log")
            (new / name / RECEIPT).write_text(json.dumps(_receipt(folder, exported, accuracy), indent=2))
            models = _exchange(name, repository, others, source=new, target=_next_kept(repository, name))
            failures = wait_until_loaded(models, repository, run_folders)
            if failures:
                _take_back(name, repository, others, staging)
                reasons = "; ".join(f"{model}: {why}" for model, why in failures.items())
                raise PublishError(f"the running server cannot load it, so it was taken back: {reasons}")
    return models


def undo(name: str, repository: Path, others: Sequence[Path] = ()) -> bool:
    """Take back the last publication of `name`.

    Returns:
        whether an earlier one took its place.

    Raises:
        PublishError: nothing was published under that name.
    """
    _check_published(name, repository)
    with exclusively(repository) as staging:
        _check_published(name, repository)  # somebody else may have been faster
        is_replaced = _take_back(name, repository, others, staging)
    wait_until_loaded(model_names(name), repository, run_folders)
    return is_replaced


def published(repository: Path) -> list[str]:
    """The names under which detectors were published."""
    return sorted(receipt.parent.name for receipt in repository.glob(f"*/{RECEIPT}"))


def _take_back(name: str, repository: Path, others: Sequence[Path], staging: Path) -> bool:
    """Bring back what was there before, if there was something."""
    earlier = sorted(_kept(repository, name).glob("*"))
    source = earlier[-1] if earlier else staging / "nothing"
    _exchange(name, repository, others, source=source, target=staging / "discarded")
    if earlier:
        shutil.rmtree(source)
    return bool(earlier)


def receipt_of(name: str, repository: Path) -> dict[str, Any]:
    """What was noted when `name` was published.

    Returns:
        "source", "published" (when), "sha256" (of the network) and "accuracy": what its training says of it, or None.

    Raises:
        PublishError: nothing was published under that name.
    """
    _check_published(name, repository)
    receipt: dict[str, Any] = json.loads((repository / name / RECEIPT).read_text())
    return receipt


def _read(folder: Path, copy: Path) -> tuple[Detector, dict[str, Any] | None]:
    """The facts of an exported folder and its accuracy; its files are in `copy` then, their weights checked."""
    try:
        copy_folder(folder, copy)
        detector, accuracy = read_folder(copy), read_accuracy(copy)
        check_weights(copy / NETWORK)
        if (copy / QUANTISED[0]).is_file():
            check_weights(copy / QUANTISED[0])
    except (ExportFolderError, NetworkFileError) as error:
        raise PublishError(str(error).replace(str(copy), str(folder))) from error
    return detector, accuracy


def _check_named(repository: Path, others: Sequence[Path]) -> None:
    """PublishError if a server that watches has a further repository, where what decodes may lie already."""
    missing = repositories_beside(repository, run_folders) - {other.resolve() for other in others}
    if missing:
        options = " ".join(f"--model-repository {folder}" for folder in sorted(missing))
        raise PublishError(
            f"the server that watches {repository} has further models; name them as it does, this one last: {options} "
            f"--model-repository {repository}"
        )


def _check_free(name: str, repository: Path, others: Sequence[Path]) -> None:
    """PublishError if one of the models of `name` is there and belongs to somebody else."""
    for folder in (repository, *others):
        taken = [model for model in model_names(name) if (folder / model).exists()]
        if not taken or (folder == repository and (folder / name / RECEIPT).is_file()):
            continue
        owners = [path.name for path in folder.iterdir() if path.name != name and taken[0] in model_names(path.name)]
        owner = f"a model of the detector {owners[0]!r}" if owners else "a model that was not published"
        if folder != repository:
            owner = "a model of another repository of the server,"
        raise PublishError(
            f"{name!r} would need the name {taken[0]!r}, and that is {owner} in {folder}; choose another name"
        )


def _check_shared(name: str, new: Path, repositories: Sequence[Path]) -> None:
    """PublishError if what decodes for a detector is there already and was written by an earlier version."""
    shared = preprocess_of(new, name) or ""
    for folder in repositories:
        if (folder / shared).is_dir() and not fits(folder / shared, new / name):
            raise PublishError(
                f"{shared} in {folder}, which decodes for it, was written by an earlier version; "
                f"`tritonface-server repository --model-repository {folder}` writes it anew"
            )


def _check_published(name: str, repository: Path) -> None:
    if not NAME.fullmatch(name) or not (repository / name / RECEIPT).is_file():
        known = ", ".join(published(repository)) or "nothing"
        raise PublishError(f"{name!r} was not published in {repository}; published are: {known}")


def _exchange(name: str, repository: Path, others: Sequence[Path], *, source: Path, target: Path) -> list[str]:
    """Exchange the models of a detector for those in `source`; what it shares with others stays where it is.

    Returns:
        the names of the models that have come.
    """
    before, after = preprocess_of(repository, name), preprocess_of(source, name)
    moving = []
    if after and any((folder / after).is_dir() for folder in (repository, *others)):
        shutil.rmtree(source / after, ignore_errors=True)
    elif after:
        _complete(source, name, after)
        moving.append(after)
    if before and before != after and not is_used(repository, before, except_by=name):
        moving.append(before)
    coming = [model for model in (*moving, *model_names(name)) if (source / model).is_dir()]
    try:
        for model in coming:
            make_newer(source / model / "config.pbtxt", than=repository / model)
        exchange([*moving, *model_names(name)], repository, source=source, target=target)
    except OSError as error:
        outcome = "what has moved is put back next time" if is_unfinished(repository) else "nothing has changed"
        hint = f"; {repository} is a mount, name a folder in one" if error.errno == errno.EXDEV else ""
        raise PublishError(f"the models cannot be moved: {error}; {outcome}{hint}") from error
    return coming


def _complete(source: Path, name: str, preprocess: str) -> None:
    """Write what decodes for an earlier publication anew, if it went with the last detector that used it."""
    if not (source / preprocess).is_dir():
        detector = replace(read_folder(exported_folder(source, name)), scaled_decoding=scales(preprocess))
        write_preprocess(detector, source)


def _kept(repository: Path, name: str) -> Path:
    """Where earlier publications of a name wait for `undo`."""
    return beside(repository) / "earlier" / name


def _next_kept(repository: Path, name: str) -> Path:
    """Where the next one does; numbered, as clocks may be set back."""
    numbers = [int(path.name) for path in _kept(repository, name).glob("*")]
    return _kept(repository, name) / f"{max(numbers, default=0) + 1:06d}"


def make_newer(file: Path, than: Path) -> None:
    """Date a file after all that is in a folder: Triton loads nothing that is older than what it has."""
    if file.exists():
        newest_ns = max((path.stat().st_mtime_ns for path in (than, *than.rglob("*")) if path.exists()), default=0)
        later_ns = max(time.time_ns(), newest_ns + NANOSECONDS)
        os.utime(file, ns=(later_ns, later_ns))


def _try_out(repository: Path, detector: Detector, log: Path) -> None:
    """PublishError unless a server of its own loads the models and they answer a photo with finite numbers."""
    photo = WARMUP_PHOTO.read_bytes()
    picture = resize(decode_image(photo), detector.input_size_wh, detector.interpolation)[None]
    encoded = np.array([[photo]], dtype=object)
    try:
        with (
            undrained(TritonServer(repository, Endpoints.free(), log, cpus=1, detectors=[detector.name])) as server,
            triton.InferenceServerClient(server.endpoints.grpc) as client,
        ):
            for ensemble in (detector.name, f"{detector.name}_hpi"):
                raw = _infer(client, f"{ensemble}_detector", INPUT_NAME, "UINT8", picture)
                boxes, scores = (raw.as_numpy(name) for name in OUTPUT_NAMES)
                check_labels(boxes.shape[1], scores.shape[1], detector.labels)
                _infer(client, ensemble, "image", "BYTES", encoded)
    except (LaunchError, InferenceServerException, ValueError) as error:
        raise PublishError(f"the network cannot be served: {error}") from error


def _infer(
    client: triton.InferenceServerClient, model: str, input_name: str, kind: str, array: np.ndarray
) -> triton.InferResult:
    tensor = triton.InferInput(input_name, array.shape, kind)
    tensor.set_data_from_numpy(array)
    result = client.infer(model, [tensor], client_timeout=TIMEOUT_S)
    for name in OUTPUT_NAMES:
        values = result.as_numpy(name)
        if values is not None and not np.isfinite(values).all():
            raise PublishError(f"the {name} of {model} on a photo are not all finite; {REMEDY}")
    return result


def _receipt(folder: Path, copy: Path, accuracy: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "source": str(folder.resolve()),
        "published": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sha256": sha256_of(copy / NETWORK),
        "accuracy": accuracy,
    }
