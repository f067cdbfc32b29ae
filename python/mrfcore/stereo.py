# SPDX-License-Identifier: Apache-2.0
"""Dense stereo: matching costs, edge weights, and disparity maps of rectified pairs.

>>> from mrfcore import stereo
>>> r = stereo.match(left, right, num_disparities=64)
>>> r.disparity, r.valid

`sgm` is the fast one: plain semi-global matching, for images on a GPU in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import like
from mrfcore._images import as_pair, number, on_one_device
from mrfcore._minimize import minimize
from mrfcore._options import check_options
from mrfcore._result import Progress, Trace
from mrfcore._scalars import _choice, _flag, _integer, _threads
from mrfcore._stereo_costs import (
    COSTS,
    census_window,
    cost_volume,
    disparity_range,
    exponential_weights,
    gradient_weights,
    require_overlap,
)
from mrfcore._stereo_energy import stereo_energy
from mrfcore._stereo_post import Checks, disparity_map, right_view_labels
from mrfcore._stereo_sgm import SGMSettings, match_arrays
from mrfcore.potentials import Potential

__all__ = [
    "COSTS",
    "SGMResult",
    "StereoResult",
    "cost_volume",
    "exponential_weights",
    "gradient_weights",
    "match",
    "sgm",
]


@dataclass(frozen=True)
class StereoResult:
    """A disparity map and what is known about it. H x W is the size of the left image."""

    disparity: npt.NDArray[np.float32]
    """[H, W] in pixels (not scaled by 16 or 256): left pixel (y, x) matches right (y, x - d).
    NaN: no disparity."""
    valid: npt.NDArray[np.bool_]
    """[H, W]: matched and passed all checks. Elsewhere `disparity` is filled in, or NaN."""
    labels: npt.NDArray[np.int32]
    """[H, W]: the minimiser's labelling, before all checks; disparity min_disparity + label."""
    min_disparity: int
    energy: float
    """Of `labels`."""
    lower_bound: float | None
    """No labelling has less energy. None unless lower_bound=True."""
    gap: float | None
    """(energy - lower_bound) / |energy|; None without a bound."""
    iterations: int
    trace: Trace | None
    costs: npt.NDArray[np.float32] | None
    """[H, W, D]: the solver's costs; None unless return_costs=True."""

    def __repr__(self) -> str:
        height, width = self.disparity.shape
        return (
            f"StereoResult(disparity=[{height}, {width}], valid={self.valid.mean():.1%}, "
            f"energy={self.energy:.10g}, iterations={self.iterations})"
        )


