"""What is on the page, and what is called when somebody does something."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from tritonface._web.answers import HEADERS
from tritonface._web.detectors import SHIPPED, Detectors, Status
from tritonface._web.work import CAMERA, PHOTOS, VARIANTS, VIDEO, Work

TITLE = "tritonface"
SIZES = [("the detector's own", ""), "320", "416", "512", "640", "800", "960"]
LOOK_INTERVAL_S, CAMERA_INTERVAL_S = 2.0, 0.2
PEOPLE_AT_ONCE, VIDEOS_AT_ONCE = 16, 4
"""Events of one kind that are worked on at once; more wait for their turn."""
CLEANING_S, KEPT_S = 600, 3600
"""How often uploads are looked through, and when they are removed."""


class Panel(NamedTuple):
    """One detector's answer."""

    column: gr.Column
    head: gr.HTML
    gallery: gr.Gallery
    live: gr.HTML
    picture: gr.DownloadButton
    file: gr.DownloadButton
    table: gr.Dataframe
    answers: gr.State

    @property
    def of_photos(self) -> list[Any]:
        return [self.head, self.table, self.picture, self.file, self.gallery, self.answers]

    @property
    def of_video(self) -> list[Any]:
        return [self.head, self.table, self.picture, self.file, self.live]

    @property
    def of_camera(self) -> list[Any]:
        return [self.head, self.table, self.live]

    @property
    def by_tab(self) -> list[Any]:
        return [self.gallery, self.live, self.picture, self.file, self.head, self.table]


def make_page(detectors: Detectors, folder: Path) -> gr.Blocks:
    """The page; what it writes for downloads goes into folders in `folder`, one for each window."""
    delete_cache = (CLEANING_S, KEPT_S)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=delete_cache) as blocks:
        Page(detectors, Work(detectors, folder)).connect(blocks)
    return blocks


class Page:
    """Its parts are attributes."""

    def __init__(self, detectors: Detectors, work: Work) -> None:
        self._detectors, self._work = detectors, work
        self.title = gr.HTML(self._title(Status("not asked yet")), padding=False)
        self.shown, self.tab, self.film = gr.State(None), gr.State(PHOTOS), gr.State(None)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=320):
                self._lay_out_inputs()
                self._lay_out_settings()
            with gr.Column(scale=3, min_width=480), gr.Row(equal_height=False):
                self.panels = (_panel("a", True), _panel("b", False))

    def _lay_out_inputs(self) -> None:
        with gr.Tabs():
            with gr.Tab("Photos") as self.photos_tab:
                self.photos = gr.File(show_label=False, file_count="multiple", height=150, elem_id="photos")
            with gr.Tab("Camera") as self.camera_tab:
                self.camera = gr.Image(
                    show_label=False, sources=["webcam"], streaming=True, type="numpy", elem_id="camera", height=260
                )
            with gr.Tab("Video") as self.video_tab:
                self.video = gr.File(show_label=False, height=150, elem_id="video")
                self.stop = gr.Button("Stop", size="sm", elem_id="stop")

    def _lay_out_settings(self) -> None:
        with gr.Group():
            self.first = _detector("Detector", SHIPPED[0], "first")
            self.threshold = gr.Slider(0, 1, value=0.5, step=0.01, label="Threshold", elem_id="threshold")
            self.size = gr.Dropdown(SIZES, value="", label="Input size, px", allow_custom_value=True, elem_id="size")
        with gr.Group():
            self.compare = gr.Checkbox(label="Compare with a second detector", elem_id="compare")
            with gr.Column(visible=False) as self.second_box:
                self.second = _detector("Second detector", SHIPPED[-1], "second")

    def connect(self, blocks: gr.Blocks) -> None:
        """What is called when."""
        first, second = self.panels
        detectors = [*self.first, *self.second]
        settings = [*detectors, self.compare, self.threshold, self.size]
        names = [self.first[0], self.second[0]]
        for event in (blocks.load, gr.Timer(LOOK_INTERVAL_S).tick):
            event(
                self._look, self.shown, [self.title, self.shown, *names], show_progress="hidden", concurrency_limit=None
            )
        gr.on(
            [part.change for part in (*detectors, self.compare, self.size, self.photos, self.shown, self.tab)]
            + [self.threshold.release],
            self._work.photos,
            [self.tab, self.photos, *settings, first.answers],
            [*first.of_photos, *second.of_photos],
            trigger_mode="always_last",
            concurrency_limit=PEOPLE_AT_ONCE,
            show_progress="minimal",
        )
        self.camera.stream(
            self._work.camera,
            [self.tab, self.camera, *settings],
            [*first.of_camera, *second.of_camera],
            stream_every=CAMERA_INTERVAL_S,
            concurrency_limit=PEOPLE_AT_ONCE,
            show_progress="hidden",
        )
        video = self.video.upload(
            self._work.video,
            [self.video, *settings, self.film],
            [*first.of_video, *second.of_video, self.film],
            concurrency_limit=VIDEOS_AT_ONCE,
            show_progress="hidden",
        )
        others = [self.photos_tab.select, self.camera_tab.select]
        gr.on([self.stop.click, self.video.clear, *others], None, cancels=[video])
        self.compare.change(_twice_visible, self.compare, [self.second_box, second.column], queue=False)
        for tab, name in ((self.photos_tab, PHOTOS), (self.camera_tab, CAMERA), (self.video_tab, VIDEO)):
            tab.select(_for_tab(name), None, [self.tab, *first.by_tab, *second.by_tab], concurrency_limit=None)
        for panel in self.panels:
            panel.gallery.select(_selected, panel.answers, [panel.head, panel.table], queue=False)

    async def _look(self, shown: Status | None) -> list[Any]:
        """Title, whether the server is there, and the names of its detectors; nothing where nothing has changed."""
        status = await self._detectors.look()
        if status == shown:
            return [gr.skip()] * 4
        names = gr.skip() if status.reason else gr.update(choices=list(status.names))
        return [self._title(status), status, names, names]

    def _title(self, status: Status) -> str:
        url, there = html.escape(self._detectors.connection.url), not status.reason
        state = f"server at {url}" if there else f"no server at {url}"
        told = f'<div class="title"><h1>{TITLE}</h1><span class="{"ready" if there else "away"}">{state}</span></div>'
        if there:
            return told
        return (
            f'{told}<div class="help">Start a server with <code>make serve</code> in another terminal. This page goes '
            f"on by itself when the server is ready.<br><small>{html.escape(status.reason)}</small></div>"
        )


