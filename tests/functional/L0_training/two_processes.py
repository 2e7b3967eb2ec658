"""Trains in two processes on the CPU; each writes a sum of its weights to `rank_<n>`. Arguments: data set, output."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle

from training.coco_dataset import load_dataset
from training.config import Config, load_config
from training.engine.loop import Training
from training.logs import log_to_stdout

SETTINGS = ["Train.epochs_iters=2", "Train.batch_size=2", "Train.num_workers=0", "Train.image_size=64"]


def train(config: Config) -> None:
    log_to_stdout()
    paddle.distributed.init_parallel_env()
    rank, devices = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    training = Training(config, load_dataset(Path(config.Global.dataset_dir)), rank, devices)
    training.run()
    total = sum(float(parameter.abs().sum()) for parameter in training.network.parameters() if parameter.trainable)
    (Path(config.Global.output) / f"rank_{rank}").write_text(repr(total))


if __name__ == "__main__":
    paths = [f"Global.dataset_dir={sys.argv[1]}", f"Global.output={sys.argv[2]}", "Train.log_interval=1"]
    settings = load_config(Path("training/configs/BlazeFace.yaml"), [*SETTINGS, *paths])
    paddle.distributed.spawn(train, (settings,), nprocs=2, backend="gloo")
