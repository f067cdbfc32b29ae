# SPDX-License-Identifier: Apache-2.0
"""Errors of disparity maps (Middlebury and KITTI conventions).

Which pixels count, everywhere in this module:

- A ground truth that is not finite is unknown: the pixel is left out.
- A mask, where given, keeps only its non-zero pixels (for instance the non-occluded ones).
- A prediction that is not finite is *invalid*. Share-of-pixels errors (bad-x, D1) count it as bad
  by default (`invalid="bad"`), or leave it out (`invalid="ignore"`). Errors in pixels (average,
  RMS, quantiles) have no number for it and always leave it out: read them beside `density`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from mrfcore.metrics._arrays import real, same_shape

__all__ = [
    "Invalid",
    "StereoMetrics",
    "bad_pixels",
    "d1",
    "end_point_error",
    "stereo_metrics",
]

Invalid = Literal["bad", "ignore"]

_D1_PIXELS = 3.0  # KITTI 2015: bad if the error is > 3 px and > 5 % of the true disparity
_D1_SHARE = 0.05


@dataclass(frozen=True)
class StereoMetrics:
    """Errors of one disparity map; NaN where no pixel has a prediction to measure.

    Attributes:
        bad_0_5: share of pixels with an error above 0.5 px, in percent.
        bad_1: likewise above 1 px.
        bad_2: likewise above 2 px.
        bad_4: likewise above 4 px.
        d1: KITTI's D1, above 3 px and above 5 % of the true disparity, in percent.
        epe: end-point error = mean absolute error, pixels (Middlebury's "avgerr").
        rms: root mean square error, pixels.
        a50: median absolute error, pixels (linear interpolation between order statistics).
        a90: 90 % quantile of the absolute error, pixels.
        a95: 95 % quantile.
        a99: 99 % quantile.
        density: share of evaluated pixels that have a prediction, in percent.
        count: evaluated pixels: ground truth known and inside the mask.
    """

    bad_0_5: float
    bad_1: float
    bad_2: float
    bad_4: float
    d1: float
    epe: float
    rms: float
    a50: float
    a90: float
    a95: float
    a99: float
    density: float
    count: int

    def as_dict(self) -> dict[str, float]:
        """The errors by name, in the order above."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Errors:
    """Absolute errors and true disparities of the pixels that have both, and what else counts."""

    absolute: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    count: int  # pixels with known truth inside the mask, invalid predictions included

    def share(self, bad: npt.NDArray[np.bool_], invalid: Invalid) -> float:
        """Bad pixels in percent, under either rule for invalid predictions."""
        if invalid == "bad":
            missing = self.count - self.absolute.size
            return 100.0 * (int(bad.sum()) + missing) / self.count
        return 100.0 * float(bad.mean()) if bad.size else math.nan

    def bad(self, threshold: float, invalid: Invalid) -> float:
        return self.share(self.absolute > threshold, invalid)

    def d1(self, invalid: Invalid) -> float:
        relative = self.absolute > _D1_SHARE * np.abs(self.truth)
        return self.share((self.absolute > _D1_PIXELS) & relative, invalid)

    def mean(self) -> float:
        return float(self.absolute.mean()) if self.absolute.size else math.nan

    def rms(self) -> float:
        return math.sqrt(float((self.absolute**2).mean())) if self.absolute.size else math.nan

    def quantiles(self, *q: float) -> list[float]:
        if not self.absolute.size:
            return [math.nan] * len(q)
        return [float(value) for value in np.quantile(self.absolute, q)]


def _errors(
    pred: npt.ArrayLike, gt: npt.ArrayLike, mask: npt.ArrayLike | None, name: str = "mask"
) -> _Errors:
    truth, predicted = real(gt, "gt"), real(pred, "pred")
    same_shape(predicted, "pred", truth, "gt")
    counted = np.isfinite(truth)
    if mask is not None:
        kept = np.asarray(mask)
        same_shape(kept, name, truth, "gt")
        counted &= kept != 0
    count = int(counted.sum())
    if count == 0:
        where = "" if mask is None else f" inside {name}"
        raise ValueError(f"gt has no pixel with a known (finite) disparity{where}")
    both = counted & np.isfinite(predicted)
    return _Errors(np.abs(predicted[both] - truth[both]), truth[both], count)


def _check_invalid(invalid: str) -> None:
    if invalid not in ("bad", "ignore"):
        raise ValueError(f"invalid is {invalid!r}, expected 'bad' or 'ignore'")


def bad_pixels(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    threshold: float = 1.0,
    mask: npt.ArrayLike | None = None,
    *,
    invalid: Invalid = "bad",
) -> float:
    """Share of pixels whose absolute error is above `threshold` pixels, in percent ("bad-x").

    Args:
        pred: disparities `[H, W]` (any shape), pixels, non-finite = invalid.
        gt: true disparities of the same shape, non-finite = unknown.
        threshold: pixels; the comparison is strict.
        mask: non-zero where pixels count; None for all.
        invalid: "bad" counts an invalid prediction as bad, "ignore" leaves it out.

    Raises:
        ValueError: shapes differ, no pixel to evaluate, or a threshold that is negative or NaN.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold}, expected a number >= 0 (pixels)")
    _check_invalid(invalid)
    return _errors(pred, gt, mask).bad(threshold, invalid)


def end_point_error(
    pred: npt.ArrayLike, gt: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """Mean absolute error in pixels over the pixels with a prediction; arguments as `bad_pixels`.

    Returns NaN if no evaluated pixel has a prediction.
    """
    return _errors(pred, gt, mask).mean()


def d1(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    invalid: Invalid = "bad",
) -> float:
    """KITTI 2015's D1: error > 3 px and > 5 % of the true disparity, in percent of pixels.

    Arguments as `bad_pixels`.
    """
    _check_invalid(invalid)
    return _errors(pred, gt, mask).d1(invalid)


@overload
def stereo_metrics(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    mask: Mapping[str, npt.ArrayLike | None],
    *,
    invalid: Invalid = ...,
) -> dict[str, StereoMetrics]: ...


@overload
def stereo_metrics(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    mask: npt.ArrayLike | None = ...,
    *,
    invalid: Invalid = ...,
) -> StereoMetrics: ...


def stereo_metrics(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    mask: npt.ArrayLike | Mapping[str, npt.ArrayLike | None] | None = None,
    *,
    invalid: Invalid = "bad",
) -> StereoMetrics | dict[str, StereoMetrics]:
    """All errors of a disparity map, over all pixels, one mask, or several named ones.

    Args:
        pred: disparities `[H, W]`, pixels, non-finite = invalid.
        gt: true disparities `[H, W]`, non-finite = unknown.
        mask: `[H, W]`, non-zero where pixels count; or a mapping of names to masks, such as
            `{"all": None, "nonocc": pair.nonocc}`, for one result per name.
        invalid: how bad-x and D1 treat a pixel without a prediction: "bad" counts it as bad
            (a method may not improve by giving up), "ignore" leaves it out.

    Returns:
        StereoMetrics, or a dict of them if `mask` is a mapping.

    Raises:
        ValueError: shapes differ, or no pixel to evaluate.
        TypeError: arrays that do not hold real numbers.
    """
    _check_invalid(invalid)
    if isinstance(mask, Mapping):
        return {
            name: _summarise(_errors(pred, gt, item, f"mask[{name!r}]"), invalid)
            for name, item in mask.items()
        }
    return _summarise(_errors(pred, gt, mask), invalid)


def _summarise(errors: _Errors, invalid: Invalid) -> StereoMetrics:
    a50, a90, a95, a99 = errors.quantiles(0.50, 0.90, 0.95, 0.99)
    return StereoMetrics(
        bad_0_5=errors.bad(0.5, invalid),
        bad_1=errors.bad(1.0, invalid),
        bad_2=errors.bad(2.0, invalid),
        bad_4=errors.bad(4.0, invalid),
        d1=errors.d1(invalid),
        epe=errors.mean(),
        rms=errors.rms(),
        a50=a50,
        a90=a90,
        a95=a95,
        a99=a99,
        density=100.0 * errors.absolute.size / errors.count,
        count=errors.count,
    )
