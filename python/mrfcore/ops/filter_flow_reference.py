# SPDX-License-Identifier: Apache-2.0
"""Filter flow in plain torch, written to be read: the specification of `filter_flow.py`.

A loop over the k^2 shifted products; autograd differentiates it.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import pad

__all__ = ["expected_flow", "filter_flow", "filter_flow_transpose", "offsets"]

_MODES = {"zeros": "constant", "replicate": "replicate", "reflect": "reflect"}


def offsets(taps: int) -> list[tuple[int, int]]:
    """(u, v) of every tap: rows, then columns."""
    k = math.isqrt(taps)
    first = -((k - 1) // 2)
    return [(first + p // k, first + p % k) for p in range(taps)]


def _weights(filters: torch.Tensor, normalize: str | None) -> torch.Tensor:
    return filters if normalize is None else torch.softmax(filters, dim=1)


def filter_flow(
    image: torch.Tensor, filters: torch.Tensor, normalize: str | None = None, padding: str = "zeros"
) -> torch.Tensor:
    """out[y, x] = sum_p w_p[y, x] image[y + u_p, x + v_p] (Eq 6.1)."""
    height, width = image.shape[2:]
    k = math.isqrt(filters.shape[1])
    before, after = (k - 1) // 2, k // 2
    padded = pad(image, (before, after, before, after), mode=_MODES[padding])
    weights = _weights(filters, normalize)
    out = torch.zeros_like(image)
    for p, (u, v) in enumerate(offsets(k * k)):
        y, x = before + u, before + v
        out = out + weights[:, p : p + 1] * padded[:, :, y : y + height, x : x + width]
    return out


def filter_flow_transpose(
    image: torch.Tensor, filters: torch.Tensor, normalize: str | None = None, padding: str = "zeros"
) -> torch.Tensor:
    """The gradient of <filter_flow(a), image> with respect to a, which is linear in a."""
    with torch.enable_grad():
        a = torch.zeros_like(image, requires_grad=True)
        out = filter_flow(a, filters, normalize, padding)
        (result,) = torch.autograd.grad(out, a, image, create_graph=True)
    return result


def expected_flow(filters: torch.Tensor, normalize: str | None = None) -> torch.Tensor:
    """sum_p w_p (v_p, u_p) (Eq 7.6)."""
    weights = _weights(filters, normalize)
    pairs = torch.tensor(offsets(filters.shape[1]), dtype=weights.dtype)
    return torch.stack([(weights * pairs[:, i, None, None]).sum(1) for i in (1, 0)], dim=1)
