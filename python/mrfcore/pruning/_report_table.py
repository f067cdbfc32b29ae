# SPDX-License-Identifier: Apache-2.0
"""Reports as tables of rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from mrfcore.pruning.accounting import LayerCost, Profile
    from mrfcore.pruning.report import Report

__all__ = ["parameter_table", "report_table"]

_MB = 2**20
_BYTES = 4
_NAME = 20  # characters: what a terminal of 80 leaves


def report_table(report: Report) -> Table:
    """A row for each layer, the other layers together, and sums with their change.

    After each resource, what it is now: parameters in MB, multiply-adds in units of 10^9, outputs
    in MB.
    """
    table = _new(f"{report.method}, sparsity {report.sparsity:.4g}: parameters and memory in MB")
    table.add_column("layer", no_wrap=True)
    for name in ("neurons", "kept", "", "param.", "now", "GFLOPs", "now", "memory", "now"):
        table.add_column(name, justify="right", no_wrap=True, min_width=max(5, len(name)))
    named = set()
    for row in report.layers:
        named.add(row.name)
        share = f"{100 * row.kept / row.neurons:.0f} %"
        costs = _pairs(_of_layers([row.before]), _of_layers([row.after]))
        table.add_row(_short(row.name), str(row.neurons), str(row.kept), share, *costs)
    before, after = (
        _of_layers([row for row in side.layers if row.name not in named])
        for side in (report.before, report.after)
    )
    table.add_row("other layers", "", "", "", *_pairs(before, after))
    table.add_section()
    was, now = report.neurons
    before, after = _of_all(report.before), _of_all(report.after)
    share = f"{100 * now / was:.0f} %"
    table.add_row("all", str(was), str(now), share, *_pairs(before, after), style="bold")
    changes = []
    for old, new in zip(before, after, strict=True):
        changes += ["", f"{100 * (new / old - 1):+.0f} %" if old else "-"]
    table.add_row("change", "", f"{100 * (now / was - 1):+.0f} %", "", *changes)
    return table


def parameter_table(report: Report) -> Table:
    """A row for each parameter."""
    table = _new("Parameters")
    table.add_column("parameter", no_wrap=True)
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("why")
    for row in report.parameters:
        shapes = ("x".join(map(str, shape)) or "1" for shape in (row.before, row.after))
        table.add_row(row.name, *shapes, row.status, row.reason)
    return table


def _short(name: str) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= _NAME else f"\u2026{name[1 - _NAME :]}"


def _new(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        padding=0,
    )


def _of_layers(rows: Sequence[LayerCost]) -> tuple[float, float, float]:
    """MB of parameters, 10^9 operations, MB of memory."""
    return (
        sum(row.params for row in rows) * _BYTES / _MB,
        sum(row.flops for row in rows) / 1e9,
        sum(row.memory_elements for row in rows) * _BYTES / _MB,
    )


def _of_all(side: Profile) -> tuple[float, float, float]:
    return side.parameters_mb, side.gflops, side.memory_mb


def _pairs(before: Sequence[float], after: Sequence[float]) -> list[str]:
    return [_number(x) for pair in zip(before, after, strict=True) for x in pair]


def _number(value: float) -> str:
    """Two digits after the point, as the printed tables have; three below 1."""
    if value == 0:
        return "0"
    if value < 0.0005:
        return "<.001"
    if value >= 1000:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