def _detector(label: str, value: str, name: str) -> tuple[gr.Dropdown, gr.Radio]:
    dropdown = gr.Dropdown(list(SHIPPED), value=value, label=label, allow_custom_value=True, elem_id=name)
    variant = gr.Radio(list(VARIANTS), value="normal", label="Variant", elem_id=f"{name}_variant")
    return dropdown, variant


def _panel(name: str, visible: bool) -> Panel:
    with gr.Column(visible=visible, min_width=320, elem_id=f"panel_{name}") as column:
        head = gr.HTML(padding=False)
        gallery = gr.Gallery(
            show_label=False,
            preview=True,
            columns=1,
            object_fit="contain",
            height=460,
            interactive=False,
            buttons=["fullscreen"],
        )
        live = gr.HTML(visible=False, elem_classes="live", padding=False)
        with gr.Row():
            picture = gr.DownloadButton("Download picture", size="sm", interactive=False, min_width=100)
            file = gr.DownloadButton("Download JSON", size="sm", interactive=False, min_width=100)
        table = gr.Dataframe(
            headers=HEADERS, datatype="number", interactive=False, max_height=300, show_label=False, buttons=[]
        )
        answers = gr.State(None)
    return Panel(column, head, gallery, live, picture, file, table, answers)


def _twice_visible(visible: bool) -> list[Any]:
    return [gr.update(visible=visible)] * 2


def _for_tab(tab: str) -> Any:
    """What a tab shows, and empties, of both panels."""

    def show() -> list[Any]:
        off = {"visible": tab != CAMERA, "value": None, "interactive": False}
        buttons = [gr.update(label="Download video" if tab == VIDEO else "Download picture", **off), gr.update(**off)]
        panel = [gr.update(visible=tab == PHOTOS), gr.update(visible=tab != PHOTOS, value=""), *buttons, "", []]
        return [tab, *panel, *panel]

    return show


def _selected(shown: dict[str, Any], event: gr.SelectData) -> list[Any]:
    heads: list[list[Any]] = shown["heads"]
    return heads[event.index]
