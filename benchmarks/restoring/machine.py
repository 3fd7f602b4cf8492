"""The machine that made a number, in words."""

import os
import platform
from pathlib import Path

import torch


def machine() -> str:
    """Processor, cores, accelerator, versions."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = named[0] if named else model
    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{model}, {os.cpu_count()} cores{accelerator}, torch {torch.__version__}, Python {platform.python_version()}"
    )
