# SPDX-License-Identifier: Apache-2.0
"""Energy against time: all solvers, and expansion and swap moves of other libraries.

    python bench/time_to_energy.py [--quick] [--every] [--select INSTANCE ...]

Instances are those of Tables 3.1 to 3.3 (`mrfcore.reproduce`), 4 neighbours; the large ones, which
take minutes each, only with --every. One thread each, since the peers know no more; seconds are of
the wall clock, from the call on, with what a solver sets up. Ours begin with messages that are
zero; energies after every iteration come from a traced run, times from one without. The
default of `minimize`, from coarser grids and with polished labels, is a curve of its own.

Peers, where they are installed: gco-wrapper (expansion and swap, by cycles from its own start, all
zero) and PyMaxflow (expansion, from the arg-min of the unaries); expansion is left out where V is
no metric. All energies are computed by `mrfcore.energy`.

Rows: seconds until the energy is within 1 % and 0.1 % of the best that anybody found (or
`reference_energies.json` has), the fastest of ours beside the fastest of theirs; a table of all
methods in `time_to_energy.md` and a plot beside it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import mrfcore
from _machine import data_folder, write
from _part import Case, Found, Part, Run
from _rows import Row, Times
from mrfcore.reproduce.instances import INSTANCES, Problem

QUICK = ("tsukuba",)
USUAL = ("tsukuba", "venus", "map", "teddy")
ITERATIONS = {"trwp": 100, "trws": 100, "isgmr": 30, "bp": 50, "sgm": 5, "mean_field": 20}
# Iterations after which the default solver is asked for its answer: it starts from coarser grids
# and polishes what it ends with, so each is a run of its own.
DEFAULT, ENDS = "default", (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
WITHIN = (0.01, 0.001)
MOST_SECONDS = 20.0  # of a peer: no further cycle begins
MOST_CYCLES = 12
PEERS = {"gco": ("gco expansion", "gco swap"), "maxflow": ("PyMaxflow expansion",)}
Labels = npt.NDArray[np.int32]
Course = list[tuple[float, float]]  # (seconds, energy)


def cases(run: Run) -> Iterator[Case]:
    for name in INSTANCES if run.every else QUICK if run.quick else USUAL:
        yield {"instance": name}


def measure(case: Case, run: Run) -> Found:
    """Courses by method, and the best lower bound."""
    name, data = case["instance"], data_folder()
    if not INSTANCES[name].is_there(data):
        problem = f"left out: no images of {name} (MRFCORE_DATA)"
        return case, [Row("time to energy", name, problem=problem)]
    problem = INSTANCES[name].load(data)
    fewer = 2 if run.quick else 1
    courses: dict[str, Course] = {}
    for solver, iterations in ITERATIONS.items():
        courses[solver] = ours(problem, solver, max(1, iterations // fewer))
    courses[DEFAULT] = ends(problem, ENDS[: len(ENDS) // fewer])
    for peer, cycles in peers().items():
        if course := theirs(problem, cycles, MOST_SECONDS / fewer**3):
            courses[peer] = course
    bound = mrfcore.minimize(
        problem.unary,
        problem.pairwise,
        problem.weight,
        solver="trws",
        iterations=200 // fewer,
        lower_bound=True,
    ).lower_bound
    found = judged({"courses": courses, "lower_bound": bound}, reference(name, data))
    return {**case, **found}, list(rows_of(name, found))


def rows_of(name: str, found: dict[str, Any]) -> Iterator[Row]:
    """The fastest of ours and of theirs."""
    for module, names in PEERS.items():
        if importlib.util.find_spec(module) is None:
            yield Row(
                "time to energy", name, peer=names[0], problem=f"left out: no module {module}"
            )
    for within in WITHIN:
        sides: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
        for method, t in found["times"].items():
            if t[f"within_{within:g}"] is not None:
                sides[method in (*ITERATIONS, DEFAULT)].append((t[f"within_{within:g}"], method))
        best = {side: min(reached, default=(None, "nobody")) for side, reached in sides.items()}
        times = {s: None if t is None else Times((t,)) for s, (t, _) in best.items()}
        yield Row(
            f"to within {within:.1%} of the best energy ({best[True][1]})",
            name,
            ours=times[True],
            peer=best[False][1],
            peers=times[False],
            headline=within == WITHIN[-1],
        )


def ends(problem: Problem, iterations: Iterable[int]) -> Course:
    """What the default solver ends with after so many iterations, and when."""
    course: Course = []
    for count in iterations:
        start = time.perf_counter()
        result = mrfcore.minimize(
            problem.unary, problem.pairwise, problem.weight, iterations=count, threads=1
        )
        course.append((time.perf_counter() - start, float(result.energy)))
    return course


def ours(problem: Problem, solver: str, iterations: int) -> Course:
    """The trace of one solver, without what minimize() does before and after its iterations.

    Its seconds are scaled to what the same solve takes without looking at labels and energies.
    """
    plain = {"polish": 0} if solver in ("trwp", "bp", "isgmr") else {}
    if solver in ("trwp", "bp"):
        plain["coarse"] = 0

    def solve(trace: bool) -> mrfcore.Result:
        return mrfcore.minimize(
            problem.unary,
            problem.pairwise,
            problem.weight,
            solver=solver,
            iterations=iterations,
            trace=trace,
            threads=1,
            **plain,
        )

    start = time.perf_counter()
    solve(trace=False)
    whole = time.perf_counter() - start
    trace = solve(trace=True).trace
    assert trace is not None
    share = min(1.0, whole / float(trace.seconds[-1]))
    return [(share * float(s), float(e)) for s, e in zip(trace.seconds, trace.energy, strict=True)]


# ---------------------------------------------------------------- peers

# From a problem to labellings, one after each cycle, forever; ValueError where V will not do.
Peer = Callable[[Problem], Iterator[Labels]]


def peers() -> dict[str, Peer]:
    """Those that are installed."""
    found: dict[str, Peer] = {}
    if importlib.util.find_spec("gco") is not None:
        found["gco expansion"] = lambda p: gco_cycles(p, "expansion")
        found["gco swap"] = lambda p: gco_cycles(p, "swap")
    if importlib.util.find_spec("maxflow") is not None:
        found["PyMaxflow expansion"] = maxflow_cycles
    return found


def is_metric(v: npt.NDArray[np.float64]) -> bool:
    """Whether the triangle inequality holds, which expansion moves need."""
    return bool((v[:, None, :] <= v[:, :, None] + v[None, :, :] + 1e-9).all())


def gco_cycles(problem: Problem, moves: str) -> Iterator[Labels]:
    import gco

    height, width, labels = problem.unary.shape
    v = problem.pairwise.table(labels)
    if moves == "expansion" and not is_metric(v):
        raise ValueError("V is no metric")
    ids = np.arange(height * width).reshape(height, width)
    first = np.concatenate([ids[:, :-1].ravel(), ids[:-1].ravel()])
    second = np.concatenate([ids[:, 1:].ravel(), ids[1:].ravel()])
    graph = gco.GCO()
    graph.create_general_graph(height * width, labels)
    graph.set_data_cost(problem.unary.reshape(-1, labels).astype(np.int32))
    graph.set_all_neighbors(first, second, np.ones(first.size, np.int32))
    graph.set_smooth_cost((problem.weight * v).astype(np.int32))
    while True:
        (graph.expansion if moves == "expansion" else graph.swap)(1)
        yield graph.get_labels().reshape(height, width).astype(np.int32)


def maxflow_cycles(problem: Problem) -> Iterator[Labels]:
    from maxflow.fastmin import aexpansion_grid

    v = problem.weight * problem.pairwise.table(problem.unary.shape[2])
    if not is_metric(v):
        raise ValueError("V is no metric")
    unary = problem.unary.astype(np.float64)
    labels = unary.argmin(axis=2)
    while True:
        labels = aexpansion_grid(unary, v, max_cycles=1, labels=labels)
        yield labels.astype(np.int32)


def theirs(problem: Problem, cycles: Peer, most_seconds: float) -> Course:
    """Until nothing changes, or it takes too long; the energy is computed off the clock."""
    course: Course = []
    seconds = 0.0
    start = time.perf_counter()
    try:
        for labels in cycles(problem):
            seconds += time.perf_counter() - start
            value = mrfcore.energy(labels, problem.unary, problem.pairwise, problem.weight)
            done = bool(course) and value >= course[-1][1]
            course.append((seconds, float(value)))
            if done or seconds > most_seconds or len(course) == MOST_CYCLES:
                break
            start = time.perf_counter()
    except ValueError as error:
        print(f"  left out: {error}", file=sys.stderr)
    return course


# ---------------------------------------------------------------- results


def reference(name: str, data: Path) -> float | None:
    """The lowest published energy with these settings."""
    path = data / "reference_energies.json"
    if not path.is_file():
        return None
    entry = json.loads(path.read_text()).get({"venus": "venus_TQ"}.get(name, name))
    if entry is None:
        return None
    energies = [v for k, v in entry["energies"].items() if "_lb" not in k]
    return min(energies, default=None)


def judged(measured: dict[str, Any], published: float | None) -> dict[str, Any]:
    """With the best energy and, for each method, the seconds until it is near."""
    lowest = min(e for course in measured["courses"].values() for _, e in course)
    best = lowest if published is None else min(lowest, published)
    times = {
        method: {
            "final_gap": min(e for _, e in course) / best - 1,
            **{f"within_{w:g}": time_to(course, best * (1 + w)) for w in WITHIN},
        }
        for method, course in measured["courses"].items()
    }
    return {"best_energy": best, "published": published, "times": times, **measured}


def time_to(course: Course, energy: float) -> float | None:
    """Seconds until the energy is no more than this."""
    return next((seconds for seconds, e in course if e <= energy), None)


def table(name: str, instance: dict[str, Any]) -> str:
    """One instance, for people."""
    best, bound = instance["best_energy"], instance["lower_bound"]
    lines = [
        f"\n{name}: best energy {best:,.0f}, lower bound {bound:,.0f} (gap {best / bound - 1:.2%})",
        f"{'method':<22}{'to 1 %':>10}{'to 0.1 %':>10}{'at the end':>12}{'above best':>12}",
    ]
    for method, t in sorted(instance["times"].items(), key=lambda i: i[1]["final_gap"]):
        cells = [
            "-" if t[f"within_{w:g}"] is None else f"{t[f'within_{w:g}']:.2f} s" for w in WITHIN
        ]
        total = f"{instance['courses'][method][-1][0]:.2f} s"
        lines.append(f"{method:<22}{cells[0]:>10}{cells[1]:>10}{total:>12}{t['final_gap']:>12.2%}")
    return "\n".join(lines)


def finish(found: list[dict[str, Any]], folder: Path) -> None:
    """Table and plot of those that were measured."""
    instances = {c["instance"]: c for c in found if "courses" in c}
    if instances:
        tables = "\n".join(table(name, instance) for name, instance in instances.items())
        write(folder / "time_to_energy.md", f"```\n{tables.strip()}\n```\n")
        plot(instances, folder / "time_to_energy.png")


def plot(instances: dict[str, Any], path: Path) -> None:
    """Energy above the best against time, both logarithmic."""
    columns = min(3, len(instances))
    rows = -(-len(instances) // columns)
    figure = Figure(figsize=(5 * columns, 3.4 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis, (name, instance) in zip(axes, instances.items(), strict=False):
        for method, course in instance["courses"].items():
            seconds, energies = np.array(course).T
            gap = np.maximum(np.minimum.accumulate(energies) / instance["best_energy"] - 1, 1e-6)
            style = "--" if " " in method else "-"
            axis.loglog(seconds, gap, style, marker=".", markersize=3, label=method)
        axis.set_title(INSTANCES[name].title)
        axis.grid(visible=True, alpha=0.3)
    for axis in axes[len(instances) :]:
        axis.set_axis_off()
    for axis in axes[max(0, len(instances) - columns) : len(instances)]:
        axis.set_xlabel("seconds, one thread")
    for axis in axes[: len(instances) : columns]:
        axis.set_ylabel("energy above the best known")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


PART = Part("time_to_energy", cases, measure, finish=finish)

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
