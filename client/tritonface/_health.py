"""Whether a server can do its work: what it says of itself, and what becomes of a photo that is sent through it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonface._client import Client
from tritonface._errors import ServerUnavailableError, TritonFaceError
from tritonface._options import DEFAULT_DETECTOR
from tritonface._served import detectors

PROBE_PHOTO = Path(__file__).with_name("probe.jpg")
"""A small portrait."""
NOT_READY = "not ready"


@dataclass(frozen=True)
class ModelHealth:
    """One model.

    Attributes:
        reason: why it cannot do its work; None if it can.
        faces, milliseconds: what the probe has found in which time; None where it was not sent.
    """

    name: str
    reason: str | None = None
    faces: int | None = None
    milliseconds: float | None = None

    @property
    def good(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Health:
    """A server.

    Attributes:
        ready: it says so, or it was not asked, as single models were.
        models: detectors that were asked for, else all, and any other model that is not ready; empty where the server
            lists them to holders of its key only.
    """

    ready: bool
    models: tuple[ModelHealth, ...]

    @property
    def good(self) -> bool:
        return self.ready and all(model.good for model in self.models)


async def check(client: Client, names: Sequence[str], photo: bytes | None, timeout_s: float) -> Health:
    """The server's health, or that of the detectors `names` if there are any; with a photo they have to find a face in.

    Raises:
        ServerUnavailableError: nobody answers.
    """
    ready = bool(names) or await client.is_ready(timeout_s)
    if not names:
        try:
            found = [served.name for served in await detectors(client, timeout_s)]
            others = [_unable(model) for model in await client.models(timeout_s) if _is_missing(model, ready)]
        except ServerUnavailableError:
            raise
        except TritonFaceError:  # it does not list them to callers without its key
            found, others = [DEFAULT_DETECTOR] if photo is not None else [], []
    else:
        found, others = list(names), []
    checked = [await _check_model(client, name, photo, timeout_s) for name in found]
    return Health(ready, (*checked, *others))


def _is_missing(model: dict[str, str], ready: bool) -> bool:
    """Whether a model is not ready that should be: one that a ready server need not load has no state."""
    state = model.get("state")
    return state != "READY" and not (ready and not state and not model.get("reason"))


def _unable(model: dict[str, str]) -> ModelHealth:
    return ModelHealth(model["name"], model.get("reason") or NOT_READY)


async def _check_model(client: Client, name: str, photo: bytes | None, timeout_s: float) -> ModelHealth:
    health = ModelHealth(name)
    if not await client.is_model_ready(name, timeout_s):
        return replace(health, reason=NOT_READY)
    if photo is None:
        return health
    began = time.perf_counter()
    try:
        [count] = await client.infer(name, photo, {}, ("num_detections",), "probe", timeout_s)
    except TritonFaceError as error:
        return replace(health, reason=str(error))
    milliseconds, faces = 1e3 * (time.perf_counter() - began), int(count[0, 0])
    reason = None if faces else "finds no face in the photo"
    return replace(health, reason=reason, faces=faces, milliseconds=milliseconds)


def lines(health: Health) -> Iterator[str]:
    """Each model on a line."""
    width = max((len(model.name) for model in health.models), default=0)
    for model in health.models:
        probed = ""
        if model.faces is not None:
            probed = f", {model.faces} {'face' if model.faces == 1 else 'faces'} in {model.milliseconds:.0f} ms"
        yield f"  {model.name:<{width}}  {model.reason or 'ready'}{probed if model.good else ''}"
