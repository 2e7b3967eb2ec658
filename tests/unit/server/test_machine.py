from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tritonface_server.machine import (
    LaunchError,
    check_glibc,
    check_port,
    find_libpython,
    find_triton,
    libpython_places,
)


@pytest.mark.parametrize(
    ("library", "version", "message"),
    [
        ("", "", "not glibc"),
        ("musl", "1.2", "not glibc"),
        ("glibc", "2.31", "this system has 2.31"),
        ("glibc", "1.9", "1.9"),
    ],
)
def test_other_c_libraries_are_refused(library: str, version: str, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        check_glibc(library, version)


@pytest.mark.parametrize("version", ["2.35", "2.36", "2.40.1"])
def test_a_recent_glibc_will_do(version: str) -> None:
    check_glibc("glibc", version)


def test_a_taken_port_is_named_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError, match=rf"127.0.0.1:{port} for http.*HTTP_PORT"):
            check_port("127.0.0.1", port, "http")
    check_port("127.0.0.1", port, "http")


def test_this_machine_has_all_parts() -> None:
    triton = find_triton()
    assert triton.binary.is_file() and triton.stub.is_file()
    assert (triton.python_backend / "libtriton_python.so").is_file()
    assert ".so" in find_libpython(*libpython_places()).name


@pytest.mark.parametrize("name", ["", "libpython3.11.a", "libpython3.11.so.1.0"])
def test_an_interpreter_without_a_shared_library_is_told_how_to_get_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "libpython3.11.a").touch()
    with pytest.raises(LaunchError, match=r"no shared libpython.*apt-get install.*--enable-shared"):
        find_libpython(name, [tmp_path])
