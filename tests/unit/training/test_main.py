from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

import training.main
from training.config import Config, Mode, load_config
from training.main import message, mode_function, run
from training.paths import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(
        ROOT / "training" / "configs" / "BlazeFace.yaml", [f"Global.output={tmp_path}", "Global.mode=export"]
    )


@pytest.fixture
def as_mode(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Makes every mode give this, or raise it."""

    def replace(outcome: Any) -> None:
        def function(config: Config) -> Any:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(training.main, "mode_function", lambda mode: function)

    return replace


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_of_the_configuration_is_there(mode: str) -> None:
    assert callable(mode_function(mode))


def test_an_empty_result(config: Config, tmp_path: Path, as_mode: Callable[[Any], None]) -> None:
    as_mode({})
    run(config)
    assert json.loads((tmp_path / "export_result.json").read_text()) == {"done_flag": True}
    assert [path.name for path in tmp_path.iterdir()] == ["export_result.json"]


FAILURES = [
    (ValueError("first\n second"), "ValueError", "first second"),
    (ValueError(), "ValueError", "ValueError"),
    (KeyError("x"), "KeyError", "KeyError: 'x'"),
    (SystemExit(3), "SystemExit", "SystemExit: 3"),
    (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
]


@pytest.mark.parametrize(("error", "kind", "text"), FAILURES, ids=[kind for _, kind, _ in FAILURES])
def test_every_failure_is_recorded(
    config: Config, tmp_path: Path, as_mode: Callable[[Any], None], error: BaseException, kind: str, text: str
) -> None:
    as_mode(error)
    with pytest.raises(type(error)):
        run(config)
    result = json.loads((tmp_path / "export_result.json").read_text())
    assert result == {"done_flag": False, "err_type": kind, "err_msg": text}
    assert message(error) == text


@pytest.mark.parametrize("value", [float("nan"), object()], ids=["nan", "object"])
def test_a_result_that_is_no_json_is_a_failure(
    config: Config, tmp_path: Path, as_mode: Callable[[Any], None], value: Any
) -> None:
    as_mode({"AP": value})
    with pytest.raises((ValueError, TypeError)):
        run(config)
    assert json.loads((tmp_path / "export_result.json").read_text())["done_flag"] is False
    assert [path.name for path in tmp_path.iterdir()] == ["export_result.json"]
