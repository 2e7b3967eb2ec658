"""Notices when the process of a model has died, and has that model loaded anew while the others serve on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tritonface_server.backoff import MAX_FAILURES, Backoff
from tritonface_server.control import READY, Control, ControlError, State
from tritonface_server.sent_models import Copy, SentModels
from tritonface_server.stubs import GONE, STOPPED, Stub, find_stubs

RESCAN_INTERVAL_S = 2.0
ALIKE = 2
"""So many scans in a row met the processes that there are now: another would find nothing new. Not one, as a new
process becomes a stub only a moment later."""
PAUSE_S = 0.5
"""Between looks for what is stopped or due; the end of a process is told at once."""
STOPPED_PAUSE_S = 0.1
STOPPED_S = 0.2
"""Triton gives a process up that has been stopped for a second, and aborts when that goes on afterwards."""
TOGETHER_S = 0.1
"""Processes of one model that are killed together do not end at the same moment; the last decides how it is loaded."""
GRACE_S = 10.0
"""For requests in the other processes of a model that was loaded anew; one that is still there then is ended."""
DIED = "its process has died"
UNHEALTHY = "is not healthy"
"""Part of Triton's reason when the process of a model has died while it was loaded."""
MARK = "launcher_reload"
"""A parameter that makes a configuration differ, for Triton would not load the same one again."""


@dataclass
class Trouble:
    """A model whose process has died, when to load it again, and what it was if it has to be sent again."""

    backoff: Backoff = field(default_factory=Backoff)
    retry_at_s: float | None = None
    copy: Copy | None = None


