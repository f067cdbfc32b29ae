# SPDX-License-Identifier: Apache-2.0
"""Edge pixels that are right, wrong and missed, by rule, and the scores of such counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrfcore._scalars import _choice, _integer
from mrfcore.metrics._labels import Labels, checked_ignore, counted
from mrfcore.metrics._marks import SHAPES, THICKNESSES, Marks, edges, widened

__all__ = ["Protocol", "checked_protocol", "scores"]

_WIDEN = ("truth", "pred", "both", "band", "match")


@dataclass(frozen=True)
class Protocol:
    """What counts as an edge, and as a hit; see `edge_metrics`."""

    radii: tuple[int, ...]
    widen: str
    thickness: int
    shape: str
    ignore: int | None

    def counts(self, pred: Labels, truth: Labels) -> tuple[npt.NDArray[np.int64], bool]:
        """[radii, 4] pixels of one image: predicted and right, predicted, true and found, true.

        And whether there is an edge at all: "band" may count none of them.
        """
        area = counted(truth, self.ignore)
        found, wanted = (edges(labels, area, self.thickness) for labels in (pred, truth))
        rows = [self._at(radius, found, wanted, area) for radius in self.radii]
        return np.array(rows, np.int64), bool(found.any() or wanted.any())

    def _at(
        self, radius: int, found: Marks, wanted: Marks, area: Marks
    ) -> tuple[int, int, int, int]:
        def wide(marks: Marks) -> Marks:
            return widened(marks, radius, self.shape) & area

        if self.widen == "match":  # the only rule that counts hits on both sides
            right, recalled = found & wide(wanted), wanted & wide(found)
            return _size(right), _size(found), _size(recalled), _size(wanted)
        if self.widen == "truth":
            wanted = wide(wanted)
        elif self.widen == "pred":
            found = wide(found)
        elif self.widen == "both":
            found, wanted = wide(found), wide(wanted)
        else:
            found = found & wide(wanted)
        hits = _size(found & wanted)
        return hits, _size(found), hits, _size(wanted)


def checked_protocol(
    radii: Iterable[int], widen: str, thickness: int, shape: str, ignore: int | None
) -> Protocol:
    """Raise ValueError or TypeError that names an option unless all are good."""
    if isinstance(radii, (str, bytes)) or not isinstance(radii, Iterable):
        raise TypeError(f"radii: expected integers such as (1, 2), got {type(radii).__name__}")
    reaches = tuple(_integer("radii", radius) for radius in radii)
    if not reaches or min(reaches) < 0:
        raise ValueError(f"radii: expected one or more numbers >= 0, got {list(reaches)}")
    return Protocol(
        reaches,
        _choice("widen", widen, _WIDEN),
        _choice("thickness", thickness, THICKNESSES),
        _choice("shape", shape, SHAPES),
        checked_ignore(ignore),
    )


def scores(
    counts: npt.NDArray[np.float64], edges_there: npt.NDArray[np.bool_] | bool
) -> npt.NDArray[np.float64]:
    """Precision, recall, F-measure and performance ratio [..., 4] of counts [..., 4].

    0 where nothing is right; NaN where there is no edge at all, which `edges_there` [...] says.
    """
    right, found, recalled, wanted = np.moveaxis(counts, -1, 0)
    precision, recall = _share(right, found), _share(recalled, wanted)
    f_measure = _share(2 * precision * recall, precision + recall)
    false = found - right + wanted - recalled
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (right + recalled) / 2 / false
    ratio[right + recalled == 0] = 0
    found_scores = np.stack([precision, recall, f_measure, ratio], axis=-1)
    found_scores[np.broadcast_to(np.logical_not(edges_there), ratio.shape)] = math.nan
    return found_scores


def _share(
    part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _size(marks: Marks) -> int:
    return int(np.count_nonzero(marks))
