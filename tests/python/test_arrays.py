# SPDX-License-Identifier: Apache-2.0
"""Arrays of every kind, dtype and memory layout: NumPy, torch, DLPack, the array interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mrfcore
from cases import GRID_SOLVERS, random_case

LINEAR = mrfcore.TruncatedLinear(2)
UNARY = random_case((6, 7, 5)).unary


def solve(unary: Any, weights: Any = 1.0, **options: Any) -> mrfcore.Result:
    options.setdefault("iterations", 3)
    return mrfcore.minimize(unary, LINEAR, weights, **options)


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", GRID_SOLVERS)
def test_result_types(solver: str, dtype: Any) -> None:
    got = solve(UNARY.astype(dtype), solver=solver)
    assert isinstance(got.labels, np.ndarray)
    assert got.labels.dtype == np.int32
    assert got.labels.shape == (6, 7)
    assert got.costs.dtype == dtype
    assert got.costs.shape == UNARY.shape
    assert type(got.energy) is float
    assert type(got.iterations) is int


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "u4", "i8", "u8", "?"])
def test_integer_unaries_become_float32(dtype: str) -> None:
    whole = (UNARY * 10 % 2 if dtype == "?" else UNARY * 10).astype(dtype)
    got, want = solve(whole), solve(whole.astype(np.float32))
    assert got.costs.dtype == np.float32
    np.testing.assert_array_equal(got.costs, want.costs)
    assert got.energy == want.energy


@pytest.mark.parametrize("dtype", ["f2", "g", ">f4", ">f8", ">i4"])
def test_rarer_number_types_work_or_are_refused(dtype: str) -> None:
    """Half and extended precision, foreign byte order: never silently misread."""
    values = (UNARY * 10).astype(dtype)
    try:
        got = solve(values)
    except TypeError as error:
        assert "unary" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(got.labels, solve(values.astype(np.float64)).labels)


@pytest.mark.parametrize("unary_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights_dtype", ["f4", "f8", "i4", "u1"])
def test_weights_of_another_dtype_are_converted(weights_dtype: str, unary_dtype: Any) -> None:
    unary = UNARY.astype(unary_dtype)
    weights = np.random.default_rng(0).integers(0, 3, (2, 6, 7)).astype(weights_dtype)
    got, want = solve(unary, weights), solve(unary, weights.astype(unary_dtype))
    assert got.costs.dtype == unary_dtype
    np.testing.assert_array_equal(got.costs, want.costs)


@pytest.mark.parametrize("weights", [2, np.float32(2), np.int64(2), np.array(2.0)])
def test_scalar_weights_of_any_kind(weights: Any) -> None:
    np.testing.assert_array_equal(solve(UNARY, weights).costs, solve(UNARY, float(weights)).costs)


# ---------------------------------------------------------------- memory layouts


def _fortran(a: np.ndarray[Any, Any]) -> Any:
    return np.asfortranarray(a)


def _channels_first(a: np.ndarray[Any, Any]) -> Any:
    return np.ascontiguousarray(np.moveaxis(a, -1, 0)).transpose(*range(1, a.ndim), 0)


def _strided(a: np.ndarray[Any, Any]) -> Any:
    wide = np.full(tuple(2 * n for n in a.shape), np.nan, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _reversed(a: np.ndarray[Any, Any]) -> Any:
    every = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[every])[every]


def _read_only(a: np.ndarray[Any, Any]) -> Any:
    frozen = a.copy()
    frozen.setflags(write=False)
    return frozen


def _misaligned(a: np.ndarray[Any, Any]) -> Any:
    raw = bytearray(1) + bytearray(np.ascontiguousarray(a).tobytes())
    return np.frombuffer(raw, a.dtype, offset=1).reshape(a.shape)


def _subclass(a: np.ndarray[Any, Any]) -> Any:
    class Tagged(np.ndarray):  # type: ignore[type-arg]
        pass

    return a.view(Tagged)


LAYOUTS: list[Callable[[np.ndarray[Any, Any]], Any]] = [
    _fortran,
    _channels_first,
    _strided,
    _reversed,
    _read_only,
    _misaligned,
    _subclass,
]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout(layout: Callable[[Any], Any], dtype: str) -> None:
    unary = (UNARY * 10).astype(dtype)
    if layout is _strided and unary.dtype.kind in "iu":
        pytest.skip("the gaps of the strided array are filled with NaN")
    weights = np.random.default_rng(0).uniform(0, 2, (2, 6, 7)).astype(np.float32)
    got, want = solve(layout(unary), layout(weights)), solve(unary, weights)
    np.testing.assert_array_equal(got.costs, want.costs)
    labels = want.labels.astype(np.int32)
    energies = [
        mrfcore.energy(of(labels), of(unary), LINEAR, of(weights))
        for of in ((lambda a: a), layout if layout is not _strided else _fortran)
    ]
    assert energies[0] == energies[1] == want.energy


def test_stride_zero() -> None:
    row = np.random.default_rng(0).uniform(0, 5, 5).astype(np.float32)
    unary = np.broadcast_to(row, (6, 7, 5))
    weights = np.broadcast_to(np.float32(0.5), (2, 6, 7))
    np.testing.assert_array_equal(solve(unary, weights).costs, solve(unary.copy(), 0.5).costs)


class DLPackOnly:
    """Nothing but the DLPack protocol, as an array library we do not know would have."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class InterfaceOnly:
    """Nothing but the NumPy array interface."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


@pytest.mark.parametrize("wrap", [DLPackOnly, InterfaceOnly])
def test_array_protocols(wrap: Any) -> None:
    unary = UNARY.astype(np.float32)
    weights = np.random.default_rng(0).uniform(0, 2, (2, 6, 7)).astype(np.float32)
    got, want = solve(wrap(unary), wrap(weights)), solve(unary, weights)
    np.testing.assert_array_equal(np.asarray(got.costs), want.costs)
    assert mrfcore.energy(wrap(want.labels), wrap(unary), LINEAR, wrap(weights)) == want.energy


def test_arrays_on_an_accelerator_are_refused_in_words() -> None:
    class Elsewhere(DLPackOnly):
        def __dlpack_device__(self) -> Any:
            return (2, 0)  # kDLCUDA

        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("cannot export to the CPU")

    with pytest.raises((TypeError, ValueError, RuntimeError, BufferError), match=r"unary|cuda|CPU"):
        solve(Elsewhere(UNARY))


_PEAK = """
import resource
import numpy as np
import mrfcore
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
small = np.ones((4, 4, 8), np.float32)
mrfcore.energy(np.zeros((4, 4), np.int32), small, mrfcore.Potts())
unary = {make}
labels = np.zeros(unary.shape[:2], np.int32)
before = peak()
mrfcore.energy(labels, unary, mrfcore.Potts())
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux reports it")
@pytest.mark.parametrize(
    "make",
    [
        "np.ones((512, 512, 256), np.float32)",
        "np.frombuffer(np.ones((512, 512, 256), np.float32).tobytes(), np.float32)"
        ".reshape(512, 512, 256)",  # read-only
    ],
)
def test_contiguous_input_is_not_copied(make: str) -> None:
    """256 MiB of costs: a copy would show."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK.format(make=make)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64


# ---------------------------------------------------------------- torch


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    unary = torch.from_numpy(UNARY.astype(np.float32))
    weights = torch.rand(2, 6, 7)
    got, want = solve(unary, weights), solve(unary.numpy(), weights.numpy())
    assert isinstance(got.labels, torch.Tensor)
    assert got.labels.dtype == torch.int32
    assert got.costs.dtype == torch.float32
    np.testing.assert_array_equal(got.labels.numpy(), want.labels)
    np.testing.assert_array_equal(got.costs.numpy(), want.costs)
    assert mrfcore.energy(got.labels, unary, LINEAR, weights) == want.energy
    assert got.energy == want.energy


def test_torch_layouts_and_gradients() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    batch = torch.rand(2, 5, 6, 7).to(memory_format=torch.channels_last)
    unary = batch.permute(0, 2, 3, 1)  # the same memory as [B, H, W, L]
    assert unary.is_contiguous()
    want = solve(unary.numpy())
    np.testing.assert_array_equal(solve(unary).costs.numpy(), want.costs)
    strided = torch.rand(2, 5, 6, 7).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(solve(strided).costs, solve(strided.numpy().copy()).costs)
    tracked = unary.clone().requires_grad_()
    try:
        got = solve(tracked)
    except (TypeError, ValueError, RuntimeError) as error:
        assert "grad" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(got.labels.numpy(), want.labels)
