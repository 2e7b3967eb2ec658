"""Who may import whom; generated and pinned files; words that stay out."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10: pytest brings the same one
    import tomli as tomllib

from training.detectors import DETECTORS
from training.paths import ROOT
from tritonface_server.detector import Detector

DETECTORS_PAGE = (ROOT / "docs" / "detectors.md").read_text()

MAY_IMPORT = {
    "client/tritonface": {"tritonface"},
    "server/tritonface_server": {"tritonface_server"},
    "model_repository": {"tritonface_server"},
    "training": {"training", "tritonface_server", "tritonface"},  # the SDK: evaluation asks a server
}
RUN_ONLY = {"client": set(), "server": {"nvidia-pytriton"}}
"""Packages that a distribution starts programs of."""
NO_PACKAGES = {
    "triton_python_backend_utils",  # part of Triton
    "typing_extensions",  # for type checkers only
}
OURS = {"tritonface", "tritonface_server", "training", "perf", "tests", "demo"}


def modules_of(folder: str) -> list[Path]:
    """Its files of Python, of which there are some."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, folder
    return files


def imported_roots(path: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots.add((node.module or "").split(".")[0])
    return roots


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_dependencies_point_one_way(folder: str) -> None:
    for path in modules_of(folder):
        assert (imported_roots(path) & OURS) <= MAY_IMPORT[folder], path


def test_the_servers_own_try_out_is_its_only_client() -> None:
    """Publishing sends one photo through a server of its own; the package does not need the SDK for that."""
    modules = modules_of("server/tritonface_server")
    clients = [path.stem for path in modules if "InferenceServerClient(" in path.read_text()]
    assert clients == ["publish"]


def test_only_measurements_talk_to_a_server_without_the_sdk() -> None:
    for folder in ("training", "demo"):
        for path in modules_of(folder):
            assert "tritonclient" not in imported_roots(path), path


def test_the_training_loop_needs_neither_onnx_nor_a_client() -> None:
    code = "import sys, training.engine.train; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "training.engine.loop" in modules.split()
    assert not {"onnx", "onnxruntime", "openvino", "tritonclient", "tritonface"} & set(modules.split())


def test_a_configuration_is_read_without_paddle() -> None:
    code = "import sys, training.config, training.check_dataset; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "paddle" not in modules.split()


@pytest.mark.parametrize(
    ("work", "calls"),
    [
        ("decoding", {"imdecode(": {"images"}}),
        ("resizing", {"cv2.resize(": {"images"}}),
        ("suppression", {"nms(": {"nms"}, "nms_per_class(": {"nms", "detections"}}),
        ("runtimes", {"InferenceSession(": {"runtimes"}, "compile_model(": {"runtimes"}}),
    ],
)
def test_the_server_has_one_of_everything(work: str, calls: dict[str, set[str]]) -> None:
    modules = {path.stem: path.read_text() for path in modules_of("server/tritonface_server")}
    for call, expected in calls.items():
        assert {name for name, text in modules.items() if re.search(rf"\b{re.escape(call)}", text)} == expected, work


@pytest.mark.fault("D")
@pytest.mark.parametrize("name", ["client", "server"])
def test_a_distribution_declares_what_it_imports(name: str) -> None:
    project = tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]
    optional = [each for extra in project.get("optional-dependencies", {}).values() for each in extra]
    declared = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"] + optional}
    imported = set().union(*(imported_roots(path) for path in modules_of(name)))
    imported -= sys.stdlib_module_names | OURS | NO_PACKAGES
    installed = importlib.metadata.packages_distributions()
    offers = {root: {distribution_name(name) for name in installed.get(root, [root])} for root in imported}
    assert [root for root, names in offers.items() if not names & declared] == []
    assert declared - set().union(*offers.values()) == RUN_ONLY[name]


def distribution_name(name: str) -> str:
    """As package indexes compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_module_says_what_it_is_for() -> None:
    for folder in (*MAY_IMPORT, "demo", "perf"):
        for path in modules_of(folder):
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    help_text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in help_text.splitlines()} == targets


@pytest.mark.parametrize("name", ["serving", "training", "dev", "docs", "release", "examples", "cli", "batch"])
def test_requirements_are_pinned_with_hashes(name: str) -> None:
    locked = (ROOT / "requirements" / f"{name}.txt").read_text()
    packages = re.findall(r"^[a-z0-9].*$", locked, re.MULTILINE | re.IGNORECASE)
    assert len(packages) > (20 if name != "cli" else 1)
    assert all("==" in package for package in packages)
    assert locked.count("\n    --hash=sha256:") >= len(packages)
    assert "://" not in locked


@pytest.mark.parametrize("facts", DETECTORS.values(), ids=DETECTORS)
def test_the_documented_table_of_detectors_is_the_table_of_facts(facts: Detector) -> None:
    (row,) = re.findall(rf"^\| {re.escape(facts.name)} \|([^|]*)\|([^|]*)\|([^|]*)\|", DETECTORS_PAGE, re.MULTILINE)
    nms = facts.nms
    multiple = "any" if facts.size_multiple == 1 else f"multiples of {facts.size_multiple}"
    assert [cell.strip() for cell in row] == [
        "x".join(map(str, facts.input_size_wh)),
        f"{nms.score_threshold:g}, {nms.iou_threshold:g}, {nms.top_k}, {nms.keep_top_k}",
        multiple,
    ]
