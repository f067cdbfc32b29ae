# SPDX-License-Identifier: Apache-2.0
"""What operators do to channels: elementwise ones, layers, normalisation, pooling, reductions.

Each rule gets the tracer, the operator's name, its arguments by name and its result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mrfcore.pruning import _labels
from mrfcore.pruning._classes import ZERO, Ids
from mrfcore.pruning._tracer import Found, Tracer, tensors_in

__all__ = ["RULES", "Rule", "apply_rule", "rule"]

Rule = Callable[[Tracer, str, dict[str, Any], Any], None]
RULES: dict[str, Rule] = {}

# Elementwise, but without torch's tag for it.
_POINTWISE = {
    "_prelu_kernel", "hardswish", "hardswish_", "log_sigmoid_forward", "native_dropout",
    "bernoulli_", "bernoulli", "where", "masked_fill", "masked_fill_", "rrelu_with_noise",
    "nan_to_num", "ones_like", "full_like", "rand_like", "randn_like", "clone", "detach",
    "alias", "_to_copy",
    "lift_fresh", "contiguous", "positive", "fill_", "zero_", "normal_", "uniform_",
}  # fmt: skip
_SPATIAL = re.compile(
    r"^_?(?:adaptive_)?(?:max|avg)_pool(\d)d|^_?upsample_[a-z_]+?(\d)d|"
    r"^(?:reflection|replication)_pad(\d)d|^grid_sampler_(\d)d"
)


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A decorator: the function below is the rule of these operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def apply_rule(
    tracer: Tracer, func: Any, name: str, args: Any, kwargs: dict[str, Any], out: Any
) -> bool:
    """Label the result of an operator; False: there is no rule for it."""
    from mrfcore.pruning import _rules_shapes  # noqa: F401 (its rules join RULES)

    known: Rule | None
    if name in RULES:
        known = RULES[name]
    elif torch.Tag.pointwise in func.tags or name in _POINTWISE:
        known = _pointwise
    elif _SPATIAL.match(name):
        known = _spatial
    else:
        return False
    bound = {argument.name: argument.default_value for argument in func._schema.arguments}
    bound.update(zip(bound, args, strict=False))
    known(tracer, name, {**bound, **kwargs}, out)
    return True


def _pointwise(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    """Elements at one place meet: their channels are tied (addition: the same are kept)."""
    outs = list(tensors_in(out))
    dims = outs[0].ndim
    read = [(tensor, tracer.read(tensor)) for tensor in tensors_in(given)]
    labelled: list[tuple[torch.Tensor, Ids]] = [
        (tensor, label.reshape([1] * (dims - label.ndim) + list(label.shape)))
        for tensor, label in read
        if label is not None and (label != ZERO).any() and label.ndim <= dims
    ]
    varied = {axis for _, label in labelled for axis in _labels.axes_of(label)}
    result: Ids | None = None
    label: Ids | None
    for _, label in labelled:
        if not varied.issubset(_labels.axes_of(label)):
            # One channel for all of another's: a gate, say. It has to stay.
            tracer.channels.lock(label, f"spread over channels by {tracer.where(name)}")
        elif result is None:
            result = label
        else:
            tracer.channels.tie(result, label)
            result = np.maximum(result, label * (result == ZERO))
    zeros: Ids | None = next((label for _, label in read if label is not None), None)
    if result is None and not labelled and zeros is not None and zeros.ndim == dims:
        result = zeros.copy()
    if result is not None:
        for tensor, label in read:
            if label is None:
                _meet_constant(tracer, name, tensor, result)
    for tensor in outs:
        own = tracer.peek(tensor) if any(tensor is other for other, _ in read) else None
        if own is None or result is None:
            tracer.label(tensor, result)
        elif own.flags.writeable and own.shape == result.shape:  # in place, in a view perhaps
            own[own == ZERO] = result[own == ZERO]
        elif (own == ZERO).all():
            tracer.label(tensor, result)


def _meet_constant(tracer: Tracer, name: str, tensor: torch.Tensor, label: Ids) -> None:
    """A parameter of several axes joins along that of the channels; others forbid pruning."""
    for axis in _labels.axes_of(label):
        own = axis - label.ndim + tensor.ndim
        if own < 0 or tensor.shape[own] == 1:
            continue
        held = tracer.weight(tensor)
        if held is None or held[1]:
            reason = f"meets a tensor of fixed size in {tracer.where(name)}"
            tracer.channels.lock(label, reason)
        else:
            slot = _labels.on_axis(tracer.slot(tensor, own), axis, label.ndim)
            tracer.channels.tie(label, slot)


# ---------------------------------------------------------------- layers


@rule("convolution", "_convolution", "convolution_overrideable")
def _convolution(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x, weight, groups = given["input"], given["weight"], int(given["groups"])
    transposed = bool(given["transposed"])
    columns = tracer.columns(x, 1, name)
    held = tracer.weight(weight)
    if held is None or held[1]:
        tracer.lock(weight, f"part of a computed weight in {tracer.where(name)}")
        tracer.channels.lock(columns, f"read with a computed weight by {tracer.where(name)}")
        return
    outputs = out.shape[1]
    follows = groups > 1 and groups == x.shape[1]
    found = tracer.use(
        Found(
            held[0],
            _bias_name(tracer, given["bias"]),
            "deconv" if transposed else "conv",
            1 if transposed else 0,
            0 if transposed else 1,
            groups,
            follows,
            tracer.channels.new(outputs),
            columns,
        )
    )
    if follows:
        tracer.channels.tie(found.outputs.reshape(groups, -1), columns[:, None])
        tracer.channels.lock(found.outputs[np.repeat(columns == ZERO, outputs // groups)], "input")
    elif groups > 1:  # each group must keep as many as the others
        for ids in (found.outputs.reshape(groups, -1), columns.reshape(groups, -1)):
            tracer.channels.tie(ids, ids[:1])
            zero = (ids == ZERO).any(axis=0)
            tracer.channels.lock(ids[:, zero], "in a group with a constant")
    tracer.tie_vector(given["bias"], found.outputs, name)
    tracer.label(out, _labels.on_axis(found.outputs, 1, out.ndim))


def _bias_name(tracer: Tracer, bias: Any) -> str | None:
    held = tracer.weight(bias)
    return None if held is None else held[0]


@rule("addmm", "mm", "linear")
def _linear(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["mat1" if name == "addmm" else "input" if name == "linear" else "self"]
    weight = given["weight" if name == "linear" else "mat2"]
    bias = given["self"] if name == "addmm" else given.get("bias")
    held = tracer.weight(weight)
    if held is None:
        for tensor in (x, weight, bias):
            tracer.lock(tensor, f"multiplied by a computed matrix in {tracer.where(name)}")
        return
    rows_first = held[1] or name == "linear"  # the parameter is [out, in]
    columns = tracer.columns(x, x.ndim - 1, name)
    axes = (0, 1) if rows_first else (1, 0)
    outputs = tracer.channels.new(out.shape[-1])
    bias_name = _bias_name(tracer, bias)
    found = tracer.use(Found(held[0], bias_name, "linear", *axes, 1, False, outputs, columns))
    tracer.tie_vector(bias, found.outputs, name)
    tracer.label(out, _labels.on_axis(found.outputs, out.ndim - 1, out.ndim))


# ---------------------------------------------------------------- normalisation


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
def _batch_norm(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["input"]
    ids = _channel_axis(tracer, x, name)
    if ids is not None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            tracer.tie_vector(given.get(key), ids, name)
    tracer.label(next(tensors_in(out)), tracer.peek(x))


@rule("native_group_norm")
def _group_norm(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    """Whole groups go or stay: then the statistics of the others are what they were."""
    x, groups = given["input"], int(given["group"])
    ids = _channel_axis(tracer, x, name)
    if ids is not None:
        path = tracer.path[-1] if tracer.path else ""
        module = tracer.modules.get(path)
        if groups == 1 or getattr(module, "num_groups", None) != groups:
            tracer.channels.lock(ids, f"normalised together with others by {tracer.where(name)}")
        else:
            rows = ids.reshape(groups, -1)
            tracer.channels.tie(rows, rows[:, :1])
            tracer.norm_groups[path] = (ids, ids.size // groups)
        for key in ("weight", "bias"):
            tracer.tie_vector(given[key], ids, name)
    tracer.label(next(tensors_in(out)), tracer.peek(x))


@rule("native_layer_norm", "_fused_rms_norm")
def _layer_norm(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["input"]
    label = tracer.read(x)
    if label is not None:
        first = x.ndim - len(given["normalized_shape"])
        if any(axis >= first for axis in _labels.axes_of(label)):
            tracer.lock(x, f"normalised together with others by {tracer.where(name)}")
    tracer.label(next(tensors_in(out)), label)


def _channel_axis(tracer: Tracer, x: torch.Tensor, name: str) -> Ids | None:
    """Channels along axis 1; None, and a lock, where they lie along another one."""
    label = tracer.read(x)
    if label is None or not (label != ZERO).any():
        return None
    ids = tracer.columns(x, 1, name)
    return ids if (ids != ZERO).any() else None


# ---------------------------------------------------------------- pooling, resizing


def _spatial(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    """Pooling, resizing, padding and sampling: each channel by itself."""
    match = _SPATIAL.match(name)
    assert match is not None
    dims = int(next(group for group in match.groups() if group is not None))
    x = given.get("self", given.get("input"))
    label = tracer.read(x)
    if "grid" in given:
        tracer.lock(given["grid"], f"places to sample at, in {tracer.where(name)}")
    if label is not None and any(axis >= label.ndim - dims for axis in _labels.axes_of(label)):
        tracer.lock(x, f"pooled over channels by {tracer.where(name)}")
        label = None
    for tensor in tensors_in(out):
        tracer.label(tensor, label)
