# SPDX-License-Identifier: Apache-2.0
"""How well the edges of a segmentation are those of the truth (Eq 4.15-4.16), at several radii."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrfcore._scalars import _choice
from mrfcore.metrics._edge_counts import checked_protocol, scores
from mrfcore.metrics._labels import label_pairs

__all__ = ["EdgeMeter", "EdgeMetrics", "edge_metrics"]

Widen = Literal["truth", "pred", "both", "band", "match"]
Average = Literal["image", "pooled"]

# Columns of `EdgeMeter.state`.
_COUNTS = slice(0, 4)  # edge pixels: predicted and right, predicted, true and found, true
_SUMS = slice(4, 8)  # over images: precision, recall, F-measure, performance ratio where finite
_IMAGES, _UNBOUNDED = 8, 9
_COLUMNS = 10


@dataclass(frozen=True)
class EdgeMetrics:
    """Scores of edges: for each radius an entry. NaN where no image counts.

    Attributes:
        radii: pixels.
        precision: TP / (TP + FP), 0..1.
        recall: TP / (TP + FN), 0..1.
        f_measure: 2 / (1 / recall + 1 / precision), 0..1.
        performance_ratio: TP / (FP + FN), 0..inf; the text prints 100 times as much (Eq 4.16).
        images: how many images count: those that have an edge, true or predicted.
        unbounded: how many of these have no false edge, so that their ratio is infinite. The mean
            of ratios leaves them out, unless all are so.
        average: "image" or "pooled".
    """

    radii: tuple[int, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f_measure: tuple[float, ...]
    performance_ratio: tuple[float, ...]
    images: tuple[int, ...]
    unbounded: tuple[int, ...]
    average: str

    def as_dict(self) -> dict[str, float]:
        """The scores by name and radius, such as "f_measure@3"."""
        names = ("precision", "recall", "f_measure", "performance_ratio")
        return {
            f"{name}@{radius}": value
            for name in names
            for radius, value in zip(self.radii, getattr(self, name), strict=True)
        }


class EdgeMeter:
    """`edge_metrics` over a data set, a batch at a time.

    >>> seen = EdgeMeter()
    >>> for image, truth in loader:
    ...     seen.update(network(image).argmax(1), truth)
    >>> seen.compute().f_measure

    Meters of several processes add up: with `+`, `merge` or `sum`, or in place with
    `torch.distributed.all_reduce(torch.from_numpy(seen.state))`. They can be pickled.

    Arguments and errors as `edge_metrics`.
    """

    def __init__(
        self,
        radii: Iterable[int] = (1, 2, 3, 4, 5),
        *,
        widen: Widen = "truth",
        thickness: Literal[1, 2] = 2,
        shape: Literal["disk", "square"] = "disk",
        ignore: int | None = 255,
    ) -> None:
        self._protocol = checked_protocol(radii, widen, thickness, shape, ignore)
        self._state = np.zeros((len(self._protocol.radii), _COLUMNS), np.float64)

    @property
    def state(self) -> npt.NDArray[np.float64]:
        """Sums over images, float64 [radii, 10], that add up over processes. No copy."""
        return self._state

    def update(self, pred: Any, truth: Any) -> None:
        """Count the edges of a map, of every map of a batch, or of a list of either.

        Raises:
            ValueError, TypeError: as `edge_metrics`; nothing is counted then.
        """
        for maps, truths in label_pairs(pred, truth):
            size = maps.shape[-2:]
            for pair in zip(maps.reshape(-1, *size), truths.reshape(-1, *size), strict=True):
                counts, there = self._protocol.counts(*pair)
                self._add(counts.astype(np.float64), there)

    def merge(self, other: EdgeMeter) -> None:
        """Add the images of another one.

        Raises:
            TypeError: it is no EdgeMeter.
            ValueError: it has other options.
        """
        if not isinstance(other, EdgeMeter):
            raise TypeError(f"other: expected an EdgeMeter, got {type(other).__name__}")
        if self._protocol != other._protocol:
            raise ValueError(f"other: expected {self._protocol}, got {other._protocol}")
        self._state += other._state

    def reset(self) -> None:
        """Forget all images."""
        self._state[...] = 0

    def __add__(self, other: EdgeMeter) -> EdgeMeter:
        if not isinstance(other, EdgeMeter):
            return NotImplemented
        both = self._empty()
        both.merge(self)
        both.merge(other)
        return both

    def __radd__(self, other: Literal[0]) -> EdgeMeter:  # what sum() begins with
        if not isinstance(other, int) or other != 0:
            return NotImplemented
        return self + self._empty()

    def __repr__(self) -> str:
        counted = int(self._state[:, _IMAGES].max())
        return f"EdgeMeter({self._protocol}): {counted} images with edges"

    def compute(self, average: Average = "image") -> EdgeMetrics:
        """The scores of all images so far.

        Args:
            average: "image": means over images; "pooled": of the pixels of all images together.
        """
        if _choice("average", average, ("image", "pooled")) == "pooled":
            values = scores(self._state[:, _COUNTS], self._state[:, _IMAGES] > 0)
        else:
            values = self._means()
        precision, recall, f_measure, ratio = values.T.tolist()
        return EdgeMetrics(
            radii=self._protocol.radii,
            precision=tuple(precision),
            recall=tuple(recall),
            f_measure=tuple(f_measure),
            performance_ratio=tuple(ratio),
            images=self._whole(_IMAGES),
            unbounded=self._whole(_UNBOUNDED),
            average=average,
        )

    def _whole(self, column: int) -> tuple[int, ...]:
        return tuple(int(number) for number in self._state[:, column])

    def _add(self, counts: npt.NDArray[np.float64], there: bool) -> None:
        values = scores(counts, there)
        ratio = values[:, 3]
        unbounded = np.isinf(ratio)
        ratio[unbounded] = 0
        self._state[:, _COUNTS] += counts
        self._state[:, _SUMS] += np.nan_to_num(values)
        self._state[:, _IMAGES] += ~np.isnan(ratio)
        self._state[:, _UNBOUNDED] += unbounded

    def _means(self) -> npt.NDArray[np.float64]:
        """[radii, 4]; 0 / 0 is NaN: no image."""
        images, unbounded = self._state[:, _IMAGES, None], self._state[:, _UNBOUNDED]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self._state[:, _SUMS] / images
            finite = self._state[:, 7] / (images[:, 0] - unbounded)
        values[:, 3] = np.where((unbounded > 0) & (unbounded == images[:, 0]), math.inf, finite)
        return values

    def _empty(self) -> EdgeMeter:
        found = object.__new__(EdgeMeter)
        found._protocol, found._state = self._protocol, np.zeros_like(self._state)
        return found


def edge_metrics(
    pred: Any,
    truth: Any,
    radii: Iterable[int] = (1, 2, 3, 4, 5),
    *,
    widen: Widen = "truth",
    thickness: Literal[1, 2] = 2,
    shape: Literal["disk", "square"] = "disk",
    average: Average = "image",
    ignore: int | None = 255,
) -> EdgeMetrics:
    """Precision, recall, F-measure and performance ratio of edges (Eq 4.15-4.16), by radius.

    A pixel is an edge where its label differs from that of a 4-neighbour. With E the predicted and
    T the true edge pixels, W_r(.) the pixels at most r from one, and |.| counting pixels that are
    not void, the rule `widen` says what is compared:

        "truth"  TP = |E & W_r(T)|, FP = |E| - TP, FN = |W_r(T)| - TP
        "pred"   TP = |W_r(E) & T|, FP = |W_r(E)| - TP, FN = |T| - TP
        "both"   TP = |W_r(E) & W_r(T)|, FP = |W_r(E)| - TP, FN = |W_r(T)| - TP
        "band"   TP = |E & T|, FP = |E & W_r(T)| - TP, FN = |T| - TP: near true edges only
        "match"  precision |E & W_r(T)| / |E|, recall |T & W_r(E)| / |T| (Csurka et al. 2013); what
                 has no match is false; TP of the ratio is the mean of the two

    The text that defines these scores says "edge areas extended by 1 to 5 pixels" and not which of
    the rules it means. The default is what its Table 4.7 leaves: its scores rise and then fall with
    r for all networks but one, while "band" can only fall, "match" only rise, and "both" nearly
    always does; and 26.68 % at 3 pixels is more than the 25 % that straight edges one pixel thick
    can have when one map is widened. So one map is widened and both sides of a step are marked;
    that it is the truth, and by a disk, is our choice. Under "truth" and "pred" a perfect
    prediction is not 1: at 3 pixels it has some 0.4. To say how good edges are, rather than to
    compare with that table, use "match".

    Void pixels of the truth count nowhere, whatever is predicted there, and a step onto one is no
    edge. Where void is drawn along boundaries, as in PASCAL VOC, `fill_void(truth, 5)` first.

    Args:
        pred: labels, integers [H, W] or [B, H, W], NumPy or torch, of a GPU copied; or a list of
            them, of any sizes.
        truth: likewise, of the same shapes.
        radii: pixels, >= 0.
        widen: the rule.
        thickness: 2: pixels on both sides of a step are edges; 1: the one on its left or above it.
        shape: "disk": distances in a straight line; "square": in rows and in columns.
        average: "image": the mean over images; so the table, whose ratios are larger than those
            that belong to its F-measures. "pooled": of the pixels of all images together.
        ignore: void label of the truth. None: there is none.

    Returns:
        EdgeMetrics. An image without any edge, true or predicted, does not count; one without a hit
        has 0 in all scores. Where no edge is false the ratio is infinite: such an image is left
        out of the mean ratio, unless all are so. In one image, and but for "match", ratio
        = F / (2 (1 - F)).

    Raises:
        ValueError: shapes differ, empty, or a wrong option; the message names it.
        TypeError: no integers.
    """
    seen = EdgeMeter(radii, widen=widen, thickness=thickness, shape=shape, ignore=ignore)
    _choice("average", average, ("image", "pooled"))
    seen.update(pred, truth)
    return seen.compute(average)
