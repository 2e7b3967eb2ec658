"""Whether a 720p video is bounded by the server: read, detected, drawn and written, against the server alone.

python -m perf.video [--detector BlazeFace_hpi] [--under-way 4] [--frames 120] [--rounds 5]

The server has one CPU to itself and the client the others (with --share both have all). Each round measures, one after
the other and with as many pictures under way, pictures per second of

* the server: the same pictures, decoded beforehand, sent as arrays;
* a video: `predict_video`, boxes drawn, written as H.264;
* a blurred video: the same with `blur_frames`;
* pictures as JPEG, quality 95, encoded here: what sending arrays as they are is compared with;
* the client without a server: reading, drawing, writing.

Ratios are formed within a round; their median is printed. The CPU time of this process tells what it would need on a
quieter machine: less than the server's time for a picture, and the server is the bound.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from perf.photos import photo
from training.paths import MODEL_REPOSITORY
from tritonface import Box, FaceDetector, create_model
from tritonface._draw import draw_on_bgr
from tritonface._inputs import Source
from tritonface._video_file import read_pictures
from tritonface.integrations import blur_frames
from tritonface.video import VideoWriter
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

SIZE_WH = (1280, 720)
JPEG_QUALITY = 95
BOXES = [Box(cls_id=0, label="face", score=0.9, coordinate=[40.0 * i, 300, 40.0 * i + 30, 340]) for i in range(20)]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="BlazeFace_hpi")
    parser.add_argument("--under-way", type=int, default=4)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", action="store_true", help="server and client have all CPUs together")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        film = make_film(Path(folder) / "film.mp4", options.frames)
        log = Path(folder) / "tritonserver.log"
        apart = len(cpus) > 1 and not options.share
        if apart:
            os.sched_setaffinity(0, cpus[:1])  # inherited by the server
        server = TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=log, cpus=1 if apart else None)
        with server, create_model(options.detector, url=server.endpoints.grpc) as model:
            if apart:
                os.sched_setaffinity(0, cpus[1:])
                for thread in Path("/proc/self/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cpus[1:])
            measures = make_measures(model, film, options.under_way)
            rounds = [
                {name: cost(call, options.frames) for name, call in measures.items()} for _ in range(options.rounds + 1)
            ][1:]
    print(f"{options.detector}, {options.under_way} pictures of 1280x720 under way, {len(cpus)} CPUs, apart: {apart}")
    print("| | pictures/s | / server | CPU of this process, ms a picture |\n|---|---|---|---|")
    for name in measures:
        rate = statistics.median(each[name][0] for each in rounds)
        ratio = statistics.median(each[name][0] / each["server"][0] for each in rounds)
        print(f"| {name} | {rate:.1f} | {ratio:.2f} | {statistics.median(each[name][1] for each in rounds):.1f} |")


def make_film(path: Path, count: int) -> Path:
    """A 720p film: the view wanders over a crowd of a size that needs no enlarging."""
    large = cv2.imdecode(np.frombuffer(photo(1.5), np.uint8), cv2.IMREAD_COLOR)
    width, height = SIZE_WH
    room_x, room_y = large.shape[1] - width, large.shape[0] - height
    with VideoWriter(path) as writer:
        for index in range(count):
            x, y = (round(room * (1 + np.sin(index / 20 + turn)) / 2) for room, turn in ((room_x, 0), (room_y, 1)))
            writer.write(large[y : y + height, x : x + width], index / 25)
    return path


def make_measures(model: FaceDetector, film: Path, under_way: int) -> dict[str, Callable[[], None]]:
    """What is measured, by name; each call goes through the whole film."""
    pictures = [image for _, image in read_pictures(film)]
    written, jpeg = film.with_name("written.mp4"), film.with_name("{}.jpg")

    def as_jpegs() -> Iterator[Source]:
        for index, image in enumerate(pictures):
            path = Path(str(jpeg).format(index % (4 * under_way)))
            path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
            yield Source(index, path, path.name)

    def send_jpegs() -> None:
        run = model._session.run_sources(as_jpegs(), under_way, None, "raise")
        while (future := run.next()) is not None:
            future.result()

    def server_alone() -> None:
        for _ in model.predict(pictures, under_way):
            pass

    def video() -> None:
        with VideoWriter(written) as writer:
            for frame in model.predict_video(film, under_way):
                writer.write(frame.drawn(), frame.time_s)

    def blurred_video() -> None:
        with VideoWriter(written) as writer:
            for frame, image in blur_frames(model.predict_video(film, under_way)):
                writer.write(image, frame.time_s)

    def client_alone() -> None:
        with VideoWriter(written) as writer:
            for time_s, image in read_pictures(film):
                writer.write(draw_on_bgr(image, BOXES), time_s)

    return {
        "server": server_alone,
        "video": video,
        "blurred video": blurred_video,
        "pictures as JPEG": send_jpegs,
        "client without a server": client_alone,
    }


def cost(call: Callable[[], None], count: int) -> tuple[float, float]:
    """Pictures per second, and milliseconds of CPU a picture takes in this process, all threads together."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    call()
    return count / (time.perf_counter() - began_s), 1e3 * (time.process_time() - cpu_s) / count


if __name__ == "__main__":
    main()
