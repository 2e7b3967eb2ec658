"""A folder that is watched: whatever picture is put there gets its faces as JSON, in a folder beside.

    python examples/watch_folder.py incoming faces

Ctrl-C ends it. What is in the folder at the beginning is done first. A program that writes slowly should write to
another name (`photo.jpg.part`) and rename at the end, as most do; a picture that changes later is done again.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, awatch

from tritonface import AsyncFaceDetector, ImageError, create_async_model

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}


async def watch(folder: Path, output: Path, detector: str) -> None:
    """Do every picture that is there or comes, until the task is cancelled."""
    async with create_async_model(detector) as model:
        async for path in pictures(folder):
            await do(model, path, output)


async def pictures(folder: Path) -> AsyncIterator[Path]:
    """First those that are there, then those that come or change."""
    changes = awatch(folder, yield_on_timeout=True, rust_timeout=1000)
    await anext(changes)  # from now on nothing is missed
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            yield path
    async for batch in changes:
        for change, name in sorted(batch, key=lambda each: each[1]):
            if change is not Change.deleted and Path(name).suffix.lower() in SUFFIXES:
                yield Path(name)


async def do(model: AsyncFaceDetector, path: Path, output: Path) -> None:
    """The faces of one picture; a bad one is told, and does not end the watch."""
    try:
        async for result in model.predict(str(path)):
            result.save_to_json(output / f"{path.name}.json")
            print(f"{path.name}: {len(result)} faces", flush=True)
    except ImageError as error:
        print(f"{path.name}: {error}", flush=True)


def main() -> None:
    """Read the arguments and watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--detector", default="BlazeFace")
    options = parser.parse_args()
    try:
        asyncio.run(watch(options.folder, options.output, options.detector))
    except KeyboardInterrupt:
        print("ended")


if __name__ == "__main__":
    main()
