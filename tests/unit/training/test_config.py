from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from training.config import Config, load_config
from training.config_values import ConfigError, leaves
from training.detectors import DETECTORS
from training.paths import ROOT

CONFIGS = ROOT / "training" / "configs"
BLAZE_FACE = CONFIGS / "BlazeFace.yaml"
KEYS = list(leaves(Config))


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
    assert keys_of(yaml.safe_load(path.read_text())) == KEYS
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


ANOTHER_VALUE = {
    "Global.model": ("BlazeFace-FPN-SSH", "BlazeFace-FPN-SSH"),
    "Global.mode": ("predict", "predict"),
    "Global.device": ("gpu:0,1", "gpu:0,1"),
    "Train.num_classes": ("1", 1),
    "Train.recipe": ("crowds", "crowds"),
    "Train.optimizer": ("momentum", "momentum"),
    "Train.schedule": ("cosine", "cosine"),
    "Train.image_size": ("64", 64),
    "Train.image_sizes": ("[64, 96]", [64, 96]),
    "Train.freeze_norm": ("true", True),
    "Train.ema_decay": ("0.9", 0.9),
    "Train.static_assigner_epochs": ("null", None),
    "Evaluate.image_size": ("64", 64),
    "Predict.threshold": ("0", 0.0),
    "CheckDataset.split.train_percent": ("70", 70),
    "CheckDataset.split.val_percent": ("70", 70),
    "Train.steps_per_epoch": ("7", 7),
    "Train.ema_cycle_epochs": ("7", 7),
}
BY_TYPE = {
    bool: ("True", True),
    int: ("7", 7),
    float: ("1e-3", 0.001),
    str: ("a b", "a b"),
    list: ("[7, 9]", [7, 9]),
    type(None): ("a b", "a b"),
}


@pytest.mark.parametrize("key", [key for key in KEYS if key != "CheckDataset.split.enable"])
def test_every_key_can_be_overridden(key: str) -> None:
    present = value_at(load_config(BLAZE_FACE), key)
    text, wanted = ANOTHER_VALUE.get(key) or BY_TYPE[type(present)]
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
    ("Predict.input", "b #1.jpg", "b #1.jpg"),
    ("Predict.input", "#1.jpg", "#1.jpg"),
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
    ("Train.batch_size=2.5", "Train.batch_size is 2.5; it should be a valid integer"),
    ("Train.batch_size=2.0", "Train.batch_size is 2.0; it should be a valid integer"),
    ("Train.batch_size=0", "Train.batch_size is 0; it should be greater than or equal to 1"),
    ("Train.batch_size=true", "Train.batch_size is True; it should be a valid integer"),
    ("Train.batch_size=", "Train.batch_size is ''; it should be a valid integer"),
    ("Train.batch_size=null", "Train.batch_size is null; it should be a valid integer"),
    ("Train.batch_size=*x", "Train.batch_size is '*x'; it should be a valid integer"),
    ("Train.learning_rate=.nan", "Train.learning_rate is nan; it should be a finite number"),
    ("Train.learning_rate=1" + "0" * 400, "it should be a valid number"),
    ("Train.batch_size=1" + "0" * 5000, "it should be a valid integer"),
    ("Train.epochs_iters=1" + "0" * 30, "it should be less than 2147483648"),
    ("Train.learning_rate=.inf", "it should be a finite number"),
    ("Train.learning_rate=0", "Train.learning_rate is 0; it should be greater than 0"),
    ("Train.learning_rate=true", "Train.learning_rate is True; it should be a valid number"),
    ("Train.learning_rate=fast", "Train.learning_rate is 'fast'; it should be a valid number"),
    ("Train.milestones=[1, a]", "Train.milestones[1] is 'a'; it should be a valid integer"),
    ("Train.milestones=[7, 7]", "Train.milestones is [7, 7]; the epochs have to ascend"),
    ("Train.num_classes=0", "Train.num_classes is 0; it should be greater than or equal to 1"),
    ("Train.num_classes=101", "Train.num_classes is 101; it should be less than or equal to 100"),
    ("Predict.threshold=1.5", "Predict.threshold is 1.5; it should be less than or equal to 1"),
    ("Predict.input=", "Predict.input is ''; it should have at least 1 character or it should be a valid list"),
    ("Train.recipe=crowd", "Train.recipe is 'crowd'; it should be 'reference' or 'crowds'; did you mean crowds?"),
    ("Train.recipe=null", "Train.recipe is null; it should be 'reference' or 'crowds'"),
    ("Train.recipe=[crowds]", "Train.recipe is ['crowds']; it should be 'reference' or 'crowds'"),
    ("Train.optimizer=adam", "it should be 'momentum', 'rmsprop' or 'adamw'; did you mean adamw?"),
    ("Global.device=gpu:a", "Global.device is 'gpu:a'; it should be cpu, gpu, or GPUs by number as gpu:0,1"),
    ("Global.output=null", "Global.output is null; it should be a valid string"),
    ("Global.traceback=maybe", "Global.traceback is 'maybe'; it should be a valid boolean"),
    ("Global.mode=trian", "'export' or 'predict'; did you mean train?"),
    ("Global.model=blazeface", "did you mean BlazeFace?"),
    ("CheckDataset.split.enable=true", "set CheckDataset.split.train_percent, to 90 for instance"),
    ("CheckDataset.split.train_percent=101", "it should be less than or equal to 100"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED, ids=[override[:40] for override, _ in REFUSED])
