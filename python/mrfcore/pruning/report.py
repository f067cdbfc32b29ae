# SPDX-License-Identifier: Apache-2.0
"""What pruning did: layer by layer, parameter by parameter, and in numbers for the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from mrfcore._files import PathLike
from mrfcore.pruning.accounting import LayerCost, Profile
from mrfcore.pruning.graph import Graph, Layer
from mrfcore.pruning.masks import Masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = ["LayerRow", "ParameterRow", "Report"]


@dataclass(frozen=True)
class LayerRow:
    """A layer before and after.

    Attributes:
        name, kind: of the layer.
        neurons, kept: how many it had and has.
        before, after: what it cost and costs, by the rule "thesis".
        note: why it could not be pruned, if so.
    """

    name: str
    kind: str
    neurons: int
    kept: int
    before: LayerCost
    after: LayerCost
    note: str


@dataclass(frozen=True)
class ParameterRow:
    """A parameter before and after.

    Attributes:
        name: in the model.
        before, after: its shapes.
        status: "pruned": smaller now; "kept": could have been; "not prunable".
        reason: why not.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    status: Literal["pruned", "kept", "not prunable"]
    reason: str


@dataclass(frozen=True, eq=False)
class Report:
    """A slim network, and how it came about; see `prune`.

    Attributes:
        model: the slim network.
        graph: of the network before.
        masks: by layer: which neurons stayed.
        scores: by layer, what they were chosen by; None: by chance.
        sparsity: that was asked for or found.
        method: such as "ranp-flops".
        before, after: costs by the rule "thesis".
    """

    model: torch.nn.Module
    graph: Graph
    masks: Masks
    scores: Mapping[str, torch.Tensor] | None
    sparsity: float
    method: str
    before: Profile
    after: Profile

    @property
    def neurons(self) -> tuple[int, int]:
        """How many there were and are."""
        return self.graph.neurons, sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def layers(self) -> list[LayerRow]:
        """Convolutions and linear layers, in the order of the model."""
        before = {row.name: row for row in self.before.layers}
        after = {row.name: row for row in self.after.layers}
        return [
            LayerRow(
                layer.name,
                layer.kind,
                layer.out_channels,
                int(self.masks[layer.name].sum()),
                before.get(layer.name, _free(layer)),
                after.get(layer.name, _free(layer)),
                layer.fixed or "",
            )
            for layer in self.graph.layers
        ]

    @property
    def parameters(self) -> list[ParameterRow]:
        """All parameters of the network, none left out."""
        now = {name: tuple(parameter.shape) for name, parameter in self.model.named_parameters()}
        rows = []
        for name, shape in self.graph.tensors.items():
            reason = _why_kept(self.graph, name)
            status: Literal["pruned", "kept", "not prunable"] = "not prunable" if reason else "kept"
            if now[name] != shape:
                status, reason = "pruned", ""
            rows.append(ParameterRow(name, shape, now[name], status, reason))
        return rows

    def table(self) -> Table:
        """Layers and sums, for `rich.print`."""
        from mrfcore.pruning._report_table import report_table

        return report_table(self)

    def parameter_table(self) -> Table:
        """All parameters, for `rich.print`."""
        from mrfcore.pruning._report_table import parameter_table

        return parameter_table(self)

    def plot(self, path: PathLike | None = None) -> Figure:
        """Importance of neurons and their number in each layer, like Figs. 5.3 and 5.16.

        Args:
            path: where to write it (.png, .pdf, .svg, ...); None writes nothing.
        """
        from mrfcore.pruning.plots import plot_reports

        return plot_reports({self.method: self}, path)

    def __str__(self) -> str:
        neurons, kept = self.neurons
        parts = [f"{self.method}: {kept} of {neurons} neurons kept"]
        for name, was, now in (
            ("parameters", self.before.parameters, self.after.parameters),
            ("operations", self.before.flops, self.after.flops),
            ("memory", self.before.memory, self.after.memory),
        ):
            parts.append(f"{name} {100 * (now / was - 1) if was else math.nan:+.1f} %")
        return ", ".join(parts)


def _free(layer: Layer) -> LayerCost:
    """Of a weight that is no module's, which nothing is counted for."""
    return LayerCost(layer.name, "other", 0, 0, 0, layer.out_channels)


def _why_kept(graph: Graph, name: str) -> str:
    """Why no axis of a parameter can be pruned; "" where one can."""
    channels: list[int] = []
    for layer in graph.layers:
        if layer.weight == name:
            if _prunable(graph, [*layer.neurons.tolist(), *layer.inputs.tolist()]):
                return ""
            return layer.fixed or "input of the network"
    for (tensor, _), ids in graph.slots.items():
        if tensor == name:
            channels += ids.tolist()
    if not channels:
        single = math.prod(graph.tensors[name]) == 1
        return "a single number" if single else "no layer's, and met by no channels"
    if _prunable(graph, channels):
        return ""
    reasons = [graph.reasons[channel] for channel in channels if channel >= 0]
    return next((reason for reason in reasons if reason), "belongs to no layer")


def _prunable(graph: Graph, channels: list[int]) -> bool:
    return any(channel >= 0 and graph.reasons[channel] is None for channel in channels)
