"""The page by clicks: a headless Chromium, the page as users start it, a real server. `make test-web` runs this file.

It is not part of `make test`: it needs Chromium and the environment of the page, build/web. Every request of the
browser is looked at; one that goes beyond this machine fails the test. `make test-web SCREENSHOT=1`
renews the picture of docs/web.md.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.films import picture, write_film
from tests.launched import Launched, eventually
from tests.web_page import answers, choose, count, count_pictures, download, drop, page_at, panel
from training.paths import ROOT
from tritonface_server.endpoints import Endpoints

SCREENSHOT = ROOT / "docs" / "pictures" / "web.png"
HERE = ("http://127.0.0.1:", "data:", "blob:")
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE_MS = 120_000
FACES = {"PP-YOLOE_plus-S_face": 29, "BlazeFace": 18}
"""In the group picture, at a threshold of 0.5."""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("there is no chromium; on Debian and Ubuntu: apt-get install chromium", pytrace=False)
    return found


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page, and a server that `make serve` would start."""
    with Launched(tmp_path_factory.mktemp("server")) as server:
        server.wait_for("ready: gRPC", 300)
        with page_at(server.endpoints.grpc) as address:
            yield address


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its camera shows a portrait."""
    film, portrait = tmp_path_factory.mktemp("camera") / "camera.mjpeg", tmp_path_factory.mktemp("camera") / "one.jpg"
    Image.fromarray(picture(0, (640, 480))).save(portrait, quality=95)
    film.write_bytes(portrait.read_bytes() * 4)
    arguments = [*FAKE_CAMERA, f"--use-file-for-fake-video-capture={film}", "--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(address)`: a window of a person's own."""
    contexts, strays = [], []

    def open_page(address: str, **settings: object) -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: request.url.startswith(HERE) or strays.append(request.url))
        page.on("websocket", lambda socket: socket.url.startswith("ws://127.0.0.1:") or strays.append(socket.url))
        page.goto(address)
        expect(page.get_by_role("tab", name="Photos")).to_be_visible()
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield open_page
    for context in contexts:
        context.close()
    assert strays == []


def test_a_photo_its_boxes_and_its_files(address: str, open_page: Open, solvay: Path, tmp_path: Path) -> None:
    page = open_page(address)
    expect(page.locator(".title .ready")).to_contain_text("server at")
    drop(page, solvay)
    expect(count(page)).to_have_text("29 faces")
    expect(panel(page).locator(".times span")).to_have_count(3)
    expect(panel(page).locator(".inside")).to_contain_text("network")
    expect(panel(page).locator("tbody tr").first).to_contain_text("0.9")
    said = json.loads(download(page, "Download JSON", tmp_path).read_text())
    [result] = said["results"]
    assert (said["detector"], said["threshold"], result["input_path"]) == (
        "PP-YOLOE_plus-S_face",
        0.5,
        "solvay_1927.jpg",
    )
    assert len(result["boxes"]) == 29
    assert said["server_average_ms"]["requests"] == 1
    assert set(result["times_ms"]) == {"encode", "wait", "draw"}
    assert all(time_ms > 0 for time_ms in result["times_ms"].values())
    with Image.open(download(page, "Download picture", tmp_path)) as drawn, Image.open(solvay) as original:
        assert drawn.size == original.size
        red, green, blue = np.asarray(drawn.convert("RGB"), dtype=int).transpose(2, 0, 1)
        assert np.count_nonzero((red > 150) & (green < 110) & (blue < 110)) > 1000, "the photo itself is grey"


