# SPDX-License-Identifier: Apache-2.0
"""Images larger than memory: energies minimised tile by tile, in a memory that is given."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._minimize import check_sizes, minimize
from mrfcore._options import check_options, core_options
from mrfcore._scalars import _flag, _integer, _threads
from mrfcore._tile_costs import Piece, Terms, UnarySource, WeightSource, find_shape
from mrfcore._tile_memory import Needs, choose_tile
from mrfcore._tile_windows import Window, bands, tiles
from mrfcore.potentials import Potential, as_potential

__all__ = ["TiledResult", "minimize_tiled"]

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TiledResult:
    """Labelling of a whole image and what is known about it."""

    labels: Labels
    """int32 [H, W]; `out` where that was given."""
    energy: float
    """E(labels) of the whole image, with all edges between tiles, summed in double."""
    lower_bound: float | None
    """No labelling of the whole image has less energy than this. None unless asked for."""
    tile: tuple[int, int]
    """Rows and columns of a tile, without overlap."""
    solves: int
    """How many windows were solved: tiles and bands around their seams."""
    predicted_bytes: int
    """Most memory at a time that was foreseen: the largest window's solve, and the labels."""

    @property
    def gap(self) -> float | None:
        """(energy - lower_bound) / |energy|, infinite where the energy is; None without a bound."""
        if self.lower_bound is None:
            return None
        if not math.isfinite(self.energy):
            return math.inf
        return (self.energy - self.lower_bound) / max(abs(self.energy), sys.float_info.min)


