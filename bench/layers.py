# SPDX-License-Identifier: Apache-2.0
"""Differentiable message passing against its plain-torch reference: forward, backward, memory.

    python bench/layers.py [--quick]

Every measurement is a process of its own, on one thread. Times are processor time. Memory is the
growth of the peak resident set over what the process holds with its inputs in place, in another
process whose malloc gives back at once what is freed: otherwise holes that the reference's large
temporaries leave behind count as its memory, twice what it needs at 32 labels.

Prints a table and writes `bench/results/<machine>/layers.json`; `--quick` measures a small image
into `build/bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _machine import ROOT, describe, resident, results_folder, write

SIZE, QUICK_SIZE = (256, 512), (64, 96)
ITERATIONS = 2
TRUNCATION, DOUBLING_STEPS = 8, 3
TARGETS = {"forward": 50.0, "backward": 100.0, "memory": 10.0, "backward_over_forward": 1.5}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Layers against their plain-torch reference.")
    parser.add_argument("--quick", action="store_true", help="a small image and fewer cases")
    parser.add_argument("--repetitions", type=int, help="samples of ours (default 5, quick 2)")
    parser.add_argument("--rows", type=int, help="rows for the reference, scaled up: crude")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(measure_here(json.loads(args.child))))
        return 0
    if importlib.util.find_spec("torch") is None:
        print("layers.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "layers.json"
    repetitions = args.repetitions or (2 if args.quick else 5)
    result: dict[str, Any] = {
        "machine": describe(),
        "targets": TARGETS,
        "copy_bytes_per_second": copy_bandwidth(),
        "cases": [],
    }
    for case in cases(args.quick):
        print(name_of(case), "...", file=sys.stderr, flush=True)
        found = compare(case, repetitions, args.rows)
        bound = found["predicted_bytes_per_pass"] / result["copy_bytes_per_second"]
        for name in ("forward", "backward"):
            found[f"{name}_of_byte_bound"] = bound / min(found["ours"][f"{name}_s"])
        result["cases"].append(found)
        write(output, json.dumps(result, indent=1) + "\n")  # the whole grid takes long
    print(table(result))
    print(f"\nwritten: {output}")
    return 0


def cases(quick: bool) -> list[dict[str, Any]]:
    """All set-ups; gradients of unary and edge weights, and of the table where it is one."""
    height, width = QUICK_SIZE if quick else SIZE
    grid = itertools.product(("trwp", "isgmr", "sgm"), (32,) if quick else (32, 96), (4, 8, 16))
    common = {"height": height, "width": width, "iterations": ITERATIONS, "store_every": 1}
    found = [
        {**common, "solver": s, "labels": n, "connectivity": d, "potential": "truncated_linear"}
        for s, n, d in grid
        if not quick or d == 4
    ]
    first = {**common, "solver": "trwp", "labels": 32, "connectivity": 4}
    found.append({**first, "potential": "table"})
    # What storing less costs: the same work, every 4th of 8 iterations kept. Memory beyond the
    # messages grows with the iterations, so the ratio does, too.
    for every in (1, 4):
        found.append(
            {**first, "potential": "truncated_linear", "iterations": 8, "store_every": every}
        )
    # The reference takes minutes for the largest: those last.
    return sorted(found, key=lambda c: c["labels"] ** 2 * c["connectivity"] * c["iterations"])


def compare(case: dict[str, Any], repetitions: int, rows: int | None) -> dict[str, Any]:
    """Both sides of a case, ratios, and the counted work beside them."""
    ours = measure({**case, "side": "ours", "repetitions": repetitions})
    used = min(rows or case["height"], case["height"])
    plain = measure({**case, "height": used, "side": "reference", "repetitions": 1})
    scale = case["height"] / used  # 1: measured whole; otherwise proportional to rows
    f, b = min(ours["forward_s"]), min(ours["backward_s"])
    plain_f, plain_b = min(plain["forward_s"]) * scale, min(plain["backward_s"]) * scale
    # A peak below one page means that nothing was allocated; it cannot divide.
    return {
        **case,
        **count(case),
        "ours": ours,
        "reference": plain,
        "reference_rows": used,
        "reference_scaled_by": scale,
        "forward_ratio": plain_f / f,
        "backward_ratio": plain_b / b,
        "memory_ratio": plain["peak_bytes"] * scale / max(ours["peak_bytes"], 4096),
        "backward_over_forward": b / f,
    }


VOLUMES = {"trwp": 6, "isgmr": 5, "sgm": 3}  # read and written once per pair of directions


def count(case: dict[str, Any]) -> dict[str, float]:
    """What has to be moved and computed, by counting.

    Arg-mins by the text's formula [T:1636]. Bytes: a pair of directions is swept both ways strip by
    strip, so each volume that it reads or writes (trwp: sum and two messages, both ways; isgmr does
    not write the sum; sgm: unary, and the sum both ways) crosses the memory bus once per pair;
    arg-mins are written, later read, once. Operations: of the reference, additions and minima; of
    ours, for truncated linear, the doubling steps (2 additions, 2 comparisons, 2 minima, 2
    selections per label and step).
    """
    height, width, labels = case["height"], case["width"], case["labels"]
    messages = case["iterations"] * case["connectivity"] * height * width
    argmin_bytes = messages * (labels + 1) * (1 if labels <= 256 else 2)
    volumes = VOLUMES[case["solver"]] * case["iterations"] * case["connectivity"] // 2
    moved = volumes * height * width * labels * 4 + argmin_bytes
    return {
        "predicted_argmin_bytes": argmin_bytes,
        "predicted_reference_argmin_bytes": messages * (labels + 1) * 8,  # int64
        "predicted_bytes_per_pass": moved,
        "reference_operations": 2.0 * messages * labels**2,
        "our_forward_operations": 8.0 * messages * labels * DOUBLING_STEPS
        if case["potential"] == "truncated_linear"
        else 4.0 * messages * labels**2,
        "our_backward_scatters": float(messages) * labels,
    }


def copy_bandwidth() -> float:
    """Bytes read and written per second by one thread that copies: the ceiling of every pass."""
    import torch

    torch.set_num_threads(1)
    source = torch.zeros(1 << 26)
    target = torch.zeros_like(source)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        target.copy_(source)
        best = min(best, time.process_time() - start)
    return 2 * source.numel() * 4 / best


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Times of one process, memory of another."""
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    measured = run_child(job, {})
    loose = measured["peak_bytes"]
    peak = run_child({**job, "repetitions": 1}, tight)["peak_bytes"]
    return {**measured, "peak_bytes": peak, "peak_bytes_default_malloc": loose}


