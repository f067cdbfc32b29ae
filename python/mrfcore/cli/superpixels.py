# SPDX-License-Identifier: Apache-2.0
"""``mrfcore superpixels``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mrfcore import io
from mrfcore import superpixels as sp

from . import labelmaps, outputs
from .console import facts, number, output, percent, significant, written
from .inputs import Image8, read_picture, require_same_size

_LINE = (255, 220, 0)  # yellow: rare in photographs


def superpixels(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image, grey or colour.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Picture of the boundaries: .png, .jpg, ...",
            show_default="IMAGE-superpixels.png, here",
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="Numbers of superpixels: .npy, 16-bit .png."),
    ] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="Paint superpixels in their mean colours.")
    ] = False,
    num: Annotated[int, typer.Option(metavar="N", help="How many, about.")] = 225,
    compactness: Annotated[
        float, typer.Option(metavar="M", help="0 .. 100; larger: squarer.")
    ] = 10.0,
    iterations: Annotated[int, typer.Option(metavar="N", help="Moves of the centres.")] = 10,
    sigma: Annotated[
        float, typer.Option(metavar="S", help="Smooth by a Gaussian first, pixels.")
    ] = 0.0,
    min_size: Annotated[
        int | None,
        typer.Option(
            "--min-size",
            metavar="N",
            min=0,
            help="Least pixels of a superpixel.",
            show_default="a quarter of a cell",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="True segments, .npy or an image with a colour for each: prints how well "
            "superpixels keep to them.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads.", show_default="MRFCORE_NUM_THREADS, else all"
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table.")] = False,
) -> None:
    """Cut an image into superpixels (SLIC)."""
    out = Path(f"{image.stem}-superpixels.png") if out is None else out
    outputs.check_picture(out)
    if ids is not None:
        labelmaps.check_labels(ids)
    targets = [out] if ids is None else [out, ids]
    outputs.check_distinct(targets, [image, truth])
    pixels = read_picture(image, quiet)
    segments = None
    if truth is not None:
        segments = labelmaps.read_labels(truth)
        require_same_size(segments, truth, pixels, image)

    start = time.perf_counter()
    found = sp.slic(
        pixels,
        num,
        compactness=compactness,
        iterations=iterations,
        sigma=sigma,
        min_size=min_size,
        threads=threads,
    )
    seconds = time.perf_counter() - start
    io.write_image(out, drawn(sp.mean_colours(pixels, found) if mean else pixels, found))
    if ids is not None:
        labelmaps.write_labels(ids, found)
    if quiet:
        return
    rows = _facts(pixels, found, seconds)
    if segments is not None:
        rows += _scores(found, segments)
    output.print(facts(image.name, rows))
    written(*targets)


def drawn(pixels: Image8, ids: npt.NDArray[np.int32]) -> Image8:
    """An image with the boundaries of superpixels as lines of one pixel."""
    picture = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    picture[sp.boundaries(ids)] = _LINE
    return picture


def _facts(pixels: Image8, ids: npt.NDArray[np.int32], seconds: float) -> list[tuple[str, str]]:
    sizes = np.bincount(ids.ravel())
    height, width = ids.shape
    return [
        ("size", f"{width} x {height} x {1 if pixels.ndim == 2 else pixels.shape[2]}"),
        ("superpixels", number(len(sizes))),
        ("smallest", f"{number(float(sizes.min()))} pixels"),
        ("median", f"{number(float(np.median(sizes)))} pixels"),
        ("largest", f"{number(float(sizes.max()))} pixels"),
        ("milliseconds", significant(1e3 * seconds)),
        ("million pixels per second", significant(ids.size / 1e6 / max(seconds, 1e-9))),
    ]


def _scores(ids: npt.NDArray[Any], truth: npt.NDArray[Any]) -> list[tuple[str, str]]:
    return [
        ("true segments", number(len(np.unique(truth)))),
        ("boundary recall", percent(sp.boundary_recall(ids, truth))),
        ("undersegmentation error", percent(sp.undersegmentation_error(ids, truth))),
        ("achievable accuracy", percent(sp.achievable_accuracy(ids, truth))),
    ]
