# SPDX-License-Identifier: Apache-2.0
"""minimize_tiled: where costs come from and labels go to, and everything that it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrfcore
import reference as ref
from cases import random_case
from mrfcore import stereo
from test_tiles import tiled

# ---------------------------------------------------------------- sources


class Slices:
    """As zarr's and HDF5's arrays: a shape, a type, slices of rows and columns, nothing else."""

    def __init__(self, array: Any) -> None:
        self.shape, self.dtype, self._array = array.shape, array.dtype, array

    def __getitem__(self, where: tuple[slice, ...]) -> Any:
        assert all(isinstance(one, slice) for one in where)
        return self._array[where]


def test_sources_of_all_kinds_agree(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    case = random_case((23, 31, 4), "linear", 16).astype(np.float32)
    expected = tiled(case)
    stored = np.lib.format.open_memmap(
        tmp_path / "unary.npy", mode="w+", dtype=np.float32, shape=case.unary.shape
    )
    stored[:] = case.unary
    edges = case.weights
    sources: dict[str, tuple[Any, Any]] = {
        "memory map": (np.load(tmp_path / "unary.npy", mmap_mode="r"), edges),
        "torch": (torch.from_numpy(case.unary), torch.from_numpy(edges)),
        "functions": (
            lambda a, b, c, d: case.unary[a:b, c:d],
            lambda a, b, c, d: edges[:, a:b, c:d],
        ),
        "slices only": (Slices(case.unary), Slices(edges)),
        "strided": (np.asfortranarray(case.unary), np.asfortranarray(edges)),
    }
    for name, (unary, weights) in sources.items():
        result = mrfcore.minimize_tiled(
            unary,
            case.pairwise,
            weights,
            tile=(7, 9),
            overlap=3,
            shape=(23, 31, 4),
            connectivity=16,
            iterations=4,
        )
        np.testing.assert_array_equal(result.labels, expected.labels, err_msg=name)
        assert result.energy == expected.energy, name


def test_stereo_costs_made_on_the_fly() -> None:
    """As docs/tiled.md has it: strips of two images instead of the whole cost volume."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (2, 40, 60, 3), np.uint8)
    options: dict[str, Any] = {"tile": (16, 24), "overlap": 8, "solver": "sgm", "iterations": 1}
    volume = stereo.cost_volume(*images, 12)

    def costs(top: int, bottom: int, left: int, right: int) -> Any:
        rows = slice(top, bottom)
        return stereo.cost_volume(images[0][rows], images[1][rows], 12)[:, left:right]

    potential = mrfcore.TruncatedLinear(8)
    expected = mrfcore.minimize_tiled(volume, potential, 20.0, **options)
    result = mrfcore.minimize_tiled(costs, potential, 20.0, shape=volume.shape, **options)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert result.energy == expected.energy


def test_sources_are_not_written_to_and_labels_go_where_asked() -> None:
    case = random_case((23, 31, 4), "linear", 8)
    before = case.unary.copy()
    out = np.full((23, 31), 77, np.int32)
    result = tiled(case, out=out)
    np.testing.assert_array_equal(case.unary, before)
    assert result.labels is out
    np.testing.assert_array_equal(out, tiled(case).labels)


def test_types_to_compute_with() -> None:
    case = random_case((9, 12, 4), "linear", integer=True)
    exact = tiled(case)  # float64 costs
    narrow = case.unary.astype(np.int16)
    for dtype in (None, np.float32, "float64"):
        result = mrfcore.minimize_tiled(
            narrow, case.pairwise, case.weights, tile=(7, 9), overlap=3, iterations=4, dtype=dtype
        )
        assert result.energy == pytest.approx(exact.energy, rel=0.05)
        expected = ref.energy(case.reference, result.labels)
        assert result.energy == pytest.approx(expected, rel=1e-6)


def test_forbidden_labels_and_threads() -> None:
    case = random_case((23, 31, 4), "linear", 8)
    case.unary[::2, ::3, 1] = math.inf
    results = [tiled(case, threads=n) for n in (1, 3)]
    assert (results[0].labels[::2, ::3] != 1).all()
    assert results[0].energy == results[1].energy
    np.testing.assert_array_equal(results[0].labels, results[1].labels)
    case.unary[5, 5] = math.inf
    hopeless = tiled(case, lower_bound=True)
    assert hopeless.energy == math.inf
    assert hopeless.gap == math.inf


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    result = tiled(
        random_case((10, 10, 2)), (5, 5), 2, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(k + 1, result.solves) for k in range(result.solves)]
    assert result.solves == 4 + 2 + 3


