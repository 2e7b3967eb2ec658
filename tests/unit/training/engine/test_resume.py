"""Small trainings in this process: from what one goes on, and what it is told then."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dataset import MASKS, draw_faces_dataset, read, write
from tests.small_training import checkpoint_names, train, training
from training.coco_dataset import annotation_file
from training.engine.checkpoint import checkpoints
from training.progress import CheckpointError, read_progress, write_progress


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By their number, the outputs of trainings of one epoch and of two, on such a data set; read only."""
    folder = tmp_path_factory.mktemp("once")
    faces, outputs = draw_faces_dataset(folder / "faces", count=4), {1: folder / "one", 2: folder / "two"}
    for epochs, output in outputs.items():
        train(faces, output, epochs)
    return outputs


@pytest.fixture
def one_epoch(once: dict[int, Path], tmp_path: Path) -> Path:
    """The output of a training of one epoch, to be gone on with."""
    return Path(shutil.copytree(once[1], tmp_path / "one"))


@pytest.fixture
def two_epochs(once: dict[int, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(once[2], tmp_path / "two"))


def test_random_weights_are_no_yardstick(one_epoch: Path) -> None:
    best = read_progress(one_epoch / "best_model")
    assert best.before is None and not (one_epoch / "start_model").exists()
    assert best.accuracy()["better"] is None


def test_an_epoch_that_was_saved_but_not_evaluated_is_evaluated(dataset: Path, one_epoch: Path) -> None:
    """As a kill between the two leaves it."""
    folder = checkpoints(one_epoch)[-1]
    first = read_progress(folder)
    write_progress(folder, replace(first, ap=None))
    shutil.rmtree(one_epoch / "best_model")
    assert train(dataset, one_epoch, 1, f"resume_path={one_epoch}").best == first
    assert read_progress(folder) == read_progress(one_epoch / "best_model") == first


@pytest.mark.fault("B16")
def test_going_on_from_an_earlier_epoch_in_the_same_output(
    tmp_path: Path, dataset: Path, log: pytest.LogCaptureFixture
) -> None:
    first = train(dataset, tmp_path / "a", 5, "eval_interval=9", "save_interval=1")
    shutil.copytree(tmp_path / "a" / "checkpoint" / "epoch_0004", tmp_path / "kept" / "epoch_0004")
    early = tmp_path / "kept" / "epoch_0004"
    train(dataset, tmp_path / "a", 9, "eval_interval=9", f"resume_path={tmp_path / 'a'}")
    assert checkpoint_names(tmp_path / "a") == ["epoch_0008", "epoch_0009"]
    log.clear()
    again = train(dataset, tmp_path / "a", 6, "eval_interval=9", f"resume_path={early}", "learning_rate=0.0001")
    assert "goes on after epoch 4: epoch_0008, epoch_0009 will be given up" in log.text
    assert checkpoint_names(tmp_path / "a") == ["epoch_0005", "epoch_0006"]
    assert again.progress.run == first.progress.run


@pytest.mark.fault("B17")
def test_an_output_with_another_training_is_left_alone(dataset: Path, one_epoch: Path, two_epochs: Path) -> None:
    one, other = one_epoch, two_epochs
    for damage in (None, "checkpoint", "best_model"):
        if damage is not None:
            shutil.rmtree(other / damage, ignore_errors=True)
        if damage != "best_model":
            before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
            with pytest.raises(CheckpointError, match=f"{other} holds another training than {one} is; set another"):
                training(dataset, other, 2, f"resume_path={one}")
            assert before == {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    assert train(dataset, other, 2, f"resume_path={one}").best.epochs == 2


@pytest.mark.fault("B19")
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("log_interval=5", None),
        ("batch_size=2", "Train.batch_size is 2, it was 4: an epoch has another number of steps"),
        ("seed=1", "Train.seed is 1, it was 0: the pictures come in another order"),
        ("learning_rate=0.01", "Train.learning_rate is 0.01, it was 0.001: the learning rate is another from here on"),
        ("ema_decay=0.9", "Train.ema_decay is 0.9, it was None: an average that begins now"),
        ("image_size=96", "Train.image_size is 96, it was 64: AP from here on cannot be compared"),
        ("max_faces=null", "Train.max_faces is None, it was 90: it goes on with the new value"),
    ],
)
def test_other_settings_are_told(
    one_epoch: Path, dataset: Path, log: pytest.LogCaptureFixture, setting: str, told: str | None
) -> None:
    log.clear()
    resumed = train(dataset, one_epoch, 2, f"resume_path={one_epoch}", setting)
    lines = [record.getMessage() for record in log.records if "other settings" in record.getMessage()]
    assert len(lines) == (told is not None) and (told or "") in log.text
    assert (told or "") in (one_epoch / "train.log").read_text()
    if setting.startswith("image_size"):
        assert resumed.best.epochs == 2 and read_progress(one_epoch / "best_model").image_size == 96


