"""What a server says of the detectors it serves, and whether it is what the caller asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tritonface._client import Client
from tritonface._errors import InvalidArgumentError, ModelNotFoundError, ServerBusyError, ServerError
from tritonface._options import Size, sides_of


@dataclass(frozen=True)
class Served:
    """A detector on the server, from its configuration.

    Attributes:
        name: the ensemble that clients call.
        labels: class names by class id.
        img_size: what a side of the network's input may be: {"multiple", "min_px", "max_px"}, and {"only_wh"} where
            there is a single size.
        devices: where the network runs: "cpu", or "gpu:0", "gpu:1", ...; "gpu" if the server does not say which.
        config: the ensemble's configuration.
        steps: the configurations of its steps, in order.
        threshold, input_size_wh: defaults of a detector published by `model_dir`; None for the server's own.
    """

    name: str
    labels: list[str]
    img_size: dict[str, Any]
    devices: tuple[str, ...]
    config: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    threshold: float | None = None
    input_size_wh: tuple[int, int] | None = None

    @property
    def network_size_wh(self) -> tuple[int, int] | None:
        """(width, height) in pixels of the network's input unless the caller asks for another; None if nobody says."""
        if self.input_size_wh is not None:
            return self.input_size_wh
        stated = [step.get("parameters", {}).get("input_size_wh") for step in self.steps]
        sizes = [json.loads(parameter["string_value"]) for parameter in stated if parameter]
        return (int(sizes[0][0]), int(sizes[0][1])) if sizes else None


async def describe(client: Client, name: str, timeout_s: float) -> Served:
    """What the server says of a detector.

    Raises:
        ModelNotFoundError: it serves no detector of this name; the message lists those it does, if it tells.
        ServerError: it, or a gateway before it, tells this caller nothing.
    """
    ready = await client.is_model_ready(name, timeout_s)
    served = None
    with suppress(ModelNotFoundError, InvalidArgumentError, ServerBusyError):  # never there, or not any more
        served = await _read(client, name, timeout_s)
    if served is None or not ready:
        try:
            known = ", ".join([found.name for found in await detectors(client, timeout_s)]) or "none at all"
        except ServerError:  # the list is open to those who have the server's key only
            known = "it does not say which to callers without its key"
        raise ModelNotFoundError(
            f"the server at {client.connection.url} has no detector {name!r}; it has: {known}. It serves what its "
            "model repository holds; `tritonface-server publish add` puts a trained detector there"
        )
    return served


async def detectors(client: Client, timeout_s: float) -> list[Served]:
    """All detectors that `create_model` accepts, by name."""
    names = sorted(model["name"] for model in await client.models(timeout_s) if model.get("state") == "READY")
    found = [await _read(client, name, timeout_s) for name in names]
    return [served for served in found if served is not None]


async def _read(client: Client, name: str, timeout_s: float) -> Served | None:
    """None for another kind of model, and for a step of an ensemble."""
    config = await client.config(name, timeout_s)
    parameters = {key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()}
    steps = config.get("ensemble_scheduling", {}).get("step", [])
    if not steps or not {"labels", "img_size"} <= set(parameters):
        return None
    configs = tuple([await client.config(step["model_name"], timeout_s) for step in steps])
    labels, img_size = json.loads(parameters["labels"]), json.loads(parameters["img_size"])
    threshold = json.loads(parameters.get("threshold", "null"))
    input_size_wh = json.loads(parameters.get("input_size_wh", "null"))
    size_wh = (int(input_size_wh[0]), int(input_size_wh[1])) if input_size_wh else None
    return Served(name, labels, img_size, _devices(configs), config, configs, threshold, size_wh)


def network_step(steps: Sequence[dict[str, Any]]) -> int:
    """The index of the step that is the network: the one that is no Python code."""
    return next((i for i, step in enumerate(steps) if step.get("backend") != "python"), 0)


def _devices(steps: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    names: list[str] = []
    for group in steps[network_step(steps)].get("instance_group", []):
        if group.get("kind", "KIND_AUTO") == "KIND_CPU":
            names.append("cpu")
        else:
            names += [f"gpu:{number}" for number in group.get("gpus", [])] or ["gpu"]
    return tuple(dict.fromkeys(names)) or ("cpu",)


def check_device(device: str | None, served: Served) -> None:
    """InvalidArgumentError unless the detector runs where the caller wants it to; None is content with anything."""
    if device is None:
        return
    if not isinstance(device, str) or not re.fullmatch(r"cpu|gpu(:\d+)?", device):
        raise InvalidArgumentError(f"device must be 'cpu', 'gpu' or 'gpu:0' (a card's number), got {device!r}")
    offered = set(served.devices)
    if any(name.startswith("gpu") for name in offered):
        offered.add("gpu")
    if device not in offered:
        raise InvalidArgumentError(
            f"the server runs {served.name!r} on {', '.join(served.devices)}, not on {device!r}; leave device out, or "
            "ask a server that offers it (url=). A server's devices are chosen when it is started, in its "
            "configurations (instance_group; `--model-config-name=gpu` for the shipped ones)"
        )


def check_tiles(tile_wh: tuple[int, int] | None, served: Served) -> None:
    """InvalidArgumentError if images shall be cut into tiles by a detector that does not do that."""
    takes_tiles = any(tensor.get("name") == "tiles" for tensor in served.config.get("input", []))
    if tile_wh is not None and not takes_tiles:
        raise InvalidArgumentError(
            f"{served.name!r} takes no tiles on this server, as its model repository is of an earlier version; "
            "leave tiles out, or have it written anew (`tritonface-server repository`)"
        )


def check_img_size(img_size: Size | None, served: Served) -> tuple[int, int] | None:
    """(width, height) in pixels, checked against what the served model takes."""
    if img_size is None:
        return None
    sides = sides_of(img_size)
    multiple, least, most = (served.img_size[key] for key in ("multiple", "min_px", "max_px"))
    fitting = [side for side in sides if side is not None and least <= side <= most and side % multiple == 0]
    if len(sides) != 2 or fitting != sides:
        raise InvalidArgumentError(
            f"img_size is a number or [width, height] of whole numbers from {least} to {most}"
            + (f", multiples of {multiple}" if multiple > 1 else "")
            + f"; got {img_size!r}"
        )
    only_wh = served.img_size.get("only_wh")
    if only_wh and fitting != only_wh:
        raise InvalidArgumentError(f"{served.name!r} runs at {only_wh} only on this server; got {img_size!r}")
    return fitting[0], fitting[1]
