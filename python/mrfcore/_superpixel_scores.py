# SPDX-License-Identifier: Apache-2.0
"""How well superpixels keep to segments (Stutz, Hermans & Leibe 2018), and pictures of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import to_numpy
from mrfcore._scalars import _integer

__all__ = [
    "achievable_accuracy",
    "boundaries",
    "boundary_recall",
    "compactness",
    "mean_colours",
    "undersegmentation_error",
]

_Ids = npt.NDArray[np.int64]


def boundaries(ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Pixels of a map [H, W] whose neighbour on the right or below has another id."""
    return _edges(_map("ids", ids))


def boundary_recall(
    ids: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    radius: int | None = None,
    ignore: int | None = None,
) -> float:
    """Share of the true boundary pixels that have one of the superpixels' near by.

    Args:
        ids: superpixels, integers [H, W].
        truth: segments, integers [H, W].
        radius: near by means at most so many pixels away in either direction, >= 0; None: 0.0025 of
            the diagonal, rounded (1 at 481 x 321).
        ignore: void label of the truth: a step onto it or off it is no boundary. None: there is
            none.

    Returns:
        0..1; 1 where there is no true boundary.

    Raises:
        ValueError, TypeError: not such arrays.
    """
    superpixels, segments = _both(ids, truth)
    found, wanted = _edges(superpixels), _edges(segments, _counted(segments, ignore))
    if radius is None:
        reach = round(0.0025 * math.hypot(*found.shape))
    else:
        reach = _integer("radius", radius)
        if reach < 0:
            raise ValueError(f"radius: expected a number >= 0, got {radius}")
    total = int(np.count_nonzero(wanted))
    return int(np.count_nonzero(wanted & _grown(found, reach))) / total if total else 1.0


def undersegmentation_error(
    ids: npt.ArrayLike, truth: npt.ArrayLike, *, ignore: int | None = None
) -> float:
    """Pixels by which superpixels leak over segments, as a share of the image.

    Of every superpixel that touches a segment the smaller part counts, inside or outside (Neubert
    & Protzel 2012). 0 is best.

    Args:
        ids: superpixels, integers [H, W].
        truth: segments, integers [H, W].
        ignore: void label of the truth, whose pixels count neither in superpixels nor in the image.
            None: there is none.

    Returns:
        A share; NaN where all is void.

    Raises:
        ValueError, TypeError: not such arrays.
    """
    sizes, superpixels, inside = _overlaps(ids, truth, ignore)
    leak = int(np.minimum(inside, sizes[superpixels] - inside).sum())
    return leak / int(sizes.sum()) if len(inside) else math.nan


def achievable_accuracy(
    ids: npt.ArrayLike, truth: npt.ArrayLike, *, ignore: int | None = None
) -> float:
    """Share of pixels in the right segment when each superpixel takes the one it overlaps most.

    Args:
        ids: superpixels, integers [H, W].
        truth: segments, integers [H, W].
        ignore: void label of the truth, whose pixels do not count. None: there is none.

    Returns:
        A share; NaN where all is void.

    Raises:
        ValueError, TypeError: not such arrays.
    """
    sizes, superpixels, inside = _overlaps(ids, truth, ignore)
    most = np.zeros_like(sizes)
    np.maximum.at(most, superpixels, inside)
    return int(most.sum()) / int(sizes.sum()) if len(inside) else math.nan


def compactness(ids: npt.ArrayLike) -> float:
    """Mean of 4 pi area / perimeter^2 over pixels (Schick, Fischer & Stiefelhagen 2012).

    The perimeter counts sides of pixels towards anything else, so that a square has pi / 4.

    Args:
        ids: superpixels, integers [H, W].
    """
    dense = _dense(_map("ids", ids))
    framed = np.pad(dense, 1, constant_values=-1)
    perimeters = np.zeros(int(dense.max()) + 1, np.int64)
    inner = framed[1:-1, 1:-1]
    for other in (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]):
        perimeters += np.bincount(inner[inner != other], minlength=len(perimeters))
    areas = np.bincount(dense.ravel()).astype(np.float64)
    return float((areas * (4 * math.pi * areas / perimeters.astype(np.float64) ** 2)).sum()) / (
        dense.size
    )


