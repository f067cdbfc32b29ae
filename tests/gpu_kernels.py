# SPDX-License-Identifier: Apache-2.0
"""Every kernel of the CUDA back-end once or more, on small shapes, against the CPU.

    compute-sanitizer --tool memcheck python tests/gpu_kernels.py
    python tests/gpu_kernels.py --emulate       the same on emulated kernels

Made for tools that slow kernels down a hundredfold: a few hundred launches in all. The full checks
are tests/python/test_device.py and its neighbours. Exits with 1 if a result is not the CPU's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))

import torch
from gpu_flows import flow_jobs, slic_jobs
from gpu_superpixels import superpixel_jobs

import devices

Put = Callable[[torch.Tensor], torch.Tensor]
Job = Callable[[Put], list[torch.Tensor]]

# One for each number of labels that lanes hold (cuda/scanlines.cuh), and rows beyond a warp.
ROWS = {torch.float32: (5, 40, 70, 100, 130, 300, 520), torch.float64: (5, 40, 130, 260)}
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-9, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def main(arguments: list[str] | None = None) -> int:
    """Run all jobs, or those whose name contains a word."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--emulate", action="store_true", help="on emulated kernels")
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    args = parser.parse_args(arguments)
    if args.emulate:
        devices.use_emulator_if_built()
    from mrfcore import _core

    status = _core.cuda_status()
    if not status["available"] or status["emulated"] != args.emulate:
        print(f"gpu_kernels.py: cannot run: {status}", file=sys.stderr)
        return 2
    device = devices.Device("cpu" if args.emulate else "cuda")
    chosen = [(name, job) for name, job in jobs() if args.only in name]
    wrong = [name for name, job in chosen if not agrees(name, job, device)]
    print(f"{len(chosen)} jobs, wrong: {', '.join(wrong) or 'none'}")
    return 1 if wrong or not chosen else 0


def agrees(name: str, job: Job, device: devices.Device) -> bool:
    """Whether the device finds what the CPU finds."""
    torch.manual_seed(0)
    expected = job(lambda x: x.clone())
    torch.manual_seed(0)
    with device.active():
        found = [x.cpu() for x in job(device.put)]
    try:
        for a, b in zip(found, expected, strict=True):
            tolerance = TOLERANCE.get(b.dtype, 0.0)
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    except AssertionError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    return True


def jobs() -> Iterator[tuple[str, Job]]:
    """(name, what to compute)."""
    for dtype in ROWS:
        kind = str(dtype).removeprefix("torch.")
        families = (solver_jobs, row_jobs, layer_jobs, point_jobs, superpixel_jobs, flow_jobs)
        for name, job in (found for family in families for found in family(dtype)):
            yield f"{name} {kind}", job
    yield from stereo_jobs()
    yield from picture_jobs()
    yield from slic_jobs()


# ---------------------------------------------------------------- minimize


