# SPDX-License-Identifier: Apache-2.0
"""How important each neuron is, from gradients at initialisation (Algorithm 5)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mrfcore._modes import evaluating
from mrfcore._scalars import _checked, _choice
from mrfcore.pruning._folds import per_input, per_neuron
from mrfcore.pruning.graph import OUTPUT, Graph

__all__ = ["KINDS", "MaskGradients", "importance", "mask_gradients", "reweigh", "weigh"]

Scores = dict[str, torch.Tensor]
Loss = Callable[[Any, Any], torch.Tensor]
KINDS = ("mpmg", "mnmg")
REDUCE = ("sum", "mean", "max")


@dataclass(frozen=True, eq=False)
class MaskGradients:
    """Gradients of the loss with respect to masks on parameters, (5.2): dL/dw times w.

    Attributes:
        signed: by parameter, the mean over batches.
        absolute: the mean of magnitudes over batches.
        batches: how many there were.
        loss: its mean.
    """

    signed: Mapping[str, torch.Tensor]
    absolute: Mapping[str, torch.Tensor]
    batches: int
    loss: float


def mask_gradients(
    model: torch.nn.Module, graph: Graph, loss: Loss, batches: Iterable[tuple[Any, Any]]
) -> MaskGradients:
    """Lines 1 to 6 of Algorithm 5, for masks on all weights and biases of the graph's layers.

    The network runs in training mode, so that normalisation uses each batch's statistics; its
    running statistics, gradients and modes are as before at the end. What is scored later, for
    whichever importance and sparsity, needs no more gradients.

    Args:
        model: what the graph was traced from.
        graph: of `trace`.
        loss: ``loss(output, target)`` gives a scalar, a mean over the batch's items.
        batches: (input, target) of each; an input may be a tuple of arguments. The thesis takes the
            whole training set with one item a batch.

    Raises:
        ValueError: no batches, or a loss that is not a finite scalar.
    """
    weights = {layer.weight for layer in graph.layers}
    biases = {layer.bias for layer in graph.layers if layer.bias is not None}
    parameters = {n: p for n, p in model.named_parameters() if n in weights | biases}
    signed = {name: torch.zeros_like(p) for name, p in parameters.items()}
    absolute = {name: torch.zeros_like(p) for name, p in parameters.items()}
    count, total = 0, 0.0
    with evaluating(model, training=True), _as_before(model, list(parameters.values())):
        for inputs, target in batches:
            arguments = inputs if isinstance(inputs, tuple) else (inputs,)
            with torch.enable_grad():
                value = loss(model(*arguments), target)
                _check_loss(value, count)
                grads = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
            for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
                if grad is not None:
                    mask = grad.detach() * parameter.detach()
                    signed[name] += mask
                    absolute[name] += mask.abs()
            count, total = count + 1, total + float(value.detach())
    if not count:
        raise ValueError("batches: expected at least one")
    for sums in (signed, absolute):
        for tensor in sums.values():
            tensor /= count
    return MaskGradients(signed, absolute, count, total / count)


def importance(
    graph: Graph,
    gradients: MaskGradients,
    kind: str = "mpmg",
    reduce: str = "sum",
    *,
    mnmg: str = "post_activation",
) -> Scores:
    """Neuron importance, (5.6) and (5.7).

    Args:
        graph: of `trace`.
        gradients: of `mask_gradients`.
        kind: "mpmg", magnitudes of parameter mask gradients, or "mnmg", the magnitude of the
            neuron's mask gradient.
        reduce: "sum", "mean" or "max" over what belongs to a neuron: the parameters that make it
            or, for MNMG on the post-activation, the weights that read it. "max" of MNMG is the
            magnitude of the largest signed value.
        mnmg: "post_activation": the mask is on what other layers read, after normalisation and
            activation (5.4). Scaling a channel is scaling the weights that read it, so this is
            the sum of their signed gradients. Layers whose outputs are added share theirs; a layer
            that nothing reads takes its own parameters. "param_sum": the sum over the neuron's
            own parameters, (5.8), which holds without normalisation only: right behind a layer
            without bias, batch normalisation makes it zero, and what is left is rounding.

    Returns:
        by layer: float64 ``[out_channels]``, on the CPU, >= 0.

    Raises:
        ValueError: another kind, reduce or mnmg, or a layer whose gradients are not finite.
    """
    _choice("kind", kind, KINDS)
    _choice("reduce", reduce, REDUCE)
    _choice("mnmg", mnmg, ("post_activation", "param_sum"))
    source = gradients.absolute if kind == "mpmg" else gradients.signed
    scores = {
        layer.name: _reduced(per_neuron(layer, source).double().cpu(), reduce)
        for layer in graph.layers
    }
    if kind == "mnmg" and mnmg == "post_activation":
        read = _read_masks(graph, source, reduce)
        for layer in graph.layers:
            neurons = torch.from_numpy(layer.neurons)
            own = read[neurons]
            if not (layer.fixed == OUTPUT and own.isnan().all()):
                scores[layer.name] = torch.where(own.isnan(), 0.0, own)
    for layer in graph.layers:
        scores[layer.name] = scores[layer.name].abs()
        if not torch.isfinite(scores[layer.name]).all():
            raise ValueError(f"gradients: those of layer {layer.name} are not finite")
    return scores


def weigh(scores: Mapping[str, torch.Tensor]) -> Scores:
    """Give all layers the mean of the layer that has the largest, (5.9).

    Raises:
        ValueError: a layer whose scores are all 0: nothing that it does reaches the loss.
    """
    means = {name: float(own.mean()) for name, own in scores.items()}
    dead = [name for name, mean in means.items() if mean <= 0]
    if dead:
        raise ValueError(
            f"scores: all of layer {dead[0]} are 0, its gradients vanish; keep it (keep of trace) "
            "or initialise the network otherwise"
        )
    most = max(means.values())
    return {name: own * (most / means[name]) for name, own in scores.items()}


def reweigh(
    scores: Mapping[str, torch.Tensor], resources: Mapping[str, float], lambda_: float
) -> Scores:
    """Raise the scores of layers that cost little, (5.10).

    Resources are divided by the largest before the softmax: raw ones, of up to 10^10 operations,
    would give all weight to the cheapest layer.

    Args:
        scores: by layer.
        resources: by layer, >= 0; see `layer_resources`.
        lambda_: >= 0; 0 changes nothing. The thesis takes 11 to 100, such that the mean factor
            1 + lambda / K over K layers is about 2.

    Raises:
        ValueError: a negative lambda_ or resource, or a layer without one.
    """
    _checked("lambda_", lambda_, lambda v: 0 <= v < float("inf"), "a number >= 0")
    factors = softmax_weights({name: resources[name] for name in scores if name in resources})
    for name in scores:
        if name not in factors:
            raise ValueError(f"resources: none for layer {name}")
    return {name: own * (1 + lambda_ * factors[name]) for name, own in scores.items()}


def softmax_weights(resources: Mapping[str, float]) -> dict[str, float]:
    """softmax(-tau / max tau) of (5.10): sums to 1, larger for layers that cost less."""
    if any(not 0 <= value < float("inf") for value in resources.values()):
        raise ValueError(f"resources: expected numbers >= 0, got {dict(resources)}")
    most = max(resources.values(), default=0.0) or 1.0
    tau = torch.tensor([value / most for value in resources.values()], dtype=torch.float64)
    return dict(zip(resources, torch.softmax(-tau, 0).tolist(), strict=True))


# ---------------------------------------------------------------- parts


def _reduced(values: torch.Tensor, reduce: str) -> torch.Tensor:
    if reduce == "max":
        return values.amax(1)
    return values.sum(1) if reduce == "sum" else values.mean(1)


def _read_masks(graph: Graph, signed: Mapping[str, torch.Tensor], reduce: str) -> torch.Tensor:
    """For each channel the gradient of a mask on what is read of it; NaN: nothing reads it."""
    channels = len(graph.reasons)
    sums, counts = torch.zeros(channels + 1).double(), torch.zeros(channels + 1).double()
    most = torch.full((channels + 1,), -torch.inf, dtype=torch.float64)
    for layer in graph.layers:
        values = per_input(layer, signed[layer.weight]).double().cpu()
        inputs = torch.from_numpy(layer.inputs)  # -1: the last entry, of no channel
        inputs = torch.where(inputs < 0, channels, inputs)
        sums.index_add_(0, inputs, values.sum(1))
        counts.index_add_(0, inputs, torch.full((len(values),), values.shape[1]).double())
        most.scatter_reduce_(0, inputs, values.amax(1), "amax")
    found = {"sum": sums, "mean": sums / counts, "max": most}[reduce]
    return torch.where(counts > 0, found, torch.nan)[:channels]


def _check_loss(value: Any, batch: int) -> None:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(f"loss: expected a scalar tensor for batch {batch}, got {got}")
    if not torch.isfinite(value.detach()).all():
        raise ValueError(f"loss: is {float(value.detach())} for batch {batch}")
    if not value.requires_grad:
        raise ValueError("loss: does not depend on the network's parameters")


@contextlib.contextmanager
def _as_before(model: torch.nn.Module, parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    """All parameters with gradients inside; buffers and flags as they were after."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    flags = [(parameter, parameter.requires_grad) for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
