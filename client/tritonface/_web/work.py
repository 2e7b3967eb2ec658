"""What is done for people: photos, camera pictures and videos, by one detector or two, into the parts of the page."""

from __future__ import annotations

import asyncio
import html
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from tritonface._errors import InvalidArgumentError, TritonFaceError
from tritonface._video import VideoFrame
from tritonface._video_file import facts_of
from tritonface._web.answers import answer_of, faces, find, headline, problem, write_files
from tritonface._web.detectors import Choice, Detectors
from tritonface._web.stages import between

VARIANTS = {"normal": False, "high-performance": True}
PHOTOS, CAMERA, VIDEO = "photos", "camera", "video"
"""The tabs; what goes on behind another one shows nothing."""
MAX_PHOTOS = 64
SHOW_INTERVAL_S = 0.25
"""Between two pictures of a video that are shown."""

Outputs = list[Any]


class Settings(NamedTuple):
    """What is chosen on the page; the second detector only where two are compared."""

    choices: list[Choice]
    threshold: float

    @classmethod
    def of(cls, *values: Any) -> Settings:
        name, variant, second_name, second_variant, compare, threshold, size = values
        text = str(size or "").strip()
        first = Choice(str(name or "").strip(), VARIANTS[variant], text)
        second = Choice(str(second_name or "").strip(), VARIANTS[second_variant], text)
        return cls([first, second] if compare else [first], float(threshold))


class Work:
    """Each method is an event's; it returns the outputs of both panels."""

    def __init__(self, detectors: Detectors, folder: Path) -> None:
        self._detectors, self._folder = detectors, folder

    async def photos(self, tab: str, files: list[str] | None, *values: Any) -> Outputs:
        """For each panel: headline, rows, two downloads, pictures, what `select` needs."""
        *chosen, before = values
        if tab != PHOTOS:
            return [gr.skip()] * 12
        settings = Settings.of(*chosen)
        if before:
            shutil.rmtree(before["folder"], ignore_errors=True)
        if not files:
            return _nothing("") * 2
        if len(files) > MAX_PHOTOS:
            return [*_nothing(problem(f"{len(files)} photos; at most {MAX_PHOTOS} at once")), *_nothing("")]
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        panels = await asyncio.gather(
            *(
                self._photos_of(choice, files, settings.threshold, folder, str(number))
                for number, choice in enumerate(settings.choices)
            )
        )
        return _both(panels, _nothing(""))

    async def _photos_of(self, choice: Choice, files: list[str], threshold: float, folder: Path, name: str) -> Outputs:
        try:
            model = await self._detectors.get(choice)
            before, steps = await self._detectors.statistics(), await self._detectors.steps(model.model_name)
            answers = await find(model, files, threshold, folder / name)
            inside = between(steps, before, await self._detectors.statistics()) if before else None
        except TritonFaceError as error:
            return [*_nothing(problem(str(error)))[:-1], {"folder": folder, "heads": []}]
        about = {"detector": model.model_name, "threshold": threshold, "input_size_wh": model.input_size_wh}
        if inside is not None:
            about["server_average_ms"] = {"requests": inside.requests, **inside.times_ms}
        file, picture = await asyncio.to_thread(write_files, answers, about, folder / name)
        title = _title(model)
        bad = "".join(problem(answer.error) for answer in answers if answer.error)
        good = [answer for answer in answers if answer.picture]
        heads = [[headline(answer, title, inside) + bad, answer.rows] for answer in good] or [[bad, []]]
        return [
            *heads[0],
            _download(picture),
            _download(file),
            gr.update(
                value=[(str(answer.picture), answer.caption) for answer in good], selected_index=0 if good else None
            ),
            {"folder": folder, "heads": heads},
        ]

    async def camera(self, tab: str, frame_rgb: Any, *values: Any) -> Outputs:
        """For each panel: headline, rows, picture. The frame is uint8 [H, W, 3]."""
        settings = Settings.of(*values)
        skipped: Outputs = [gr.skip()] * 3
        if tab != CAMERA or frame_rgb is None:
            return skipped * 2
        panels = await asyncio.gather(
            *(self._live(choice, frame_rgb, settings.threshold) for choice in settings.choices)
        )
        return _both(panels, skipped)

    async def _live(self, choice: Choice, frame_rgb: Any, threshold: float) -> Outputs:
        try:
            model = await self._detectors.get(choice)
            async for result in model.predict(frame_rgb[:, :, ::-1], 1, threshold):
                answer, picture = await asyncio.to_thread(answer_of, result)
                return [headline(answer, _title(model)), answer.rows, _image(picture)]
        except TritonFaceError as error:
            return [problem(str(error)), gr.skip(), gr.skip()]
        return [gr.skip()] * 3

    async def video(self, file: str | None, *values: Any) -> AsyncIterator[Outputs]:
        """Again and again, for each panel: headline, rows, two downloads, picture; then the folder of the files.

        The downloads are there at the end. The folder is what the next call gets as its last value, to be removed.
        """
        *chosen, before = values
        settings = Settings.of(*chosen)
        nothing = [*_nothing("")[:4], ""]
        if before:
            await asyncio.to_thread(shutil.rmtree, before, ignore_errors=True)
        if not file:
            yield [*nothing, *nothing, None]
            return
        path, folder = Path(file), Path(tempfile.mkdtemp(dir=self._folder))
        opening = ['<div class="answer">Opening the video</div>', *nothing[1:]]
        yield [*_both([opening] * len(settings.choices), nothing), folder]
        try:
            total = (await asyncio.to_thread(facts_of, file)).frames
            async with AsyncExitStack() as stack:
                films = [
                    await stack.enter_async_context(
                        Film(await self._detectors.get(choice), path, settings.threshold, folder / str(number), total)
                    )
                    for number, choice in enumerate(settings.choices)
                ]
                shown_s = 0.0
                while all(await asyncio.gather(*(film.step() for film in films))):
                    if time.monotonic() - shown_s > SHOW_INTERVAL_S:
                        shown_s = time.monotonic()
                        panels = [await asyncio.to_thread(film.outputs) for film in films]
                        yield [*_both(panels, nothing), folder]
            panels = [await asyncio.to_thread(film.outputs, done=True) for film in films]
            yield [*_both(panels, nothing), folder]
        except TritonFaceError as error:
            yield [problem(str(error).replace(str(path), path.name)), *nothing[1:], *nothing, folder]


