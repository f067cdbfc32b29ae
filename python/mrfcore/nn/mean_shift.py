# SPDX-License-Identifier: Apache-2.0
"""Mean shift and the loss of the embeddings that it groups, as modules."""

from __future__ import annotations

import math

import torch

from mrfcore._scalars import _checked, _choice, _flag, _integer, _threads
from mrfcore.ops import mean_shift as _mean_shift
from mrfcore.ops import pairwise_margin as _pairwise_margin

__all__ = ["MeanShift", "PairwiseMarginLoss"]


class MeanShift(torch.nn.Module):
    """Recurrent mean shift of embeddings on the unit sphere (Eq C.5); docs/operators/mean_shift.md.

    A learned concentration is exp(log_kappa), so that it stays positive whatever the optimiser
    does. For clustering without gradients see `mrfcore.cluster.MeanShift`.

    Args:
        kappa: concentration of the kernel, >= 0. `functional.kappa_from_margin` derives it from
            the margin of the embedding's loss: 36 at the margin 0.5.
        steps: loops, >= 0.
        step_size: in (0, 1]; 1 is blurring mean shift proper.
        learn_kappa: learn it, as `log_kappa`.
        all_steps: return the points after every loop, and before the first, for a loss on all of
            them (section 5.3).
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        x [B, D, N] or [B, D, H, W], normalised here, to points of unit length of the same shape;
        with `all_steps` a list of steps + 1 of them, the normalised input first.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        kappa: float = 36.0,
        steps: int = 5,
        step_size: float = 1.0,
        *,
        learn_kappa: bool = False,
        all_steps: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        _threads(threads)
        value = _checked(
            "kappa", kappa, lambda k: k >= 0 and math.isfinite(k), "a finite number >= 0"
        )
        if _integer("steps", steps) < 0:
            raise ValueError(f"steps: expected a number >= 0, got {steps}")
        self.steps = int(steps)
        self.step_size = _checked(
            "step_size", step_size, lambda s: 0 < s <= 1, "a number in (0, 1]"
        )
        self.learn_kappa = _flag("learn_kappa", learn_kappa)
        self.all_steps = _flag("all_steps", all_steps)
        self.threads = threads
        if not self.learn_kappa:
            self._kappa = value
            return
        if value == 0:
            raise ValueError("kappa: expected a number > 0 to learn from, got 0")
        self.log_kappa = torch.nn.Parameter(torch.tensor(math.log(value)))

    @property
    def kappa(self) -> float | torch.Tensor:
        """The concentration; a tensor, with its gradient, where it is learned."""
        return self.log_kappa.exp() if self.learn_kappa else self._kappa

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """The moved points; a list, from the normalised input on, with `all_steps`."""
        kappa = self.kappa
        if not self.all_steps:
            return self._move(x, kappa, self.steps)
        states = [self._move(x, kappa, 0)]
        for _ in range(self.steps):
            states.append(self._move(states[-1], kappa, 1))
        return states

    def _move(self, x: torch.Tensor, kappa: float | torch.Tensor, steps: int) -> torch.Tensor:
        return _mean_shift.mean_shift(x, kappa, steps, self.step_size, threads=self.threads)

    def extra_repr(self) -> str:
        """What print() shows."""
        kappa = self.log_kappa.detach().exp().item() if self.learn_kappa else self._kappa
        shown = f"kappa={kappa:g}" + (" (learned)" if self.learn_kappa else "")
        shown += f", steps={self.steps}, step_size={self.step_size:g}"
        return shown + (", all_steps=True" if self.all_steps else "")


class PairwiseMarginLoss(torch.nn.Module):
    """Groups of embeddings together, others apart (Eq 5.2): docs/operators/pairwise_margin_loss.md.

    Args:
        alpha: margin in [0, 1].
        sample: None: all points count; a number: so many, drawn anew from each item in every call.
        neg_weight: of pairs with different labels, >= 0.
        normalise: "N": divide by the number of points, as printed; "sum": by (sum of weights)^2.
        ignore: points with this label count for nothing.
        reduction: over the batch: "mean", "sum" or "none".
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        x [B, D, N] or [B, D, H, W], labels (integers) and perhaps weights (floating-point)
        [B, N] or [B, H, W], to a number, or [B] for "none".

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        sample: int | None = None,
        *,
        neg_weight: float = 1.0,
        normalise: str = "N",
        ignore: int = -1,
        reduction: str = "mean",
        threads: int | None = None,
    ) -> None:
        super().__init__()
        _threads(threads)
        self.alpha = _checked("alpha", alpha, lambda a: 0 <= a <= 1, "a number in [0, 1]")
        if sample is not None and _integer("sample", sample) < 1:
            raise ValueError(f"sample: expected None or a number >= 1, got {sample}")
        self.sample = sample
        self.neg_weight = _checked(
            "neg_weight", neg_weight, lambda w: w >= 0 and math.isfinite(w), "a finite number >= 0"
        )
        self.normalise = _choice("normalise", normalise, ("N", "sum"))
        self.ignore = _integer("ignore", ignore)
        self.reduction = _choice("reduction", reduction, ("mean", "sum", "none"))
        self.threads = threads

    def forward(
        self,
        x: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """The loss; `generator` draws the sample, None: torch's own."""
        return _pairwise_margin.pairwise_margin_loss(
            x,
            labels,
            self.alpha,
            weights=weights,
            sample=self.sample,
            neg_weight=self.neg_weight,
            normalise=self.normalise,
            ignore=self.ignore,
            reduction=self.reduction,
            generator=generator,
            threads=self.threads,
        )

    def extra_repr(self) -> str:
        """What print() shows."""
        return (
            f"alpha={self.alpha:g}, sample={self.sample}, neg_weight={self.neg_weight:g}, "
            f"normalise={self.normalise!r}, reduction={self.reduction!r}"
        )
