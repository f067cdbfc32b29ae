# SPDX-License-Identifier: Apache-2.0
"""The pruned network itself: smaller dense layers, with the outputs of the masked one."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mrfcore._modes import evaluating
from mrfcore._scalars import _choice
from mrfcore.models._registry import RECIPE
from mrfcore.pruning._shapes_only import QuickNorms
from mrfcore.pruning.graph import Graph, Layer
from mrfcore.pruning.initial import initialise
from mrfcore.pruning.masks import Bools, kept_channels, vanished

__all__ = ["BASE", "SLIM", "ChannelSpec", "apply_spec", "copy_with", "slim"]

SLIM = "_mrfcore_channels"  # the attribute of a slim network that has its specification
BASE = "_mrfcore_base"  # and, if mrfcore.models made that one, its recipe
_SIZES = ("num_features", "num_channels", "num_parameters")


@dataclass
class ChannelSpec:
    """How a slim network differs from the one it was made of.

    Attributes:
        shapes: of parameters and buffers that have others now.
        attributes: of modules: numbers of channels and groups.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)


def slim(
    model: torch.nn.Module,
    graph: Graph,
    masks: Mapping[str, torch.Tensor],
    scores: Mapping[str, torch.Tensor] | None = None,
    *,
    weights: str = "copy",
    round_to: int | None = None,
) -> torch.nn.Module:
    """A copy of the network without the pruned neurons: dense, and of the same classes.

    In eval mode it computes what the masked network does, to rounding, where masked means that no
    layer reads a pruned channel (after normalisation, activation and addition: (5.4)); `masked`
    makes that network.

    Args:
        model: what `graph` was traced from.
        graph: of `trace`.
        masks: by layer: bool ``[out_channels]``; made consistent by `clean_masks` first.
        scores: decide which neurons stay where outputs are added.
        weights: "copy", or "glorot" or "orthogonal": drawn anew, as the thesis does.
        round_to: keep a multiple of this many neurons of each layer.

    Returns:
        a new module; `model` stays as it is.

    Raises:
        ValueError: masks that do not fit, a layer that keeps nothing, or a network whose forward
            has numbers of channels written in it; the message names it.
    """
    _choice("weights", weights, ("copy", "glorot", "orthogonal"))
    channels = kept_channels(graph, masks, scores, round_to=round_to)
    clean = {layer.name: torch.from_numpy(channels[layer.neurons]) for layer in graph.layers}
    gone = vanished(graph, clean)
    if gone:
        raise ValueError(f"masks: nothing is left of {', '.join(gone)}")
    keep = _indices(graph, channels)
    tensors = dict(_tensors(model))
    spec = ChannelSpec(attributes=_attributes(model, graph, channels, keep))
    new: dict[str, torch.Tensor] = {}
    for (name, axis), index in keep.items():
        if name not in tensors or tensors[name].ndim <= axis:
            raise ValueError(f"model: it has no {name} such as graph was traced with")
        old = new.get(name, tensors[name])
        if len(index) < old.shape[axis]:
            picked = torch.from_numpy(index).to(old.device)
            new[name] = old.detach().index_select(axis, picked)
            spec.shapes[name] = tuple(new[name].shape)
    result = copy_with(model, {id(tensors[name]): value for name, value in new.items()})
    _rename_recipe(result)
    _set_attributes(result, spec)
    _try_out(result, graph)
    setattr(result, SLIM, _merged(getattr(model, SLIM, None), spec))
    if weights != "copy":
        initialise(result, weights)
    return result


def copy_with(model: torch.nn.Module, new: Mapping[int, torch.Tensor]) -> torch.nn.Module:
    """A deep copy with other tensors in place of some, by their ids, wherever they are."""
    memo: dict[int, Any] = {}
    for _, old in _tensors(model):
        if id(old) in new:
            value = new[id(old)]
            if isinstance(old, torch.nn.Parameter):
                value = torch.nn.Parameter(value, requires_grad=old.requires_grad)
            memo[id(old)] = value
    return copy.deepcopy(model, memo)


def apply_spec(model: torch.nn.Module, spec: ChannelSpec) -> None:
    """Give a network the sizes of a slim one; what is in resized tensors is not defined.

    Raises:
        ValueError: the network has no such tensors or modules.
    """
    for name, shape in spec.shapes.items():
        try:
            old = _get(model, name)
        except AttributeError:
            raise ValueError(f"model: has no {name}, which the slim network has") from None
        if len(old.shape) != len(shape) or any(
            new > n for new, n in zip(shape, old.shape, strict=True)
        ):
            raise ValueError(f"model: {name} is {list(old.shape)}, cannot become {list(shape)}")
        _set(model, name, old.detach().new_zeros(shape))
    _set_attributes(model, spec)
    setattr(model, SLIM, spec)
    _rename_recipe(model)


