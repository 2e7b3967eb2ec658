"""Who is in the photo? Crops of its faces are compared with those of known people, one photo each.

    python examples/recognise.py people/ photo.jpg --network arcface.onnx

people/ holds anna.jpg, ben.jpg ...: of each the best face counts. `--network` is an ONNX network that makes a vector of
a face, such as an ArcFace one: float32 [1, 3, 112, 112], RGB in -1..1, in, [1, D] out. None is part of this project.
Without it the crops themselves are compared, small and grey, which knows the very same picture again and nothing more:
good enough to see how the parts fit together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tritonface import DetectionResult, FaceDetector, create_model
from tritonface.integrations import crop_faces

SIDE_PX = 112
Embed = Callable[[np.ndarray], np.ndarray]


def load(network: Path | None) -> Embed:
    """From a crop, uint8 [112, 112, 3] BGR, to a vector of length 1."""
    if network is None:
        return lambda crop: unit(crop.reshape(14, 8, 14, 8, 3).mean(axis=(1, 3, 4)).ravel())
    import onnxruntime

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def embed(crop: np.ndarray) -> np.ndarray:
        picture = (crop[:, :, ::-1].astype(np.float32) - 127.5) / 127.5
        return unit(session.run(None, {name: picture.transpose(2, 0, 1)[None]})[0].ravel())

    return embed


def unit(vector: np.ndarray) -> np.ndarray:
    """Brightness and contrast taken out, length 1."""
    centred = vector - vector.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


def vectors(result: DetectionResult, embed: Embed) -> np.ndarray:
    """One row for each face, [K, D]."""
    return np.array([embed(crop) for crop in crop_faces(result, margin=0.1, square=True, size_px=SIDE_PX)])


def recognise(
    model: FaceDetector, people: Path, photo: Path, embed: Embed, least: float
) -> list[tuple[str | None, float, list[float]]]:
    """For each face of the photo: who it is most like, or None below `least`; how much, -1 to 1; its box."""
    known: dict[str, np.ndarray] = {}
    for result in model.predict(people):
        if len(result):
            known[Path(result["input_path"]).stem] = vectors(result, embed)[0]
    [result] = model.predict(photo)
    found = []
    for vector, box in zip(vectors(result, embed), result["boxes"]):
        likeness, name = max(((float(vector @ other), name) for name, other in known.items()), default=(-1.0, ""))
        found.append((name if likeness >= least else None, likeness, box["coordinate"]))
    return found


def main() -> None:
    """Read the arguments and print a line for each face."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--detector", default="BlazeFace")
    parser.add_argument("--least", type=float, default=0.6, help="likeness below this is nobody's")
    options = parser.parse_args()
    embed = load(options.network)
    with create_model(options.detector) as model:
        for name, likeness, box in recognise(model, options.people, options.photo, embed, options.least):
            print(f"{name or 'somebody else'} ({likeness:.2f}) at {[round(side) for side in box]}")


if __name__ == "__main__":
    main()