# ---------------------------------------------------------------- bad input

UNARY = np.zeros((6, 7, 3), np.float32)
BAD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "batch": (ValueError, r"unary: expected \[H, W, L\].*batch", {"unary": UNARY[None]}),
    "empty": (ValueError, r"unary: expected \[H, W, L\].*\[0, 7, 3\]", {"unary": UNARY[:0]}),
    "no array": (TypeError, "unary: expected an array.*got int", {"unary": 3}),
    "function without shape": (TypeError, "shape: expected", {"unary": lambda *_: UNARY}),
    "another shape": (ValueError, r"shape: unary has \[6, 7, 3\]", {"shape": (6, 7, 4)}),
    "function of another shape": (
        ValueError,
        r"unary: expected shape \[4, 5, 3\] for the window \[0, 4, 0, 5\].*got \[2, 2, 3\]",
        {"unary": lambda *_: UNARY[:2, :2], "shape": (6, 7, 3)},
    ),
    "neither": (TypeError, "tile, memory: expected exactly one", {"tile": None}),
    "both": (TypeError, "tile, memory: expected exactly one", {"memory": 1 << 20}),
    "memory": (TypeError, "memory: expected a number", {"tile": None, "memory": "2G"}),
    "tile": (TypeError, r"tile: expected \(rows, columns\)", {"tile": 5}),
    "small tile": (ValueError, "tile: expected at least 2 columns", {"tile": (3, 1)}),
    "no tile": (ValueError, "tile: expected at least 1 rows", {"tile": (0, 4), "overlap": 0}),
    "overlap": (ValueError, "overlap: expected", {"overlap": -1}),
    "overlap type": (TypeError, "overlap: expected an integer", {"overlap": 1.5}),
    "mend": (TypeError, "mend: expected True or False", {"mend": 1}),
    "dtype": (ValueError, "dtype: expected None, float32", {"dtype": np.float16}),
    "out type": (TypeError, "out: expected.*int32, got int64", {"out": np.zeros((6, 7), int)}),
    "out shape": (ValueError, "out: expected shape", {"out": np.zeros((7, 6), np.int32)}),
    "init": (TypeError, "init: ", {"solver": "icm", "init": np.zeros((6, 7), np.int32)}),
    "option": (TypeError, "overlapp: .*did you mean 'overlap'", {"overlapp": 3}),
    "solver": (ValueError, "solver: expected one of", {"solver": "magic"}),
    "connectivity": (ValueError, "connectivity: expected 4, 8 or 16", {"connectivity": 6}),
    "weights": (ValueError, r"weights: .*\[2, 6, 7\]", {"weights": np.ones((2, 7, 6))}),
    "weight": (ValueError, "weights: expected a number in", {"weights": -1.0}),
    "weight within": (
        ValueError,
        r"weights: .*got -1 .*in the window \[0, 4, 0, 5\]",
        {"weights": np.where(np.arange(84).reshape(2, 6, 7) == 1, -1.0, 1.0)},
    ),
    "weight between tiles": (
        ValueError,
        r"weights: .*got nan at \[0, 4, 2\]",
        {
            "weights": np.where(np.arange(84).reshape(2, 6, 7) == 4 * 7 + 2, np.nan, 1.0),
            "tile": (6, 3),
            "overlap": 0,
        },
    ),
    "table": (
        ValueError,
        r"pairwise: expected a table \[L, L\] with L = 3 as in unary, got Table\(L=4\)",
        {"pairwise": np.eye(4)},
    ),
    "nan": (
        ValueError,
        r"unary: .*got nan.*in the window \[0, 4, 0, 5\]",
        {"unary": np.full((6, 7, 3), np.nan)},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_name_the_argument(name: str) -> None:
    error, message, changed = BAD[name]
    given: dict[str, Any] = {"unary": UNARY, "tile": (2, 3), "overlap": 2} | changed
    with pytest.raises(error, match=message):
        mrfcore.minimize_tiled(given.pop("unary"), given.pop("pairwise", mrfcore.Potts()), **given)