# ---------------------------------------------------------------- what to cut


def _indices(graph: Graph, channels: Bools) -> dict[tuple[str, int], npt.NDArray[np.int64]]:
    """(Tensor, axis): which entries stay."""
    always = np.append(channels, True)
    keep = {key: np.flatnonzero(always[ids]) for key, ids in graph.slots.items()}
    for layer in graph.layers:
        outs, ins = always[layer.neurons], always[layer.inputs]
        if layer.groups > 1 and layer.kind == "conv":
            ins = np.ones(1, dtype=bool) if layer.follows else _first_group(ins, layer)
        elif layer.groups > 1:
            outs = _first_group(outs, layer, layer.follows)
        keep[layer.weight, layer.out_axis] = np.flatnonzero(outs)
        keep[layer.weight, layer.in_axis] = np.flatnonzero(ins)
    return keep


def _first_group(flags: Bools, layer: Layer, whole: bool = False) -> Bools:
    """Of one group's channels; all groups keep the same."""
    rows = flags.reshape(layer.groups, -1)
    result: Bools = np.ones_like(rows[0]) if whole else rows[0]
    return result


def _attributes(
    model: torch.nn.Module,
    graph: Graph,
    channels: Bools,
    keep: Mapping[tuple[str, int], npt.NDArray[np.int64]],
) -> dict[str, dict[str, int]]:
    """New numbers of channels of modules that have them as attributes."""
    always = np.append(channels, True)
    found: dict[str, dict[str, int]] = {}
    for layer in graph.layers:
        owner = layer.weight.rpartition(".")[0]
        outs, ins = int(always[layer.neurons].sum()), int(always[layer.inputs].sum())
        new = {"out_channels": outs, "in_channels": ins, "out_features": outs, "in_features": ins}
        if layer.follows:
            new["groups"] = ins
        found.setdefault(owner, {}).update(new)
    for name, (ids, size) in graph.norm_groups.items():
        found.setdefault(name, {})["num_groups"] = int(always[ids].sum()) // size
    for (name, _), index in keep.items():
        owner = name.rpartition(".")[0]
        if (owner, name) not in {(o, w.weight) for o in (owner,) for w in graph.layers}:
            found.setdefault(owner, {}).update(dict.fromkeys(_SIZES, len(index)))
    changed: dict[str, dict[str, int]] = {}
    for owner, new in found.items():
        module = model.get_submodule(owner)
        for attribute, value in new.items():
            old = vars(module).get(attribute)
            if isinstance(old, int) and not isinstance(old, bool) and old != value:
                changed.setdefault(owner, {})[attribute] = value
    return changed


def _merged(before: ChannelSpec | None, spec: ChannelSpec) -> ChannelSpec:
    """Of a network that was slim already."""
    if before is None:
        return spec
    attributes = {name: dict(values) for name, values in before.attributes.items()}
    for name, values in spec.attributes.items():
        attributes.setdefault(name, {}).update(values)
    return ChannelSpec({**before.shapes, **spec.shapes}, attributes)


# ---------------------------------------------------------------- parts of a module


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _rename_recipe(model: torch.nn.Module) -> None:
    """`create_model` would not make this one any more."""
    if hasattr(model, RECIPE):
        setattr(model, BASE, getattr(model, RECIPE))
        delattr(model, RECIPE)


def _get(model: torch.nn.Module, name: str) -> torch.Tensor:
    owner, _, attribute = name.rpartition(".")
    tensor: torch.Tensor = getattr(model.get_submodule(owner), attribute)
    return tensor


def _set(model: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    """Replace a parameter or buffer, wherever the model has it."""
    old = _get(model, name)
    new = value
    if isinstance(old, torch.nn.Parameter):
        new = torch.nn.Parameter(value, requires_grad=old.requires_grad)
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for key, tensor in held.items():
                if tensor is old:
                    held[key] = new  # type: ignore[assignment, unused-ignore]


def _set_attributes(model: torch.nn.Module, spec: ChannelSpec) -> None:
    for name, values in spec.attributes.items():
        module: Any = model.get_submodule(name)
        for attribute, value in values.items():
            setattr(module, attribute, value)


def _try_out(model: torch.nn.Module, graph: Graph) -> None:
    """Run it without data: sizes that are written in a forward show here."""
    try:
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        with evaluating(model), torch.no_grad(), fake, QuickNorms():
            model(*graph.make_inputs())
    except Exception as error:
        text = str(error).strip().split("\n")[0][:300]
        raise ValueError(
            f"model: the slim network does not run, perhaps for a number of channels written in "
            f"its forward ({text}); name the layers before it in keep of trace"
        ) from error
