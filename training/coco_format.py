"""What a COCO annotation file says, checked entry by entry and turned into arrays.

What means the same is taken: 512.0 for 512, a backslash for a slash in a file name, `./a.jpg` for `a.jpg`. Annotation
ids only have to differ; they are numbered anew where a library wants them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from training.dataset_problems import Problems, picture_name
from training.validation_errors import items_of, value_and_reason

PLAUSIBLE = 1e9  # no coordinate or size reaches it
OUTSIDE_TOLERANCE_PX = 1.0
"""Boxes may leave their picture by this much, which rounding does, and are clipped; more is an error."""

Id = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Pixels = Annotated[int, Field(gt=0, lt=PLAUSIBLE)]
Coordinate = Annotated[float, Field(gt=-PLAUSIBLE, lt=PLAUSIBLE)]
Length = Annotated[float, Field(ge=0, lt=PLAUSIBLE)]
Area = Annotated[float, Field(ge=0, lt=PLAUSIBLE**2)]


class Category(BaseModel):
    """An entry of `categories`."""

    id: Id
    name: str


class Picture(BaseModel):
    """An entry of `images`."""

    id: Id
    file_name: Annotated[str, AfterValidator(picture_name)]
    width: Pixels
    height: Pixels


class Annotation(BaseModel):
    """An entry of `annotations`."""

    model_config = ConfigDict(allow_inf_nan=False)

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[Coordinate, Coordinate, Length, Length]
    area: Area | None = None
    iscrowd: bool | None = None
    ignore: bool | None = None


PLURALS = {"category": "categories", "image": "images", "annotation": "annotations"}
Entry = TypeVar("Entry", Category, Picture, Annotation)


@dataclass(frozen=True)
class CocoImage:
    """A picture and what is annotated on it.

    Attributes:
        id: unique within its file.
        file_name: relative to `images/`, safe to join to a folder.
        size_wh: pixels of the upright picture.
        boxes_xyxy_px: float32 [K, 4], clipped to the picture, none of them empty.
        class_ids: int64 [K], index into `CocoSplit.class_names`.
        ignored: bool [K], marked `ignore` or `iscrowd`: neither to be found nor to be missed.
        areas_px: float64 [K], by which COCO tells sizes apart: as annotated, otherwise those of the boxes.
    """

    id: int
    file_name: str
    size_wh: tuple[int, int]
    boxes_xyxy_px: np.ndarray
    class_ids: np.ndarray
    ignored: np.ndarray
    areas_px: np.ndarray


@dataclass(frozen=True)
class CocoSplit:
    """One annotation file.

    Attributes:
        class_names: of the categories that have boxes, in the order of their ids.
        unused_categories: the names of the others.
        empty_boxes: annotations without area, as `annotation 7 of 'a.jpg'`; they are left out of `images`.
    """

    images: tuple[CocoImage, ...]
    class_names: tuple[str, ...]
    unused_categories: tuple[str, ...] = ()
    empty_boxes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Box:
    corners: list[float]
    category_id: int
    ignored: bool
    area_px: float


def parse_split(data: dict[str, list[Any]], problems: Problems) -> CocoSplit:
    """What is good of an annotation file; what is not goes into `problems`."""
    categories = _unique(_entries(Category, data["categories"], "category", problems), "category", problems)
    images = _unique(_entries(Picture, data["images"], "image", problems), "image", problems)
    if not data["categories"]:
        problems.add("there are no categories")
    names: set[str] = set()
    for image in images.values():
        if image.file_name in names:
            problems.add("file names come twice", f"image {image.id} {image.file_name!r}")
        names.add(image.file_name)
    boxes: dict[int, list[_Box]] = {image_id: [] for image_id in images}
    empty = []
    for entry in _annotations(data["annotations"], images, categories, problems):
        image = images[entry.image_id]
        where = f"annotation {entry.id} of {image.file_name!r}"
        corners, outside_px = _clipped(entry.bbox, (image.width, image.height))
        if outside_px > OUTSIDE_TOLERANCE_PX:
            problems.add(
                "boxes leave their image",
                f"{_of_image(entry, image)}: bbox is {list(entry.bbox)}, by {outside_px:g} px outside "
                f"{image.width}x{image.height}",
            )
        elif corners[2] <= corners[0] or corners[3] <= corners[1]:
            empty.append(where)
        else:
            area_px = entry.bbox[2] * entry.bbox[3] if entry.area is None else entry.area
            ignored = bool(entry.ignore or entry.iscrowd)
            boxes[entry.image_id].append(_Box(corners, entry.category_id, ignored, area_px))
    used = sorted({box.category_id for rows in boxes.values() for box in rows})
    class_of = {category_id: index for index, category_id in enumerate(used)}
    return CocoSplit(
        images=tuple(_image(image, boxes[image.id], class_of) for image in images.values()),
        class_names=tuple(categories[category_id].name for category_id in used),
        unused_categories=tuple(entry.name for entry in categories.values() if entry.id not in class_of),
        empty_boxes=tuple(empty),
    )


def _annotations(
    entries: list[Any], images: dict[int, Picture], categories: dict[int, Category], problems: Problems
) -> Iterator[Annotation]:
    """The annotations that are of an image and a category."""
    seen: set[int] = set()
    for entry in _entries(Annotation, entries, "annotation", problems, images):
        where = _of_image(entry, images.get(entry.image_id))
        if entry.id in seen:
            problems.add("annotation ids come twice", where)
        seen.add(entry.id)
        if entry.image_id not in images:
            problems.add("annotations are of unknown images", f"annotation {entry.id}: image_id is {entry.image_id}")
        elif entry.category_id not in categories:
            problems.add("annotations are of unknown categories", f"{where}: category_id is {entry.category_id}")
        else:
            yield entry


def _entries(
    kind: type[Entry], entries: list[Any], name: str, problems: Problems, images: dict[int, Picture] | None = None
) -> Iterator[Entry]:
    """The entries of a list that are as they should be."""
    for index, entry in enumerate(entries):
        try:
            yield kind.model_validate(entry)
        except ValidationError as error:
            where = _name_of(entry, name, index, images or {})
            for found in error.errors(include_url=False):
                field, *inside = found["loc"] or ("shape",)
                value, reason = value_and_reason(found)
                told = "is missing" if found["type"] == "missing" else f"is {value}; {reason}"
                problems.add(f"{PLURALS[name]} have a wrong {field}", f"{where}: {field}{items_of(inside)} {told}")


def _unique(entries: Iterator[Entry], name: str, problems: Problems) -> dict[int, Entry]:
    """The entries by id; the first one of equal ids."""
    found: dict[int, Entry] = {}
    for entry in entries:
        if entry.id in found:
            label = entry.file_name if isinstance(entry, Picture) else getattr(entry, "name", "")
            problems.add(f"{name} ids come twice", f"{name} {entry.id} {label!r}")
        else:
            found[entry.id] = entry
    return found


def _of_image(entry: Annotation, image: Picture | None) -> str:
    return f"annotation {entry.id}" + (f" of image {image.id} {image.file_name!r}" if image else "")


def _name_of(entry: Any, kind: str, index: int, images: dict[int, Picture]) -> str:
    """An entry by its id, else by its place in its list, with the name or the picture that it has."""
    if not isinstance(entry, dict):
        return f"{kind} number {index + 1}"
    number = entry.get("id")
    own = f"{kind} {number}" if isinstance(number, int) else f"{kind} number {index + 1}"
    label = entry.get("file_name", entry.get("name"))
    if isinstance(label, str):
        return f"{own} {label!r}"
    image_id = entry.get("image_id")
    image = images.get(image_id) if isinstance(image_id, (int, float)) else None
    return own + (f" of image {image.id} {image.file_name!r}" if image else "")


def _clipped(bbox_xywh: tuple[float, ...], size_wh: tuple[int, int]) -> tuple[list[float], float]:
    """The box as xyxy inside its picture, and by how many pixels it left it."""
    x, y, width, height = bbox_xywh
    outside_px = max(-x, -y, x + width - size_wh[0], y + height - size_wh[1], 0)
    corners = zip([x, y, x + width, y + height], (*size_wh, *size_wh))
    return [float(min(max(value, 0), limit)) for value, limit in corners], outside_px


def _image(image: Picture, boxes: list[_Box], class_of: dict[int, int]) -> CocoImage:
    return CocoImage(
        id=image.id,
        file_name=image.file_name,
        size_wh=(image.width, image.height),
        boxes_xyxy_px=np.array([box.corners for box in boxes], np.float32).reshape(-1, 4),
        class_ids=np.array([class_of[box.category_id] for box in boxes], np.int64),
        ignored=np.array([box.ignored for box in boxes], bool),
        areas_px=np.array([box.area_px for box in boxes], np.float64),
    )
