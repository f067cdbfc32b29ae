# SPDX-License-Identifier: Apache-2.0
"""The solvers as modules: unary costs in, costs of the labelling out."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch

from mrfcore._images import number
from mrfcore._scalars import _flag
from mrfcore.ops._setup import DEFAULTS, encode, make_setup
from mrfcore.ops.message_passing import run
from mrfcore.potentials import Potential

__all__ = ["ISGMR", "SGM", "TRWP", "LoopyBP", "MeanField"]


class _Layer(torch.nn.Module):
    """What all layers share.

    The weight of an edge is the layer's scalar times the `weights` handed to forward. A learned
    scalar is exp(log_weight), so that it stays positive whatever the optimiser does.
    """

    _solver: str

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int,
        connectivity: int,
        weight: float,
        learn_weight: bool,
        store_every: int,
        threads: int | None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._shown = {k: v for k, v in options.items() if v != DEFAULTS[k]}
        if store_every != 1:
            self._shown["store_every"] = store_every
        kind, parameters = self._set_pairwise(pairwise)
        self._setup = make_setup(
            kind,
            parameters,
            solver=self._solver,
            connectivity=connectivity,
            iterations=iterations,
            store_every=store_every,
            threads=threads,
            **{**DEFAULTS, **options},
        )
        self._set_weight(weight, learn_weight)

    def _set_pairwise(self, pairwise: Any) -> tuple[str, tuple[float, ...]]:
        """Register what may learn or must move with the module; the kind and its parameters."""
        if isinstance(pairwise, torch.nn.Module):
            if inspect.signature(pairwise.forward).parameters:
                raise TypeError(
                    "pairwise: expected a potential, a table or a module whose forward() takes "
                    f"nothing and returns a table (mrfcore.nn.LearnedPairwise), got "
                    f"{type(pairwise).__name__}"
                )
            self.pairwise = pairwise
            self._potential = "table of pairwise"
            return "table", ()
        kind, parameters, table = encode(pairwise)
        if table is None:
            self._potential = repr(pairwise)
            self.register_buffer("table", None)
            return kind, parameters
        if table.dim() != 2 or table.shape[0] != table.shape[1]:
            raise ValueError(
                f"pairwise: expected a square table [L, L], got shape {list(table.shape)}"
            )
        self._potential = f"Table(L={table.shape[0]})"
        if isinstance(table, torch.nn.Parameter):
            self.table = table
            self._potential += " (learned)"
        else:
            self.register_buffer("table", table.detach().clone())
        return kind, parameters

    def _set_weight(self, weight: float, learn: bool) -> None:
        self.learn_weight = _flag("learn_weight", learn)
        value = number("weight", weight)
        if not 0 <= value < 1e12:
            raise ValueError(f"weight: expected a number in [0, 1e12), got {weight}")
        if not self.learn_weight:
            self._weight = value
            return
        if value == 0:
            raise ValueError("weight: expected a number > 0 to learn from, got 0")
        self.log_weight = torch.nn.Parameter(torch.tensor(math.log(value)))

    @property
    def weight(self) -> float | torch.Tensor:
        """The scalar; a tensor, with its gradient, where it is learned."""
        return self.log_weight.exp() if self.learn_weight else self._weight

    @property
    def connectivity(self) -> int:
        """Neighbours of a pixel: 4, 8 or 16."""
        return int(self._setup.connectivity)

    def forward(self, unary: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Costs [B, L, H, W] in channels_last; arg-min over labels is the labelling.

        Args:
            unary: [B, L, H, W]; best in channels_last, see `mrfcore.ops.message_passing`.
            weights: [B or 1, P, H, W] or [P, H, W], P = connectivity / 2, >= 0; None: 1.
        """
        scalar = self.weight
        if weights is None:
            product: float | torch.Tensor = scalar
        elif isinstance(scalar, float) and scalar == 1.0:
            product = weights
        else:
            product = weights * scalar
        learned = self._modules.get("pairwise")
        table = self.table if learned is None else learned()
        return run(unary, table, product, self._setup)

    def extra_repr(self) -> str:
        """What print() shows."""
        s = self._setup
        parts = [] if "pairwise" in self._modules else [self._potential]
        parts += [f"iterations={s.iterations}", f"connectivity={s.connectivity}"]
        parts += [f"{name}={value!r}" for name, value in self._shown.items()]
        weight = self.log_weight.detach().exp().item() if self.learn_weight else self._weight
        parts.append(f"weight={weight:g}" + (" (learned)" if self.learn_weight else ""))
        return ", ".join(parts)


