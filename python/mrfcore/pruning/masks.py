# SPDX-License-Identifier: Apache-2.0
"""Which neurons stay: masks by rank, by chance and by layer, and what follows for other layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from mrfcore._scalars import _checked, _choice, _integer
from mrfcore.pruning.graph import Graph, Layer, Segment

__all__ = [
    "Masks",
    "clean_masks",
    "full_masks",
    "kept_channels",
    "layerwise_masks",
    "random_masks",
    "top_masks",
    "vanished",
]

Masks = dict[str, torch.Tensor]
Scores = Mapping[str, torch.Tensor]
Bools = npt.NDArray[np.bool_]


def full_masks(graph: Graph) -> Masks:
    """Everything stays."""
    return {layer.name: torch.ones(layer.out_channels, dtype=torch.bool) for layer in graph.layers}


def top_masks(graph: Graph, scores: Scores, sparsity: float, *, ties: str = "exact") -> Masks:
    """Keep the best neurons of the whole network (5.11), and all of the last layer.

    Args:
        graph: of `trace`.
        scores: by layer: ``[out_channels]``, larger is more important; see `importance`.
        sparsity: the share of all N neurons to prune: int(N * (1 - sparsity)) are kept, those of
            layers that cannot be pruned among them, which stay in any case.
        ties: "exact": of equal scores the earlier layer and channel stays; "keep": all scores not
            below the last one stay.

    Returns:
        by layer: bool ``[out_channels]``, True: stays. `clean_masks` makes them consistent.

    Raises:
        ValueError: a sparsity outside 0 .. 1, or scores of other lengths.
    """
    _check_sparsity(sparsity)
    _choice("ties", ties, ("exact", "keep"))
    flat = graph.join(_check_scores(graph, scores)).double()
    count = int(len(flat) * (1 - sparsity))
    kept = torch.zeros(len(flat), dtype=torch.bool)
    if count:
        order = torch.argsort(flat, descending=True, stable=True)
        kept[order[:count]] = True
        if ties == "keep":
            kept |= flat >= flat[order[count - 1]]
    return _with_fixed(graph, {name: part.clone() for name, part in graph.split(kept).items()})


def random_masks(graph: Graph, sparsity: float, seed: int = 0) -> Masks:
    """Prune int(N * sparsity) neurons by chance; all of the last layer stay.

    Drawn by NumPy's legacy generator, ``RandomState(seed).choice(N, n, replace=False)``, as in the
    random rows of Table 5.2.

    Raises:
        ValueError: a sparsity outside 0 .. 1.
    """
    _check_sparsity(sparsity)
    total = graph.neurons
    generator = np.random.RandomState(_integer("seed", seed))
    pruned = generator.choice(np.arange(total), int(total * sparsity), replace=False)
    kept = torch.ones(total, dtype=torch.bool)
    kept[torch.from_numpy(pruned)] = False
    return _with_fixed(graph, {name: part.clone() for name, part in graph.split(kept).items()})


def layerwise_masks(graph: Graph, sparsity: float, scores: Scores | None = None) -> Masks:
    """Keep ceil(N_l (1 - sparsity)) neurons of each layer l, and all of the last one.

    Args:
        graph: of `trace`.
        sparsity: pruned share of each layer.
        scores: the best stay, of equal ones the first; None: the first ones.

    Raises:
        ValueError: a sparsity outside 0 .. 1, or scores of other lengths.
    """
    _check_sparsity(sparsity)
    checked = None if scores is None else _check_scores(graph, scores)
    masks = {}
    for layer in graph.layers:
        total = layer.out_channels
        # 250 * (1 - 0.8) is 50.000000000000004 here, which is not meant to be 51.
        count = math.ceil(round(total * (1 - sparsity), 9))
        order = torch.arange(total)
        if checked is not None:
            order = torch.argsort(checked[layer.name], descending=True, stable=True)
        masks[layer.name] = torch.zeros(total, dtype=torch.bool)
        masks[layer.name][order[:count]] = True
    return _with_fixed(graph, masks)


def clean_masks(
    graph: Graph,
    masks: Mapping[str, torch.Tensor],
    scores: Scores | None = None,
    *,
    round_to: int | None = None,
) -> Masks:
    """Masks that a network can have: equal for layers that are added, depthwise as their input.

    Layers whose outputs are added all keep as many as the one that keeps most; which, is decided by
    the sum of their scores. Without scores: those that more of the layers keep, then the first.
    A depthwise layer's own mask does not count. Layers that cannot be pruned are whole.

    Args:
        graph: of `trace`.
        masks: by layer: bool ``[out_channels]``.
        scores: by layer, larger is more important.
        round_to: keep a multiple of this many neurons, more than the masks say, where there are.

    Raises:
        ValueError: masks or scores that do not fit the layers, or round_to below 1.
    """
    channels = kept_channels(graph, masks, scores, round_to=round_to)
    return {layer.name: torch.from_numpy(channels[layer.neurons]) for layer in graph.layers}


def kept_channels(
    graph: Graph,
    masks: Mapping[str, torch.Tensor],
    scores: Scores | None = None,
    *,
    round_to: int | None = None,
) -> Bools:
    """For each channel of the graph whether it stays; see `clean_masks`."""
    flat = [_check_mask(layer, masks) for layer in graph.layers]
    values = None
    if scores is not None:
        checked = _check_scores(graph, scores)
        values = [checked[layer.name].double().cpu().numpy() for layer in graph.layers]
    if round_to is not None and _integer("round_to", round_to) < 1:
        raise ValueError(f"round_to: expected None or a number >= 1, got {round_to}")
    kept: Bools = np.ones(len(graph.reasons), dtype=np.bool_)
    for segment in graph.segments:
        kept[segment.channels] = _kept_of(segment, flat, values, round_to or 1)
    return kept


def vanished(graph: Graph, masks: Mapping[str, torch.Tensor]) -> list[str]:
    """Layers that keep nothing: with any the network cannot be made."""
    return [layer.name for layer in graph.layers if not masks[layer.name].any()]


def _kept_of(
    segment: Segment,
    masks: list[Bools],
    values: list[npt.NDArray[np.float64]] | None,
    round_to: int,
) -> Bools:
    total = len(segment.channels)
    votes = np.zeros(total)
    worth = np.zeros(total)
    most = 0
    for number, neurons in segment.members.items():
        own = masks[number][neurons]
        votes += own.sum(axis=1)
        most = max(most, math.ceil(own.sum() / neurons.shape[1]))
        if values is not None:
            worth += values[number][neurons].sum(axis=1)
    count = min(total, math.ceil(most / round_to) * round_to)
    alone = len(segment.members) == 1  # nobody to agree with: the mask's own come first
    keys = (-worth, -votes) if alone or values is None else (-votes, -worth)
    order = np.lexsort((np.arange(total), *keys))
    kept: Bools = np.zeros(total, dtype=np.bool_)
    kept[order[:count]] = True
    return kept


def _with_fixed(graph: Graph, masks: Masks) -> Masks:
    """Layers that cannot be pruned stay whole."""
    for layer in graph.layers:
        if layer.fixed is not None:
            masks[layer.name] = torch.ones(layer.out_channels, dtype=torch.bool)
    return masks


def _check_sparsity(sparsity: float) -> float:
    return _checked("sparsity", sparsity, lambda s: 0 <= s <= 1, "a number from 0 to 1")


def _check_mask(layer: Layer, masks: Mapping[str, torch.Tensor]) -> Bools:
    mask = masks.get(layer.name)
    if mask is None:
        raise ValueError(f"masks: none for layer {layer.name}")
    if mask.dtype != torch.bool or tuple(mask.shape) != (layer.out_channels,):
        raise ValueError(
            f"masks: expected bool [{layer.out_channels}] for layer {layer.name}, got "
            f"{mask.dtype} {list(mask.shape)}"
        )
    result: Bools = mask.cpu().numpy()
    return result


def _check_scores(graph: Graph, scores: Scores) -> Scores:
    for layer in graph.layers:
        own = scores.get(layer.name)
        if own is None or tuple(own.shape) != (layer.out_channels,):
            got = "none" if own is None else str(list(own.shape))
            raise ValueError(
                f"scores: expected [{layer.out_channels}] for layer {layer.name}, got {got}"
            )
        if not torch.isfinite(own).all():
            raise ValueError(f"scores: layer {layer.name} has one that is not finite")
    return scores
