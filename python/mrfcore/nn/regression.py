# SPDX-License-Identifier: Apache-2.0
"""From costs to real values: disparity regression."""

from __future__ import annotations

import numbers

import torch

__all__ = ["soft_argmin"]


def soft_argmin(
    costs: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    values: torch.Tensor | None = None,
) -> torch.Tensor:
    """Expected label under the soft minimum of the costs (Eq 3.18, 3.19).

    f = softmax(-costs / temperature) over labels, result sum_l values(l) f(l). As the temperature
    goes to 0 it becomes values(arg-min), which has no gradient.

    Args:
        costs: [B, L, H, W] (or any shape with labels second). +inf excludes a label.
        temperature: > 0, in units of the costs; a tensor without dimensions to learn it, whose
            value is not checked: let it be the exp or softplus of a parameter.
        values: [L], what the labels stand for, such as disparities in pixels. None: 0, ..., L-1.

    Returns:
        [B, H, W]. float16 and bfloat16 costs give float32: bfloat16 has no odd number above 256.

    Raises:
        ValueError: shapes that do not fit, a number as temperature that is not above 0.
        TypeError: costs that are no floating-point tensor, values that are no tensor.
    """
    if not isinstance(costs, torch.Tensor) or not costs.is_floating_point():
        got = costs.dtype if isinstance(costs, torch.Tensor) else type(costs).__name__
        raise TypeError(f"costs: expected a floating-point tensor [B, L, H, W], got {got}")
    if costs.dim() < 2 or costs.shape[1] == 0:
        raise ValueError(f"costs: expected [B, L, H, W], got shape {list(costs.shape)}")
    labels = costs.shape[1]
    if values is not None and not isinstance(values, torch.Tensor):
        raise TypeError(f"values: expected a tensor [{labels}], got {type(values).__name__}")
    if values is not None and tuple(values.shape) != (labels,):
        raise ValueError(
            f"values: expected shape [{labels}], one for each label of costs, got "
            f"{list(values.shape)}"
        )
    _check_temperature(temperature)
    dtype = torch.promote_types(costs.dtype, torch.float32)
    if values is None:
        values = torch.arange(labels, device=costs.device)
    column = values.to(dtype).view(labels, *[1] * (costs.dim() - 2))
    confidence = torch.softmax(-costs.to(dtype) / temperature, dim=1)
    return (confidence * column).sum(dim=1)


def _check_temperature(temperature: object) -> None:
    if isinstance(temperature, torch.Tensor):
        if temperature.dim() != 0:
            raise ValueError(
                f"temperature: expected a number or a tensor without dimensions, got shape "
                f"{list(temperature.shape)}"
            )
        return
    if isinstance(temperature, bool) or not isinstance(temperature, numbers.Real):
        raise TypeError(f"temperature: expected a number > 0, got {type(temperature).__name__}")
    if not 0 < float(temperature) < float("inf"):
        raise ValueError(f"temperature: expected a finite number > 0, got {temperature}")
