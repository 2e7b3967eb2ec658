"""The options of the command `tritonface`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tritonface._health import PROBE_PHOTO
from tritonface._options import DEFAULT_DETECTOR

EXIT_CODES = "exit codes: 0 all well, 1 some images have no result, 2 wrong usage, 3 server or model not available"
UNDER_WAY = 4
"""Images, for each server, unless told otherwise."""

Command = Callable[[argparse.Namespace], int]


def _header(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return text


def _size(text: str) -> int | list[int]:
    try:
        sides = [int(side) for side in text.split("x")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 640 nor 640x512") from None
    return sides[0] if len(sides) == 1 else sides


def make_parser(predict_command: Command, models_command: Command, health_command: Command) -> argparse.ArgumentParser:
    """The parser; `command` of what it parses is one of the three."""
    parser = argparse.ArgumentParser(prog="tritonface", description="Face detection by a Triton server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    server = argparse.ArgumentParser(add_help=False)
    group = server.add_argument_group("server")
    group.add_argument(
        "--url",
        metavar="HOST:PORT",
        help="several with commas between them; default: TRITONFACE_URL, then 127.0.0.1:8001 (HTTP: 8000)",
    )
    group.add_argument("--protocol", choices=["grpc", "http"], help="default: TRITONFACE_PROTOCOL, then grpc")
    group.add_argument("--timeout", type=float, metavar="S", help="default: TRITONFACE_TIMEOUT_S, then 30")
    group.add_argument("--header", action="append", default=[], type=_header, metavar="NAME=VALUE", help="repeatable")
    group.add_argument("--tls", action="store_true", help="encrypt; trust the system's authorities")
    group.add_argument("--tls-ca", metavar="PEM", help="encrypt; trust these authorities")
    group.add_argument("--tls-cert", metavar="PEM", help="own certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="PEM", help="its key")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="one JSON object a line")

    predict = commands.add_parser(
        "predict", parents=[server, output], help="find the faces of images", epilog=EXIT_CODES
    )
    predict.add_argument("input", nargs="+", help="image file, directory or http(s) URL")
    predict.add_argument("--model", default=DEFAULT_DETECTOR, metavar="NAME", help="default: %(default)s")
    predict.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this export; the server must allow it")
    predict.add_argument("--save", type=Path, metavar="DIR", help="write pictures with boxes and JSON files here")
    predict.add_argument("--threshold", type=float, metavar="SCORE", help="0 to 1; default: the model's own")
    predict.add_argument("--hpi", action="store_true", help="the high-performance variant")
    predict.add_argument("--device", metavar="NAME", help="cpu, gpu or gpu:0: refuse a server that computes elsewhere")
    predict.add_argument("--img-size", type=_size, metavar="PX", help="network input: 640, or 640x512 (width x height)")
    predict.add_argument(
        "--batch-size", type=int, metavar="N", help=f"images under way (default: {UNDER_WAY} for each server of --url)"
    )
    predict.add_argument("--max-side-px", type=int, metavar="PX", help="shrink larger images before sending")
    predict.add_argument("--timings", action="store_true", help="milliseconds of each stage")
    predict.add_argument("--strict", action="store_true", help="refuse images whose file is cut off")
    predict.add_argument("--no-urls", action="store_true", help="do not fetch URLs")
    predict.add_argument("--private-urls", action="store_true", help="fetch URLs of private addresses too")
    predict.set_defaults(command=predict_command)
    models = commands.add_parser("models", parents=[server, output], help="what the server serves", epilog=EXIT_CODES)
    models.set_defaults(command=models_command)
    health = commands.add_parser(
        "health", parents=[server, output], help="whether server and detectors can do their work", epilog=EXIT_CODES
    )
    health.add_argument("--model", action="append", default=[], metavar="NAME", help="this one only; repeatable")
    health.add_argument(
        "--probe",
        type=Path,
        nargs="?",
        const=PROBE_PHOTO,
        metavar="PHOTO",
        help="send a photo (of your own, or one of the package) and expect a face",
    )
    health.add_argument("--wait", type=float, default=0.0, metavar="S", help="ask again for so long; default: once")
    health.set_defaults(command=health_command)
    return parser
