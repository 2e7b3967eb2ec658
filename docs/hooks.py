"""What the site needs of MkDocs: pages from elsewhere in the repository, and links as they are written there.

A page of the navigation that is not in `docs/` is the file of that name in the repository, `client/README.md` for
example, so that nothing is written twice. Links are those that a forge shows: relative to the file that they stand in.
One to a page leads to the page; one to another file keeps its text alone, or leads to `repo_url` if mkdocs.yml has one.
What does not exist is a warning, which a strict build takes for an error.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs/"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"^<!-- .*? -->\n", re.MULTILINE)
log = logging.getLogger("mkdocs.hooks.repository")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the version that these pages are of."""
    config.copyright = f"tritonface {(ROOT / 'VERSION').read_text().strip()}"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the navigation that stand outside of `docs/`, and the pictures of all pages."""
    for uri in entries(config.nav):
        if files.get_file_from_path(uri) is None and (ROOT / uri).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    for page in files.documentation_pages():
        for mark, _, target in LINK.findall(page.content_string):
            path = resolved(page, target)
            if mark and path is not None and (ROOT / path).is_file() and files.get_file_from_path(uri_of(path)) is None:
                files.append(File.generated(config, uri_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into links of the site; drop the markers of the blocks of code."""

    def link(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        path = resolved(page.file, target)
        if path is None:
            return match[0]
        anchor = target[target.index("#") :] if "#" in target else ""
        if files.get_file_from_path(uri_of(path)) is not None:
            return f"{mark}[{text}]({os.path.relpath(uri_of(path), Path(page.file.src_uri).parent)}{anchor})"
        if not (ROOT / path).exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, path)
        return f"[{text}]({config.repo_url}/blob/main/{path})" if config.repo_url else text

    pieces = FENCED.split(MARKER.sub("", markdown))
    return "".join(piece if piece.startswith("```") else LINK.sub(link, piece) for piece in pieces)


def entries(nav: Any) -> Iterator[str]:
    """The files that a navigation names."""
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav or ():
            yield from entries(item)


def resolved(file: File, target: str) -> str | None:
    """A link's target as a path in the repository; None: an address, or a place in the page itself."""
    if re.match(r"[a-z]+:|#", target):
        return None
    inside = Path(file.abs_src_path or "").is_relative_to(ROOT / DOCS)
    source = Path(f"{DOCS}{file.src_uri}" if inside else file.src_uri)
    return os.path.normpath(source.parent / target.split("#")[0])


def uri_of(path: str) -> str:
    """Where a file of the repository stands in the site."""
    return path.removeprefix(DOCS)
