# SPDX-License-Identifier: Apache-2.0
"""``mrfcore prune``."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import outputs
from .console import note, output, written

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]

_WORK = 40e9  # multiply-adds of a batch, forward: a few seconds on two cores with its gradients
_LEAST = 16


def prune(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A network of mrfcore.models, or module:function, which makes one.",
        ),
    ],
    sparsity: Annotated[
        str | None,
        typer.Option(
            metavar="S", help="Share of the neurons to prune, 0 .. 1; max: the most feasible."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help="ranp, weighted, vanilla, snip, layerwise, random."),
    ] = "ranp",
    resource: Annotated[
        str, typer.Option(metavar="NAME", help="Of ranp: flops, memory, parameters.")
    ] = "flops",
    lambda_: Annotated[
        float | None,
        typer.Option("--lambda", metavar="L", help="Of ranp.", show_default="the number of layers"),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="NAME", help="Importance: mpmg, mnmg.")] = "mpmg",
    reduce: Annotated[
        str, typer.Option(metavar="NAME", help="Over a neuron's parameters: sum, mean, max.")
    ] = "sum",
    max_gflops: Annotated[
        float | None, typer.Option(metavar="G", help="Instead of --sparsity: 10^9 multiply-adds.")
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(metavar="MB", help="Instead of --sparsity: outputs, MB.")
    ] = None,
    round_to: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Keep multiples of N neurons.")
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="Shape of an input with its channels, for which resources are counted.",
            show_default="the network's own",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="DxHxW",
            help="Size of the batches that gradients are taken of.",
            show_default="the input's, halved until a batch takes seconds",
        ),
    ] = None,
    batches: Annotated[int, typer.Option(metavar="N", min=1, help="Made-up batches of one.")] = 2,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Draw weights: glorot, orthogonal.", show_default="the network's"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of weights and batches.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The slim network: .safetensors."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Importance and neurons of each layer: .png, .pdf, ..."),
    ] = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="List all parameters, and why some stay.")
    ] = False,
) -> None:
    """Prune a network at its initialisation (RANP), by gradients on made-up batches."""
    for path in (out, plot):
        if path is not None:
            outputs.check_folder(path)
    if out is not None and out.suffix != ".safetensors":
        raise ValueError(f"cannot write {out}: expected a name that ends with .safetensors")
    share = _sparsity(sparsity, max_gflops, max_memory)
    # Imported here: the other commands start faster without it, and work without torch.
    import torch

    from mrfcore.pruning import Budget, initialise, save_slim
    from mrfcore.pruning import prune as prune_network
    from mrfcore.pruning.samples import made_up_batches, task_loss, task_of

    start = time.perf_counter()
    torch.manual_seed(seed)
    network, shapes = _network(model, input_shape)
    if init is not None:
        initialise(network, init)
    small = _reduced(network, shapes, size)
    task, labels = task_of(network, small)
    made = made_up_batches(task, labels, small, batches, seed=seed)
    budget = None
    if share is None:
        flops = None if max_gflops is None else 1e9 * max_gflops
        elements = None if max_memory is None else max_memory * 2**20 / 4
        budget = Budget(flops=flops, memory=elements)
    report = prune_network(
        network,
        task_loss(task),
        made,
        sparsity=share,
        budget=budget,
        method=method,
        resource=resource,
        lambda_=lambda_,
        kind=kind,
        reduce=reduce,
        round_to=round_to,
        inputs=tuple(torch.empty((1, *shape), device="meta") for shape in shapes),
        seed=seed,
    )
    output.print(report.table())
    output.print(str(report), soft_wrap=True, markup=False)
    if parameters:
        output.print(report.parameter_table())
    _say(task, shapes, small, batches, time.perf_counter() - start)
    if out is not None:
        save_slim(report.model, out)
    if plot is not None:
        report.plot(plot)
    written(*(path for path in (out, plot) if path is not None))


def _sparsity(given: str | None, *limits: float | None) -> float | str | None:
    limited = any(limit is not None for limit in limits)
    if (given is not None) == limited:
        raise ValueError("sparsity: expected it, or one of --max-gflops and --max-memory")
    if given is None or given == "max":
        return given
    try:
        return float(given)
    except ValueError:
        raise ValueError(f"sparsity: expected max or a number from 0 to 1, got {given!r}") from None


def _network(name: str, shape: str | None) -> tuple[torch.nn.Module, tuple[Shape, ...]]:
    """The network, and the shapes of its inputs."""
    own = None if shape is None else _sizes("input_shape", shape)
    if ":" in name:
        if own is None:
            raise ValueError(f"input_shape: {name} needs it, such as 3x224x224")
        return _made_by(name), (own,)
    from mrfcore.models import create_model, model_entry

    shapes = model_entry(name).input_shapes
    if own is not None:
        shapes = (own,) * len(shapes)
    return create_model(name), shapes


def _made_by(name: str) -> torch.nn.Module:
    """What module:function gives; modules in the working folder are found."""
    import torch

    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        maker: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model: cannot import {name}: {error}") from error
    finally:
        sys.path.remove("")
    network = maker()
    if not isinstance(network, torch.nn.Module):
        raise ValueError(f"model: {name} gives a {type(network).__name__}, expected a module")
    return network


def _sizes(option: str, text: str) -> Shape:
    if not re.fullmatch(r"[1-9]\d{0,5}([xX][1-9]\d{0,5}){1,3}", text):
        raise ValueError(f"{option}: expected sizes such as 64x64x64, got {text!r}")
    return tuple(int(part) for part in re.split("[xX]", text))


def _reduced(
    network: torch.nn.Module, shapes: Sequence[Shape], size: str | None
) -> tuple[Shape, ...]:
    """Shapes of the batches: as asked for, or such that they take seconds."""
    if size is not None:
        sizes = _sizes("size", size)
        if any(len(sizes) != len(shape) - 1 for shape in shapes):
            raise ValueError(f"size: expected {len(shapes[0]) - 1} sizes, got {size}")
        return tuple((shape[0], *sizes) for shape in shapes)
    from mrfcore.pruning import profile
    from mrfcore.pruning.samples import trains_on

    current = tuple(shapes)
    while profile(network, current).flops > _WORK:
        for longest in (False, True):  # all sizes halved, or the largest
            smaller = tuple(_halved(shape, longest) for shape in current)
            if trains_on(network, smaller):
                break
        else:  # the network needs more
            break
        if smaller == current:
            break
        current = smaller
    return current


def _halved(shape: Shape, longest: bool) -> Shape:
    channels, *sizes = shape
    most = max(sizes)
    return (channels, *(max(_LEAST, n // 2) if n == most or not longest else n for n in sizes))


def _say(
    task: str, shapes: Sequence[Shape], small: Sequence[Shape], batches: int, seconds: float
) -> None:
    def text(shape: Shape) -> str:
        return "x".join(map(str, shape))

    scaled = text(small[0]) != text(shapes[0])
    how = f"reduced to {text(small[0])}" if scaled else f"of {text(small[0])}"
    note(
        f"resources are counted for inputs of {text(shapes[0])}; gradients are of {batches} "
        f"made-up batches of one for {task}, {how}"
    )
    note(f"{seconds:.1f} s")
