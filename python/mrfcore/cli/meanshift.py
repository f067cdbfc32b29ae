# SPDX-License-Identifier: Apache-2.0
"""``mrfcore meanshift``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mrfcore import filtering, io, viz

from . import outputs
from .console import facts, note, number, output, percent, significant, written
from .inputs import Image8, read_picture

_MOST = 0.8  # of an image in one region: more is rarely what one wants to see


def meanshift(
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
            help="Filtered image: .png, .jpg, ...",
            show_default="IMAGE-meanshift.png, here",
        ),
    ] = None,
    segment: Annotated[
        bool,
        typer.Option(
            "--segment",
            help="Also write the regions, in their mean colours with boundaries, into "
            "FILE-regions.",
        ),
    ] = False,
    spatial_radius: Annotated[
        int, typer.Option("--spatial", metavar="N", help="Radius of the square window, pixels.")
    ] = 10,
    color_radius: Annotated[
        float,
        typer.Option("--color", metavar="R", help="Radius in colour: grey values, or L* for luv."),
    ] = 20.0,
    kernel: Annotated[str, typer.Option(metavar="NAME", help="flat or gaussian.")] = "flat",
    color_space: Annotated[
        str, typer.Option("--space", metavar="NAME", help="rgb or luv.")
    ] = "rgb",
    iterations: Annotated[int, typer.Option(metavar="N", help="Moves of a pixel at most.")] = 5,
    levels: Annotated[
        int, typer.Option(metavar="N", help="Halve the image so often first: faster.")
    ] = 0,
    join_radius: Annotated[
        float | None,
        typer.Option(
            "--join",
            metavar="R",
            help="Of --segment: colours of neighbours in one region are at most so far apart.",
            show_default="half of --color",
        ),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            "--min-size",
            metavar="N",
            help="Of --segment: least pixels of a region.",
            show_default="20",
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
    """Flatten an image without blurring its edges, and cut it into regions."""
    wanted = {"join_radius": join_radius, "min_size": min_size}
    joining: dict[str, Any] = {name: one for name, one in wanted.items() if one is not None}
    if joining and not segment:
        option = "--join" if "join_radius" in joining else "--min-size"
        raise ValueError(f"{option} needs --segment, which cuts the image into regions")
    out = Path(f"{image.stem}-meanshift.png") if out is None else out
    regions = out.with_name(f"{out.stem}-regions{out.suffix}")
    targets = [out, regions] if segment else [out]
    for target in targets:
        outputs.check_picture(target)
    outputs.check_distinct(targets, [image])
    pixels = read_picture(image, quiet)
    options: dict[str, Any] = {
        "kernel": kernel,
        "iterations": iterations,
        "levels": levels,
        "color_space": color_space,
        "threads": threads,
    }
    start = time.perf_counter()
    filtered = filtering.mean_shift_filter(pixels, spatial_radius, color_radius, **options)
    seconds = time.perf_counter() - start
    rows = _filter_facts(pixels, filtered, seconds)
    ids = None
    if segment:
        ids = filtering.mean_shift_segment(
            pixels, spatial_radius, color_radius, **joining, **options
        )
        rows += _region_facts(ids)
    io.write_image(out, filtered)
    if ids is not None:
        io.write_image(regions, _drawn(pixels, ids))
    if quiet:
        return
    output.print(facts(image.name, rows))
    if ids is not None:
        _say_if_one_region(ids, color_radius / 2 if join_radius is None else join_radius)
    written(*targets)


def _filter_facts(before: Image8, after: Image8, seconds: float) -> list[tuple[str, str]]:
    height, width = before.shape[:2]
    change = np.abs(after.astype(np.int16) - before)
    return [
        ("size", f"{width} x {height} x {1 if before.ndim == 2 else before.shape[2]}"),
        ("colours", f"{number(_colours(before))} -> {number(_colours(after))}"),
        ("mean change", f"{change.mean():.2f} grey values"),
        ("seconds", f"{seconds:.3f}"),
        ("million pixels per second", significant(height * width / 1e6 / max(seconds, 1e-9))),
    ]


def _region_facts(ids: npt.NDArray[np.int32]) -> list[tuple[str, str]]:
    sizes = np.bincount(ids.ravel())
    return [
        ("regions", number(len(sizes))),
        ("median region", f"{number(float(np.median(sizes)))} pixels"),
        ("largest region", percent(sizes.max() / sizes.sum(), 1)),
    ]


def _say_if_one_region(ids: npt.NDArray[np.int32], reach: float) -> None:
    share = np.bincount(ids.ravel()).max() / ids.size
    if share > _MOST:
        note(
            f"the largest region has {percent(share, 1)} of the image; a --join smaller than "
            f"{reach:g} parts it where colours change slowly"
        )


def _colours(pixels: Image8) -> int:
    flat = pixels.reshape(pixels.shape[0] * pixels.shape[1], -1).astype(np.uint32)
    return len(np.unique(flat @ (1 << (8 * np.arange(flat.shape[1], dtype=np.uint32)))))


def _drawn(pixels: Image8, ids: npt.NDArray[np.int32]) -> Image8:
    """Regions in their mean colours."""
    colour = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    labels = ids.ravel()
    sizes = np.bincount(labels)
    sums = [np.bincount(labels, weights=colour[..., c].ravel()) for c in range(3)]
    return viz.label_overlay(pixels, ids, 1.0, colours=np.stack(sums, axis=1) / sizes[:, None])
