"""On what a training runs: the CPU, one GPU, or several by data parallelism."""

from __future__ import annotations

import paddle

from training.config import ConfigError
from tritonface_server.cpus import usable_cpus


def devices_of(setting: str) -> list[str]:
    """The devices of `Global.device`, as Paddle names them.

    Raises:
        ConfigError: this Paddle or this machine does not have them.
    """
    if setting == "cpu":
        return ["cpu"]
    if not paddle.is_compiled_with_cuda():
        raise ConfigError(
            f"Global.device is {setting}, but the installed Paddle ({paddle.__version__}) runs on CPUs only; install "
            "paddlepaddle-gpu of the same version, or set Global.device=cpu"
        )
    numbers = [int(number) for number in setting.partition(":")[2].split(",") if number] or [0]
    there = paddle.device.cuda.device_count()
    missing = [number for number in numbers if number >= there]
    if missing or len(set(numbers)) < len(numbers):
        raise ConfigError(
            f"Global.device is {setting}; this machine has {there} GPUs, numbered from 0, each to be given once"
        )
    return [f"gpu:{number}" for number in numbers]


def use_device(device: str) -> None:
    """Compute on a device from now on; the CPU gets as many threads as this process may use, not Paddle's one."""
    paddle.set_device(device)
    if device == "cpu":
        paddle.base.core.set_num_threads(usable_cpus())
