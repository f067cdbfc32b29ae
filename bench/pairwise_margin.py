# SPDX-License-Identifier: Apache-2.0
"""Pairwise margin loss against dense torch, forward and backward.

    python bench/pairwise_margin.py [--quick]

Dense has all N^2 similarities, the positive part by group sums. One thread, processor time, ours
and dense in turn in one process, the best of each. "raw": random embeddings, most pairs cost;
"learnt": groups apart, few do.

Prints a table and writes `bench/results/<machine>/pairwise_margin.json`; `--quick` measures few
points into `build/bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from _machine import ROOT, describe, results_folder, write

GROUPS, DIMS, ALPHA = 10, 64, 0.5


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Pairwise margin loss against dense torch.")
    parser.add_argument("--quick", action="store_true", help="few points")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        print("pairwise_margin.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "pairwise_margin.json"
    points = 1000 if args.quick else 4000
    cases = [compare(points, learnt, args.repetitions) for learnt in (False, True)]
    result = {"machine": describe(), "cases": cases}
    write(output, json.dumps(result, indent=1) + "\n")
    print(f"{'':8}{'N':>6}{'ours ms':>9}{'dense ms':>10}{'ratio':>7}")
    for c in cases:
        print(
            f"{c['embedding']:8}{c['points']:>6}{1e3 * c['ours_s']:>9.1f}"
            f"{1e3 * c['dense_s']:>10.1f}{c['ratio']:>6.1f}x"
        )
    print(f"\nwritten: {output}")
    return 0


def dense(x: Any, labels: Any) -> Any:
    """Of x [D, N], the fewest passes over N^2 numbers that plain torch offers."""
    import torch

    unit = torch.nn.functional.normalize(x, dim=0)
    weights = 1 / torch.bincount(labels)[labels].to(x.dtype)
    sums = torch.zeros(x.shape[0], GROUPS).index_add(1, labels, unit * weights)
    positive = (1 - sums.square().sum(0)).sum() / 2
    over = ((0.5 + 0.5 * (unit.T @ unit)) - ALPHA).relu()
    factor = torch.outer(weights, weights) * (labels[:, None] != labels)
    return (positive + (over * factor).sum()) / x.shape[1]


def compare(points: int, learnt: bool, repetitions: int) -> dict[str, Any]:
    """Loss and gradient, in turn."""
    import torch

    from mrfcore.ops.pairwise_margin import pairwise_margin_loss

    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, GROUPS, (points,), generator=random)
    x = torch.randn(DIMS, points, generator=random)
    if learnt:
        x = x * 0.003 + torch.eye(DIMS)[:, labels] - 0.02
    x.requires_grad_()
    sides = {
        "ours": lambda: pairwise_margin_loss(x[None], labels[None], ALPHA, threads=1),
        "dense": lambda: dense(x, labels),
    }
    times: dict[str, list[float]] = {"ours": [], "dense": []}
    losses = {}
    for k in range(repetitions + 1):  # the first warms up
        for name, run in sides.items():
            start = time.process_time()
            loss = run()
            torch.autograd.grad(loss, x)
            if k:
                times[name].append(time.process_time() - start)
            losses[name] = float(loss.detach())
    best = {f"{name}_s": min(samples) for name, samples in times.items()}
    return {
        "embedding": "learnt" if learnt else "raw",
        "points": points,
        "dims": DIMS,
        **best,
        "ratio": best["dense_s"] / best["ours_s"],
        "losses": losses,
    }


if __name__ == "__main__":
    sys.exit(main())
