# SPDX-License-Identifier: Apache-2.0
"""Disparity errors against cases worked by hand and against a pixel-by-pixel loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrfcore import metrics

NAN = np.nan
# errors:              0.0   0.5   0.75   1.5    3.5    10   invalid unknown
GT = np.array([[10.0, 10.0, 10.00, 10.0], [10.0, 100.0, 10.0, NAN]])
PRED = np.array([[10.0, 10.5, 9.25, 11.5], [13.5, 110.0, NAN, 10.0]])


def test_hand_worked_errors() -> None:
    m = metrics.stereo_metrics(PRED, GT)
    assert m.count == 7
    assert m.density == pytest.approx(600 / 7)
    # An error equal to the threshold is not bad; the invalid pixel is.
    assert m.bad_0_5 == pytest.approx(500 / 7)  # 0.75 1.5 3.5 10 invalid
    assert m.bad_1 == pytest.approx(400 / 7)
    assert m.bad_2 == pytest.approx(300 / 7)
    assert m.bad_4 == pytest.approx(200 / 7)
    assert m.d1 == pytest.approx(300 / 7)  # 3.5 of 10, 10 of 100, invalid
    assert m.epe == pytest.approx((0 + 0.5 + 0.75 + 1.5 + 3.5 + 10) / 6)
    assert m.rms == pytest.approx(math.sqrt((0.25 + 0.5625 + 2.25 + 12.25 + 100) / 6))
    assert m.a50 == pytest.approx((0.75 + 1.5) / 2)
    assert m.a90 == pytest.approx(0.5 * 3.5 + 0.5 * 10)  # position 0.9 * 5 = 4.5 of the sorted
    assert m.a95 == pytest.approx(0.25 * 3.5 + 0.75 * 10)
    assert m.a99 == pytest.approx(0.05 * 3.5 + 0.95 * 10)


def test_invalid_predictions_can_be_ignored() -> None:
    m = metrics.stereo_metrics(PRED, GT, invalid="ignore")
    assert m.bad_1 == pytest.approx(300 / 6)
    assert m.d1 == pytest.approx(200 / 6)
    assert m.epe == metrics.stereo_metrics(PRED, GT).epe  # in pixels: the same either way
    assert (m.count, m.density) == (7, pytest.approx(600 / 7))
    infinite = np.where(np.isnan(PRED), np.inf, PRED)
    assert metrics.stereo_metrics(infinite, GT, invalid="ignore") == m


def test_d1_needs_both_conditions() -> None:
    gt = np.array([100.0, 100.0, 100.0, 20.0, 20.0, -20.0])
    pred = gt + np.array([4.0, 5.0, 5.01, 3.0, 3.01, 3.01])  # 5 % of 100 is 5, of 20 is 1
    assert metrics.d1(pred, gt) == pytest.approx(300 / 6)


def test_masks() -> None:
    first_row = np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
    m = metrics.stereo_metrics(PRED, GT, {"all": None, "top": first_row, "top255": 255 * first_row})
    assert list(m) == ["all", "top", "top255"]
    assert m["all"] == metrics.stereo_metrics(PRED, GT)
    assert m["top"] == m["top255"] == metrics.stereo_metrics(PRED, GT, first_row.astype(bool))
    assert (m["top"].count, m["top"].bad_1) == (4, 25.0)
    assert metrics.bad_pixels(PRED, GT, 1, mask=first_row) == 25.0
    assert metrics.end_point_error(PRED, GT, first_row) == pytest.approx(2.75 / 4)
    assert metrics.d1(PRED, GT, first_row) == 0


def test_nothing_predicted() -> None:
    m = metrics.stereo_metrics(np.full(GT.shape, NAN), GT)
    assert (m.bad_1, m.d1, m.density) == (100, 100, 0)
    assert math.isnan(m.epe)
    assert math.isnan(m.rms)
    assert math.isnan(m.a50)
    assert math.isnan(metrics.bad_pixels(np.full(GT.shape, NAN), GT, invalid="ignore"))


@given(
    pair=hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).flatmap(
        lambda shape: st.tuples(
            *[hnp.arrays(np.float32, shape, elements=st.floats(0, 64, width=32))] * 2
        )
    ),
    seed=st.integers(0, 99),
    invalid=st.sampled_from(["bad", "ignore"]),
)
def test_against_a_loop(
    pair: tuple[np.ndarray, np.ndarray], seed: int, invalid: metrics.Invalid
) -> None:
    pred, gt = pair
    rng = np.random.default_rng(seed)
    pred[rng.random(pred.shape) < 0.2] = NAN
    gt[rng.random(gt.shape) < 0.2] = NAN
    gt[0, 0] = 1  # something to evaluate
    bad = counted = seen = 0
    total = 0.0
    for p, g in zip(pred.ravel().tolist(), gt.ravel().tolist(), strict=True):
        if math.isnan(g):
            continue
        seen += 1
        if math.isnan(p):
            bad += invalid == "bad"
            counted += invalid == "bad"
            continue
        counted += 1
        bad += abs(p - g) > 2
        total += abs(p - g)
    m = metrics.stereo_metrics(pred, gt, invalid=invalid)
    assert m.count == seen
    if counted:
        assert m.bad_2 == pytest.approx(100 * bad / counted)
        assert metrics.bad_pixels(pred, gt, 2, invalid=invalid) == m.bad_2
    assert m.a50 <= m.a90 <= m.a95 <= m.a99 or not m.density
    if m.density:
        assert m.epe == pytest.approx(total / round(m.density * seen / 100))
        assert m.epe <= m.rms * (1 + 1e-12)


def test_as_dict_names_every_error() -> None:
    values = metrics.stereo_metrics(PRED, GT).as_dict()
    assert list(values)[:5] == ["bad_0_5", "bad_1", "bad_2", "bad_4", "d1"]
    assert values["count"] == 7


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"pred has shape \(2, 3\), expected \(2, 4\), that of gt"):
        metrics.stereo_metrics(PRED[:, :3], GT)
    with pytest.raises(ValueError, match=r"mask\['nonocc'\] has shape \(1,\)"):
        metrics.stereo_metrics(PRED, GT, {"nonocc": np.ones(1)})
    with pytest.raises(ValueError, match="no pixel with a known"):
        metrics.stereo_metrics(PRED, np.full(GT.shape, NAN))
    with pytest.raises(ValueError, match="inside mask"):
        metrics.d1(PRED, GT, np.zeros(GT.shape))
    with pytest.raises(ValueError, match="invalid is 'skip', expected 'bad' or 'ignore'"):
        metrics.stereo_metrics(PRED, GT, invalid="skip")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="threshold is -1"):
        metrics.bad_pixels(PRED, GT, -1)
    with pytest.raises(TypeError, match="pred has dtype complex128"):
        metrics.bad_pixels(PRED.astype(complex), GT)


def test_restoration_errors() -> None:
    image, reference = np.array([[0, 255]], np.uint8), np.array([[3, 251]], np.uint8)
    assert metrics.rmse(image, reference) == pytest.approx(math.sqrt((9 + 16) / 2))  # no wrapping
    expected = 10 * math.log10(255**2 / 12.5)
    assert metrics.psnr(image, reference) == pytest.approx(expected)
    assert metrics.psnr(image / 255, reference / 255, data_range=1) == pytest.approx(expected)
    assert metrics.psnr(image, image) == math.inf
    with pytest.raises(ValueError, match=r"image has shape \(1, 1\)"):
        metrics.psnr(image[:, :1], reference)
    with pytest.raises(ValueError, match="data_range is 0"):
        metrics.psnr(image, reference, data_range=0)
    with pytest.raises(ValueError, match="empty"):
        metrics.rmse(np.zeros((0, 2)), np.zeros((0, 2)))