class SGM(_Layer):
    """Semi-global matching (Eq 3.3); see docs/layers/sgm.md.

    One iteration is the textbook's; in further ones the costs become the next unaries.

    Args:
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`; a table [L, L] (array or
            tensor: fixed, in the state dict; `nn.Parameter`: learned); or a module that gives
            one, such as `LearnedPairwise(L)`.
        iterations: how many.
        connectivity: neighbours of a node: 4, 8 or 16.
        head: first message of a scanline: "unary" (the textbook's) or "zero".
        weight: the scalar that multiplies all edge weights.
        learn_weight: learn it (as `log_weight`, so that it stays positive).
        store_every: keep every n-th iteration for the backward and recompute those between.
        min_convolution: "auto" or "general", the O(L^2) path.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        unary [B, L, H, W], weights [B or 1, P, H, W] with P = connectivity / 2, costs [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    _solver = "sgm"

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int = 1,
        connectivity: int = 8,
        *,
        head: str = "unary",
        weight: float = 1.0,
        learn_weight: bool = False,
        store_every: int = 1,
        min_convolution: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            pairwise,
            iterations,
            connectivity,
            weight,
            learn_weight,
            store_every,
            threads,
            head=head,
            min_convolution=min_convolution,
        )


class ISGMR(_Layer):
    """Iterative semi-global matching, revised (Eq 3.9, Alg 1); see docs/layers/isgmr.md.

    On 4 neighbours it can diverge over many iterations; take 8, or `damping=0.5`.

    Args:
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`; a table [L, L] (array or
            tensor: fixed, in the state dict; `nn.Parameter`: learned); or a module that gives
            one, such as `LearnedPairwise(L)`.
        iterations: how many.
        connectivity: neighbours of a node: 4, 8 or 16.
        damping: share of the old message that stays, in [0, 1).
        temperature: 0 takes minima; above 0 soft minima (sum-product), smoother to train.
        weight: the scalar that multiplies all edge weights.
        learn_weight: learn it (as `log_weight`, so that it stays positive).
        store_every: keep every n-th iteration for the backward and recompute those between.
        min_convolution: "auto" or "general", the O(L^2) path.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        unary [B, L, H, W], weights [B or 1, P, H, W] with P = connectivity / 2, costs [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    _solver = "isgmr"

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int = 5,
        connectivity: int = 8,
        *,
        damping: float = 0.0,
        temperature: float = 0.0,
        weight: float = 1.0,
        learn_weight: bool = False,
        store_every: int = 1,
        min_convolution: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            pairwise,
            iterations,
            connectivity,
            weight,
            learn_weight,
            store_every,
            threads,
            damping=damping,
            temperature=temperature,
            min_convolution=min_convolution,
        )


class TRWP(_Layer):
    """Parallel tree-reweighted message passing (Eq 3.10, Alg 2); see docs/layers/trwp.md.

    Args:
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`; a table [L, L] (array or
            tensor: fixed, in the state dict; `nn.Parameter`: learned); or a module that gives
            one, such as `LearnedPairwise(L)`.
        iterations: how many.
        connectivity: neighbours of a node: 4, 8 or 16.
        rho: share of trees through an edge, in (0.001, 1]; None: 2 / connectivity.
        damping: share of the old message that stays, in [0, 1).
        temperature: 0 takes minima; above 0 soft minima (sum-product), smoother to train.
        weight: the scalar that multiplies all edge weights.
        learn_weight: learn it (as `log_weight`, so that it stays positive).
        store_every: keep every n-th iteration for the backward and recompute those between.
        min_convolution: "auto" or "general", the O(L^2) path.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        unary [B, L, H, W], weights [B or 1, P, H, W] with P = connectivity / 2, costs [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    _solver = "trwp"

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int = 5,
        connectivity: int = 4,
        *,
        rho: float | None = None,
        damping: float = 0.0,
        temperature: float = 0.0,
        weight: float = 1.0,
        learn_weight: bool = False,
        store_every: int = 1,
        min_convolution: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            pairwise,
            iterations,
            connectivity,
            weight,
            learn_weight,
            store_every,
            threads,
            rho=rho,
            damping=damping,
            temperature=temperature,
            min_convolution=min_convolution,
        )


class LoopyBP(_Layer):
    """Loopy belief propagation: TRWP with rho = 1; see docs/layers/loopy_bp.md.

    Args:
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`; a table [L, L] (array or
            tensor: fixed, in the state dict; `nn.Parameter`: learned); or a module that gives
            one, such as `LearnedPairwise(L)`.
        iterations: how many.
        connectivity: neighbours of a node: 4, 8 or 16.
        damping: share of the old message that stays, in [0, 1).
        temperature: 0 takes minima; above 0 soft minima (sum-product), smoother to train.
        weight: the scalar that multiplies all edge weights.
        learn_weight: learn it (as `log_weight`, so that it stays positive).
        store_every: keep every n-th iteration for the backward and recompute those between.
        min_convolution: "auto" or "general", the O(L^2) path.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        unary [B, L, H, W], weights [B or 1, P, H, W] with P = connectivity / 2, costs [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    _solver = "bp"

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int = 5,
        connectivity: int = 4,
        *,
        damping: float = 0.0,
        temperature: float = 0.0,
        weight: float = 1.0,
        learn_weight: bool = False,
        store_every: int = 1,
        min_convolution: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            pairwise,
            iterations,
            connectivity,
            weight,
            learn_weight,
            store_every,
            threads,
            damping=damping,
            temperature=temperature,
            min_convolution=min_convolution,
        )


class MeanField(_Layer):
    """Parallel mean field (Q = softmax(-costs)); see docs/layers/mean_field.md.

    Args:
        pairwise: V: a potential such as `mrfcore.TruncatedLinear(2)`; a table [L, L] (array or
            tensor: fixed, in the state dict; `nn.Parameter`: learned); or a module that gives
            one, such as `LearnedPairwise(L)`.
        iterations: how many.
        connectivity: neighbours of a node: 4, 8 or 16.
        normalise: "directions" divides the neighbours' sum by the connectivity.
        weight: the scalar that multiplies all edge weights.
        learn_weight: learn it (as `log_weight`, so that it stays positive).
        store_every: keep every n-th iteration for the backward and recompute those between.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        unary [B, L, H, W], weights [B or 1, P, H, W] with P = connectivity / 2, costs [B, L, H, W].

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    _solver = "mean_field"

    def __init__(
        self,
        pairwise: Potential | torch.Tensor | torch.nn.Module | Any,
        iterations: int = 5,
        connectivity: int = 4,
        *,
        normalise: str | None = None,
        weight: float = 1.0,
        learn_weight: bool = False,
        store_every: int = 1,
        threads: int | None = None,
    ) -> None:
        super().__init__(
            pairwise,
            iterations,
            connectivity,
            weight,
            learn_weight,
            store_every,
            threads,
            normalise=normalise,
        )
