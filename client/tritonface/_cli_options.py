"""The options of the command `tritonface`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tritonface._blur import MARGIN, STYLES
from tritonface._cli_formats import FORMATS
from tritonface._health import PROBE_PHOTO
from tritonface._options import DEFAULT_DETECTOR
from tritonface._video import UNDER_WAY

EXIT_CODES = "exit codes: 0 all well, 1 some images have no result, 2 wrong usage, 3 server or model not available"
WEB_PORT = 7860
SHELLS = ("bash", "zsh")
BLUR_THRESHOLD = 0.3
"""A box too many costs little where faces must not be seen."""

Command = Callable[[argparse.Namespace], int]


class Commands(NamedTuple):
    """What is run; each returns the exit code."""

    predict: Command
    batch: Command
    blur: Command
    crop: Command
    models: Command
    health: Command
    web: Command
    completion: Command


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


def make_parser(do: Commands) -> argparse.ArgumentParser:
    """The parser; `command` of what it parses is one of those."""
    parser = argparse.ArgumentParser(prog="tritonface", description="Face detection by a Triton server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    server, detector, as_json = _server(), _detector(), argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="one JSON object a line")

    def add(name: str, command: Command, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=parents, help=text, description=text, epilog=EXIT_CODES)
        added.set_defaults(command=command)
        return added

    predict = add("predict", do.predict, "find the faces of pictures and videos", server, detector, as_json)
    _inputs(predict, "picture, video, directory, http(s) URL of a picture, or camera:0")
    predict.add_argument(
        "--format", choices=FORMATS, default="text", help="of what is printed; --json is short for jsonl (%(default)s)"
    )
    _save(predict, "a folder for pictures or videos with boxes, and JSON files; or the file of a single input", False)
    _threshold(predict, None, "the model's own")
    predict.add_argument("--timings", action="store_true", help="milliseconds of each stage")
    _no_audio(predict)

    batch = add("batch", do.batch, "find the faces of very many pictures, into Parquet", server, detector)
    _inputs(
        batch, "picture, directory, glob, Parquet of paths or of pictures, http(s) URL, or URI of a store (s3://...)"
    )
    batch.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="tables; a run that was stopped goes on from there"
    )
    batch.add_argument("--column", metavar="NAME", help="of Parquet; default: its only one of texts or bytes")
    _threshold(batch, None, "the model's own")
    batch.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster; default: this machine alone")
    batch.add_argument("--workers", type=int, default=1, metavar="N", help="processes that send (%(default)s)")
    batch.add_argument(
        "--piece-size", type=int, default=256, metavar="N", help="pictures of one file of a table (%(default)s)"
    )

    blur = add("blur", do.blur, "make faces unrecognisable in pictures and videos", server, detector)
    _inputs(blur, "picture, video, directory, http(s) URL of a picture, or camera:0")
    _save(blur, "the folder to write to, or the file of a single input", True)
    _threshold(blur, BLUR_THRESHOLD, "%(default)s, which finds more than the model's own")
    blur.add_argument("--style", choices=STYLES, default=STYLES[0], help="fill is black (%(default)s)")
    _margin(blur, MARGIN)
    _no_audio(blur)

    crop = add("crop", do.crop, "cut the faces out of pictures and videos", server, detector)
    _inputs(crop, "picture, video, directory, http(s) URL of a picture, or camera:0")
    _save(crop, "the folder to write to: NAME_0.jpg, NAME_1.jpg ..., in the order of the scores", True)
    _threshold(crop, None, "the model's own")
    _margin(crop, 0.0)
    crop.add_argument("--square", action="store_true", help="widen the shorter side to the longer one")
    crop.add_argument("--size", type=int, metavar="PX", help="resize each to PX x PX pixels")
    crop.add_argument("--min-side-px", type=float, default=0, metavar="PX", help="leave out smaller faces")

    add("models", do.models, "what the server serves", server, as_json)
    health = add("health", do.health, "whether server and detectors can do their work", server, as_json)
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
    web = add("web", do.web, "a page to try detectors on, for browsers on this machine", server)
    web.add_argument("--port", type=int, default=WEB_PORT, metavar="N", help="of the page (%(default)s)")
    completion = add("completion", do.completion, "print a script that makes a shell complete this command")
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(parser=parser)
    return parser


def _server() -> argparse.ArgumentParser:
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
    return server


def _detector() -> argparse.ArgumentParser:
    detector = argparse.ArgumentParser(add_help=False)
    group = detector.add_argument_group("detector")
    group.add_argument("--model", default=DEFAULT_DETECTOR, metavar="NAME", help="default: %(default)s")
    group.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this export; the server must allow it")
    group.add_argument("--hpi", action="store_true", help="the high-performance variant")
    group.add_argument("--device", metavar="NAME", help="cpu, gpu or gpu:0: refuse a server that computes elsewhere")
    group.add_argument("--img-size", type=_size, metavar="PX", help="network input: 640, or 640x512 (width x height)")
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"pictures under way (default: {UNDER_WAY} for each server)",
    )
    group.add_argument("--max-side-px", type=int, metavar="PX", help="shrink larger pictures before sending")
    group.add_argument("--strict", action="store_true", help="refuse images whose file is cut off")
    group.add_argument(
        "--tiles", type=_size, metavar="PX", help="look at large pictures in tiles of 640, or 640x512, pixels too"
    )
    group.add_argument("--no-urls", action="store_true", help="do not fetch URLs")
    group.add_argument("--private-urls", action="store_true", help="fetch URLs of private addresses too")
    return detector


def _inputs(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("input", nargs="+", help=text)


def _save(parser: argparse.ArgumentParser, text: str, required: bool) -> None:
    parser.add_argument("--save", type=Path, metavar="PATH", required=required, help=text)


def _threshold(parser: argparse.ArgumentParser, default: float | None, text: str) -> None:
    parser.add_argument("--threshold", type=float, default=default, metavar="SCORE", help=f"0 to 1; default: {text}")


def _margin(parser: argparse.ArgumentParser, default: float) -> None:
    parser.add_argument(
        "--margin", type=float, default=default, metavar="SHARE", help="widen boxes on each side (%(default)s)"
    )


def _no_audio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-audio", action="store_true", help="leave the sound of videos out")