@pytest.mark.parametrize("recipe", ["reference", "crowds"])
def test_a_checkpoint_of_before_there_were_recipes(
    one_epoch: Path, dataset: Path, log: pytest.LogCaptureFixture, recipe: str
) -> None:
    (folder,) = checkpoints(one_epoch)
    progress = read_progress(folder)
    settings = {key: value for key, value in progress.settings.items() if key != "recipe"}
    write_progress(folder, replace(progress, settings=settings))
    log.clear()
    train(dataset, one_epoch, 2, f"resume_path={one_epoch}", f"recipe={recipe}", "optimizer=rmsprop")
    told = "Train.recipe is crowds, it was reference: pictures are made in another way from here on"
    assert (told in log.text) == (recipe == "crowds")
    assert ("other settings" in log.text) == (recipe == "crowds")


def test_learned_classes_do_not_become_others(tmp_path: Path) -> None:
    faces = draw_faces_dataset(tmp_path / "faces", count=4, categories=MASKS)
    train(faces, tmp_path / "output", 1, "num_classes=2")
    resume = "num_classes=2", f"resume_path={tmp_path / 'output'}"
    train(faces, tmp_path / "output", 2, *resume)
    for split in ("train", "val"):
        data = read(faces, split)
        for category in data["categories"]:
            category["id"] = 9 - category["id"]
        for entry in data["annotations"]:
            entry["category_id"] = 9 - entry["category_id"]
        write(faces, split, data)
    with pytest.raises(
        CheckpointError, match="has learned no mask, mask, the data set's classes are mask, no mask; begin"
    ):
        training(faces, tmp_path / "output", 3, *resume)
    one_class = draw_faces_dataset(tmp_path / "one", count=4)
    with pytest.raises(CheckpointError, match="has learned no mask, mask, the data set's classes are face"):
        training(one_class, tmp_path / "output", 3, f"resume_path={tmp_path / 'output'}")


@pytest.mark.fault("B19")
@pytest.mark.parametrize(("split", "best"), [("train", {1, 2}), ("val", {2})])
def test_other_pictures_are_told(
    one_epoch: Path, dataset: Path, log: pytest.LogCaptureFixture, split: str, best: set[int]
) -> None:
    annotations = json.loads(annotation_file(dataset, split).read_text())
    annotations["images"].pop()
    kept = {image["id"] for image in annotations["images"]}
    annotations["annotations"] = [box for box in annotations["annotations"] if box["image_id"] in kept]
    annotation_file(dataset, split).write_text(json.dumps(annotations))
    log.clear()
    resumed = train(dataset, one_epoch, 2, f"resume_path={one_epoch}")
    kind = {"train": "training pictures", "val": "validation pictures"}[split]
    assert f"goes on with other settings: {kind} is " in log.text
    assert resumed.best.epochs in best


@pytest.mark.fault("B20")
@pytest.mark.parametrize("damage", ["flipped", "emptied", "missing", "empty folder", "both"])
def test_the_newest_whole_checkpoint_is_taken(
    two_epochs: Path, dataset: Path, log: pytest.LogCaptureFixture, damage: str
) -> None:
    newest = checkpoints(two_epochs)[-1]
    file = newest / f"{newest.name}.pdopt"
    if damage in ("flipped", "both"):
        whole = file.read_bytes()
        file.write_bytes(whole[:500] + bytes([whole[500] ^ 4]) + whole[501:])
    if damage == "emptied":
        file.write_bytes(pickle.dumps({}))
    if damage == "missing":
        file.unlink()
    if damage == "empty folder":
        newest = two_epochs / "checkpoint" / "epoch_0009"
        newest.mkdir()
    if damage == "both":
        (checkpoints(two_epochs)[0] / "epoch_0001.pdstates").write_text("{}")
        shutil.rmtree(two_epochs / "best_model")
        with pytest.raises(CheckpointError, match=r"cannot go on from .*epoch_0002: .*pdopt is damaged"):
            training(dataset, two_epochs, 3, f"resume_path={two_epochs}")
        return
    log.clear()
    train(dataset, two_epochs, 3, f"resume_path={two_epochs}")
    used = "epoch_0002" if damage == "empty folder" else "epoch_0001"
    assert str(newest) in log.text and f"goes on from {used} instead" in log.text
    assert checkpoint_names(two_epochs) == ["epoch_0002", "epoch_0003"]
    asked_for = two_epochs / "checkpoint" / "epoch_0004"
    asked_for.mkdir()
    with pytest.raises(CheckpointError, match="does not say how far"):
        training(dataset, two_epochs, 5, f"resume_path={asked_for}")


@pytest.mark.fault("B20")
def test_the_state_of_another_optimiser(one_epoch: Path, dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"it is that of rmsprop: set Train.optimizer=rmsprop"):
        training(dataset, one_epoch, 2, f"resume_path={one_epoch}", "optimizer=momentum")


@pytest.mark.fault("B20")
def test_a_damaged_best_model_is_looked_for_anew(one_epoch: Path, dataset: Path, log: pytest.LogCaptureFixture) -> None:
    (one_epoch / "best_model" / "best_model.pdparams").write_bytes(b"")
    assert train(dataset, one_epoch, 2, f"resume_path={one_epoch}").best.epochs == 2
    assert "best_model.pdparams is damaged" in log.text
