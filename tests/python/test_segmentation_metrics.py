# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices and trimaps against cases worked by hand, scikit-learn, scikit-image."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries
from sklearn.metrics import confusion_matrix, jaccard_score, recall_score

import mrfcore
from mrfcore import metrics, superpixels

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
VOID = 255
TRUTH = np.array([[0, 0, 1], [1, 1, VOID]])
PRED = np.array([[0, 1, 1], [1, 1, 7]])  # 7 is no label, but lies under void


def random_maps(seed: int, labels: int, shape: tuple[int, ...] = (9, 11)) -> tuple[Any, Any]:
    """A prediction and a truth with void."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, shape)
    pred = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, labels, shape))
    truth[rng.random(shape) < 0.1] = VOID
    return pred, truth


def patches(seed: int, labels: int = 4, shape: tuple[int, int] = (24, 31)) -> npt.NDArray[Any]:
    """A map of regions of some pixels' width."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((labels, *shape)), (0, 2.5, 2.5))
    return np.asarray(noise.argmax(axis=0))


def scores_of(pred: Any, truth: Any, labels: int, **options: Any) -> metrics.ConfusionMatrix:
    found = metrics.ConfusionMatrix(labels, **options)
    found.update(pred, truth)
    return found


# --- confusion ----------------------------------------------------------------------------------


def test_hand_worked_confusion() -> None:
    found = scores_of(PRED, TRUTH, 3)
    assert found.matrix.tolist() == [[1, 1, 0], [0, 3, 0], [0, 0, 0]]
    assert found.matrix.dtype == np.int64
    assert found.count == 5
    assert found.pixel_accuracy == pytest.approx(4 / 5)
    np.testing.assert_allclose(found.accuracy, [1 / 2, 1, math.nan])
    assert found.mean_accuracy == pytest.approx(3 / 4)
    np.testing.assert_allclose(found.iou, [1 / 2, 3 / 4, math.nan])
    assert found.mean_iou == pytest.approx(5 / 8)  # of the labels that are there
    assert found.frequency_weighted_iou == pytest.approx((2 / 2 + 3 * 3 / 4) / 5)
    assert found.as_dict() == {
        "pixel_accuracy": found.pixel_accuracy,
        "mean_accuracy": found.mean_accuracy,
        "mean_iou": found.mean_iou,
        "frequency_weighted_iou": found.frequency_weighted_iou,
    }
    assert metrics.mean_iou(PRED, TRUTH, 3) == found.mean_iou
    assert metrics.pixel_accuracy(PRED, TRUTH) == found.pixel_accuracy
    assert repr(found) == (
        "ConfusionMatrix(num_labels=3, ignore=255): 5 pixels, mean IoU 0.6250, "
        "pixel accuracy 0.8000"
    )


def test_a_label_that_is_only_predicted_counts_as_missed() -> None:
    found = scores_of(np.array([[0, 2]]), np.array([[0, 0]]), 3)
    np.testing.assert_array_equal(found.iou, [0.5, math.nan, 0])
    assert found.mean_iou == 0.25
    assert found.mean_accuracy == 0.5
    assert found.frequency_weighted_iou == 0.5


@given(seed=st.integers(0, 999), labels=st.integers(2, 6))
def test_against_scikit_learn(seed: int, labels: int) -> None:
    pred, truth = random_maps(seed, labels)
    found = scores_of(pred, truth, labels)
    keep = truth != VOID
    expected = confusion_matrix(truth[keep], pred[keep], labels=list(range(labels)))
    assert found.matrix.tolist() == expected.tolist()
    there = np.union1d(truth[keep], pred[keep])
    each = jaccard_score(truth[keep], pred[keep], labels=there, average=None, zero_division=0)
    np.testing.assert_allclose(found.iou[there], each, rtol=1e-12)
    assert np.isnan(np.delete(found.iou, there)).all()
    assert found.mean_iou == pytest.approx(each.mean())
    weighted = jaccard_score(truth[keep], pred[keep], average="weighted", zero_division=0)
    assert found.frequency_weighted_iou == pytest.approx(weighted)
    true = np.unique(truth[keep])
    recalls = recall_score(truth[keep], pred[keep], labels=true, average=None, zero_division=0)
    np.testing.assert_allclose(found.accuracy[true], recalls, rtol=1e-12)
    assert found.mean_accuracy == pytest.approx(recalls.mean())
    assert found.pixel_accuracy == pytest.approx((pred == truth)[keep].mean())
    assert metrics.pixel_accuracy(pred, truth) == found.pixel_accuracy


