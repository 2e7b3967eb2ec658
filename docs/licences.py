"""The licences of all packages that serving, the SDK and training install, as a table in docs/licences.md.

build/release/bin/python docs/licences.py --python .venv/bin/python build/web/bin/python   (`make licences`)

pip-licenses reads them from the packages of these environments; what is pinned in `FILES` counts. A test
compares names and versions with these files, so that the page is renewed with them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
BEGIN, END = "<!-- made by make licences -->\n", "<!-- end of what make licences makes -->\n"
FILES = {
    "serving": "serving and the SDK",
    "training": "training",
    "cli": "videos, completion",
    "web": "the web page",
    "batch": "many images",
}
"""What users install, and for what; the first purpose of a package counts."""
LONGEST = 60


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="the environments to read")
    options = parser.parse_args()
    licences = {}
    for python in options.python:
        tool = Path(sys.executable).with_name("pip-licenses")
        command = [tool, "--python", python, "--from=mixed", "--format=json", "--with-system"]
        installed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        licences |= {(plain(each["Name"]), each["Version"]): each["License"] for each in installed}
    rows, seen = [], set()
    for file, purpose in FILES.items():
        for name, version in pins(ROOT / "requirements" / f"{file}.txt"):
            if name not in seen and (name, version) in licences:
                seen.add(name)
                rows.append(f"| {name} | {version} | {short(licences[name, version])} | {purpose} |")
    before, after = PAGE.read_text().split(BEGIN)[0], PAGE.read_text().split(END)[1]
    head = "| package | version | licence | needed for |\n|---|---|---|---|\n"
    PAGE.write_text(f"{before}{BEGIN}{head}" + "\n".join(rows) + f"\n{END}{after}")
    print(f"{len(rows)} packages in {PAGE}")
    return 0


def pins(path: Path, machine: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """Names and versions of a locked file, in its order, as far as they concern a machine; None: this one."""
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; (.*?))?(?: \\)?$", path.read_text(), re.M)
    return [(plain(name), version) for name, version, when in pinned if not when or Marker(when).evaluate(machine)]


def plain(name: str) -> str:
    """As package indexes compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def short(licence: str) -> str:
    """One line of what may be a whole text."""
    first = " ".join(licence.splitlines()[0].split()).replace("|", "/")
    return first if len(first) <= LONGEST else f"{first[:LONGEST]} ..."


if __name__ == "__main__":
    sys.exit(main())
