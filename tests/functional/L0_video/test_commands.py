"""`tritonface predict`, `blur` and `crop` with pictures and videos, as far as they are more than the SDK's part."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.films import picture, pictures_of, sound_of, write_film
from training.paths import ROOT
from tritonface._cli import main
from tritonface_server.server import TritonServer

GPS, MAKE = 0x8825, 0x010F


class Command:
    """`tritonface` in this process, asking the test's server."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._capsys = url, capsys

    def __call__(self, command: str, *arguments: object) -> tuple[int, str, str]:
        where = ["--url", self._url, "--model", "BlazeFace"]
        code = main([command, *map(str, arguments), *where])
        return code, *self._capsys.readouterr()


@pytest.fixture
def tritonface(server: TritonServer, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(server.endpoints.grpc, capsys)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 5, sound="aac")


@pytest.fixture(scope="module")
def face_xyxy_px() -> tuple[int, int, int, int]:
    """Inside of the face of the portrait, 512x512 px."""
    return 190, 90, 250, 160


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def difference(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first).astype(int) - np.asarray(second)).mean())


def test_a_folder_with_pictures_and_a_video(tritonface: Command, film: Path, astronaut: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(film, folder), shutil.copy(astronaut, folder), (folder / "zero.mp4").write_bytes(b"")
    code, said, errors = tritonface("predict", folder, "--save", out, "--threshold", 0.95, "--format", "jsonl")
    photo, *frames = map(json.loads, said.splitlines())
    assert code == 1 and "zero.mp4': the file is empty" in errors
    assert photo["input_path"] == str(folder / "astronaut.jpg") and len(photo["boxes"]) == 1
    assert [list(frame) for frame in frames] == [["input_path", "frame", "time_s", "boxes"]] * 5
    assert [(frame["frame"], frame["time_s"], len(frame["boxes"])) for frame in frames] == [
        (index, index / 25, 1) for index in range(5)
    ]
    names = ["astronaut_res.jpg", "astronaut_res.json", "film_res.jsonl", "film_res.mp4"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert list(map(json.loads, (out / "film_res.jsonl").read_text().splitlines())) == frames
    drawn = pictures_of(out / "film_res.mp4")
    assert len(drawn) == 5 and sound_of(out / "film_res.mp4") == sound_of(film)
    x_min, y_min, _, y_max = map(round, frames[2]["boxes"][0]["coordinate"])
    red, green, blue = drawn[2][1][(y_min + y_max) // 2, x_min].astype(int)
    assert red > green + 60 and red > blue + 60


def test_formats(tritonface: Command, film: Path, astronaut: Path, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("L", (64, 48)).save(grey)
    pictures = ("predict", astronaut, grey, "gone.jpg", "--threshold", 0.95, "--format")
    _, lines, _ = tritonface(*pictures, "jsonl")
    found = list(map(json.loads, lines.splitlines()))
    (box,) = found[0]["boxes"]
    code, array, _ = tritonface(*pictures, "json")
    assert code == 1 and [each["boxes"] for each in json.loads(array)] == [[box], [], []]

    _, table, _ = tritonface(*pictures, "csv")
    face, gone = csv.DictReader(io.StringIO(table))
    assert [float(face[side]) for side in ("xmin", "ymin", "xmax", "ymax")] == box["coordinate"]
    assert face["label"] == "face" and float(face["score"]) == box["score"] and face["frame"] == face["error"] == ""
    assert gone["input_path"] == "gone.jpg" and "No such file" in gone["error"] and gone["score"] == ""

    code, text, errors = tritonface(*pictures, "coco")
    data = json.loads(text)
    x_min, y_min, x_max, y_max = box["coordinate"]
    assert code == 1 and "gone.jpg" in errors and data["categories"] == [{"id": 1, "name": "face"}]
    assert data["images"] == [
        {"id": 1, "file_name": str(astronaut), "width": 512, "height": 512},
        {"id": 2, "file_name": str(grey), "width": 64, "height": 48},
    ]
    (annotation,) = data["annotations"]
    assert annotation["image_id"] == annotation["category_id"] == 1 and annotation["iscrowd"] == 0
    assert annotation["bbox"] == [x_min, y_min, x_max - x_min, y_max - y_min]
    assert annotation["area"] == annotation["bbox"][2] * annotation["bbox"][3]

    code, _, errors = tritonface("predict", film, "--format", "coco")
    assert code == 2 and "jsonl and csv have its frames" in errors
    code, table, _ = tritonface("predict", film, "--format", "csv", "--threshold", 0.95)
    assert code == 0 and [row["frame"] for row in csv.DictReader(io.StringIO(table))] == list("01234")


def test_a_blurred_photo_says_nothing_of_the_original(
    tritonface: Command, astronaut: Path, tmp_path: Path, face_xyxy_px: tuple[int, int, int, int]
) -> None:
    """With EXIF, GPS, a thumbnail, a comment, XMP and a colour profile, turned by its orientation."""
    upright = opened(astronaut)
    thumbnail = io.BytesIO()
    upright.resize((96, 96)).save(thumbnail, "JPEG")
    exif = upright.getexif()
    exif[0x0112], exif[MAKE] = 6, "SecretCamera"
    exif.get_ifd(GPS)[1] = "N"
    tiff = exif.tobytes() + thumbnail.getvalue()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo, out = tmp_path / "photo.jpg", tmp_path / "out" / "photo.jpg"
    more = {"comment": b"SecretComment", "xmp": b"<x:xmpmeta>SecretPlace</x:xmpmeta>", "icc_profile": profile}
    upright.transpose(Image.Transpose.ROTATE_90).save(photo, exif=tiff, quality=95, **more)
    assert photo.read_bytes().count(b"Secret") == 3 and photo.read_bytes().count(b"\xff\xd8\xff") == 2

    code, said, _ = tritonface("blur", photo, "--save", out.parent)
    assert code == 0 and re.fullmatch(rf"{re.escape(str(photo))}: \d+ faces?\n", said)
    data, blurred = out.read_bytes(), opened(out)
    assert b"Secret" not in data and data.count(b"\xff\xd8\xff") == 1 and not dict(blurred.getexif())
    assert blurred.size == (512, 512) and blurred.info["icc_profile"] == profile
    face = blurred.crop(face_xyxy_px)
    assert difference(face, upright.crop(face_xyxy_px)) > 15
    assert difference(face, face.resize((3, 3), 4).resize(face.size)) < 15  # flat squares
    assert difference(blurred.crop((0, 200, 100, 512)), upright.crop((0, 200, 100, 512))) < 8  # still as it was


@pytest.mark.parametrize(
    ("name", "mode", "kept"),
    [
        ("alpha.png", "RGBA", "alpha.png"),
        ("alpha.webp", "RGBA", "alpha.webp"),
        ("deep.png", "I;16", "deep.png"),
        ("cmyk.jpg", "CMYK", "cmyk.jpg"),
        ("film.gif", "P", "film.png"),
        ("film.webp", "RGB", "film.webp"),
    ],
)
def test_pictures_of_odd_kinds(
    tritonface: Command, astronaut: Path, tmp_path: Path, name: str, mode: str, kept: str, face_xyxy_px: Any
) -> None:
    photo, original = tmp_path / name, opened(astronaut).convert("RGB")
    if mode == "RGBA":
        image = original.copy()
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(original.convert("L")).astype(np.uint16) * 257)
    else:
        image = original.convert(mode)
    later = {"save_all": True, "append_images": [image.rotate(90)], "duration": 100} if name.startswith("film") else {}
    image.save(photo, **later)
    code, _, errors = tritonface("blur", photo, "--save", tmp_path / "out")
    assert code == 0 and ("is an animation; only its first picture" in errors) == bool(later)
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == kept
    blurred = opened(path)
    assert blurred.mode == ("RGBA" if mode == "RGBA" else "RGB") and getattr(blurred, "n_frames", 1) == 1
    if mode == "RGBA":
        assert difference(blurred.getchannel("A"), image.getchannel("A")) == 0
    expected = original.convert("L") if mode == "I;16" else image.convert("RGB")
    shown = blurred.convert(expected.mode)
    assert difference(shown.crop(face_xyxy_px), expected.crop(face_xyxy_px)) > 15
    assert difference(shown.crop((0, 200, 100, 512)), expected.crop((0, 200, 100, 512))) < 8


def test_a_blurred_video(tritonface: Command, film: Path, tmp_path: Path) -> None:
    code, said, errors = tritonface("blur", film, "--save", tmp_path / "out.mp4")
    assert code == 0 and errors == "" and re.search(r"film.mp4: 5 pictures, \d+ faces, .* -> .*out.mp4", said)
    blurred = pictures_of(tmp_path / "out.mp4")
    assert [time_s for time_s, _ in blurred] == pytest.approx([index / 25 for index in range(5)], abs=1e-3)
    for index, (_, image) in enumerate(blurred):
        left = 168 - 4 * index  # inside of the face
        assert difference(image[50:75, left : left + 20], picture(index)[50:75, left : left + 20]) > 12
        assert difference(image[120:, :60], picture(index)[120:, :60]) < 6
    assert sound_of(tmp_path / "out.mp4") == sound_of(film)
    tritonface("blur", film, "--save", tmp_path / "silent.mp4", "--no-audio", "--style", "fill")
    assert b"mp4a" in (tmp_path / "out.mp4").read_bytes() and b"mp4a" not in (tmp_path / "silent.mp4").read_bytes()
    assert pictures_of(tmp_path / "silent.mp4")[2][1][60, 170].max() < 25


def test_crops(tritonface: Command, film: Path, solvay: Path, tmp_path: Path) -> None:
    code, _, _ = tritonface("crop", solvay, film, "--save", tmp_path / "out", "--size", 48, "--threshold", 0.9)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    of_photo = [name for name in names if name.startswith("solvay")]
    assert code == 0 and {f"solvay_1927_{index}.jpg" for index in range(len(of_photo))} == set(of_photo) and of_photo
    assert {f"film_00000{index}_0.jpg" for index in range(5)} <= set(names)
    assert {opened(tmp_path / "out" / name).size for name in names} == {(48, 48)}
    code, _, _ = tritonface("crop", solvay, "--save", tmp_path / "large", "--min-side-px", 1000)
    assert code == 0 and not (tmp_path / "large").exists()


@pytest.mark.parametrize("command", ["predict", "blur", "crop"])
def test_no_face(tritonface: Command, tmp_path: Path, command: str) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 48), (9, 9, 9)).save(grey)
    code, said, errors = tritonface(command, grey, "--save", tmp_path / "out")
    assert (code, said, errors) == (0, f"{grey}: 0 faces\n", "")
    assert (tmp_path / "out").exists() == (command != "crop")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["blur", "{photo}", "--save", "{folder}"], 2, "would be written over itself"),
        (["blur", "{film}", "--save", "{film}"], 2, "would be written over itself"),
        (["predict", "{film}", "--save", "{film}"], 2, "would be written over itself"),
        (["blur", "{photo}", "{film}", "--save", "one.jpg"], 2, "is one file, and there are 2 inputs"),
        (["crop", "{photo}", "--save", "one.jpg"], 2, "is one file, and there may be many"),
        (["blur", "{film}", "--save", "/dev/null/x"], 3, "Not a directory"),
        (["blur", "{film}", "--save", "{folder}/one.jpg"], 2, "videos are written as"),
        (["blur", "{photo}", "--save", "out", "--margin", "-1"], 2, "margin must be"),
        (["predict", "camera:7"], 1, "there is no camera 7"),
    ],
)
def test_what_is_refused(
    tritonface: Command, film: Path, astronaut: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = {"photo": shutil.copy(astronaut, folder), "film": shutil.copy(film, folder), "folder": folder}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    got, _, errors = tritonface(*(argument.format(**names) for argument in arguments))
    assert got == code and message in errors, errors
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_ctrl_c_leaves_a_film_that_can_be_played(server: TritonServer, tmp_path: Path) -> None:
    film, out = write_film(tmp_path / "film.mp4", 100), tmp_path / "out.mp4"
    where = ["--url", server.endpoints.grpc, "--model", "BlazeFace", "--json", "--save", str(out)]
    command = ["env", "--default-signal=INT", sys.executable, "-m", "tritonface", "predict", str(film), *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        for _ in range(3):
            run.stdout.readline()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and errors == b"interrupted\n"
    assert 1 <= len(pictures_of(out)) < 100


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("predict", "blur", "crop", "--format", "coco", "--no-audio"):
        assert word in script
    if shell == "bash":
        ask = 'source /dev/stdin; COMP_WORDS=(tritonface bl); COMP_CWORD=1; _shtab_tritonface; echo "${COMPREPLY[@]}"'
        run = subprocess.run(["bash", "-c", ask], input=script, capture_output=True, text=True)
        assert run.stdout.split() == ["blur"], run.stderr


def test_the_code_of_the_documentation(server: TritonServer, film: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "command-line.md").read_text(), re.M | re.S)
    shutil.copy(film, tmp_path)
    environment = {**os.environ, "TRITONFACE_URL": server.endpoints.grpc}
    run = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.count("\n") >= 5, run.stderr
    assert len(pictures_of(tmp_path / "out.mp4")) == 5
