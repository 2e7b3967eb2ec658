"""`make web`: the page of `tritonface web`, with a server unless one is there already; Ctrl-C ends both."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

LOG = Path("output/web/server.log")
END_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.2


def main() -> int:
    """Run both until one of them ends; the exit code is that one's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tritonface", required=True, metavar="PROGRAM", help="the command, where the page is installed"
    )
    parser.add_argument("--host", required=True, help="of the server")
    parser.add_argument("--grpc-port", required=True, type=int)
    parser.add_argument("--port", required=True, help="of the page")
    parser.add_argument("server", nargs="+", help="the command that starts a server")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
    os.environ.setdefault("TRITONFACE_KEY", secrets.token_urlsafe(32))  # the server's lists, for the page alone
    url = f"{options.host}:{options.grpc_port}"
    page = [options.tritonface, "web", "--url", url, "--port", options.port]
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        programs = [stack.enter_context(_running(page))]
        if _answers(options.host, options.grpc_port):
            print(f"the page uses the server at {url}", flush=True)
        else:
            LOG.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(LOG.open("wb"))
            programs.append(stack.enter_context(_running(options.server, log)))
            print(f"starting a server at {url}; its log is {LOG}", flush=True)
        while all(program.poll() is None for program in programs):
            time.sleep(POLL_INTERVAL_S)
        if programs[0].poll() is None:
            print(f"error: the server has ended; {LOG} says why", file=sys.stderr)
        return next(code for program in programs if (code := program.poll()) is not None)
    return 0


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


@contextmanager
def _running(command: Sequence[str], output: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is told once to end, and waited for; Ctrl-C on the terminal does not reach it."""
    with subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True) as program:
        try:
            yield program
        finally:
            program.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                program.wait(END_TIMEOUT_S)
            program.kill()


if __name__ == "__main__":
    sys.exit(main())
