"""The command `tritonface`: predict, models, health."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TextIO, TypeVar

from tritonface._cli_options import UNDER_WAY, make_parser
from tritonface._client import Client
from tritonface._connection import TLS, Connection
from tritonface._detector import FaceDetector, create_model
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError, TritonFaceError
from tritonface._fetch import UrlPolicy
from tritonface._fleet import Fleet
from tritonface._health import Health, check, lines
from tritonface._inputs import Source, iterate_sources
from tritonface._result import DetectionResult
from tritonface._served import detectors

GOOD, SOME_FAILED, USAGE, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141
POLL_INTERVAL_S = 0.5

T = TypeVar("T")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log, before it is imported; failures are told below
    options = make_parser(_predict, _models, _health).parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
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


def _predict(options: argparse.Namespace) -> int:
    sources = list(iterate_sources(options.input))  # paths only; it tells how many there are
    connection = _connection(options)
    batch_size = UNDER_WAY * len(connection.servers) if options.batch_size is None else options.batch_size
    model = create_model(
        options.model,
        options.model_dir,
        device=options.device,
        img_size=options.img_size,
        threshold=options.threshold,
        use_hpip=options.hpi,
        max_side_px=options.max_side_px,
        urls=UrlPolicy(allowed=not options.no_urls, allow_private=options.private_urls),
        timings=options.timings,
        strict=options.strict,
        connection=connection,
    )
    failed = 0
    with model, _Progress(len(sources), sys.stderr) as progress:
        for result in _results(model, sources, batch_size):
            failed += result.error is not None
            progress.clear()
            if result.error is None and options.save is not None:
                result.save_all(options.save)
            _show(result, options)
            progress.advance()
    return SOME_FAILED if failed else GOOD


def _results(model: FaceDetector, sources: list[Source], batch_size: int) -> Any:
    return model.predict([source.origin for source in sources], batch_size, on_error="yield")


def _show(result: DetectionResult, options: argparse.Namespace) -> None:
    if options.json:
        failed_id = result.request_id if result.error else None
        more = {"timings_ms": result.timings_ms, "warning": result.warning, "request_id": failed_id}
        told = {name: value for name, value in more.items() if value is not None}
        print(json.dumps({**result, **told}, ensure_ascii=False), flush=True)
    elif result.error is not None:
        print(f"error: {result.error}", file=sys.stderr)
    else:
        count = len(result)
        stages = (result.timings_ms or {}).items()
        times = "".join(f", {name} {milliseconds:.1f} ms" for name, milliseconds in stages)
        print(f"{result['input_path']}: {count} {'face' if count == 1 else 'faces'}{times}", flush=True)


def _models(options: argparse.Namespace) -> int:
    connection = _connection(options)
    found = _ask(connection, lambda fleet: fleet.ask(detectors, connection.timeout_s))
    for served in found:
        facts = {"name": served.name, "devices": list(served.devices), "labels": served.labels}
        print(json.dumps(facts) if options.json else f"{served.name}  ({', '.join(served.devices)})")
    if not found:
        print(f"the server at {connection.url} serves no detector", file=sys.stderr)
    return GOOD if found else FAILED


def _health(options: argparse.Namespace) -> int:
    connection = _connection(options)
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


class _Progress:
    """`[===>   ] 12/500` on a terminal, nothing elsewhere."""

    WIDTH = 30

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._done, self._stream = total, 0, stream
        self._shown = total > 1 and stream.isatty()

    def advance(self) -> None:
        self._done += 1
        self._draw()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _draw(self) -> None:
        if self._shown:
            bar = "=" * (self.WIDTH * self._done // self._total)
            self._stream.write(f"\r\033[K[{bar:<{self.WIDTH}}] {self._done}/{self._total}")
            self._stream.flush()

    def __enter__(self) -> _Progress:
        self._draw()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self.clear()


def _connection(options: argparse.Namespace) -> Connection:
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    return Connection(
        options.url,
        options.protocol,
        timeout_s=options.timeout,
        tls=TLS(*files) if options.tls or any(files) else None,
        headers=dict(header.split("=", 1) for header in options.header),
    )


if __name__ == "__main__":
    sys.exit(main())
