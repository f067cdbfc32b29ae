# SPDX-License-Identifier: Apache-2.0
"""Operations by (5.12a) of all products of matrices, and what autograd keeps, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mrfcore.pruning._accounting_parts import Cost, Part, parts_of

__all__ = ["exact_costs"]

_aten = torch.ops.aten
_WITH_BIAS = (_aten.addmm, _aten.baddbmm, _aten.addmv, _aten.addbmm)
_BYTES = 4


def exact_costs(
    model: nn.Module, inputs: Sequence[torch.Tensor]
) -> tuple[dict[str, Cost], list[str]]:
    """By name of the layer, or of the module that calls functions; and layers without a count.

    Args:
        model: in eval mode.
        inputs: that fit it, and have no data.
    """
    recorder = _Recorder()
    handles = []
    parts = dict(parts_of(model))
    try:
        for name, part in parts.items():
            handles.append(part.module.register_forward_pre_hook(recorder.entering(name)))
            handles.append(part.module.register_forward_hook(recorder.leaving))
        keep = torch.autograd.graph.saved_tensors_hooks(recorder.keep, lambda kept: kept)
        with torch.enable_grad(), keep, recorder:
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    costs = recorder.costs()
    return costs, [name for name, part in parts.items() if _is_missed(name, part, costs)]


class _Recorder(TorchDispatchMode):
    """Sees every operation below autograd, and every tensor that autograd keeps."""

    def __init__(self) -> None:
        super().__init__()
        self._within = [""]
        self._flops: dict[str, int] = {}
        # Storages live as long as they are here, so that none gets another's address.
        self._owners: dict[int, tuple[str, torch.UntypedStorage]] = {}
        self._kept: set[int] = set()

    def entering(self, name: str) -> Any:
        def enter(*_: Any) -> None:
            self._within.append(name)

        return enter

    def leaving(self, *_: Any) -> None:
        self._within.pop()

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        self._kept.add(_address(tensor))
        return tensor

    def costs(self) -> dict[str, Cost]:
        found: dict[str, Cost] = {}
        for name, flops in self._flops.items():
            found.setdefault(name, Cost()).flops = flops
        for address in self._kept:
            if address in self._owners:  # parameters, buffers and inputs are nobody's
                name, storage = self._owners[address]
                found.setdefault(name, Cost()).memory += -(-storage.nbytes() // _BYTES)
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        name = self._within[-1]
        known = {_address(x) for x in tree_leaves((args, given)) if isinstance(x, torch.Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and _address(tensor) not in known:
                self._owners.setdefault(_address(tensor), (name, tensor.untyped_storage()))
        count = flop_registry.get(getattr(func, "_overloadpacket", None))
        if count is not None:
            twice = int(count(*args, **given, out_val=out))  # multiplications and additions alike
            self._flops[name] = self._flops.get(name, 0) + twice - _spared(func, args, out)
        return out


def _is_missed(name: str, part: Part, costs: dict[str, Cost]) -> bool:
    """It has matrices, and nothing was counted in it or in what it is part of.

    Attention multiplies by the matrices of its parts without calling these.
    """
    if all(parameter.dim() < 2 for parameter in part.own_parameters):
        return False
    steps = name.split(".")
    around = (".".join(steps[:length]) for length in range(1, len(steps) + 1))
    return not any(costs.get(one, Cost()).flops for one in (around if name else [""]))


def _spared(func: Any, args: Any, out: Any) -> int:
    """The first product of a sum is not added to anything, unless to a bias."""
    packet = func._overloadpacket
    if not isinstance(out, torch.Tensor) or packet in _WITH_BIAS:
        return 0
    biased = packet is _aten.convolution and args[2] is not None
    return 0 if biased else out.numel()


def _address(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
