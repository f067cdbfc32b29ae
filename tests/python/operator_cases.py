# SPDX-License-Identifier: Apache-2.0
"""Every differentiable dense operator with small arguments, for checks that all must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mrfcore.nn import functional as F  # noqa: N812

B, C, H, W, CELLS = 2, 3, 5, 6, 6  # cells of 3 x 3 pixels but for the last row


def draw(*shape: int) -> Any:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def whole(high: int, *shape: int) -> Any:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(sum(shape)))


X, IDS, VALID = draw(B, C, H, W), whole(7, B, H, W), draw(B, H, W) > -0.5
Q, Z, F_ONE = draw(B, 9, H, W).softmax(1), draw(B, C, CELLS), draw(B, C, H, W).softmax(1)
POINTS, LABELS, KAPPA = draw(B, 4, 30), whole(3, B, 30), torch.tensor(3.0, dtype=torch.float64)
FLOW, BACK = draw(B, 2, H, W), draw(B, 2, H, W + 1)[..., :W].contiguous()

# Name: (function of the tensors, tensors; those in floating point get gradients).
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "superpixel_pool": (lambda x, ids: F.superpixel_pool(x, ids, 7), (X, IDS)),
    "superpixel_pool, sum": (lambda x, ids: F.superpixel_pool(x, ids, 7, "sum"), (X, IDS)),
    "superpixel_pool, max": (lambda x, ids: F.superpixel_pool(x, ids, 7, "max"), (X, IDS)),
    "superpixel_unpool": (F.superpixel_unpool, (draw(B, C, 7), IDS)),
    "logit_consistency": (F.logit_consistency, (X, IDS)),
    "logit_consistency, valid": (F.logit_consistency, (X, IDS, VALID)),
    "soft_superpixel_pool": (lambda x, q: F.soft_superpixel_pool(x, q, 3), (X, Q)),
    "soft_superpixel_unpool": (
        lambda z, q: F.soft_superpixel_unpool(z, q, 3, border="renorm"),
        (draw(B, C, 4), Q),
    ),
    "superpixel_loss": (lambda f, q: F.superpixel_loss(f, q, 3, compactness=0.5), (F_ONE, Q)),
    "superpixel_loss, l2": (
        lambda f, q, valid: F.superpixel_loss(f, q, 3, distance="l2", valid=valid, border="renorm"),
        (X, Q, VALID),
    ),
    "filter_flow": (F.filter_flow, (X, draw(B, 9, H, W))),
    "filter_flow, softmax": (
        lambda i, f: F.filter_flow(i, f, "softmax", "replicate", return_flow=True),
        (X, draw(B, 16, H, W)),
    ),
    "filter_flow_transpose": (
        lambda i, f: F.filter_flow_transpose(i, f, "softmax", "reflect"),
        (X, draw(B, 9, H, W)),
    ),
    "expected_flow": (lambda f: F.expected_flow(f, "softmax"), (draw(B, 9, H, W),)),
    "warp": (lambda i, f: F.warp(i, f, "replicate"), (X, FLOW)),
    "compose_flows": (lambda a, b: F.compose_flows([a, b]), (FLOW, BACK)),
    "flow_consistency": (F.flow_consistency, (FLOW, BACK)),
    "flow_smoothness": (F.flow_smoothness, (FLOW,)),
    "charbonnier": (lambda x: F.charbonnier(x, 0.1), (X,)),
    "mean_shift": (lambda x, k: F.mean_shift(x, k, 2, 0.8), (POINTS, KAPPA)),
    "mean_shift_euclid": (lambda x, b: F.mean_shift_euclid(x, b, 2), (POINTS, KAPPA)),
    "mean_shift_euclid, flat": (
        lambda x: F.mean_shift_euclid(x, 2.0, 2, kernel="epanechnikov"),
        (POINTS,),
    ),
    "pairwise_margin_loss": (
        lambda x, labels: F.pairwise_margin_loss(x, labels, 0.4),
        (POINTS, LABELS),
    ),
}


def leaves(tensors: tuple[Any, ...], put: Any, dtype: Any = torch.float64) -> list[Any]:
    """Of this dtype and requiring gradients, where they are floating-point numbers."""
    return [put(x.to(dtype)).requires_grad_() if x.is_floating_point() else put(x) for x in tensors]


def several(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def gradients(outputs: Any, inputs: list[Any]) -> tuple[Any, ...]:
    total = sum((y.float() if y.dtype.itemsize < 4 else y).sin().sum() for y in several(outputs))
    return torch.autograd.grad(total, [x for x in inputs if x.requires_grad])
