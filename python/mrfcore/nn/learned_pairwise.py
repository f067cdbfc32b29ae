# SPDX-License-Identifier: Apache-2.0
"""A pairwise function that a network learns."""

from __future__ import annotations

from typing import Any

import torch

from mrfcore._scalars import _flag, _integer
from mrfcore.potentials import Potential, Potts, as_potential

__all__ = ["LearnedPairwise"]


class LearnedPairwise(torch.nn.Module):
    """A table V[l, m], learned; hand it to a layer as its `pairwise`.

    Any finite values will do: solvers need V to be neither a metric nor non-negative. Two layers
    may share one.

    Args:
        num_labels: L.
        symmetric: keep V(l, m) = V(m, l): the table is (P + P^T) / 2 of the parameter P. Without,
            V[l, m] is V(x_owner, x_other), and the canonical direction of an edge matters.
        init: where to start: a potential, or a table [L, L]. None: Potts, [l != m].

    Attributes:
        table: the parameter P, [L, L], float32 (torch's default dtype).

    Raises:
        ValueError: a table of another shape, not finite, or not symmetric though it should be.
        TypeError: an argument of the wrong type.
    """

    def __init__(
        self,
        num_labels: int,
        symmetric: bool = True,
        init: Potential | torch.Tensor | Any | None = None,
    ) -> None:
        super().__init__()
        self.num_labels = _integer("num_labels", num_labels)
        if not 1 <= self.num_labels <= 65535:
            raise ValueError(f"num_labels: expected a number in 1..65535, got {num_labels}")
        self.symmetric = _flag("symmetric", symmetric)
        self.table = torch.nn.Parameter(self._start(init))

    def _start(self, init: Any) -> torch.Tensor:
        if isinstance(init, torch.Tensor):
            init = init.detach().cpu().numpy()
        potential = Potts() if init is None else as_potential(init)
        try:
            values = torch.tensor(potential.table(self.num_labels))
        except ValueError as error:
            raise ValueError(
                f"init: expected a table [L, L] with L = {self.num_labels} = num_labels, got "
                f"{potential!r}"
            ) from error
        if self.symmetric and not torch.equal(values, values.T):
            raise ValueError("init: expected a symmetric table; or say symmetric=False")
        return values.to(torch.get_default_dtype())

    def forward(self) -> torch.Tensor:
        """V, [L, L]."""
        return (self.table + self.table.T) / 2 if self.symmetric else self.table

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"{self.num_labels}, symmetric={self.symmetric}"
