#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails if a CUDA kernel takes more registers, or spills more, than its budget allows.

    check_cuda_budget.py --nvcc nvcc --arch sm_90 --include DIR... [--update] file.cu...

Budgets are `cuda/budget.json`, by architecture and kernel; `--update` writes what the compiler says
now, to be looked at and committed. A kernel without a budget fails, too.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGET = Path(__file__).resolve().parent.parent / "cuda" / "budget.json"
KINDS = ("registers", "spill_store_bytes", "spill_load_bytes", "static_shared_bytes")
Usage = dict[str, dict[str, int]]


def main() -> int:
    """Compile, compare, print what is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--update", action="store_true", help="write the budget")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        reports = pool.map(
            lambda f: compile_report(args.nvcc, args.arch, args.include, f), args.files
        )
        usage: Usage = {}
        for report in reports:
            usage |= parse(report)
    if not usage:
        print("no kernel in the compiler's report", file=sys.stderr)
        return 1
    budgets = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    if args.update:
        budgets[args.arch] = dict(sorted(usage.items()))
        BUDGET.write_text(json.dumps(budgets, indent=1) + "\n")
        print(f"written: {BUDGET}, {len(usage)} kernels for {args.arch}")
        return 0
    over = exceeded(usage, budgets.get(args.arch, {}))
    print("\n".join(over) or f"{len(usage)} kernels within their budget for {args.arch}")
    return 1 if over else 0


def compile_report(nvcc: str, arch: str, include: list[str], file: Path) -> str:
    """What ptxas says about one file, names demangled."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", f"-arch={arch}", "-fmad=false", "-Xptxas", "-v"]
        command += ["-Werror", "all-warnings", *(f"-I{d}" for d in include)]
        command += ["-c", str(file), "-o", str(Path(folder) / "out.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{file} does not compile:\n{done.stdout}{done.stderr}")
    names = subprocess.run(
        ["c++filt"], input=done.stdout + done.stderr, capture_output=True, text=True, check=True
    )
    return names.stdout


def parse(report: str) -> Usage:
    """Numbers by kernel. The anonymous namespace's name holds a hash of the file: taken out."""
    usage: Usage = {}
    kernel = ""
    for line in report.splitlines():
        if found := re.search(r"Compiling entry function '(.+)' for", line):
            kernel = re.sub(
                r"\(anonymous namespace\)::|_INTERNAL_\w+::|mrfcore::cuda::", "", found[1]
            )
            kernel = re.sub(r"\(.*", "", kernel.removeprefix("void "), count=0)
            usage[kernel] = dict.fromkeys(KINDS, 0)
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            usage[kernel]["spill_store_bytes"] = int(found[1])
            usage[kernel]["spill_load_bytes"] = int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            usage[kernel]["registers"] = int(found[1])
            shared = re.search(r"(\d+) bytes smem", line)
            usage[kernel]["static_shared_bytes"] = int(shared[1]) if shared else 0
    return usage


def exceeded(usage: Usage, budgets: Usage) -> list[str]:
    """One line for every number above its budget."""
    lines = []
    for kernel, numbers in sorted(usage.items()):
        if kernel not in budgets:
            lines.append(f"{kernel}: no budget; run with --update and look at what it writes")
            continue
        lines += [
            f"{kernel}: {kind} {value}, budget {budgets[kernel][kind]}"
            for kind, value in numbers.items()
            if value > budgets[kernel][kind]
        ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
