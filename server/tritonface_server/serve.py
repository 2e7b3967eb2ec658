"""Serves a model repository in the foreground until Ctrl-C.

python -m tritonface_server.serve [--model-repository DIR] [--host HOST] [--http-port N] [--grpc-port N]
                        [--metrics-port N] [--cpus N] [--watch | --model-control explicit] [-- ARGUMENT ...]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tritonface_server.detectors import DETECTORS
from tritonface_server.machine import LaunchError
from tritonface_server.repository import MODEL_REPOSITORY
from tritonface_server.server import EXPLICIT, LOOPBACK, WATCH, Endpoints, TritonServer

CHECK_INTERVAL_S = 1.0


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def missing(server: TritonServer) -> str:
    """A line on the detectors of the table that the repository lacks; empty if it has them all."""
    absent = [name for name in DETECTORS if not (server.model_repository / name).is_dir()]
    if not absent:
        return ""
    return f"\nnot served, for want of weights: {', '.join(absent)}; `make official-weights` gets the published ones"


def run(server: TritonServer) -> int:
    """Serve until the server ends by itself; start it anew when the process of a model has died."""
    while True:
        server.start()
        server.wait_until_ready()
        ends = server.endpoints
        print(f"ready: gRPC on {ends.grpc}, HTTP on {ends.http}; Ctrl-C drains and stops{missing(server)}", flush=True)
        while not server.has_lost_a_model():
            code = server.exit_code(within_s=CHECK_INTERVAL_S)
            if code is not None:
                return code
        print("the process of a model has died; starting the server anew ...", file=sys.stderr, flush=True)
        server.stop()


def main() -> int:
    """The command line; returns the exit code."""
    ends = Endpoints()
    parser = argparse.ArgumentParser(prog="python -m tritonface_server.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--model-repository", type=Path, default=MODEL_REPOSITORY, metavar="DIR")
    parser.add_argument("--host", default=ends.host, help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--http-port", type=int, default=ends.http_port, help="default: %(default)s")
    parser.add_argument("--grpc-port", type=int, default=ends.grpc_port, help="default: %(default)s")
    parser.add_argument("--metrics-port", type=int, default=ends.metrics_port, help="default: %(default)s")
    parser.add_argument("--cpus", type=_positive, metavar="N", help="default: those this process may use")
    control = parser.add_mutually_exclusive_group()
    control.add_argument("--watch", action="store_true", help="serve what is published into the repository meanwhile")
    control.add_argument(
        "--model-control",
        choices=["none", "explicit"],
        default="none",
        help="explicit: clients may load models, code included; on a loopback address only (default: %(default)s)",
    )
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="further arguments for tritonserver")
    options = parser.parse_args()
    ends = Endpoints(options.host, options.http_port, options.grpc_port, options.metrics_port)
    explicit = options.model_control == "explicit"
    if explicit and not LOOPBACK.fullmatch(options.host):
        parser.error(
            f"--model-control explicit lets every client run code here, so not with --host {options.host}; if all that "
            f"reach it are trusted: -- {' '.join(EXPLICIT)}"
        )
    arguments = (*(WATCH if options.watch else EXPLICIT if explicit else ()), *options.arguments)
    server = TritonServer(options.model_repository, ends, arguments=arguments, cpus=options.cpus)
    for signum in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job starts with it ignored
        signal.signal(signum, _interrupt)
    try:
        return run(server)
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("draining ...", flush=True)
        return 0
    finally:
        code = server.stop()
        if code:
            print(f"tritonserver ended with code {code}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
