"""Deterministic weights for parity checks: every tensor follows from its name, shape and a salt.

A detector whose parameters carry the reference implementation's names can be filled with
`params(shapes, salt)` and must then reproduce the outputs stored in `<model>.npz`.
"""

import zlib

import numpy as np

HEADS = ("pred_cls", "pred_reg", "head_cls", "head_reg", "blaze_head")
FIXED = "proj_conv.weight"  # PP-YOLOE's integral projection: linspace(0, 16, 17), never random


def tensor(name: str, shape: tuple[int, ...], salt: str) -> np.ndarray:
    """One float32 tensor of `shape`, a function of nothing but the three arguments."""
    rng = np.random.default_rng(zlib.crc32(f"{salt}/{name}".encode()))
    head = any(part in name for part in HEADS)
    if name.endswith(FIXED):
        value = np.linspace(0, 16, 17).reshape(shape)
    elif name.endswith("_mean"):
        value = 0.2 * rng.standard_normal(shape)
    elif name.endswith("_variance"):
        value = rng.uniform(0.6, 1.6, shape)
    elif name.endswith("alpha"):
        value = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
        gain = 0.5 if head else 2.0
        if "blaze_head" in name:
            gain = 0.02
        value = rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    elif len(shape) == 1 and name.endswith("weight"):
        value = rng.uniform(0.6, 1.4, shape)
    else:
        value = 0.1 * rng.standard_normal(shape)
    return np.ascontiguousarray(value, dtype=np.float32)


def images(detector: str, height: int, width: int, salt: str = "golden") -> np.ndarray:
    """The already normalised input batch, float32 [2, 3, height, width]."""
    rng = np.random.default_rng(zlib.crc32(f"{salt}/images".encode()))
    shape = (2, 3, height, width)
    batch = rng.random(shape) if detector == "PP-YOLOE_plus-S_face" else rng.standard_normal(shape)
    return batch.astype(np.float32)


def params(shapes: dict[str, tuple[int, ...]], salt: str = "golden") -> dict[str, np.ndarray]:
    """Weights for a whole detector: `{parameter name: float32 array}`."""
    return {name: tensor(name, tuple(shape), salt) for name, shape in shapes.items()}
