# SPDX-License-Identifier: Apache-2.0
"""``mrfcore stereo``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mrfcore import io, metrics
from mrfcore.stereo import match

from . import outputs
from .console import SolverBar, bars, facts, number, output, solver_facts, table, written
from .inputs import OCCLUDED, read_mask, read_picture, require_same_size


def stereo(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="Reference image of the pair.")],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="Right image, of the same size.")],
    out: Annotated[
        list[Path],
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Disparities: .png (16-bit KITTI: 256 * disparity, 0 = none), .pfm or .npy; "
            "another image suffix gets a coloured picture. May be repeated.",
        ),
    ],
    num_disparities: Annotated[
        int | None,
        typer.Option(
            "--num-disparities",
            "-n",
            metavar="N",
            help="Search range in pixels.",
            show_default="an eighth of the width, to the next multiple of 16",
        ),
    ] = None,
    min_disparity: Annotated[
        int,
        typer.Option(
            "--min-disparity", metavar="N", help="First disparity searched; may be negative."
        ),
    ] = 0,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth", "-g", metavar="FILE", help="True disparities: prints the errors."
        ),
    ] = None,
    gt_scale: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Stored units per pixel of an 8-bit ground truth: 4, 8 or 16."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Image, black or of grey 128 at pixels that the right view does not show: prints "
            "the errors of the others, too.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a coloured picture of the disparities."),
    ] = None,
    solver: Annotated[str, typer.Option(metavar="NAME", help="As in mrfcore.minimize.")] = "trwp",
    connectivity: Annotated[
        int, typer.Option(metavar="N", help="Neighbours of a pixel: 4, 8 or 16.")
    ] = 4,
    iterations: Annotated[int, typer.Option(metavar="N", help="Iterations of the solver.")] = 10,
    cost: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="mixed, birchfield_tomasi, absolute, squared, census, ..."
        ),
    ] = "mixed",
    uniqueness: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Drop a pixel unless every other label costs this share more."
        ),
    ] = 0.0,
    fill: Annotated[
        bool,
        typer.Option(help="Fill pixels that fail the checks, or leave them without disparity."),
    ] = True,
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
    """Compute the disparities of a rectified stereo pair."""
    if ground_truth is None and (mask is not None or gt_scale is not None):
        option = "--gt-scale" if mask is None else "--mask"
        raise ValueError(f"{option} needs --ground-truth, the disparities to compare with")
    images = read_picture(left, quiet), read_picture(right, quiet)
    require_same_size(images[0], left, images[1], right)
    count = _default_range(images[0].shape[1]) if num_disparities is None else num_disparities
    written_files = [*out, *([] if preview is None else [preview])]
    outputs.check_distinct(written_files, [left, right, ground_truth, mask])
    for path in out:
        outputs.check_disparity(path, min_disparity, count)
    if preview is not None:
        outputs.check_picture(preview)
    truth = None if ground_truth is None else io.read_disparity(ground_truth, gt_scale)
    if truth is not None and ground_truth is not None:
        require_same_size(truth, ground_truth, images[0], left)
    visible = None if mask is None else read_mask(mask, images[0], left, quiet, out=OCCLUDED)

    start = time.perf_counter()
    with bars(quiet) as progress:
        bar = SolverBar(progress, solver)
        result = match(
            *images,
            count,
            min_disparity,
            cost=cost,
            solver=solver,
            connectivity=connectivity,
            iterations=iterations,
            lower_bound=bound,
            uniqueness=uniqueness,
            fill=fill,
            threads=threads,
            callback=bar,
        )
    seconds = time.perf_counter() - start
    for path in out:
        outputs.write_disparity(path, result.disparity)
    if preview is not None:
        outputs.write_preview(preview, result.disparity)
    if not quiet:
        cells = images[0].shape[0] * images[0].shape[1] * count
        rows = [("size", f"{images[0].shape[1]} x {images[0].shape[0]} x {count} disparities")]
        rows += solver_facts(cells, connectivity, result.energy, result.lower_bound, bar.last)
        rows += [
            ("seconds in all", f"{seconds:.2f}"),
            ("valid", f"{100 * result.valid.mean():.1f} %"),
        ]
        output.print(facts(f"{left.name} - {right.name}", rows))
        if truth is not None:
            regions = {"all": None, **({} if visible is None else {"non-occ.": visible})}
            found = metrics.stereo_metrics(result.disparity, truth, regions)
            output.print(_error_table(found))
        written(*out, *([preview] if preview else []))


def _default_range(width: int) -> int:
    """An eighth of the width holds most scenes (KITTI: 160, Middlebury at quarter size: 64)."""
    return max(16, -(-width // 128) * 16)


def _error_table(found: Mapping[str, metrics.StereoMetrics]) -> Table:
    """A line for each region; 80 columns hold it at its widest."""
    header = ("region", "bad\n0.5", "bad\n1", "bad\n2", "bad\n4", "D1", "avg", "RMS", "A90", "A99")
    rows = [
        (
            region,
            *(number(v, 2) for v in (m.bad_0_5, m.bad_1, m.bad_2, m.bad_4, m.d1)),
            *(number(v, 2 if v < 100 else 0) for v in (m.epe, m.rms, m.a90, m.a99)),
        )
        for region, m in found.items()
    ]
    return table("errors: bad-x and D1 in percent, the rest in pixels", header, rows)
