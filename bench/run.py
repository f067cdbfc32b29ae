# SPDX-License-Identifier: Apache-2.0
"""The library against the plain loops, side by side in one run.

    python bench/run.py [--quick]

Runs `mrfcore_ratios` (built with the benchmarks), prints a table and writes
`bench/results/<machine>/ratios.json`; <machine> is the processor's name and number of cores.
`--quick` measures fewer cases fewer times and writes to `build/bench` instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import ROOT, describe, results_folder, write


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="The library against the plain loops.")
    parser.add_argument("--quick", action="store_true", help="fewer cases, two repetitions")
    parser.add_argument("--repetitions", type=int, help="samples of each (default 5, quick 2)")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bench/mrfcore_ratios")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if not args.program.is_file():
        parser.error(f"no {args.program}: build the benchmarks first (make bench does)")
    if args.output is not None:
        output = args.output
    elif args.quick:
        output = ROOT / "build/bench/ratios.json"
    else:
        output = results_folder(args.machine) / "ratios.json"

    result = measure(args.program, args.quick, args.repetitions)
    for case in result["cases"]:
        judge(case, result)
    print(table(result))
    write(output, json.dumps(result, indent=1) + "\n")
    print(f"\nwritten: {output}")
    return 0


def measure(program: Path, quick: bool, repetitions: int | None) -> dict[str, Any]:
    """Samples of one run, with what there is to know about the machine at that time."""
    machine = describe()
    command = [str(program)] + ["--quick"] * quick
    if repetitions is not None:
        command += ["--repetitions", str(repetitions)]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return {"machine": machine, **json.loads(run.stdout)}


def judge(case: dict[str, Any], result: dict[str, Any]) -> None:
    """Add bounds and times (ms), ratios and the verdict to a case."""
    cells = case["cells"]
    pairs = cells * result["connectivity"] * case["labels"]
    case["memory_bound_ms"] = 1e3 * cells * case["bytes_per_cell"] / result["update_bytes_per_s"]
    # Two operations, an addition and a minimum, are what the ceiling counts as one pair.
    operations = cells * case["operations_per_cell"]
    case["compute_bound_ms"] = 1e3 * operations / 2 / result["min_plus_pairs_per_s"]
    case["bound_ms"] = max(case["memory_bound_ms"], case["compute_bound_ms"])

    # One thread: processor time, which the load of other programs disturbs least.
    plain = case["plain_s"]
    case["plain_ms"] = 1e3 * min(plain["cpu"])
    case["one_thread_ms"] = 1e3 * per_iteration(case["one_thread_s"], case["n"], "cpu", min)
    case["all_threads_ms"] = 1e3 * per_iteration(case["all_threads_s"], case["n"], "wall", min)
    case["ratio"] = case["plain_ms"] / case["one_thread_ms"]
    case["ratio_all_threads"] = 1e3 * min(plain["wall"]) / case["all_threads_ms"]
    median = statistics.median
    typical = per_iteration(case["one_thread_s"], case["n"], "cpu", median)
    case["ratio_of_medians"] = median(plain["cpu"]) / typical
    case["predicted_ratio"] = case["plain_ms"] / case["bound_ms"]
    case["share_of_bound"] = case["bound_ms"] / case["one_thread_ms"]
    if case["potential"] == "table":
        case["pairs_per_s"] = pairs / case["one_thread_ms"] * 1e3
    case["bytes_per_s"] = cells * case["bytes_per_cell"] / case["one_thread_ms"] * 1e3
    case["reached"] = case["ratio"] >= case["target"] if case["target"] else None


def per_iteration(
    calls: dict[str, dict[str, list[float]]],
    n: int,
    clock: str,
    usual: Callable[[list[float]], float],
) -> float:
    """(Time of n + 1 iterations - time of 1) / n, seconds; `usual` picks one of many samples."""
    return (usual(calls["more"][clock]) - usual(calls["one"][clock])) / n


def table(result: dict[str, Any]) -> str:
    """Predicted work next to the measured times, for people."""
    machine = result["machine"]
    head = (
        f"{machine['cpu']}, {machine['cores']} cores, {result['isa']}; load before: "
        f"{machine['load_before']}\n"
        f"ceilings of one core: {result['update_bytes_per_s'] / 1e9:.1f} GB/s read and written in "
        f"place ({result['copy_bytes_per_s'] / 1e9:.1f} copied), "
        f"{result['min_plus_pairs_per_s'] / 1e9:.1f} G min-plus pairs/s; "
        f"{result['threads']} threads: {result['update_bytes_per_s_all_threads'] / 1e9:.1f} GB/s\n"
        f"{result['height']} x {result['width']}, {result['connectivity']} connections; "
        "ms per iteration, the fastest of all samples ('medians': their\n"
        "medians' ratio); 1 thread and plain: processor time; all threads: wall clock; operations "
        "and bytes\nper cell (pixel and label); bound: by memory or arithmetic of one core\n\n"
    )
    columns = [
        ("case", 26), ("ops plain", 9), ("ours", 5), ("bytes", 5), ("bound ms", 9), ("1 thread", 9),
        ("of bound", 8), ("all", 8), ("plain", 9), ("ratio", 7), ("medians", 7), ("all", 7),
        ("target", 6),
    ]  # fmt: skip
    lines = ["  ".join(f"{name:>{width}}" for name, width in columns)]
    for case in result["cases"]:
        verdict = {True: "reached", False: "MISSED", None: ""}[case["reached"]]
        cells = [
            f"{case['solver']} {case['potential']} {case['labels']}",
            f"{case['plain_operations_per_cell']:.0f}",
            f"{case['operations_per_cell']:.0f}",
            f"{case['bytes_per_cell']}",
            f"{case['bound_ms']:.1f}",
            f"{case['one_thread_ms']:.1f}",
            f"{case['share_of_bound']:.0%}",
            f"{case['all_threads_ms']:.1f}",
            f"{case['plain_ms']:.0f}",
            f"{case['ratio']:.0f}x",
            f"{case['ratio_of_medians']:.0f}x",
            f"{case['ratio_all_threads']:.0f}x",
            f"{case['target']:.0f}x" if case["target"] else "",
        ]
        row = "  ".join(f"{text:>{width}}" for text, (_, width) in zip(cells, columns, strict=True))
        lines.append(f"{row}  {verdict}".rstrip())
    return head + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
