"""Runs under PaddleX's interpreter: its own `predict`, as often as it can, for as long as each line of stdin says.

paddlex_worker.py NAME FOLDER THREADS PHOTO    THREADS 0 leaves PaddleX's default
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Answer each line, a number of seconds, with the milliseconds of every `predict` as a line of JSON."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what PaddleX prints goes to stderr
    from paddlex import create_model

    name, folder, threads, photo = sys.argv[1:]
    options = {}
    if int(threads):
        from paddlex.inference import PaddlePredictorOption

        options["pp_option"] = PaddlePredictorOption(device_type="cpu", cpu_threads=int(threads))
    model = create_model(name, model_dir=folder, device="cpu", **options)
    faces = len(next(iter(model.predict(photo)))["boxes"])
    answers.write(json.dumps({"faces": faces}) + "\n")
    for line in sys.stdin:
        times_ms, end = [], time.perf_counter() + float(line)
        while not times_ms or time.perf_counter() < end:
            before = time.perf_counter()
            for _ in model.predict(photo):
                pass
            times_ms.append((time.perf_counter() - before) * 1e3)
        answers.write(json.dumps(times_ms) + "\n")


if __name__ == "__main__":
    main()
