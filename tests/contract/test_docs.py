"""The pages of the documentation: links, blocks of code and who runs them, messages and figures that stand twice.

`make docs` builds the site, strictly; this needs no package for that. A block of bash or Python has a comment before it
that says who runs it: `run by` a test that reads the page, `as in` a test that does the same with names of its own,
`needs` what no test has.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

import tritonface
from perf import page_plots
from training.paths import ROOT

CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
ELSEWHERE = ("weights/official", "deploy/secrets/", "weights/onnx/FaceDetector.onnx")
"""Made by `make official-weights`; of who deploys; in another repository."""
MARKED = re.compile(r"(?:run by|as in|needs) ")


def entries(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [each for item in (nav.values() if isinstance(nav, dict) else nav) for each in entries(item)]


SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for entry in entries(SETTINGS["nav"])
    for path in [ROOT / "docs" / entry if (ROOT / "docs" / entry).is_file() else ROOT / entry]
}
page = pytest.mark.parametrize("page", PAGES)


def test_every_page_of_docs_is_in_the_navigation_once() -> None:
    listed = entries(SETTINGS["nav"])
    assert len(listed) == len(set(listed))
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")} <= set(PAGES)


@page
def test_links_lead_somewhere(page: str) -> None:
    for target in LINK.findall(CODE.sub("", PAGES[page])):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        assert path.resolve().is_relative_to(ROOT), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), target


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@page
def test_every_block_of_code_says_who_runs_it(page: str) -> None:
    text = PAGES[page]
    for block in CODE.finditer(text):
        if block[1] not in ("bash", "python"):
            continue
        line = text[: block.start()].splitlines()[-1] if block.start() else ""
        marker = re.fullmatch(r"<!-- (.*) -->", line)
        assert marker and MARKED.match(marker[1]), f"{page}: nothing says who runs\n{block[0]}"
        for part in marker[1].split("; "):
            paths = re.findall(r"(?:tests/|\.ci/)[\w/.-]+", part)
            assert paths or part.startswith("needs "), part
            for path in paths:
                assert (ROOT / path).is_file(), path
                if part.startswith("run by "):
                    assert Path(page).name in (ROOT / path).read_text(), f"{path} does not read {page}"


@page
def test_make_targets_exist(page: str) -> None:
    targets = set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())
    code = "\n".join(block[2] for block in CODE.finditer(PAGES[page]))
    named = set(re.findall(r"`make ([a-z][a-z-]+)[ `]", PAGES[page].replace("\n", " ")))
    named |= set(re.findall(r"^make ([a-z][a-z-]+)", code, re.MULTILINE))
    assert named <= targets


def test_the_readme_is_one_screen() -> None:
    """Comments, which nobody sees, do not count."""
    assert sum(not line.startswith("<!--") for line in PAGES["README.md"].splitlines()) <= 80


def test_the_reference_lists_all_that_the_sdk_exports() -> None:
    listed = set(re.findall(r"^::: tritonface\.(\w+)$", PAGES["docs/api.md"], re.MULTILINE))
    assert listed == {*tritonface.__all__, "integrations", "video"}


def test_the_readmes_figures_are_those_of_the_pages() -> None:
    accuracies, times = page_plots.accuracies(), page_plots.times()
    readme = page_plots.table(ROOT / "README.md", "| detector | AP |")
    assert len(readme) == 4
    assert readme == {name: [*accuracies[name][:2], *times[name]] for name in readme}


@pytest.mark.parametrize("name", page_plots.PLOTS)
def test_plots_show_the_figures_of_the_pages(name: str) -> None:
    """`python -m perf.page_plots` draws them anew."""
    _, sources = page_plots.PLOTS[name]
    assert page_plots.digest(sources) in (page_plots.PICTURES / name).read_text()


@page
def test_files_that_are_named_exist(page: str) -> None:
    folders = "client|server|training|tests|perf|deploy|docs|requirements|weights|demo|model_repository"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", CODE.sub("", PAGES[page]))
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith(ELSEWHERE)] == []


def test_the_page_of_licences_is_not_stale() -> None:
    """`make licences` writes it; made with another Python or on another system it would list other packages."""
    machine = {"python_version": "3.11", "python_full_version": "3.11.7", "implementation_name": "cpython"}
    machine |= {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix", "platform_system": "Linux"}
    script = runpy.run_path(str(ROOT / "docs" / "licences.py"))
    pinned = {}
    for file in reversed(script["FILES"]):
        pinned |= script["pins"](ROOT / "requirements" / f"{file}.txt", machine)
    listed = page_plots.table(ROOT / "docs" / "licences.md", "| package | version |")
    assert {name: cells[0] for name, cells in listed.items()} == pinned
