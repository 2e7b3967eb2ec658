"""Arguments before environment variables before defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonface import TLS, InvalidArgumentError
from tritonface._address import resolve


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ({}, {}, ("127.0.0.1:8001", "grpc", 30)),
        ({"protocol": "http"}, {}, ("127.0.0.1:8000", "http", 30)),
        ({}, {"TRITONFACE_PROTOCOL": "http"}, ("127.0.0.1:8000", "http", 30)),
        ({}, {"TRITONFACE_URL": "host:1", "TRITONFACE_TIMEOUT_S": "2.5"}, ("host:1", "grpc", 2.5)),
        ({"url": "b:2", "timeout_s": 3}, {"TRITONFACE_URL": "a:1", "TRITONFACE_TIMEOUT_S": "x"}, ("b:2", "grpc", 3)),
        ({"url": "[::1]:8001"}, {"TRITONFACE_URL": "", "TRITONFACE_TIMEOUT_S": ""}, ("[::1]:8001", "grpc", 30)),
    ],
)
def test_where_settings_come_from(
    arguments: dict[str, object], environment: dict[str, str], expected: tuple[str, str, float]
) -> None:
    address = resolve(**arguments, environment=environment)
    assert (address.url, address.protocol, address.timeout_s) == expected


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
        ({"tls": True}, {}, "tls must be a tritonface.TLS, got bool"),
    ],
)
def test_settings_of_no_use(arguments: dict[str, object], environment: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        resolve(**arguments, environment=environment)


def test_header_names_are_lower_case_as_grpc_wants_them() -> None:
    assert dict(resolve(headers={"X-Key": "Value"}, environment={}).headers) == {"x-key": "Value"}


def test_tls_files(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(InvalidArgumentError, match=r"ca_file '.*gone\.pem' is not a file"):
        TLS(ca_file=tmp_path / "gone.pem")
    with pytest.raises(InvalidArgumentError, match="cert_file and key_file together"):
        TLS(cert_file=tmp_path / "no.pem")
    with pytest.raises(InvalidArgumentError, match="PEM files cannot be used"):
        TLS(ca_file=tmp_path / "no.pem").context()
    assert TLS().context().check_hostname
