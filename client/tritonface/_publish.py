"""`model_dir`: serves a local export through a server that allows clients to load models.

Only the network and two configurations travel, no code: a new detector step with the folder's model.onnx, and a new
ensemble that shares the pre- and postprocessing steps of the detector that the server has already.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from tritonface._client import Client
from tritonface._errors import (
    InvalidArgumentError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonFaceError,
)
from tritonface._inference_yml import Settings, parse_settings
from tritonface._served import Served, check_img_size, describe, network_step

NETWORK, SETTINGS = "model.onnx", "inference.yml"
FORBIDDEN = ("not allowed", "restricted", "expected key")  # how servers say that clients may not load models
TAKES_ONNX = frozenset({"onnxruntime", "openvino"})
ENSEMBLE_FILES = {"1/README": b"An ensemble has no files, but Triton wants the folder of its version.\n"}


@dataclass(frozen=True)
class Export:
    """A folder made by `training/main.py -o Global.mode=export`.

    Attributes:
        settings: what its inference.yml says.
        network: the contents of model.onnx.
    """

    folder: Path
    settings: Settings
    network: bytes

    @property
    def served_name(self) -> str:
        """The name under which the network is published: it changes when the network does."""
        return f"{self.settings.model_name}_{hashlib.sha256(self.network).hexdigest()[:8]}"


def read_export(folder: str | os.PathLike[str], model_name: str) -> Export:
    """Read an export and check it against the name it is meant to have.

    Raises:
        InvalidArgumentError: a file is missing, unreadable, or is another model's.
    """
    path = Path(folder)
    missing = [name for name in (NETWORK, SETTINGS) if not (path / name).is_file()]
    if missing:
        raise InvalidArgumentError(
            f"model_dir {str(path)!r} has no {missing[0]}; make the folder with `python training/main.py "
            f"-c training/configs/{model_name}.yaml -o Global.mode=export -o Global.output={path}`"
        )
    try:
        settings = parse_settings((path / SETTINGS).read_text(encoding="utf-8"))
        network = (path / NETWORK).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"{path / SETTINGS} cannot be used: {error}") from error
    if settings.model_name != model_name:
        raise InvalidArgumentError(
            f"model_dir {str(path)!r} is an export of {settings.model_name!r}, not of {model_name!r}; "
            f"pass model_name={settings.model_name!r}"
        )
    return Export(path, settings, network)


class Publication:
    """An export beside a detector whose steps it shares, on every server of a connection.

    Belongs to the event loop in which it is first loaded.

    Args:
        base: the detector.
    """

    def __init__(self, export: Export, base: Served) -> None:
        self._export, self._base = export, base
        self._locks: WeakKeyDictionary[Client, asyncio.Lock] = WeakKeyDictionary()

    async def load(self, client: Client, timeout_s: float) -> Served:
        """Load it unless the server has it already; it stays loaded.

        Raises:
            InvalidArgumentError: the network's input size or kind does not suit the server.
            ServerError: the server does not allow it, or cannot run the network; the message says what to do.
        """
        export, base, stated = self._export, self._base, self._export.settings
        suffix = base.name[len(stated.model_name) :]  # "" or "_hpi"
        name = export.served_name + suffix
        served = replace(base, name=name, labels=list(stated.labels), threshold=stated.score_threshold)
        served = replace(served, input_size_wh=check_img_size(stated.input_size_wh, served))
        _check_shared_steps(export, base)
        if not await client.is_model_ready(name, timeout_s):
            index = network_step(base.steps)
            network = _network_config(base.steps[index], f"{name}_detector", export)
            ensemble = _ensemble_config(base, served, index, network["name"])
            try:
                await client.load(network["name"], json.dumps(network), {f"1/{NETWORK}": export.network}, timeout_s)
                await _load_ensemble(client, name, json.dumps(ensemble), timeout_s)
            except (ServerError, InvalidArgumentError, ServerUnavailableError) as error:
                raise _refused(error, export, client) from error
        return replace(await describe(client, name, timeout_s), **_own_settings(served))

    async def load_again(self, client: Client, timeout_s: float) -> None:
        """The same where a request has not found it, as the server was started anew; of several requests one sends it.

        Raises:
            ServerUnavailableError: the server has gone meanwhile.
            ModelNotFoundError: it does not allow it any more, or cannot run the network; another server may have it.
        """
        deadline_s = time.monotonic() + timeout_s
        async with self._locks.setdefault(client, asyncio.Lock()):
            try:
                await self.load(client, max(deadline_s - time.monotonic(), 1e-3))
            except (ServerError, InvalidArgumentError) as error:
                if isinstance(error.__cause__, ServerUnavailableError):
                    raise error.__cause__ from None
                raise ModelNotFoundError(str(error)) from error


def _check_shared_steps(export: Export, base: Served) -> None:
    """InvalidArgumentError where a step that the export would share does something else than the export wants."""
    stated = export.settings
    wanted = {
        "interpolation": stated.interpolation,
        "size_multiple": stated.size_multiple,
        "nms": {
            "score_threshold": stated.nms_score_threshold,
            **{key: getattr(stated, key) for key in ("iou_threshold", "top_k", "keep_top_k")},
        },
    }
    for step in base.steps:
        for key, parameter in step.get("parameters", {}).items():
            if key in wanted and json.loads(parameter["string_value"]) != wanted[key]:
                raise InvalidArgumentError(
                    f"{export.folder / SETTINGS} wants {key} {wanted[key]}, but the steps of {base.name!r}, which it "
                    f"would share, have {json.loads(parameter['string_value'])}; publish it on the server's machine: "
                    f"{_by_hand(export)}"
                )


async def _load_ensemble(client: Client, name: str, config: str, timeout_s: float) -> None:
    """Triton 2.51 loads it, but reports a failure: it looks for the steps in its repository (server issue 4630)."""
    try:
        await client.load(name, config, ENSEMBLE_FILES, timeout_s)
    except ServerError:
        if not await client.is_model_ready(name, timeout_s):
            raise


def _own_settings(served: Served) -> dict[str, Any]:
    return {key: getattr(served, key) for key in ("labels", "threshold", "input_size_wh")}


def _network_config(base: dict[str, Any], name: str, export: Export) -> dict[str, Any]:
    if base.get("backend") not in TAKES_ONNX:
        raise InvalidArgumentError(
            f"the server runs {base['name']!r} with {base.get('backend') or base.get('platform')!r}, which takes no "
            f"{NETWORK}; use use_hpip=False, or publish on the server's machine: {_by_hand(export)}"
        )
    config = copy.deepcopy(base)
    config["name"] = name
    config["default_model_filename"] = NETWORK
    for group in config.get("instance_group", []):
        group.pop("name", None)
    return config


def _ensemble_config(base: Served, served: Served, index: int, network: str) -> dict[str, Any]:
    config = copy.deepcopy(base.config)
    config["name"] = served.name
    config["ensemble_scheduling"]["step"][index]["model_name"] = network
    settings = {key: value for key, value in _own_settings(served).items() if value is not None}
    config["parameters"].update({key: {"string_value": json.dumps(value)} for key, value in settings.items()})
    return config


def _by_hand(export: Export) -> str:
    return f"`tritonface-server publish add {export.folder} NAME` and create_model('NAME')"


def _refused(error: TritonFaceError, export: Export, client: Client) -> TritonFaceError:
    from tritonclient.utils import InferenceServerException

    cause = error.__cause__
    if not isinstance(cause, InferenceServerException):
        return error  # nobody answers
    reason = str(cause.message()).partition("\n")[0]
    if any(word in reason for word in FORBIDDEN):
        return ServerError(
            f"the server at {client.connection.url} does not let clients load models ({reason}); on its machine: "
            f"{_by_hand(export)} (a server started with `make serve WATCH=1` notices it, another one at its next "
            "start), or start it with `tritonface-server serve --model-control explicit` if all its "
            "clients are trusted"
        )
    return ServerError(f"{export.folder / NETWORK} cannot be served: {reason}")
