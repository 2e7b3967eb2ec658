"""The downloader against a real HTTPS server on this machine, with a certificate made for the test."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paddle
import pytest

from training.detectors import build_detector
from training.download import DownloadError, download
from training.official_weights import LockError, official_weights, plausible_bytes
from training.weights import WeightsError, load_weights

FILE = "BlazeFace_pretrained.pdparams"
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
        self.context = ssl.create_default_context(cafile=certificate)

    def __enter__(self) -> Server:
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()

    def fetch(self, target: Path, path: str = "/file", max_bytes: int = 100, timeout_s: float = 10) -> None:
        download(self.url + path, target, min_bytes=2, max_bytes=max_bytes, timeout_s=timeout_s, context=self.context)

    def official(self, root: Path) -> Path:
        return official_weights("BlazeFace", root, self.url, self.context)


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


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    for _ in range(100):
        request.wfile.write(b"a")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("the command openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def server(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(*certificate) as running:
        yield running


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("official") / FILE
    paddle.save(build_detector("BlazeFace").state_dict(), str(path))
    return path.read_bytes()


def root_of(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_an_empty_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = body(b"")
    with pytest.raises(DownloadError, match="has 0 bytes, expected were 2 to 100"):
        server.fetch(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_file_comes_whole_also_through_a_redirect(server: Server, tmp_path: Path) -> None:
    server.answers["/file"] = body(b"", status=302, Location="/there")
    server.answers["/there"] = body(b"weights")
    server.fetch(tmp_path / "folder" / "file")
    assert (tmp_path / "folder" / "file").read_bytes() == b"weights"


REFUSALS = {
    "not found": (body(b"no", status=404), "HTTP Error 404: Not Found"),
    "too long": (body(b"a" * 101), "has 101 bytes, expected were 2 to 100"),
    "no length": (body(b"weights", length="none"), r"does not say how long .* \(Content-Length ''\)"),
    "odd length": (body(b"weights", length="+7"), r"\(Content-Length '\+7'\)"),
    "broken off": (body(b"weights", length=50), "broke off after 7 of 50 bytes"),
    "to HTTP": (body(b"", status=302, Location="http://127.0.0.1/file"), "over HTTPS only"),
    "to a local file": (body(b"", status=302, Location="file:///etc/hostname"), "is not allowed"),
    "in a circle": (body(b"", status=302, Location="/file"), "infinite loop"),
    "drop by drop": (drip, "took too long: .* of 100 bytes"),
    "silent": (lambda request: time.sleep(3), "timed out"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_bad_answer_is_refused_and_leaves_nothing(what: str, server: Server, tmp_path: Path) -> None:
    server.answers["/file"], words = REFUSALS[what]
    with pytest.raises(DownloadError, match=words):
        server.fetch(tmp_path / "file", timeout_s=1)
    assert not list(tmp_path.iterdir())


def test_only_https_with_a_trusted_certificate(server: Server, tmp_path: Path) -> None:
    limits = {"min_bytes": 2, "max_bytes": 100, "timeout_s": 5}
    for url in ("http://127.0.0.1/file", "ftp://127.0.0.1/file", "file:///etc/hostname"):
        with pytest.raises(DownloadError, match="over HTTPS only"):
            download(url, tmp_path / "file", **limits)
    server.answers["/file"] = body(b"weights")
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        download(f"{server.url}/file", tmp_path / "file", **limits)
    assert server.requests == 0


def test_the_first_download_locks_the_file_and_the_second_needs_none(
    server: Server, official: bytes, tmp_path: Path
) -> None:
    root = root_of(tmp_path)
    server.answers[f"/{FILE}"] = body(official)
    output = server.official(root)
    assert output == root / "weights" / "official" / "BlazeFace.safetensors"
    load_weights(build_detector("BlazeFace"), output)
    lock = json.loads((root / "weights" / "official.lock.json").read_text())
    assert lock["BlazeFace"]["bytes"] == len(official)
    assert len(lock["BlazeFace"]["sha256"]) == 64
    assert server.official(root) == output
    assert server.requests == 1


def test_another_file_than_the_locked_one_is_refused(server: Server, official: bytes, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    server.answers[f"/{FILE}"] = body(official)
    output, before = server.official(root), (root / "weights" / "official.lock.json").read_text()
    output.unlink()
    damaged = bytearray(official)
    damaged[-100] ^= 1
    (root / "build" / "official" / FILE).write_bytes(damaged)
    server.answers[f"/{FILE}"] = body(bytes(damaged))
    with pytest.raises(LockError, match="delete the entry 'BlazeFace'"):
        server.official(root)
    assert not output.exists()
    assert (root / "weights" / "official.lock.json").read_text() == before
    server.answers[f"/{FILE}"] = body(official)  # and the good one is fetched in its place
    assert server.official(root) == output


def test_what_does_not_fit_is_not_locked(server: Server, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    server.answers[f"/{FILE}"] = body(b"<html>" * 100_000)
    with pytest.raises(WeightsError, match=r"damaged or not a .pdparams file .*; delete the file to download it again"):
        server.official(root)
    assert not list((root / "weights").iterdir())


def test_a_size_that_cannot_be_is_refused(server: Server, official: bytes, tmp_path: Path) -> None:
    least, most = plausible_bytes("BlazeFace")
    assert least == 4 * 119_616
    assert least < len(official) < most
    server.answers[f"/{FILE}"] = body(b"a" * (least - 1))
    with pytest.raises(DownloadError, match="has 478,463 bytes, expected were 478,464 to"):
        server.official(root_of(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"BlazeFace": 1}', '{"BlazeFace": {"bytes": 1}}'])
def test_a_damaged_lock_file_is_refused(text: str, tmp_path: Path) -> None:
    (root_of(tmp_path) / "weights" / "official.lock.json").write_text(text)
    with pytest.raises(LockError, match="is damaged"):
        official_weights("BlazeFace", tmp_path, "https://127.0.0.1:9")


def test_offline_names_the_address_and_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=rf"cannot download https://127.0.0.1:9/{FILE}: .*; or put a copy"
    ) as caught:
        official_weights("BlazeFace", root_of(tmp_path), "https://127.0.0.1:9")
    assert "\n" not in str(caught.value)


def test_a_copy_put_there_by_hand_needs_no_network(official: bytes, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    (root / "build" / "official").mkdir(parents=True)
    (root / "build" / "official" / FILE).write_bytes(official)
    assert official_weights("BlazeFace", root, "https://127.0.0.1:9").is_file()
