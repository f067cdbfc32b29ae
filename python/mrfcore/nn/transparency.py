# SPDX-License-Identifier: Apache-2.0
"""How transparent layers are: the measures of Tables 4.2 and 4.3 of Xu's thesis (2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mrfcore._scalars import _checked, _flag

__all__ = ["TransparencyReport", "transparency_report"]


@dataclass(frozen=True)
class TransparencyReport:
    """What was measured.

    Attributes:
        init_rate: percent of the parameters, biases included, with an absolute value above eps.
        recovery_rate: percent of the outputs that differ from the input by less than eps.
        max_error: the largest difference.
    """

    init_rate: float
    recovery_rate: float
    max_error: float


@torch.no_grad()
def transparency_report(
    module: nn.Module, x: Tensor, *, eps: float = 1e-4, relative: bool = False
) -> TransparencyReport:
    """Run a module, and compare what comes out with what went in.

    Args:
        module: of outputs like its inputs. It runs as it is, in training mode or not; the items of
            a batch go one after the other, which saves memory.
        x: its input, [B, ...].
        eps: of the rates.
        relative: whether outputs may differ by eps max |x|. The rates of Table 4.2 are absolute,
            and rounding alone exceeds 1e-4 for inputs of 100 and more.

    Raises:
        ValueError, TypeError: an eps that is not positive, no input, outputs of another shape.
    """
    _checked("eps", eps, lambda e: 0 < e < math.inf, "a finite number > 0")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x: expected a tensor of floating point numbers [B, ...]")
    if x.dim() == 0 or x.numel() == 0:
        raise ValueError(f"x: expected [B, ...], not empty, got shape {list(x.shape)}")
    near = eps * float(x.abs().max()) if _flag("relative", relative) else eps
    same, worst = 0, x.new_zeros(())
    for item in x.split(1):
        y = module(item)
        if y.shape != item.shape:
            raise ValueError(
                f"module: expected outputs of shape {list(item.shape)} like the input, got "
                f"{list(y.shape)}"
            )
        difference = (y - item).abs_()
        same += int((difference < near).sum())
        worst = torch.maximum(worst, difference.max())  # a NaN stays
    values = [p.detach().reshape(-1) for p in module.parameters()]
    count = sum(v.numel() for v in values)
    filled = sum(int((v.abs() > eps).sum()) for v in values)
    return TransparencyReport(
        100 * filled / count if count else math.nan, 100 * same / x.numel(), float(worst)
    )
