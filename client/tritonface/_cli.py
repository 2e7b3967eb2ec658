"""The command `tritonface`; what asks a server about itself: models, health."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from tritonface._cli_batch import batch
from tritonface._cli_blur import blur
from tritonface._cli_completion import completion
from tritonface._cli_crop import crop
from tritonface._cli_model import connection_of
from tritonface._cli_options import Command, Commands, make_parser
from tritonface._cli_predict import predict
from tritonface._client import Client
from tritonface._connection import Connection
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError, TritonFaceError
from tritonface._fleet import Fleet
from tritonface._health import Health, check, lines
from tritonface._served import detectors

GOOD, SOME_FAILED, USAGE, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141
POLL_INTERVAL_S = 0.5

T = TypeVar("T")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log, before it is imported; failures are told below
    options = make_parser(COMMANDS).parse_args(arguments)
    command: Command = options.command
    for stream in (sys.stdout, sys.stderr):  # file names may hold bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush at exit
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except InvalidArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (TritonFaceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _counted(detect: Command) -> Command:
    """The exit code of a command that returns how many inputs have no result."""
    return lambda options: SOME_FAILED if detect(options) else GOOD


def _models(options: argparse.Namespace) -> int:
    connection = connection_of(options)
    found = _ask(connection, lambda fleet: fleet.ask(detectors, connection.timeout_s))
    for served in found:
        facts = {"name": served.name, "devices": list(served.devices), "labels": served.labels}
        print(json.dumps(facts) if options.json else f"{served.name}  ({', '.join(served.devices)})")
    if not found:
        print(f"the server at {connection.url} serves no detector", file=sys.stderr)
    return GOOD if found else FAILED


def _health(options: argparse.Namespace) -> int:
    connection = connection_of(options)
    photo = None if options.probe is None else options.probe.read_bytes()
    deadline = time.monotonic() + options.wait

    async def question(client: Client, timeout_s: float) -> Health:
        return await check(client, options.model, photo, timeout_s)

    while True:
        answers = _ask(connection, lambda fleet: fleet.ask_all(question, connection.timeout_s))
        good = all(isinstance(answer, Health) and answer.good for answer in answers.values())
        if good or time.monotonic() >= deadline:
            break
        time.sleep(POLL_INTERVAL_S)
    for url, answer in answers.items():
        _show_health(connection.protocol, url, answer, options.json)
    return GOOD if good else FAILED


def _show_health(protocol: str, url: str, answer: Health | TritonFaceError, as_json: bool) -> None:
    health, failure = (answer, None) if isinstance(answer, Health) else (Health(False, ()), str(answer))
    if as_json:
        server = {"protocol": protocol, "url": url}
        print(json.dumps({**server, **asdict(health), "good": health.good, "error": failure}))
    elif failure:
        print(f"error: {failure}", file=sys.stderr)
    else:
        print(f"{'ready' if health.good else 'not ready'}: {protocol} at {url}")
        print(*lines(health), sep="\n", end="\n" if health.models else "")


def _web(options: argparse.Namespace) -> int:
    from tritonface._web.serving import run

    run(connection_of(options), options.port)
    return GOOD


def _ask(connection: Connection, question: Callable[[Fleet], Coroutine[Any, Any, T]]) -> T:
    """The answer to one question, over connections of its own."""

    async def ask() -> T:
        fleet = await Fleet.of(connection)
        try:
            return await question(fleet)
        finally:
            await fleet.close()

    engine.acquire()
    try:
        return engine.submit(ask).result()
    finally:
        engine.release()


COMMANDS = Commands(
    _counted(predict), _counted(batch), _counted(blur), _counted(crop), _models, _health, _web, completion
)

if __name__ == "__main__":
    sys.exit(main())
