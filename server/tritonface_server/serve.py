"""Serves in the foreground until Ctrl-C."""

from __future__ import annotations

import signal
import sys

from tritonface_server.server import TritonServer

CHECK_INTERVAL_S = 1.0


def serve(server: TritonServer) -> int:
    """Serve until Ctrl-C, SIGTERM or the server's own end; returns the exit code.

    Raises:
        LaunchError: it cannot start.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job starts with it ignored
        signal.signal(signum, _interrupt)
    try:
        return _keep_alive(server)
    except KeyboardInterrupt:
        print("draining ...", flush=True)
        return 0
    finally:
        code = server.stop()
        if code:
            print(f"tritonserver ended with code {code}", file=sys.stderr)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _keep_alive(server: TritonServer) -> int:
    """Serve until the server ends by itself; start it anew when the process of a model has died."""
    while True:
        server.start()
        server.wait_until_ready()
        ends = server.endpoints
        print(f"ready: gRPC on {ends.grpc}, HTTP on {ends.http}; Ctrl-C drains and stops", flush=True)
        while not server.has_lost_a_model():
            code = server.exit_code(within_s=CHECK_INTERVAL_S)
            if code is not None:
                return code
        print("the process of a model has died; starting the server anew ...", file=sys.stderr, flush=True)
        server.stop()
