# SPDX-License-Identifier: Apache-2.0
"""minimize() and energy(): arguments made ready for the core, results made pleasant."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import like, on_device, to_numpy
from mrfcore._options import check_options, core_options
from mrfcore._reports import core_callback, make_result
from mrfcore._result import Progress, Result
from mrfcore._scalars import _flag, _integer, _optional_number, _threads
from mrfcore.potentials import Potential, as_potential

__all__ = ["energy", "minimize"]


@dataclass
class _Problem:
    """Arguments common to minimize and energy, as the core wants them."""

    unary: npt.NDArray[Any]  # [B, H, W, L], dtype float32 or float64, perhaps not contiguous yet
    batched: bool
    potential: _core.Potential
    weight: float
    edge_weights: npt.NDArray[Any] | None  # [1 or B, P, H, W]
    connectivity: int

    def contiguous(self) -> npt.NDArray[Any]:
        return np.ascontiguousarray(self.unary, dtype=self.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self.unary.dtype == np.float64 else np.float32)

    @property
    def copy_bytes(self) -> int:
        ready = self.unary.dtype == self.dtype and self.unary.flags.c_contiguous
        return 0 if ready else self.unary.size * self.dtype.itemsize


def minimize(
    unary: Any,
    pairwise: Potential | npt.ArrayLike,
    weights: Any = 1.0,
    *,
    solver: str = "trwp",
    connectivity: int = 4,
    iterations: int | None = None,
    trace: bool = False,
    lower_bound: bool = False,
    tolerance: float | None = None,
    gap_tolerance: float | None = None,
    threads: int | None = None,
    callback: Callable[[Progress], object] | None = None,
    **solver_options: Any,
) -> Result:
    """Find a labelling x of low energy.

    E(x) = sum_i unary_i(x_i) + sum_(ij) w_ij V(x_i, x_j), every undirected edge once (Eq 3.1).

    Args:
        unary: costs [H, W, L] or [B, H, W, L]; NumPy, torch, or anything with DLPack or the array
            interface. Arrays on a GPU (torch's, CuPy's) are worked on there, in torch's current
            stream, and all other arrays must be there, too. Used in place when contiguous and
            float32 or float64; integers, booleans and float16 are converted to float32. +inf
            forbids a label; NaN, -inf and magnitudes from 1e26 (float64: 1e196) are refused.
        pairwise: V: `mrfcore.Potts()`, `TruncatedLinear(t)`, ..., or a table [L, L].
        weights: w_ij >= 0: a number, or [P, H, W] or [B, P, H, W] with P = connectivity / 2; entry
            [p, y, x] belongs to the edge (y, x) - (y + dy, x + dx), (dy, dx) = (0,1) (1,0) | (1,1)
            (1,-1) | (1,2) (2,1) (2,-1) (1,-2). Entries of edges that leave the image are ignored.
        solver: "trwp" (parallel tree-reweighted, Eq 3.10: the default), "trws" (sequential TRW:
            lowest energies), "isgmr" (Eq 3.9), "sgm" (Eq 3.3; once with iterations=1 is the
            textbook's), "bp" (loopy belief propagation), "mean_field", "icm" (Eq 2.32), "chain"
            (exact, for H = 1 or W = 1).
        connectivity: neighbours of a node: 4, 8 or 16.
        iterations: most iterations; 0 gives the arg-min of the unaries. None: 50, but 10 for trwp
            where it starts from coarser grids (images of 31 pixels or more either way, unless
            coarse=0) and is as far after 10 as after 50 from zero, if no tolerance is given.
        trace: record energy (and bound, if asked for) after each iteration in `Result.trace`: of
            the arg-min labelling, which `polish` comes after.
        lower_bound: compute a lower bound on the energy of any labelling, which gives
            `Result.gap`: for trws its own, for all others the sum of exact minima over chains after
            reparametrisation by the messages. Takes as long as two to four iterations.
        tolerance: stop once an iteration changes the energy by no more than this share of it.
        gap_tolerance: stop once (energy - lower bound) / |energy| is no more than this, both of the
            present iteration and so before `polish`, after which the gap is smaller. Asks for a
            bound after each iteration, several times the time of one.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.
        callback: called after each iteration with a `Progress`; a true return value stops (the
            present item).
        **solver_options: keep_best=False (all: return the best labelling seen; isgmr on 4
            connections can diverge), polish (trwp, bp, isgmr: 0 to 4 labellings are read off the
            messages at the end, each from another corner of the image, rows and columns of each
            minimised exactly, and of them and the costs' arg-min the best parts put together, which
            never raises the energy; 0: the arg-min; default 4 for trwp on images of 31 pixels or
            more either way, else 0), coarse (trwp, bp: first messages are those of up to so many
            grids of half the size each; default 3 for trwp, else 0),
            min_convolution="auto" | "general" (the O(L^2) path), rho
            (trwp; default 2 / connectivity, the share of chains through an edge), damping in [0, 1)
            (trwp, bp, isgmr), message_dtype="float16" | "bfloat16" (trwp, bp, isgmr, trws, on the
            CPU with float32 unaries: messages are kept in 16 bits and computed in 32, which halves
            their memory; float16 for messages up to 65504; energies and bounds stay true, the
            labelling may be a little worse), head="unary" | "zero" (sgm: first message of a
            scanline),
            normalise=None | "directions" (mean_field: divide the neighbours' sum by the
            connectivity), init (icm: labels to start from).

    Returns:
        Result; labels are int32, costs are like unary, arrays are of the library that unary came
        from.

    Raises:
        ValueError: wrong shape, size or value; the message names the argument.
        TypeError: wrong type or dtype, or an option that the solver does not have.
        MemoryError: it does not fit; says how many bytes are needed, before allocating.
        KeyboardInterrupt: within a fraction of a second of Ctrl-C.
    """
    check_options(minimize, solver, solver_options)
    options = core_options(solver, solver_options)
    if iterations is not None:
        options.iterations = _integer("iterations", iterations)
    elif tolerance is None and gap_tolerance is None:  # else they say when it is enough
        options.iterations = _core.default_iterations(options, *_image_size(unary))
    options.threads = _threads(threads)
    options.trace = _flag("trace", trace)
    options.lower_bound = _flag("lower_bound", lower_bound)
    options.tolerance = _optional_number("tolerance", tolerance)
    options.gap_tolerance = _optional_number("gap_tolerance", gap_tolerance)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: expected a function, got {type(callback).__name__}")
    bounded = options.lower_bound or options.gap_tolerance is not None
    start = solver_options.get("init")
    if on_device(unary):
        from mrfcore import _minimize_device

        return _minimize_device.minimize(
            unary, pairwise, weights, connectivity, options, start, callback, bounded
        )
    problem = _problem(unary, pairwise, weights, connectivity)
    init = None if start is None else _labels("init", start, problem)
    _require_memory(problem, options)
    labels = np.empty(problem.unary.shape[:3], np.int32)
    costs = np.empty(problem.unary.shape, problem.dtype)
    reports = _core.minimize(
        problem.contiguous(),
        problem.potential,
        problem.weight,
        problem.edge_weights,
        problem.connectivity,
        options,
        init,
        core_callback(callback, bounded),
        labels,
        costs,
    )
    convert = like(unary)
    if not problem.batched:
        labels, costs = labels[0], costs[0]
    return make_result(
        reports, problem.batched, bounded, options.trace, convert(labels), convert(costs)
    )


def energy(
    labels: Any,
    unary: Any,
    pairwise: Potential | npt.ArrayLike,
    weights: Any = 1.0,
    *,
    connectivity: int = 4,
    threads: int | None = None,
) -> float | npt.NDArray[np.float64]:
    """E(labels), summed in double.

    Args:
        labels: integers [H, W], or [B, H, W] where unary is a batch, each in 0..L-1.
        unary: as for `minimize`.
        pairwise: as for `minimize`.
        weights: as for `minimize`.
        connectivity: as for `minimize`.
        threads: as for `minimize`.

    Returns:
        A float, or float64 [B] for a batch. Infinite where a forbidden label is used.

    Raises:
        ValueError, TypeError: as for `minimize`; labels out of range.
    """
    _refuse_swapped(labels, unary)
    count = _threads(threads)
    if on_device(unary):
        from mrfcore import _minimize_device

        return _minimize_device.energy(labels, unary, pairwise, weights, connectivity)
    problem = _problem(unary, pairwise, weights, connectivity)
    energies = _core.energy(
        _labels("labels", labels, problem),
        problem.contiguous(),
        problem.potential,
        problem.weight,
        problem.edge_weights,
        problem.connectivity,
        count,
    )
    return np.array(energies) if problem.batched else float(energies[0])


def _image_size(unary: Any) -> tuple[int, int]:
    """Height and width; of what is no unary at all, which is refused further on, anything."""
    shape = np.shape(unary)
    return (int(shape[-3]), int(shape[-2])) if len(shape) >= 3 else (0, 0)


def _refuse_swapped(labels: Any, unary: Any) -> None:
    """Labels have one dimension less than unary; one more is the other way round."""
    try:
        swapped = np.ndim(labels) == np.ndim(unary) + 1
    except ValueError:  # nested sequences of unequal length, refused by name further on
        return
    if swapped:
        raise ValueError(
            "labels, unary: expected energy(labels, unary, pairwise), got labels of shape "
            f"{list(np.shape(labels))} and unary of shape {list(np.shape(unary))}; "
            "are they swapped?"
        )


def _problem(unary: Any, pairwise: object, weights: Any, connectivity: int) -> _Problem:
    array = to_numpy("unary", unary)
    check_sizes(array.shape, connectivity)
    batched = array.ndim == 4
    batch = array if batched else array[np.newaxis]
    potential = as_potential(pairwise)._to_core()
    problem = _Problem(batch, batched, potential, 1.0, None, int(connectivity))
    _set_weights(problem, weights)
    return problem


def check_sizes(shape: Sequence[int], connectivity: object) -> None:
    """Of unaries [H, W, L] or [B, H, W, L], and the connectivity."""
    if len(shape) not in (3, 4):
        raise ValueError(f"unary: expected [H, W, L] or [B, H, W, L], got shape {list(shape)}")
    if 0 in shape:
        raise ValueError(
            f"unary: expected at least one pixel and one label, got shape {list(shape)}"
        )
    if _integer("connectivity", connectivity) not in (4, 8, 16):
        raise ValueError(f"connectivity: expected 4, 8 or 16, got {connectivity}")


def check_weight(weight: Any) -> float:
    """A weight common to all edges."""
    number = float(weight)
    if not 0 <= number < 1e12:
        raise ValueError(f"weights: expected a number in [0, 1e12), got {weight}")
    return number


def check_weights_shape(
    shape: Sequence[int], unary: Sequence[int], batched: bool, connectivity: int
) -> None:
    """Of edge weights for unaries [B, H, W, L]."""
    batch, height, width, _ = unary
    expected = [connectivity // 2, height, width]
    if list(shape) == expected or (batched and list(shape) == [batch, *expected]):
        return
    also = f" or {[batch, *expected]}" if batched else ""
    raise ValueError(
        f"weights: expected a number or shape {expected}{also} ([P, H, W] with "
        f"P = connectivity / 2), got shape {list(shape)}"
    )


def _set_weights(problem: _Problem, weights: Any) -> None:
    if isinstance(weights, numbers.Real) and not isinstance(weights, bool):
        problem.weight = check_weight(weights)
        return
    if isinstance(weights, (str, bytes)):
        kind = type(weights).__name__
        raise TypeError(f"weights: expected a number or an array, got {kind} {weights!r:.40}")
    array = to_numpy("weights", weights)
    if array.ndim == 0:
        return _set_weights(problem, array.item())
    check_weights_shape(array.shape, problem.unary.shape, problem.batched, problem.connectivity)
    shaped = array[np.newaxis] if array.ndim == 3 else array
    problem.edge_weights = np.ascontiguousarray(shaped, dtype=problem.dtype)
    return


def _labels(name: str, labels: Any, problem: _Problem) -> npt.NDArray[np.int32]:
    array = to_numpy(name, labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    expected = problem.unary.shape[:3] if problem.batched else problem.unary.shape[1:3]
    if array.shape != expected:
        raise ValueError(
            f"{name}: expected shape {list(expected)} as in unary, got {list(array.shape)}"
        )
    count = problem.unary.shape[3]
    if array.min() < 0 or array.max() >= count:
        outside = (array < 0) | (array >= count)
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"{name}: expected labels 0..{count - 1}, got {array[where]} at {list(where)}"
        )
    return np.ascontiguousarray(array, dtype=np.int32).reshape(problem.unary.shape[:3])


def solve_bytes(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    potential: _core.Potential,
    per_edge: bool,
    connectivity: int,
    options: _core.Options,
) -> int:
    """What a solve of unaries [B, H, W, L] allocates: labels, costs, working memory."""
    workspace = _core.workspace_bytes_f64 if dtype == np.float64 else _core.workspace_bytes_f32
    batch, height, width, labels = shape
    outputs = batch * height * width * (labels * dtype.itemsize + 4)
    return outputs + workspace(
        batch, height, width, labels, potential, per_edge, connectivity, options
    )


def _require_memory(problem: _Problem, options: _core.Options) -> None:
    shape = problem.unary.shape
    per_edge = problem.edge_weights is not None
    needed = problem.copy_bytes + solve_bytes(
        shape, problem.dtype, problem.potential, per_edge, problem.connectivity, options
    )
    if needed < 1 << 26:
        return
    available = _core.available_bytes()
    if 0 <= available < needed:
        raise MemoryError(
            f"unary of shape {list(shape)} needs {needed:,} bytes ({needed / 2**30:.1f} GiB) for "
            f"outputs and messages, {available:,} ({available / 2**30:.1f} GiB) are available: "
            f"{needed - available:,} bytes are missing"
        )