def mean_colours(image: npt.ArrayLike, ids: npt.ArrayLike) -> npt.NDArray[Any]:
    """Every pixel of an image [H, W] or [H, W, C] in the mean colour of its superpixel.

    Returns:
        An array like `image`; integers are rounded.

    Raises:
        ValueError, TypeError: not such arrays.
    """
    pixels, dense = to_numpy("image", image), _dense(_map("ids", ids))
    if pixels.ndim not in (2, 3) or pixels.shape[:2] != dense.shape or pixels.size == 0:
        raise ValueError(
            f"image: expected [H, W] or [H, W, C] as ids {list(dense.shape)}, got shape "
            f"{list(pixels.shape)}"
        )
    at = dense.ravel()
    channels = pixels.reshape(at.size, -1)
    sums = np.stack([np.bincount(at, channels[:, c]) for c in range(channels.shape[1])], axis=1)
    means = sums / np.bincount(at)[:, np.newaxis]
    if pixels.dtype.kind != "f":
        means = np.rint(means)
    return means.astype(pixels.dtype)[at].reshape(pixels.shape)


# ---------------------------------------------------------------- maps


def _map(name: str, values: npt.ArrayLike) -> _Ids:
    array = to_numpy(name, values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected [H, W], got shape {list(array.shape)}")
    return array.astype(np.int64)


def _both(ids: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[_Ids, _Ids]:
    found, wanted = _map("ids", ids), _map("truth", truth)
    if found.shape != wanted.shape:
        raise ValueError(
            f"truth: expected [H, W] as ids {list(found.shape)}, got shape {list(wanted.shape)}"
        )
    return found, wanted


def _counted(truth: _Ids, ignore: int | None) -> npt.NDArray[np.bool_] | None:
    """Where there is a segment; None: everywhere."""
    return None if ignore is None else truth != _integer("ignore", ignore)


def _edges(ids: _Ids, counts: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
    """On the left of a step, or above it; both sides must count."""
    across, down = ids[:, :-1] != ids[:, 1:], ids[:-1] != ids[1:]
    if counts is not None:
        across &= counts[:, :-1] & counts[:, 1:]
        down &= counts[:-1] & counts[1:]
    found = np.zeros(ids.shape, np.bool_)
    found[:, :-1] |= across
    found[:-1] |= down
    return found


def _grown(marks: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """Marks, and what is at most `reach` rows and columns away."""
    for axis in (0, 1):
        size = marks.shape[axis]
        counts = np.cumsum(marks, axis=axis)
        last = np.minimum(np.arange(size) + reach, size - 1)
        before = np.arange(size) - reach - 1
        outside = np.expand_dims(before < 0, 1 - axis)
        below = np.where(outside, 0, np.take(counts, np.maximum(before, 0), axis=axis))
        marks = np.take(counts, last, axis=axis) > below
    return marks


def _dense(ids: _Ids) -> _Ids:
    """From 0 on without gaps."""
    _, inverse = np.unique(ids, return_inverse=True)
    return np.asarray(inverse, np.int64).reshape(ids.shape)


def _overlaps(
    ids: npt.ArrayLike, truth: npt.ArrayLike, ignore: int | None
) -> tuple[_Ids, _Ids, _Ids]:
    """Sizes of superpixels; of those that overlap a segment: their number, and the pixels."""
    superpixels, segments = _both(ids, truth)
    counts = _counted(segments, ignore)
    if counts is not None:
        superpixels, segments = superpixels[counts], segments[counts]
    if not superpixels.size:
        return superpixels, superpixels, superpixels
    found, wanted = _dense(superpixels).ravel(), _dense(segments).ravel()
    number = int(wanted.max()) + 1
    key, inside = np.unique(found * number + wanted, return_counts=True)
    return np.bincount(found), key // number, inside
