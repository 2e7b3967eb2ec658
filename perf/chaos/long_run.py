"""A long run of mixed requests, one in a hundred bad: does anything grow?"""

from __future__ import annotations

import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from perf import resources
from perf.chaos.callers import PROTOCOLS, boxes_of, same
from perf.chaos.launched import Launched, left_over
from perf.chaos.row import Promise, Row
from perf.photos import photo
from perf.settings import WATCHED
from tritonface import Connection, DetectionResult, ImageError, create_model

FORMATS = (".jpg", ".png", ".bmp", ".webp")
MEGAPIXELS = (0.05, 0.3, 1.0)
SIZES = (None, 320, [640, 416])
BAD_SHARE = 0.01
LEGS = 10
CALLERS = 8
WARM_UP = 2
"""Legs that do not count as the beginning: every variant, size and format has to have been there."""


def long_run(server: Launched, requests: int) -> Row:
    """So many images over both protocols, formats, sizes and variants in turn; what the server has after each leg."""
    legs: list[dict[str, float]] = []
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="tritonface-chaos-") as folder:
        images, bad = files(Path(folder))
        callers = [Caller(server, number, images, bad) for number in range(CALLERS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            for _ in range(LEGS):
                wrong += sum(pool.map(lambda caller: caller.ask(max(1, requests // LEGS // CALLERS)), callers))
                legs.append(state(server))
        for caller in callers:
            caller.model.close()
    first, last = legs[min(WARM_UP, LEGS - 1)], legs[-1]
    bounds = {"memory, MiB": 1.05, "handles": 1.02, "/dev/shm, MiB": 1.1}  # its pools grow in steps, up to a bound
    grown = [Promise(name, last[name] / max(first[name], 1), bound) for name, bound in bounds.items()]
    files_more = last["files"] - first["files"]
    return Row(
        f"{requests:,} mixed requests, 1 % bad",
        f"{CALLERS} SDK callers, both protocols, {len(FORMATS)} formats, {len(SIZES)} input sizes, both variants",
        [Promise("wrong", wrong, 0), *grown, Promise("more files and segments", files_more, 0)],
        [f"memory {first['memory, MiB']:.0f} -> {last['memory, MiB']:.0f} MiB"],
        {"legs": legs},
    )


class Caller:
    """One who asks about files in random order: protocols, variants and input sizes in turn."""

    def __init__(self, server: Launched, number: int, images: list[Path], bad: Path) -> None:
        protocol = PROTOCOLS[number % 2]
        connection = Connection(getattr(server.endpoints, protocol), protocol, timeout_s=120)
        size = SIZES[number % len(SIZES)]
        self.model = create_model(WATCHED, use_hpip=number // 2 % 2 == 1, img_size=size, connection=connection)
        self.images, self.bad, self.chance = images, bad, random.Random(number)
        self.right = {image: boxes_of(result) for image, result in zip(images, self.model.predict(images))}

    def ask(self, count: int) -> int:
        """Ask about so many files; how many answers are not what they should be."""
        asked = [
            self.bad if self.chance.random() < BAD_SHARE else self.chance.choice(self.images) for _ in range(count)
        ]
        results = list(self.model.predict(asked, batch_size=2, on_error="yield"))
        return count - sum(self._is_right(*pair) for pair in zip(asked, results))

    def _is_right(self, path: Path, result: DetectionResult) -> bool:
        if path == self.bad:
            return isinstance(result.error, ImageError)
        return result.error is None and same(boxes_of(result), self.right[path])


def files(folder: Path) -> tuple[list[Path], Path]:
    """Photos of several sizes and formats, and a file that is none."""
    images = []
    for megapixels in MEGAPIXELS:
        picture = cv2.imdecode(np.frombuffer(photo(megapixels), np.uint8), cv2.IMREAD_COLOR)
        for suffix in FORMATS:
            images.append(folder / f"{megapixels}{suffix}")
            cv2.imwrite(str(images[-1]), picture)
    bad = folder / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 no picture" * 100)
    return images, bad


def state(server: Launched) -> dict[str, Any]:
    """What could grow."""
    handles = sum(process.num_fds() for process in resources.tree(server.pid) if _alive(process))
    return {
        "memory, MiB": server.memory_mib(),
        "handles": handles,
        "/dev/shm, MiB": resources.shared_memory_mib(server.pid),
        "files": len(left_over(server.cache)),
    }


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
