# SPDX-License-Identifier: Apache-2.0
"""mrfcore.cluster.MeanShift against plain loops, scikit-learn where it is, and known clusters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrfcore.cluster import MeanShift, estimate_bandwidth

ROOT = Path(__file__).resolve().parents[2]


def blobs(count: int, dims: int, clusters: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    centres = random.uniform(-6, 6, (clusters, dims))
    return centres[random.integers(0, clusters, count)] + 0.5 * random.standard_normal(
        (count, dims)
    )


def plain_mode(x: Any, at: Any, bandwidth: float, kernel: str) -> tuple[Any, float]:
    """Where one seed ends, and the weights around the place that it left last."""
    for _ in range(301):
        squares = ((x - at) ** 2).sum(1)
        weights = (
            (squares <= bandwidth**2).astype(float)
            if kernel == "flat"
            else np.exp(-squares / (2 * bandwidth**2)) * (squares <= (6 * bandwidth) ** 2)
        )
        mean = weights @ x / weights.sum()
        step, at = np.linalg.norm(mean - at), mean
        if step <= 1e-3 * bandwidth:
            break
    return at, weights.sum()


def plain_mean_shift(x: Any, bandwidth: float, kernel: str) -> tuple[Any, Any]:
    modes = [plain_mode(x, at, bandwidth, kernel) for at in x]
    centres: list[Any] = []
    for at, _ in sorted(modes, key=lambda m: (m[1], tuple(m[0])), reverse=True):
        if all(np.linalg.norm(at - c) > bandwidth for c in centres):
            centres.append(at)
    labels = [int(np.argmin([np.linalg.norm(p - c) for c in centres])) for p in x]
    return np.array(centres), np.array(labels)


@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
@pytest.mark.parametrize(("dims", "bandwidth"), [(1, 0.7), (2, 1.0), (3, 0.9), (5, 1.6)])
def test_against_plain_loops(dims: int, bandwidth: float, kernel: str) -> None:
    x = blobs(150, dims, 4, seed=dims)
    found = MeanShift(bandwidth=bandwidth, kernel=kernel).fit(x)
    centres, labels = plain_mean_shift(x, bandwidth, kernel)
    np.testing.assert_allclose(found.cluster_centers_, centres, atol=1e-10)
    np.testing.assert_array_equal(found.labels_, labels)


@pytest.mark.parametrize("bandwidth", [0.05, 3.0, 100.0])
def test_every_grid(bandwidth: float) -> None:
    """Cells of a point each, few cells, one cell; points far apart."""
    x = np.concatenate([blobs(120, 3, 3, seed=7), [[500.0, -300.0, 20.0]]])
    found = MeanShift(bandwidth=bandwidth).fit(x)
    centres, labels = plain_mean_shift(x, bandwidth, "flat")
    np.testing.assert_allclose(found.cluster_centers_, centres, atol=1e-9)
    np.testing.assert_array_equal(found.labels_, labels)


@pytest.mark.parametrize("options", [{}, {"bin_seeding": True}, {"cluster_all": False}], ids=str)
@pytest.mark.parametrize(("dims", "bandwidth"), [(1, 0.8), (2, 1.0), (3, None), (6, 2.5)])
def test_against_scikit_learn(dims: int, bandwidth: float | None, options: Any) -> None:
    sklearn = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    x = blobs(400, dims, 4, seed=dims)
    ours = MeanShift(bandwidth=bandwidth, **options).fit(x)
    theirs = sklearn.MeanShift(bandwidth=bandwidth, **options).fit(x)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, atol=1e-10)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.n_iter_ == theirs.n_iter_


def test_estimate_bandwidth() -> None:
    x = blobs(60, 2, 3)
    distances = np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)
    assert estimate_bandwidth(x) == pytest.approx(distances[:, 17].mean())
    assert estimate_bandwidth(x, quantile=0) == 0
    assert estimate_bandwidth(x, n_samples=60) == estimate_bandwidth(x)
    assert estimate_bandwidth(x, n_samples=20, seed=1) != estimate_bandwidth(x, n_samples=20)
    for bad in (0, -5):
        with pytest.raises(ValueError, match=f"n_samples: expected None or .* >= 1, got {bad}"):
            estimate_bandwidth(x, n_samples=bad)


def test_separated_clusters_are_recovered() -> None:
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    x = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[truth] + blobs(100, 2, 1)
    for kernel in ("flat", "gaussian"):
        found = MeanShift(bandwidth=2.0, kernel=kernel).fit(x)
        np.testing.assert_array_equal(found.labels_, truth)  # most points first
        np.testing.assert_array_equal(found.predict(x), truth)


def test_orphans_and_seeds() -> None:
    x = np.concatenate([np.zeros((5, 2)), [[50.0, 50.0]]])
    found = MeanShift(bandwidth=1.0, seeds=[[0.1, 0.0], [900.0, 0.0]], cluster_all=False).fit(x)
    assert found.labels_.tolist() == [0] * 5 + [-1]
    np.testing.assert_array_equal(found.cluster_centers_, [[0.0, 0.0]])
    with pytest.raises(ValueError, match=r"bandwidth: no point lies within 1\.0 of any seed"):
        MeanShift(bandwidth=1.0, seeds=[[900.0, 0.0]]).fit(x)


def test_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = blobs(500, 3, 5)
    for kernel in ("flat", "gaussian"):
        monkeypatch.delenv("MRFCORE_CPU_ISA", raising=False)
        want = MeanShift(bandwidth=0.7, kernel=kernel, threads=3).fit(x).cluster_centers_
        monkeypatch.setenv("MRFCORE_CPU_ISA", "baseline")
        got = MeanShift(bandwidth=0.7, kernel=kernel, threads=1).fit(x).cluster_centers_
        np.testing.assert_array_equal(got, want)


def test_parameters() -> None:
    model = MeanShift(bandwidth=2.0)
    assert MeanShift(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(kernel="gaussian", max_iter=1).fit(blobs(50, 2, 2)).n_iter_ <= 1
    assert repr(model) == "MeanShift(bandwidth=2.0, kernel='gaussian', max_iter=1)"
    assert repr(MeanShift(seeds=np.zeros((1, 2)))) == "MeanShift(seeds=array([[0., 0.]]))"
    with pytest.raises(ValueError, match="parameter: expected one of 'bandwidth'"):
        model.set_params(width=1)


X = np.zeros((3, 2))
BAD: dict[str, tuple[str, dict[str, Any], Any]] = {
    "shape": (r"points: expected \[N, D\].*got shape \[3\]", {}, X[:, 0]),
    "empty": (r"points: expected \[N, D\].*got shape \[0, 2\]", {}, X[:0]),
    "NaN": ("points: expected finite numbers, got .*nan.* at row 1", {}, [[0.0], [np.nan]]),
    "bandwidth": (r"bandwidth: expected a number in \[1e-150, .*got 0", {"bandwidth": 0}, X),
    "tiny bandwidth": ("bandwidth: .*got 1e-200", {"bandwidth": 1e-200}, X),  # its square is 0
    "bins": ("min_bin_freq: expected a number >= 1, got 0", {"min_bin_freq": 0}, X),
    "no spread": ("bandwidth: the estimate for these points is 0", {}, X),
    "kernel": ("kernel: expected one of 'flat', 'gaussian'", {"kernel": "box"}, X),
    "max_iter": ("max_iter: expected a number >= 0, got -1", {"max_iter": -1}, X),
    "tolerance": ("tolerance: expected a number >= 0, got -1", {"tolerance": -1}, X),
    "seeds": (
        r"seeds: expected \[S, 2\] as points, got \[1, 1\]",
        {"seeds": [[1]], "bandwidth": 1},
        X,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    message, options, points = BAD[case]
    with pytest.raises(ValueError, match=message):
        MeanShift(**options).fit(points)


def test_predict_needs_a_fit() -> None:
    with pytest.raises(ValueError, match="call fit first"):
        MeanShift().predict(X)
    with pytest.raises(ValueError, match=r"points: expected \[N, 2\] as fitted"):
        MeanShift(bandwidth=1).fit(X).predict(X[:, :1])


def test_the_page() -> None:
    text = (ROOT / "docs" / "operators" / "cluster_mean_shift.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet, "snippet", "exec"), {})


def test_bad_points() -> None:
    for points in (X + 1j, [["a", "b"]], [[1.0], [1.0, 2.0]], None):
        with pytest.raises(TypeError, match=r"^points: expected"):
            MeanShift(bandwidth=1.0).fit(points)


def test_points_with_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^points: requires a gradient, .*pass points\.detach"):
        MeanShift(bandwidth=1.0).fit(torch.zeros(3, 2, requires_grad=True))
