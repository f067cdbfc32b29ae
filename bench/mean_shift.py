# SPDX-License-Identifier: Apache-2.0
"""Recurrent mean shift against dense torch: forward, backward, memory.

    python bench/mean_shift.py [--quick]

Dense is the fastest plain form: softmax attention with query = key = value = x, one thread. Times
are processor time, ours and dense in turn in one process, the best of each. Memory is the growth of
the peak resident set, each in a process of its own whose malloc gives back at once what is freed.

Prints a table and writes `bench/results/<machine>/mean_shift.json`; `--quick` measures few points
into `build/bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import ROOT, describe, resident, results_folder, write

KAPPA = 36.0
TARGETS = {"time": 3.0, "memory": 10.0}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Mean shift against dense torch.")
    parser.add_argument("--quick", action="store_true", help="few points")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(peak(json.loads(args.child))))
        return 0
    if importlib.util.find_spec("torch") is None:
        print("mean_shift.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "mean_shift.json"
    cases = [compare(case, args.repetitions) for case in cases_of(args.quick)]
    result = {"machine": describe(), "targets": TARGETS, "cases": cases}
    write(output, json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(f"\nwritten: {output}")
    return 0


def cases_of(quick: bool) -> list[dict[str, int]]:
    """Points, dimensions, loops."""
    if quick:
        return [{"points": 1200, "dims": 64, "steps": 1}]
    return [
        {"points": 4800, "dims": 64, "steps": 1},
        {"points": 4800, "dims": 64, "steps": 5},
        {"points": 4800, "dims": 16, "steps": 1},
        {"points": 4800, "dims": 3, "steps": 1},
    ]


def sides() -> dict[str, Callable[..., Any]]:
    """Both functions of (x [1, D, N], steps)."""
    import torch

    from mrfcore.ops.mean_shift import mean_shift

    torch.set_num_threads(1)

    def dense(x: Any, steps: int) -> Any:
        x = torch.nn.functional.normalize(x, dim=1)
        for _ in range(steps):
            weights = torch.softmax(KAPPA * (x.transpose(1, 2) @ x), 1)
            x = torch.nn.functional.normalize(x @ weights, dim=1)
        return x

    return {"ours": lambda x, steps: mean_shift(x, KAPPA, steps, threads=1), "dense": dense}


def inputs(case: dict[str, int]) -> tuple[Any, Any]:
    """Embeddings around twenty centres, and the gradient of the result."""
    import torch

    random = torch.Generator().manual_seed(1)
    centres = torch.randn(1, case["dims"], 20, generator=random)
    which = torch.arange(case["points"]) % 20
    noise = torch.randn(1, case["dims"], case["points"], generator=random)
    x = (centres[:, :, which] + 0.3 * noise).requires_grad_()
    return x, torch.randn(x.shape, generator=random)


def compare(case: dict[str, int], repetitions: int) -> dict[str, Any]:
    """Times in turn, peaks apart, ratios, largest differences."""
    import torch

    x, grad = inputs(case)
    times: dict[str, list[list[float]]] = {"ours": [], "dense": []}
    results = {}
    for k in range(repetitions + 1):  # the first warms up
        for name, run in sides().items():
            start = time.process_time()
            y = run(x, case["steps"])
            middle = time.process_time()
            (g,) = torch.autograd.grad(y, x, grad)
            if k:
                times[name].append([middle - start, time.process_time() - middle])
            results[name] = y.detach(), g
            del y, g
    found: dict[str, Any] = {**case, "peak_bytes": {n: measure_peak(case, n) for n in times}}
    for name, samples in times.items():
        found[name] = dict(
            zip(("forward_s", "backward_s"), map(min, zip(*samples, strict=True)), strict=True)
        )
    total = {n: sum(found[n].values()) for n in times}
    found["time_ratio"] = total["dense"] / total["ours"]
    found["memory_ratio"] = found["peak_bytes"]["dense"] / found["peak_bytes"]["ours"]
    both = zip(results["ours"], results["dense"], strict=True)
    found["differences"] = [float((a - b).abs().max() / b.abs().max()) for a, b in both]
    return found


def measure_peak(case: dict[str, int], side: str) -> int:
    """In a process of its own."""
    env = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    call = [sys.executable, __file__, "--child", json.dumps({**case, "side": side})]
    done = subprocess.run(call, check=True, capture_output=True, text=True, env=env)
    return int(json.loads(done.stdout))


def peak(case: dict[str, Any]) -> int:
    """Growth of the resident set at its peak, after a small call has loaded everything."""
    import torch

    run = sides()[case["side"]]
    small, grad = inputs({"points": 70, "dims": case["dims"]})
    torch.autograd.grad(run(small, 1), small, grad)
    x, grad = inputs(case)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    torch.autograd.grad(run(x, case["steps"]), x, grad)
    return resident("VmHWM") - before


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{result['machine']['cpu']}, one thread, load before: {result['machine']['load_before']}",
        f"{'N':>6}{'D':>4}{'T':>3}{'fwd ms':>9}{'bwd ms':>9}{'dense fwd':>11}{'bwd':>8}"
        f"{'ratio':>8}{'MB':>7}{'dense':>8}{'ratio':>8}  missed",
    ]
    for c in result["cases"]:
        ours, dense, memory = c["ours"], c["dense"], c["peak_bytes"]
        missed = [n for n in TARGETS if c[f"{n}_ratio"] < TARGETS[n]]
        lines.append(
            f"{c['points']:>6}{c['dims']:>4}{c['steps']:>3}{1e3 * ours['forward_s']:>9.1f}"
            f"{1e3 * ours['backward_s']:>9.1f}{1e3 * dense['forward_s']:>11.1f}"
            f"{1e3 * dense['backward_s']:>8.1f}{c['time_ratio']:>7.1f}x{memory['ours'] / 1e6:>7.1f}"
            f"{memory['dense'] / 1e6:>8.1f}{c['memory_ratio']:>7.1f}x  {' '.join(missed)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
