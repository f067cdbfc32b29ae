# SPDX-License-Identifier: Apache-2.0
"""Runs a model once without data and follows its channels from operator to operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mrfcore.pruning import _labels
from mrfcore.pruning._classes import ZERO, Channels, Ids
from mrfcore.pruning._shapes_only import BATCH_NORMS, quick_norm

__all__ = ["ChunkWatch", "Found", "Tracer", "Untraceable", "tensors_in"]


class Untraceable(ValueError):  # noqa: N818 (a state of the model rather than a fault)
    """The tracer stopped at an operation that it does not know; its text names it."""


@dataclass
class Found:
    """A weight as the tracer saw it used.

    Attributes:
        weight, bias: names in the model; no bias: None.
        kind: "conv", "deconv" or "linear".
        out_axis, in_axis: of the weight; with groups, `in_axis` (`out_axis` where transposed)
            holds a group's channels only.
        groups: of the convolution.
        follows: depthwise: what it puts out goes where its input goes.
        outputs, inputs: numbers of its channels.
    """

    weight: str
    bias: str | None
    kind: str
    out_axis: int
    in_axis: int
    groups: int
    follows: bool
    outputs: Ids
    inputs: Ids


class ChunkWatch(TorchFunctionMode):
    """Knows whether the operator at hand came from `chunk`, whose pieces follow the size."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") != "chunk":
            return func(*args, **(kwargs or {}))
        self.inside = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.inside = False


