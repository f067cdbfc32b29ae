# SPDX-License-Identifier: Apache-2.0
"""The GPU at hand, or the emulator in its place: clocks, ceilings, launches, what it is."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import mrfcore
from _gpu_counts import Gpu
from _machine import ROOT, describe

COPY_BYTES = 1 << 30
COMPILER_SECONDS = 60


class Device:
    """Where tensors go, and how time passes there."""

    def __init__(self, emulated: bool) -> None:
        self.emulated = emulated
        self.type = "cpu" if emulated else "cuda"
        if emulated:
            torch.set_num_threads(1)  # tiny tensors: threads would only wait for one another

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """With the emulator, tensors on the CPU are the device's in here."""
        if not self.emulated:
            yield
            return
        sys.path.insert(0, str(ROOT / "tests" / "python"))
        import devices

        with devices.Device("cpu").active():
            yield

    def seconds(self, function: Callable[[], Any]) -> tuple[float, Any]:
        """Time between two events around a call, and what it returned."""
        if self.emulated:
            start = time.perf_counter()
            result = function()
            return time.perf_counter() - start, result
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        result = function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3, result

    def wall_seconds(self, function: Callable[[], Any]) -> tuple[float, Any]:
        """Wall clock of a call from idle to idle."""
        self.wait()
        start = time.perf_counter()
        result = function()
        self.wait()
        return time.perf_counter() - start, result

    def wait(self) -> None:
        if not self.emulated:
            torch.cuda.synchronize()

    def peak_bytes(self, function: Callable[[], Any]) -> int | None:
        """Growth of allocated memory at its peak."""
        if self.emulated:
            function()
            return None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = function()
        torch.cuda.synchronize()
        del result
        return torch.cuda.max_memory_allocated() - before

    def launches(self, function: Callable[[], Any]) -> int | None:
        """Kernels, copies and clears, torch's included; None where they cannot be counted."""
        if self.emulated:
            before = emulated_launches()
            function()
            after = emulated_launches()
            return None if before is None or after is None else after - before
        try:
            with torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CUDA]
            ) as profile:
                function()
                torch.cuda.synchronize()
            cuda = torch.autograd.DeviceType.CUDA
            return sum(event.device_type == cuda for event in profile.events()) or None
        except RuntimeError:  # a machine whose counters are closed
            return None

    def graph_seconds(self, function: Callable[[], Any], samples: int) -> list[float]:
        """Times of replays of a CUDA graph: what is left when nobody enqueues."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = function()
        graph.replay()
        times = [self.seconds(graph.replay)[0] for _ in range(samples)]
        del kept, graph
        return times


def emulated_launches() -> int | None:
    """Of the emulated library that is in use; None if it does not count."""
    path = os.environ.get("MRFCORE_CUDA_LIBRARY")
    if path is None:
        return None
    try:
        function = ctypes.CDLL(path).mrfcore_emulated_launches
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_uint64
    return int(function())


def machine(device: Device) -> dict[str, Any]:
    """Hardware, and versions of what runs on it."""
    status = mrfcore.info()
    found: dict[str, Any] = {
        **describe(),
        "mrfcore": status["version"],
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "commit": commit(),
    }
    if device.emulated:
        return {**found, "gpu": "emulator"}
    properties = torch.cuda.get_device_properties(0)
    return {
        **found,
        "gpu": properties.name,
        "capability": [properties.major, properties.minor],
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "cuda_of_torch": torch.version.cuda,
        "driver": query("driver_version"),
        "power_limit": query("power.limit"),
    }


def commit() -> str | None:
    """Of the working tree; None where git does not know."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def query(field: str) -> str | None:
    """One field of nvidia-smi, of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def ceilings(device: Device) -> dict[str, Any]:
    """Bandwidth of a copy, the clock under load, min-plus pairs per second."""
    if device.emulated:
        return {}
    return {
        "copy_bytes_per_second": copy_bandwidth(device),
        "clock_hz": clock_under_load(),
        "clock_max_hz": megahertz(query("clocks.max.sm")),
        **min_plus_ceilings(),
    }


def copy_bandwidth(device: Device, size: int = COPY_BYTES) -> float:
    """Bytes read and written per second, device to device. Random numbers: zeros can be faster."""
    source = torch.rand(size // 4, device=device.type)
    target = torch.empty_like(source)
    for _ in range(3):
        target.copy_(source)
    times = [device.seconds(lambda: target.copy_(source))[0] for _ in range(15)]
    return 2 * size / statistics.median(times)


def clock_under_load() -> float | None:
    """Of the multiprocessors, while they multiply matrices."""
    a = torch.rand(4096, 4096, device="cuda")
    for _ in range(500):  # long enough for a program to start and look
        a = (a @ a).clamp_(0, 1)
    clock = megahertz(query("clocks.sm"))
    torch.cuda.synchronize()
    return clock


def megahertz(text: str | None) -> float | None:
    """'1980 MHz' as 1.98e9."""
    try:
        return float(text.split()[0]) * 1e6 if text else None
    except ValueError:
        return None


def min_plus_ceilings() -> dict[str, Any]:
    """What bench/gpu_ceilings.cu prints; empty where nvcc is missing."""
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        return {"min_plus": "not measured: no nvcc"}
    major, minor = torch.cuda.get_device_capability(0)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "ceilings"
        compiler = [nvcc, "-std=c++20", f"-arch=sm_{major}{minor}", "-fmad=false", "-O3"]
        compiler += [str(ROOT / "bench/gpu_ceilings.cu"), "-o", str(program)]
        limits: dict[str, Any] = {"check": True, "timeout": COMPILER_SECONDS}
        try:
            subprocess.run(compiler, capture_output=True, text=True, **limits)
            done = subprocess.run([str(program)], capture_output=True, text=True, **limits)
        except subprocess.SubprocessError as error:
            said = getattr(error, "stderr", "") or ""
            return {"min_plus": f"not measured: {error} {said[-300:]}"}
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def as_gpu(found: dict[str, Any], measured: dict[str, Any]) -> Gpu:
    """What counts are held against: bandwidth and clock of this very run."""
    clock = measured["clock_hz"] or measured["clock_max_hz"] or 1.0e9
    return Gpu(found["gpu"], measured["copy_bytes_per_second"], found["multiprocessors"], clock)
