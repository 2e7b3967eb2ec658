"""Mode train: fits a detector to a data set and leaves the best weights, ready to serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paddle
import yaml

from training.coco_dataset import CocoSplit, load_dataset
from training.config import Config, dataset_of
from training.engine import stop
from training.engine.checkpoint import BEST, START, checkpoints
from training.engine.devices import devices_of, use_device
from training.engine.epoch_log import LOG_FILE
from training.engine.loop import Training
from training.export import FILES, export_weights
from training.logs import log_to_stdout
from training.progress import SUFFIX, CheckpointError, read_progress
from training.replace_folder import replace_folder

CONFIG_FILE = "config.yaml"
SUFFIXES = (".pdparams", ".pdema", ".pdopt", SUFFIX)


def run_train(config: Config) -> dict[str, Any]:
    """Train, then export the best weights to `best_model/inference/`.

    Returns:
        the files that were written, relative to the output, the AP of the best and the last epoch, and what the best
        one has gained ("before", "after", "better", see `training.progress.Progress.accuracy`).

    Raises:
        ConfigError, DatasetError, WeightsError, CheckpointError: a setting, the pictures, the weights to begin with or
            the checkpoint to go on from are of no use.
        DivergedError: the training has lost its way.
    """
    dataset = dataset_of(config)
    output, devices = Path(config.Global.output), devices_of(config.Global.device)
    if not config.Train.resume_path and (checkpoints(output) or (output / BEST).exists()):
        raise CheckpointError(
            f"{output} holds the checkpoints of another training; add -o Train.resume_path={output} to go on with it, "
            "or set another Global.output"
        )
    splits = load_dataset(dataset, config.Train.num_classes)
    stop.listen()
    (output / CONFIG_FILE).write_text(yaml.safe_dump(config.model_dump(), sort_keys=False), encoding="utf-8")
    if len(devices) == 1:
        use_device(devices[0])
        Training(config, splits).run()
    else:
        numbers = ",".join(device.partition(":")[2] for device in devices)
        paddle.distributed.spawn(train_in_parallel, (config, splits), nprocs=len(devices), gpus=numbers)
    stop.check()
    _export_best(config, output)
    return _result(config, output)


def train_in_parallel(config: Config, splits: dict[str, CocoSplit]) -> None:
    """One process of several, each with its device."""
    log_to_stdout()
    stop.listen()
    paddle.distributed.init_parallel_env()
    rank, devices = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    Training(config, splits, rank, devices).run()


def _export_best(config: Config, output: Path) -> None:
    unfinished = output / BEST / ".inference.part"
    export_weights(config.Global.model, output / BEST / f"{BEST}.pdparams", unfinished)
    replace_folder(unfinished, output / BEST / "inference")


def _result(config: Config, output: Path) -> dict[str, Any]:
    last = checkpoints(output)[-1]
    best, reached = _files_of(output, output / BEST), read_progress(output / BEST)
    start = {"start": _files_of(output, output / START)} if (output / START).is_dir() else {}
    inference = {Path(name).suffix[1:] or name: f"{BEST}/inference/{name}" for name in FILES}
    return {
        "model_name": config.Global.model,
        "config": CONFIG_FILE,
        "train_log": LOG_FILE,
        **reached.accuracy(),
        "models": {
            "best": {"score": reached.ap, "epoch": reached.epochs, **best, "inference": inference},
            "last_1": {"score": read_progress(last).ap, "epoch": read_progress(last).epochs, **_files_of(output, last)},
            **start,
        },
    }


def _files_of(output: Path, folder: Path) -> dict[str, str]:
    """The files of a checkpoint by kind; an empty path where the training has no such file."""
    paths = {suffix[1:]: folder / f"{folder.name}{suffix}" for suffix in SUFFIXES}
    return {kind: str(path.relative_to(output)) if path.exists() else "" for kind, path in paths.items()}
