# SPDX-License-Identifier: Apache-2.0
"""``mrfcore models``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from .console import note, number, output, table

Shape = tuple[int, ...]


def models(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="[PATTERN]", help="Only names with this in them, or that match: 'deeplab*50'."
        ),
    ] = "*",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Height and width of the inputs; DxHxW: of volumes.",
            show_default="each model's own",
        ),
    ] = None,
) -> None:
    """List the networks of mrfcore.models: inputs, parameters and operations of a forward pass."""
    sizes = None if size is None else _sizes(size)
    # Imported here: the other commands start faster without it, and work without torch.
    from mrfcore.models import list_models, measure_model, model_entry

    names = list_models(pattern)
    if not names:
        raise ValueError(f"pattern: no model's name matches {pattern!r}; mrfcore models has all")
    rows = []
    for name in names:
        entry = model_entry(name)
        shapes = tuple(_resized(name, shape, sizes) for shape in entry.input_shapes)
        parameters, flops = measure_model(name, shapes)
        inputs = "\n".join("x".join(map(str, shape)) for shape in shapes)
        counts = (f"{parameters / 1e6:.2f} M", number(flops / 2e9, 2), number(flops / 1e9, 2))
        rows.append((name, entry.summary, inputs, *counts))
    header = ("model", "what", "input", "params", "GMACs", "GFLOPs")
    found = table("Models", header, rows, left=2)
    found.columns[0].no_wrap = True
    output.print(found)
    note("one forward pass for one input; a multiply-add is 1 MAC and 2 FLOPs")


def _sizes(size: str) -> Shape:
    parts = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})(?:[xX]([1-9]\d{0,5}))?", size)
    if parts is None:
        raise ValueError(f"size: expected HxW or DxHxW such as 512x512, got {size!r}")
    return tuple(int(part) for part in parts.groups() if part is not None)


def _resized(name: str, shape: Shape, sizes: Shape | None) -> Shape:
    """The last sizes of an input replaced; its channels stay."""
    if sizes is None:
        return shape
    if len(sizes) >= len(shape):
        own = "x".join(map(str, shape))
        raise ValueError(f"size: {name} has inputs of {own}, expected HxW, got {len(sizes)} sizes")
    return (*shape[: -len(sizes)], *sizes)
