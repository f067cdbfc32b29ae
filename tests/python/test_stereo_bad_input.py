# SPDX-License-Identifier: Apache-2.0
"""Stereo refuses bad input with messages that name argument, value and expectation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mrfcore
from mrfcore import stereo
from test_bad_input import assert_refused, shape

Array = npt.NDArray[Any]

GREY = np.random.default_rng(0).integers(0, 255, (6, 8)).astype(np.uint8)


def volume_of(left: Any = GREY, right: Any = GREY, labels: Any = 4, *args: Any, **kw: Any) -> Any:
    return stereo.cost_volume(left, right, labels, *args, **kw)


def match_of(left: Any = GREY, right: Any = GREY, labels: Any = 4, *args: Any, **kw: Any) -> Any:
    return stereo.match(left, right, labels, *args, **{"iterations": 1, **kw})


def unit(image: Array) -> Array:
    return image.astype(np.float32) / 255


VALUE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "rank": (("left", shape(6), "H, W"), lambda: volume_of(GREY[:, 0])),
    "channels": (("right", shape(6, 8, 2)), lambda: volume_of(right=np.stack([GREY] * 2, 2))),
    "RGBA": (("left", shape(6, 8, 4)), lambda: volume_of(np.stack([GREY] * 4, 2))),
    "empty": (("left", shape(0, 8)), lambda: volume_of(GREY[:0], GREY[:0])),
    "sizes": (("right", shape(6, 8), shape(6, 7)), lambda: volume_of(right=GREY[:, :7])),
    "nan pixels": (("left", "finite"), lambda: volume_of(np.full((6, 8), np.nan))),
    "no disparities": (("num_disparities", "0"), lambda: volume_of(labels=0)),
    "negative disparities": (("num_disparities", "-3"), lambda: volume_of(labels=-3)),
    "huge minimum": (("min_disparity",), lambda: volume_of(min_disparity=2**40)),
    "very negative minimum": (("min_disparity",), lambda: volume_of(min_disparity=-(2**40))),
    "cost": (("cost", "census", "'sad'"), lambda: volume_of(cost="sad")),
    "truncation": (("truncation", "-1"), lambda: volume_of(truncation=-1)),
    "nan truncation": (("truncation",), lambda: volume_of(truncation=float("nan"))),
    "nan border": (("border",), lambda: volume_of(border=float("nan"))),
    "even window": (("window", "4 x 5", "odd"), lambda: volume_of(cost="census", window=(4, 5))),
    "large window": (("window", "65"), lambda: volume_of(cost="census", window=9)),
    "window of one": (("window",), lambda: volume_of(cost="census", window=1)),
    "window of three sides": (("window",), lambda: volume_of(cost="census", window=(1, 2, 3))),
    "no threads": (("threads", "0"), lambda: volume_of(threads=0)),
    "connectivity": (("connectivity", "5"), lambda: stereo.gradient_weights(GREY, 5)),
    "threshold": (("threshold", "-2"), lambda: stereo.gradient_weights(GREY, threshold=-2)),
    "scale": (("scale", "0"), lambda: stereo.exponential_weights(GREY, scale=0)),
    "floor": (("floor", "1.5"), lambda: stereo.exponential_weights(GREY, floor=1.5)),
    "unit floats": (("0..255", "multiply"), lambda: match_of(unit(GREY), unit(GREY))),
    "match cost": (("cost", "mixed"), lambda: match_of(cost="nothing")),
    "volume shape": (
        ("cost", shape(6, 8, 4), shape(6, 8, 3)),
        lambda: match_of(cost=np.zeros((6, 8, 3)), potential=mrfcore.Potts()),
    ),
    "volume without potential": (("potential",), lambda: match_of(cost=np.zeros((6, 8, 4)))),
    "weights": (("weights", "constant"), lambda: match_of(weights="strong")),
    "weights shape": (("weights", shape(2, 6, 8)), lambda: match_of(weights=np.ones((6, 8)))),
    "check": (("left_right_check", "solve"), lambda: match_of(left_right_check="yes")),
    "weights of one view": (
        ("weights", "solve"),
        lambda: match_of(left_right_check="solve", weights=np.ones((2, 6, 8))),
    ),
    "max_difference": (("max_difference",), lambda: match_of(max_difference=-1)),
    "uniqueness": (("uniqueness",), lambda: match_of(uniqueness=-0.1)),
    "speckle_size": (("speckle_size",), lambda: match_of(speckle_size=-1)),
    "smoothing": (("smoothing",), lambda: match_of(smoothing=-1)),
    "solver": (("solver", "trwp"), lambda: match_of(solver="magic")),
    "range beyond the right end": (
        ("num_disparities", "min_disparity", r"8 \.\. 11", "8 pixels wide", r"-7 \.\. 7"),
        lambda: match_of(GREY, GREY, 4, 8),
    ),
    "range beyond the left end": (
        ("num_disparities", "min_disparity", r"-11 \.\. -8", "8 pixels wide"),
        lambda: match_of(GREY, GREY, 4, -11),
    ),
    "match connectivity": (("connectivity", "6"), lambda: match_of(connectivity=6)),
}

TYPE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "text": (("left",), lambda: volume_of("left.png")),
    "none": (("right", "NoneType"), lambda: volume_of(right=None)),
    "uint16": (("left", "uint16", "uint8"), lambda: volume_of(GREY.astype(np.uint16))),
    "complex": (("left", "complex"), lambda: volume_of(GREY.astype(complex))),
    "disparities": (("num_disparities", "float"), lambda: volume_of(labels=4.0)),
    "minimum": (("min_disparity", "str"), lambda: volume_of(min_disparity="0")),
    "dtype": (("dtype", "int32"), lambda: volume_of(dtype=np.int32)),
    "truncation": (("truncation", "str"), lambda: volume_of(truncation="3")),
    "window": (("window", "float"), lambda: volume_of(cost="census", window=5.0)),
    "option": (("rho", "sgm"), lambda: match_of(solver="sgm", rho=0.5)),
    "smoothing": (("smoothing", "float"), lambda: match_of(smoothing=1.5)),
    "callback": (("callback",), lambda: match_of(callback=3)),
}


@pytest.mark.parametrize("case", VALUE_ERRORS)
def test_wrong_values_are_refused(case: str) -> None:
    assert_refused(ValueError, *VALUE_ERRORS[case])


@pytest.mark.parametrize("first", [7, -10])
def test_a_range_that_reaches_beyond_the_width_is_searched(first: int) -> None:
    result = match_of(GREY, GREY, 4, first)
    assert result.min_disparity == first
    assert np.isfinite(result.energy)


@pytest.mark.parametrize("case", TYPE_ERRORS)
def test_wrong_types_are_refused(case: str) -> None:
    assert_refused(TypeError, *TYPE_ERRORS[case])


def test_a_volume_that_does_not_fit_is_refused_before_allocating() -> None:
    image = np.zeros((4000, 4000), np.uint8)
    with pytest.raises(MemoryError, match="missing"):
        stereo.cost_volume(image, image, 10_000_000)
