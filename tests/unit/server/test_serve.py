"""The launcher's command line: what it refuses before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training.paths import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model-control", "explicit", "--host", "0.0.0.0"], "lets every client run code here"),
        (["--model-control", "explicit", "--host", "::"], "lets every client run code here"),
        (["--model-control", "explicit", "--host", "127.0.0.1.example.org"], "lets every client run code here"),
        (["--model-control", "explicit", "--watch"], "not allowed with argument"),
        (["--model-control", "poll"], "invalid choice: 'poll'"),
        (["--host", "0.0.0.0"], "lets other machines in without encryption"),
        (["--host", "::"], "or say --insecure"),
        (["--tls-cert", "cert.pem"], "TLS needs --tls-cert and --tls-key"),
        (["--tls-ca", "ca.pem"], "TLS needs --tls-cert and --tls-key"),
        (["--tls-cert", "no.pem", "--tls-key", "no.key"], "no.pem is no file that can be read"),
        (["--detectors", "BlazeFac"], "no detector 'BlazeFac' in model_repository; did you mean 'BlazeFace'"),
        (["--detectors", "BlazeFace,,"], "'BlazeFace,,' is no list of names, such as A,B"),
        (["--model-repository", "s3://bucket/models"], "name the detectors to be served with --detectors A,B"),
        (
            ["--model-repository", "s3://bucket/models", "--watch"],
            "--watch needs a --model-repository that is a",
        ),
        (["--key-file", "no.key"], "the key cannot be read from no.key"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "tritonface_server", "serve", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode and message in run.stderr
