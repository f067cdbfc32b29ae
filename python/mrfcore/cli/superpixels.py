# SPDX-License-Identifier: Apache-2.0
"""``mrfcore superpixels``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mrfcore import io
from mrfcore import superpixels as sp

from . import labelmaps, outputs
from .console import facts, note, number, output, percent, significant, written
from .inputs import Image8, read_picture, require_same_size

_LINE = (255, 220, 0)  # yellow: rare in photographs
_NUM = 225
_MANY = 1000  # segments: people draw far fewer


def superpixels(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="Image, grey or colour; transparency is dropped."),
    ],
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
    lines: Annotated[
        bool,
        typer.Option(
            "--boundaries/--no-boundaries", help="Draw the boundaries, or with --mean only colours."
        ),
    ] = True,
    num: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many, about.", show_default=f"{_NUM}, or one a pixel"),
    ] = None,
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
            help="Smaller pieces join others, pixels.",
            show_default="a quarter of a cell",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="True segments: .npy, an image with a colour for each, or BSDS500's .mat (means "
            "over its people): prints how well superpixels keep to them.",
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
    if not (lines or mean):
        raise ValueError("--no-boundaries: leaves nothing to draw without --mean")
    pixels = read_picture(image, quiet)
    segments = _read_truths(truth, pixels, image, quiet)

    start = time.perf_counter()
    found = sp.slic(
        pixels,
        min(_NUM, pixels.shape[0] * pixels.shape[1]) if num is None else num,
        compactness=compactness,
        iterations=iterations,
        sigma=sigma,
        min_size=min_size,
        threads=threads,
    )
    seconds = time.perf_counter() - start
    painted = sp.mean_colours(pixels, found) if mean else pixels
    io.write_image(out, drawn(painted, found) if lines else painted)
    if ids is not None:
        labelmaps.write_labels(ids, found)
    if quiet:
        return
    rows = _facts(pixels, found, seconds) + _scores(found, segments)
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
        ("seconds", significant(seconds)),
        ("million pixels per second", significant(ids.size / 1e6 / max(seconds, 1e-9))),
    ]


def _read_truths(
    path: Path | None, pixels: Image8, image: Path, quiet: bool
) -> list[npt.NDArray[np.int64]]:
    """Maps of true segments, each of the size of the image; a note on what looks like none."""
    truths = [] if path is None else labelmaps.read_truths(path)
    for truth in truths:
        assert path is not None
        require_same_size(truth, path, pixels, image)
        segments = len(np.unique(truth))
        if segments > _MANY and not quiet:
            note(f"{path} has {number(segments)} segments, each colour one: is it a photograph?")
    return truths


def _scores(ids: npt.NDArray[Any], truths: list[npt.NDArray[Any]]) -> list[tuple[str, str]]:
    if not truths:
        return []

    def mean(score: Callable[[Any, Any], float]) -> str:
        return percent(float(np.mean([score(ids, truth) for truth in truths])))

    segments = float(np.mean([len(np.unique(truth)) for truth in truths]))
    return [
        ("true segments", number(segments)),
        ("boundary recall", mean(sp.boundary_recall)),
        ("undersegmentation error", mean(sp.undersegmentation_error)),
        ("achievable accuracy", mean(sp.achievable_accuracy)),
    ]
