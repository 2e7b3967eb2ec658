"""The command `tritonface-server`: serve, publish, repository, tensorrt.

Commands import what they need when they run: `tensorrt` has to do with the standard library in NVIDIA's container.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonface_server.endpoints import LOOPBACK, Endpoints
from tritonface_server.errors import CommandError

if TYPE_CHECKING:
    from tritonface_server.access import Certificates

DEFAULT_REPOSITORY = ["model_repository"]
LACKS = (
    "other machines can reach this server: Triton 2.51 (24.10) lacks what 25.07 mends, CVE-2025-23310 and -23311 "
    "(chunked HTTP), -23319, -23320 and -23334 (shared memory of its Python backend); let trusted clients or a gateway "
    "reach it only"
)


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
        default=Path(*DEFAULT_REPOSITORY),
        metavar="DIR",
        help="folder with a folder for each model (default: %(default)s)",
    )
    repositories = argparse.ArgumentParser(add_help=False)
    repositories.add_argument(
        "--model-repository",
        action="append",
        metavar="DIR",
        help="folder with a folder for each model; may be repeated: the last one takes what is published (default: "
        "model_repository)",
    )
    shared, several = [repository], [repositories]
    _add_serve(commands.add_parser("serve", parents=several, help="serve model repositories until Ctrl-C"))
    _add_publish(commands.add_parser("publish", help="serve an exported detector under a name of its own"), several)
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
    parser.add_argument(
        "--detectors",
        type=_names,
        metavar="A,B",
        help="load these alone, and their networks at once (default: all, each network when it is first asked for)",
    )
    tls = parser.add_argument_group("encryption of gRPC; PEM files")
    tls.add_argument("--tls-cert", type=Path, metavar="FILE", help="the server's certificate")
    tls.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")
    tls.add_argument("--tls-ca", type=Path, metavar="FILE", help="who signs clients' certificates: they need one then")
    tls.add_argument("--insecure", action="store_true", help="let other machines in without it, and over HTTP")
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
        help="decode large JPEGs at 1/2, 1/4 or 1/8 (default: as it is set there, which is yes at first)",
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


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names, such as A,B")
    return names


def _serve(options: argparse.Namespace) -> int:
    from tritonface_server.access import Access, find_key
    from tritonface_server.repositories import Repositories, place
    from tritonface_server.say import warn
    from tritonface_server.serve import serve
    from tritonface_server.server import TritonServer
    from tritonface_server.tracing import trace_arguments

    beyond, explicit = not LOOPBACK.fullmatch(options.host), options.model_control == "explicit"
    if beyond and explicit:
        raise CommandError(
            f"--model-control explicit lets every client run code here, so not with --host {options.host}; "
            "clients that have the server's key (--key-file) need it not"
        )
    repositories = Repositories([place(text) for text in options.model_repository or DEFAULT_REPOSITORY])
    repositories.check_detectors(options.detectors or [])
    if options.watch and not repositories.folders:
        raise CommandError("--watch needs a --model-repository that is a folder: the launcher cannot watch a store")
    ends, certificates = _listening(options)
    if beyond:
        warn(LACKS)
    key = find_key(options.key_file, os.environ)
    access = Access(open_apis=("model-repository",) if explicit else (), **({"key": key} if key else {}))
    server = TritonServer(
        repositories.places,
        ends,
        arguments=(*trace_arguments(options.trace_to), *options.arguments),
        cpus=options.cpus,
        access=access,
        partial=True,
        certificates=certificates,
        detectors=options.detectors,
    )
    return serve(server, watch=options.watch)


def _listening(options: argparse.Namespace) -> tuple[Endpoints, Certificates | None]:
    """Where to listen, and with what TLS; beyond this machine with TLS or an explicit word only."""
    from tritonface_server.access import Certificates

    files = (options.tls_cert, options.tls_key)
    if (None in files and any(files)) or (options.tls_ca and None in files):
        raise CommandError("TLS needs --tls-cert and --tls-key, and --tls-ca only if clients are to have certificates")
    certificates = Certificates(*files, options.tls_ca) if all(files) else None
    beyond = not LOOPBACK.fullmatch(options.host)
    if beyond and not certificates and not options.insecure:
        raise CommandError(
            f"--host {options.host} lets other machines in without encryption; put a gateway before the server "
            "(deploy/gateway), or encrypt gRPC with --tls-cert and --tls-key (HTTP, for which Triton has no TLS, then "
            "stays on 127.0.0.1), or say --insecure"
        )
    plain_host = "127.0.0.1" if beyond and not options.insecure else None
    ports = (options.http_port, options.grpc_port, options.metrics_port)
    return Endpoints(options.host, *ports, plain_host=plain_host), certificates


def _publish_add(options: argparse.Namespace) -> int:
    from tritonface_server.publish import publish, receipt_of

    *others, repository = _folders(options)
    print("published:", *publish(options.folder, options.name, repository, others))
    print(accuracy_line(receipt_of(options.name, repository)["accuracy"]))
    return 0


def _folders(options: argparse.Namespace) -> list[Path]:
    """The repositories of the servers that are published for; the last one is changed."""
    return [Path(text) for text in options.model_repository or DEFAULT_REPOSITORY]


def accuracy_line(accuracy: dict[str, Any] | None) -> str:
    """How good a network is, by the training that it comes from."""
    if not accuracy or not isinstance(accuracy.get("after"), dict):
        return "how good it is, nothing says: no training has measured it"
    before = accuracy.get("before")
    line = f"AP {_figure(accuracy['after'])} on the validation pictures of its training"
    if not isinstance(before, dict):
        return line
    gain = f"{_figure(before)} before it"
    return f"{line}, {gain}" if accuracy.get("better") else f"{line}, NOT BETTER than the {gain}"


def _figure(figures: dict[str, Any]) -> str:
    ap = figures.get("AP")
    return f"{ap:.4f}" if isinstance(ap, float) else "unknown"


def _publish_undo(options: argparse.Namespace) -> int:
    from tritonface_server.publish import undo

    *others, repository = _folders(options)
    restored = undo(options.name, repository, others)
    print(f"taken back: {options.name}" + ("; the one before is served again" if restored else ""))
    return 0


def _publish_list(options: argparse.Namespace) -> int:
    from tritonface_server.publish import published

    for name in published(_folders(options)[-1]):
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
