"""What a server's configurations say of a detector, and whether it is what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tritonface import InvalidArgumentError
from tritonface._served import Served, _devices, check_device, check_img_size


def steps(*groups: dict[str, Any]) -> list[dict[str, Any]]:
    """Pre- and postprocessing on a CPU, and a network with these instance groups."""
    python = {"backend": "python", "instance_group": [{"kind": "KIND_CPU"}]}
    return [python, {"backend": "onnxruntime", "instance_group": list(groups)}, python]


CPU = {"kind": "KIND_CPU", "count": 2}
TWO_GPUS = {"kind": "KIND_GPU", "gpus": [0, 1]}
SOME_GPU = {"kind": "KIND_GPU"}


def served(*groups: dict[str, Any], multiple: int = 1) -> Served:
    limits = {"multiple": multiple, "min_px": 32, "max_px": 2048}
    configs = steps(*groups)
    return Served("BlazeFace", ["face"], limits, _devices(configs), {}, tuple(configs))


@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ([], ("cpu",)),
        ([CPU], ("cpu",)),
        ([TWO_GPUS], ("gpu:0", "gpu:1")),
        ([SOME_GPU], ("gpu",)),
        ([CPU, TWO_GPUS, CPU], ("cpu", "gpu:0", "gpu:1")),
        ([{"count": 1}], ("gpu",)),
    ],
)
def test_where_the_network_runs(groups: list[dict[str, Any]], devices: tuple[str, ...]) -> None:
    assert served(*groups).devices == devices


@pytest.mark.parametrize(
    ("device", "group", "fits"),
    [
        (None, CPU, True),
        (None, TWO_GPUS, True),
        ("cpu", CPU, True),
        ("cpu", TWO_GPUS, False),
        ("gpu", CPU, False),
        ("gpu", TWO_GPUS, True),
        ("gpu", SOME_GPU, True),
        ("gpu:1", TWO_GPUS, True),
        ("gpu:2", TWO_GPUS, False),
        ("gpu:0", SOME_GPU, False),
    ],
)
def test_devices(device: str | None, group: dict[str, Any], fits: bool) -> None:
    if fits:
        check_device(device, served(group))
    else:
        with pytest.raises(InvalidArgumentError, match=rf"the server runs 'BlazeFace' on .*, not on '{device}'"):
            check_device(device, served(group))


@pytest.mark.parametrize(
    ("img_size", "multiple", "expected"),
    [(None, 1, None), (320, 32, (320, 320)), ([640, 512], 32, (640, 512)), ((33, 2048), 1, (33, 2048))],
)
def test_sizes(img_size: object, multiple: int, expected: tuple[int, int] | None) -> None:
    assert check_img_size(img_size, served(CPU, multiple=multiple)) == expected


@pytest.mark.parametrize("img_size", [33, 31, 2080, [320], [320, 320, 320], "320", 320.0, [320, None]])
def test_sizes_of_no_use(img_size: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"from 32 to 2048, multiples of 32; got"):
        check_img_size(img_size, served(CPU, multiple=32))
