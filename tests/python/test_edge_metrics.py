# SPDX-License-Identifier: Apache-2.0
"""Scores of edges against cases worked by hand and against scipy's and scikit-image's edges."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import disk
from skimage.segmentation import find_boundaries

from mrfcore import metrics

VOID = 255
WIDEN = ("truth", "pred", "both", "band", "match")
SCORES = ("precision", "recall", "f_measure", "performance_ratio")
# A straight edge, found one pixel too far on the right: true edge pixels are in columns 3 and 4,
# predicted ones in 4 and 5.
TRUTH = np.repeat(np.array([[0, 0, 0, 0, 1, 1, 1, 1]]), 4, axis=0)
PRED = np.repeat(np.array([[0, 0, 0, 0, 0, 1, 1, 1]]), 4, axis=0)
EMPTY = np.zeros_like(TRUTH)


def patches(seed: int, labels: int = 4, shape: tuple[int, int] = (20, 27)) -> npt.NDArray[Any]:
    """A map of regions of some pixels' width."""
    noise = np.random.default_rng(seed).random((labels, *shape))
    return np.asarray(ndimage.gaussian_filter(noise, (0, 2.5, 2.5)).argmax(axis=0))


def moved(labels: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """A prediction: one pixel off, and a patch that is wrong."""
    found = np.roll(labels, (seed % 3 - 1, 1), (0, 1))
    found[2:7, 3:9] = seed % 4
    return found


def at(pred: Any, truth: Any, radius: int, **options: Any) -> tuple[float, float, float, float]:
    found = metrics.edge_metrics(pred, truth, [radius], **options)
    return tuple(getattr(found, name)[0] for name in SCORES)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("widen", "radius", "precision", "recall", "f_measure", "ratio"),
    [
        # columns: TP 4; FP 5; FN 3
        ("truth", 0, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        ("pred", 0, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        ("both", 0, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        ("match", 0, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        # the area is columns 3 and 4: no FP
        ("band", 0, 1, 1 / 2, 2 / 3, 1),
        # true 2 to 5, predicted 4 and 5
        ("truth", 1, 1, 1 / 2, 2 / 3, 1),
        # true 3 and 4, predicted 3 to 6
        ("pred", 1, 1 / 2, 1, 2 / 3, 1),
        # true 2 to 5, predicted 3 to 6
        ("both", 1, 3 / 4, 3 / 4, 3 / 4, 3 / 2),
        # in columns 2 to 5: true 3 and 4, predicted 4 and 5
        ("band", 1, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
        # each has one within a pixel
        ("match", 1, 1, 1, 1, math.inf),
        # true 0 to 7, predicted 4 and 5
        ("truth", 3, 1, 1 / 4, 2 / 5, 1 / 3),
    ],
)
@pytest.mark.parametrize("shape", ["disk", "square"])
def test_hand_worked_edges(
    widen: str,
    radius: int,
    precision: float,
    recall: float,
    f_measure: float,
    ratio: float,
    shape: str,
) -> None:
    found = at(PRED, TRUTH, radius, widen=widen, shape=shape)
    assert found == pytest.approx((precision, recall, f_measure, ratio))


@pytest.mark.parametrize("truth", [EMPTY, TRUTH])
def test_edges_far_from_any_true_one_are_no_hit_under_band(truth: Any) -> None:
    """An image with edges counts, even where none of them is near a true one."""
    wrong = np.zeros_like(truth)
    wrong[:, 7:] = 1  # edges in columns 6 and 7, true ones in 3 and 4, or none
    good = metrics.edge_metrics([TRUTH], [TRUTH], [1], widen="band")
    assert (good.f_measure, good.performance_ratio) == ((1,), (math.inf,))
    found = metrics.edge_metrics([TRUTH, wrong], [TRUTH, truth], [1], widen="band")
    assert found.images == (2,)
    assert found.f_measure == (1 / 2,)
    assert at(wrong, truth, 1, widen="band") == (0, 0, 0, 0)
    assert metrics.edge_metrics(wrong, truth, [1], widen="band", average="pooled").f_measure == (0,)
    assert all(map(math.isnan, at(EMPTY, EMPTY, 1, widen="band")))


def test_thin_edges() -> None:
    # True column 3, predicted 4.
    assert at(PRED, TRUTH, 0, thickness=1) == (0, 0, 0, 0)
    assert at(PRED, TRUTH, 1, thickness=1) == pytest.approx((1, 1 / 3, 1 / 2, 1 / 2))


def test_what_decides_the_default() -> None:
    """The table has 0.2668 at 3 pixels: possible with both sides marked, but not with one."""
    wide = np.repeat(np.arange(40)[None] // 20, 5, axis=0)
    for widen in ("truth", "pred"):
        assert at(wide, wide, 3, widen=widen, thickness=1)[2] == pytest.approx(1 / 4)
        assert at(wide, wide, 3, widen=widen, thickness=2)[2] == pytest.approx(2 / 5)


def reference(
    pred: npt.NDArray[Any], truth: npt.NDArray[Any], radius: int, widen: str, shape: str
) -> tuple[float, float, float, float]:
    """Of one image without void, with edges and hits."""
    found, wanted = (find_boundaries(m, connectivity=1, mode="thick") for m in (pred, truth))
    element = disk(radius) if shape == "disk" else np.ones((2 * radius + 1,) * 2)
    near_found, near_wanted = (
        ndimage.binary_dilation(m, element) if radius else m for m in (found, wanted)
    )
    if widen == "match":
        precision, recall = near_wanted[found].mean(), near_found[wanted].mean()
        hits = ((found & near_wanted).sum() + (wanted & near_found).sum()) / 2
        false = (found & ~near_wanted).sum() + (wanted & ~near_found).sum()
        return precision, recall, 2 / (1 / precision + 1 / recall), hits / false
    area = np.ones_like(found) if widen != "band" else near_wanted
    p = (near_found if widen in ("pred", "both") else found)[area]
    t = (near_wanted if widen in ("truth", "both") else wanted)[area]
    hits, false_alarms, missed = (p & t).sum(), (p & ~t).sum(), (~p & t).sum()
    precision, recall = hits / (hits + false_alarms), hits / (hits + missed)
    return precision, recall, 2 / (1 / precision + 1 / recall), hits / (false_alarms + missed)


@given(
    seed=st.integers(0, 999),
    radius=st.integers(0, 6),
    widen=st.sampled_from(WIDEN),
    shape=st.sampled_from(["disk", "square"]),
)
def test_against_scipy_and_scikit_image(seed: int, radius: int, widen: str, shape: str) -> None:
    truth = patches(seed)
    pred = moved(truth, seed)
    with np.errstate(divide="ignore"):
        expected = reference(pred, truth, radius, widen, shape)
    assert at(pred, truth, radius, widen=widen, shape=shape) == pytest.approx(expected)


@given(seed=st.integers(0, 999), widen=st.sampled_from(WIDEN), thickness=st.sampled_from([1, 2]))
def test_what_is_predicted_under_void_does_not_matter(
    seed: int, widen: str, thickness: int
) -> None:
    truth = patches(seed)
    pred = moved(truth, seed)
    truth[patches(seed + 1, 6) == 0] = VOID
    other = np.where(truth == VOID, np.random.default_rng(seed).integers(-5, 300, pred.shape), pred)
    options: dict[str, Any] = {"widen": widen, "thickness": thickness}
    assert metrics.edge_metrics(pred, truth, **options) == metrics.edge_metrics(
        other, truth, **options
    )


def test_void_is_neither_edge_nor_area() -> None:
    truth = TRUTH.copy()
    truth[:, 5:] = VOID
    # True edges 3 and 4; the predicted one, between 4 and 5, is a step onto void.
    assert at(PRED, truth, 1) == (0, 0, 0, 0)
    assert at(TRUTH, truth, 1) == pytest.approx((1, 2 / 3, 4 / 5, 2))  # widened 2 to 4, not to 5
    drawn = TRUTH.copy()
    drawn[:, 3:5] = VOID  # as PASCAL VOC draws its boundaries
    assert metrics.edge_metrics(PRED, drawn, [1], widen="band").images == (0,)
    assert at(TRUTH, metrics.fill_void(drawn, 5), 1, widen="match")[:3] == (1, 1, 1)


@given(
    seed=st.integers(0, 999),
    widen=st.sampled_from(["truth", "pred", "both", "band"]),
    average=st.sampled_from(["image", "pooled"]),
)
def test_ratio_and_f_measure_of_one_image_say_the_same(seed: int, widen: str, average: str) -> None:
    truth = patches(seed)
    found = metrics.edge_metrics(
        moved(truth, seed),
        truth,
        widen=widen,  # type: ignore[arg-type]
        average=average,  # type: ignore[arg-type]
    )
    for f, ratio in zip(found.f_measure, found.performance_ratio, strict=True):
        assert ratio == pytest.approx(f / (2 * (1 - f)) if f < 1 else math.inf)


@given(seed=st.integers(0, 999), widen=st.sampled_from(["both", "match"]))
def test_swapping_the_maps_swaps_precision_and_recall(seed: int, widen: Any) -> None:
    truth = patches(seed)
    pred = moved(truth, seed)
    one = metrics.edge_metrics(pred, truth, widen=widen)
    two = metrics.edge_metrics(truth, pred, widen=widen)
    assert (one.precision, one.recall) == (two.recall, two.precision)
    assert one.f_measure == pytest.approx(two.f_measure)
    assert one.performance_ratio == pytest.approx(two.performance_ratio)
    mirrored = metrics.edge_metrics(pred, truth, widen="truth")
    assert mirrored.f_measure == pytest.approx(
        metrics.edge_metrics(truth, pred, widen="pred").f_measure
    )


@given(seed=st.integers(0, 999))
def test_a_perfect_prediction(seed: int) -> None:
    truth = patches(seed)
    for widen in ("both", "match", "band"):
        found = metrics.edge_metrics(truth + 7, truth, widen=widen)  # type: ignore[arg-type]
        assert found.precision == found.recall == found.f_measure == (1,) * 5
        assert found.performance_ratio == (math.inf,) * 5
        assert found.unbounded == found.images == (1,) * 5
    assert metrics.edge_metrics(truth, truth).precision == (1,) * 5
    assert metrics.edge_metrics(truth, truth, widen="pred").recall == (1,) * 5


@given(seed=st.integers(0, 999))
def test_radii_only_help_matches_and_only_harm_bands(seed: int) -> None:
    truth = patches(seed)
    pred = moved(truth, seed)
    matched = metrics.edge_metrics(pred, truth, range(9), widen="match").f_measure
    assert list(matched) == sorted(matched)
    banded = metrics.edge_metrics(pred, truth, range(9), widen="band").f_measure
    assert list(banded) == sorted(banded, reverse=True)


@given(seed=st.integers(0, 999), widen=st.sampled_from(WIDEN))
def test_mirrors_and_names_of_labels_do_not_matter(seed: int, widen: Any) -> None:
    truth = patches(seed)
    pred = moved(truth, seed)
    expected = metrics.edge_metrics(pred, truth, widen=widen)
    assert metrics.edge_metrics(pred[::-1], truth[::-1], widen=widen) == expected
    assert metrics.edge_metrics(pred.T, truth.T, widen=widen) == expected
    names = np.array([9, -4, 2**40, 3])
    assert metrics.edge_metrics(names[pred], names[truth], widen=widen) == expected


# --- several images -----------------------------------------------------------------------------


def test_means_and_pooled_pixels() -> None:
    # At radius 1: TP 8, FN 8; then nothing found of 16 pixels; then nothing to find.
    pairs = [PRED, EMPTY, EMPTY], [TRUTH, TRUTH, EMPTY]
    found = metrics.edge_metrics(*pairs, [1])
    assert (found.images, found.unbounded, found.average) == ((2,), (0,), "image")
    assert at(*pairs, 1) == pytest.approx((1 / 2, 1 / 4, 1 / 3, 1 / 2))
    pooled = metrics.edge_metrics(*pairs, [1], average="pooled")
    assert (pooled.images, pooled.average) == ((2,), "pooled")
    assert at(*pairs, 1, average="pooled") == pytest.approx((1, 8 / 32, 2 / 5, 8 / 24))
    assert at(EMPTY, TRUTH, 1) == at(TRUTH, EMPTY, 1) == (0, 0, 0, 0)


def test_images_without_edges_do_not_count() -> None:
    for average in ("image", "pooled"):
        found = metrics.edge_metrics(EMPTY, EMPTY, average=average)  # type: ignore[arg-type]
        assert found.images == (0,) * 5
        assert all(math.isnan(value) for value in found.as_dict().values())


def test_infinite_ratios_are_left_out_of_the_mean() -> None:
    pairs = [TRUTH, PRED], [TRUTH, TRUTH]
    found = metrics.edge_metrics(*pairs, [0], widen="both")
    assert (found.images, found.unbounded) == ((2,), (1,))
    assert at(*pairs, 0, widen="both") == pytest.approx((3 / 4, 3 / 4, 3 / 4, 1 / 2))
    assert at(*pairs, 0, widen="both", average="pooled") == pytest.approx(
        (3 / 4, 3 / 4, 3 / 4, 3 / 2)
    )


def test_means_of_ratios_exceed_the_ratio_of_means() -> None:
    """Why the table, where they do, is taken to have means over images."""
    found = metrics.edge_metrics([PRED, TRUTH], [TRUTH, TRUTH], [2])
    f, ratio = found.f_measure[0], found.performance_ratio[0]
    assert ratio >= f / (2 * (1 - f))


def test_batches_and_lists_of_any_sizes() -> None:
    truths = [patches(seed) for seed in range(3)]
    preds = [moved(truth, seed) for seed, truth in enumerate(truths)]
    expected = metrics.edge_metrics(preds, truths)
    assert metrics.edge_metrics(np.stack(preds), np.stack(truths)) == expected
    each = [metrics.edge_metrics(*pair) for pair in zip(preds, truths, strict=True)]
    means = np.mean([one.f_measure for one in each], axis=0)
    assert expected.f_measure == pytest.approx(tuple(means))
    odd = [*preds, PRED[None].repeat(2, axis=0)], [*truths, TRUTH[None].repeat(2, axis=0)]
    found = metrics.edge_metrics(*odd)
    total = 3 * np.array(expected.f_measure) + 2 * np.array(
        metrics.edge_metrics(PRED, TRUTH).f_measure
    )
    assert found.images == (5,) * 5
    assert found.f_measure == pytest.approx(tuple(total / 5))
    assert metrics.edge_metrics(PRED.tolist(), TRUTH.tolist()) == metrics.edge_metrics(PRED, TRUTH)


def test_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = metrics.edge_metrics(PRED, TRUTH)
    tensors = torch.from_numpy(PRED), torch.from_numpy(TRUTH).to(torch.uint8)
    assert metrics.edge_metrics(*tensors) == expected
    assert metrics.edge_metrics([tensors[0]], [tensors[1]]) == expected
    assert metrics.edge_metrics(tensors[0][None], tensors[1][None]) == expected


def test_meters_stream_and_add_up() -> None:
    truths = [patches(seed) for seed in range(4)]
    preds = [moved(truth, seed) for seed, truth in enumerate(truths)]
    options: dict[str, Any] = {"radii": (0, 2), "widen": "both", "thickness": 1, "shape": "square"}
    whole = metrics.EdgeMeter(**options)
    parts = [metrics.EdgeMeter(**options) for _ in truths]
    for part, pred, truth in zip(parts, preds, truths, strict=True):
        part.update(pred, truth)
        whole.update(pred, truth)
    for average in ("image", "pooled"):
        expected = metrics.edge_metrics(preds, truths, average=average, **options)
        assert whole.compute(average) == expected  # type: ignore[arg-type]
        merged = sum(parts).compute(average)  # type: ignore[union-attr, arg-type]
        assert merged.as_dict() == pytest.approx(expected.as_dict())
    sent = pickle.loads(pickle.dumps(parts[0])) + parts[1]
    sent.merge(parts[2])
    np.testing.assert_allclose((sent + parts[3]).state, whole.state, rtol=1e-12)
    assert parts[0].compute() == metrics.edge_metrics(preds[0], truths[0], **options)
    assert "4 images with edges" in repr(whole)
    whole.reset()
    assert whole.compute().images == (0, 0)
    whole.update(preds[0], truths[0])
    assert whole.compute() == parts[0].compute()


def test_the_state_is_reduced_in_place() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    meter = metrics.EdgeMeter()
    meter.update(PRED, TRUTH)
    before = meter.compute()
    torch.from_numpy(meter.state).mul_(2)  # as all_reduce of two processes that saw the same
    assert meter.compute().images == (2,) * 5
    assert meter.compute().as_dict() == pytest.approx(before.as_dict())


def test_scores_by_name() -> None:
    found = metrics.edge_metrics(PRED, TRUTH, [1, 3])
    names = [f"{name}@{radius}" for name in SCORES for radius in (1, 3)]
    assert list(found.as_dict()) == names
    assert found.as_dict()["f_measure@3"] == found.f_measure[1]


# --- what is refused ----------------------------------------------------------------------------

REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "shapes": (
        ValueError,
        r"^pred: expected shape \[4, 8\] as truth, got \[4, 7\]$",
        lambda: metrics.edge_metrics(PRED[:, 1:], TRUTH),
    ),
    "empty": (
        ValueError,
        r"^pred: expected labels .*, none of them 0, got shape \[0, 8\]$",
        lambda: metrics.edge_metrics(PRED[:0], TRUTH[:0]),
    ),
    "no integers": (
        TypeError,
        "^truth: expected integer labels, got dtype float64",
        lambda: metrics.edge_metrics(PRED, TRUTH * 0.5),
    ),
    "no radius": (
        ValueError,
        r"^radii: expected one or more numbers >= 0, got \[\]$",
        lambda: metrics.edge_metrics(PRED, TRUTH, ()),
    ),
    "a radius below 0": (
        ValueError,
        r"^radii: expected one or more numbers >= 0, got \[1, -1\]$",
        lambda: metrics.edge_metrics(PRED, TRUTH, (1, -1)),
    ),
    "half a pixel": (
        TypeError,
        "^radii: expected an integer, got float$",
        lambda: metrics.edge_metrics(PRED, TRUTH, (0.5,)),  # type: ignore[arg-type]
    ),
    "one radius": (
        TypeError,
        "^radii: expected integers such as \\(1, 2\\), got int$",
        lambda: metrics.edge_metrics(PRED, TRUTH, 3),  # type: ignore[arg-type]
    ),
    "a rule": (
        ValueError,
        "^widen: expected one of 'truth', 'pred', 'both', 'band', 'match', got 'gt'$",
        lambda: metrics.edge_metrics(PRED, TRUTH, widen="gt"),  # type: ignore[arg-type]
    ),
    "a thickness": (
        ValueError,
        "^thickness: expected one of 1, 2, got 3$",
        lambda: metrics.EdgeMeter(thickness=3),  # type: ignore[arg-type]
    ),
    "a shape": (
        ValueError,
        "^shape: expected one of 'disk', 'square', got 'cross'$",
        lambda: metrics.EdgeMeter(shape="cross"),  # type: ignore[arg-type]
    ),
    "an average": (
        ValueError,
        "^average: expected one of 'image', 'pooled', got 'mean'$",
        lambda: metrics.edge_metrics(PRED, TRUTH, average="mean"),  # type: ignore[arg-type]
    ),
    "other options": (
        ValueError,
        r"^other: expected .*radii=\(1,\).*, got .*radii=\(2,\)",
        lambda: metrics.EdgeMeter([1]) + metrics.EdgeMeter([2]),
    ),
    "something else": (
        TypeError,
        "^other: expected an EdgeMeter, got int$",
        lambda: metrics.EdgeMeter().merge(3),  # type: ignore[arg-type]
    ),
    "added to a number": (
        TypeError,
        "unsupported operand",
        lambda: metrics.EdgeMeter() + 3,  # type: ignore[operator]
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    kind, message, call = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()


def test_nothing_is_counted_of_what_is_refused() -> None:
    meter = metrics.EdgeMeter()
    with pytest.raises(ValueError, match=r"^pred\[1\]"):
        meter.update([PRED, PRED], [TRUTH, TRUTH[1:]])
    assert not meter.state.any()
