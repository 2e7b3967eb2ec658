"""Arguments before environment variables before defaults."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tritonface import TLS, Connection, InvalidArgumentError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "PROTOCOL", "TIMEOUT_S"):
        monkeypatch.delenv(f"TRITONFACE_{name}", raising=False)


def connection(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], environment: dict[str, str]
) -> Connection:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Connection(**arguments)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ({}, {}, ("127.0.0.1:8001", "grpc", 30)),
        ({"protocol": "http"}, {}, ("127.0.0.1:8000", "http", 30)),
        ({}, {"TRITONFACE_PROTOCOL": "http"}, ("127.0.0.1:8000", "http", 30)),
        ({}, {"TRITONFACE_URL": "host:1", "TRITONFACE_TIMEOUT_S": "2.5"}, ("host:1", "grpc", 2.5)),
        ({"url": "b:2", "timeout_s": 3}, {"TRITONFACE_URL": "a:1", "TRITONFACE_TIMEOUT_S": "x"}, ("b:2", "grpc", 3)),
        ({"url": "[::1]:8001"}, {"TRITONFACE_URL": "", "TRITONFACE_TIMEOUT_S": ""}, ("[::1]:8001", "grpc", 30)),
        ({"url": ["a:1", " b:2", "a:1"]}, {}, ("a:1,b:2", "grpc", 30)),
        ({"url": "a:1, b:2"}, {}, ("a:1,b:2", "grpc", 30)),
        ({}, {"TRITONFACE_URL": "a:1,b:2"}, ("a:1,b:2", "grpc", 30)),
    ],
)
def test_where_settings_come_from(
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object],
    environment: dict[str, str],
    expected: tuple[str, str, float],
) -> None:
    made = connection(monkeypatch, arguments, environment)
    assert (made.url, made.protocol, made.timeout_s) == expected


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"protocol": "ftp"}, {}, "protocol must be one of 'grpc', 'http', got 'ftp'"),
        ({"url": "http://a:1"}, {}, "without a scheme"),
        ({"url": "localhost"}, {}, "url is host:port"),
        ({"url": "a:b"}, {}, "url is host:port"),
        ({"url": "::1:8001"}, {}, "url is host:port"),
        ({}, {"TRITONFACE_TIMEOUT_S": "soon"}, "TRITONFACE_TIMEOUT_S must be a number of seconds, got 'soon'"),
        ({}, {"TRITONFACE_TIMEOUT_S": "-1"}, "timeout_s must be a positive number"),
        ({"timeout_s": 0}, {}, "timeout_s must be a positive number"),
        ({"timeout_s": float("nan")}, {}, "timeout_s"),
        ({"timeout_s": float("inf")}, {}, "timeout_s"),
        ({"timeout_s": True}, {}, "timeout_s"),
        ({"timeout_s": "5"}, {}, "timeout_s"),
        ({"retries": -1}, {}, "retries must be a whole number"),
        ({"retries": 1.5}, {}, "retries must be a whole number"),
        ({"url": 8001}, {}, "url is host:port"),
        ({"url": []}, {}, "url is host:port"),
        ({"url": ["a:1", 8001]}, {}, "url is host:port"),
        ({"url": ["a:1,b:2"]}, {}, "url is host:port"),
        ({"url": "a:1,,b:2"}, {}, "url is host:port"),
        ({"url": ["a:1", "https://b:2"]}, {}, "without a scheme"),
        ({"retries": True}, {}, "retries"),
        ({"timeout_s": np.bool_(True)}, {}, "timeout_s"),
        ({"timeout_s": np.array([1.0, 2.0])}, {}, "timeout_s"),
        ({"tls": True}, {}, "tls must be a tritonface.TLS, got bool"),
    ],
)
def test_settings_of_no_use(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        connection(monkeypatch, arguments, environment)


@pytest.mark.fault("A10")
@pytest.mark.parametrize("seconds", [2, 2.0, np.int64(2), np.float32(2), np.array(2), np.array(2.0), Fraction(2)])
def test_a_number_is_a_number(seconds: object) -> None:
    assert Connection(timeout_s=seconds).timeout_s == 2.0
    assert type(Connection(retries=np.int8(3)).retries) is int


def test_a_connection_is_a_value() -> None:
    made = Connection("host:1", headers={"x": "secret"})
    assert made == Connection("host:1", headers={"X": "secret"}) != Connection("host:2")
    assert pickle.loads(pickle.dumps(made)) == made and replace(made, retries=2).retries == 2  # noqa: S301
    assert "secret" not in repr(made)
    with pytest.raises(FrozenInstanceError):
        made.url = "host:2"


def test_several_servers() -> None:
    made = Connection(["a:1", "b:2"], retries=1)
    assert made.servers == ("a:1", "b:2") and Connection("a:1").servers == ("a:1",)
    assert replace(made, retries=2).servers == made.servers == pickle.loads(pickle.dumps(made)).servers  # noqa: S301


def test_header_names_are_lower_case_as_grpc_wants_them() -> None:
    assert dict(Connection(headers={"X-Key": "Value"}).headers) == {"x-key": "Value"}


def test_tls_files(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(InvalidArgumentError, match=r"ca_file '.*gone\.pem' is not a file"):
        TLS(ca_file=tmp_path / "gone.pem")
    with pytest.raises(InvalidArgumentError, match="cert_file and key_file together"):
        TLS(cert_file=tmp_path / "no.pem")
    with pytest.raises(InvalidArgumentError, match="PEM files cannot be used"):
        TLS(ca_file=tmp_path / "no.pem").context()
    assert TLS().context().check_hostname


def test_a_key_is_given_or_read_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("TRITONFACE_KEY", "TRITONFACE_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)
    assert Connection().key is None
    monkeypatch.setenv("TRITONFACE_KEY", "of the variable")
    assert Connection().key == "of the variable"
    (tmp_path / "key").write_text("of the file\n")
    monkeypatch.setenv("TRITONFACE_KEY_FILE", str(tmp_path / "key"))
    assert Connection().key == "of the file"
    assert Connection(key="given").key == "given" and "given" not in repr(Connection(key="given"))
    monkeypatch.setenv("TRITONFACE_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(InvalidArgumentError, match=r"TRITONFACE_KEY_FILE: .*missing' cannot be read"):
        Connection()
    with pytest.raises(InvalidArgumentError, match="key must be"):
        Connection(key="")
