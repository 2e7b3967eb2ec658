"""What the launcher asks of a running server, over HTTP and with its key."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 5.0
LOAD_TIMEOUT_S = 120.0
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
READY = "READY"
BUSY = ("LOADING", "UNLOADING")

EMPTY_MODEL = b"class TritonPythonModel:\n    def execute(self, requests):\n        return [None for _ in requests]\n"
EMPTY = {
    "backend": "python",
    "input": [{"name": "none", "data_type": "TYPE_BOOL", "dims": [1]}],
    "output": [{"name": "nothing", "data_type": "TYPE_BOOL", "dims": [1]}],
    "instance_group": [{"kind": "KIND_CPU"}],
}


class ControlError(Exception):
    """The server did not do what was asked; the message says why, in one line."""


@dataclass(frozen=True)
class State:
    """What the server says of a model: "READY", "LOADING", "UNLOADING", "UNAVAILABLE" or "", and why."""

    name: str = ""
    reason: str = ""


class Control:
    """Calls of the model repository API; each raises ControlError if it fails.

    Args:
        address: "host:port" of the HTTP endpoint.
        headers: what opens the restricted APIs.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self.address = address
        self._headers = dict(headers)

    def is_live(self) -> bool:
        """Whether the server answers: then the models it was told to load are loaded, or have failed."""
        return self._answers("v2/health/live")

    def is_ready(self) -> bool:
        """Whether all models are loaded."""
        return self._answers("v2/health/ready")

    def states(self) -> dict[str, State]:
        """Every model of the repository; the best of its versions."""
        found: dict[str, State] = {}
        for entry in self._call("v2/repository/index", {}):
            state = State(entry.get("state", ""), one_line(entry.get("reason", "")))
            if found.get(entry["name"], State()).name != READY:
                found[entry["name"]] = state
        return found

    def loaded(self) -> list[str]:
        """Every model that answers; also those that clients have sent, which `states` does not know."""
        return sorted({model["name"] for model in self._call("v2/models/stats")["model_stats"]})

    def config(self, model: str) -> dict[str, Any]:
        """The configuration of a loaded model."""
        return self._call(f"v2/models/{urllib.parse.quote(model)}/config")

    def load(
        self, model: str, config: Mapping[str, Any] | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Load a model; with a configuration that differs from the present one, it is loaded anew beside itself.

        Args:
            files: of a model that is not in the repository, by their paths in its folder.
        """
        parameters: dict[str, Any] = {"config": json.dumps(config)} if config else {}
        parameters |= {f"file:{path}": base64.b64encode(content).decode() for path, content in (files or {}).items()}
        body = {"parameters": parameters} if parameters else {}
        self._call(f"v2/repository/models/{urllib.parse.quote(model)}/load", body, LOAD_TIMEOUT_S)

    def forget(self, model: str) -> None:
        """Let readiness forget a model that could not be loaded and has gone, which Triton 2.51 does not by itself.

        What was loaded and unloaded does not count, so an empty model is, under that name.
        """
        self.load(model, EMPTY, {"1/model.py": EMPTY_MODEL})
        self.unload(model)

    def unload(self, model: str) -> None:
        """Have the model refuse requests from now on; it is gone when it has answered those it has taken."""
        self._call(f"v2/repository/models/{urllib.parse.quote(model)}/unload", {})

    def _answers(self, path: str) -> bool:
        try:
            self._call(path)
        except ControlError:
            return False
        return True

    def _call(self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}/{path}", data, self._headers)
        try:
            with NO_PROXY.open(request, timeout=timeout_s) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise ControlError(_reason(error)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ControlError(f"{path} of {self.address} did not answer: {error}") from None


def one_line(reason: str) -> str:
    """The first line of what Triton reports, without the prefix of its status."""
    return next(iter(reason.strip().splitlines()), "").removeprefix("Internal: ").rstrip(" ;.")


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text or f"HTTP status {error.code}"
    return one_line(text)
