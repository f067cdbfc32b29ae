# SPDX-License-Identifier: Apache-2.0
"""What gpu_kernels.py runs of filter flow, warps and SLIC: every kernel, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

__all__ = ["flow_jobs", "slic_jobs"]

Put = Callable[[torch.Tensor], torch.Tensor]
Job = Callable[[Put], list[torch.Tensor]]

HALVES = (torch.float16, torch.bfloat16)


def flow_jobs(dtype: torch.dtype) -> Iterator[tuple[str, Job]]:
    """Channels by 4, 8 and 24, filters of one and of two blocks of taps."""
    for channels, side in ((3, 5), (7, 4), (25, 3), (2, 18)):
        for normalize, padding in ((None, "zeros"), ("softmax", "reflect")):
            name = f"filter flow C={channels} k={side} {normalize or 'plain'} {padding}"
            shape = (channels, side)
            yield name, filtered((dtype, dtype), shape, normalize=normalize, padding=padding)
    if dtype == torch.float32:
        for half in HALVES:
            name = f"filter flow, filters {half}"
            yield name, filtered((dtype, half), (3, 4), normalize="softmax", padding="replicate")
    for padding in ("zeros", "replicate"):
        yield f"warp {padding}", warped(dtype, padding)


def filtered(types: tuple[torch.dtype, torch.dtype], shape: tuple[int, int], **options: Any) -> Job:
    """With its flow and all gradients. types: of image and filters; shape: channels, side."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        size = (11, 37)
        image = put(torch.randn(2, shape[0], *size, dtype=types[0])).requires_grad_()
        filters = torch.randn(2, shape[1] ** 2, *size, dtype=types[0]) / shape[1]
        filters = put(filters.to(types[1])).requires_grad_()
        results = functional.filter_flow(image, filters, return_flow=True, **options)
        probes = [put(torch.randn(r.shape, dtype=r.dtype)) for r in results]
        slopes = torch.autograd.grad(results, (image, filters), probes)
        return [*(r.detach() for r in results), *slopes]

    return job


def warped(dtype: torch.dtype, padding: str) -> Job:
    """With its mask and both gradients."""

    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        image = put(torch.randn(2, 3, 13, 37, dtype=dtype)).requires_grad_()
        flow = put(4 * torch.randn(2, 2, 13, 37, dtype=dtype)).requires_grad_()
        out, mask = functional.warp(image, flow, padding, return_mask=True)
        probe = put(torch.randn(out.shape, dtype=dtype))
        return [out.detach(), mask, *torch.autograd.grad(out, (image, flow), probe)]

    return job


def slic_jobs() -> Iterator[tuple[str, Job]]:
    """Bytes and floats, blurred or not, connected or not."""
    for dtype in (torch.uint8, torch.float32):
        for connected in (True, False):
            name = f"slic {dtype} {'connected' if connected else 'cells'}"
            options = {"sigma": 0.8, "enforce_connectivity": connected, "iterations": 2}
            yield name, segmented(dtype, 3, **options)
    yield "slic of five channels", segmented(torch.uint8, 5, color_space="rgb", iterations=2)
    yield "slic of one channel, without iterations", segmented(torch.uint8, 1, iterations=0)


def segmented(dtype: torch.dtype, channels: int, **options: Any) -> Job:
    def job(put: Put) -> list[torch.Tensor]:
        from mrfcore.nn import functional

        image = torch.randint(0, 256, (2, channels, 31, 45), dtype=torch.uint8)
        if dtype != torch.uint8:
            image = image.to(dtype) / 255
        return [functional.slic(put(image), 12, **options)]

    return job
