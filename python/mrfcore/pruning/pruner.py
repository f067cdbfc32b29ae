# SPDX-License-Identifier: Apache-2.0
"""One call from a network at initialisation to a slim one (Algorithms 5 and 6)."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from mrfcore._scalars import _checked, _choice
from mrfcore.pruning.accounting import Profile, profile
from mrfcore.pruning.graph import Graph, Spec
from mrfcore.pruning.masks import (
    Masks,
    clean_masks,
    layerwise_masks,
    random_masks,
    top_masks,
)
from mrfcore.pruning.report import Report
from mrfcore.pruning.scores import Loss, Scores, importance, mask_gradients, reweigh, weigh
from mrfcore.pruning.search import (
    Budget,
    Infeasible,
    layer_resources,
    least_sparsity,
    max_sparsity,
    measure_seconds,
)
from mrfcore.pruning.slimming import copy_with, slim
from mrfcore.pruning.snip import snip_masks
from mrfcore.pruning.tracing import trace

__all__ = ["METHODS", "prune"]

METHODS = ("ranp", "weighted", "vanilla", "snip", "layerwise", "random")


def prune(
    model: torch.nn.Module,
    loss: Loss,
    batches: Iterable[tuple[Any, Any]],
    *,
    sparsity: float | str | None = None,
    budget: Budget | None = None,
    method: str = "ranp",
    resource: str | None = "flops",
    lambda_: float | None = None,
    kind: str = "mpmg",
    reduce: str = "sum",
    round_to: int | None = None,
    weights: str = "copy",
    inputs: Any = None,
    keep: Sequence[str] = (),
    seed: int = 0,
) -> Report:
    """Prune a network before it is trained: RANP and what it is compared with.

    >>> report = prune(model, torch.nn.functional.cross_entropy, loader, sparsity=0.78)
    >>> report.table(), report.model

    Args:
        model: any module that `trace` can follow, with the weights that training will begin with;
            it stays as it is.
        loss: ``loss(output, target)``, a scalar.
        batches: (input, target) of each; an input may be a tuple of arguments. A few will do.
        sparsity: the share of all neurons to prune (of parameters, for "snip"); "max": the largest
            that leaves each layer a neuron (Algorithm 6).
        budget: instead of the sparsity: the smallest that meets it is taken.
        method: "ranp": importance, balanced by (5.9) and reweighted by the layers' resources
            (5.10); "weighted": without (5.10); "vanilla": importance alone; "snip"; "layerwise",
            the same share of each layer; "random".
        resource: of "ranp": "flops" (RANP-f), "memory" (RANP-m) or "parameters"; None: "weighted".
        lambda_: of (5.10), >= 0; None: as many as there are layers, so that the mean factor is 2,
            as with the thesis's 11 to 100.
        kind: of importance, "mpmg" or "mnmg".
        reduce: "sum", "mean" or "max"; see `importance`.
        round_to: keep multiples of this many neurons in each layer, more than asked for.
        weights: of the slim network: "copy", or "glorot" or "orthogonal": drawn anew, as the thesis
            does.
        inputs: a tensor or a tuple of such, of the size of training, for which resources are
            counted; only its shape matters. None: the first of the batches.
        keep: names of modules not to prune.
        seed: of "random".

    Returns:
        the slim network and what became of each layer and parameter.

    Raises:
        Infeasible: (a ValueError) a sparsity at which a layer keeps nothing, or a budget that no
            sparsity meets: it says which layer, and the largest feasible sparsity.
        ValueError: an argument outside its range, a network that cannot be traced, a loss that is
            not finite; the message names it. Nothing is changed then.
    """
    _check(sparsity, budget, method, resource, lambda_)
    method = "weighted" if method == "ranp" and resource is None else method
    rest = iter(batches)
    ahead = list(itertools.islice(rest, 1))  # a data set may be too large to hold
    if not ahead:
        raise ValueError("batches: expected at least one")
    first = ahead[0][0]
    graph = trace(model, first, keep=keep)
    light = _Light(model, graph, first if inputs is None else inputs)
    ranked: Scores | None = None
    plain: Scores | None = None
    gradients = None
    if method != "random":
        gradients = mask_gradients(model, graph, loss, itertools.chain(ahead, rest))
        plain = ranked = importance(graph, gradients, kind, reduce)
        if method in ("ranp", "weighted"):
            ranked = weigh(plain)
        if method == "ranp":
            sized = tuple(light.inputs)
            resources = layer_resources(light.model, graph, sized, resource or "flops")
            ranked = reweigh(ranked, resources, len(graph.layers) if lambda_ is None else lambda_)

    def make(share: float) -> Masks:
        if method == "random":
            masks = random_masks(graph, share, seed)
        elif method == "layerwise":
            masks = layerwise_masks(graph, share, ranked)
        elif method == "snip":
            assert gradients is not None
            masks = snip_masks(graph, gradients, share)
        else:
            assert ranked is not None
            masks = top_masks(graph, ranked, share)
        return clean_masks(graph, masks, ranked, round_to=round_to)

    share = _share(sparsity, budget, make, light)
    masks = _feasible(make, share)
    result = slim(model, graph, masks, weights=weights)
    return Report(
        model=result,
        graph=graph,
        masks=masks,
        scores=ranked,
        sparsity=share,
        method=method if method != "ranp" else f"ranp-{resource}",
        before=profile(light.model, light.inputs),
        after=light.costs(masks),
    )


class _Light:
    """The network without data, to count what slim ones cost."""

    def __init__(self, model: torch.nn.Module, graph: Graph, inputs: Any) -> None:
        self._whole = (model, graph)
        tensors = (*model.parameters(), *model.buffers())
        self.model = copy_with(model, {id(t): torch.empty_like(t, device="meta") for t in tensors})

        def meta(spec: Spec) -> Spec:
            return dataclasses.replace(spec, device=torch.device("meta"))

        self.graph = dataclasses.replace(graph, inputs=tree_map_only(Spec, meta, graph.inputs))
        given = list(inputs) if isinstance(inputs, tuple) else [inputs]
        self.inputs = [torch.empty_like(tensor, device="meta") for tensor in given]

    def costs(self, masks: Masks) -> Profile:
        return profile(slim(self.model, self.graph, masks), self.inputs)

    def seconds(self, masks: Masks) -> float:
        model, graph = self._whole
        device = next(model.parameters()).device
        arguments = tuple(torch.zeros_like(tensor, device=device) for tensor in self.inputs)
        return measure_seconds(slim(model, graph, masks), arguments)


def _share(
    sparsity: float | str | None,
    budget: Budget | None,
    make: Callable[[float], Masks],
    light: _Light,
) -> float:
    """The sparsity to take."""
    if isinstance(sparsity, (int, float)):
        return float(sparsity)
    largest = max_sparsity(make)
    if budget is None:
        return largest
    limits = budget
    over: dict[float, list[str]] = {}

    def fits(share: float) -> bool:
        masks = make(share)
        exceeded = limits.exceeded(light.costs(masks))
        if not exceeded and limits.seconds is not None:
            exceeded = limits.exceeded(light.costs(masks), light.seconds(masks))
        over[share] = exceeded
        return not exceeded

    found = least_sparsity(fits, largest, tolerance=1e-3)
    if found is None:
        raise Infeasible(
            f"budget: {', '.join(over[largest])} cannot be met: it is exceeded even at the largest "
            f"feasible sparsity, {_floor(largest)}",
            (),
            largest,
        )
    return found


def _feasible(make: Callable[[float], Masks], share: float) -> Masks:
    masks = make(share)
    gone = tuple(name for name, mask in masks.items() if not mask.any())
    if gone:
        largest = max_sparsity(make)
        raise Infeasible(
            f"sparsity: at {share:g} nothing would be left of {', '.join(gone[:5])}"
            f"{' and others' if len(gone) > 5 else ''}; the largest feasible sparsity is "
            f"{_floor(largest)}",
            gone,
            largest,
        )
    return masks


def _floor(share: float) -> str:
    """Four digits, feasible themselves."""
    return f"{math.floor(share * 1e4) / 1e4:.4f}"


def _check(
    sparsity: float | str | None,
    budget: Budget | None,
    method: str,
    resource: str | None,
    lambda_: float | None,
) -> None:
    _choice("method", method, METHODS)
    _choice("resource", resource, ("flops", "memory", "parameters", None))
    if (sparsity is None) == (budget is None):
        raise ValueError("sparsity, budget: expected one of them, sparsity='max' for the most")
    if isinstance(sparsity, str):
        _choice("sparsity", sparsity, ("max",))
    elif sparsity is not None:
        _checked("sparsity", sparsity, lambda s: 0 <= s < 1, "'max' or a number in [0, 1)")
    if budget is not None and not isinstance(budget, Budget):
        raise TypeError(f"budget: expected a Budget, got {type(budget).__name__}")
    if lambda_ is not None:
        _checked("lambda_", lambda_, lambda v: 0 <= v < math.inf, "None or a number >= 0")
