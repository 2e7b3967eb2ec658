"""Serves in the foreground until Ctrl-C: starts tritonserver, keeps its models alive, starts it anew if it dies."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

from tritonface_server.backoff import MAX_FAILURES, Backoff
from tritonface_server.control import ControlError
from tritonface_server.last_resort import end_after_signal
from tritonface_server.machine import LaunchError
from tritonface_server.parent import adopt_orphans
from tritonface_server.pulse import pulse
from tritonface_server.say import fill_standard_streams, say, warn
from tritonface_server.sent_models import SentModels
from tritonface_server.server import DRAIN_TIMEOUT_S, TritonServer
from tritonface_server.supervisor import Supervisor
from tritonface_server.watcher import Watcher

END_TIMEOUT_S = DRAIN_TIMEOUT_S + 12
"""From the first signal to the end, whatever hangs: the draining, and what is killed and tidied up after it."""


class GivenUpError(LaunchError):
    """Nothing is served any more and starting anew does not help."""


def serve(server: TritonServer, watch: bool = False) -> int:
    """Serve until Ctrl-C, SIGTERM or the server's own end; returns the exit code.

    Args:
        watch: whether to serve what is published into the repository meanwhile.

    Raises:
        LaunchError: it cannot start, or has died too often.
    """
    fill_standard_streams()
    adopt_orphans()
    for signum in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job starts with it ignored
        signal.signal(signum, _interrupt)
    end_after_signal(END_TIMEOUT_S, server.kill)
    return Service(server, watch).run()


class Service:
    """One server over its restarts."""

    def __init__(self, server: TritonServer, watch: bool) -> None:
        self._server = server
        self._watch = watch
        self._backoff = Backoff(endless=True)
        self._supervisor: Supervisor | None = None

    def run(self) -> int:
        """Serve; see `serve`."""
        patience_s = DRAIN_TIMEOUT_S
        try:
            try:
                while (code := self._serve_once()) != 0:
                    self._wait_to_start_anew(f"tritonserver has died, exit code {code}")
                return 0
            except KeyboardInterrupt:
                say("draining ...; again to stop at once")
                self._server.stop()
        except KeyboardInterrupt:  # again, and wherever the first one was being seen to
            patience_s = 0.0
        finally:
            self._server.stop(patience_s)
        return 1 if self._supervisor and self._supervisor.given_up else 0

    def _serve_once(self) -> int:
        """Start the server and look after it until it ends; returns its exit code."""
        server, self._supervisor, watcher = self._server, None, None
        server.start()
        if server.warning:
            warn(server.warning)
        try:
            server.wait_until_ready()
        except LaunchError:
            code = server.exit_code(within_s=0)
            if code is None or code >= 0:
                raise
            return code
        self._backoff.started(time.monotonic())
        assert server.process is not None
        control, sent_models = server.control, SentModels(server.control, server.folder)
        models = server.chosen_models()
        self._supervisor = Supervisor(server.process.pid, control, sent_models, server.backends, models, warn)
        with suppress(ControlError):
            self._supervisor.take_over()
        if self._watch:
            watcher = Watcher(server.repositories.folders, server.control, server.folder, say)
        self._announce(self._supervisor)
        with pulse(server.control, server.kill):
            while (ended := server.exit_code(self._supervisor.pause_s, self._supervisor.watched)) is None:
                with suppress(ControlError):  # it does not answer; if it has died, the next look at its process tells
                    self._supervisor.look()
                    if watcher:
                        watcher.look()
                    if self._supervisor.given_up and not self._supervisor.serves():
                        raise GivenUpError("no detector is served any more; the lines above say why")
        if watcher:
            server.also_serve(watcher.came)
        return ended

    def _announce(self, supervisor: Supervisor) -> None:
        for model, reason in supervisor.given_up.items():
            warn(f"not served: {model}: {reason}")
        ends, missing = self._server.endpoints, supervisor.missing()
        but = f", but for {', '.join(missing)}" if missing else ""
        say(f"ready{but}: gRPC on {ends.grpc}, HTTP on {ends.http}; Ctrl-C drains and stops")

    def _wait_to_start_anew(self, reason: str) -> None:
        delay_s = self._backoff.failed(time.monotonic())
        self._server.stop()
        if delay_s is None:
            raise GivenUpError(f"giving up after {MAX_FAILURES} failures in a row: {reason}")
        warn(f"{reason}; starting it anew{f' in {delay_s:g} s' if delay_s else ''} ...")
        time.sleep(delay_s)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
