# SPDX-License-Identifier: Apache-2.0
"""Messages that say what was probably meant: misspelt options, swapped arguments, odd tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mrfcore
from mrfcore import restore, stereo
from test_bad_input import assert_refused, shape

POTTS = mrfcore.Potts()
UNARY = np.random.default_rng(0).uniform(0, 5, (3, 4, 5)).astype(np.float32)
LABELS = UNARY.argmin(axis=2)
GREY = np.random.default_rng(0).integers(0, 255, (12, 16)).astype(np.uint8)


def minimize(**options: Any) -> Any:
    return mrfcore.minimize(UNARY, POTTS, **options)


# What was written, what was probably meant, who was called.
MISSPELT: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "a parameter by position": ("weigths", "weights", lambda: minimize(weigths=2)),
    "a parameter by keyword": ("iteration", "iterations", lambda: minimize(iteration=2)),
    "without underscore": ("lowerbound", "lower_bound", lambda: minimize(lowerbound=True)),
    "an option of the solver": ("keepbest", "keep_best", lambda: minimize(keepbest=True)),
    "of one solver only": (
        "normalize",
        "normalise",
        lambda: minimize(solver="mean_field", normalize="directions"),
    ),
    "of match": (
        "speckle",
        "speckle_size",
        lambda: stereo.match(GREY, GREY, 4, speckle=3),
    ),
    "of denoise": ("sigmas", "sigma", lambda: restore.denoise(GREY, sigmas=3.0)),
    "of inpaint": ("level", "levels", lambda: restore.inpaint(GREY, GREY > 9, level=3)),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_misspelt_option_is_recognised(case: str) -> None:
    written, meant, call = MISSPELT[case]
    assert_refused(TypeError, (f"^{written}: ", f"did you mean '{meant}'"), call)


def test_nothing_is_suggested_for_a_name_like_no_other() -> None:
    with pytest.raises(TypeError, match=r"^xyz: .*message_dtype, polish, rho, keep_best") as caught:
        minimize(xyz=1)
    assert "did you mean" not in str(caught.value)


def test_an_option_of_other_solvers_is_said_to_be_theirs() -> None:
    with pytest.raises(TypeError, match=r"^head: not an option .*'trwp', but of sgm; ") as caught:
        minimize(head="unary")
    assert "did you mean" not in str(caught.value)
    with pytest.raises(TypeError, match=r"^message_dtype: .*, but of isgmr, trwp, bp, trws; "):
        minimize(solver="sgm", message_dtype="float16")


@pytest.mark.parametrize(
    "call",
    [
        lambda **o: stereo.match(GREY, GREY, 4, iterations=40, **o),
        lambda **o: restore.denoise(GREY, sigma=9.0, iterations=40, **o),
        lambda **o: restore.inpaint(GREY, GREY > 9, iterations=40, **o),
    ],
    ids=["match", "denoise", "inpaint"],
)
@pytest.mark.parametrize("stopping", ["tolerance", "gap_tolerance"])
def test_stopping_early_is_passed_on(call: Any, stopping: str) -> None:
    assert call(**{stopping: 10.0}).iterations < 40
    assert_refused(TypeError, (f"did you mean '{stopping}'",), lambda: call(**{stopping[:-1]: 1.0}))


def test_stereo_refuses_options_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stereo, "stereo_energy", None)  # calling it would fail
    with pytest.raises(TypeError, match="keep_bset"):
        stereo.match(GREY, GREY, 4, keep_bset=True)


@pytest.mark.parametrize(
    ("labels", "unary"), [(UNARY, LABELS), (UNARY[None], LABELS[None]), (UNARY.tolist(), LABELS)]
)
def test_swapped_arguments_of_energy(labels: Any, unary: Any) -> None:
    patterns = ("labels, unary", r"energy\(labels, unary", shape(3, 4, 5), "swapped")
    assert_refused(ValueError, patterns, lambda: mrfcore.energy(labels, unary, POTTS))


def test_ragged_labels_of_energy() -> None:
    patterns = ("^labels: expected a rectangular array",)
    assert_refused(TypeError, patterns, lambda: mrfcore.energy([[0], [1, 2]], UNARY, POTTS))


@pytest.mark.parametrize(("weights", "kind"), [("20", "str '20'"), (b"2", "bytes b'2'")])
def test_a_weight_given_as_text(weights: Any, kind: str) -> None:
    patterns = ("weights: expected a number or an array", f"got {kind}")
    assert_refused(TypeError, patterns, lambda: minimize(weights=weights))


@pytest.mark.parametrize(
    ("change", "patterns"),
    [
        (lambda t, torch: t.to(torch.bfloat16), ("float32", "torch.bfloat16", r"unary\.float\(\)")),
        (lambda t, torch: t.to(torch.float8_e4m3fn), ("float32", "torch.float8_e4m3fn")),
        (lambda t, _: t.to("meta"), ("'meta'", "on the CPU")),
        (lambda t, _: t.to_sparse(), ("torch.sparse_coo", "to_dense")),
    ],
    ids=["bfloat16", "float8", "meta", "sparse"],
)
def test_tensors_that_numpy_cannot_see(change: Any, patterns: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch")
    tensor = change(torch.zeros(3, 4, 5), torch)
    assert_refused(TypeError, ("^unary: ", *patterns), lambda: mrfcore.minimize(tensor, POTTS))


class ForeignArray:
    """Of a library that is not torch and has a `layout` of its own, as jax has."""

    layout = "Format(None)"
    dtype = UNARY.dtype

    def __dlpack__(self, **options: Any) -> Any:
        return UNARY.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return UNARY.__dlpack_device__()


def test_arrays_of_other_libraries_may_have_a_layout() -> None:
    found = mrfcore.minimize(ForeignArray(), POTTS, iterations=2)
    assert found.energy == mrfcore.minimize(UNARY, POTTS, iterations=2).energy


def test_the_motorcycle_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match="pip install scikit-image") as caught:
        mrfcore.datasets.motorcycle()
    assert caught.value.__cause__ is None  # one traceback, not two
    assert caught.value.__suppress_context__


# --- what a result says of itself ---------------------------------------------------------------


def result(energy: Any, bound: Any) -> mrfcore.Result:
    return mrfcore.Result(
        labels=LABELS, energy=energy, lower_bound=bound, costs=None, trace=None, iterations=3
    )


def test_a_result_shows_plain_numbers() -> None:
    assert repr(result(3690889.0, 3684000.0)) == (
        "Result(labels=[3, 4], energy=3690889, lower_bound=3684000, gap=0.00187, iterations=3)"
    )
    assert "energy=12.5, " in repr(result(12.5, None))
    batch = repr(result(np.array([3690889.0, 0.25]), np.array([3690889.0, 0.0])))
    assert "energy=[3690889 0.25], lower_bound=[3690889 0], gap=[0 1]" in batch
    assert "\n" not in repr(result(np.arange(1e6, 1e6 + 50), None))


def test_a_stereo_result_shows_all_digits_of_its_energy() -> None:
    left = np.random.default_rng(1).integers(0, 255, (60, 80)).astype(np.uint8)
    found = stereo.match(left, left[::-1].copy(), 8, iterations=1)
    assert found.energy > 1e5
    assert f"energy={found.energy:.10g}, " in repr(found)
    assert "e+" not in repr(found)
