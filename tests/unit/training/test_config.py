from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from training.config import Config, load_config
from training.config_values import ConfigError, leaves, options_of
from tritonface_server.detectors import DETECTORS
from tritonface_server.repository import ROOT

CONFIGS = ROOT / "training" / "configs"
BLAZE_FACE = CONFIGS / "BlazeFace.yaml"
KEYS = leaves(Config)


def value_at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def keys_of(tree: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found += keys_of(value, f"{path}{key}.") if isinstance(value, dict) else [path + key]
    return found


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ConfigError, match="holds no sections such as `Global:`"):
        load_config(tmp_path / "empty.yaml")


def test_every_detector_has_a_configuration() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_configuration_says_all_there_is(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    assert keys_of(yaml.safe_load(path.read_text())) == list(KEYS)
    config = load_config(path)
    assert config.Global.model == name and config.Train.num_classes == len(DETECTORS[name].labels)
    assert (config.Train.image_size,) * 2 == DETECTORS[name].input_size_wh
    assert all(side % DETECTORS[name].size_multiple == 0 for side in config.Train.image_sizes)


OFFICIAL = {
    "BlazeFace": (1000, 16, "rmsprop", 0.001, 5e-4, "piecewise", [333, 800], 500, None),
    "BlazeFace-FPN-SSH": (1000, 16, "rmsprop", 0.001, 5e-4, "piecewise", [333, 800], 500, None),
    "PicoDet_LCNet_x2_5_face": (300, 16, "momentum", 0.08, 4e-5, "cosine", [], 300, 0.9998),
    "PP-YOLOE_plus-S_face": (300, 8, "momentum", 0.0001, 5e-4, "cosine", [], 100, 0.9998),
}


@pytest.mark.parametrize(("name", "wanted"), OFFICIAL.items(), ids=OFFICIAL)
def test_the_official_hyper_parameters(name: str, wanted: tuple[Any, ...]) -> None:
    keys = "epochs_iters batch_size optimizer learning_rate weight_decay schedule milestones warmup_steps ema_decay"
    train = load_config(CONFIGS / f"{name}.yaml").Train
    assert tuple(getattr(train, key) for key in keys.split()) == wanted


def another_value(key: str, kind: Any, present: Any) -> tuple[str, Any]:
    """A value of this type as text for the command line, and as it should arrive."""
    if key.startswith("CheckDataset.split.") and key.endswith("percent"):
        return "70", 70
    if key == "Train.num_classes":
        return "1", 1
    if key == "Global.device":
        return "gpu:0,1", "gpu:0,1"
    (first, *_) = options_of(kind)
    inner = get_args(first)[0] if get_origin(first) not in (None, list) else first
    if isinstance(inner, str):
        return next((word, word) for word in reversed(get_args(first)) if word != present)
    samples = {bool: ("True", True), int: ("7", 7), float: ("1e-3", 0.001), str: ("a b", "a b")}
    return samples.get(inner, ("[7, 9]", [7, 9]))


@pytest.mark.parametrize("key", [key for key in KEYS if key != "CheckDataset.split.enable"])
def test_every_key_can_be_overridden(key: str) -> None:
    text, wanted = another_value(key, KEYS[key], value_at(load_config(BLAZE_FACE), key))
    found = value_at(load_config(BLAZE_FACE, [f"{key}={text}"]), key)
    assert found == wanted and type(found) is type(wanted)


OVERRIDES = [
    ("Train.learning_rate", "1", 1.0),
    ("Train.learning_rate", "1e-3", 0.001),
    ("Train.learning_rate", "1E3", 1000.0),
    ("Train.learning_rate", ".5", 0.5),
    ("Train.ema_decay", "null", None),
    ("Train.ema_decay", "0.9", 0.9),
    ("Train.milestones", "[]", []),
    ("Train.milestones", "[1, 2]", [1, 2]),
    ("Global.traceback", "True", True),
    ("Global.traceback", "true", True),
    ("Global.device", "gpu:0,1", "gpu:0,1"),
    ("Global.dataset_dir", "2024", "2024"),
    ("Global.dataset_dir", "null", None),
    ("Global.dataset_dir", "'null'", "null"),
    ("Global.dataset_dir", "a=b", "a=b"),
    ("Predict.input", "a: b #1.jpg", "a: b #1.jpg"),
    ("Predict.input", "*.jpg", "*.jpg"),
    ("Predict.input", "2024-01-01", "2024-01-01"),
    ("Predict.input", "[a.jpg, more/]", ["a.jpg", "more/"]),
    ("Evaluate.weight_path", "[1].pdparams", "[1].pdparams"),
]


@pytest.mark.parametrize(("key", "text", "wanted"), OVERRIDES)
def test_values_arrive_as_they_are_meant(key: str, text: str, wanted: Any) -> None:
    found = value_at(load_config(BLAZE_FACE, [f"{key}={text}"]), key)
    assert found == wanted and type(found) is type(wanted)


def test_the_last_of_equal_keys_wins() -> None:
    assert load_config(BLAZE_FACE, ["Train.seed=1", "Train.seed=2"]).Train.seed == 2


REFUSED = [
    ("Train.epoch_iters=3", "there is no setting Train.epoch_iters; did you mean Train.epochs_iters"),
    ("train.batch_size=3", "there is no setting train.batch_size; did you mean Train.batch_size"),
    ("split.enable=true", "did you mean CheckDataset.split.enable"),
    ("Global.dataset_dri=x", "did you mean Global.dataset_dir"),
    ("Xyzzy.x=3", "there is no setting Xyzzy.x; known here are: Global, CheckDataset"),
    ("Global.model.x=3", "Global.model is a value and has no key 'x'"),
    ("CheckDataset.split={}", "is a section; set one of its keys: CheckDataset.split.enable"),
    ("Global", "not of the form Section.key=value"),
    ("=3", "not of the form Section.key=value"),
    ("Train.batch_size=2.5", "Train.batch_size is 2.5; expected a whole number of at least 1"),
    ("Train.batch_size=0", "expected a whole number of at least 1"),
    ("Train.batch_size=true", "Train.batch_size is True; expected a whole number"),
    ("Train.batch_size=", "Train.batch_size is null; expected a whole number"),
    ("Train.batch_size=*x", "expected a whole number"),
    ("Train.learning_rate=.nan", "expected a number above 0"),
    ("Train.learning_rate=1" + "0" * 400, "expected a number above 0"),
    ("Train.batch_size=1" + "0" * 5000, "expected a whole number of at least 1"),
    ("Train.learning_rate=.inf", "expected a number above 0"),
    ("Train.learning_rate=fast", "Train.learning_rate is 'fast'; expected a number above 0"),
    ("Train.milestones=[1, a]", "expected a list, each item a whole number of at least 1"),
    ("Train.num_classes=2", "expected a whole number equal to 1"),
    ("Predict.threshold=1.5", "expected a number from 0 to 1 or null"),
    ("Predict.input=", "expected text or a list, each item text or null"),
    ("Global.device=gpu:a", "Global.device is 'gpu:a'; expected cpu, gpu, or GPUs by number as gpu:0,1"),
    ("Global.output=null", "Global.output is null; expected text"),
    ("Global.traceback=maybe", "expected true or false"),
    ("Global.mode=trian", "expected one of check_dataset, train, evaluate, export, predict; did you mean train?"),
    ("Global.model=blazeface", "did you mean BlazeFace?"),
    ("CheckDataset.split.enable=true", "set CheckDataset.split.train_percent, to 90 for instance"),
    ("CheckDataset.split.train_percent=101", "expected a whole number from 0 to 100 or null"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED, ids=[override[:40] for override, _ in REFUSED])
def test_what_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(BLAZE_FACE, [override])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("override", ["image_size=100", "image_sizes=[64, 100]"])
def test_sides_that_the_network_does_not_take(override: str) -> None:
    with pytest.raises(ConfigError, match="PicoDet_LCNet_x2_5_face takes multiples of 32 px"):
        load_config(CONFIGS / "PicoDet_LCNet_x2_5_face.yaml", [f"Train.{override}"])


def test_percentages_must_add_up() -> None:
    split = ["CheckDataset.split.train_percent=90", "CheckDataset.split.val_percent=20"]
    with pytest.raises(ConfigError, match="train_percent is 90 and val_percent is 20; they must add up to 100"):
        load_config(BLAZE_FACE, split)


@pytest.mark.parametrize(("key", "share"), [("train_percent=90", 90), ("val_percent=30", 70)])
def test_one_percentage_is_enough(key: str, share: int) -> None:
    overrides = ["CheckDataset.split.enable=True", f"CheckDataset.split.{key}"]
    assert load_config(BLAZE_FACE, overrides).CheckDataset.split.train_share == share


FILES = [
    ("[1, 2]", "holds no sections"),
    ("Global: [", "is no YAML"),
    ("Global: {model: BlazeFace, model: BlazeFace}", "the key 'model' comes twice"),
    ("Global: 3", "Global is 3; expected a section with the keys model, mode"),
    ("Global: {}", "Global.model is missing; expected one of BlazeFace"),
    ("Global: {model: BlazeFace, 7: 8}", "there is no setting Global.7"),
    ("Global: {model: BlazeFace}\nTrain: {batch_size: 2}", "Train.num_classes is missing; expected a whole number"),
    ("Glopal: {model: BlazeFace}", "there is no setting Glopal; did you mean Global?"),
    ("Global: !!python/object/apply:os.system [ls]", "is no YAML"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load_config(tmp_path / "config.yaml")
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration nowhere\.yaml"):
        load_config(Path("nowhere.yaml"))
