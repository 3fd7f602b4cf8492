"""The machine that made a number, in words."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str) -> str:
    """Processor, cores, memory, load now, accelerator (if torch is loaded), Python and the versions of `packages`."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = named[0] if named else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    torch = sys.modules.get("torch")
    accelerator = f", {torch.cuda.get_device_name()}" if torch is not None and torch.cuda.is_available() else ""
    versions = [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in packages)]
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}{accelerator}, "
        f"{platform.system()}, {', '.join(versions)}"
    )
