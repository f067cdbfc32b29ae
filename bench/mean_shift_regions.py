# SPDX-License-Identifier: Apache-2.0
"""Regions of `mean_shift_segment` against what people drew, by joining radius.

    python bench/mean_shift_regions.py [--spatial N] [--min-size N]

Images and true segments are BSDS500's below $MRFCORE_DATA; reading these needs SciPy. Scores are
means over images, of means over people. Quality only, no times: the same numbers everywhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from _machine import data_folder

Ids = npt.NDArray[np.int64]

SETTINGS = {"rgb": 20.0, "luv": 8.0}
SHARES = (0.1, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5)
REACH = 4  # pixels between boundaries that are the same: 0.0075 of the diagonal of 481 x 321
SCORES = ("regions", "largest", "adjusted Rand", "F of boundaries", "covering", "achievable")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Regions of mean shift by joining radius.")
    parser.add_argument("--spatial", type=int, default=10, help="radius of the window (10)")
    parser.add_argument("--min-size", type=int, default=20, help="least pixels of a region (20)")
    args = parser.parse_args()
    folder = data_folder() / "bsds500"
    images = sorted((folder / "images").glob("*.jpg"))
    if not images or importlib.util.find_spec("scipy") is None:
        print("mean_shift_regions.py: needs SciPy and BSDS500; skipped", file=sys.stderr)
        return 0
    cases = [(pixels(path), drawn(folder / f"groundTruth/{path.stem}.mat")) for path in images]
    print(f"{len(cases)} images; {', '.join(SCORES)}; images with more than 80 % in one region")
    line("one region", [scores(np.zeros(truths[0].shape, np.int64), truths) for _, truths in cases])
    for space in SETTINGS:
        for share in SHARES:
            found = [segment(image, space, share, args) for image, _ in cases]
            rows = [scores(ids, truths) for ids, (_, truths) in zip(found, cases, strict=True)]
            line(f"{space} {SETTINGS[space]:g} x {share:g}", rows)
    return 0


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    """An image [H, W, 3]."""
    from mrfcore import io

    return io.read_image(path)


def drawn(path: Path) -> list[Ids]:
    """What people drew, numbers from 0 on."""
    from scipy.io import loadmat

    people = loadmat(path)["groundTruth"][0]
    return [one["Segmentation"][0, 0].astype(np.int64) - 1 for one in people]


def segment(image: Any, space: str, share: float, args: argparse.Namespace) -> Ids:
    """Regions with a joining radius that is a share of the filter's."""
    from mrfcore import mean_shift_segment

    radius = SETTINGS[space]
    found = mean_shift_segment(
        image,
        args.spatial,
        radius,
        color_space=space,
        join_radius=share * radius,
        min_size=args.min_size,
        threads=1,
    )
    return np.asarray(found, np.int64)


def line(name: str, rows: list[list[float]]) -> None:
    """Means, and how many images have most of themselves in one region."""
    means = np.mean(rows, axis=0)
    most = sum(row[1] > 0.8 for row in rows)
    print(f"{name:12} {means[0]:6.0f} " + " ".join(f"{m:.3f}" for m in means[1:]), most, flush=True)


def scores(ids: Ids, truths: list[Ids]) -> list[float]:
    """In the order of SCORES."""
    overlaps = [overlap(ids, truth) for truth in truths]
    sizes = np.bincount(ids.ravel())
    return [
        float(len(sizes)),
        float(sizes.max() / sizes.sum()),
        float(np.mean([adjusted_rand(o) for o in overlaps])),
        boundary_f(ids, truths),
        float(np.mean([covering(o) for o in overlaps])),
        float(np.mean([o.max(0).sum() / o.sum() for o in overlaps])),
    ]


def overlap(ids: Ids, truth: Ids) -> npt.NDArray[np.float64]:
    """[segments, regions]: pixels in both."""
    width, height = int(ids.max()) + 1, int(truth.max()) + 1
    counts = np.bincount((truth * width + ids).ravel(), minlength=width * height)
    return counts.reshape(height, width).astype(np.float64)


def adjusted_rand(o: npt.NDArray[np.float64]) -> float:
    """Hubert & Arabie 1985: agreement on pairs of pixels, less that of chance."""

    def pairs(n: Any) -> float:
        return float((n * (n - 1) / 2).sum())

    both, ours, theirs = pairs(o), pairs(o.sum(0)), pairs(o.sum(1))
    chance, most = ours * theirs / pairs(o.sum()), (ours + theirs) / 2
    return (both - chance) / (most - chance) if most > chance else 1.0


def covering(o: npt.NDArray[np.float64]) -> float:
    """Arbelaez et al. 2011: mean over pixels of their segment's best intersection over union."""
    segments = o.sum(1)
    union = segments[:, None] + o.sum(0) - o
    best = (o / np.maximum(union, 1)).max(1)
    return float((segments * best).sum() / segments.sum())


def boundary_f(ids: Ids, truths: list[Ids]) -> float:
    """Precision against anybody's boundary, recall of everybody's; without one-to-one matching."""
    from scipy.ndimage import binary_dilation

    from mrfcore.superpixels import boundaries

    square = np.ones((2 * REACH + 1, 2 * REACH + 1), bool)
    ours, theirs = boundaries(ids), [boundaries(truth) for truth in truths]
    near_theirs = binary_dilation(np.logical_or.reduce(theirs), square)
    near_ours = binary_dilation(ours, square)
    precision = (ours & near_theirs).sum() / ours.sum() if ours.any() else 1.0
    recall = sum((t & near_ours).sum() for t in theirs) / max(sum(t.sum() for t in theirs), 1)
    return float(2 * precision * recall / max(precision + recall, 1e-9))


if __name__ == "__main__":
    raise SystemExit(main())
