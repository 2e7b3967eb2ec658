"""`make fuzz`: fuzzes decoding in pieces, at the lowest priority; goes on where it was stopped, and says what broke."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

from tests.corpus.files import corpus
from tests.fuzz.rules import FINDINGS
from training.paths import ROOT

MAX_INPUT_BYTES = 8192
HANG_S = 300  # of the clock; what takes more than a second of a core is found by the rules
PIECE = 50_000
EXPLAIN = "import pathlib, sys; from tests.fuzz.rules import check; check(pathlib.Path(sys.argv[1]).read_bytes())"


class Run:
    """A run of the fuzzer, whose inputs, figures and findings lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.findings, self.report = folder / "corpus", folder / "findings", folder / "report.json"
        for each in (self.corpus, self.findings):
            each.mkdir(parents=True, exist_ok=True)
        for data in [file.data for file in corpus()] + [path.read_bytes() for path in FINDINGS.glob("*")]:
            if len(data) <= MAX_INPUT_BYTES:
                (self.corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
        known = json.loads(self.report.read_text()) if self.report.is_file() else {}
        self.figures = {"inputs": 0, "pieces": 0, "cpu_s": 0.0, "edges": 0, "findings": {}} | known

    def piece(self, inputs: int) -> None:
        """Try that many new inputs, or as many as there are before one breaks a rule."""
        spent_s = _cpu_s()
        command = [sys.executable, "-m", "tests.fuzz.target", str(self.corpus), f"-max_len={MAX_INPUT_BYTES}"]
        options = [
            f"-runs={inputs + len(list(self.corpus.iterdir()))}",
            f"-timeout={HANG_S}",
            f"-artifact_prefix={self.findings}/",
            "-rss_limit_mb=0",  # the rules measure each input
            "-print_final_stats=1",
            "-close_fd_mask=3",  # libjpeg complains of every file
        ]
        ended = subprocess.run([*command, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace")
        log = ended.stderr
        executed = re.search(r"number_of_executed_units:\s*(\d+)", log)
        if executed is None:
            raise SystemExit(f"error: the fuzzer ended with code {ended.returncode}:\n{log[-2000:]}")
        known = re.search(r"^#(\d+)\s+INITED", log, re.MULTILINE)
        self.figures["inputs"] += int(executed[1]) - int(known[1]) if known else 0
        self.figures["pieces"] += 1
        self.figures["cpu_s"] = round(self.figures["cpu_s"] + _cpu_s() - spent_s, 1)
        self.figures["edges"] = max([self.figures["edges"], *map(int, re.findall(r"cov: (\d+)", log))])
        for finding in self.findings.iterdir():
            if finding.name not in self.figures["findings"]:
                self.figures["findings"][finding.name] = explained(finding)
        self.report.write_text(json.dumps(self.figures, indent=2) + "\n")


def explained(finding: Path) -> str:
    """What is wrong with an input, tried again in a process of its own."""
    again = subprocess.run([sys.executable, "-c", EXPLAIN, str(finding)], cwd=ROOT, capture_output=True, text=True)
    last = (again.stderr.strip().splitlines() or [""])[-1]
    return last if again.returncode > 0 else f"ended with code {again.returncode}"


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """The command; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "fuzz", metavar="DIR")
    options = parser.parse_args()
    os.nice(19)
    run = Run(options.output)
    while run.figures["inputs"] < options.inputs:
        run.piece(min(PIECE, options.inputs - run.figures["inputs"]))
        print("{inputs:,} inputs, {edges} edges, {cpu_s:g} s of a core".format(**run.figures), flush=True)
    for name, reason in run.figures["findings"].items():
        print(f"{options.output / 'findings' / name}: {reason}")
    return 1 if run.figures["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
