# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters, operations and memory, layer by layer, without running it.

>>> from mrfcore import models
>>> from mrfcore.pruning.accounting import profile
>>> found = profile(models.create_model("unet3d-15"), (1, 64, 64, 64))
>>> found.parameters_mb, found.gflops, found.memory_mb
"""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.pruning")

from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from typing import Literal, TypeAlias  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import (  # noqa: E402
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from mrfcore._modes import evaluating  # noqa: E402
from mrfcore._scalars import _choice  # noqa: E402
from mrfcore.models._registry import Shape  # noqa: E402
from mrfcore.pruning._accounting_exact import exact_costs  # noqa: E402
from mrfcore.pruning._accounting_inputs import make_inputs  # noqa: E402
from mrfcore.pruning._accounting_measure import Measurement, measure  # noqa: E402
from mrfcore.pruning._accounting_parts import Cost, Kind, kind_of, parts_of  # noqa: E402
from mrfcore.pruning._accounting_thesis import thesis_costs  # noqa: E402

__all__ = ["Inputs", "LayerCost", "Measurement", "Profile", "Rule", "measure", "profile"]

Rule = Literal["thesis", "exact"]
Inputs: TypeAlias = torch.Tensor | Sequence[torch.Tensor] | Shape | Sequence[Shape]

_BYTES = 4  # of a number, in every figure in MB
_MB = 2**20


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs; a layer that is called several times, what all calls cost.

    Attributes:
        name: in the model; "" for what the model computes outside of all its parts.
        kind: "conv", "deconv", "linear", "norm", "activation", "pool" or "other".
        params: numbers in its parameters. One that several layers share counts in the first.
        flops: operations, by the rule of the profile.
        memory_elements: numbers that its outputs take, by the rule of the profile.
        out_channels: of a convolution, linear or normalising layer; None: of others.
    """

    name: str
    kind: Kind
    params: int
    flops: int
    memory_elements: int
    out_channels: int | None


@dataclass(frozen=True)
class Profile:
    """What a network costs: see `profile`.

    Attributes:
        rule: by which it was counted.
        layers: those with a cost, in the order of the model's parts.
        parameters, flops, memory: sums over layers; memory is a count of numbers of 4 bytes.
        uncounted: names of layers that are in `parameters` and not in `flops`, though they have
            weights: those that are not called, and those whose operations the rule does not know,
            such as recurrent ones.
    """

    rule: Rule
    layers: tuple[LayerCost, ...]
    parameters: int
    flops: int
    memory: int
    uncounted: tuple[str, ...] = ()

    @property
    def parameters_mb(self) -> float:
        """Megabytes of 2^20 bytes, 4 bytes a parameter."""
        return self.parameters * _BYTES / _MB

    @property
    def gflops(self) -> float:
        """Operations in units of 10^9."""
        return self.flops / 1e9

    @property
    def memory_mb(self) -> float:
        """Megabytes of 2^20 bytes."""
        return self.memory * _BYTES / _MB


def profile(model: nn.Module, inputs: Inputs, rule: Rule = "thesis", *, batch: int = 1) -> Profile:
    """Parameters, operations and memory of one forward pass in eval mode.

    Nothing is computed: tensors have shapes only, the model may be on the meta device, and stays as
    it is. (A model in which values decide how it goes on is run.) Two rules:

    - ``"thesis"``: what the printed tables of RANP count (thesis, chapter 5), which is not quite
      (5.12). Operations of a convolution are its multiply-adds, and one more per output where it
      has a bias; those of a transposed one are taken of its *outputs*, too many by the product of
      its strides; a linear layer has (2 in - 1 + bias) out; batch normalisation and its like 4 per
      number; average pooling its window and one; softmax 3 C - 1 per item. Memory is the outputs of
      all modules without parts (convolutions, normalisation, activations also where they
      overwrite, pooling, ...) at each call. What the model calls as a function (``F.relu``, ``+``,
      ``torch.cat``) counts nowhere.
    - ``"exact"``: operations are (5.12a): all multiplications and additions of convolutions,
      linear layers and products of matrices, 2 f_in k^d - 1 + bias per output, transposed ones by
      their inputs; padded zeros are multiplied like other numbers. Normalisation, activations and
      pooling are not counted. Memory is what autograd keeps for the backward pass: every tensor
      once, whatever computed it, and not those that nothing needs again.
      Layers without gradients keep nothing.

    Args:
        model: any module whose forward takes tensors.
        inputs: a tensor or several, of which only shapes and dtypes matter; or the shape (C, H, W),
            (C, D, H, W) or whatever it takes, without the batch, for several inputs a tuple of such
            (``models.model_entry(name).input_shapes``), all of zeros.
        rule: "thesis" or "exact".
        batch: of inputs that are given as shapes, >= 1.

    Raises:
        TypeError: not a module.
        ValueError: another rule, no sizes, a model on the meta device in which values decide how it
            goes on; or what the model says about such inputs.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    _choice("rule", rule, ("thesis", "exact"))
    count = thesis_costs if rule == "thesis" else exact_costs
    with evaluating(model):
        try:
            with FakeTensorMode(allow_non_fake_inputs=True):
                given = [torch.empty_like(tensor) for tensor in make_inputs(model, inputs, batch)]
                costs, unknown = count(model, given)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            if any(parameter.is_meta for parameter in model.parameters()):
                raise ValueError(
                    f"model: goes on as values decide ({error}), and has none on the meta device"
                ) from None
            costs, unknown = count(model, make_inputs(model, inputs, batch))
    return _profile(model, rule, costs, unknown)


def _profile(
    model: nn.Module, rule: Rule, costs: dict[str, Cost], unknown: Sequence[str]
) -> Profile:
    layers, known = [], set[int]()
    for name, module in parts_of(model):
        params = 0
        for parameter in module.own_parameters:
            if id(parameter) not in known:
                known.add(id(parameter))
                params += parameter.numel()
        cost = costs.get(name, Cost())
        if params or cost.flops or cost.memory:
            layer = module.module
            layers.append(
                LayerCost(
                    name, kind_of(layer), params, cost.flops, cost.memory, _out_channels(layer)
                )
            )
    return Profile(
        rule,
        tuple(layers),
        sum(layer.params for layer in layers),
        sum(layer.flops for layer in layers),
        sum(layer.memory_elements for layer in layers),
        tuple(unknown),
    )


def _out_channels(layer: nn.Module) -> int | None:
    for attribute in ("out_channels", "out_features", "num_features", "num_channels"):
        count = getattr(layer, attribute, None)
        if isinstance(count, int):
            return count
    return None
