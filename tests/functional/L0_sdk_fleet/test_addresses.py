"""Several addresses, in a list or behind one name: over both protocols, with TLS, from the SDK and the command."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import write_certificates
from tests.forwarder import Forwarder
from tritonface import TLS, Connection, ModelNotFoundError, ServerUnavailableError, create_async_model, create_model
from tritonface._cli import main
from tritonface_server.server import TritonServer

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
NAME = "faces.test"
SIDE_PX = 160  # of the network's input: finds faces, costs little
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])


@pytest.fixture
def nobody() -> Iterator[str]:
    """host:port where nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def three(server: TritonServer, protocol: str) -> Iterator[Forwarder]:
    """The server at three addresses."""
    with Forwarder(getattr(server.endpoints, f"{protocol}_port"), HOSTS) as forwarder:
        yield forwarder


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that stands for the three."""
    ask_system = socket.getaddrinfo

    def look_up(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        hosts = HOSTS if host == NAME else [host]
        return [found for each in hosts for found in ask_system(each, port, *arguments, **options)]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return NAME


@PROTOCOLS
def test_a_list(three: Forwarder, protocol: str, nobody: str, astronaut: Path) -> None:
    urls = [nobody, *three.urls()]
    for _ in range(2):  # whichever is asked first
        with create_model("BlazeFace", img_size=SIDE_PX, url=urls, protocol=protocol) as model:
            results = list(model.predict([astronaut] * 6, batch_size=6))
        assert all(result["boxes"] == results[0]["boxes"] for result in results) and results[0]["boxes"]
    assert {*three.received} == {*HOSTS} and min(three.received.values()) > astronaut.stat().st_size


@PROTOCOLS
def test_a_name(three: Forwarder, protocol: str, name: str, astronaut: Path) -> None:
    async def predict() -> int:
        async with create_async_model(
            "BlazeFace", img_size=SIDE_PX, url=f"{name}:{three.port}", protocol=protocol
        ) as model:
            return len([result async for result in model.predict([astronaut] * 6, batch_size=6)])

    assert asyncio.run(predict()) == 6
    assert {*three.received} == {*HOSTS}


@PROTOCOLS
def test_a_name_of_a_certificate(
    server: TritonServer, protocol: str, name: str, astronaut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the name that has to stand there, and not the address that is connected to."""
    monkeypatch.setattr("tests.certificates.NAMES", f"subjectAltName=DNS:{NAME}")
    write_certificates(tmp_path, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    tls = TLS(tmp_path / "ca.pem")
    with Forwarder(getattr(server.endpoints, f"{protocol}_port"), HOSTS, context) as three:
        with create_model(
            "BlazeFace", img_size=SIDE_PX, connection=Connection(f"{name}:{three.port}", protocol, tls=tls)
        ) as model:
            assert len(list(model.predict([astronaut] * 6, batch_size=6))) == 6
        assert {*three.received} == {*HOSTS}
        with pytest.raises(ServerUnavailableError, match="; the same at 127"):
            create_model("BlazeFace", img_size=SIDE_PX, connection=Connection(three.urls(), protocol, tls=tls))


@PROTOCOLS
def test_one_that_hangs_in_the_middle(three: Forwarder, protocol: str, server: TritonServer, astronaut: Path) -> None:
    urls = [getattr(server.endpoints, protocol), three.urls()[0]]
    with create_model("BlazeFace", img_size=SIDE_PX, url=urls, protocol=protocol) as model:
        run = model.predict([astronaut] * 12, batch_size=6)
        found = [len(next(run)) for _ in range(3)]
        three.is_silent = True
        found += [len(result) for result in run]
    assert found == [found[0]] * 12


@PROTOCOLS
def test_nobody_has_it(three: Forwarder, protocol: str, nobody: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no detector 'Nope'; .*; the same at 127.*, 127"):
        create_model("Nope", url=three.urls(), protocol=protocol)
    with pytest.raises(ServerUnavailableError, match=f"answers .* at {nobody}"):
        create_model("BlazeFace", img_size=SIDE_PX, url=nobody, protocol=protocol)


@pytest.mark.parametrize("protocol", ["grpc"])
def test_the_command(
    three: Forwarder, nobody: str, astronaut: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, alone = ",".join(three.urls()[:2]), three.urls()[2]
    assert main(["predict", str(astronaut), "--model", "BlazeFace", "--url", f"{nobody},{good}"]) == 0
    assert main(["models", "--json", "--url", f"{nobody},{alone}"]) == 0
    assert "BlazeFace" in [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()[1:]]
    monkeypatch.setenv("TRITONFACE_URL", good)
    assert main(["health", "--model", "BlazeFace", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["url"], each["good"]) for each in told] == [(url, True) for url in good.split(",")]
    assert main(["health", "--model", "BlazeFace", "--url", f"{alone},{nobody}"]) == 3
    printed = capsys.readouterr()
    assert printed.out.startswith(f"ready: grpc at {alone}") and nobody in printed.err
