# SPDX-License-Identifier: Apache-2.0
"""``mrfcore denoise``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mrfcore import io, metrics, restore

from . import outputs
from .console import SolverBar, bars, facts, output, solver_facts, written
from .inputs import Image8, read_mask, read_picture, require_same_size


def denoise(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Noisy image, grey or colour.")],
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Restored image: .png, .jpg, ...")
    ],
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Image of the same size, black (0) at holes, which are filled."
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Standard deviation of the noise in grey values.",
            show_default="estimated",
        ),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(metavar="W", help="Weight of the prior, instead of --sigma.")
    ] = None,
    inpaint: Annotated[
        bool, typer.Option("--inpaint", help="Fill the holes only; all other pixels are kept.")
    ] = False,
    clean: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The image without noise: prints the PSNR.")
    ] = None,
    solver: Annotated[str, typer.Option(metavar="NAME", help="As in mrfcore.minimize.")] = "trwp",
    connectivity: Annotated[
        int, typer.Option(metavar="N", help="Neighbours of a pixel: 4, 8 or 16.")
    ] = 4,
    iterations: Annotated[
        int | None,
        typer.Option(metavar="N", help="Iterations.", show_default="5; with --inpaint 20"),
    ] = None,
    bound: Annotated[
        bool, typer.Option(help="Compute a lower bound and the gap; --no-bound is faster.")
    ] = True,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads.", show_default="MRFCORE_NUM_THREADS, else all"
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Remove noise from an image, or fill holes in it."""
    if inpaint and mask is None:
        raise ValueError("--inpaint needs --mask, an image that is black at the holes")
    if inpaint and (sigma is not None or weight is not None):
        raise ValueError("--inpaint keeps known pixels: it takes neither --sigma nor --weight")
    outputs.check_picture(out)
    outputs.check_distinct([out], [image, mask, clean])
    noisy = read_picture(image, quiet)
    known = None if mask is None else read_mask(mask, noisy, image, quiet)
    truth = None if clean is None else read_picture(clean, quiet)
    if truth is not None and clean is not None:
        require_same_size(truth, clean, noisy, image)
        truth = _like(truth, noisy)

    start = time.perf_counter()
    with bars(quiet) as progress:
        bar = SolverBar(progress, solver)
        if inpaint:
            result = restore.inpaint(
                noisy,
                known,
                solver=solver,
                connectivity=connectivity,
                iterations=20 if iterations is None else iterations,
                lower_bound=bound,
                threads=threads,
                callback=bar,
            )
        else:
            result = restore.denoise(
                noisy,
                sigma=sigma,
                weight=weight,
                mask=known,
                solver=solver,
                connectivity=connectivity,
                iterations=5 if iterations is None else iterations,
                lower_bound=bound,
                threads=threads,
                callback=bar,
            )
    seconds = time.perf_counter() - start
    io.write_image(out, result.image)
    if quiet:
        return
    channels = 1 if noisy.ndim == 2 else noisy.shape[2]
    lower = None if result.lower_bound is None else float(np.sum(result.lower_bound))
    rows = [("size", f"{noisy.shape[1]} x {noisy.shape[0]} x {channels}")]
    if result.sigma is not None:
        rows.append(("noise", f"{result.sigma:.1f} grey values"))
    cells = noisy.shape[0] * noisy.shape[1] * 256
    # Inpainting solves a rectangle around the holes only, of a size that is not told.
    rows += solver_facts(
        None if inpaint else cells, connectivity, float(np.sum(result.energy)), lower, bar.last
    )
    rows.append(("seconds in all", f"{seconds:.2f}"))
    if truth is not None:
        before, after = (metrics.psnr(_like(i, noisy), truth) for i in (noisy, result.image))
        rows.append(("PSNR", f"{before:.2f} -> {after:.2f} dB"))
    output.print(facts(image.name, rows))
    written(out)


def _like(image: Image8, other: Image8) -> Image8:
    """An image with the channels of another: grey is repeated, colour averaged."""
    if image.ndim == other.ndim:
        return image
    if image.ndim == 2:
        return np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.asarray(np.rint(image.mean(axis=2)), np.uint8)