def test_settings_ask_again(address: str, open_page: Open, solvay: Path, tmp_path: Path) -> None:
    page = open_page(address)
    drop(page, solvay)
    expect(count(page)).to_have_text("29 faces")
    number = page.locator("#threshold input[type=number]")
    number.fill("0.9")
    number.blur()
    expect(count(page)).not_to_have_text("29 faces")
    said = json.loads(download(page, "Download JSON", tmp_path).read_text())
    assert said["threshold"] == 0.9
    assert all(box["score"] > 0.9 for box in said["results"][0]["boxes"])
    choose(page, "first", "BlazeFace")
    expect(panel(page).locator(".who")).to_have_text("BlazeFace, 640x640")
    page.locator("#first_variant").get_by_label("high-performance").check()
    expect(panel(page).locator(".who")).to_have_text("BlazeFace_hpi, 640x640")
    page.locator("#first_variant").get_by_label("normal").check()
    choose(page, "size", "320")
    expect(panel(page).locator(".who")).to_have_text("BlazeFace, 320x320")
    page.locator("#size input").fill("7")
    page.locator("#size input").press("Enter")
    expect(panel(page).get_by_role("alert")).to_contain_text("img_size")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_detectors_side_by_side(address: str, open_page: Open, solvay: Path, tmp_path: Path, scheme: str) -> None:
    page = open_page(address, color_scheme=scheme)
    drop(page, solvay)
    page.get_by_label("Compare with a second detector").check()
    for name, (detector, faces) in zip("ab", FACES.items()):
        expect(count(page, name)).to_have_text(f"{faces} faces")
        said = json.loads(download(page, "Download JSON", tmp_path, name).read_text())
        assert (said["detector"], len(said["results"][0]["boxes"])) == (detector, faces)
    pictures = [panel(page, name).locator("img").first for name in "ab"]
    for shown in pictures:
        expect(shown).to_be_visible()
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.locator("h1").hover()
    if scheme == "light" and os.environ.get("SCREENSHOT"):
        page.screenshot(path=tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as screenshot:
            screenshot.quantize(200).save(SCREENSHOT, optimize=True)
        assert SCREENSHOT.stat().st_size < 300_000
    page.get_by_label("Compare with a second detector").uncheck()
    expect(panel(page, "b")).to_be_hidden()


def test_several_photos_and_a_bad_one(
    address: str, open_page: Open, solvay: Path, astronaut: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture at all")
    page = open_page(address)
    drop(page, text, solvay, astronaut)
    expect(count(page)).to_have_text("29 faces")
    expect(panel(page).get_by_role("alert")).to_contain_text("notes.txt")
    expect(panel(page).get_by_role("alert")).not_to_contain_text("tmp")
    panel(page).get_by_role("button", name="Thumbnail 2 of 2").first.click()
    expect(count(page)).to_have_text("1 face")
    said = json.loads(download(page, "Download JSON", tmp_path).read_text())
    assert [len(result["boxes"]) for result in said["results"]] == [0, 29, 1]
    assert "error" in said["results"][0]
    with zipfile.ZipFile(download(page, "Download picture", tmp_path)) as archive:
        assert len(archive.namelist()) == 2
    drop_only = open_page(address)
    drop(drop_only, text)
    expect(panel(drop_only).get_by_role("alert")).to_contain_text("notes.txt")


def test_two_people_at_once(address: str, open_page: Open, solvay: Path, astronaut: Path) -> None:
    slow, quick = open_page(address), open_page(address)
    drop(slow, *[solvay] * 24)
    drop(quick, astronaut)
    expect(count(quick)).to_have_text("1 face")
    assert count(slow).count() == 0, "the slow one's photos were done first"
    expect(count(slow)).to_have_text("29 faces")


def test_the_camera(address: str, open_page: Open) -> None:
    page = open_page(address, permissions=["camera"])
    page.get_by_role("tab", name="Camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.locator("#camera").get_by_text("Record").click()
    expect(count(page)).to_have_text("1 face")
    expect(panel(page).locator(".live img")).to_have_attribute("src", re.compile(r"^data:image/jpeg;base64,"))
    page.get_by_label("Compare with a second detector").check()
    expect(count(page, "b")).to_have_text("1 face")


def test_a_video(address: str, open_page: Open, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 12)
    page = open_page(address)
    choose(page, "first", "BlazeFace")
    page.get_by_role("tab", name="Video").click()
    drop(page, film, into="video")
    expect(panel(page).locator(".place")).to_have_text(re.compile(r"^12 pictures, \d+ faces in them$"))
    lines = download(page, "Download JSON", tmp_path).read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(12))
    assert {json.loads(line)["input_path"] for line in lines} == {"film.mp4"}
    written = download(page, "Download video", tmp_path)
    assert count_pictures(written) == 12
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    page.locator("#video").get_by_label("Clear").click()
    drop(page, bad, into="video")
    expect(panel(page).get_by_role("alert")).to_contain_text("bad.mp4")


def test_a_server_that_comes_later(chromium: str, open_page: Open, astronaut: Path, tmp_path: Path) -> None:
    ends = Endpoints.free()
    with page_at(ends.grpc) as address:
        page = open_page(address)
        expect(page.locator(".help")).to_contain_text("make serve")
        drop(page, astronaut)
        expect(panel(page).get_by_role("alert")).to_contain_text("no Triton server answers")
        with Launched(tmp_path, endpoints=ends) as server:
            server.wait_for("ready: gRPC", 300)
            expect(page.locator(".title .ready")).to_be_visible()
            expect(count(page)).to_have_text("1 face")
            expect(page.locator(".help")).to_have_count(0)


def test_what_other_programs_may_not_do(address: str) -> None:
    other_name = urllib.request.Request(address, headers={"Host": "example.com"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(other_name, timeout=30)
    port = int(address.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/gradio_api/queue/join")
    connection.putheader("Content-Length", str(17 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413, "before any of it was sent"
    connection.close()
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    listening = [at.laddr for at in psutil.net_connections("tcp") if at.status == "LISTEN" and at.laddr.port == port]
    assert [at.ip for at in listening] == ["127.0.0.1"]


@pytest.mark.parametrize("place", ["https://example.com/face.jpg", "http://127.0.0.1:1/", "/etc/hostname"])
def test_no_address_and_no_path_is_opened(address: str, place: str) -> None:
    """Gradio by itself would take both in place of an upload."""
    settings = json.loads(urllib.request.urlopen(f"{address}config", timeout=30).read())
    [event] = [each["id"] for each in settings["dependencies"] if each["api_name"] == "photos"]
    file = {"path": place, "orig_name": "face.jpg", "meta": {"_type": "gradio.FileData"}}
    choices = ["BlazeFace", "normal", "BlazeFace", "normal", False, 0.5, ""]
    data = {"data": ["photos", [file], *choices, None], "fn_index": event, "session_hash": "by_hand"}
    headers = {"Content-Type": "application/json"}
    join = urllib.request.Request(f"{address}gradio_api/queue/join", json.dumps(data).encode(), headers)
    urllib.request.urlopen(join, timeout=30).close()
    with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash=by_hand", timeout=60) as lines:
        [said] = [json.loads(line[5:]) for line in lines if b"process_completed" in line]
    assert not said["success"]
    assert "is no upload" in said["output"]["error"] or "not uploaded" in said["output"]["error"]


def test_make_web_starts_and_stops_both(tmp_path: Path) -> None:
    ends, web_port = Endpoints.free(), Endpoints.free().http_port
    ports = [f"{name}_PORT={port}" for name, port in (("HTTP", ends.http_port), ("GRPC", ends.grpc_port))]
    command = [
        "make",
        "--no-print-directory",
        "web",
        f"WEB_PORT={web_port}",
        f"METRICS_PORT={ends.metrics_port}",
        *ports,
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        address = f"http://127.0.0.1:{web_port}/"
        server = f"http://{ends.http}/v2/health/ready"
        try:
            assert eventually(lambda: answers(address) and answers(server), 300)
        finally:
            program.terminate()
        program.communicate(timeout=120)
    assert eventually(lambda: not answers(address) and not answers(server))
