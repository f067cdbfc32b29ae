# SPDX-License-Identifier: Apache-2.0
"""Filter flow against its plain-torch forms: F.unfold, and a loop over the k^2 shifted products.

    python bench/filter_flow.py [--quick]

One thread, processor time, all sides in turn in one process, the best of each. Backward is the
gradient of both inputs. Memory is the growth of the peak resident set in forward and backward, each
in a process of its own whose malloc gives back at once what is freed.

Prints a table and writes `bench/results/<machine>/filter_flow.json`; `--quick` measures a small
image into `build/bench`.
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

SIDES = ("ours", "unfold", "loop")
TARGETS = {
    "forward_unfold": 30.0,
    "backward_unfold": 10.0,
    "forward_loop": 8.0,
}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Filter flow against plain torch.")
    parser.add_argument("--quick", action="store_true", help="a small image and fewer cases")
    parser.add_argument("--repetitions", type=int, default=3, help="samples of plain torch")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(peak_of(json.loads(args.child))))
        return 0
    if importlib.util.find_spec("torch") is None:
        print("filter_flow.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "filter_flow.json"
    result: dict[str, Any] = {"machine": describe(), "targets": TARGETS, "cases": []}
    for case in cases(args.quick):
        print(case, "...", file=sys.stderr, flush=True)
        result["cases"].append(compare(case, args.repetitions))
    write(output, json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(f"\nwritten: {output}")
    return 0


def cases(quick: bool) -> list[dict[str, Any]]:
    """Sizes of the targets, without and with the softmax."""
    size = 64 if quick else 256
    grid = [(3, 7)] if quick else [(3, 7), (3, 11), (21, 7), (21, 11)]
    return [
        {"channels": c, "side": k, "size": size, "normalize": n}
        for c, k in grid
        for n in (None, "softmax")
    ]


def forward_of(side: str) -> Callable[..., Any]:
    """(image, filters, normalize) -> out."""
    import torch
    from torch.nn.functional import unfold

    from mrfcore.nn import functional
    from mrfcore.ops import filter_flow_reference

    def unfolded(image: Any, filters: Any, normalize: str | None) -> Any:
        batch, channels, height, width = image.shape
        taps = filters.shape[1]
        k = round(taps**0.5)
        weights = torch.softmax(filters, 1) if normalize else filters
        columns = unfold(image, k, padding=k // 2).view(batch, channels, taps, height, width)
        return (columns * weights[:, None]).sum(2)

    def ours(image: Any, filters: Any, normalize: str | None) -> Any:
        return functional.filter_flow(image, filters, normalize, threads=1)

    return {"ours": ours, "unfold": unfolded, "loop": filter_flow_reference.filter_flow}[side]


def inputs(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Image, filters, and a gradient of the result."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = (1, case["channels"], case["size"], case["size"])
    image = torch.rand(shape, requires_grad=True)
    filters = torch.randn(1, case["side"] ** 2, *shape[2:], requires_grad=True)
    return image, filters, torch.rand(shape)


def compare(case: dict[str, Any], repetitions: int) -> dict[str, Any]:
    """Times of all sides in turn, peaks, ratios."""
    import torch

    image, filters, grad = inputs(case)
    times: dict[str, dict[str, list[float]]] = {s: {"forward": [], "backward": []} for s in SIDES}
    outs: dict[str, Any] = {}
    for _ in range(repetitions):
        for side in SIDES:
            run = forward_of(side)
            for _ in range(3 if side == "ours" else 1):
                with torch.no_grad():  # a forward pass that keeps nothing
                    start = time.process_time()
                    outs[side] = run(image, filters, case["normalize"])
                    times[side]["forward"].append(time.process_time() - start)
                out = run(image, filters, case["normalize"])
                start = time.process_time()
                torch.autograd.grad(out, (image, filters), grad)
                times[side]["backward"].append(time.process_time() - start)
                del out
    for side in SIDES[1:]:
        torch.testing.assert_close(outs["ours"], outs[side], rtol=1e-4, atol=1e-4)
    best = {s: {n: min(t) for n, t in times[s].items()} for s in SIDES}
    peaks = {s: measure_peak({**case, "implementation": s}) for s in SIDES}
    found: dict[str, Any] = {**case, "seconds": times, "peak_bytes": peaks, **count(case)}
    for side in SIDES[1:]:
        for name in ("forward", "backward"):
            found[f"{name}_{side}"] = best[side][name] / best["ours"][name]
        found[f"memory_{side}"] = peaks[side] / max(peaks["ours"], 4096)
    return found


def count(case: dict[str, Any]) -> dict[str, int]:
    """Bytes that must be moved and multiply-adds: the filters once forward, twice and their
    gradient once (with the read that a write to memory costs) backward."""
    filters = 4 * case["side"] ** 2 * case["size"] ** 2
    images = 4 * case["channels"] * case["size"] ** 2
    return {
        "forward_bytes": filters + 2 * images,
        "backward_bytes": (4 if case["normalize"] else 3) * filters + 4 * images,
        "forward_multiply_adds": filters // 4 * case["channels"],
    }


def measure_peak(job: dict[str, Any]) -> int:
    """In a fresh process."""
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(job)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | tight
    )
    return int(json.loads(done.stdout))


def peak_of(job: dict[str, Any]) -> int:
    """Growth of the peak in one forward and backward pass, bytes (Linux)."""
    import torch

    run = forward_of(job["implementation"])
    for size in (16, job["size"]):  # once small: torch imports modules in the first backward pass
        image, filters, grad = inputs({**job, "size": size})
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        torch.autograd.grad(run(image, filters, job["normalize"]), (image, filters), grad)
    return resident("VmHWM") - before


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{result['machine']['cpu']}, one thread, load before: {result['machine']['load_before']}",
        "ratios: plain torch over ours; GB/s: bytes that must be moved, over the time",
        f"{'case':28}{'fwd ms':>8}{'GB/s':>6}{'unfold':>8}{'loop':>7}{'bwd ms':>8}{'GB/s':>6}"
        f"{'unfold':>8}{'loop':>7}{'MB':>6}{'unfold':>8}{'loop':>7}  missed",
    ]
    for c in result["cases"]:
        best = {n: min(t) for n, t in c["seconds"]["ours"].items()}
        missed = [n for n, target in TARGETS.items() if c[n] < target]
        name = f"C={c['channels']} k={c['side']} {c['size']}^2 {c['normalize'] or ''}"
        lines.append(
            f"{name:28}{1e3 * best['forward']:>8.2f}"
            f"{c['forward_bytes'] / best['forward'] / 1e9:>6.1f}"
            f"{c['forward_unfold']:>7.0f}x{c['forward_loop']:>6.1f}x"
            f"{1e3 * best['backward']:>8.2f}{c['backward_bytes'] / best['backward'] / 1e9:>6.1f}"
            f"{c['backward_unfold']:>7.0f}x{c['backward_loop']:>6.1f}x"
            f"{c['peak_bytes']['ours'] / 1e6:>6.0f}{c['memory_unfold']:>7.1f}x"
            f"{c['memory_loop']:>6.1f}x  {' '.join(missed)}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
