# SPDX-License-Identifier: Apache-2.0
"""Which channel each element of a tensor comes from, through views, joins and cuts.

A label is an integer array with as many dimensions as its tensor, each either as long as the
tensor's or 1, which means that elements along it come from the same channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrfcore.pruning._classes import ZERO, Ids

__all__ = ["axes_of", "expanded", "joined", "on_axis", "padded", "permuted", "reshaped", "sliced"]

Shape = Sequence[int]


def on_axis(ids: Ids, axis: int, dims: int) -> Ids:
    """A label that varies along one axis."""
    shape = [1] * dims
    shape[axis] = len(ids)
    return ids.reshape(shape)


def axes_of(label: Ids) -> list[int]:
    """Along which axes a label varies."""
    return [axis for axis, size in enumerate(label.shape) if size > 1]


def expanded(label: Ids, shape: Shape, axes: Sequence[int]) -> Ids:
    """The same label, of full length along some axes."""
    wanted = list(label.shape)
    for axis in axes:
        wanted[axis] = shape[axis]
    return np.broadcast_to(label, wanted)


def permuted(label: Ids, order: Sequence[int]) -> Ids:
    """As ``tensor.permute(order)``."""
    return label.transpose([axis % label.ndim for axis in order])


def sliced(label: Ids, axis: int, cut: slice | int) -> Ids:
    """As ``tensor[..., cut, ...]``: a view, so that writing into it writes into the whole."""
    if label.shape[axis] == 1:
        cut = 0 if isinstance(cut, int) else slice(None)
    index: list[slice | int] = [slice(None)] * label.ndim
    index[axis] = cut
    return label[tuple(index)]


def joined(labels: Sequence[Ids], shapes: Sequence[Shape], axis: int) -> Ids:
    """As ``torch.cat(tensors, axis)``."""
    first = labels[0]
    constant = all(label.shape[axis] == 1 for label in labels)
    same = all(label.shape == first.shape and (label == first).all() for label in labels)
    if constant and same:
        return first
    longest = [max(sizes) for sizes in zip(*(label.shape for label in labels), strict=True)]
    parts = []
    for label, shape in zip(labels, shapes, strict=True):
        wanted = list(longest)
        wanted[axis] = shape[axis]
        parts.append(np.broadcast_to(label, wanted))
    return np.concatenate(parts, axis=axis)


def padded(label: Ids, shape: Shape, pads: Sequence[tuple[int, int]]) -> Ids:
    """As padding with zeros, (before, after) for each axis, negative to cut."""
    for axis, (before, after) in enumerate(pads):
        if label.shape[axis] == 1 or (before, after) == (0, 0):
            continue
        size = shape[axis]
        label = sliced(label, axis, slice(max(-before, 0), size - max(-after, 0)))
        widths = [(0, 0)] * label.ndim
        widths[axis] = (max(before, 0), max(after, 0))
        label = np.pad(label, widths, constant_values=ZERO)
    return label


def reshaped(label: Ids, old: Shape, new: Shape) -> Ids:
    """As ``tensor.reshape(new)`` of a tensor of shape ``old``.

    Axes fall into blocks of equal numbers of elements; a block along which the label does not
    vary stays of length 1, so that a batch or a volume is not written out.
    """
    if 0 in old or 0 in new:
        return np.zeros([1] * len(new), dtype=np.int64)
    out_shape: list[int] = []
    for olds, news in _blocks(old, new):
        block = label.shape[olds.start : olds.stop]
        if all(size == 1 for size in block):
            out_shape.extend([1] * (news.stop - news.start))
        else:
            label = expanded(label, old, range(olds.start, olds.stop))
            out_shape.extend(new[news.start : news.stop])
    return label.reshape(out_shape)


def _blocks(old: Shape, new: Shape) -> list[tuple[slice, slice]]:
    """Runs of axes in both shapes that have the same number of elements, as short as possible."""
    blocks, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        left = old[i] if i < len(old) else 1
        right = new[j] if j < len(new) else 1
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while left != right:
            if left < right:
                left, i = left * old[i], i + 1
            else:
                right, j = right * new[j], j + 1
        blocks.append((slice(start_i, i), slice(start_j, j)))
    return blocks
