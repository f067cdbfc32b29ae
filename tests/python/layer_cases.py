# SPDX-License-Identifier: Apache-2.0
"""Problems for the torch layers, stated once for the op and for its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

import mrfcore
from mrfcore.ops import message_passing, reference

LAYER_SOLVERS = ("sgm", "isgmr", "trwp", "bp", "mean_field")

# Every option of every solver at least once; (solver, options).
SETUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgm": ("sgm", {"iterations": 1}),
    "sgm-iterated": ("sgm", {"iterations": 3}),
    "sgm-zero-head": ("sgm", {"iterations": 2, "head": "zero"}),
    "isgmr": ("isgmr", {"iterations": 3}),
    "isgmr-damped": ("isgmr", {"iterations": 3, "damping": 0.4}),
    "isgmr-soft": ("isgmr", {"iterations": 2, "temperature": 0.3}),
    "isgmr-soft-damped": ("isgmr", {"iterations": 3, "temperature": 0.3, "damping": 0.3}),
    "trwp": ("trwp", {"iterations": 3}),
    "trwp-rho": ("trwp", {"iterations": 2, "rho": 0.7}),
    "trwp-damped": ("trwp", {"iterations": 3, "damping": 0.4}),
    "trwp-soft": ("trwp", {"iterations": 2, "temperature": 0.3}),
    "trwp-soft-damped": ("trwp", {"iterations": 3, "temperature": 0.3, "damping": 0.3}),
    "bp": ("bp", {"iterations": 2}),
    "bp-soft": ("bp", {"iterations": 2, "temperature": 0.5}),
    "mean_field": ("mean_field", {"iterations": 3}),
    "mean_field-normalised": ("mean_field", {"iterations": 3, "normalise": "directions"}),
    "no-iterations": ("trwp", {"iterations": 0}),
}

POTENTIALS: dict[str, Any] = {
    "potts": mrfcore.Potts(),
    "linear": mrfcore.TruncatedLinear(2.5),
    "linear-untruncated": mrfcore.TruncatedLinear(),
    "quadratic": mrfcore.TruncatedQuadratic(5.0),
    "quadratic-untruncated": mrfcore.TruncatedQuadratic(),
    "sgm_penalty": mrfcore.SGMPenalty(0.4, 1.1),
    "huber": mrfcore.Huber(1.5),
    "cauchy": mrfcore.Cauchy(1.3),
    "table": mrfcore.Table([[0.1 * (3 * i - j) ** 2 for j in range(6)] for i in range(6)]),
}


@dataclass
class Inputs:
    """Random, so that no two minima tie."""

    unary: torch.Tensor  # [B, L, H, W], channels_last
    table: torch.Tensor  # [L, L], asymmetric
    edges: torch.Tensor  # [B, P, H, W]
    scalar: torch.Tensor  # []

    def require(self) -> Inputs:
        for x in (self.unary, self.table, self.edges, self.scalar):
            x.requires_grad_()
        return self


def inputs(
    connectivity: int = 4,
    shape: tuple[int, int, int, int] = (2, 6, 5, 4),
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Inputs:
    batch, labels, height, width = shape
    g = torch.Generator().manual_seed(seed)
    unary = torch.rand(batch, labels, height, width, generator=g, dtype=dtype)
    return Inputs(
        unary=(3 * unary).contiguous(memory_format=torch.channels_last),
        table=2 * torch.rand(labels, labels, generator=g, dtype=dtype) - 0.2,
        edges=torch.rand(batch, connectivity // 2, height, width, generator=g, dtype=dtype) + 0.1,
        scalar=torch.tensor(0.7, dtype=dtype),
    )


def probe(costs: torch.Tensor) -> torch.Tensor:
    """A loss with another gradient in each entry."""
    g = torch.Generator().manual_seed(costs.numel())
    return (costs * torch.rand(costs.shape, generator=g, dtype=costs.dtype)).sum()


def gradients(costs: torch.Tensor, wanted: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of `probe`, zeros where the costs do not depend on an input."""
    found = torch.autograd.grad(probe(costs), wanted, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]


def compare(unary: Any, pairwise: Any, weights: Any, wanted: list[Any], **options: Any) -> None:
    """Forward and every gradient of the op against the plain-torch reference."""
    got = message_passing(unary, pairwise, weights, **options)
    for extra in ("store_every", "min_convolution", "threads"):
        options.pop(extra, None)
    want = reference.message_passing(unary, pairwise, weights, **options)
    exact = unary.dtype == torch.float64
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if exact else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(got, want, **tolerance)
    pairs = zip(gradients(got, wanted), gradients(want, wanted), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, **tolerance)
