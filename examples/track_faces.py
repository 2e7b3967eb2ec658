"""Faces followed through a video: each gets a number that stays with it, drawn into a copy of the video.

    python examples/track_faces.py film.mp4 tracked.mp4

ByteTrack is that of supervision before 0.31; later ones have it in the package `trackers`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import supervision as sv

from tritonface import create_model
from tritonface.integrations import to_supervision
from tritonface.video import VideoWriter


def track(source: Path, output: Path, detector: str) -> Counter[int]:
    """Write the video; returns in how many of its pictures each face was followed, by its number."""
    tracker = sv.ByteTrack(minimum_consecutive_frames=2)
    boxes, labels, traces = sv.BoxAnnotator(), sv.LabelAnnotator(), sv.TraceAnnotator()
    seen: Counter[int] = Counter()
    with create_model(detector) as model, VideoWriter(output, sound_of=source) as writer:
        for frame in model.predict_video(source):
            faces = tracker.update_with_detections(to_supervision(frame.result))
            numbers = [] if faces.tracker_id is None else [int(number) for number in faces.tracker_id]
            seen.update(numbers)
            picture = boxes.annotate(frame.image.copy(), faces)
            picture = labels.annotate(picture, faces, labels=[f"#{number}" for number in numbers])
            writer.write(traces.annotate(picture, faces), frame.time_s)
    return seen


def main() -> None:
    """Read the arguments, track, and say how long each face was there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--detector", default="BlazeFace")
    options = parser.parse_args()
    for number, count in sorted(track(options.source, options.output, options.detector).items()):
        print(f"face {number}: in {count} pictures")


if __name__ == "__main__":
    main()