class Tracer(TorchDispatchMode):
    """Labels every tensor with the channels it holds; see `_labels` for what a label is."""

    def __init__(self, model: torch.nn.Module, watch: ChunkWatch, unknown: str) -> None:
        super().__init__()
        self.channels = Channels()
        self.found: dict[str, Found] = {}
        self.slots: dict[tuple[str, int], Ids] = {}  # (parameter or buffer, axis): its channels
        self.norm_groups: dict[str, tuple[Ids, int]] = {}  # GroupNorm: channels, size of a group
        self.path: list[str] = []  # of modules that are being called
        self.kept_at: dict[str, str] = {}  # unknown operators, and the module that called them
        self._watch = watch
        self._unknown = unknown
        self._held: dict[int, tuple[torch.Tensor, Ids]] = {}
        self._weights: dict[int, tuple[torch.Tensor, str, bool]] = {}  # and whether transposed
        self._pending: dict[int, tuple[Ids, str]] = {}
        self.modules = dict(model.named_modules())
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            self._weights.setdefault(id(tensor), (tensor, name, False))

    # ------------------------------------------------------------ labels

    def peek(self, tensor: Any) -> Ids | None:
        """The label of a tensor that is not read, only looked at or written to."""
        if not isinstance(tensor, torch.Tensor):
            return None
        if id(tensor) in self._held:
            return self._held[id(tensor)][1]
        return self._own_label(tensor)

    def read(self, tensor: Any) -> Ids | None:
        """The label of a tensor whose elements are used."""
        if isinstance(tensor, torch.Tensor) and id(tensor) in self._pending:
            self.channels.lock(*self._pending.pop(id(tensor)))
        return self.peek(tensor)

    def label(self, tensor: Any, label: Ids | None, like: Any = None) -> None:
        """Say what a new tensor holds; `like` is what it is a view of."""
        if not isinstance(tensor, torch.Tensor):
            return
        if label is None:
            self._held.pop(id(tensor), None)
            return
        self._held[id(tensor)] = (tensor, label)
        if isinstance(like, torch.Tensor) and id(like) in self._pending:
            self._pending[id(tensor)] = self._pending[id(like)]

    def lock_when_read(self, tensor: torch.Tensor, ids: Ids, reason: str) -> None:
        """For a part of a tensor: it may be there to be written to."""
        self._pending[id(tensor)] = (ids, reason)

    def lock(self, tensor: Any, reason: str) -> None:
        """Keep all channels that a tensor holds."""
        label = self.read(tensor)
        if label is not None:
            self.channels.lock(label, reason)

    def _own_label(self, tensor: torch.Tensor) -> Ids | None:
        """Of a parameter or buffer that is a vector, such as a bias: a channel for each entry."""
        held = self._weights.get(id(tensor))
        long = [axis for axis, size in enumerate(tensor.shape) if size > 1]
        if held is None or held[2] or len(long) != 1:
            return None
        return _labels.on_axis(self.slot(tensor, long[0]), long[0], tensor.ndim)

    def slot(self, tensor: torch.Tensor, axis: int) -> Ids:
        """The channels along an axis of a parameter or buffer."""
        key = (self._weights[id(tensor)][1], axis)
        if key not in self.slots:
            self.slots[key] = self.channels.new(tensor.shape[axis])
        return self.slots[key]

    def weight(self, tensor: Any) -> tuple[str, bool] | None:
        """The name of a parameter or buffer, and whether this is its transpose."""
        held = self._weights.get(id(tensor))
        return None if held is None else held[1:]

    def transposed(self, out: Any, tensor: Any) -> None:
        """`out` is the transpose of a parameter."""
        _, name, was = self._weights[id(tensor)]
        self._weights[id(out)] = (out, name, not was)

    @property
    def in_chunk(self) -> bool:
        """Whether `torch.chunk` is at work."""
        return self._watch.inside

    def where(self, op: str) -> str:
        """An operator and who called it, in words."""
        module = next((path for path in reversed(self.path) if path), "")
        return f"{op} in {module}" if module else op

    # ------------------------------------------------------------ layers

    def tie_vector(self, tensor: Any, ids: Ids, op: str) -> None:
        """A vector with an entry for each channel: bias, scale, running mean."""
        if not isinstance(tensor, torch.Tensor) or tensor.numel() == 1:
            return
        label = self.read(tensor)
        if label is None or label.size != ids.size:
            self.channels.lock(ids, f"meets a computed vector in {self.where(op)}")
        else:
            self.channels.tie(label.ravel(), ids)

    def columns(self, tensor: Any, axis: int, op: str) -> Ids:
        """Channels that a layer reads along an axis; 0 for those that cannot be pruned anyway."""
        label = self.read(tensor)
        none = np.full(tensor.shape[axis], ZERO, dtype=np.int64)
        if label is None:
            return none
        wrong = [other for other in _labels.axes_of(label) if other != axis]
        short = label.shape[axis] != tensor.shape[axis]
        if wrong or short:
            where = self.where(op)
            self.channels.lock(label, f"spread over other axes than channels before {where}")
            return none
        return np.moveaxis(label, axis, -1).reshape(-1)

    def use(self, found: Found) -> Found:
        """A layer is called with these inputs: the first time, or again."""
        known = self.found.setdefault(found.weight, found)
        if known is not found:
            constant = (known.inputs == ZERO) != (found.inputs == ZERO)
            mixed = np.concatenate([known.inputs[constant], found.inputs[constant]])
            self.channels.lock(mixed, f"shares weights of {found.weight} with a constant")
            self.channels.tie(known.inputs, found.inputs)
            known.inputs = np.maximum(known.inputs, found.inputs)
        return known

    # ------------------------------------------------------------ torch's side

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from mrfcore.pruning._rules import apply_rule

        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        try:
            quick = name in BATCH_NORMS
            out = quick_norm(func, args, kwargs) if quick else func(*args, **kwargs)
        except Exception as error:
            # Operators that read values, or that have no rule for tensors without data.
            text = str(error).strip().split("\n")[0][:200]
            raise Untraceable(f"model: the tracer stopped at {self.where(name)}: {text}") from error
        if not any(True for _ in tensors_in(out)):
            return out  # a size, a device
        if not apply_rule(self, func, name, args, kwargs, out):
            self._not_known(name, (args, kwargs), out)
        return out

    def _not_known(self, name: str, arguments: Any, out: Any) -> None:
        touched = [tensor for tensor in tensors_in(arguments) if self.peek(tensor) is not None]
        if not touched:
            return
        if self._unknown == "error":
            raise Untraceable(
                f"model: the tracer stopped at {self.where(name)}, an operation whose effect on "
                'channels it does not know; unknown="keep" keeps all that such operations touch'
            )
        for tensor in touched:
            self.lock(tensor, f"enters {self.where(name)}, which the tracer does not know")
        for tensor in tensors_in(out):
            self.label(tensor, None)
        self.kept_at.setdefault(name, self.where(name))


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested tuples, lists, dictionaries and plain objects."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from tensors_in(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from tensors_in(value)
    elif hasattr(tree, "__dict__") and not isinstance(tree, (type, torch.nn.Module)):
        yield from tensors_in(vars(tree))