def match(
    left: Any,
    right: Any,
    num_disparities: int,
    min_disparity: int = 0,
    *,
    cost: str | npt.ArrayLike = "mixed",
    window: int | tuple[int, int] | None = None,
    truncation: float | None = None,
    potential: Potential | npt.ArrayLike | None = None,
    weights: str | float | npt.ArrayLike = "exponential",
    solver: str = "trwp",
    connectivity: int = 4,
    iterations: int = 10,
    lower_bound: bool = False,
    trace: bool = False,
    left_right_check: bool | str = True,
    max_difference: float = 1.0,
    uniqueness: float = 0.0,
    speckle_size: int = 100,
    subpixel: bool = True,
    smoothing: int = 12,
    fill: bool = True,
    return_costs: bool = False,
    threads: int | None = None,
    callback: Callable[[Progress], object] | None = None,
    **solver_options: Any,
) -> StereoResult:
    """Disparities of the left image of a rectified pair.

    Matching costs, one `minimize`, then checks and refinement. Steps, in this order: sub-pixel
    values, left-right and uniqueness checks, speckle removal, smoothing, hole filling.

    Args:
        left: image [H, W] or [H, W, 3], uint8 or floats on the same 0..255 scale.
        right: image like left; matches of (y, x) lie at (y, x - d).
        num_disparities: D; disparities min_disparity .. min_disparity + D - 1 are searched.
        min_disparity: may be negative.
        cost: "mixed" (2.5 census on 5 x 5 pixels + Birchfield-Tomasi truncated at 5 per channel:
            the one survives changes of light, the other places edges), a cost of `cost_volume`, or
            your own volume [H, W, D].
        window: census window, see `cost_volume`; None: 5 x 5.
        truncation: of the cost (for "mixed", of the Birchfield-Tomasi part). None: 5 per channel
            for "mixed", 20 for "birchfield_tomasi" and "absolute", 400 for the squared ones, none
            for "census".
        potential: V of `minimize`, or None: TruncatedLinear(4) in units that suit the cost (one
            pixel's step is worth 14 for "mixed", as much in proportion for the other costs, and
            with 8 or 16 connections 1/2 or 1/4 of it). Needed with a volume of your own.
        weights: "exponential" (`exponential_weights` of the left image), "constant", or weights of
            `minimize`: a number or [P, H, W]. With potential=None they multiply its units.
        solver: see `minimize`.
        connectivity: see `minimize`.
        iterations: see `minimize`.
        lower_bound: see `minimize`.
        trace: see `minimize`.
        left_right_check: a pixel is valid if its match in the right image points back at it, give
            or take max_difference. Labels of the right view come, for True, from two iterations of
            TRW-S on it (about a fifth of the time of the default solve); for "solve", from the same
            solver and iterations as the left one's (rejects fewest pixels by mistake, twice the
            time); for "costs", from the left view's costs read along diagonals (at no cost,
            misses more). False: no check. With an array of weights, True means "costs".
        max_difference: pixels, see left_right_check.
        uniqueness: a pixel is valid if every label further than 1 from the best costs at least
            (1 + uniqueness) times as much. 0: no check. OpenCV's uniquenessRatio 10 is 0.1.
        speckle_size: connected patches of at most so many pixels become invalid; 0 spares all.
        subpixel: refine by a parabola through the solver's costs.
        smoothing: radius in pixels of the joint bilateral filter over valid disparities that
            differ by less than 1.5; 0 for none (as for whole numbers, with subpixel=False).
        fill: give invalid pixels the lesser of the nearest valid disparities in their row (what one
            view hides lies behind); False leaves NaN. `valid` tells them apart either way.
        return_costs: keep the solver's costs.
        threads: see `minimize`.
        callback: see `minimize`.
        **solver_options: see `minimize`; so are tolerance and gap_tolerance.

    Returns:
        StereoResult.

    Raises:
        ValueError, TypeError: an argument is of the wrong shape, value or type; a search range
            all of it beyond the width of the images; float images that look like 0..1.
        MemoryError: it does not fit; raised before allocating.
    """
    check_options(match, solver, solver_options)
    pair = as_pair(left, right)
    labels = disparity_range(num_disparities, min_disparity)
    require_overlap(labels, pair[0].shape[1])
    _choice("left_right_check", left_right_check, (False, True, "costs", "solve"))
    checks = Checks(
        max_difference=number("max_difference", max_difference),
        uniqueness=number("uniqueness", uniqueness),
        speckle_size=_count("speckle_size", speckle_size),
        subpixel=bool(subpixel),
        smoothing=_count("smoothing", smoothing),
        fill=bool(fill),
        threads=_threads(threads),
    )
    energy = stereo_energy(
        *pair,
        labels,
        cost=cost,
        window=window,
        truncation=truncation,
        potential=potential,
        weights=weights,
        connectivity=connectivity,
        threads=checks.threads,
    )
    if left_right_check is True and not energy.portable:
        left_right_check = "costs"
    if left_right_check == "solve":
        energy.require_portable()  # before the long part
    if solver == "trwp":
        # Fractions of a pixel and the checks go by the costs, whose arg-min the labels are to be.
        solver_options = {"coarse": 0, "polish": 0, **solver_options}
    result = minimize(
        *energy.arguments,
        solver=solver,
        connectivity=connectivity,
        iterations=iterations,
        trace=trace,
        lower_bound=lower_bound,
        threads=threads,
        callback=callback,
        **solver_options,
    )
    other = None
    if left_right_check == "costs":
        other = right_view_labels(result.costs, labels.minimum, checks.threads)
    elif left_right_check:
        how: dict[str, Any] = {"solver": "trws", "iterations": 2}
        if left_right_check == "solve":
            how = {"solver": solver, "iterations": int(result.iterations), **solver_options}
            how.pop("init", None)  # labels of the left view mean nothing in the right one
        mirrored = energy.right_view(pair[1], checks.threads)
        other = minimize(
            *mirrored.arguments, connectivity=connectivity, threads=threads, **how
        ).labels
    disparity, valid = disparity_map(result, other, pair[0], labels.minimum, checks)
    return StereoResult(
        disparity=disparity,
        valid=valid,
        labels=result.labels,
        min_disparity=labels.minimum,
        energy=float(result.energy),
        lower_bound=None if result.lower_bound is None else float(result.lower_bound),
        gap=None if result.gap is None else float(result.gap),
        iterations=int(result.iterations),
        trace=result.trace,
        costs=result.costs if return_costs else None,
    )


