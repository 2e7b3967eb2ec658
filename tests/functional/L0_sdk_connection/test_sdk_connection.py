"""How the SDK reaches a server and what travels: TLS, headers, ids, timings, window, shrinking, closing, forks."""

from __future__ import annotations

import gc
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.certificates import write_certificates
from tests.conftest import Serve, WatchedList
from tests.forwarder import Forwarder
from tritonface import (
    TLS,
    Connection,
    DetectionResult,
    FaceDetector,
    ImageError,
    InvalidArgumentError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    UrlPolicy,
    create_model,
)
from tritonface_server.server import TritonServer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates of a server and a client from it."""
    folder = tmp_path_factory.mktemp("certificates")
    write_certificates(folder, "server", "client")
    return folder


@pytest.fixture(scope="module")
def secure(certificates: Path, serve: Serve, one_detector: Path) -> Iterator[dict[str, str]]:
    """A server that wants the client's certificate: gRPC by itself, HTTP behind a proxy that ends TLS."""
    files = {"server-cert": "server.pem", "server-key": "server.key", "root-cert": "ca.pem"}
    options = tuple(f"--grpc-{option}={certificates / name}" for option, name in files.items())
    arguments = ("--grpc-use-ssl=1", "--grpc-use-ssl-mutual=1", *options)
    server = serve(one_detector, *arguments)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    with Forwarder(server.endpoints.http_port, context=context) as proxy:
        yield {"grpc": server.endpoints.grpc, "http": f"127.0.0.1:{proxy.port}"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_mutual_tls(secure: dict[str, str], certificates: Path, solvay: Path, protocol: str) -> None:
    address = {"protocol": protocol, "url": secure[protocol], "timeout_s": 10}
    own = {"cert_file": certificates / "client.pem", "key_file": certificates / "client.key"}
    trusted = Connection(**address, tls=TLS(certificates / "ca.pem", **own))
    with create_model("BlazeFace", connection=trusted) as model:
        assert next(model.predict(solvay))["boxes"]
    for tls in (None, TLS(), TLS(certificates / "ca.pem"), TLS(**own)):
        with pytest.raises(ServerUnavailableError):
            create_model("BlazeFace", connection=Connection(**address, tls=tls))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_headers_open_what_a_key_protects(serve: Serve, one_detector: Path, protocol: str) -> None:
    options = ("grpc-restricted-protocol", "http-restricted-api")
    server = serve(one_detector, *(f"--{option}=model-config:x-key=secret" for option in options))
    address = {"protocol": protocol, "url": getattr(server.endpoints, protocol)}
    prefix = "triton-grpc-protocol-" if protocol == "grpc" else ""  # Triton's own rule
    keyed = Connection(**address, headers={f"{prefix}X-Key": "secret"})
    create_model("BlazeFace", connection=keyed).close()
    with pytest.raises(ServerError, match=r"does not allow this: .*restricted.*x-key'; pass the key .*headers="):
        create_model("BlazeFace", **address)


def test_ids_and_timings(address: dict[str, str], solvay: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tritonface"), create_model("BlazeFace", timings=True, **address) as model:
        results = list(model.predict([solvay, solvay]))
        (other,) = model.predict(solvay)
    ids = [result.request_id for result in results]
    assert [request_id.rpartition("-")[2] for request_id in ids] == ["0", "1"] and other.request_id not in ids
    assert all(request_id in caplog.text for request_id in ids)
    for result in results:
        timings = result.timings_ms
        assert timings["total"] == pytest.approx(timings["encode"] + timings["wait"]) and timings["wait"] > 1
    with create_model("BlazeFace", **address) as model:
        assert next(model.predict(solvay)).timings_ms is None


def test_errors_name_the_request(address: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with create_model("BlazeFace", **address) as model:
        with pytest.raises(ImageError) as caught:
            next(model.predict(tmp_path / "text.jpg"))
        (result,) = model.predict(tmp_path / "text.jpg", on_error="yield")
    assert caught.value.request_id.endswith("-0") and result.request_id == result.error.request_id


def test_shrunk_images_have_boxes_in_their_own_pixels(address: dict[str, str], astronaut: Path, tmp_path: Path) -> None:
    with Image.open(astronaut) as image:
        large = image.resize((2048, 1024))
    large.save(tmp_path / "large.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    large.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with create_model("BlazeFace", threshold=0.9, **address) as plain:
        expected = [best(result) for result in plain.predict(tmp_path)]
    with create_model("BlazeFace", threshold=0.9, max_side_px=640, **address) as model:
        results = list(model.predict(tmp_path))
    for result, box in zip(results, expected, strict=True):
        assert best(result) == pytest.approx(box, abs=40)
        assert result.img["res"].size == (2048, 1024)


def best(result: DetectionResult) -> list[float]:
    return result["boxes"][0]["coordinate"]


@pytest.mark.parametrize("side", [0, 15, -1, 1.5, True, "640"])
def test_sides_of_no_use(server: TritonServer, side: object) -> None:
    with pytest.raises(InvalidArgumentError, match="max_side_px"):
        create_model("BlazeFace", url=server.endpoints.grpc, max_side_px=side)


@pytest.mark.parametrize("device", ["cpu", None])
def test_a_device_that_is_there(address: dict[str, str], device: str | None) -> None:
    create_model("BlazeFace", device=device, **address).close()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "runs 'BlazeFace' on cpu, not on 'gpu'"),
        ("gpu:0", "not on 'gpu:0'"),
        ("npu:0", "must be 'cpu', 'gpu' or 'gpu:0'"),
        ("GPU", "must be"),
        (0, "must be"),
    ],
)
def test_a_device_that_is_not_there(address: dict[str, str], device: object, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        create_model("BlazeFace", device=device, **address)


@pytest.fixture
def site(solvay: Path) -> Iterator[str]:
    """The demo photos on a little web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(solvay.parent))) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_urls(address: dict[str, str], site: str, solvay: Path, tmp_path: Path) -> None:
    url = f"{site}/{solvay.name}"
    with create_model("BlazeFace", urls=UrlPolicy(allow_private=True), **address) as model:
        result, missing, local = model.predict([url, f"{site}/gone.jpg", solvay], batch_size=3, on_error="yield")
        assert result["input_path"] == url and result["boxes"] == local["boxes"]
        result.save_to_img(tmp_path)
        result.save_to_json(tmp_path)
        assert "HTTP status 404" in missing["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["solvay_1927_res.jpg", "solvay_1927_res.json"]
    with create_model("BlazeFace", **address) as model, pytest.raises(ImageError, match="not public"):
        next(model.predict(url))
    with (
        create_model("BlazeFace", urls=UrlPolicy(allowed=False), **address) as model,
        pytest.raises(ImageError, match="fetching is off"),
    ):
        next(model.predict(url))


def test_batch_size_of_the_model(address: dict[str, str], solvay: Path) -> None:
    photos = WatchedList([solvay] * 10)
    with create_model("BlazeFace", batch_size=3, **address) as model:
        next(model.predict(photos))
        assert len(photos.taken) == 3
        next(model.predict(photos, batch_size=1))
        assert len(photos.taken) == 4


def test_threads_share_a_model(model: FaceDetector, solvay: Path, astronaut: Path) -> None:
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        photo = (solvay, astronaut)[number % 2]
        found[number] = [len(result["boxes"]) for result in model.predict([photo] * 5, batch_size=2)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(set(found[number])) for number in range(6)] == [1] * 6 and found[0] == found[2] != found[1]


def test_closing_leaves_nothing_open(address: dict[str, str], solvay: Path) -> None:
    assert not any(thread.name == "tritonface" for thread in threading.enumerate())
    with create_model("BlazeFace", **address) as model:
        next(model.predict(solvay))
    model.close()  # twice does no harm
    with pytest.raises(InvalidArgumentError, match="the model is closed"):
        model.predict(solvay)
    forgotten = create_model("BlazeFace", **address)
    del forgotten
    gc.collect()
    with pytest.raises(ModelNotFoundError):
        create_model("Nope", **address)
    deadline = time.monotonic() + 5
    while any(thread.name == "tritonface" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "tritonface" for thread in threading.enumerate())


def test_closing_during_a_run(model: FaceDetector, solvay: Path) -> None:
    run = model.predict([solvay] * 50, batch_size=4)
    next(run)
    model.close()
    with pytest.raises(InvalidArgumentError, match="closed"):
        list(run)


def test_a_server_that_accepts_and_says_nothing() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        for protocol in ("grpc", "http"):
            started = time.monotonic()
            with pytest.raises((TimeoutError, ConnectionError)):
                create_model("BlazeFace", connection=Connection(url, protocol, timeout_s=0.5))
            assert time.monotonic() - started < 10


def test_a_model_made_before_a_fork(server: TritonServer, solvay: Path) -> None:
    """The child is told so instead of waiting for ever; over HTTP, for gRPC itself does not survive a fork."""
    with create_model("BlazeFace", url=server.endpoints.http, protocol="http") as model:
        child = os.fork()
        if child == 0:
            try:
                next(model.predict(solvay))
            except InvalidArgumentError as error:
                os._exit(0 if "forked" in str(error) else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert next(model.predict(solvay))["boxes"]


def test_an_array_is_sent_without_loss(model: FaceDetector, solvay: Path) -> None:
    with Image.open(solvay) as image:
        grey = np.asarray(image.convert("L"))
    boxes = [result["boxes"] for result in model.predict([grey, np.repeat(grey[:, :, None], 3, 2)])]
    assert boxes[0] == boxes[1] and boxes[0]
