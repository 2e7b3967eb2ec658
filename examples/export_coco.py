"""A folder of photos becomes a COCO data set with proposed boxes, to be corrected in a labelling tool.

    python examples/export_coco.py photos/ dataset/ --sure 0.7

dataset/images holds the photos, dataset/annotations/instance_train.json what was found; CVAT, Label Studio and
Roboflow import both, and `training/main.py` reads them as they are. Boxes below `--sure` carry the attribute "review".
`tritonface predict photos/ --format coco` prints the same without the rest of this.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from tritonface import create_model


def export(photos: Path, dataset: Path, detector: str, low: float, sure: float) -> dict[str, list[dict[str, object]]]:
    """Write the data set; returns the annotations."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    (dataset / "images").mkdir(parents=True, exist_ok=True)
    with create_model(detector, threshold=low) as model:
        for result in model.predict(photos, batch_size=4, on_error="yield"):
            if result.error is not None:
                print(f"left out: {result.error}")
                continue
            path = Path(result["input_path"])
            name = "_".join(path.relative_to(photos).parts)  # one folder, no two of the same name
            shutil.copy(path, dataset / "images" / name)
            width, height = result.size_wh
            images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
            for box in result["boxes"]:
                x_min, y_min, x_max, y_max = box["coordinate"]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images),
                        "category_id": box["cls_id"] + 1,
                        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                        "area": (x_max - x_min) * (y_max - y_min),
                        "iscrowd": 0,
                        "score": box["score"],
                        "attributes": {"review": box["score"] < sure},
                    }
                )
        categories = [{"id": index + 1, "name": label} for index, label in enumerate(model.labels)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    path = dataset / "annotations" / "instance_train.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=1))
    return data


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--detector", default="PP-YOLOE_plus-S_face")
    parser.add_argument("--low", type=float, default=0.3, help="boxes below this score are left out")
    parser.add_argument("--sure", type=float, default=0.7, help="boxes below this score are to be reviewed")
    options = parser.parse_args()
    data = export(options.photos, options.dataset, options.detector, options.low, options.sure)
    review = sum(bool(each["attributes"]["review"]) for each in data["annotations"])  # type: ignore[index]
    print(f"{len(data['images'])} photos, {len(data['annotations'])} faces, {review} to be reviewed")


if __name__ == "__main__":
    main()
