"""A real HTTPS server on this machine for the tests of downloads."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from training.download import download

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each path as `answers` says and counts the requests."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                outer.answers[self.path](self)

            def log_message(self, *arguments: object) -> None:
                """Stay quiet."""

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True, do_handshake_on_connect=False)
        self.httpd.handle_error = lambda *arguments: None  # clients that hang up are a part of the tests
        self.url = f"https://127.0.0.1:{self.httpd.server_port}"
        self.certificates = certificate

    def __enter__(self) -> Server:
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()

    def fetch(self, target: Path, path: str = "/file", sha256: str | None = None, silence_s: float = 10) -> None:
        options = {"sha256": sha256, "silence_s": silence_s, "certificates": self.certificates}
        download(self.url + path, target, min_bytes=2, max_bytes=100, **options)


def body(data: bytes, length: object = None, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        if length != "none":
            request.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    return answer
