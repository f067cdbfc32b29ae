# SPDX-License-Identifier: Apache-2.0
"""Runs a network once without data, and makes a graph of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from mrfcore._modes import evaluating
from mrfcore._scalars import _choice
from mrfcore.pruning._classes import ZERO, Ids
from mrfcore.pruning._tracer import ChunkWatch, Found, Tracer, Untraceable, tensors_in
from mrfcore.pruning.graph import INPUT, OUTPUT, Graph, Layer, Segment, Spec

__all__ = ["trace"]


def trace(
    model: torch.nn.Module,
    inputs: Any,
    *,
    keep: Sequence[str] = (),
    unknown: str = "error",
) -> Graph:
    """Find the neurons of a network, and which have to be pruned together.

    A neuron is an output channel of a convolution or linear layer. The model runs once on tensors
    without data, below autograd, where a few hundred operators remain of torch's thousands of
    functions; each tensor carries which channel its elements come from. torch.fx stops at the first
    `if` on a size, as in "same" padding; the graph of autograd, which Torch-Pruning follows, lacks
    what is cut or joined outside it, and takes each operator that it does not know for an
    elementwise one. Here such an operator stops the tracer. Layers are known by their parameters:
    one that is called twice, as in a stereo network, is one layer.

    Channels that are added are tied, and so are those of a depthwise convolution and its input, of
    the same place in all groups of a grouped one, of one group of a GroupNorm, and of equal parts
    from `chunk`. Those stay that reach the output, meet a constant of fixed size, are cut by
    fixed sizes, or are mixed with others otherwise than by a layer (a softmax or a sum over
    channels); `Graph.reasons` says why.

    Args:
        model: any module. Its mode and values stay as they are. It runs in eval mode, and again in
            training mode where some layers are used only then.
        inputs: a tensor, or a tuple of all positional arguments, with batch; on the meta device if
            the model is.
        keep: names of modules none of whose neurons may be pruned.
        unknown: "error", or "keep": operations that are not known leave all channels that enter
            them unpruned, and `Graph.unknown` lists them.

    Raises:
        ValueError: an operation that the tracer does not know, or that needs data; the message
            names it and the module. Or `keep` names no layer, or the model has none.
        TypeError: not a module.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    _choice("unknown", unknown, ("error", "keep"))
    watch = ChunkWatch()
    tracer = Tracer(model, watch, unknown)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    _run(model, arguments, tracer, watch, training=False)
    if _unmet(model, tracer):
        # To go on without them would leave layers that read what is pruned.
        _run(model, arguments, tracer, watch, training=True)
    if not tracer.found:
        raise ValueError("model: it has no convolution and no linear layer that is used")
    _keep(tracer, keep)
    return _graph(model, tracer, arguments)


def _run(
    model: torch.nn.Module, arguments: Any, tracer: Tracer, watch: ChunkWatch, training: bool
) -> None:
    hooks = []
    for path, module in tracer.modules.items():
        hooks.append(module.register_forward_pre_hook(_enter(tracer, path)))
        hooks.append(module.register_forward_hook(_leave(tracer)))
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    given = tuple(tree_map_only(torch.Tensor, fake.from_tensor, arguments))
    for tensor in tensors_in(given):
        if tensor.ndim > 1 and (tensor.is_floating_point() or tensor.is_complex()):
            ids = tracer.channels.new(tensor.shape[1])
            tracer.channels.lock(ids, INPUT)
            tracer.label(tensor, ids.reshape([-1 if a == 1 else 1 for a in range(tensor.ndim)]))
    try:
        with evaluating(model, training), torch.no_grad(), fake, watch, tracer:
            out = model(*given)
        for tensor in tensors_in(out):
            label = tracer.read(tensor)
            if label is not None:
                tracer.channels.lock(label, OUTPUT, first=True)
    except Untraceable:
        raise
    except Exception as error:
        text = str(error).strip().split("\n")[0][:300]
        mode = "training" if training else "eval"
        where = tracer.where("its forward")
        raise ValueError(f"model: {where} failed in {mode} mode: {text}") from error
    finally:
        for hook in hooks:
            hook.remove()
        tracer.path.clear()