@dataclass(frozen=True)
class SGMResult:
    """Disparities of `sgm`; arrays are of the library, and on the device, that left came from."""

    disparity: Any
    """float32 [H, W] or [B, H, W], in pixels: left (y, x) matches right (y, x - d). NaN: failed a
    check."""
    labels: Any
    """int32, shaped like disparity: before all checks; disparity min_disparity + label."""
    min_disparity: int

    @property
    def valid(self) -> Any:
        """Booleans shaped like disparity: passed all checks."""
        return self.disparity == self.disparity  # NaN does not

    def __repr__(self) -> str:
        shape = list(self.disparity.shape)
        return f"SGMResult(disparity={shape}, min_disparity={self.min_disparity})"


def sgm(
    left: Any,
    right: Any,
    num_disparities: int,
    *,
    min_disparity: int = 0,
    cost: str = "census",
    window: int | tuple[int, int] = (7, 9),
    truncation: float | None = None,
    p1: int | None = None,
    p2: int | None = None,
    paths: int = 8,
    subpixel: bool = True,
    uniqueness: float = 0.05,
    left_right_check: bool = True,
    max_difference: float = 1.0,
    threads: int | None = None,
) -> SGMResult:
    """Disparities by plain semi-global matching (Hirschmueller 2008), in whole numbers.

    One pass over the paths: the labels of `cost_volume` and then `minimize` with "sgm", from costs
    and messages that are bytes. On the CPU with the default penalties it takes 1 byte of memory a
    pixel and label, kept for the next call. Images on a GPU are matched there: 5 bytes with 8
    paths, and with uint8 images nothing waits (it can be captured in a CUDA graph). `match` finds
    better disparities, and takes longer.

    Args:
        left: image [H, W] or [H, W, 3], or a batch [B, H, W, 1 or 3]; uint8, or floats on the
            0..255 scale (with "census" only).
        right: images like left; matches of (y, x) lie at (y, x - d).
        num_disparities: D, at most 256; disparities min_disparity .. min_disparity + D - 1.
        min_disparity: may be negative.
        cost: "census", "absolute" or "birchfield_tomasi", see `cost_volume`.
        window: census window, see `cost_volume`.
        truncation: of the cost, a whole number; 255 at most. None: none for "census", 20 per
            channel for the others.
        p1: penalty of neighbours one label apart, a whole number. None: 30 for a census of 7 x 9
            pixels, in proportion to the bits for others; 15 per channel for other costs.
        p2: penalty of neighbours further apart, p1 <= p2 <= 7936; beyond 63 (127 with 4
            paths, or on a GPU) it takes twice the memory. None: twice p1's default.
        paths: directions, 4 or 8.
        subpixel: refine by a parabola through the sums of l - 1, l, l + 1.
        uniqueness: a pixel is valid if every label further than 1 from the best costs at least
            (1 + uniqueness) times as much. 0: no check.
        left_right_check: a pixel is valid if its match points back at it, give or take
            max_difference, by the right view's winners: the sums read along diagonals.
        max_difference: pixels.
        threads: on the CPU, see `minimize`; the result does not depend on it.

    Returns:
        SGMResult. There is no clean-up beyond the checks: `match` removes speckles, smooths, fills.

    Raises:
        ValueError, TypeError: an argument is of the wrong shape, value or type; a search range
            all of it beyond the width of the images; one image on a GPU, the other not.
        MemoryError: it does not fit.
    """
    on_gpu = on_one_device(left, right)
    settings = SGMSettings(
        labels=disparity_range(num_disparities, min_disparity),
        cost=cost,
        window=census_window(window),
        truncation=None if truncation is None else number("truncation", truncation),
        p1=None if p1 is None else _integer("p1", p1),
        p2=None if p2 is None else _integer("p2", p2),
        paths=_integer("paths", paths),
        subpixel=_flag("subpixel", subpixel),
        uniqueness=number("uniqueness", uniqueness),
        left_right_check=_flag("left_right_check", left_right_check),
        max_difference=number("max_difference", max_difference),
        threads=_threads(threads),
    )
    if on_gpu:
        from mrfcore import _stereo_device

        disparity, labels = _stereo_device.sgm(left, right, settings)
    else:
        disparity, labels = map(like(left), match_arrays(left, right, settings))
    return SGMResult(disparity, labels, settings.labels.minimum)


def _count(name: str, value: object) -> int:
    count = _integer(name, value)
    if count < 0:
        raise ValueError(f"{name}: expected a number >= 0, got {value}")
    return count
