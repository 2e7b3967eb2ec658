"""What a report was measured on: processor, cores, clock, versions of all that matters, commit."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import psutil

from training.paths import ROOT

PACKAGES = ("nvidia-pytriton", "tritonclient", "onnxruntime", "openvino", "numpy", "opencv-python-headless", "locust")
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
LOAD = "load before the run"
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe_machine() -> dict[str, str]:
    """Facts by name, all as text."""
    model, flags = read_cpuinfo(Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "processor": model,
        "instructions": " ".join(flag for flag in CPU_FLAGS if flag in flags),
        "cores": f"{cores()} usable of {os.cpu_count()}",
        "clock governor": GOVERNOR.read_text().strip() if GOVERNOR.is_file() else "not visible",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        LOAD: f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}, glibc {platform.libc_ver()[1]}",
        "python": platform.python_version(),
        "GPU": "; ".join(gpus()) or "none",
        **{name: version(name) for name in PACKAGES},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def read_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Model name and flags of the first processor of /proc/cpuinfo."""
    pairs = [line.partition(":")[::2] for line in text.partition("\n\n")[0].splitlines()]
    facts = {key.strip(): value.strip() for key, value in pairs}
    return facts.get("model name", "unknown"), set(facts.get("flags", "").split())


def commit() -> str:
    """The checked-out commit, "-dirty" appended if tracked files were changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return outcome.stdout.strip() or "unknown"


def gpus() -> list[str]:
    """One line for each NVIDIA GPU that nvidia-smi sees."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    outcome = subprocess.run(command, capture_output=True, text=True)
    return outcome.stdout.strip().splitlines() if outcome.returncode == 0 else []


def version(package: str) -> str:
    """Installed version of a package, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
