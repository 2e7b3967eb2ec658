"""The command `tritonface-server`: serve, publish, repository, tensorrt.

Commands import what they need when they run: `tensorrt` has to do with the standard library in NVIDIA's container.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tritonface_server.endpoints import LOOPBACK, Endpoints
from tritonface_server.errors import CommandError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The command line; `run` of what it parses is a function of it that returns the exit code."""
    parser = argparse.ArgumentParser(prog="tritonface-server", description="Serve face detectors with NVIDIA Triton.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    repository = argparse.ArgumentParser(add_help=False)
    repository.add_argument(
        "--model-repository",
        type=Path,
        default=Path("model_repository"),
        metavar="DIR",
        help="folder with a folder for each model (default: %(default)s)",
    )
    shared = [repository]
    _add_serve(commands.add_parser("serve", parents=shared, help="serve a model repository until Ctrl-C"))
    _add_publish(commands.add_parser("publish", help="serve an exported detector under a name of its own"), shared)
    _add_repository(commands.add_parser("repository", parents=shared, help="write the configurations of a repository"))
    _add_tensorrt(commands.add_parser("tensorrt", help="build and check TensorRT engines"), shared)
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    ends = Endpoints()
    parser.set_defaults(run=_serve)
    parser.add_argument("--host", default=ends.host, help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--http-port", type=int, default=ends.http_port, metavar="N", help="default: %(default)s")
    parser.add_argument("--grpc-port", type=int, default=ends.grpc_port, metavar="N", help="default: %(default)s")
    parser.add_argument("--metrics-port", type=int, default=ends.metrics_port, metavar="N", help="default: %(default)s")
    parser.add_argument("--cpus", type=_positive, metavar="N", help="default: those this process may use")
    control = parser.add_mutually_exclusive_group()
    control.add_argument("--watch", action="store_true", help="serve what is published into the repository meanwhile")
    control.add_argument(
        "--model-control",
        choices=["none", "explicit"],
        default="none",
        help="explicit: clients without the key may load models, code included; on a loopback address only "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="holds the key to the APIs that change the server (default: the variable TRITONFACE_KEY_FILE or "
        "TRITONFACE_KEY, else a random key that only this command knows)",
    )
    parser.add_argument(
        "--trace-to", metavar="URL", help="OpenTelemetry collector for requests with a traceparent (default: none)"
    )
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="further arguments for tritonserver")


def _add_publish(parser: argparse.ArgumentParser, shared: list[argparse.ArgumentParser]) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=shared, help="serve an exported folder under a name")
    add.set_defaults(run=_publish_add)
    add.add_argument("folder", type=Path, metavar="FOLDER", help="holds model.onnx and inference.yml")
    add.add_argument("name", metavar="NAME")
    undo = actions.add_parser("undo", parents=shared, help="take back the last publication of a name")
    undo.set_defaults(run=_publish_undo)
    undo.add_argument("name", metavar="NAME")
    actions.add_parser("list", parents=shared, help="the published names").set_defaults(run=_publish_list)


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_repository)
    parser.add_argument("detectors", nargs="*", metavar="DETECTOR", help="default: all that have a network there")
    parser.add_argument(
        "--exported", type=Path, metavar="FOLDER", help="take in an exported folder, under its own name"
    )
    parser.add_argument(
        "--scaled-decoding",
        action=argparse.BooleanOptionalAction,
        help="decode large JPEGs at 1/2, 1/4 or 1/8 (default: as it is set there)",
    )


def _add_tensorrt(parser: argparse.ArgumentParser, shared: list[argparse.ArgumentParser]) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", parents=shared, help="build engines on this GPU (in NVIDIA's container)")
    build.set_defaults(run=_tensorrt_build)
    check = actions.add_parser("check", parents=shared, help="refuse engines that were built elsewhere")
    check.set_defaults(run=_tensorrt_check)
    for action in (build, check):
        action.add_argument(
            "--detector", action="append", metavar="NAME", help="may be repeated (default: all with a network there)"
        )


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    from tritonface_server.access import Access, find_key
    from tritonface_server.serve import serve
    from tritonface_server.server import TritonServer
    from tritonface_server.tracing import trace_arguments

    explicit = options.model_control == "explicit"
    if explicit and not LOOPBACK.fullmatch(options.host):
        raise CommandError(
            f"--model-control explicit lets every client run code here, so not with --host {options.host}; clients "
            "that have the server's key (--key-file) need it not"
        )
    ends = Endpoints(options.host, options.http_port, options.grpc_port, options.metrics_port)
    key = find_key(options.key_file, os.environ)
    access = Access(open_apis=("model-repository",) if explicit else (), **({"key": key} if key else {}))
    arguments, cpus = (*trace_arguments(options.trace_to), *options.arguments), options.cpus
    server = TritonServer(options.model_repository, ends, arguments=arguments, cpus=cpus, access=access, partial=True)
    return serve(server, watch=options.watch)


def _publish_add(options: argparse.Namespace) -> int:
    from tritonface_server.publish import publish

    print("published:", *publish(options.folder, options.name, options.model_repository))
    return 0


def _publish_undo(options: argparse.Namespace) -> int:
    from tritonface_server.publish import undo

    restored = undo(options.name, options.model_repository)
    print(f"taken back: {options.name}" + ("; the one before is served again" if restored else ""))
    return 0


def _publish_list(options: argparse.Namespace) -> int:
    from tritonface_server.publish import published

    for name in published(options.model_repository):
        print(name)
    return 0


def _repository(options: argparse.Namespace) -> int:
    from tritonface_server.repository import rebuild, take_in

    if options.exported:
        folders = take_in(options.exported, options.model_repository, options.scaled_decoding)
    else:
        folders = rebuild(options.model_repository, options.detectors, options.scaled_decoding)
    print(*folders, sep="\n")
    return 0


def _tensorrt_build(options: argparse.Namespace) -> int:
    from tritonface_server.tensorrt import build, chosen

    for name in chosen(options.detector, options.model_repository):
        print(build(name, options.model_repository), flush=True)
    return 0


def _tensorrt_check(options: argparse.Namespace) -> int:
    from tritonface_server.tensorrt import check, chosen

    for name in chosen(options.detector, options.model_repository):
        print(check(name, options.model_repository), flush=True)
    return 0
