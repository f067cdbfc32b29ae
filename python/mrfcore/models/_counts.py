# SPDX-License-Identifier: Apache-2.0
"""How large models are, and how much they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mrfcore._modes import evaluating
from mrfcore._scalars import _flag
from mrfcore.models._registry import Shape, create_model, input_shapes, model_entry

__all__ = ["count_flops", "count_parameters", "measure_model"]


def count_parameters(model: torch.nn.Module, *, trainable: bool = False) -> int:
    """Numbers in all parameters, shared ones once; buffers do not count.

    Args:
        model: any module.
        trainable: only those that require a gradient.
    """
    _check_module(model)
    only = _flag("trainable", trainable)
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not only)


def count_flops(model: torch.nn.Module, input_shape: Shape | Sequence[Shape]) -> int:
    """Floating-point operations of one forward pass in eval mode, for a batch of one.

    A multiplication and an addition are two: half the result are multiply-adds (MACs). Counted is
    what torch.utils.flop_counter counts: convolutions, transposed ones by their inputs, and
    products of matrices; not biases, normalisation, activations, pooling, and operators of mrfcore.
    Nothing is computed: tensors have shapes only, and the model stays as it is.

    Args:
        model: any module, whose forward takes tensors.
        input_shape: (C, H, W), (C, D, H, W) or whatever it takes, without the batch; for several
            inputs a tuple of such.

    Raises:
        TypeError: not a module.
        ValueError: a shape without sizes; or what the model says about an input of that shape.
    """
    _check_module(model)
    shapes = input_shapes(input_shape)
    with evaluating(model), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        return _flops(model, shapes)


def measure_model(
    name: str, input_shape: Shape | Sequence[Shape] | None = None, **options: Any
) -> tuple[int, int]:
    """(Parameters, floating-point operations) of a model by name, mostly without memory for it.

    Args:
        name: see `list_models`.
        input_shape: as for `count_flops`; None: the one it is registered with.
        **options: of the model.

    Raises:
        ValueError, TypeError: as `create_model` and `count_flops`.
    """
    shapes = model_entry(name).input_shapes if input_shape is None else input_shapes(input_shape)
    with torch.no_grad():
        try:
            with torch.device("meta"):
                model = create_model(name, **options).eval()
            with FakeTensorMode(allow_non_fake_inputs=True):
                model.to_empty(device="cpu")
                return count_parameters(model), _flops(model, shapes)
        except RuntimeError:  # a model that looks at values: with them, or its own message
            model = create_model(name, **options)
    return count_parameters(model), count_flops(model, shapes)


def _flops(model: torch.nn.Module, shapes: Sequence[Shape]) -> int:
    """Within a mode of tensors without data."""
    like = next(model.parameters(), torch.empty(()))
    inputs = [torch.empty((1, *shape), dtype=like.dtype, device=like.device) for shape in shapes]
    counter = FlopCounterMode(display=False)
    with counter:
        model(*inputs)
    return int(counter.get_total_flops())


def _check_module(model: object) -> None:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