def minimize_tiled(
    unary: Any,
    pairwise: Potential | npt.ArrayLike,
    weights: Any = 1.0,
    *,
    tile: tuple[int, int] | None = None,
    memory: int | None = None,
    overlap: int = 32,
    mend: bool = True,
    shape: tuple[int, int, int] | None = None,
    dtype: npt.DTypeLike | None = None,
    out: Labels | None = None,
    progress: Callable[[int, int], object] | None = None,
    solver: str = "trwp",
    connectivity: int = 4,
    iterations: int | None = None,
    lower_bound: bool = False,
    tolerance: float | None = None,
    gap_tolerance: float | None = None,
    threads: int | None = None,
    **solver_options: Any,
) -> TiledResult:
    """Find a labelling of low energy, one tile of the image in memory at a time.

    Tiles are solved in raster order, each with `overlap` pixels more below and to the right, whose
    labels are dropped, and with the edges to the labels already found above and to the left. Then
    (`mend`) bands of 2 * overlap pixels around the seams are solved once more, given all labels
    around them, and kept where that lowers the energy. docs/tiled.md has the energies beside those
    of whole solves. A single tile is `minimize` itself.

    Args:
        unary: costs of one image: what has a shape [H, W, L] and can be sliced [a:b, c:d] (NumPy's
            arrays and memory maps, torch's CPU tensors, zarr's and HDF5's arrays), or a function
            (top, bottom, left, right) -> [bottom - top, right - left, L]. Windows overlap and are
            read several times. Values as for `minimize`.
        pairwise: as for `minimize`.
        weights: as for `minimize`; or what has a shape [P, H, W] and can be sliced [:, a:b, c:d],
            or a function (top, bottom, left, right) -> [P, bottom - top, right - left].
        tile: rows and columns of a tile. Exactly one of tile and memory is to be given.
        memory: most bytes to use, beside what the sources of unary and weights use themselves: the
            tile that takes the least work is chosen.
        overlap: what a tile looks ahead, in pixels; at most a tile's sides where it has neighbours.
        mend: whether to solve bands around the seams again.
        shape: (H, W, L), where unary is a function.
        dtype: float32 or float64, to compute with; None: as `minimize` chooses by unary's dtype,
            float32 where unary is a function.
        out: int32 [H, W] to write labels to, a memory map for instance; None: allocated.
        progress: called as progress(windows solved, windows in all) after each.
        solver: as for `minimize`.
        connectivity: as for `minimize`.
        iterations: as for `minimize`, of every window; None: as `minimize` chooses for it.
        lower_bound: compute a lower bound on the energy of any labelling of the whole image: the
            sum of the tiles' bounds, each without its neighbours, which are solved for that alone.
            Edges between tiles count with the least value of V, so it is weaker than a whole
            solve's.
        tolerance: as for `minimize`, of every window.
        gap_tolerance: as for `minimize`, of every window.
        threads: as for `minimize`.
        **solver_options: as for `minimize`, but for icm's init: tiles start afresh.

    Returns:
        TiledResult, the same for any number of threads.

    Raises:
        ValueError: wrong shape, size or value; the message names the argument.
        TypeError: wrong type or dtype, or an option that the solver does not have.
        MemoryError: `memory` is too little for the smallest tiles, or a tile does not fit.
    """
    check_options(minimize_tiled, solver, solver_options)
    if "init" in solver_options:
        raise TypeError("init: expected none, tiles start afresh")
    sizes = find_shape(unary, shape)
    check_sizes(sizes, connectivity)
    kind, potential = _dtype(unary, dtype), as_potential(pairwise)
    source = UnarySource(unary, sizes[2], kind)
    edges = WeightSource(weights, sizes[:2], connectivity, kind)
    options = core_options(solver, solver_options)
    if iterations is not None:
        options.iterations = _integer("iterations", iterations)
    options.threads = _threads(threads)
    options.lower_bound = _flag("lower_bound", lower_bound)
    needs = Needs(sizes, kind, potential._to_core(), edges.per_edge, connectivity, options)
    overlap = _overlap(overlap)
    size = _tile(tile, memory, overlap, needs)
    cores = list(tiles(*sizes[:2], size))
    seams = list(bands(*sizes[:2], size, overlap)) if _flag("mend", mend) else []
    run = _Run(
        source,
        edges,
        Terms(potential, _table(potential, sizes[2]), connectivity, threads),
        _labels(out, sizes),
        {
            "solver": solver,
            "connectivity": connectivity,
            "iterations": iterations,
            "tolerance": tolerance,
            "gap_tolerance": gap_tolerance,
            "threads": threads,
            **solver_options,
        },
    )
    for step, window in enumerate([*cores, *seams]):
        if step < len(cores):
            run.settle(window, overlap, lower_bound)
        else:
            run.mend(window)
        if progress is not None:
            progress(step + 1, len(cores) + len(seams))
    spans = [min(side + overlap, most) for side, most in zip(size, sizes, strict=False)]
    return TiledResult(
        labels=run.labels,
        energy=run.energy,
        lower_bound=run.bound if lower_bound else None,
        tile=size,
        solves=len(cores) + len(seams),
        predicted_bytes=needs.bytes(*spans),
    )


def _dtype(unary: Any, wanted: npt.DTypeLike | None) -> np.dtype[Any]:
    if wanted is None:
        return np.dtype(np.float64 if "float64" in str(getattr(unary, "dtype", "")) else np.float32)
    dtype = np.dtype(wanted)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected None, float32 or float64, got {dtype}")
    return dtype


def _table(potential: Potential, labels: int) -> npt.NDArray[np.float64]:
    try:
        return potential.table(labels)
    except ValueError:
        raise ValueError(
            f"pairwise: expected a table [L, L] with L = {labels} as in unary, got {potential!r}"
        ) from None


def _overlap(overlap: object) -> int:
    number = _integer("overlap", overlap)
    if number < 0:
        raise ValueError(f"overlap: expected a number of pixels >= 0, got {number}")
    return number


