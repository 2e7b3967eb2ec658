from __future__ import annotations

import json
import math
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from training.config import ConfigError, Train, load_config
from training.detectors import DETECTORS
from training.engine.memory import check_step, free_bytes, free_in_cgroups
from training.paths import ROOT


def train_of(model: str, *settings: str) -> Train:
    return load_config(ROOT / f"training/configs/{model}.yaml", [f"Train.{setting}" for setting in settings]).Train


@pytest.mark.fault("B26")
@pytest.mark.parametrize(
    ("settings", "free", "message"),
    [
        ([], 27e9, None),
        (
            [],
            20e9,
            r"a step of 8 pictures of 1280x1280 px needs about 26\.2 GB of memory, and 20\.0 GB are free; "
            r"set Train\.batch_size=6, .*, or keep of Train\.image_sizes those up to 1088",
        ),
        ([], 1e9, r"1\.0 GB are free; train at sides of up to 224 px"),
        (["image_sizes=[]"], 5e9, r"8 pictures of 640x640 .* set Train\.batch_size=6, .* sides of up to 544 px"),
        ([], 1e6, "0.0 GB are free; free some"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(settings: list[str], free: float, message: str | None) -> None:
    train = train_of("PicoDet_LCNet_x2_5_face", *settings)
    with pytest.raises(ConfigError, match=message) if message else nullcontext():
        check_step(2000, train, 8, free)


MEASURE = """
import json
import numpy as np, paddle
from training.config import load_config
from training.detectors import DETECTORS
from training.engine.devices import use_device
from training.engine.memory import bytes_per_pixel
from training.engine.training_step import TrainingStep, loss_of_epoch
from training.paths import ROOT

SIDE_PX, BATCH = 256, 3
PICTURES = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE_PX, SIDE_PX, 3), np.uint8)
FACES = np.tile(np.array([[20, 20, 90, 90], [99, 99, 200, 220]], np.float32), (BATCH, 1, 1))

def ratio(detector):
    train = load_config(ROOT / f"training/configs/{detector.name}.yaml").Train
    step = TrainingStep(detector.build_network(), detector, loss_of_epoch(detector, train, 0))
    step.train()
    inputs = [paddle.to_tensor(array) for array in (PICTURES, FACES, np.zeros((BATCH, 2), np.int64))]
    step(*inputs)["loss"].backward()
    core = paddle.base.core
    core.host_memory_stat_reset_peak_value("Allocated", 0)
    before = core.host_memory_stat_current_value("Allocated", 0)
    step(*inputs)["loss"].backward()
    allocated = core.host_memory_stat_peak_value("Allocated", 0) - before
    return allocated / (BATCH * SIDE_PX**2) / bytes_per_pixel(detector, train)

use_device("cpu")
print(json.dumps({name: ratio(detector) for name, detector in DETECTORS.items()}))
"""


@pytest.fixture(scope="module")
def ratios() -> dict[str, float]:
    """By detector: what a step allocates for each pixel, in parts of what a small one said."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.fault("B26")
@pytest.mark.parametrize("model", DETECTORS)
def test_a_larger_step_needs_what_the_small_one_says(model: str, ratios: dict[str, float]) -> None:
    assert ratios[model] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("own_cgroups", "files", "expected"),
    [
        ("", {}, math.inf),
        ("0::/\n", {}, math.inf),
        ("0::/", {"memory.max": "max", "memory.current": "5", "memory.stat": "inactive_file 1"}, math.inf),
        ("0::/", {"memory.max": "900", "memory.current": "500", "memory.stat": "anon 3\ninactive_file 100"}, 500),
        ("0::/a/b", {"a/memory.max": "70", "a/memory.current": "30", "a/memory.stat": "anon 0"}, 40),
        ("0::/elsewhere", {"memory.max": "70", "memory.current": "30", "memory.stat": "anon 0"}, 40),
        (
            "4:memory:/x",
            {
                "memory/x/memory.limit_in_bytes": "70",
                "memory/x/memory.usage_in_bytes": "30",
                "memory/x/memory.stat": "total_inactive_file 5",
                "memory/memory.limit_in_bytes": str(2**63 - 4096),
            },
            45,
        ),
        ("3:cpuset:/", {"memory/memory.limit_in_bytes": "70"}, math.inf),
    ],
)
def test_what_a_container_leaves(own_cgroups: str, files: dict[str, str], expected: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert free_in_cgroups(own_cgroups, tmp_path) == expected


def test_this_machine_has_some() -> None:
    assert 2**20 < free_bytes() < math.inf
