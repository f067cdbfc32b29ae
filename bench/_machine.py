# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: the machine's name and files written whole."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cpu_model() -> str:
    """The processor's name as the system has it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def machine_name() -> str:
    """Processor and cores as a folder name, such as amd-epyc-2-cores."""
    return re.sub(r"[^a-z0-9]+", "-", f"{cpu_model()} {os.cpu_count()} cores".lower()).strip("-")


def results_folder(machine: str | None = None) -> Path:
    """Where measurements of a machine are kept, `bench/results/<machine>`."""
    return ROOT / "bench" / "results" / (machine or machine_name())


def describe() -> dict[str, Any]:
    """Machine, date, and how busy it is now (load average of the last minute)."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def available_bytes() -> int:
    """Memory that can be had without swapping (Linux)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no MemAvailable in /proc/meminfo")


def commit() -> str:
    """The checkout's, with a + where files differ from it; empty outside one."""
    call = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def data_folder() -> Path:
    """Benchmark images: $MRFCORE_DATA, else ../shared/data; perhaps not there."""
    return Path(os.environ.get("MRFCORE_DATA", ROOT.parent / "shared" / "data"))


def write(path: Path, text: str) -> None:
    """The whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
