# SPDX-License-Identifier: Apache-2.0
"""Reports as tables of rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from mrfcore.pruning.report import Report

__all__ = ["parameter_table", "report_table"]

_MB = 2**20
_BYTES = 4


def report_table(report: Report) -> Table:
    """A row for each layer, the other layers together, and sums with their change."""
    table = _new(f"{report.method}, sparsity {report.sparsity:.4g}")
    table.add_column("layer", no_wrap=True)
    for name in ("neurons", "kept", "", "param. MB", "", "GFLOPs", "", "memory MB", ""):
        table.add_column(name, justify="right", no_wrap=True)
    named = set()
    for row in report.layers:
        named.add(row.name)
        kept = "all" if row.kept == row.neurons else str(row.kept)
        share = f"{100 * row.kept / row.neurons:.0f} %"
        b, a = row.before, row.after
        table.add_row(
            row.name, str(row.neurons), kept, share,
            *_pair(b.params * _BYTES / _MB, a.params * _BYTES / _MB),
            *_pair(b.flops / 1e9, a.flops / 1e9),
            *_pair(b.memory_elements * _BYTES / _MB, a.memory_elements * _BYTES / _MB),
        )  # fmt: skip
    sums = []
    for side in (report.before, report.after):
        rest = [row for row in side.layers if row.name not in named]
        sums.append(
            (
                sum(row.params for row in rest) * _BYTES / _MB,
                sum(row.flops for row in rest) / 1e9,
                sum(row.memory_elements for row in rest) * _BYTES / _MB,
            )
        )
    others = [text for pair in zip(*sums, strict=True) for text in _pair(*pair)]
    table.add_row("other layers", "", "", "", *others)
    table.add_section()
    was, now = report.neurons
    b2, a2 = report.before, report.after
    table.add_row(
        "all", str(was), str(now), f"{100 * now / was:.0f} %",
        *_pair(b2.parameters_mb, a2.parameters_mb),
        *_pair(b2.gflops, a2.gflops),
        *_pair(b2.memory_mb, a2.memory_mb),
        style="bold",
    )  # fmt: skip
    changes = [
        f"{100 * (new / old - 1):+.1f} %" if old else "-"
        for old, new in (
            (b2.parameters, a2.parameters),
            (b2.flops, a2.flops),
            (b2.memory, a2.memory),
        )
    ]
    table.add_row(
        "change", "", "", f"{100 * (now / was - 1):+.1f} %",
        "", changes[0], "", changes[1], "", changes[2],
    )  # fmt: skip
    return table


def parameter_table(report: Report) -> Table:
    """A row for each parameter."""
    table = _new("Parameters")
    table.add_column("parameter", no_wrap=True)
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("why")
    for row in report.parameters:
        shapes = ("x".join(map(str, shape)) or "1" for shape in (row.before, row.after))
        table.add_row(row.name, *shapes, row.status, row.reason)
    return table


def _new(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )


def _pair(before: float, after: float) -> tuple[str, str]:
    return _number(before), _number(after)


def _number(value: float) -> str:
    """Three digits and their place: layers cost from 10^-4 to 10^2."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"
