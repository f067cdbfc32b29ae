#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the CUDA back-end on the GPU of this machine, without a network: `make gpu-check`.

    build     the package for this GPU's architecture alone, into build/gpu-check
    test      the Python tests of device tensors, on the GPU
    sanitize  compute-sanitizer's memcheck and racecheck over tests/gpu_kernels.py
    bench     bench/gpu.py; its results go to bench/results/<gpu>/
    cpp       the C++ tests, where GoogleTest is installed and time is left

A part that fails does not stop the others; every part keeps its log. What is installed is used as
it is. docs/cuda-check.md says how to read the results.

--rehearse runs the parts on a machine without a GPU: nvcc for one architecture, then everything on
emulated kernels; --dry-run prints what would be run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from _machine import results_folder, write  # noqa: E402

PARTS = ("build", "test", "sanitize", "bench", "cpp")
SECONDS = 470.0  # for everything: eight minutes, a table at the end included
LIMITS = {"build": 200.0, "test": 100.0, "sanitize": 120.0, "bench": 170.0, "cpp": 150.0}
LEAST = {"build": 5.0, "test": 5.0, "sanitize": 5.0, "bench": 15.0, "cpp": 60.0}
INDEPENDENT = ("sanitize",)  # steps that do not build on one another
REHEARSAL_FACTOR = 10.0  # two cores and an emulator
BENCH_START = 15.0  # seconds of bench/gpu.py that its budget does not count
REHEARSED_CAPABILITY = "9.0"
EMULATED = "build/release/tests/emulator/libmrfcore_cuda_emulated.so"