class Supervisor:
    """Looks after the models of one running server.

    Args:
        server_pid: of tritonserver.
        control: of the same server.
        sent_models: of the same server.
        backends: names of the backends whose models run in processes of their own.
        models: those that are to be served.
        say: takes a line for the user.
    """

    def __init__(
        self,
        server_pid: int,
        control: Control,
        sent_models: SentModels,
        backends: set[str],
        models: Collection[str],
        say: Callable[[str], None],
    ) -> None:
        self._server_pid = server_pid
        self._control = control
        self._sent_models = sent_models
        self._backends = backends
        self._models = models
        self._say = say
        self._stubs: dict[int, Stub] = {}
        self._gone: set[int] = set()  # of these, at the last look
        self._stopped_since_s: dict[int, float] = {}
        self._retired: dict[int, float] = {}  # processes of models loaded anew, and when to end them
        self._scanned_at_s = float("-inf")
        self._pids: deque[list[int]] = deque(maxlen=ALIKE)  # of the whole machine, when it was scanned
        self._troubles: dict[str, Trouble] = {}
        self._ensembles: set[str] = set()
        self.given_up: dict[str, str] = {}
        """Models that are not served any more, and why."""

    def take_over(self) -> None:
        """The server has just started: what it could not load is retried if its process died, and left out else."""
        for model, state in self._control.states().items():
            if state.name == READY:
                if self._control.config(model).get("platform") == "ensemble":
                    self._ensembles.add(model)
            elif UNHEALTHY in state.reason:
                self._failed(model, state.reason)
            elif state.reason:
                self.given_up[model] = state.reason
            elif model in self._models and state == State():  # an ensemble, left out because a model of it is missing
                self._ensembles.add(model)
        self.look()

    @property
    def watched(self) -> Collection[int]:
        """The processes whose end is to be followed by a look at once.

        Not one that has ended: where the server does not answer, the look after that could do nothing about it.
        """
        return self._stubs.keys() - self._gone

    @property
    def pause_s(self) -> float:
        """Until the next look."""
        return STOPPED_PAUSE_S if self._stopped_since_s else PAUSE_S

    def missing(self) -> list[str]:
        """Models that are not served now: given up, or to be loaded anew."""
        return [*self.given_up, *(model for model, it in self._troubles.items() if it.retry_at_s is not None)]

    def look(self) -> None:
        """Notice what has changed, and load what is due.

        Raises:
            ControlError: the server does not answer; the next look notices the same again.
        """
        now_s = time.monotonic()
        states = {pid: stub.state() for pid, stub in self._stubs.items()}
        self._end_stopped({pid for pid, state in states.items() if state in STOPPED}, now_s)
        self._end_retired(now_s)
        self._gone = {pid for pid, state in states.items() if state in GONE}
        died = {self._stubs[pid].model for pid in self._gone}
        if any(stub.model in died and pid not in self._gone for pid, stub in self._stubs.items()):
            time.sleep(TOGETHER_S)
        if died or now_s - self._scanned_at_s >= RESCAN_INTERVAL_S:
            self._scanned_at_s = now_s
            pids = psutil.pids()
            if died or self._pids.count(pids) < ALIKE:
                self._scan()
                self._pids.append(pids)
        due = [name for name, it in self._troubles.items() if it.retry_at_s is not None and it.retry_at_s <= now_s]
        if due:
            loads = [threading.Thread(target=self._load, args=(model,), daemon=True) for model in due]
            for load in loads:
                load.start()
            for load in loads:
                load.join()  # Ctrl-C ends this wait, and not only when the model is loaded
            self._load_ensembles()
            self._scanned_at_s = float("-inf")

    def serves(self) -> bool:
        """Whether there is still something for clients: an ensemble, or any model where there never was one."""
        ready = {model for model, state in self._control.states().items() if state.name == READY}
        waiting = any(trouble.retry_at_s is not None for trouble in self._troubles.values())
        return waiting or bool(ready & self._ensembles if self._ensembles else ready)

    def _scan(self) -> None:
        stubs = {stub.pid: stub for stub in find_stubs(self._server_pid) if stub.pid not in self._retired}
        if stubs != self._stubs:
            states = self._control.states()
            ready = [model for model, state in states.items() if state.name == READY]
            ready += self._sent_models.look(stubs.values(), states)
            wanted = {model: self._processes(model) for model in ready}
            self._stubs = stubs
            living = Counter(stub.model for stub in stubs.values())
            for model, count in wanted.items():
                trouble = self._troubles.setdefault(model, Trouble())
                if living[model] < count and trouble.retry_at_s is None:
                    self._failed(model, DIED)

    def _processes(self, model: str) -> int:
        """How many processes a loaded model has by its configuration."""
        config = self._control.config(model)
        has_own = config.get("backend") in self._backends
        return sum(group["count"] for group in config["instance_group"]) if has_own else 0

    def _living(self, model: str) -> list[Stub]:
        return [stub for stub in self._stubs.values() if stub.model == model]

    def _failed(self, model: str, reason: str) -> None:
        now_s = time.monotonic()
        trouble = self._troubles.setdefault(model, Trouble())
        delay_s = trouble.backoff.failed(now_s)
        if delay_s is None:
            trouble.retry_at_s = trouble.copy = None
            self.given_up[model] = reason
            self._say(f"giving up on {model} after {MAX_FAILURES} failures in a row: {reason}")
        else:
            trouble.retry_at_s = now_s + delay_s
            trouble.copy = trouble.copy or self._sent_models.copy(model)
            self._say(f"{model}: {reason}; loading it anew{f' in {delay_s:g} s' if delay_s else ''} ...")
        if not self._living(model):  # readiness tells, and requests are refused at once
            with suppress(ControlError):
                self._control.unload(model)

    def _load(self, model: str) -> None:
        """Load a model whose process has died; beside itself where another of its processes still serves."""
        trouble, before = self._troubles[model], self._living(model)
        began_s, copy = time.monotonic(), trouble.copy
        try:
            config = self._changed_config(model) if before else copy.config if copy else None
            self._control.load(model, config, copy.files if copy else None)
        except ControlError as error:
            self._failed(model, str(error))
            return
        now_s = time.monotonic()
        self._retired |= {stub.pid: now_s + GRACE_S for stub in before}
        trouble.retry_at_s = trouble.copy = None
        trouble.backoff.started(now_s)
        self._say(f"{model} is back after {now_s - began_s:.1f} s")

    def _changed_config(self, model: str) -> dict[str, Any]:
        config = self._control.config(model)
        parameters = {**config.get("parameters", {}), MARK: {"string_value": str(time.monotonic_ns())}}
        return {**config, "parameters": parameters}

    def _load_ensembles(self) -> None:
        """Load what was left out at the start because one of its models was missing."""
        for model, state in self._control.states().items():
            if state == State() and model in self._models:
                with suppress(ControlError):
                    self._control.load(model)
                    self._ensembles.add(model)

    def _end_stopped(self, stopped: set[int], now_s: float) -> None:
        self._stopped_since_s = {pid: self._stopped_since_s.get(pid, now_s) for pid in stopped}
        for pid, since_s in self._stopped_since_s.items():
            if now_s - since_s >= STOPPED_S:
                self._say(f"a process of {self._stubs[pid].model} was stopped; ending it ...")
                _kill(pid)

    def _end_retired(self, now_s: float) -> None:
        for pid, end_s in list(self._retired.items()):
            if now_s >= end_s:
                _kill(pid)
                del self._retired[pid]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