def _tile(tile: Any, memory: object, overlap: int, needs: Needs) -> tuple[int, int]:
    """Rows and columns of a tile as given, at most the image's, or as many as fit."""
    height, width, _ = needs.sizes
    if (tile is None) == (memory is None):
        raise TypeError("tile, memory: expected exactly one of them")
    if tile is None:
        budget = operator.index(memory) if hasattr(memory, "__index__") else None
        if budget is None or isinstance(memory, bool):
            raise TypeError(f"memory: expected a number of bytes, got {type(memory).__name__}")
        return choose_tile(height, width, overlap, budget, needs.bytes)
    if not isinstance(tile, Sequence) or len(tile) != 2:
        raise TypeError(f"tile: expected (rows, columns), got {tile!r}")
    rows, columns = _integer("tile", tile[0]), _integer("tile", tile[1])
    for name, side, most in (("rows", rows, height), ("columns", columns, width)):
        if side < 1 or (side < most and side < overlap):
            raise ValueError(
                f"tile: expected at least {max(overlap, 1)} {name} (the overlap), got {side}"
            )
    return min(rows, height), min(columns, width)


def _labels(out: Any, sizes: Sequence[int]) -> Labels:
    if out is None:
        return np.empty(sizes[:2], np.int32)
    if not isinstance(out, np.ndarray) or out.dtype != np.int32:
        kind = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out: expected a NumPy array of int32, got {kind}")
    if out.shape != tuple(sizes[:2]) or not out.flags.writeable:
        raise ValueError(
            f"out: expected shape {list(sizes[:2])} as in unary, to be written to, got "
            f"{list(out.shape)}{'' if out.flags.writeable else ', read-only'}"
        )
    return out


class _Run:
    """Labels so far, their energy, and a bound on that of any others."""

    def __init__(
        self,
        unary: UnarySource,
        weights: WeightSource,
        terms: Terms,
        labels: Labels,
        options: dict[str, Any],
    ) -> None:
        self._unary, self._weights = unary, weights
        self._terms, self._options = terms, options
        self.labels = labels
        self.labels.fill(-1)
        self.energy = 0.0
        self.bound = 0.0

    def settle(self, core: Window, ahead: int, bounded: bool) -> None:
        """Labels of a tile, given those found before."""
        height, width = self.labels.shape
        window = core.grown(ahead, height, width, ahead=True)
        whole = core == (0, height, 0, width)
        piece = self._read(window)
        found, bound = self._solve(piece, lower_bound=bounded and whole)
        labels = np.ascontiguousarray(found[core.within(window)])
        if window != core:
            piece = piece.cut(core, self.labels)
        self.energy += piece.energy(labels)
        if bounded:
            if not whole:
                _, bound = self._minimize(core, piece.unary, piece.inside, lower_bound=True)
            self.bound += bound + float(self._terms.table.min()) * piece.tie_weight
        self.labels[core.area] = labels

    def mend(self, window: Window) -> None:
        """Labels of a window, given all around it, where they lower the energy."""
        piece = self._read(window)
        before = np.ascontiguousarray(self.labels[window.area])
        after, _ = self._solve(piece)
        change = piece.energy(after) - piece.energy(before)
        if -math.inf < change < 0:
            self.energy += change
            self.labels[window.area] = after

    def _read(self, window: Window) -> Piece:
        unary, weights = self._unary.read(window), self._weights.around(window)
        return Piece(window, unary, weights, self._terms, self.labels)

    def _solve(self, piece: Piece, lower_bound: bool = False) -> tuple[Labels, float]:
        with piece.tied() as unary:
            return self._minimize(piece.window, unary, piece.inside, lower_bound)

    def _minimize(
        self, window: Window, unary: Any, weights: Any, lower_bound: bool
    ) -> tuple[Labels, float]:
        """Labels and bound; costs, as large as the unary, are not kept."""
        try:
            result: Any = minimize(
                unary, self._terms.pairwise, weights, lower_bound=lower_bound, **self._options
            )
            return result.labels, result.lower_bound
        except ValueError as error:
            place = f"in the window {list(window)} (top, bottom, left, right)"
            raise ValueError(f"{error}; {place}") from error