@dataclass
class Step:
    """One command of a part."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join([*variables, *self.command])


@dataclass
class Outcome:
    """What became of a part."""

    status: str  # passed, failed, skipped
    why: str = ""
    seconds: float = 0.0


class SkippedError(Exception):
    """A part has nothing to run here; the reason. No fault."""


class MissingError(Exception):
    """A part lacks what no check can do without."""


class Check:
    """The parts, as commands for this machine."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rehearse: bool = args.rehearse
        self.pretend: bool = args.rehearse or args.dry_run
        self.select: str = args.select
        self.out: Path = args.out
        self.build: Path = args.build
        self.site = self.build / "site"
        self.capability = capability() or (REHEARSED_CAPABILITY if self.pretend else None)

    # Each returns the steps of its part, given the seconds that they may take.

    def steps_of_build(self, _: float) -> list[Step]:
        nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
        if nvcc is None:
            raise MissingError("nvcc is not installed")
        if self.capability is None:
            raise MissingError("no GPU: neither nvidia-smi nor torch finds one")
        wanting = [m for m in ("scikit_build_core", "nanobind", "pip") if not installed(m)]
        if wanting:
            raise MissingError(f"not installed for {sys.executable}: {', '.join(wanting)}")
        architecture = self.capability.replace(".", "") + "-real"
        install = [
            *(sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps"),
            *("--no-index", "--upgrade", "--target", str(self.site)),
            *("-C", f"build-dir={self.build / 'wheel'}"),
            *("-C", "cmake.define.MRFCORE_CUDA=ON"),
            *("-C", f"cmake.define.MRFCORE_CUDA_ARCHITECTURES={architecture}"),
            str(ROOT),
        ]
        jobs = str(os.cpu_count() or 2)
        environment = {"CUDACXX": nvcc, "CMAKE_BUILD_PARALLEL_LEVEL": jobs}
        says = "import mrfcore.cuda as c; s = c.status(); print(s); assert s['built'], s['reason']"
        if not self.pretend:
            says += "; assert s['available'], s['reason']"
        return [
            Step(install, environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}),
            Step([sys.executable, "-c", says], self.package(built=True)),
        ]

    def steps_of_test(self, _: float) -> list[Step]:
        if not installed("pytest"):
            raise MissingError(f"pytest is not installed for {sys.executable}")
        folder = ROOT / "tests" / "python"
        patterns = ("test_device*.py", "test_*_device.py", "test_properties_*.py")
        files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--durations=5", *(str(f.relative_to(ROOT)) for f in files)]
        if self.select:
            command += ["-k", self.select]
        return [Step(command, self.on_device())]

    def steps_of_sanitize(self, _: float) -> list[Step]:
        driver = [sys.executable, str(Path("tests") / "gpu_kernels.py")]
        if self.rehearse:  # the driver itself, once
            only = ["--only", self.select] if self.select else []
            return [Step([*driver, "--emulate", *only], self.on_device())]
        tool = shutil.which("compute-sanitizer") or shutil.which(
            "/usr/local/cuda/bin/compute-sanitizer"
        )
        if tool is None and not self.pretend:
            raise SkippedError("compute-sanitizer is not installed")
        # One allocation per tensor, so that memory beyond a tensor is nobody's.
        environment = self.on_device() | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        prefix = [tool or "compute-sanitizer", "--error-exitcode", "9", "--print-limit", "20"]
        return [
            Step([*prefix, "--tool", name, *driver], environment)
            for name in ("memcheck", "racecheck")
        ]

    def steps_of_bench(self, seconds: float) -> list[Step]:
        command = [sys.executable, str(Path("bench") / "gpu.py"), "-o", str(self.out / "gpu.json")]
        command += ["--budget", f"{max(seconds - BENCH_START, 1.0):.0f}"]
        return [Step(command + ["--emulate"] * self.rehearse, self.on_device())]

    def steps_of_cpp(self, _: float) -> list[Step]:
        if not has_googletest():
            raise SkippedError("GoogleTest is not installed")
        folder = str(self.build / "cpp")
        jobs = str(os.cpu_count() or 2)
        options = ["MRFCORE_BUILD_TESTS=ON", "MRFCORE_CUDA=OFF", "CMAKE_BUILD_TYPE=Release"]
        return [
            Step(["cmake", "-S", str(ROOT), "-B", folder, *(f"-D{o}" for o in options)]),
            Step(["cmake", "--build", folder, "-j", jobs, "--target", "mrfcore_tests"]),
            Step([str(Path(folder) / "tests" / "cpp" / "mrfcore_tests"), "--gtest_brief=1"]),
        ]

    def package(self, built: bool = False) -> dict[str, str]:
        """Environment in which Python finds what was built, where something was or will be."""
        dry = self.pretend and not self.rehearse
        if not (built or dry or self.site.is_dir()):
            return {}
        before = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": os.pathsep.join([str(self.site), *([before] if before else [])])}

    def on_device(self) -> dict[str, str]:
        """Environment of what runs kernels."""
        if not self.rehearse:
            return {**self.package(), "MRFCORE_TEST_DEVICE": "cuda", "PYTHONUNBUFFERED": "1"}
        library = os.environ.get("MRFCORE_CUDA_LIBRARY") or str(ROOT / EMULATED)
        if not Path(library).is_file():
            raise SkippedError("no emulated kernels: `make cpp-test` builds them")
        return {**self.package(), "MRFCORE_CUDA_LIBRARY": library}


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, print a table, say by the exit status whether all is well."""
    args = parse(arguments)
    check = Check(args)
    if args.dry_run:
        return dry_run(check, args.parts)
    args.out.mkdir(parents=True, exist_ok=True)
    seconds = args.seconds * (REHEARSAL_FACTOR if args.rehearse else 1.0)
    end = time.monotonic() + seconds
    outcomes = {part: run_part(check, part, end) for part in args.parts}
    summary = summarise(check, args, outcomes)
    write(args.out / "check.json", json.dumps(summary, indent=1) + "\n")
    if not args.rehearse:
        keep_results(args.out, outcomes)
    print(table(outcomes, args.out), flush=True)
    return 1 if any(o.status == "failed" for o in outcomes.values()) else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "build/gpu-check/out", help="logs")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build/gpu-check", help="what is built"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"in all ({SECONDS:.0f})")
    parser.add_argument("--select", default="", help="tests: pytest -k; rehearsed kernels: a word")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, emulated")
    parser.add_argument("--dry-run", action="store_true", help="print commands only")
    args = parser.parse_args(arguments)
    if args.seconds <= 0:
        parser.error(f"--seconds: expected a positive number, got {args.seconds}")
    args.out, args.build = args.out.absolute(), args.build.absolute()
    return args


def dry_run(check: Check, parts: list[str]) -> int:
    """What would be run."""
    for part in parts:
        try:
            for step in getattr(check, f"steps_of_{part}")(LIMITS[part]):
                print(f"{part}: {step.text()}")
        except SkippedError as reason:
            print(f"{part}: skipped, {reason}")
        except MissingError as reason:
            print(f"{part}: would fail, {reason}")
    return 0


def run_part(check: Check, part: str, end: float) -> Outcome:
    """All steps of a part, into its log, within its time."""
    start = time.monotonic()
    factor = REHEARSAL_FACTOR if check.rehearse else 1.0
    limit = min(LIMITS[part] * factor, end - start)
    print(f"--- {part}", flush=True)
    if limit < LEAST[part]:
        return Outcome("skipped", "no time left")
    log = check.out / f"{part}.log"
    try:
        steps = getattr(check, f"steps_of_{part}")(limit)
    except SkippedError as reason:
        log.write_text(f"skipped: {reason}\n")
        return Outcome("skipped", str(reason))
    except MissingError as reason:
        log.write_text(f"missing: {reason}\n")
        return Outcome("failed", str(reason))
    failures = run_steps(steps, log, start + limit, part in INDEPENDENT)
    if failures:
        print(tail(log), flush=True)
        return Outcome("failed", "; ".join(failures), time.monotonic() - start)
    print(tail(log, 3 if part == "build" else 45), flush=True)
    return Outcome("passed", last_words(log, part), time.monotonic() - start)


def run_steps(steps: list[Step], log: Path, end: float, independent: bool) -> list[str]:
    """Why steps failed. Independent ones share the time, and each has its turn."""
    failures = []
    with log.open("w") as to:
        for i, step in enumerate(steps):
            left = end - time.monotonic()
            why = run_step(step, to, left / (len(steps) - i) if independent else left)
            failures += [why] if why else []
            if why and not independent:
                break
    return failures


def run_step(step: Step, log: Any, seconds: float) -> str:
    """Empty, or why it failed. What it started ends with it."""
    log.write(f"$ {step.text()}\n")
    log.flush()
    try:
        child = subprocess.Popen(
            step.command,
            cwd=ROOT,
            env=os.environ | step.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"cannot run {step.command[0]}: {error.strerror}"
    try:
        code = child.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        return f"out of time: {Path(step.command[0]).name} was ended"
    finally:
        end_group(child)
    return f"exit status {code}" if code else ""


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def tail(log: Path, lines: int = 45) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def last_words(log: Path, part: str) -> str:
    """What a log's summary says."""
    patterns = {
        "test": r"^(\d+ passed.*) in [\d.]+s.*$",
        "sanitize": r"^(?:=+ )?((?:ERROR|RACECHECK) SUMMARY: .*|\d+ jobs, .*)$",
        "cpp": r"^\[  PASSED  \] (.*)$",
    }
    if part not in patterns:
        return ""
    return "; ".join(re.findall(patterns[part], log.read_text(errors="replace"), re.MULTILINE))


