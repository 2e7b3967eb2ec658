"""A line of the log is one line of JSON, whatever a stranger sends and however often."""

from __future__ import annotations

import json

import pytest

from tritonface_server.request_log import MAX_ID_CHARACTERS, MAX_LINES, RequestLog, shortened

PIPE_BUF_BYTES = 4096
INPUTS = {f"input_{i}": {"shape": [32, 2048, 2048, 3], "bytes": 2**31} for i in range(8)}


def declined(log: RequestLog, text: str = "text", count: int = 1) -> None:
    for _ in range(count):
        log.declined("invalid", text, text, lambda: INPUTS)


def test_an_empty_log() -> None:
    assert RequestLog(model="M").take() == []


def test_a_line_says_what_was_declined() -> None:
    log = RequestLog(model="M")
    declined(log)
    (line,) = map(json.loads, log.take())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "event": "request_declined",
        "model": "M",
        "reason": "invalid",
        "id": "text",
        "message": "text",
        "inputs": INPUTS,
    }
    assert log.take() == []


@pytest.mark.parametrize("text", ["\n", "\r\n{}", '"', "\x00", "\x1b[2J", "\u2028", "\U0001f600", "\ud800", "\\"])
def test_a_strangers_text_stays_in_its_line(text: str) -> None:
    log = RequestLog(model="M")
    declined(log, text * 5_000)
    (line,) = log.take()
    assert line.isascii() and line.isprintable()
    assert len(f"{line}\n".encode()) <= PIPE_BUF_BYTES
    assert json.loads(line)["id"] == shortened(text * 5_000, MAX_ID_CHARACTERS)


@pytest.mark.parametrize(
    ("text", "short"), [("", ""), ("abcde", "abcde"), ("abcdef", "ab..."), ("abcdefghij", "ab...")]
)
def test_long_texts_end_in_dots(text: str, short: str) -> None:
    assert shortened(text, 5) == short


def test_a_flood_is_counted() -> None:
    log = RequestLog(model="M")
    declined(log, count=MAX_LINES + 7)
    *lines, last = map(json.loads, log.take())
    assert len(lines) == MAX_LINES
    assert (last["event"], last["count"]) == ("lines_left_out", {"invalid": 7})
    declined(log)
    assert len(log.take()) == 1


def test_inputs_of_a_line_that_is_left_out_are_not_looked_at() -> None:
    log = RequestLog(model="M")
    declined(log, count=MAX_LINES)
    log.declined("busy", "text", "id", lambda: pytest.fail("asked for"))
    assert json.loads(log.take()[-1])["count"] == {"busy": 1}