def run_child(job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
    environment = os.environ | variables
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def measure_here(job: dict[str, Any]) -> dict[str, Any]:
    """One side of a case in this process; the first sample gives the memory."""
    import torch

    import mrfcore
    from mrfcore import ops
    from mrfcore.ops import reference

    torch.set_num_threads(1)
    torch.manual_seed(0)
    labels, height, width = job["labels"], job["height"], job["width"]
    unary = torch.rand(1, labels, height, width).to(memory_format=torch.channels_last)
    weights = torch.rand(job["connectivity"] // 2, height, width)
    leaves = [unary.requires_grad_(), weights.requires_grad_()]
    pairwise: Any = mrfcore.TruncatedLinear(TRUNCATION)
    if job["potential"] == "table":
        pairwise = torch.rand(labels, labels, requires_grad=True)
        leaves.append(pairwise)
    options = {name: job[name] for name in ("solver", "connectivity", "iterations")}
    function: Any = reference.message_passing
    if job["side"] == "ours":
        function = ops.message_passing
        options |= {"threads": 1, "store_every": job["store_every"]}
    # Once small before the clock starts and the memory is read: torch imports half a second's worth
    # of modules in the first backward pass that is given a gradient.
    small = function(unary[..., :4, :4], pairwise, weights[:, :4, :4], **options)
    torch.autograd.grad(small, leaves, torch.ones_like(small))
    grad = torch.rand_like(unary)
    forward, backward, peak = [], [], 0
    for k in range(job["repetitions"]):
        before = reset_peak() if k == 0 else 0
        start = time.process_time()
        costs = function(unary, pairwise, weights, **options)
        middle = time.process_time()
        grads = torch.autograd.grad(costs, leaves, grad)
        end = time.process_time()
        if k == 0:
            peak = resident("VmHWM") - before
        forward.append(middle - start)
        backward.append(end - middle)
        del costs, grads
    return {"forward_s": forward, "backward_s": backward, "peak_bytes": peak}


def reset_peak() -> int:
    """Forget the peak of the past (Linux); bytes resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def name_of(case: dict[str, Any]) -> str:
    """Short, for tables."""
    every = f" every {case['store_every']}" if case["store_every"] > 1 else ""
    return (
        f"{case['solver']}-{case['connectivity']} L={case['labels']} {case['potential']} "
        f"x{case['iterations']}{every}"
    )


def table(result: dict[str, Any]) -> str:
    """For people; * where the reference was measured on a strip and scaled by rows."""
    lines = [
        f"{result['machine']['cpu']}, one thread, load before: {result['machine']['load_before']}",
        f"one thread copies {result['copy_bytes_per_second'] / 1e9:.1f} GB/s; bound: share of the "
        "speed that moving the counted bytes would allow",
        "ratios: reference over ours; MB: growth of the peak; arg-mins: predicted, ours",
        f"{'case':44}{'fwd ms':>9}{'ratio':>8}{'bound':>6}{'bwd ms':>9}{'ratio':>8}{'bound':>6}"
        f"{'b/f':>6}{'MB':>8}{'arg-mins':>9}{'ratio':>7}  missed",
    ]
    for c in result["cases"]:
        ours = c["ours"]
        missed = [n for n in ("forward", "backward", "memory") if c[f"{n}_ratio"] < TARGETS[n]]
        if c["backward_over_forward"] > TARGETS["backward_over_forward"]:
            missed.append("b/f")
        lines.append(
            f"{name_of(c) + ('*' if c['reference_scaled_by'] != 1 else ''):44}"
            f"{1e3 * min(ours['forward_s']):>9.1f}{c['forward_ratio']:>7.0f}x"
            f"{c['forward_of_byte_bound']:>6.0%}"
            f"{1e3 * min(ours['backward_s']):>9.1f}{c['backward_ratio']:>7.0f}x"
            f"{c['backward_of_byte_bound']:>6.0%}"
            f"{c['backward_over_forward']:>6.2f}{ours['peak_bytes'] / 1e6:>8.0f}"
            f"{c['predicted_argmin_bytes'] / 1e6:>9.0f}{c['memory_ratio']:>6.1f}x"
            f"  {' '.join(missed)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
