"""What these tests need of a machine, told in one line before any of them runs, and the image they share.

`make test-deploy` runs them, `make test` does not: they build an image, and need root and Debian's packages.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.deploy.containers import Container, build_image, running

PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "netavark": "netavark",
    "aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nginx": "nginx-light",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "openssl": "openssl",
}
"""Programs, and the packages of Debian 12 that have them."""
FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/podman"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop at once, and with a failure, where programs are missing."""
    if not any("deploy" in item.path.parts for item in session.items):
        return
    missing = {package for program, package in PACKAGES.items() if shutil.which(program, path=FOLDERS) is None}
    if missing:
        pytest.exit(f"make test-deploy needs more programs: apt-get install {' '.join(sorted(missing))}", returncode=1)


@pytest.fixture(scope="session")
def image() -> str:
    """The image on Debian, built by `make image`."""
    return build_image()


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """One that trusts whoever reaches its ports, which are this machine's alone."""
    with running(image, "--insecure") as started:
        yield started
