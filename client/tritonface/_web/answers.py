"""The faces of photos as the page shows them and hands them out: pictures, rows, times, files."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonface._async_detector import AsyncFaceDetector
from tritonface._result import DetectionResult
from tritonface._web.stages import ServerTimes

HEADERS = ["", "score", "x min", "y min", "x max", "y max"]
UNDER_WAY = 4
STAGES = {"encode": "read", "wait": "server", "draw": "draw"}
"""Times of a photo, and what the page calls them."""
SHOWN_SIDE_PX = 1280
"""Of a moving picture; photos are shown as they are."""
PHOTO_QUALITY, LIVE_QUALITY = 92, 80


@dataclass(frozen=True)
class Answer:
    """One photo.

    Attributes:
        name: of the file, as it was dropped.
        error: why it has no boxes, "" for a good one.
        picture: a file with the boxes drawn; None without a result.
        times_ms: by stage, in order.
    """

    name: str
    boxes: list[dict[str, Any]]
    error: str
    warning: str | None
    picture: Path | None
    times_ms: dict[str, float]

    @property
    def json(self) -> dict[str, Any]:
        more = {"error": self.error, "warning": self.warning}
        told = {key: value for key, value in more.items() if value}
        times = {key: round(value, 3) for key, value in self.times_ms.items()}
        return {"input_path": self.name, "boxes": self.boxes, **told, "times_ms": times}

    @property
    def rows(self) -> list[list[float]]:
        """For the table under `HEADERS`; boxes in pixels of the upright photo."""
        return [
            [number, round(box["score"], 3), *(round(side, 1) for side in box["coordinate"])]
            for number, box in enumerate(self.boxes, 1)
        ]

    @property
    def caption(self) -> str:
        return f"{self.name}: {faces(len(self.boxes))}"


def faces(count: int) -> str:
    """`1 face`, `2 faces`."""
    return f"{count} {'face' if count == 1 else 'faces'}"


async def find(model: AsyncFaceDetector, files: Sequence[str], threshold: float, folder: Path) -> list[Answer]:
    """Send photos, a few at a time; pictures with boxes are written into the folder."""
    answers: list[Answer] = []
    async for result in model.predict(list(files), UNDER_WAY, threshold, on_error="yield"):
        number = len(answers)
        answers.append(await asyncio.to_thread(_drawn, result, Path(files[number]), folder / str(number)))
    return answers


def _drawn(result: DetectionResult, path: Path, folder: Path) -> Answer:
    if result.error is not None:
        return Answer(path.name, [], result.error.message.replace(str(path), path.name), None, None, {})
    began_s = time.perf_counter()
    folder.mkdir(parents=True)
    picture = folder / f"{path.stem}_faces.jpg"
    result.img["res"].save(picture, quality=PHOTO_QUALITY)
    return Answer(path.name, result["boxes"], "", result.warning, picture, _times(result, began_s))


def answer_of(result: DetectionResult) -> tuple[Answer, str]:
    """A camera's picture or a video's: the answer, and the picture with boxes as a data URL."""
    began_s = time.perf_counter()
    drawn = result.img["res"]
    drawn.thumbnail((SHOWN_SIDE_PX, SHOWN_SIDE_PX))
    written = io.BytesIO()
    drawn.save(written, "JPEG", quality=LIVE_QUALITY)
    data_url = "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
    return Answer("", result["boxes"], "", result.warning, None, _times(result, began_s)), data_url


def _times(result: DetectionResult, began_s: float) -> dict[str, float]:
    times = {**(result.timings_ms or {}), "draw": 1e3 * (time.perf_counter() - began_s)}
    return {stage: times[stage] for stage in STAGES if stage in times}


def headline(answer: Answer, title: str, inside: ServerTimes | None = None) -> str:
    """HTML: how many faces, whose answer, and how long each stage took, inside the server too where it tells."""
    title = f'<span class="who">{html.escape(title)}</span>'
    total_ms = sum(answer.times_ms.values())
    parts = "".join(
        f'<i class="{stage}" style="flex:{max(time_ms, total_ms / 50):.1f}"></i>'
        for stage, time_ms in answer.times_ms.items()
    )
    words = "".join(
        f'<span class="{stage}">{STAGES[stage]} <b>{time_ms:.0f} ms</b></span>'
        for stage, time_ms in answer.times_ms.items()
    )
    warning = f'<div class="warning">{html.escape(answer.warning)}</div>' if answer.warning else ""
    count = f'<span class="count">{faces(len(answer.boxes))}</span>'
    return (
        f'<div class="answer">{count}{title}</div><div class="bar">{parts}</div><div class="times">{words}</div>'
        f"{_inside(inside)}{warning}"
    )


def _inside(inside: ServerTimes | None) -> str:
    if inside is None:
        return ""
    words = ", ".join(f"{name} <b>{time_ms:.0f}</b>" for name, time_ms in inside.times_ms.items())
    whose = "" if inside.requests == 1 else f", average of {inside.requests} requests"
    return f'<div class="inside">in the server, ms: {words}{whose}</div>'


def problem(message: str) -> str:
    """HTML of what went wrong."""
    return f'<div class="problem" role="alert">{html.escape(message)}</div>'


def write_files(answers: Sequence[Answer], about: dict[str, Any], folder: Path) -> tuple[Path, Path | None]:
    """The JSON file of all photos; the picture, or an archive of several, None if there is none."""
    stem = Path(answers[0].name).stem if len(answers) == 1 else "faces"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stem}.json"
    content = {**about, "results": [answer.json for answer in answers]}
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
    pictures = [answer.picture for answer in answers if answer.picture]
    if len(pictures) < 2:
        return file, next(iter(pictures), None)
    archive = folder / "faces.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as written:
        for number, picture in enumerate(pictures, 1):
            written.write(picture, f"{number:03d}_{picture.name}")
    return file, archive
