"""The key: where it comes from, what is no key, and what of it others see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tritonface_server.access import Access, find_key, hide, without_key
from tritonface_server.machine import LaunchError

KEY = "0123456789abcdef-_XY"
THREAD = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(len(sys.argv[1]), flush=True)
time.sleep(60)
"""


def test_no_key() -> None:
    assert find_key(None, {}) is None
    assert find_key(None, {"TRITONFACE_KEY": "", "TRITONFACE_KEY_FILE": ""}) is None


def test_a_random_key_is_another_one_each_time() -> None:
    assert Access().key != Access().key
    assert find_key(None, {"TRITONFACE_KEY": Access().key})


def test_file_over_variables(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "other").write_text(KEY * 2)
    everything = {"TRITONFACE_KEY": KEY * 3, "TRITONFACE_KEY_FILE": str(tmp_path / "other")}
    assert find_key(tmp_path / "key", everything) == KEY
    assert find_key(None, everything) == KEY * 2
    assert find_key(None, {"TRITONFACE_KEY": KEY * 3}) == KEY * 3


@pytest.mark.parametrize("text", ["", "short", "x" * 15, "x" * 129, "sixteen letters, no", "key=value-key=value"])
def test_what_is_no_key_is_not_repeated(text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(LaunchError, match=r"holds no key: 16 to 128 letters") as caught:
        find_key(tmp_path / "key", {})
    assert not text or text not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"cannot be read from .*missing: No such file"):
        find_key(tmp_path / "missing", {})


def test_it_is_not_shown_or_handed_on() -> None:
    assert KEY not in repr(Access(KEY))
    assert without_key({"TRITONFACE_KEY": KEY, "TRITONFACE_KEY_FILE": "f", "PATH": "p"}) == {"PATH": "p"}


def test_options_leave_out_what_is_open() -> None:
    options = Access(KEY, open_apis=("statistics",)).options
    assert len(options) == 2 and all(option.endswith(f":triton-key={KEY}") for option in options)
    assert all("model-repository" in option and "statistics" not in option for option in options)


def test_arguments_of_a_child_are_overwritten() -> None:
    with subprocess.Popen([sys.executable, "-c", THREAD, f"a={KEY}", "b"], stdout=subprocess.PIPE, text=True) as child:
        try:
            hide(KEY, child.pid)
            assert child.stdout is not None and child.stdout.readline().strip() == str(len(f"a={KEY}"))
            arguments = Path(f"/proc/{child.pid}/cmdline").read_text().split("\0")
            assert arguments[-3:] == [f"a={'*' * len(KEY)}", "b", ""]
        finally:
            child.kill()


def test_a_child_that_has_ended_has_nothing_to_hide() -> None:
    child = subprocess.Popen([sys.executable, "-c", "", KEY])
    hide(KEY, child.pid)
    child.wait()
    hide(KEY, child.pid)