class Film:
    """A video on its way through one detector: read, asked about, drawn, written, a picture at a time."""

    def __init__(self, model: Any, path: Path, threshold: float, folder: Path, total: int | None) -> None:
        self._model, self._path, self._threshold, self._total = model, path, threshold, total
        folder.mkdir(parents=True)
        self._video, self._lines = folder / f"{path.stem}_faces.mp4", folder / f"{path.stem}.jsonl"
        self._count, self._faces = 0, 0
        self._frame: VideoFrame | None = None

    async def __aenter__(self) -> Film:
        from tritonface.video import VideoWriter

        self._frames = self._model.predict_video(str(self._path), threshold=self._threshold)
        self._writer = VideoWriter(self._video)
        self._text = self._lines.open("w", encoding="utf-8")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._frames.aclose()
        await asyncio.to_thread(self._writer.close)
        self._text.close()

    async def step(self) -> bool:
        """One picture further; False at the end."""
        frame = await anext(self._frames, None)
        if frame is None:
            return False
        self._frame = frame
        self._count, self._faces = self._count + 1, self._faces + len(frame.result)
        await asyncio.to_thread(self._write, frame)
        return True

    def _write(self, frame: VideoFrame) -> None:
        self._writer.write(frame.drawn(), frame.time_s)
        line = {**frame.json, "input_path": self._path.name}
        self._text.write(json.dumps(line, ensure_ascii=False) + "\n")

    def outputs(self, done: bool = False) -> Outputs:
        """Of a panel: how far it is, or the files at the end."""
        if self._frame is None:
            raise InvalidArgumentError(f"{self._path.name} holds no picture")
        answer, picture = answer_of(self._frame.result)
        of_total = f" of {self._total}" if self._total and not done else ""
        place = f"{self._count}{of_total} pictures, {faces(self._faces)} in them"
        where = f'<div class="place">{html.escape(place)}{"" if done else " so far"}</div>'
        files = [_download(self._video), _download(self._lines)] if done else [_download(None)] * 2
        return [headline(answer, _title(self._model)) + where, answer.rows, *files, _image(picture)]


def _both(panels: list[Outputs], nothing: Outputs) -> Outputs:
    """The outputs of two panels, of which the second may be out of use."""
    return [*panels[0], *(panels[1] if len(panels) > 1 else nothing)]


def _nothing(head: str) -> Outputs:
    return [head, [], _download(None), _download(None), [], None]


def _download(path: Path | None) -> Any:
    return gr.update(value=str(path) if path else None, interactive=path is not None)


def _image(data_url: str) -> str:
    return f'<img alt="picture with boxes" src="{data_url}">'


def _title(model: Any) -> str:
    size = "x".join(map(str, model.input_size_wh or ()))
    return f"{model.model_name}, {size}" if size else str(model.model_name)
