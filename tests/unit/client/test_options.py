"""The arguments of `create_model`: one list, and numbers of every kind."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tritonface
from tritonface import Connection, InvalidArgumentError, UrlPolicy
from tritonface._options import Options, checked_batch_size, checked_threshold
from tritonface._served import Served, check_img_size

SERVED = Served("X", ["face"], {"multiple": 32, "min_px": 32, "max_px": 2048}, ("cpu",), {}, ())


@pytest.mark.parametrize("name", ["create_model", "create_async_model"])
def test_both_functions_show_the_arguments_of_the_one_list(name: str) -> None:
    function = getattr(tritonface, name)
    assert inspect.signature(function).parameters == inspect.signature(Options).parameters
    assert function.__name__ == name
    with pytest.raises(TypeError, match="unexpected keyword argument 'treshold'"):
        function("BlazeFace", treshold=0.5)


def test_what_is_not_asked_for_is_off() -> None:
    plain = Options("X")
    assert (plain.use_hpip, plain.strict, plain.timings) == (False, False, False)


def test_the_connection_in_short_and_in_full() -> None:
    assert Options("X", url="h:1", protocol="http").connection == Connection("h:1", "http")
    full = Connection("h:1", timeout_s=3)
    assert Options("X", connection=full).connection is full


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_name": ""}, "model_name must be the name of a model, got ''"),
        ({"model_name": 7}, "model_name"),
        ({"connection": "h:1"}, r"connection must be a tritonface\.Connection, got str"),
        ({"connection": Connection("h:1"), "url": "h:2"}, "are short for connection="),
        ({"connection": Connection("h:1"), "protocol": "grpc"}, "are short for connection="),
        ({"urls": True}, r"urls must be a tritonface\.UrlPolicy, got bool"),
        ({"threshold": "0.5"}, "threshold must be a number between 0 and 1, got '0.5'"),
        ({"batch_size": 1.0}, "batch_size must be a whole number from 1 on, got 1.0"),
        ({"tiles": 31}, r"tiles is a number or \[width, height\] .* from 32 to 32768, pixels of the image; got 31"),
        ({"tiles": [640, 480.0]}, "tiles is a number"),
        ({"max_side_px": 15}, "max_side_px must be a whole number of pixels from 16 on"),
        pytest.param(
            {"pp_option": object()}, "pp_option has no effect here: .*device=", marks=pytest.mark.fault("A12")
        ),
        pytest.param({"hpi_config": {}}, "hpi_config has no effect here: .*use_hpip=", marks=pytest.mark.fault("A12")),
    ],
)
def test_arguments_of_no_use(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Options(**{"model_name": "X", **arguments})


@pytest.mark.parametrize("tiles", [640, [640, 640], (640, 640), np.int16(640), np.array([640, 640])])
def test_tiles(tiles: Any) -> None:
    assert Options("X", tiles=tiles).tile_wh == (640, 640)
    assert Options("X").tile_wh is None


@pytest.mark.parametrize("make", [tritonface.create_model, tritonface.create_async_model])
@pytest.mark.parametrize("name", ["timeout_s", "retries", "tls", "headers", "shared_memory"])
def test_what_belongs_to_the_connection(make: Any, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"{name} belongs to the server: .*Connection\({name}=\.\.\.\)"):
        make("X", **{name: 1})


WHOLE = [2, np.int64(2), np.uint8(2), np.array(2), np.array(2, np.int16)]
NUMBERS = [
    0.5,
    np.float32(0.5),
    np.float64(0.5),
    np.float16(0.5),
    np.array(0.5),
    np.array(0.5, np.float32),
    Fraction(1, 2),
]
NO_NUMBERS = [True, False, np.True_, np.array(True), "2", None, [2], np.array([2]), np.array([[2, 2]]), 2j, object()]


@pytest.mark.fault("A10")
@pytest.mark.parametrize("value", WHOLE)
def test_whole_numbers(value: Any) -> None:
    assert checked_batch_size(value) == 2 and type(checked_batch_size(value)) is int
    assert Options("X", max_side_px=np.int32(640)).max_side_px == 640
    assert check_img_size(value * 320, SERVED) == (640, 640)
    policy = UrlPolicy(max_bytes=value, max_redirects=value, timeout_s=value)
    assert (policy.max_bytes, policy.max_redirects, policy.timeout_s) == (2, 2, 2)


@pytest.mark.fault("A10")
@pytest.mark.parametrize("value", NUMBERS)
def test_numbers(value: Any) -> None:
    assert checked_threshold(value) == 0.5 and type(checked_threshold(value)) is float


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, np.float32(1)])
def test_the_outermost_thresholds(value: Any) -> None:
    assert checked_threshold(value) == value


@pytest.mark.fault("A10")
@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.0, np.float32(2), float("nan")])
def test_no_whole_numbers(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        checked_batch_size(value)
    if value is not None:
        with pytest.raises(InvalidArgumentError, match="max_side_px"):
            Options("X", max_side_px=value)


@pytest.mark.fault("A10")
@pytest.mark.parametrize(
    "value", [*filter(lambda v: v is not None, NO_NUMBERS), np.float32("nan"), -0.1, 1.5, float("inf")]
)
def test_no_thresholds(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="threshold"):
        checked_threshold(value)


@pytest.mark.fault("A10")
@pytest.mark.parametrize(
    "value",
    [
        [640, 512],
        (640, 512),
        np.array([640, 512]),
        np.array([640, 512], np.uint16),
        [np.int64(640), np.int32(512)],
        (np.array(640), 512),
    ],
)
def test_sizes(value: Any) -> None:
    size = check_img_size(value, SERVED)
    assert size == (640, 512) and all(type(side) is int for side in size)


@pytest.mark.fault("A10")
@pytest.mark.parametrize(
    "value",
    [
        0,
        -640,
        650,
        4096,
        640.0,
        True,
        "640",
        [],
        [640],
        [640, 512, 3],
        [640, "512"],
        [True, 640],
        [[640, 512]],
        np.array([640.0, 512.0]),
        np.array([[640, 512]]),
        np.array([640]),
        np.array([True, True]),
        {640, 512},
    ],
)
def test_no_sizes(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"img_size is a number or \[width, height\].*multiples of 32"):
        check_img_size(value, SERVED)
