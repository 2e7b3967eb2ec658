"""Every file of the corpus, and every input that the fuzzer once broke decoding with, keeps decoding's promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.corpus.files import PNG, File, corpus
from tests.fuzz import rules
from tests.fuzz.rules import FINDINGS, BrokenRuleError, check
from tritonface_server.images import ImageError, OpenedImage


@pytest.mark.parametrize("file", corpus(), ids=str)
def test_the_rules_hold(file: File) -> None:
    assert check(file.data) is (file.refusal is None)


@pytest.mark.parametrize("finding", sorted(FINDINGS.iterdir()), ids=lambda finding: finding.name)
def test_the_rules_hold_again(finding: Path) -> None:
    assert not check(finding.read_bytes())


def slow(opened: OpenedImage, bounded: bool) -> np.ndarray:
    np.ones(10_000_000).sum()
    return decoded(opened, bounded)


def large(opened: OpenedImage, bounded: bool) -> np.ndarray:
    np.ones(40_000_000).sum()
    return decoded(opened, bounded)


def decoded(opened: OpenedImage, bounded: bool) -> np.ndarray:
    return np.zeros((32, 48, 3), np.uint8)


@pytest.mark.parametrize(
    ("decode", "max_cpu_s", "message"),
    [
        (slow, 1e-6, "s of a core"),
        (large, 60, "bytes of memory"),
        (lambda opened, bounded: np.zeros((48, 32, 3), np.uint8), 60, "its header says"),
        (lambda opened, bounded: np.zeros((32, 48), np.uint8), 60, "its header says"),
    ],
)
def test_broken_rules_are_noticed(
    monkeypatch: pytest.MonkeyPatch, decode: object, max_cpu_s: float, message: str
) -> None:
    monkeypatch.setattr(rules, "decode", decode)
    with pytest.raises(BrokenRuleError, match=message):
        check(PNG, max_cpu_s)


@pytest.mark.parametrize("message", ["a\nb", "x" * 500, "Traceback (most recent call last)", "/srv/images.py line 3"])
def test_broken_messages_are_noticed(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def refuse(encoded: bytes) -> OpenedImage:
        raise ImageError(message)

    monkeypatch.setattr(rules, "open_image", refuse)
    with pytest.raises(BrokenRuleError, match="the message"):
        check(PNG)