def test_what_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(BLAZE_FACE, [override])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


PICODET, PPYOLOE = "PicoDet_LCNet_x2_5_face", "PP-YOLOE_plus-S_face"
BEFORE_THE_FIRST_STEP = [
    ("BlazeFace", "Train.image_size=16", "Train.image_size is 16; BlazeFace takes sides from 32 to 2048 px"),
    ("BlazeFace", "Train.image_size=4096", "Train.image_size is 4096; BlazeFace takes sides from 32 to 2048 px"),
    ("BlazeFace", "Train.image_sizes=[640, 4096]", "Train.image_sizes is [640, 4096]; BlazeFace takes sides from"),
    ("BlazeFace", "Evaluate.image_size=16", "Evaluate.image_size is 16; BlazeFace takes sides from 32 to 2048 px"),
    (
        PICODET,
        "Train.image_size=100",
        "takes sides from 32 to 2048 px that are multiples of 32",
    ),
    (PICODET, "Train.image_sizes=[64, 100]", "Train.image_sizes is [64, 100]; PicoDet_LCNet_x2_5_face takes sides"),
    (PPYOLOE, "Evaluate.image_size=500", "Evaluate.image_size is 500; PP-YOLOE_plus-S_face takes sides"),
    ("BlazeFace", "Train.num_workers=1000", "Train.num_workers is 1000; it should be less than or equal to 128"),
    ("BlazeFace", "Train.seed=-1", "Train.seed is -1; it should be greater than or equal to 0"),
    ("BlazeFace", f"Train.seed={2**64}", f"Train.seed is {2**64}; it should be less than {2**64}"),
    ("BlazeFace", "CheckDataset.split.seed=-1", "CheckDataset.split.seed is -1; it should be greater than"),
    ("BlazeFace", "Train.static_assigner_epochs=3", "Train.static_assigner_epochs is 3; BlazeFace has one way to"),
    (PICODET, "Train.static_assigner_epochs=0", "PicoDet_LCNet_x2_5_face has one way to assign anchors"),
]


@pytest.mark.fault("B24")
@pytest.mark.parametrize(("name", "override", "message"), BEFORE_THE_FIRST_STEP)
def test_what_would_fail_later_is_refused_before_the_first_step(name: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(CONFIGS / f"{name}.yaml", [override])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.fault("B24")
def test_the_outermost_values_that_are_taken() -> None:
    overrides = ["Train.image_size=32", "Train.image_sizes=[33, 2048]", f"Train.seed={2**64 - 1}"]
    train = load_config(BLAZE_FACE, overrides).Train
    assert (train.image_size, train.image_sizes, train.seed) == (32, [33, 2048], 2**64 - 1)
    paddle.seed(train.seed)
    np.random.default_rng([train.seed, 0])


def test_several_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("Global: {model: BlazeFace, devise: cpu}\nTrain: {batch_size: 0, seed: x}")
    with pytest.raises(ConfigError) as refusal:
        load_config(tmp_path / "config.yaml")
    for part in ("did you mean Global.device?", "Train.batch_size is 0;", "Train.seed is 'x';"):
        assert part in str(refusal.value)


@pytest.mark.parametrize("key", ["Train.pretrain_weight_path", "Evaluate.weight_path", "Export.weight_path"])
def test_addresses_of_other_weights_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"the weights https://a\.b/c\.pdparams are an address; download them"):
        load_config(BLAZE_FACE, [f"{key}=https://a.b/c.pdparams"])


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
    ("Global: 3", "Global is 3; it should be a section with the keys model, mode"),
    ("Global: {}", "Global.model is missing"),
    ("Global: {model: BlazeFace, 7: 8}", "there is no setting Global.7"),
    ("Global: {model: BlazeFace}\nTrain: 3", "Train is 3; it should be a section with the keys num_classes"),
    ("Global: {model: BlazeFace}\nPredict: {input: [a, 3]}", "Predict.input[1] is 3; it should be a valid string"),
    ("Global: {model: [BlazeFace]}", "Global.model is ['BlazeFace']; it should be 'BlazeFace'"),
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
