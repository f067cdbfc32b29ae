# SPDX-License-Identifier: Apache-2.0
"""Pictures of disparities, errors, labels and convergence.

The colouring functions return uint8 RGB arrays `[H, W, 3]` for `io.write_image`; the figures are
drawn by Matplotlib without a display and without touching its global state.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._figures import SolverOutcome, TraceLike, comparison_figure, convergence_plot

__all__ = [
    "SolverOutcome",
    "TraceLike",
    "colorize_disparity",
    "comparison_figure",
    "convergence_plot",
    "error_map",
    "label_overlay",
]

Colour = tuple[int, int, int]
RGB = npt.NDArray[np.uint8]

_UNKNOWN = (158, 160, 166)  # no ground truth
_MISSING = (64, 96, 200)  # ground truth, but no prediction
_GOOD = ((250, 250, 250), (205, 215, 210))  # error 0 ... threshold
_BAD = ((255, 205, 90), (225, 70, 30), (110, 0, 20))  # threshold ... 4 * threshold and above


def _map2d(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}, expected [H, W], not empty")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array.astype(np.float64)


def colorize_disparity(
    disparity: npt.ArrayLike,
    vmin: float | None = None,
    vmax: float | None = None,
    invalid: Colour = (0, 0, 0),
) -> RGB:
    """Colour a disparity map with turbo: blue is far, red is near.

    Args:
        disparity: `[H, W]`, non-finite = invalid.
        vmin: disparity of the first colour; None takes the smallest there is.
        vmax: disparity of the last colour; None takes the largest. Values beyond are clamped.
        invalid: RGB colour of pixels without a disparity.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: another shape, or vmin > vmax.
    """
    from matplotlib import colormaps  # lazily: it costs more than the rest of the package

    values = _map2d(disparity, "disparity")
    valid = np.isfinite(values)
    low = vmin if vmin is not None else float(values[valid].min(initial=math.inf))
    high = vmax if vmax is not None else float(values[valid].max(initial=-math.inf))
    if valid.any() and not low <= high:
        raise ValueError(f"vmin is {low} and vmax is {high}, expected vmin <= vmax")
    scaled = np.zeros(values.shape)
    if high > low:
        scaled[valid] = np.clip((values[valid] - low) / (high - low), 0.0, 1.0)
    rgb = np.array(colormaps["turbo"](scaled, bytes=True)[..., :3])
    rgb[~valid] = invalid
    return rgb


def _ramp(position: npt.NDArray[np.float64], colours: tuple[Colour, ...]) -> npt.NDArray[Any]:
    """Colours interpolated at positions in [0, 1] along a list of colours."""
    nodes = np.linspace(0.0, 1.0, len(colours))
    channels = np.asarray(colours, np.float64).T
    return np.stack([np.interp(position, nodes, channel) for channel in channels], axis=-1)


def error_map(
    pred: npt.ArrayLike,
    gt: npt.ArrayLike,
    threshold: float = 1.0,
    nonocc: npt.ArrayLike | None = None,
) -> RGB:
    """Colour the errors of a disparity map.

    White to pale: correct, error 0 to `threshold`. Yellow over red to dark red: bad, from
    `threshold` to four times as much. Blue: no prediction. Grey: no ground truth.

    Args:
        pred: disparities `[H, W]`, non-finite = invalid.
        gt: true disparities `[H, W]`, non-finite = unknown.
        threshold: pixels; errors above it are bad (strictly, as in `metrics.bad_pixels`).
        nonocc: `[H, W]`, non-zero where both images see the point; bad pixels elsewhere are
            drawn half transparent, since no matching can find them.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: shapes differ, or a threshold that is not positive.
    """
    predicted, truth = _map2d(pred, "pred"), _map2d(gt, "gt")
    seen = np.ones(truth.shape) if nonocc is None else np.asarray(nonocc)
    for name, array in (("pred", predicted), ("nonocc", seen)):
        if array.shape != truth.shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {truth.shape}, that of gt")
    if not 0 < threshold < math.inf:
        raise ValueError(f"threshold is {threshold}, expected a positive number (pixels)")
    known, given = np.isfinite(truth), np.isfinite(predicted)
    error = np.zeros(truth.shape)
    error[known & given] = np.abs(predicted - truth, where=known & given, out=error)[known & given]
    bad = error > threshold
    rgb = _ramp(np.clip(error / threshold, 0.0, 1.0), _GOOD)
    rgb[bad] = _ramp(np.clip((error[bad] / threshold - 1.0) / 3.0, 0.0, 1.0), _BAD)
    rgb[known & ~given] = _MISSING
    excused = known & (seen == 0) & (bad | ~given)
    rgb[excused] = 0.5 * rgb[excused] + 0.5 * 225.0
    rgb[~known] = _UNKNOWN
    return np.asarray(np.rint(rgb).astype(np.uint8))


def _palette(count: int) -> npt.NDArray[np.float64]:
    """Distinct colours `[count, 3]`: hues a golden section apart, two levels of brightness."""
    index = np.arange(count)
    hue = (0.09 + index * 0.6180339887498949) % 1.0
    value = np.where(index // 8 % 2 == 0, 0.95, 0.65)
    # HSV to RGB, channel by channel: the distance on the colour circle from red, green and blue.
    channels = []
    for centre in (0.0, 1.0 / 3.0, 2.0 / 3.0):
        away = np.abs((hue - centre + 0.5) % 1.0 - 0.5)
        channels.append(1.0 - 0.75 * np.clip(6.0 * away - 1.0, 0.0, 1.0))
    return np.asarray(255.0 * value[:, None] * np.stack(channels, axis=1))


def label_overlay(
    image: npt.ArrayLike,
    labels: npt.ArrayLike,
    alpha: float = 0.5,
    *,
    boundaries: bool = True,
    colours: npt.ArrayLike | None = None,
) -> RGB:
    """Lay the regions of a labelling over an image, with their boundaries.

    Args:
        image: uint8 `[H, W]` or `[H, W, 3]`.
        labels: integers >= 0 `[H, W]`; negative ones are left uncoloured.
        alpha: opacity of the colours, in [0, 1].
        boundaries: draw a dark line where the label changes.
        colours: RGB of each label `[L, 3]`, 0 to 255; None takes a palette of distinct hues.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: shapes differ, labels beyond `colours`, or alpha outside [0, 1].
        TypeError: labels that are not integers, or an image that is not uint8.
    """
    picture, regions = np.asarray(image), np.asarray(labels)
    if picture.dtype != np.uint8:
        raise TypeError(f"image has dtype {picture.dtype}, expected uint8")
    if regions.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {regions.dtype}, expected integers")
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    if picture.ndim != 3 or picture.shape[2] != 3 or regions.shape != picture.shape[:2]:
        raise ValueError(
            f"labels has shape {regions.shape} and image {np.shape(image)}, "
            "expected [H, W] and [H, W] or [H, W, 3]"
        )
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}, expected a number in [0, 1]")
    count = int(regions.max(initial=-1)) + 1
    table = _palette(count) if colours is None else np.asarray(colours, np.float64)
    if table.ndim != 2 or table.shape[1] != 3 or len(table) < count:
        raise ValueError(f"colours has shape {table.shape}, expected [L, 3] with L >= {count}")
    rgb, coloured = picture.astype(np.float64), regions >= 0
    rgb[coloured] += alpha * (table[regions[coloured]] - rgb[coloured])
    if boundaries:
        rgb[_boundaries(regions)] *= 0.25
    return np.asarray(np.rint(rgb).astype(np.uint8))


def _boundaries(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge
