"""The command line of training: one configuration file, one mode, one folder of results.

python training/main.py -c training/configs/BlazeFace.yaml -o Global.mode=check_dataset -o Global.dataset_dir=FOLDER

Every mode writes `<mode>_result.json` into `Global.output`: `done_flag`, and on failure `err_type` and `err_msg`.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # run as a file: Python has put its folder, not the project's, on the path
    sys.path[0] = str(ROOT)
if __name__ == "__main__":  # before numpy starts threads, which inherit it; `mode_function` ends it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

from training.config import Config, load_config  # noqa: E402
from training.json_files import write_json  # noqa: E402
from training.logs import log_to_stdout  # noqa: E402
from training.output_lock import locked  # noqa: E402

MODES = {
    "check_dataset": "training.check_dataset:run_check_dataset",
    "train": "training.engine.train:run_train",
    "evaluate": "training.evaluation.evaluate:run_evaluate",
    "export": "training.export:run_export",
    "predict": "training.predict:run_predict",
}
"""Mode -> the function that runs it, imported when it is wanted: Config -> contents of the result file."""


def mode_function(mode: str) -> Callable[[Config], dict[str, Any]]:
    """The function that runs a mode of `MODES`; SIGTERM is a SystemExit from then on.

    It has to wait meanwhile, for all threads: Paddle, when imported, takes it over, prints a stack and may hang.
    """
    module, function = MODES[mode].split(":")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        imported = importlib.import_module(module)
        if "paddle" in sys.modules:
            sys.modules["paddle"].disable_signal_handler()
        signal.signal(signal.SIGTERM, _terminated)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return getattr(imported, function)


def _terminated(*_: int | FrameType | None) -> None:
    sys.exit("terminated by SIGTERM")


def run(config: Config) -> None:
    """Run the mode of a configuration and write its result file; whatever goes wrong is written there and raised.

    Two trainings must not share an output; one that is kept out writes nothing there, not even a result.
    """
    output = Path(config.Global.output)
    output.mkdir(parents=True, exist_ok=True)
    with locked(output) if config.Global.mode == "train" else nullcontext():
        _run_mode(config, config.Global.mode, output / f"{config.Global.mode}_result.json")


def _run_mode(config: Config, mode: str, result_file: Path) -> None:
    result_file.unlink(missing_ok=True)  # a run that is killed leaves no result of another one
    try:
        result = mode_function(mode)(config)
        write_json(result_file, {"done_flag": True, **result})
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        passed = {"check_pass": False} if mode == "check_dataset" else {}
        failure = {"done_flag": False, **passed, "err_type": type(error).__name__, "err_msg": message(error)}
        with suppress(OSError):  # a full disk, which may be what is told
            write_json(result_file, failure)
        raise


def message(error: BaseException) -> str:
    """An error on one line; one that was not written for people is told with its type."""
    text = " ".join(str(error).split())
    if text and (isinstance(error, (ValueError, OSError, RuntimeError)) or isinstance(getattr(error, "code", 0), str)):
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python training/main.py", description=__doc__.splitlines()[0])
    parser.add_argument("-c", "--config", type=Path, required=True, help="training/configs/<model>.yaml")
    parser.add_argument(
        "-o", "--override", action="append", default=[], metavar="Section.key=value", help="may come several times"
    )
    options = parser.parse_args(arguments)
    log_to_stdout()
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    with_traceback = False
    try:
        config = load_config(options.config, options.override)
        with_traceback = config.Global.traceback
        run(config)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except (Exception, SystemExit) as error:
        if with_traceback:
            traceback.print_exc()
        print(f"error: {message(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
