"""Clients that a gateway has to turn away: oversized, slow, silent, too many and too fast; each says how it ended."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import numpy as np
import tritonclient.grpc as triton

from tests.functional.L0_gateway.gateway import Gateway

INFER = "/v2/models/BlazeFace/infer"


def oversized_http(gateway: Gateway) -> str:
    """Told at once, before the body comes."""
    headers = gateway.headers("bob") | {"content-length": "70000000"}
    status, text = gateway.ask("POST", INFER, headers)
    return f"{status} {text}"


def oversized_chunks(gateway: Gateway) -> str:
    status, text = gateway.ask("POST", INFER, gateway.headers("bob"), iter([bytes(2**20)] * 66))
    return f"{status} {text}"


def oversized_grpc(gateway: Gateway) -> str:
    credentials = triton.InferenceServerClient(
        gateway.address, ssl=True, root_certificates=str(gateway.files / "ca.pem")
    )
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[bytes(70_000_000)]], object))
    with credentials as client:
        try:
            client.infer("BlazeFace", [image], headers=gateway.headers("bob"), client_timeout=20)
        except triton.InferenceServerException as error:
            return f"{error.status()} {error.message()}"
    return "answered"


def slow_header(gateway: Gateway) -> str:
    with closing(gateway.socket()) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: ")
        return last_words(client)


def begun_request(gateway: Gateway, name: str = "bob") -> bytes:
    """A request whose body does not come."""
    headers = {"host": "x", "content-length": "1000", **gateway.headers(name)}
    lines = [f"POST {INFER} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def slow_body(gateway: Gateway) -> str:
    with closing(gateway.socket()) as client:
        client.sendall(begun_request(gateway) + b"slow")
        return last_words(client)


RESET_OF_STREAM_1 = b"\0\0\4\3\0\0\0\0\1"


def slow_grpc(gateway: Gateway) -> str:
    """A message of a thousand bytes of which four come, in HTTP/2's frames."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    headers = {
        ":method": "POST",
        ":scheme": "https",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
        **gateway.headers("bob"),
    }
    packed = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in headers.items())
    begun = frame(0, 0, 1, b"\0" + (1000).to_bytes(4, "big") + b"slow")
    with closing(gateway.socket("h2")) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, packed) + begun)
        return last_words(client, until=RESET_OF_STREAM_1)


def too_many(gateway: Gateway) -> str:
    """As many slow bodies as a client may have under way, and one more."""
    with ExitStack() as stack:
        for count in range(1, 80):
            client = stack.enter_context(closing(gateway.socket(source="127.0.0.3")))
            client.sendall(begun_request(gateway, "carol"))
            client.settimeout(0.01)
            with suppress(TimeoutError):
                return f"{count} {client.recv(12).decode()}"
    return "all taken"


def silent(gateway: Gateway) -> str:
    """Not even a handshake."""
    host, port = gateway.address.split(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as client:
        return last_words(client)


def last_words(client: socket.socket, until: bytes = b"nothing") -> str:
    """What comes until the other side hangs up, or has said that."""
    received = b""
    with suppress(OSError):
        while until not in received and (data := client.recv(4096)):
            received += data
    return received.decode(errors="replace")


def too_fast(gateway: Gateway, name: str = "bob") -> str:
    statuses = []
    with closing(gateway.http()) as client:
        for _ in range(600):
            client.request("GET", "/v2/health/live", headers=gateway.headers(name))
            answer = client.getresponse()
            answer.read()
            statuses.append(answer.status)
            if answer.status == 429:
                return f"429, again after {answer.headers['retry-after']} s"
    return f"only {set(statuses)}"


STRANGERS: tuple[tuple[Callable[[Gateway], str], str], ...] = (
    (oversized_http, "413 .*65 MiB"),
    (oversized_chunks, "413 .*65 MiB"),
    (oversized_grpc, "StatusCode.INVALID_ARGUMENT .*65 MiB"),
    (slow_header, "$"),
    (slow_body, "$"),
    (slow_grpc, ".*\0\0\4\3\0\0\0\0\1"),
    (silent, "$"),
    (too_many, "65 HTTP/1.1 429"),
    (too_fast, "429, again after 1 s"),
)
"""Clients, and how it ends for them: cut off without a word, or told why."""
