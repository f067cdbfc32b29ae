# SPDX-License-Identifier: Apache-2.0
"""Classic mean shift: clusters are the modes that points climb to.

>>> from mrfcore.cluster import MeanShift
>>> MeanShift(bandwidth=0.5).fit(points).labels_

The interface is that of scikit-learn's MeanShift, and with the flat kernel its clusters, too.
Differentiable mean shift, in which all points move, is `mrfcore.nn.functional.mean_shift`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _arrays, _core
from mrfcore._scalars import _checked, _choice, _flag, _integer, _threads

__all__ = ["MeanShift", "estimate_bandwidth"]

_Floats = npt.NDArray[np.float64]
_AT_ONCE = 1 << 22  # distances in memory at a time
_PARAMETERS = (
    "bandwidth",
    "kernel",
    "seeds",
    "bin_seeding",
    "min_bin_freq",
    "cluster_all",
    "max_iter",
    "tolerance",
    "threads",
)


class MeanShift:
    """Mean shift clustering (Fukunaga & Hostetler 1975; Comaniciu & Meer 2002).

    Every seed moves to the weighted mean of the points around it until it moves no more than
    `tolerance` bandwidths. Of modes within a bandwidth of each other the one with most points
    around it stays; a point belongs to the nearest one. All is computed in float64, on the CPU; the
    result does not depend on the number of threads. Points are NumPy arrays or what NumPy takes for
    one, tensors on the CPU included; arrays on a GPU are refused, as scikit-learn does.

    Args:
        bandwidth: radius of the flat kernel, standard deviation of the Gaussian, in [1e-150,
            1e150]; None: `estimate_bandwidth` of the points.
        kernel: "flat": 1 up to the bandwidth (what `mean_shift_euclid` calls "epanechnikov", by the
            density it climbs); "gaussian": exp(-d^2 / (2 bandwidth^2)), cut off at six bandwidths.
        seeds: [S, D] where to start; None: at every point, or with `bin_seeding` at every bin.
        bin_seeding: start at the corners, one bandwidth apart, that at least `min_bin_freq` points
            round to: fewer seeds.
        min_bin_freq: >= 1.
        cluster_all: False leaves points farther than the bandwidth from every centre out, label -1.
        max_iter: moves of a seed at most.
        tolerance: share of the bandwidth.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Attributes:
        cluster_centers_: [K, D], most points first.
        labels_: int64 [N], numbers of centres.
        bandwidth_: the bandwidth used.
        n_iter_: most moves of a seed.
    """

    def __init__(
        self,
        *,
        bandwidth: float | None = None,
        kernel: str = "flat",
        seeds: npt.ArrayLike | None = None,
        bin_seeding: bool = False,
        min_bin_freq: int = 1,
        cluster_all: bool = True,
        max_iter: int = 300,
        tolerance: float = 1e-3,
        threads: int | None = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.seeds = seeds
        self.bin_seeding = bin_seeding
        self.min_bin_freq = min_bin_freq
        self.cluster_all = cluster_all
        self.max_iter = max_iter
        self.tolerance = tolerance
        self.threads = threads

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Arguments of the constructor, as scikit-learn's tools ask for them."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> MeanShift:
        """Change arguments of the constructor."""
        for name, value in params.items():
            setattr(self, _choice("parameter", name, _PARAMETERS), value)
        return self

    def __repr__(self) -> str:
        """The constructor's call with what is not its default, as scikit-learn shows it."""
        defaults = inspect.signature(type(self)).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(defaults[name].default)  # arrays are not to be compared
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def fit(self, points: npt.ArrayLike, y: object = None) -> MeanShift:  # noqa: ARG002
        """Find the clusters of points [N, D].

        Raises:
            ValueError: wrong shape or value; the message names the argument. No seed has a point
                around it.
            TypeError: points or seeds are on a GPU, or require a gradient.
        """
        x = _points("points", points)
        options = self._options()
        width = self.bandwidth
        if width is None:
            width = estimate_bandwidth(x)
            if width == 0:
                raise ValueError("bandwidth: the estimate for these points is 0; give one")
        self.bandwidth_ = _checked(  # the square is neither 0 nor infinite
            "bandwidth", width, lambda b: 1e-150 <= b <= 1e150, "a number in [1e-150, 1e150]"
        )
        seeds = self._seeds(x)
        modes, mass = np.empty_like(seeds), np.empty(len(seeds))
        moves = np.zeros(len(seeds), np.int32)
        _core.seek_modes(
            x, seeds, self.kernel == "gaussian", self.bandwidth_, *options, modes, mass, moves
        )
        self.n_iter_ = int(moves.max(initial=0))
        self.cluster_centers_ = _distinct(modes[mass > 0], mass[mass > 0], self.bandwidth_)
        if not len(self.cluster_centers_):
            raise ValueError(
                f"bandwidth: no point lies within {self.bandwidth_} of any seed; give a larger one "
                "or other seeds"
            )
        self.labels_, distance = _nearest(x, self.cluster_centers_)
        if not _flag("cluster_all", self.cluster_all):
            self.labels_[distance > self.bandwidth_] = -1
        return self

    def fit_predict(self, points: npt.ArrayLike, y: object = None) -> npt.NDArray[np.int64]:
        """`labels_` after `fit`."""
        return self.fit(points, y).labels_

    def predict(self, points: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Number of the nearest centre of each of points [N, D]."""
        if not hasattr(self, "cluster_centers_"):
            raise ValueError("predict: there are no clusters yet; call fit first")
        x = _points("points", points)
        if x.shape[1] != self.cluster_centers_.shape[1]:
            raise ValueError(
                f"points: expected [N, {self.cluster_centers_.shape[1]}] as fitted, got shape "
                f"{list(x.shape)}"
            )
        return _nearest(x, self.cluster_centers_)[0]

    def _options(self) -> tuple[int, float, int]:
        _choice("kernel", self.kernel, ("flat", "gaussian"))
        if _integer("max_iter", self.max_iter) < 0:
            raise ValueError(f"max_iter: expected a number >= 0, got {self.max_iter}")
        if _integer("min_bin_freq", self.min_bin_freq) < 1:
            raise ValueError(f"min_bin_freq: expected a number >= 1, got {self.min_bin_freq}")
        tolerance = _checked("tolerance", self.tolerance, lambda t: t >= 0, "a number >= 0")
        return self.max_iter, tolerance, _threads(self.threads)

    def _seeds(self, x: _Floats) -> _Floats:
        if self.seeds is not None:
            seeds = _points("seeds", self.seeds)
            if seeds.shape[1] != x.shape[1]:
                raise ValueError(
                    f"seeds: expected [S, {x.shape[1]}] as points, got {list(seeds.shape)}"
                )
            return seeds
        if not _flag("bin_seeding", self.bin_seeding):
            return x
        bins, counts = np.unique(np.round(x / self.bandwidth_), axis=0, return_counts=True)
        seeds = bins[counts >= self.min_bin_freq] * self.bandwidth_
        return x if len(seeds) == len(x) else np.ascontiguousarray(seeds)


def estimate_bandwidth(
    points: npt.ArrayLike,
    *,
    quantile: float = 0.3,
    n_samples: int | None = None,
    seed: int = 0,
) -> float:
    """Mean distance of a point [N, D] to the farthest of its nearest `quantile` N points.

    n_samples points, drawn with `seed`, are used where given: time grows with N^2.
    """
    x = _points("points", points)
    share = _checked("quantile", quantile, lambda q: 0 <= q <= 1, "a number in [0, 1]")
    if n_samples is not None and _integer("n_samples", n_samples) < 1:
        raise ValueError(f"n_samples: expected None or a number >= 1, got {n_samples}")
    if n_samples is not None and n_samples < len(x):
        x = x[np.random.default_rng(seed).permutation(len(x))[:n_samples]]
    rank = max(1, int(len(x) * share)) - 1  # the point itself is its own first neighbour
    total = 0.0
    for _, squares in _distances(x, x):
        total += float(np.sqrt(np.partition(squares, rank, axis=1)[:, rank]).sum())
    return total / len(x)


def _points(name: str, values: npt.ArrayLike) -> _Floats:
    if _arrays.on_device(values):
        raise TypeError(
            f"{name}: is on a GPU; clustering runs on the CPU, and copies nothing there unasked: "
            f"pass {name}.cpu()"
        )
    x = np.ascontiguousarray(_arrays.to_numpy(name, values), dtype=np.float64)
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"{name}: expected [N, D], neither of them 0, got shape {list(x.shape)}")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise ValueError(f"{name}: expected finite numbers, got {x[row].tolist()} at row {row}")
    return x


def _distances(x: _Floats, to: _Floats) -> Iterator[tuple[int, _Floats]]:
    """Squared distances by blocks of rows of x, as (first row, [rows, len(to)])."""
    rows = max(1, _AT_ONCE // len(to))
    for first in range(0, len(x), rows):
        block = x[first : first + rows]
        squares = np.zeros((len(block), len(to)))
        for axis in range(x.shape[1]):  # no cancellation, unlike a^2 + b^2 - 2 a b
            squares += (block[:, axis, None] - to[None, :, axis]) ** 2
        yield first, squares


def _nearest(x: _Floats, centres: _Floats) -> tuple[npt.NDArray[np.int64], _Floats]:
    labels, distance = np.empty(len(x), np.int64), np.empty(len(x))
    for first, squares in _distances(x, centres):
        part = slice(first, first + len(squares))
        labels[part] = squares.argmin(1)
        distance[part] = np.sqrt(squares.min(1))
    return labels, distance


def _distinct(modes: _Floats, mass: _Floats, bandwidth: float) -> _Floats:
    """Of modes within a bandwidth the one with the greatest mass, then the greatest coordinates."""
    keys = (*modes.T[::-1], mass)
    left = modes[np.lexsort(keys)[::-1]]
    kept: list[_Floats] = []
    while len(left):
        kept.append(left[0])
        left = left[((left - left[0]) ** 2).sum(1) > bandwidth**2]
    return np.array(kept).reshape(-1, modes.shape[1])
