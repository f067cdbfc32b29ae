# SPDX-License-Identifier: Apache-2.0
"""What operators do to channels: views, joins and cuts, reductions, and what forbids pruning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mrfcore.pruning import _labels
from mrfcore.pruning._classes import ZERO, Ids
from mrfcore.pruning._rules import rule
from mrfcore.pruning._tracer import Tracer, tensors_in

__all__: list[str] = []

# ---------------------------------------------------------------- views


@rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["self"]
    label = tracer.peek(x)
    if label is None:
        return
    result = _labels.reshaped(label, x.shape, out.shape)
    for axis in _labels.axes_of(result):  # an axis split off, along which nothing varies
        if (result == result.take([0], axis)).all():
            result = result.take([0], axis)
    if len(_labels.axes_of(result)) > max(1, len(_labels.axes_of(label))):
        tracer.channels.lock(label, f"split into two axes by {tracer.where(name)}")
    tracer.label(out, result, like=x)


@rule("permute", "transpose", "t", "movedim")
def _permute(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["self"]
    if tracer.weight(x) is not None and x.ndim > 1:
        if x.ndim == 2 and (name == "t" or list(given.get("dims", [1, 0])) in ([1, 0], [-1, -2])):
            tracer.transposed(out, x)
        return
    label = tracer.peek(x)
    if label is None:
        return
    order = list(range(x.ndim))
    if name == "permute":
        order = list(given["dims"])
    elif name == "transpose":
        a, b = given["dim0"] % x.ndim, given["dim1"] % x.ndim
        order[a], order[b] = order[b], order[a]
    elif x.ndim == 2:
        order = [1, 0]
    tracer.label(out, _labels.permuted(label, order), like=x)


@rule("unsqueeze", "squeeze", "expand")
def _unsqueeze(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["self"]
    label = tracer.peek(x)
    if label is None:
        return
    if name == "unsqueeze":
        label = np.expand_dims(label, given["dim"] % out.ndim)
    elif name == "expand":
        label = label.reshape([1] * (out.ndim - label.ndim) + list(label.shape))
    else:
        label = _labels.reshaped(label, x.shape, out.shape)
    tracer.label(out, label, like=x)


@rule("repeat")
def _repeat(tracer: Tracer, _: str, given: dict[str, Any], out: Any) -> None:
    label = tracer.read(given["self"])
    if label is None:
        return
    times = list(given["repeats"])
    label = label.reshape([1] * (out.ndim - label.ndim) + list(label.shape))
    counts = [count if label.shape[axis] > 1 else 1 for axis, count in enumerate(times)]
    tracer.label(out, np.tile(label, counts))


# ---------------------------------------------------------------- joins and cuts


@rule("cat", "stack")
def _cat(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    tensors = [tensor for tensor in given["tensors"] if tensor.numel() or tensor.ndim > 1]
    axis = given["dim"] % out.ndim
    labels = [tracer.read(tensor) for tensor in tensors]
    if all(label is None for label in labels):
        return
    shapes = [list(tensor.shape) for tensor in tensors]
    full: list[Ids] = []
    for label, shape in zip(labels, shapes, strict=True):
        if name == "stack":
            shape.insert(axis, 1)
            label = None if label is None else np.expand_dims(label, axis)
        full.append(np.zeros([1] * out.ndim, dtype=np.int64) if label is None else label)
    varied = {other for label in full for other in _labels.axes_of(label)} - {axis}
    for own, label, shape in zip(labels, full, shapes, strict=True):
        if own is None and any(shape[other] > 1 for other in varied):
            for other_label in full:
                reason = f"joined to a tensor of fixed size by {tracer.where(name)}"
                tracer.channels.lock(other_label, reason)
        elif not varied.issubset(_labels.axes_of(label)) and (label != ZERO).any() and varied:
            tracer.channels.lock(label, f"joined to tensors of other axes by {tracer.where(name)}")
    result = _labels.joined(full, shapes, axis)
    if varied:  # along another axis than the channels': each channel is joined to one
        rows = np.moveaxis(result, axis, 0)
        tracer.channels.tie(rows, rows[:1])
        result = result.max(axis=axis, keepdims=True)
    tracer.label(out, result)


@rule("split", "split_with_sizes", "unbind", "unsafe_split", "slice", "select")
def _cut(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x = given["self"]
    label = tracer.peek(x)
    if label is None:
        return
    axis = given["dim"] % x.ndim
    pieces = [out] if isinstance(out, torch.Tensor) else list(out)
    if name == "slice":
        cut = slice(given["start"], given["end"], given["step"])
        cuts: list[slice | int] = [cut]
    elif name in ("select", "unbind"):
        cuts = list(range(len(pieces))) if name == "unbind" else [int(given["index"])]
    else:
        ends = np.cumsum([piece.shape[axis] for piece in pieces])
        cuts = [slice(int(e) - p.shape[axis], int(e)) for e, p in zip(ends, pieces, strict=True)]
    parts = [_labels.sliced(label, axis, cut) for cut in cuts]
    whole = label.shape[axis] == 1 or (len(parts) == 1 and parts[0].shape == label.shape)
    for piece, part in zip(pieces, parts, strict=True):
        tracer.label(piece, part, like=x)
        if whole or not (label != ZERO).any():
            continue
        if tracer.in_chunk and all(other.shape == part.shape for other in parts):
            tracer.channels.tie(parts[0], part)  # equal parts stay equal
        else:
            reason = f"cut at fixed places by {tracer.where(name)}"
            tracer.lock_when_read(piece, label, reason)


@rule("glu")
def _glu(tracer: Tracer, _: str, given: dict[str, Any], out: Any) -> None:
    x = given["self"]
    label, axis = tracer.read(x), given["dim"] % x.ndim
    if label is None:
        return
    if label.shape[axis] > 1:
        half = x.shape[axis] // 2
        first, second = (
            _labels.sliced(label, axis, cut) for cut in (slice(0, half), slice(half, None))
        )
        tracer.channels.tie(first, second)
        label = first
    tracer.label(out, label)


@rule("constant_pad_nd")
def _pad(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    x, pad = given["self"], list(given["pad"])
    label = tracer.read(x)
    if label is None:
        return
    pads = [(0, 0)] * x.ndim
    for number in range(len(pad) // 2):
        pads[x.ndim - 1 - number] = (pad[2 * number], pad[2 * number + 1])
    if any(pads[axis] != (0, 0) for axis in _labels.axes_of(label)):
        tracer.lock(x, f"padded by a fixed number of channels by {tracer.where(name)}")
    tracer.label(out, _labels.padded(label, x.shape, pads))


@rule("zeros", "zeros_like", "new_zeros", "new_empty", "new_ones", "new_full", "empty", "ones",
      "empty_like", "full", "rand", "randn")  # fmt: skip
def _constant(tracer: Tracer, _: str, __: dict[str, Any], out: Any) -> None:
    """To be filled, perhaps: of full length along axis 1, where channels will be."""
    shape = [size if axis == 1 else 1 for axis, size in enumerate(out.shape)]
    tracer.label(out, np.full(shape, ZERO, dtype=np.int64))


@rule("copy_")
def _copy(tracer: Tracer, name: str, given: dict[str, Any], _: Any) -> None:
    target, source = tracer.peek(given["self"]), tracer.read(given["src"])
    if source is None:
        return
    dims = given["self"].ndim
    source = source.reshape([1] * (dims - source.ndim) + list(source.shape))
    if target is None:
        tracer.channels.lock(source, f"written into a tensor of fixed size by {tracer.where(name)}")
        return
    unlike = [axis for axis in _labels.axes_of(source) if target.shape[axis] == 1]
    if unlike or not target.flags.writeable:
        tracer.channels.lock(source, f"written along another axis by {tracer.where(name)}")
        return
    source = np.broadcast_to(source, target.shape)
    empty = target == ZERO
    tracer.channels.tie(target[~empty], source[~empty])
    target[empty] = source[empty]


# ---------------------------------------------------------------- reductions


@rule("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "var", "std", "var_mean",
      "prod", "logsumexp", "linalg_vector_norm", "median", "any", "all", "norm")  # fmt: skip
def _reduce(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    if isinstance(given.get("other"), torch.Tensor):  # the larger of two tensors
        from mrfcore.pruning._rules import _pointwise

        _pointwise(tracer, name, given, out)
        return
    x = given["self"]
    label = tracer.read(x)
    if label is None:
        return
    dims = given.get("dim")
    if isinstance(dims, int):
        dims = [dims]
    axes = [axis % max(x.ndim, 1) for axis in dims] if dims else list(range(x.ndim))
    if any(label.shape[axis] > 1 for axis in axes):
        tracer.lock(x, f"taken together with others by {tracer.where(name)}")
        label = label.max(axis=tuple(axes), keepdims=True)
    for tensor in tensors_in(out):
        kept = tensor.ndim == x.ndim
        shape = [n for axis, n in enumerate(label.shape) if kept or axis not in axes]
        tracer.label(tensor, label.reshape(shape))


@rule(
    "_softmax", "_log_softmax", "cumsum", "cumprod", "sort", "topk", "flip", "roll", "logcumsumexp"
)
def _along(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    """Operators along an axis: where it is that of the channels they all stay."""
    x = given["self"]
    label = tracer.read(x)
    if label is None:
        return
    dims: Any = given.get("dim", given.get("dims"))
    axes = [axis % x.ndim for axis in ([dims] if isinstance(dims, int) else dims)]
    if any(label.shape[axis] > 1 for axis in axes):
        tracer.lock(x, f"taken together with others by {tracer.where(name)}")
    for tensor in tensors_in(out):
        tracer.label(tensor, label if tensor.shape == x.shape else None)


@rule("bmm", "baddbmm", "dot", "mv", "index", "index_select", "gather", "scatter", "embedding",
      "scatter_add", "index_put", "index_put_", "pixel_shuffle", "pixel_unshuffle", "im2col",
      "col2im", "unfold", "as_strided", "channel_shuffle",
      "_scaled_dot_product_flash_attention_for_cpu",
      "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
      "_scaled_dot_product_attention_math", "masked_scatter", "diagonal", "_cdist_forward",
      "scaled_dot_product_attention")  # fmt: skip
def _mixed(tracer: Tracer, name: str, given: dict[str, Any], out: Any) -> None:
    """Channels are mixed or picked in ways that pruning would change: all stay."""
    for tensor in tensors_in(given):
        tracer.lock(tensor, f"mixed with others by {tracer.where(name)}")
    for tensor in tensors_in(out):
        tracer.label(tensor, None)
