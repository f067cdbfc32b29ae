# SPDX-License-Identifier: Apache-2.0
"""minimize_tiled: whole solves where one tile covers all, energies, bounds, edges, memory."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import mrfcore
import reference as ref
from cases import CONNECTIVITIES, GRID_SOLVERS, Case, random_case
from mrfcore._tile_windows import Window, crossings

TILES = [((7, 9), 0), ((7, 9), 3), ((5, 31), 5), ((23, 4), 2), ((1, 1), 0), ((2, 3), 2)]


def tiled(case: Case, tile: Any = (7, 9), overlap: int = 3, **options: Any) -> mrfcore.TiledResult:
    given = {"iterations": 4, "connectivity": case.connectivity, **options}
    return mrfcore.minimize_tiled(
        case.unary, case.pairwise, case.weights, tile=tile, overlap=overlap, **given
    )


# ---------------------------------------------------------------- against whole solves


@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_one_tile_is_a_whole_solve(solver: str) -> None:
    case = random_case((11, 13, 5), "table", 8)
    whole = case.minimize(solver, 4, lower_bound=True)
    alone = tiled(case, (11, 40), solver=solver, lower_bound=True)
    assert alone.solves == 1
    assert alone.tile == (11, 13)
    np.testing.assert_array_equal(alone.labels, whole.labels)
    assert alone.energy == whole.energy
    assert alone.lower_bound == whole.lower_bound
    assert alone.gap == pytest.approx(whole.gap)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize(("tile", "overlap"), TILES)
@pytest.mark.parametrize("weights", ["edges", 0.7])
def test_energy_is_that_of_the_whole(
    connectivity: int, tile: tuple[int, int], overlap: int, weights: Any
) -> None:
    case = random_case((23, 31, 4), "table", connectivity, weights=weights)
    result = tiled(case, tile, overlap, iterations=2)
    assert result.labels.dtype == np.int32
    assert result.labels.min() >= 0
    assert result.labels.max() < 4
    expected = ref.energy(case.reference, result.labels)
    assert result.energy == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_bound_holds_for_every_labelling(connectivity: int) -> None:
    case = random_case((6, 7, 3), "table", connectivity)  # V has values below 0
    for tile in ((3, 3), (2, 7), (1, 1)):
        result = tiled(case, tile, 1, iterations=20, lower_bound=True)
        best = min(
            result.energy,
            case.minimize("trws", 50, keep_best=True).energy,
            *(case.minimize(solver, 10).energy for solver in ("trwp", "bp", "icm")),
        )
        assert result.lower_bound is not None
        assert result.lower_bound <= best
        assert result.gap is not None
        assert result.gap >= 0


def test_bound_is_the_sum_of_exact_minima_of_tiles() -> None:
    """Chains are solved exactly, so each tile's bound is its least energy, found by counting."""
    case = random_case((1, 9, 3), "linear")
    result = tiled(case, (1, 3), 0, solver="chain", lower_bound=True)
    least = 0.0
    for left in (0, 3, 6):
        part = Case(case.unary[:, left : left + 3], "linear", case.weights[:, :, left : left + 3])
        least += min(
            ref.energy(part.reference, np.array([[a, b, c]], np.int32))
            for a in range(3)
            for b in range(3)
            for c in range(3)
        )
    assert result.lower_bound == pytest.approx(least, rel=1e-12)


def test_a_tile_knows_the_labels_before_it() -> None:
    """Without data the second tile has nothing but the first one's labels to go by."""
    unary = np.zeros((4, 8, 3), np.float32)
    unary[:, :4, 0], unary[:, :4, 2] = 5, 5  # label 1 there
    result = mrfcore.minimize_tiled(
        unary, mrfcore.Potts(), tile=(4, 4), overlap=0, solver="trws", iterations=10
    )
    assert (result.labels == 1).all()
    assert result.energy == 0


def test_looking_ahead_and_mending_help() -> None:
    rng = np.random.default_rng(3)
    truth = np.add.outer(np.arange(64), np.arange(96)) // 16 % 8
    unary = np.minimum(np.abs(truth[..., None] + rng.normal(0, 2, (64, 96, 1)) - np.arange(8)), 3)
    common: dict[str, Any] = {"solver": "trws", "iterations": 30}
    problem = unary.astype(np.float32), mrfcore.TruncatedLinear(2), 1.0
    whole = mrfcore.minimize(*problem, **common).energy

    def energy(**options: Any) -> float:
        return mrfcore.minimize_tiled(*problem, tile=(16, 16), **options, **common).energy

    cut = energy(overlap=0)
    ahead = energy(overlap=8, mend=False)
    mended = energy(overlap=8)
    assert cut > ahead > mended
    assert mended <= 1.002 * whole


