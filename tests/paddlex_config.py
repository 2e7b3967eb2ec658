"""The settings of PaddleX's own YAML files for the four detectors."""

from __future__ import annotations

PADDLEX_TRAIN = {  # learning rate, warm-up steps
    "BlazeFace": (0.001, 500),
    "BlazeFace-FPN-SSH": (0.001, 500),
    "PicoDet_LCNet_x2_5_face": (0.08, 100),
    "PP-YOLOE_plus-S_face": (0.0001, 100),
}
ADDRESS = "https://paddle-model-ecology.bj.bcebos.com/paddlex"


def paddlex_yaml(name: str) -> str:
    rate, warmup = PADDLEX_TRAIN[name]
    official = f"{ADDRESS}/official_pretrained_model/{name}_pretrained.pdparams"
    return f"""
Global: {{model: {name}, mode: check_dataset, dataset_dir: /paddle/dataset, device: "gpu:0,1,2,3", output: output}}
CheckDataset:
  convert: {{enable: False, src_dataset_type: null}}
  split: {{enable: False, train_percent: null, val_percent: null}}
Train:
  num_classes: 1
  epochs_iters: 50
  batch_size: 4
  learning_rate: {rate}
  pretrain_weight_path: {official}
  warmup_steps: {warmup}
  resume_path: null
  log_interval: 10
  eval_interval: 1
Evaluate: {{weight_path: output/best_model/best_model.pdparams, log_interval: 10}}
Export: {{weight_path: "{official}"}}
Predict:
  batch_size: 1
  model_dir: output/best_model/inference
  input: {ADDRESS}/imgs/demo_image/face_detection.png
  kernel_option: {{run_mode: paddle}}
"""
