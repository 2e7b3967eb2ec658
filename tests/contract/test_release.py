"""One version for everything, and what a distribution has to carry; `make release-check` tries the real ones."""

from __future__ import annotations

import re

import pytest
import yaml

try:
    import tomllib
except ImportError:  # Python 3.10: pytest brings the same one
    import tomli as tomllib

from training.paths import ROOT

VERSION = (ROOT / "VERSION").read_text().strip()
DISTRIBUTIONS = pytest.mark.parametrize("folder", ["client", "server"])


def test_the_changelog_and_the_citation_have_the_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest, date = re.search(r"^## (\d\S*) - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (newest, citation["version"], citation["date-released"]) == (VERSION, VERSION, date)
    assert re.findall(r"^## (.*)$", changelog, re.MULTILINE)[0] == "Unreleased"


@DISTRIBUTIONS
def test_a_distribution_reads_the_one_version_and_carries_the_licence(folder: str) -> None:
    settings = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    assert settings["project"]["dynamic"] == ["version"] and "version" not in settings["project"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"file": "VERSION"}
    for name in ("VERSION", *settings["project"]["license-files"]):
        assert (ROOT / folder / name).resolve() == ROOT / name


@DISTRIBUTIONS
def test_metadata_name_no_address_that_does_not_exist(folder: str) -> None:
    """Until the project has one; docs/release.md says where it belongs then."""
    assert "urls" not in tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def test_templates_of_issues_are_forms() -> None:
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}
    assert forms.pop("config") and forms.keys() == {"bug", "wish"}
    for form in forms.values():
        assert form["name"] and form["description"]
        assert {item["type"] for item in form["body"]} <= {"markdown", "textarea", "input"}
