"""Server and SDK read an exported folder by the same rules."""

from __future__ import annotations

import pytest

from training.paths import ROOT

COPIES = ROOT / "server/tritonface_server/inference_yml.py", ROOT / "client/tritonface/_inference_yml.py"


@pytest.mark.fault("B7")
def test_the_two_copies_are_the_same() -> None:
    server, client = (path.read_text() for path in COPIES)
    assert server == client and "def parse_settings" in server