# ---------------------------------------------------------------- what is here


def capability() -> str | None:
    """Of the first GPU that programs are given, such as 9.0; by nvidia-smi, else by torch."""
    query = "import torch; print('%d.%d' % torch.cuda.get_device_capability(0))"
    commands = [[sys.executable, "-c", query]]  # in a process of its own: it takes the GPU's memory
    if "CUDA_VISIBLE_DEVICES" not in os.environ:  # of which nvidia-smi knows nothing
        smi = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader", "--id=0"]
        commands.insert(0, smi)
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        if re.fullmatch(r"\d+\.\d+", done.stdout.strip()):
            return done.stdout.strip()
    return None


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def has_googletest() -> bool:
    """Whether the compiler finds its header."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None or shutil.which("cmake") is None:
        return False
    command = [compiler, "-E", "-x", "c++", "-", "-o", os.devnull]
    source = "#include <gtest/gtest.h>\n"
    return subprocess.run(command, input=source, text=True, capture_output=True).returncode == 0


# ---------------------------------------------------------------- results


def summarise(
    check: Check, args: argparse.Namespace, outcomes: dict[str, Outcome]
) -> dict[str, Any]:
    """For check.json."""
    return {
        "kind": "rehearsal on emulated kernels" if args.rehearse else "on a GPU",
        "date": time.strftime("%Y-%m-%d"),
        "capability": check.capability,
        "nvcc": first_line(["nvcc", "--version"], r"release .*"),
        "driver": first_line(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv"]),
        "python": sys.version.split()[0],
        "packages": versions("torch", "numpy", "nanobind", "scikit_build_core", "pytest"),
        "parts": {
            part: {"status": o.status, "why": o.why, "seconds": round(o.seconds, 1)}
            for part, o in outcomes.items()
        },
    }


def first_line(command: list[str], pattern: str = r"NVIDIA .*") -> str | None:
    """The first line of a program's output that the pattern finds, from there on."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(pattern, done.stdout)
    return found.group() if found else None


def versions(*packages: str) -> dict[str, str | None]:
    """Of what is installed."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def keep_results(out: Path, outcomes: dict[str, Outcome]) -> None:
    """Measurements into bench/results/<gpu>, with the check that they come from."""
    from gpu import folder_of

    if "bench" not in outcomes or outcomes["bench"].status != "passed":
        return
    measured = (out / "gpu.json").read_text()
    folder = results_folder(folder_of(json.loads(measured)["machine"]["gpu"]))
    write(folder / "gpu.json", measured)
    write(folder / "check.json", (out / "check.json").read_text())
    print(f"results: {folder}")


def table(outcomes: dict[str, Outcome], out: Path) -> str:
    """For people."""
    lines = [f"\n{'part':10}{'seconds':>8}  outcome (logs: {out})"]
    for part, o in outcomes.items():
        lines.append(f"{part:10}{o.seconds:>8.0f}  {o.status}{': ' if o.why else ''}{o.why}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
