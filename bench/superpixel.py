# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling and logit consistency against the forms that plain torch has for them.

    python bench/superpixel.py [--quick]

Mean over superpixels of x [1, C, 512, 512], forward and backward, one thread, processor time, ours
and the others in turn in one process, the best of each. The map is a jittered grid, as SLIC's are;
all forms get it as int64 ids. What the others can prepare from the ids alone (expanded indices, the
sparse matrix, numbers of pixels) is not timed; ours prepares everything in every call.

Prints a table and writes `bench/results/<machine>/superpixel.json`; `--quick` measures a small
image into `build/bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import ROOT, describe, results_folder, write

TARGET = 4.0


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Superpixel pooling against plain torch.")
    parser.add_argument("--quick", action="store_true", help="a small image")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        print("superpixel.py: no torch, nothing to compare with; skipped", file=sys.stderr)
        return 0
    folder = ROOT / "build/bench" if args.quick else results_folder(args.machine)
    output = args.output or folder / "superpixel.json"
    side, channels = (128, (21,)) if args.quick else (512, (21, 64))
    cases = [
        compare(side, c, s, args.repetitions)
        for c in channels
        for s in ((225,) if args.quick else (225, 1024))
    ]
    result = {"machine": describe(), "target": TARGET, "cases": cases}
    write(output, json.dumps(result, indent=1) + "\n")
    print(table(cases))
    print(f"\nwritten: {output}")
    return 0


def superpixels(side: int, num: int) -> Any:
    """A grid of about `num` cells with wavy borders, ids [1, side, side]."""
    import torch

    cells = round(num**0.5)
    y = torch.arange(side).view(-1, 1).float().expand(side, side)
    x = torch.arange(side).view(1, -1).float().expand(side, side)
    rows = ((y + 3 * torch.sin(x / 7)) * cells / side).long().clamp(0, cells - 1)
    columns = ((x + 3 * torch.sin(y / 5)) * cells / side).long().clamp(0, cells - 1)
    return (rows * cells + columns)[None].contiguous()


def forms(ids: Any, num: int, channels: int) -> dict[str, Callable[[Any], Any]]:
    """Functions of x [1, C, H, W]: what they compute / how."""
    import torch

    from mrfcore.nn import functional

    flat = ids.flatten()
    counts = torch.bincount(flat, minlength=num).clamp(min=1).float()
    index = flat.expand(channels, -1).contiguous()
    pixels = flat.numel()
    matrix = torch.sparse_coo_tensor(
        torch.stack([flat, torch.arange(pixels)]), torch.ones(pixels), (num, pixels)
    ).to_sparse_csr()

    def index_add(x: Any) -> Any:
        return x.new_zeros(channels, num).index_add(1, flat, x[0].flatten(1)) / counts

    def scatter_reduce(x: Any, reduce: str = "mean") -> Any:
        zeros = x.new_zeros(channels, num)
        return zeros.scatter_reduce(1, index, x[0].flatten(1), reduce, include_self=False)

    def sparse_mm(x: Any) -> Any:
        return torch.sparse.mm(matrix, x[0].flatten(1).T) / counts[:, None]

    def consistency(x: Any) -> Any:
        return index_add(x).index_select(1, flat).view_as(x)

    found = {
        "mean/ours": lambda x: functional.superpixel_pool(x, ids, num, threads=1),
        "mean/index_add": index_add,
        "mean/scatter_reduce": scatter_reduce,
        "mean/sparse.mm": sparse_mm,
        "max/ours": lambda x: functional.superpixel_pool(x, ids, num, "max", threads=1),
        "max/scatter_reduce": lambda x: scatter_reduce(x, "amax"),
        "consistency/ours": lambda x: functional.logit_consistency(x, ids, threads=1),
        "consistency/index_add": consistency,
    }
    if importlib.util.find_spec("torch_scatter") is not None:
        from torch_scatter import scatter

        found["mean/torch_scatter"] = lambda x: scatter(
            x[0].flatten(1), flat, 1, dim_size=num, reduce="mean"
        )
    return found


def soft_forms(channels: int, side: int) -> dict[str, Callable[[Any], Any]]:
    """Of soft associations with cells of 16 pixels; gradients to values and associations.

    The plain forms are those of the superpixel networks in use: one average pooling or one
    up-sampling per slot, shifted by padding.
    """
    import torch
    from torch.nn.functional import avg_pool2d, interpolate, pad

    from mrfcore.nn import functional

    cell, cells = 16, side // 16
    q = torch.randn(1, 9, side, side).softmax(1).requires_grad_()
    z = torch.randn(1, channels, cells * cells).requires_grad_()

    def pooled(values: Any) -> Any:
        sums = torch.zeros(1, values.shape[1], cells + 2, cells + 2)
        for k in range(9):
            part = avg_pool2d(values * q[:, k : k + 1], cell)
            sums = sums + pad(part, (k % 3, 2 - k % 3, k // 3, 2 - k // 3))
        return sums[:, :, 1:-1, 1:-1]

    def plain_pool(x: Any) -> Any:
        return pooled(x) / (pooled(torch.ones_like(x[:, :1])) + 1e-8)

    def plain_unpool(_: Any) -> Any:
        grid = pad(z.view(1, channels, cells, cells), (1, 1, 1, 1))
        y = torch.zeros(1, channels, side, side)
        for k in range(9):
            seen = grid[:, :, k // 3 : k // 3 + cells, k % 3 : k % 3 + cells]
            y = y + interpolate(seen, scale_factor=cell) * q[:, k : k + 1]
        return y

    def with_inputs(form: Callable[[Any], Any], *inputs: Any) -> Callable[[Any], Any]:
        form.inputs = inputs  # type: ignore[attr-defined]
        return form

    return {
        "soft pool/ours": with_inputs(
            lambda x: functional.soft_superpixel_pool(x, q, cell, threads=1), q
        ),
        "soft pool/avg_pool2d x 9": with_inputs(plain_pool, q),
        "soft unpool/ours": with_inputs(
            lambda _: functional.soft_superpixel_unpool(z, q, cell, threads=1), q, z
        ),
        "soft unpool/interpolate x 9": with_inputs(plain_unpool, q, z),
    }


def compare(side: int, channels: int, num: int, repetitions: int) -> dict[str, Any]:
    """Best seconds of every form, forward and backward."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Sparse")  # of torch's own matrices
    ids = superpixels(side, num)
    count = int(ids.max()) + 1
    x = torch.randn(1, channels, side, side).requires_grad_()
    best: dict[str, dict[str, float]] = {}
    for _ in range(repetitions):
        every = forms(ids, count, channels)
        if count == (side // 16) ** 2 or side < 512:
            every |= soft_forms(channels, side)
        for name, form in every.items():
            seconds = once(form, x)
            held = best.setdefault(name, seconds)
            best[name] = {k: min(held[k], seconds[k]) for k in seconds}
    return {"side": side, "channels": channels, "superpixels": count, "seconds": best}


def once(form: Callable[[Any], Any], x: Any) -> dict[str, float]:
    """Processor time of one pass forward, one back."""
    import torch

    more = getattr(form, "inputs", ())
    inputs = [*more] if len(more) == 2 else [x, *more]  # unpooling does not see x
    start = time.process_time()
    z = form(x)
    middle = time.process_time()
    grad = torch.ones_like(z)
    before = time.process_time()
    torch.autograd.grad(z, inputs, grad)
    end = time.process_time()
    return {
        "forward": middle - start,
        "backward": end - before,
        "both": middle - start + end - before,
    }


def table(cases: list[dict[str, Any]]) -> str:
    """Milliseconds, and how many times ours the others take."""
    lines = ["   C     S  form                         forward       backward      both"]
    for case in cases:
        for name, seconds in case["seconds"].items():
            ours = case["seconds"][name.split("/")[0] + "/ours"]
            cells = [
                f"{seconds[k] * 1e3:7.1f}"
                + (f" {seconds[k] / ours[k]:4.1f}x" if ours is not seconds else " " * 6)
                for k in ("forward", "backward", "both")
            ]
            lines.append(
                f"{case['channels']:4d} {case['superpixels']:5d}  {name:28s}" + " ".join(cells)
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