def _enter(tracer: Tracer, path: str) -> Any:
    def hook(*_: Any) -> None:
        tracer.path.append(path)

    return hook


def _leave(tracer: Tracer) -> Any:
    def hook(*_: Any) -> None:
        if tracer.path:
            tracer.path.pop()

    return hook


def _unmet(model: torch.nn.Module, tracer: Tracer) -> bool:
    """Whether some parameter with several axes was not used."""
    used = {*tracer.found, *(name for name, _ in tracer.slots)}
    return any(
        parameter.ndim > 1 and name not in used for name, parameter in model.named_parameters()
    )


def _keep(tracer: Tracer, keep: Sequence[str]) -> None:
    for name in keep:
        hit = [f for f in tracer.found.values() if f.weight.startswith(f"{name}.")]
        if not hit:
            raise ValueError(f"keep: no layer that is used is in {name!r}")
        for found in hit:
            tracer.channels.lock(found.outputs, "asked to be kept")


# ---------------------------------------------------------------- the graph


def _graph(model: torch.nn.Module, tracer: Tracer, arguments: tuple[Any, ...]) -> Graph:
    order = {name: place for place, (name, _) in enumerate(model.named_parameters())}
    order |= {name: len(order) for name, _ in model.named_buffers()}
    found = sorted(tracer.found.values(), key=lambda one: order[one.weight])
    every = np.concatenate([np.concatenate([one.outputs, one.inputs]) for one in found])
    roots = np.unique(tracer.channels.roots(every))
    roots = roots[roots != ZERO]

    def numbers(ids: Ids) -> Ids:
        own = tracer.channels.roots(ids)
        place = np.minimum(np.searchsorted(roots, own), len(roots) - 1)
        return np.where(roots[place] == own, place, -1)

    layers = [_layer(one, numbers, tracer) for one in found]
    reasons = [tracer.channels.reason(int(root)) for root in roots]
    _lock_orphans(layers, reasons)
    return Graph(
        tuple(layers),
        tuple(reasons),
        {key: numbers(ids) for key, ids in tracer.slots.items()},
        {path: (numbers(ids), size) for path, (ids, size) in tracer.norm_groups.items()},
        tuple(_segments(layers, reasons)),
        {name: tuple(parameter.shape) for name, parameter in model.named_parameters()},
        tree_map_only(torch.Tensor, lambda x: Spec(tuple(x.shape), x.dtype, x.device), arguments),
        dict(tracer.kept_at),
    )


def _layer(found: Found, numbers: Any, tracer: Tracer) -> Layer:
    reasons = [tracer.channels.reason(number) for number in found.outputs.tolist()]
    fixed = None if None in reasons else reasons[0]
    name = found.weight.removesuffix(".weight")
    return Layer(
        name, found.weight, found.bias, found.kind, found.out_axis, found.in_axis, found.groups,
        found.follows, numbers(found.outputs), numbers(found.inputs), fixed,
    )  # fmt: skip


def _lock_orphans(layers: list[Layer], reasons: list[str | None]) -> None:
    """Channels of no layer's own: of a depthwise one on what comes from nowhere."""
    made = {int(c) for layer in layers if not layer.follows for c in layer.neurons}
    for channel, reason in enumerate(reasons):
        if reason is None and channel not in made:
            reasons[channel] = "made by no layer"


def _segments(layers: list[Layer], reasons: list[str | None]) -> list[Segment]:
    places: dict[int, dict[int, list[int]]] = {}
    for number, layer in enumerate(layers):
        if layer.follows:
            continue
        for neuron, channel in enumerate(layer.neurons.tolist()):
            if reasons[channel] is None:
                places.setdefault(channel, {}).setdefault(number, []).append(neuron)
    by_members: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for channel in sorted(places):
        key = tuple((layer, len(own)) for layer, own in sorted(places[channel].items()))
        by_members.setdefault(key, []).append(channel)
    segments = []
    for key, channels in by_members.items():
        members: dict[int, npt.NDArray[np.int64]] = {
            layer: np.array([places[channel][layer] for channel in channels], dtype=np.int64)
            for layer, _ in key
        }
        segments.append(Segment(np.array(channels, dtype=np.int64), members))
    return segments