def test_maps_larger_than_a_piece() -> None:
    pred, truth = random_maps(0, 5, (2, 190, 211))
    mask = np.random.default_rng(1).random(truth.shape) < 0.7
    found = metrics.ConfusionMatrix(5)
    found.update(pred, truth, mask)
    keep = mask & (truth != VOID)
    assert found.matrix.tolist() == confusion_matrix(truth[keep], pred[keep]).tolist()
    pred[-1, -1, -1], truth[-1, -1, -1] = 5, 0
    with pytest.raises(ValueError, match="got 5"):
        found.update(pred, truth)
    assert found.count == np.count_nonzero(keep)


@given(seed=st.integers(0, 999))
def test_what_is_predicted_under_void_does_not_matter(seed: int) -> None:
    pred, truth = random_maps(seed, 4)
    other = np.where(truth == VOID, np.random.default_rng(seed).integers(-9, 300, pred.shape), pred)
    assert scores_of(pred, truth, 4).matrix.tolist() == scores_of(other, truth, 4).matrix.tolist()
    assert metrics.pixel_accuracy(pred, truth) == metrics.pixel_accuracy(other, truth)
    expected = metrics.boundary_mean_iou(pred, truth, 4, 2)
    assert metrics.boundary_mean_iou(other, truth, 4, 2) == expected


@pytest.mark.parametrize("ignore", [255, -1, 1, None, 2**20])
def test_void_may_be_any_integer(ignore: int | None) -> None:
    truth = np.array([[0, 2, 2, 0]])
    if ignore is not None:
        truth[0, 3] = ignore
    found = scores_of(np.array([[0, 2, 1, 1]]), truth, 3, ignore=ignore)
    assert found.count == (4 if ignore is None else 3)
    # Predicted, but where it is void itself it has no score.
    assert math.isnan(found.iou[1]) == (ignore == 1)
    assert found.iou[2] == 0.5
    assert found.mean_iou == pytest.approx(
        (found.iou[0] + found.iou[2]) / (2 if ignore == 1 else 3)
    )


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_integers_of_any_width(dtype: str) -> None:
    pred, truth = random_maps(1, 200)
    expected = scores_of(pred, truth, 200).matrix
    found = scores_of(pred.astype(dtype), truth.astype(np.uint8), 200).matrix
    assert found.tolist() == expected.tolist()


def test_truth_values_are_two_labels() -> None:
    truth = np.array([[True, False, True]])
    assert scores_of(~truth, truth, 2).matrix.tolist() == [[0, 1], [2, 0]]
    assert metrics.pixel_accuracy(truth, truth) == 1


def test_batches_lists_and_strides_are_the_same_pixels() -> None:
    pred, truth = random_maps(2, 5, (3, 8, 10))
    expected = scores_of(pred, truth, 5).matrix.tolist()
    assert scores_of(list(pred), list(truth), 5).matrix.tolist() == expected
    assert scores_of((pred[:1], pred[1:]), (truth[:1], truth[1:]), 5).matrix.tolist() == expected
    assert scores_of(pred.tolist(), truth.tolist(), 5).matrix.tolist() == expected
    turned = (np.asfortranarray(pred), truth.transpose(2, 1, 0).copy().transpose(2, 1, 0))
    assert scores_of(*turned, 5).matrix.tolist() == expected
    one_by_one = metrics.ConfusionMatrix(5)
    for p, t in zip(pred, truth, strict=True):
        one_by_one.update(p[:, :4], t[:, :4])
        one_by_one.update(p[:, 4:], t[:, 4:])
    assert one_by_one.matrix.tolist() == expected


