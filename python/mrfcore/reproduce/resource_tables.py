# SPDX-License-Identifier: Apache-2.0
"""Tables 5.2 to 5.4, 5.6 and 5.7: what networks cost, whole and pruned without data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from mrfcore._torch import require_torch

from .job import Job, OnIteration
from .ledger import Cell, judge_decimals

if TYPE_CHECKING:
    from torch import nn

    from mrfcore.models import ModelEntry
    from mrfcore.pruning import Graph
    from mrfcore.pruning.accounting import Profile

__all__ = ["INTRODUCTION", "PRINTED", "Row", "plan"]

Manner = Literal["Full", "Layer-wise NP", "Random NP"]


@dataclass(frozen=True)
class Row:
    """A row of a printed table.

    Attributes:
        network: its name here, in `mrfcore.models`.
        title: data set and network.
        manner: how it is pruned.
        sparsity: pruned share of the neurons.
        printed: numbers by their columns; those of `about` stand with a "~".
        notes: by column, what a reader should know.
    """

    network: str
    title: str
    manner: Manner
    sparsity: float
    printed: dict[str, float]
    about: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


PARAM, FLOPS, MEMORY = "Param (MB)", "GFLOPs", "Mem (MB)"
_TITLES = {
    "unet3d-15": "ShapeNet / 3D-UNet",
    "unet3d-15-brats": "BraTS'18 / 3D-UNet",
    "unet3d-23": "ShapeNet / 3D-UNet, 23 layers",
    "mobilenetv2-3d": "UCF101 / MobileNetV2",
    "i3d": "UCF101 / I3D",
    "psmnet": "SceneFlow / PSM",
}
_BATCHES = {"psmnet": 3}  # the thesis does not say so, its numbers do
_DECIMALS = 2
_SEED = 0


def _row(
    network: str,
    manner: Manner,
    sparsity: float,
    *values: float,
    about: str = "",
    note: str = "",
) -> Row:
    printed = dict(zip((PARAM, FLOPS, MEMORY), values, strict=False))
    notes = tuple((column, note) for column in printed if note)
    return Row(
        network, _TITLES[network], manner, sparsity, printed, (about,) if about else (), notes
    )


_ROUNDER = "drawn at 78.2 %, with which these numbers come out; the table says 78.24 %"
_PSM_PARTS = {
    "2D CNNs": (12.74, 174.94, 1902.75),
    "3D CNNs": (7.19, 596.08, 3595.50),
}

# Zhiwei Xu's thesis (ANU 2022), section 5.6, as printed: rows that need no data.
PRINTED: dict[str, tuple[Row, ...]] = {
    "5.2": (
        _row("unet3d-15", "Full", 0, 62.26, 237.85, 997.00),
        _row("unet3d-15", "Random NP", 0.782, 3.05, 10.36, 267.95, note=_ROUNDER),
        _row("unet3d-15", "Layer-wise NP", 0.7824, 2.99, 11.63, 296.22),
        _row("unet3d-15-brats", "Full", 0, 15.57, 478.13, 3628.00),
        _row("unet3d-15-brats", "Random NP", 0.7817, 0.75, 22.59, 817.59),
        _row("unet3d-15-brats", "Layer-wise NP", 0.7817, 0.75, 24.09, 836.88),
        _row("mobilenetv2-3d", "Full", 0, 9.47, 0.58, 157.47),
        _row("mobilenetv2-3d", "Random NP", 0.3315, 4.58, 0.34, 106.68),
        _row("mobilenetv2-3d", "Layer-wise NP", 0.3315, 4.56, 0.33, 106.92),
        _row("i3d", "Full", 0, 47.27, 27.88, 201.28),
        _row("i3d", "Random NP", 0.2532, 26.36, 16.45, 145.07),
        _row("i3d", "Layer-wise NP", 0.2532, 26.67, 16.93, 150.95),
        _row("psmnet", "Full", 0, 19.93, 771.02, 7217.37),
    ),
    "5.3": (
        _row("unet3d-15", "Random NP", 0.8101, 2.27, 7.54, 253.12, about=FLOPS),
        _row("unet3d-15", "Layer-wise NP", 0.8282, 1.84, 7.54, 255.67, about=FLOPS),
        _row("unet3d-15", "Random NP", 0.7883, 2.87, 9.57, 262.66, about=MEMORY),
        _row("unet3d-15", "Layer-wise NP", 0.8281, 1.94, 8.14, 262.66, about=MEMORY),
        _row("unet3d-15-brats", "Random NP", 0.8108, 0.56, 16.97, 685.77, about=FLOPS),
        _row("unet3d-15-brats", "Layer-wise NP", 0.8350, 0.46, 16.97, 700.64, about=FLOPS),
        _row("unet3d-15-brats", "Random NP", 0.8090, 0.57, 17.95, 729.11, about=MEMORY),
        _row("unet3d-15-brats", "Layer-wise NP", 0.8245, 0.51, 17.31, 729.11, about=MEMORY),
    ),
    "5.4": (
        Row(
            "psmnet",
            _TITLES["psmnet"],
            "Full",
            0,
            {
                f"{part}, {column}": value
                for part, values in _PSM_PARTS.items()
                for column, value in zip((PARAM, FLOPS, MEMORY), values, strict=True)
            },
        ),
    ),
    "5.6": (
        Row(
            "unet3d-23",
            _TITLES["unet3d-23"],
            "Full",
            0,
            {FLOPS: 259.59, MEMORY: 1005.96},
            notes=((MEMORY, "the print cuts digits off instead of rounding"),),
        ),
    ),
    "5.7": (
        _row("unet3d-15", "Full", 0, 62.26, 237.85),
        _row("unet3d-15-brats", "Full", 0, 15.57, 478.13),
        _row("mobilenetv2-3d", "Full", 0, 9.47, 0.58),
        _row("i3d", "Full", 0, 47.27, 27.88),
        _row("psmnet", "Full", 0, 19.93, 771.02),
    ),
}

INTRODUCTION = """\
# Tables 5.2 to 5.7: resources, reproduced