def instance(
    dtype: torch.dtype, labels: int, connectivity: int = 4, size: tuple[int, int] = (4, 5)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images [2, H, W, L] and their weights. Multiples of 1/8: sums are exact in any order."""
    unary = torch.randint(0, 64, (2, *size, labels)).to(dtype) / 8
    weights = torch.randint(0, 16, (2, connectivity // 2, *size)).to(dtype) / 8
    return unary, weights


def potentials() -> dict[str, Any]:
    import mrfcore

    return {
        "potts": mrfcore.Potts(),
        "linear": mrfcore.TruncatedLinear(2.5),
        "quadratic": mrfcore.TruncatedQuadratic(6.0),
        "sgm": mrfcore.SGMPenalty(0.5, 1.5),
        "huber": mrfcore.Huber(1.5),
    }


def table(labels: int) -> torch.Tensor:
    """Not symmetric."""
    return torch.randint(0, 24, (labels, labels)).double() / 8


def solve(
    dtype: torch.dtype,
    labels: int,
    pairwise: Any = None,
    size: tuple[int, int] = (4, 5),
    **options: Any,
) -> Job:
    """Costs, energies and, where there is one, the bound of minimize()."""

    def job(put: Put) -> list[torch.Tensor]:
        import mrfcore

        unary, weights = instance(dtype, labels, options.get("connectivity", 4), size)
        chosen = mrfcore.Table(table(labels).numpy()) if pairwise is None else pairwise
        r = mrfcore.minimize(put(unary), chosen, put(weights), iterations=2, **options)
        numbers = [r.energy] if r.lower_bound is None else [r.energy, r.lower_bound]
        return [r.costs, *(torch.as_tensor(x) for x in numbers)]

    return job


def solver_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """Every solver and connectivity; every potential."""
    for solver in ("sgm", "isgmr", "trwp", "bp", "trws", "mean_field", "icm"):
        for connectivity in (4, 8, 16):
            options: dict[str, Any] = {"solver": solver, "connectivity": connectivity}
            yield f"{solver}-{connectivity}", solve(dtype, 5, lower_bound=True, **options)
    for name, pairwise in potentials().items():
        yield f"trwp {name}", solve(dtype, 40, pairwise)
        yield f"trws {name}", solve(dtype, 40, pairwise, solver="trws")
    yield "isgmr damped", solve(dtype, 5, solver="isgmr", damping=0.5)
    yield "chain", solve(dtype, 5, solver="chain", size=(1, 9))


def row_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """Rows of all widths, two pixels high."""
    for labels in ROWS[dtype]:
        for name, pairwise in (("linear", potentials()["linear"]), ("table", None)):
            for solver in ("trwp", "trws"):
                yield (
                    f"{solver} {name} L={labels}",
                    solve(dtype, labels, pairwise, (2, 3), solver=solver, lower_bound=True),
                )
        yield f"layer L={labels}", layer(dtype, labels, size=(2, 3))


# ---------------------------------------------------------------- layers


def layer(
    dtype: torch.dtype,
    labels: int = 5,
    pairwise: Any = None,
    weights_of: str = "each",
    size: tuple[int, int] = (4, 5),
    **options: Any,
) -> Job:
    """Costs and all gradients of a layer."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore import ops

        unary, weights = instance(dtype, labels, options.get("connectivity", 4), size)
        given = {"each": weights, "shared": weights[:1], "scalar": weights[0, 0, 0, 0]}[weights_of]
        chosen = table(labels).to(dtype) if pairwise is None else pairwise
        leaves = [
            put(x).requires_grad_() if isinstance(x, torch.Tensor) else x
            for x in (unary.permute(0, 3, 1, 2), chosen, given)
        ]
        costs = ops.message_passing(*leaves, **({"iterations": 2} | options))
        wanted = [x for x in leaves if isinstance(x, torch.Tensor)]
        return [costs.detach(), *torch.autograd.grad(costs, wanted, put(gradient_of(costs)))]

    return job


def gradient_of(costs: torch.Tensor) -> torch.Tensor:
    return (torch.randint(-8, 8, tuple(costs.shape)) / 8).to(costs.dtype)


def layer_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """Hard and soft minima, tapes and snapshots, weights of all kinds."""
    for solver in ("sgm", "isgmr", "trwp", "bp", "mean_field"):
        for connectivity in (4, 16):
            yield (
                f"layer {solver}-{connectivity}",
                layer(dtype, solver=solver, connectivity=connectivity),
            )
        yield f"layer {solver} stored", layer(dtype, solver=solver, store_every=2, iterations=3)
        for kind in ("shared", "scalar"):
            yield f"layer {solver} {kind}", layer(dtype, weights_of=kind, solver=solver)
    for name, pairwise in potentials().items():
        yield f"layer {name}", layer(dtype, 40, pairwise)
    for solver in ("isgmr", "trwp", "bp"):
        for labels in (5, 40):
            yield f"soft {solver} L={labels}", layer(dtype, labels, solver=solver, temperature=0.5)
    yield "mean field L=70", layer(dtype, 70, solver="mean_field", size=(2, 3))


# ---------------------------------------------------------------- points


def moved(dtype: torch.dtype, dims: int, kernel: str) -> Job:
    """Two loops of mean shift, and its gradients."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        x = put(torch.randn(2, dims, 70, dtype=dtype)).requires_grad_()
        width = put(torch.tensor(1.5, dtype=dtype)).requires_grad_(kernel != "epanechnikov")
        points = (
            functional.mean_shift(x, width, 2)
            if kernel == "sphere"
            else functional.mean_shift_euclid(x, width, 2, kernel=kernel)
        )
        wanted = [leaf for leaf in (x, width) if leaf.requires_grad]
        return [points.detach(), *torch.autograd.grad(points, wanted, put(gradient_of(points)))]

    return job


def margin(dtype: torch.dtype, dims: int) -> Job:
    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        x = put(torch.randn(2, dims, 70, dtype=dtype)).requires_grad_()
        loss = functional.pairwise_margin_loss(x, put(torch.randint(0, 4, (2, 70))))
        return [loss.detach(), *torch.autograd.grad(loss, x)]

    return job


def point_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """Mean shift and the margin loss, dimensions by 16, 32 and 64."""
    for dims in (3, 17, 40):
        for kernel in ("sphere", "gaussian", "epanechnikov"):
            yield f"mean shift {kernel} D={dims}", moved(dtype, dims, kernel)
        yield f"margin D={dims}", margin(dtype, dims)


# ---------------------------------------------------------------- stereo


def stereo_jobs() -> Iterator[tuple[str, Job]]:
    """Matching costs of byte and float images; semi-global matching in bytes."""
    from mrfcore import stereo

    for cost in ("absolute", "birchfield_tomasi", "census"):
        for dtype in (torch.uint8, torch.float32):
            yield f"stereo {cost} {dtype}", volume(cost, dtype)
    if not hasattr(stereo, "sgm"):
        return
    for paths in (4, 8):
        for p2 in (100, 200, 400):
            yield f"stereo sgm-{paths} p2={p2}", semi_global(paths, p2, 16)
    for labels in (40, 100, 130):
        yield f"stereo sgm L={labels}", semi_global(8, 120, labels)


def pair(dtype: torch.dtype, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    right = torch.randint(0, 256, (7, width)).to(dtype)
    return right.roll(3, 1), right


def volume(cost: str, dtype: torch.dtype) -> Job:
    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore import stereo

        left, right = pair(dtype, 37)
        return [torch.as_tensor(stereo.cost_volume(put(left), put(right), 9, cost))]

    return job


def semi_global(paths: int, p2: int, labels: int) -> Job:
    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore import stereo

        left, right = pair(torch.uint8, labels + 21)
        r = stereo.sgm(put(left), put(right), labels, paths=paths, p1=8, p2=p2)
        return [torch.as_tensor(r.labels), torch.as_tensor(r.disparity)]

    return job


# ---------------------------------------------------------------- pictures


def picture_jobs() -> Iterator[tuple[str, Job]]:
    """The mean-shift filter: words and floats, pyramids, L*u*v*."""
    for dtype in (torch.uint8, torch.float32):
        for channels in (1, 3):
            for options in ({}, {"kernel": "gaussian"}, {"levels": 2}):
                name = f"mean-shift filter {dtype} C={channels} {options}"
                yield name, mean_shift_filtered(dtype, channels, options)
        yield (
            f"mean-shift filter {dtype} L*u*v*",
            mean_shift_filtered(dtype, 3, {"color_space": "luv"}),
        )


def mean_shift_filtered(dtype: torch.dtype, channels: int, options: dict[str, Any]) -> Job:
    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore import mean_shift_filter

        images = torch.randint(0, 120, (2, channels, 9, 37)).to(dtype)
        return [torch.as_tensor(mean_shift_filter(put(images), 4, 50.5, **options))]

    return job


if __name__ == "__main__":
    sys.exit(main())
