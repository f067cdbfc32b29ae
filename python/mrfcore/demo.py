# SPDX-License-Identifier: Apache-2.0
"""All solvers on the same energy of the same stereo pair: pictures, a table, a JSON file.

``mrfcore demo`` is the way in. The pairs are the Middlebury 2014 motorcycle, which scikit-image's
wheel carries, and a scene that :mod:`mrfcore.scene` renders, with exact ground truth.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import Progress, Trace, datasets, metrics, minimize, scene, stereo, viz
from mrfcore._files import atomic_file
from mrfcore._images import as_pair
from mrfcore._scalars import _threads
from mrfcore._stereo_costs import disparity_range
from mrfcore._stereo_energy import StereoEnergy, stereo_energy
from mrfcore.datasets import StereoPair

Report = Callable[[str, Progress], object]

# Name, solver, whether its lower bound is worth its time. SGM is the textbook's: one pass.
SOLVERS: tuple[tuple[str, str, bool], ...] = (
    ("TRWP", "trwp", True),
    ("TRW-S", "trws", True),
    ("loopy BP", "bp", False),
    ("ISGMR", "isgmr", False),
    ("SGM", "sgm", False),
    ("mean field", "mean_field", False),
    ("ICM", "icm", False),
)
PIPELINE = "stereo.match"


@dataclass(frozen=True, eq=False)
class Entry:
    """One solver on one pair.

    Attributes:
        pair: name of the pair.
        solver: name for people.
        energy: of the labelling; None for the pipeline, whose last steps leave the energy behind.
        lower_bound: its own, or None.
        above_bound: (energy - best lower bound of all solvers) / best lower bound.
        iterations: done.
        milliseconds: per iteration, neither energy nor bound included.
        seconds: of the whole solve, likewise.
        errors: region ("all", "nonocc") -> errors, in percent and pixels.
        disparity: float32 [H, W].
        trace: energies and bounds by iteration; seconds as above.
    """

    pair: str
    solver: str
    energy: float | None
    lower_bound: float | None
    above_bound: float | None
    iterations: int
    milliseconds: float
    seconds: float
    errors: dict[str, metrics.StereoMetrics]
    disparity: npt.NDArray[np.float32]
    trace: Trace | None

    def facts(self) -> dict[str, Any]:
        """What goes into the JSON file."""
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[:8]}
        errors = {region: dataclasses.asdict(e) for region, e in self.errors.items()}
        course = None if self.trace is None else _course(self.trace)
        return {k: _finite(v) for k, v in {**kept, "errors": errors, "trace": course}.items()}


def _course(trace: Trace) -> dict[str, list[float] | None]:
    bound = None if trace.lower_bound is None else trace.lower_bound.tolist()
    return {
        "energy": trace.energy.tolist(),
        "lower_bound": bound,
        "seconds": trace.seconds.tolist(),
    }


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor inf: None instead."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pairs(quick: bool = False) -> list[StereoPair]:
    """The pairs of the demo: the motorcycle where scikit-image is installed, and a rendered scene.

    Args:
        quick: a small rendered scene only.
    """
    if quick:
        return [scene.render_stereo_scene(144, 192, 24)]
    real = [datasets.motorcycle()] if importlib.util.find_spec("skimage") else []
    return [*real, scene.render_stereo_scene()]


def compare(
    pair: StereoPair,
    *,
    iterations: int = 20,
    threads: int | None = None,
    report: Report | None = None,
) -> list[Entry]:
    """Run all solvers on the energy that `stereo.match` minimises, and `stereo.match` itself.

    Args:
        pair: with ground truth.
        iterations: of each solver but SGM.
        threads: see `minimize`.
        report: called with a solver's name and its progress after each iteration.

    Returns:
        Entries in the order of :data:`SOLVERS`, then that of the whole pipeline.

    Raises:
        ValueError: the pair has no ground truth.
    """
    if pair.disparity is None:
        raise ValueError(f"pair: expected one with ground truth, {pair.name} has none")
    left, right = as_pair(pair.left, pair.right)
    energy = stereo_energy(
        left,
        right,
        disparity_range(pair.num_disparities, 0),
        cost="mixed",
        window=None,
        truncation=None,
        potential=None,
        weights="exponential",
        connectivity=4,
        threads=_threads(threads),
    )
    entries = []
    for name, solver, bounded in SOLVERS:
        steps = 1 if solver == "sgm" else iterations
        progress = None if report is None else _named(report, name)
        entries.append(_solve(pair, energy, name, solver, steps, bounded, threads, progress))
    bound = max(e.lower_bound for e in entries if e.lower_bound is not None)
    entries = [dataclasses.replace(e, above_bound=_above(e.energy, bound)) for e in entries]
    return [*entries, _pipeline(pair, threads)]


def _named(report: Report, name: str) -> Callable[[Progress], object]:
    def call(progress: Progress) -> None:
        report(name, progress)

    return call


def _above(energy: float | None, bound: float) -> float | None:
    return None if energy is None or bound == 0 else (energy - bound) / abs(bound)


def _solve(
    pair: StereoPair,
    energy: StereoEnergy,
    name: str,
    solver: str,
    iterations: int,
    bounded: bool,
    threads: int | None,
    progress: Callable[[Progress], object] | None,
) -> Entry:
    """Once for the clock, and once more for energies and bounds, which cost time of their own."""
    options: dict[str, Any] = {"solver": solver, "iterations": iterations, "threads": threads}
    start = time.perf_counter()
    minimize(*energy.arguments, **options)
    seconds = time.perf_counter() - start
    result = minimize(
        *energy.arguments, trace=True, lower_bound=bounded, callback=progress, **options
    )
    assert result.trace is not None
    done = int(result.iterations)
    clock = seconds * np.arange(1, done + 1) / done
    disparity = result.labels.astype(np.float32)
    return Entry(
        pair=pair.name,
        solver=name,
        energy=float(result.energy),
        lower_bound=None if result.lower_bound is None else float(result.lower_bound),
        above_bound=None,
        iterations=done,
        milliseconds=1e3 * seconds / done,
        seconds=seconds,
        errors=_errors(pair, disparity),
        disparity=disparity,
        trace=dataclasses.replace(result.trace, seconds=clock),
    )


def _pipeline(pair: StereoPair, threads: int | None) -> Entry:
    start = time.perf_counter()
    result = stereo.match(pair.left, pair.right, pair.num_disparities, threads=threads)
    seconds = time.perf_counter() - start
    return Entry(
        pair=pair.name,
        solver=PIPELINE,
        energy=None,
        lower_bound=None,
        above_bound=None,
        iterations=result.iterations,
        milliseconds=1e3 * seconds / result.iterations,
        seconds=seconds,
        errors=_errors(pair, result.disparity),
        disparity=result.disparity,
        trace=None,
    )


def _errors(
    pair: StereoPair, disparity: npt.NDArray[np.float32]
) -> dict[str, metrics.StereoMetrics]:
    assert pair.disparity is not None
    return metrics.stereo_metrics(disparity, pair.disparity, pair.masks)


def draw(pair: StereoPair, entries: Iterable[Entry], path: Path) -> None:
    """Images, disparities, error maps and convergence of all entries, as one picture.

    Args:
        pair: that the entries are of.
        entries: what `compare` returned.
        path: .png, .pdf, .svg, ...; written whole or not at all.
    """
    outcomes = {e.solver: viz.SolverOutcome(e.disparity, e.trace, _note(e)) for e in entries}
    height, width = pair.left.shape[:2]
    title = f"{pair.name}: {width} x {height}, {pair.num_disparities} disparities, one energy"
    viz.comparison_figure(pair, outcomes, path, title=title)


def _note(entry: Entry) -> str:
    if entry.above_bound is None:
        return f"all steps, {entry.seconds:.1f} s"
    return f"{100 * entry.above_bound:.1f} % above bound, {entry.seconds:.1f} s"


def write_json(entries: Iterable[Entry], path: Path) -> None:
    """Write facts, errors and traces as a JSON list, whole or not at all."""
    text = json.dumps([entry.facts() for entry in entries], indent=1) + "\n"
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
