# SPDX-License-Identifier: Apache-2.0
"""What gpu_kernels.py runs of superpixels: every kernel, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

__all__ = ["superpixel_jobs"]

Put = Callable[[torch.Tensor], torch.Tensor]
Job = Callable[[Put], list[torch.Tensor]]

# Height, width, superpixels: small ones, and one of more pixels than a warp takes at once.
MAPS = ((13, 37, 20), (47, 50, 1))


def superpixel_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """(name, what to compute)."""
    for height, width, num in MAPS:
        for reduce in ("mean", "sum", "max"):
            yield f"superpixels {reduce} S={num}", pooled(dtype, (height, width), num, reduce)
        for masked in (False, True):
            name = f"superpixels consistency S={num} {'masked' if masked else ''}".strip()
            yield name, consistent(dtype, (height, width), num, masked)
    for cell in (8, 10):
        yield f"soft superpixels cell={cell}", soft(dtype, cell)


def pooled(dtype: torch.dtype, size: tuple[int, int], num: int, reduce: str) -> Job:
    """Pooled and back, with its gradient."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        x = put(torch.randn(2, 5, *size, dtype=dtype)).requires_grad_()
        ids = put(torch.randint(0, num, (2, *size)))
        y = functional.superpixel_unpool(functional.superpixel_pool(x, ids, num, reduce), ids)
        probe = put(torch.randn(y.shape, dtype=dtype))
        return [y.detach(), *torch.autograd.grad(y, x, probe)]

    return job


def consistent(dtype: torch.dtype, size: tuple[int, int], num: int, masked: bool) -> Job:
    """Logit consistency and its gradient."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        x = put(torch.randn(2, 5, *size, dtype=dtype)).requires_grad_()
        ids = put(torch.randint(0, num, (2, *size), dtype=torch.int32))
        valid = put(torch.rand(2, *size) < 0.3) if masked else None
        y = functional.logit_consistency(x, ids, valid)
        probe = put(torch.randn(y.shape, dtype=dtype))
        return [y.detach(), *torch.autograd.grad(y, x, probe)]

    return job


def soft(dtype: torch.dtype, cell: int) -> Job:
    """Soft pooling and unpooling, with gradients to values and associations."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        x = put(torch.randn(2, 9, 21, 30, dtype=dtype)).requires_grad_()
        q = put(torch.rand(2, 9, 21, 30, dtype=dtype)).requires_grad_()
        means = functional.soft_superpixel_pool(x, q, cell)
        y = functional.soft_superpixel_unpool(means, q, cell)
        probe = put(torch.randn(y.shape, dtype=dtype))
        return [y.detach(), *torch.autograd.grad(y, (x, q), probe)]

    return job