def test_mending_never_raises_the_energy() -> None:
    for seed in range(5):
        case = random_case((23, 31, 4), "table", 16, seed=seed)
        options: dict[str, Any] = {"solver": "isgmr", "iterations": 1}  # often worse than before
        before = tiled(case, mend=False, **options).energy
        assert tiled(case, mend=True, **options).energy <= before


# ---------------------------------------------------------------- edges between windows


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_crossings_are_the_edges_with_one_end_inside(connectivity: int) -> None:
    height, width = 7, 8
    for window in (
        Window(2, 5, 3, 6), Window(0, 3, 0, 8), Window(6, 7, 7, 8), Window(3, 4, 0, 8),
        Window(0, 7, 0, 8), Window(0, 1, 1, 2),
    ):  # fmt: skip
        found = []
        for edge in crossings(window, height, width, connectivity):
            owner, other = edge.inside, edge.outside
            if not edge.owner_inside:
                owner, other = other, owner
            for y in range(owner.height):
                for x in range(owner.width):
                    ends = (owner.top + y, owner.left + x), (other.top + y, other.left + x)
                    found.append((edge.pair, *ends))

        def inside(y: int, x: int, w: Window = window) -> bool:
            return w.top <= y < w.bottom and w.left <= x < w.right

        expected = [
            (pair, (y, x), (y + dy, x + dx))
            for pair, (dy, dx) in enumerate(ref.PAIRS[: connectivity // 2])
            for y in range(height)
            for x in range(width)
            if 0 <= y + dy < height and 0 <= x + dx < width
            if inside(y, x) != inside(y + dy, x + dx)
        ]
        assert sorted(found) == sorted(expected)


# ---------------------------------------------------------------- memory

LARGE = """
import sys
import numpy as np
import mrfcore

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(l.split()[1]) for l in lines if l.startswith(key)) << 10

def costs(top, bottom, left, right):
    y, x = np.ogrid[top:bottom, left:right]
    level = ((y // 64 + x // 96) % 32).astype(np.float32)
    found = level[..., None] - np.arange(32, dtype=np.float32)
    return np.minimum(np.abs(found, out=found), 6, out=found)

def edges(top, bottom, left, right):
    return np.ones((2, bottom - top, right - left), np.float32)

def solve(side, memory):
    return mrfcore.minimize_tiled(
        costs, mrfcore.TruncatedLinear(2), edges, shape=(side, side, 32), memory=memory,
        solver=sys.argv[1], iterations=1, threads=1, lower_bound=sys.argv[2] == "bound",
    )

solve(64, 1 << 28)
before, memory = status("VmRSS"), 40 << 20
result = solve(1024, memory)  # 128 MiB of costs; whole, TRWP would take eight times that
print(status("VmHWM") - before, result.predicted_bytes, memory, *result.tile, result.energy)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("solver", "bound"), [("trwp", "bound"), ("sgm", "none"), ("icm", "none")])
def test_memory_stays_below_what_is_given(solver: str, bound: str) -> None:
    tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", LARGE, solver, bound],
        capture_output=True,
        text=True,
        env={**os.environ, **tight},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    used, predicted, memory, rows, columns = map(int, done.stdout.split()[:5])
    assert predicted <= memory
    assert used <= predicted + (1 << 20)  # Python's own objects
    assert used >= predicted / 2  # foreseen, not merely enough
    assert rows < 1024 or columns < 1024


def test_memory_chooses_tiles_that_fit() -> None:
    unary, shape = (lambda a, b, c, d: np.zeros((b - a, d - c, 8), np.float32)), (200, 300, 8)
    sizes = []
    for memory in (2 << 20, 4 << 20, 8 << 20, 64 << 20):
        result = mrfcore.minimize_tiled(
            unary, mrfcore.Potts(), shape=shape, memory=memory, overlap=4, iterations=1, threads=1
        )
        assert result.predicted_bytes <= memory
        sizes.append(math.prod(result.tile))
    assert sizes == sorted(sizes)
    assert sizes[-1] == 200 * 300
    message = r"memory: the smallest tiles with overlap 4 need ([\d,]+) bytes, got 250,000"
    with pytest.raises(MemoryError, match=message) as caught:
        mrfcore.minimize_tiled(unary, mrfcore.Potts(), shape=shape, memory=250_000, overlap=4)
    needed = int(re.findall(message, str(caught.value))[0].replace(",", ""))
    least = mrfcore.minimize_tiled(
        unary, mrfcore.Potts(), shape=shape, memory=needed, overlap=4, iterations=1
    )
    assert min(least.tile) >= 4
