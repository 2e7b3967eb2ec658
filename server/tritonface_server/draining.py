"""Draining: models refuse what is new at once, and answer what they have taken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tritonface_server.control import BUSY, READY, Control, ControlError, State
from tritonface_server.stubs import Stub

INTERVAL_S = 0.05


class Draining:
    """Unloads the ensembles, then the rest: each refuses requests at once and goes when it has answered its own.

    Triton's own draining covers single models only: a request inside an ensemble fails at its next step.

    Args:
        find_stubs: finds the living processes of the server's models.
        has_ended: whether the server ends within so many seconds.
        deadline_s: when to give up, of the monotonic clock.
    """

    def __init__(
        self,
        control: Control,
        find_stubs: Callable[[], list[Stub]],
        has_ended: Callable[[float], bool],
        deadline_s: float,
    ) -> None:
        self._control = control
        self._find_stubs = find_stubs
        self._has_ended = has_ended
        self._deadline_s = deadline_s

    def run(self) -> bool:
        """Whether everything is answered or the time is over; False if the server does not answer."""
        try:
            loaded = self._control.loaded()
            ensembles = [model for model in loaded if self._in_time() and self._is_ensemble(model)]
            for models in (ensembles, [model for model in loaded if model not in ensembles]):
                self._unload(models)
            sent = set(loaded) - self._control.states().keys()  # by clients; Triton removes their files after the end
        except ControlError:  # it is still starting, or hangs
            return False
        while self._in_time() and any(stub.model in sent for stub in self._find_stubs()):
            time.sleep(INTERVAL_S)
        return True

    def _unload(self, models: list[str]) -> None:
        before = self._living()
        for model in models:
            if self._in_time():
                self._control.unload(model)
        while self._in_time() and not self._has_ended(INTERVAL_S):
            states, living = self._control.states(), self._living()
            busy = [model for model in models if states.get(model, State()).name in (READY, *BUSY)]
            # Triton ends the first process of a model when all its requests are answered, and then needs more than a
            # second for each.
            if all(living[model] < before[model] for model in busy):
                break

    def _living(self) -> Counter[str]:
        return Counter(stub.model for stub in self._find_stubs())

    def _is_ensemble(self, model: str) -> bool:
        return bool(self._control.config(model).get("platform") == "ensemble")

    def _in_time(self) -> bool:
        return time.monotonic() < self._deadline_s