Written by `mrfcore reproduce`; do not edit. The printed tables are those of section 5.6 of Zhiwei
Xu, *Applications of Markov Random Field Optimization and 3D Neural Network Pruning in Computer
Vision*, PhD thesis, ANU 2022. Here are the rows that need no data and no training: whole networks,
and those pruned at random or by the same share in every layer. What is left of a network is
counted on the slim network itself, `mrfcore.pruning.slim`.

The numbers come out by the rule of `mrfcore.pruning.accounting.profile(model, inputs)`, which has
to be guessed from them: "GFLOPs" are multiply-adds, about half of (5.12a), and those of transposed
convolutions are counted by their outputs, 8 times too many; batch normalisation counts 4 per
number; memory is what all modules put out, activations that overwrite their input too; and PSM's
rows are for a batch of three pairs, all others for one. `rule="exact"` counts (5.12a), and the
memory that autograd keeps.

Random pruning is `random_masks(graph, sparsity, seed=0)`. Numbers with "~" in Table 5.3 are not
the row's own: each row was made to come near that number of RANP-f. In Table 5.4 activations do not
count. The 23-layer network's numbers are in the text beside Table 5.6. PSM's pruned rows are left
out: their 3-D layers kept neurons that the masks prune, because the importance of transposed
convolutions was taken over their inputs.
"""


def plan(table: str, quick: bool = False) -> list[Job]:
    """The jobs of a table, one for each network; they take seconds, `quick` or not."""
    del quick
    names = dict.fromkeys(row.network for row in PRINTED[table])
    return [_job(table, [row for row in PRINTED[table] if row.network == name]) for name in names]


def _job(table: str, rows: list[Row]) -> Job:
    def run(threads: int | None, on_iteration: OnIteration | None) -> list[Cell]:
        del threads  # nothing is computed that could use them
        require_torch(f"mrfcore reproduce {table}")
        network = _Network(rows[0].network)
        cells: list[Cell] = []
        for index, row in enumerate(rows):
            start = time.perf_counter()
            values = network.values(row)
            seconds = round(time.perf_counter() - start, 3)
            cells += [_cell(table, row, column, values[column], seconds) for column in row.printed]
            if on_iteration is not None:
                on_iteration(index + 1, len(rows))
        return cells

    keys = tuple((table, _name(row, column)) for row in rows for column in row.printed)
    return Job(f"Table {table}: {rows[0].title}", len(rows), (), run, keys)


def _name(row: Row, column: str) -> str:
    share = f" {100 * row.sparsity:g} %" if row.sparsity else ""
    return f"{row.title} / {row.manner}{share} / {column}"


def _cell(table: str, row: Row, column: str, ours: float, seconds: float) -> Cell:
    printed = row.printed[column]
    note = dict(row.notes).get(column, "")
    if column in row.about:
        note = "printed with a ~: that of RANP-f, near which this row was to come"
    return Cell(
        table=table,
        cell=_name(row, column),
        printed=printed,
        ours=ours,
        verdict=judge_decimals(printed, ours, _DECIMALS),
        note=note,
        seconds=seconds,
        decimals=_DECIMALS,
    )


class _Network:
    """One of the networks, without data, and its pruned forms."""

    def __init__(self, name: str) -> None:
        import torch

        from mrfcore.models import create_model, model_entry

        self._entry: ModelEntry = model_entry(name)
        with torch.device("meta"):
            self._model = create_model(name)

    def values(self, row: Row) -> dict[str, float]:
        """By columns, those of parts too."""
        from mrfcore.pruning.accounting import profile

        batch = _BATCHES.get(self._entry.name, 1)
        found = profile(self._pruned(row), self._entry.input_shapes, batch=batch)
        values = {PARAM: found.parameters_mb, FLOPS: found.gflops, MEMORY: found.memory_mb}
        return {**values, **_parts(found)}

    def _pruned(self, row: Row) -> nn.Module:
        from mrfcore import pruning

        if row.manner == "Full":
            return self._model
        if row.manner == "Random NP":
            masks = pruning.random_masks(self._graph, row.sparsity, _SEED)
        else:
            masks = pruning.layerwise_masks(self._graph, row.sparsity)
        return pruning.slim(self._model, self._graph, masks)

    @cached_property
    def _graph(self) -> Graph:
        import torch

        from mrfcore import pruning

        shapes = self._entry.input_shapes
        inputs = tuple(torch.empty(1, *shape, device="meta") for shape in shapes)
        return pruning.trace(self._model, inputs)


def _parts(found: Profile) -> dict[str, float]:
    """Table 5.4's columns: PSM's features of images and the rest, without activations."""
    values = {}
    layers = [layer for layer in found.layers if layer.kind != "activation"]
    for part in _PSM_PARTS:
        flat = part.startswith("2D")
        chosen = [r for r in layers if r.name.startswith("feature_extraction.") == flat]
        values[f"{part}, {PARAM}"] = sum(r.params for r in chosen) * 4 / 2**20
        values[f"{part}, {FLOPS}"] = sum(r.flops for r in chosen) / 1e9
        values[f"{part}, {MEMORY}"] = sum(r.memory_elements for r in chosen) * 4 / 2**20
    return values
