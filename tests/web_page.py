"""The page of `tritonface web` as a process, and what people do on it; a browser's window is playwright's `Page`."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.launched import KEY
from training.paths import ROOT
from tritonface_server.endpoints import Endpoints

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

COMMAND = ROOT / "build" / "web" / "bin" / "tritonface"


@contextmanager
def page_at(url: str, *, port: int | None = None) -> Iterator[str]:
    """The command `tritonface web`; gives the address of the page."""
    port = port or Endpoints.free().http_port
    command = [COMMAND, "web", "--url", url, "--port", str(port)]
    environment = {**os.environ, "TRITONFACE_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        try:
            assert f"http://127.0.0.1:{port}" in program.stdout.readline()
            yield f"http://127.0.0.1:{port}/"
        finally:
            program.terminate()


def drop(page: Page, *files: Path, into: str = "photos") -> None:
    page.locator(f"#{into} input[type=file]").set_input_files(files)


def panel(page: Page, name: str = "a") -> Locator:
    return page.locator(f"#panel_{name}")


def count(page: Page, name: str = "a") -> Locator:
    return panel(page, name).locator(".count")


def choose(page: Page, dropdown: str, text: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=text, exact=True).click()


def download(page: Page, button: str, folder: Path, name: str = "a") -> Path:
    with page.expect_download() as waiting:
        panel(page, name).get_by_text(button).click()
    file = folder / name / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=10).status == 200
    except OSError:
        return False


def count_pictures(path: Path) -> int:
    code = "import av, sys; print(sum(1 for _ in av.open(sys.argv[1]).decode(video=0)))"
    return int(subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout)