def test_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pred, truth = random_maps(3, 5, (2, 8, 10))
    expected = scores_of(pred, truth, 5).matrix.tolist()
    tensors = torch.from_numpy(pred), torch.from_numpy(truth).to(torch.uint8)
    assert scores_of(*tensors, 5).matrix.tolist() == expected
    assert scores_of(list(tensors[0]), list(tensors[1]), 5).matrix.tolist() == expected
    logits = torch.nn.functional.one_hot(tensors[0], 5).movedim(-1, 1).float()
    assert scores_of(logits.argmax(1), truth, 5).matrix.tolist() == expected
    for function in (metrics.boundary_band, metrics.label_edges):
        options = {"width": 2} if function is metrics.boundary_band else {}
        found = function(tensors[1], **options)
        assert isinstance(found, torch.Tensor)
        assert found.tolist() == function(truth, **options).tolist()
    filled = metrics.fill_void(tensors[1], 2)
    assert filled.dtype == torch.uint8
    assert filled.tolist() == metrics.fill_void(truth, 2).tolist()


class OnAGPU:
    """What a tensor there looks like to those who cannot see it."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._values = values
        self.shape = values.shape

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def cpu(self) -> npt.NDArray[Any]:
        return self._values


def test_maps_on_a_gpu_are_copied() -> None:
    found = scores_of(OnAGPU(PRED), OnAGPU(TRUTH), 3)
    assert found.matrix.tolist() == scores_of(PRED, TRUTH, 3).matrix.tolist()
    found = scores_of([OnAGPU(PRED)], [OnAGPU(TRUTH)], 3)
    assert found.matrix.tolist() == scores_of(PRED, TRUTH, 3).matrix.tolist()


def test_matrices_add_up() -> None:
    maps = [random_maps(seed, 4) for seed in range(3)]
    parts = [scores_of(*pair, 4) for pair in maps]
    whole = metrics.ConfusionMatrix(4)
    for pair in maps:
        whole.update(*pair)
    before = [part.matrix.copy() for part in parts]
    assert (parts[0] + parts[1] + parts[2]).matrix.tolist() == whole.matrix.tolist()
    assert sum(parts).matrix.tolist() == whole.matrix.tolist()  # type: ignore[union-attr]
    assert [part.matrix.tolist() for part in parts] == [matrix.tolist() for matrix in before]
    sent = pickle.loads(pickle.dumps(parts[1]))
    assert (sent.num_labels, sent.ignore) == (4, 255)
    sent.merge(parts[0])
    sent.merge(parts[2])
    assert sent.matrix.tolist() == whole.matrix.tolist()
    sent.reset()
    assert not sent.matrix.any()
    assert sent.count == 0
    sent.update(*maps[0])
    assert sent.matrix.tolist() == before[0].tolist()


def test_the_matrix_is_reduced_in_place() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    found = scores_of(PRED, TRUTH, 3)
    torch.from_numpy(found.matrix).mul_(2)  # as all_reduce of two processes that saw the same
    assert found.count == 10
    assert found.mean_iou == pytest.approx(5 / 8)


def test_scores_of_nothing_are_nan() -> None:
    empty = metrics.ConfusionMatrix(3)
    empty.update(PRED, np.full(TRUTH.shape, VOID))
    assert empty.count == 0
    assert all(math.isnan(value) for value in empty.as_dict().values())
    assert np.isnan(empty.iou).all()
    assert math.isnan(metrics.pixel_accuracy(PRED, np.full(TRUTH.shape, VOID)))
    assert math.isnan(metrics.mean_iou(PRED, np.full(TRUTH.shape, VOID), 3))


# --- bands --------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    width=st.integers(1, 40),
    shape=st.sampled_from(["disk", "square"]),
    size=st.sampled_from([(24, 31), (1, 20), (20, 1), (3, 40)]),
)
def test_bands_against_distances(seed: int, width: int, shape: str, size: tuple[int, int]) -> None:
    truth = patches(seed, 3, size)
    truth[patches(seed + 1, 5, size) == 0] = VOID
    edges = find_boundaries(truth, connectivity=1, mode="thick")
    if shape == "disk":
        distance = ndimage.distance_transform_edt(~edges)
    else:
        distance = ndimage.distance_transform_cdt(~edges, metric="chessboard")
    expected = (distance <= width - 1) & (truth != VOID) if edges.any() else np.zeros(size, bool)
    found = metrics.boundary_band(truth, width, shape=shape)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.bool_


def test_batches_have_bands_of_their_own() -> None:
    maps = np.stack([patches(0), patches(1)])
    for function in (lambda m: metrics.boundary_band(m, 3), metrics.label_edges):
        np.testing.assert_array_equal(function(maps), [function(one) for one in maps])
    with_void = np.where(patches(2) == 0, VOID, maps)
    filled = metrics.fill_void(with_void, 3)
    np.testing.assert_array_equal(filled, [metrics.fill_void(one, 3) for one in with_void])


def test_hand_worked_edges() -> None:
    labels = np.array([[1, 1, 2], [1, VOID, 2], [3, 3, 3]])
    thick = [[0, 1, 1], [1, 0, 1], [1, 0, 1]]
    np.testing.assert_array_equal(metrics.label_edges(labels), thick)
    np.testing.assert_array_equal(
        metrics.label_edges(labels, thickness=1), [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    )
    with_void = metrics.label_edges(labels, ignore=None)
    np.testing.assert_array_equal(with_void, [[0, 1, 1], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(
        metrics.label_edges(labels, thickness=1, ignore=None), superpixels.boundaries(labels)
    )


def test_hand_worked_trimap() -> None:
    truth = np.array([[0, 0, 0, 1, 1, 1]] * 2)
    # Both columns beside the boundary: label 0 is found where it is and where 1 is.
    assert metrics.boundary_mean_iou(np.zeros_like(truth), truth, 2, 1) == 0.25
    far = truth.copy()
    far[:, 0] = 1
    assert metrics.boundary_mean_iou(far, truth, 2, 2) == 1
    assert metrics.boundary_mean_iou(far, truth, 2, 3) == metrics.mean_iou(far, truth, 2)
    assert metrics.boundary_mean_iou(far, truth, 2, 3) == pytest.approx((4 / 6 + 6 / 8) / 2)
    assert math.isnan(metrics.boundary_mean_iou(far, np.zeros_like(truth), 2, 3))
    streamed = metrics.ConfusionMatrix(2)
    streamed.update([far, truth], [truth, truth], [metrics.boundary_band(truth, 3)] * 2)
    assert streamed.mean_iou == metrics.boundary_mean_iou([far, truth], [truth, truth], 2, 3)


def test_void_between_labels_is_a_boundary_unless_told() -> None:
    truth = np.array([[0, 0, VOID, VOID, 1, 1]])
    np.testing.assert_array_equal(metrics.boundary_band(truth, 1), [[0, 1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(metrics.boundary_band(truth, 2), [[1, 1, 0, 0, 1, 1]])
    assert not metrics.boundary_band(truth, 2, void_edges=False).any()
    wrong_beside = np.array([[0, 1, 0, 0, 1, 1]])
    found = metrics.boundary_mean_iou(wrong_beside, truth, 2, 1)
    assert found == 0.25  # label 1 is half, label 0 missed
    assert math.isnan(metrics.boundary_mean_iou(wrong_beside, truth, 2, 1, void_edges=False))


def test_hand_worked_filling() -> None:
    truth = np.array([[3, VOID, VOID, VOID, 5]], np.uint8)
    assert metrics.fill_void(truth, 0).tolist() == truth.tolist()
    assert metrics.fill_void(truth, 1).tolist() == [[3, 3, VOID, 5, 5]]
    found = metrics.fill_void(truth, 2)
    assert found.tolist() == [[3, 3, 3, 5, 5]]
    assert found.dtype == np.uint8
    assert truth.tolist() == [[3, VOID, VOID, VOID, 5]]


@given(seed=st.integers(0, 999), reach=st.integers(0, 9))
def test_filling_against_all_distances(seed: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random((7, 9)) < 0.1, rng.integers(-3, 5, (7, 9)), VOID)
    expected = truth.copy()
    known = np.argwhere(truth != VOID)
    for y, x in np.argwhere(truth == VOID):
        far = np.abs(known - (y, x)).sum(axis=1)
        if far.size and far.min() <= reach:
            expected[y, x] = min(truth[tuple(p)] for p in known[far == far.min()])
    np.testing.assert_array_equal(metrics.fill_void(truth, reach), expected)


# --- what is refused ----------------------------------------------------------------------------

ZEROS = np.zeros((2, 3), np.int64)
REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "a predicted label above": (
        ValueError,
        r"^pred: expected labels in 0\.\.2, got 3$",
        lambda: scores_of(ZEROS + 3, ZEROS, 3),
    ),
    "a predicted label below": (
        ValueError,
        r"^pred: expected labels in 0\.\.2, got -1$",
        lambda: scores_of(ZEROS - 1, ZEROS, 3),
    ),
    "a true label above": (
        ValueError,
        r"^truth: expected labels in 0\.\.2, got 255; is `ignore` the void label\?$",
        lambda: scores_of(PRED, TRUTH, 3, ignore=None),
    ),
    "outside the band, too": (
        ValueError,
        r"^pred: expected labels in 0\.\.1, got 9$",
        lambda: metrics.boundary_mean_iou([[9, 0, 0, 1, 1]], [[0, 0, 0, 1, 1]], 2, 1),
    ),
    "shapes": (
        ValueError,
        r"^pred: expected shape \[2, 3\] as truth, got \[2, 2\]$",
        lambda: metrics.mean_iou(ZEROS[:, :2], ZEROS, 3),
    ),
    "empty": (
        ValueError,
        r"^pred: expected labels \[H, W\] or \[B, H, W\], none of them 0, got shape \[0, 3\]$",
        lambda: metrics.pixel_accuracy(ZEROS[:0], ZEROS[:0]),
    ),
    "one axis": (
        ValueError,
        r"^pred: expected labels .* got shape \[6\]$",
        lambda: metrics.pixel_accuracy(ZEROS.ravel(), ZEROS.ravel()),
    ),
    "logits": (
        TypeError,
        r"^pred: expected integer labels, got dtype float64; of logits \[B, L, H, W\] take the ",
        lambda: metrics.pixel_accuracy(np.zeros((1, 4, 2, 3)), ZEROS[None]),
    ),
    "an empty list": (
        ValueError,
        "^pred: expected at least one map, got an empty list$",
        lambda: metrics.pixel_accuracy([], []),
    ),
    "lists of two lengths": (
        ValueError,
        "^pred: expected 2 maps, as many as truth, got 1$",
        lambda: metrics.pixel_accuracy([ZEROS], [ZEROS, ZEROS]),
    ),
    "a list and an array": (
        TypeError,
        "^truth: expected a list of maps as pred, got ndarray$",
        lambda: metrics.pixel_accuracy([ZEROS], ZEROS[None]),
    ),
    "an item of a list": (
        ValueError,
        r"^pred\[1\]: expected shape \[2, 2\] as truth\[1\], got \[2, 3\]$",
        lambda: metrics.pixel_accuracy([ZEROS, ZEROS], [ZEROS, ZEROS[:, :2]]),
    ),
    "a mask of another shape": (
        ValueError,
        r"^mask: expected shape \[2, 3\] as truth, got \[3\]$",
        lambda: metrics.ConfusionMatrix(3).update(ZEROS, ZEROS, [1, 1, 1]),
    ),
    "too few masks": (
        ValueError,
        "^mask: expected 2 maps, as many as truth, got 1$",
        lambda: metrics.ConfusionMatrix(3).update([ZEROS] * 2, [ZEROS] * 2, [ZEROS]),
    ),
    "no labels": (
        ValueError,
        "^num_labels: expected a number >= 1, got 0$",
        lambda: metrics.ConfusionMatrix(0),
    ),
    "half a label": (
        TypeError,
        "^num_labels: expected an integer, got float$",
        lambda: metrics.ConfusionMatrix(2.5),  # type: ignore[arg-type]
    ),
    "void by name": (
        TypeError,
        "^ignore: expected an integer, got str$",
        lambda: metrics.ConfusionMatrix(3, "void"),  # type: ignore[arg-type]
    ),
    "other labels": (
        ValueError,
        "^other: expected num_labels 3 and ignore 255, got 4 and 255$",
        lambda: metrics.ConfusionMatrix(3).merge(metrics.ConfusionMatrix(4)),
    ),
    "other void": (
        ValueError,
        "^other: expected num_labels 3 and ignore 255, got 3 and None$",
        lambda: metrics.ConfusionMatrix(3) + metrics.ConfusionMatrix(3, None),
    ),
    "something else": (
        TypeError,
        "^other: expected a ConfusionMatrix, got int$",
        lambda: metrics.ConfusionMatrix(3).merge(3),  # type: ignore[arg-type]
    ),
    "added to a number": (
        TypeError,
        "unsupported operand",
        lambda: metrics.ConfusionMatrix(3) + 3,  # type: ignore[operator]
    ),
    "no width": (
        ValueError,
        "^width: expected a number >= 1, got 0$",
        lambda: metrics.boundary_band(ZEROS, 0),
    ),
    "a shape": (
        ValueError,
        "^shape: expected one of 'disk', 'square', got 'round'$",
        lambda: metrics.boundary_band(ZEROS, 1, shape="round"),  # type: ignore[arg-type]
    ),
    "a reach": (
        ValueError,
        "^reach: expected a number >= 0, got -1$",
        lambda: metrics.fill_void(ZEROS, -1),
    ),
    "a thickness": (
        ValueError,
        "^thickness: expected one of 1, 2, got 3$",
        lambda: metrics.label_edges(ZEROS, thickness=3),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    kind, message, call = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()


def test_nothing_is_counted_of_what_is_refused() -> None:
    found = scores_of(PRED, TRUTH, 3)
    before = found.matrix.copy()
    with pytest.raises(ValueError, match="got 9"):
        found.update([ZEROS, ZEROS + 9], [ZEROS, ZEROS])
    np.testing.assert_array_equal(found.matrix, before)


# --- the package --------------------------------------------------------------------------------


def test_scores_of_superpixels_are_here_too() -> None:
    for name in (
        "achievable_accuracy",
        "boundary_recall",
        "compactness",
        "undersegmentation_error",
    ):
        assert getattr(metrics, name) is getattr(superpixels, name)


def test_the_page_says_what_there_is() -> None:
    text = PAGE.read_text()
    for name in metrics.__all__:
        if name != "Invalid":
            assert f"`{name}" in text, f"docs/metrics.md: no {name}"
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), {})


def test_names_stay_where_they_were() -> None:
    assert mrfcore.metrics.bad_pixels is metrics.bad_pixels
    old = {"StereoMetrics", "bad_pixels", "d1", "end_point_error", "psnr", "rmse", "stereo_metrics"}
    assert old <= set(metrics.__all__)
    assert all(hasattr(metrics, name) for name in metrics.__all__)
