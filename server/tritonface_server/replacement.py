"""Has Triton replace the processes of a model that has dead ones, so that what waits in its queue is answered, too."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tritonface_server.control import Control, ControlError

MARK = "launcher_reload"
"""A parameter that makes a configuration differ, for Triton would not load the same one again."""


class Replacement:
    """The models of one running server.

    Triton gives requests to dead processes as well, and notices only a second later, each time. Loaded anew, a model
    has a new queue, but of what waited in the old one each dead process fails one request a second. So the old one gets
    living processes first, which take what waits off it; then the model is loaded anew and the old one goes. Triton
    adds processes where nothing but `instance_group` differs from the configuration that it has, and no file of the
    model is newer; else it loads the whole model, which does as well, but for what waits.

    Args:
        written: the configuration of a model as it stands in the repository; None for what clients have sent.
    """

    def __init__(self, control: Control, written: Callable[[str], dict[str, Any] | None]) -> None:
        self._control = control
        self._written = written
        self._numbers = itertools.count(1)
        self._marks: dict[str, str] = {}  # of models that were loaded anew
        self._helped: set[str] = set()
        self._renewing: dict[str, threading.Thread] = {}

    def add(self, model: str) -> None:
        """Start new processes of a loaded model, beside those that it has, and return when they serve.

        Raises:
            ControlError: they do not.
        """
        present = self._control.config(model)
        config = self._marked(model, present)
        number = next(self._numbers)  # the priority makes it another group, and has no effect without a rate limiter
        other = {"name": f"{model}_{number}", "rate_limiter": {"priority": number}}
        groups = [{**group, **other} for group in config["instance_group"]]
        self._control.load(model, {**config, "instance_group": [*present["instance_group"], *groups]})
        self._helped.add(model)

    def renew(self, model: str) -> None:
        """Load anew, in the background, a model that was helped by `add`; nothing for others."""
        if model in self._helped:
            self._helped.remove(model)
            self._marks[model] = str(time.monotonic_ns())
            self._renewing[model] = threading.Thread(target=self._renew, args=[model], daemon=True)
            self._renewing[model].start()

    def is_renewing(self, model: str) -> bool:
        """Whether there are more processes than the configuration says, for a while."""
        return model in self._renewing

    def renewed(self) -> list[str]:
        """Models that were loaded anew since this was asked for the last time."""
        ended = [model for model, thread in self._renewing.items() if not thread.is_alive()]
        for model in ended:
            del self._renewing[model]
        return ended

    def _renew(self, model: str) -> None:
        with suppress(ControlError):  # then processes are missing, which the next look notices
            self._control.load(model, self._marked(model, self._control.config(model)))

    def _marked(self, model: str, present: dict[str, Any]) -> dict[str, Any]:
        """The configuration with which a model is to be loaded."""
        config = self._written(model) or present
        if model not in self._marks:
            return config
        return {**config, "parameters": {**config.get("parameters", {}), MARK: {"string_value": self._marks[model]}}}
