# SPDX-License-Identifier: Apache-2.0
"""Joint transforms of volumes and labels, and turns of points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mrfcore import datasets
from mrfcore.datasets import volume_transforms as V  # noqa: N812


def numbered(*sizes: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(np.prod(sizes)).reshape(sizes)
    return np.stack([labels, -labels]).astype(np.float32), labels


def test_boxes() -> None:
    volume, labels = numbered(5, 6, 7)
    values, marks = V.CenterBox((3, 2, 9), void=-1)(volume, labels)
    np.testing.assert_array_equal(marks[:, :, 1:8], labels[1:4, 2:4])
    assert (marks[:, :, [0, 8]] == -1).all()
    assert (values[:, :, :, [0, 8]] == 0).all()
    np.testing.assert_array_equal(values[1, :, :, 1:8], -labels[1:4, 2:4])
    box = V.RandomBox(3, generator=0)
    corners = set()
    for _ in range(300):
        values, marks = box(volume, labels)
        corner = np.unravel_index(int(marks[0, 0, 0]), labels.shape)
        corners.add(tuple(int(k) for k in corner))
        window = labels[tuple(slice(k, k + 3) for k in corner)]
        np.testing.assert_array_equal(marks, window)
        np.testing.assert_array_equal(values, [window, -window])
    assert len(corners) == 3 * 4 * 5  # every place


def test_flips() -> None:
    volume, labels = numbered(2, 3, 4)
    values, marks = V.RandomFlip(1.0, axes=(0, 2))(volume, labels)
    np.testing.assert_array_equal(marks, labels[::-1, :, ::-1])
    np.testing.assert_array_equal(values, [marks, -marks])
    values, marks = V.RandomFlip(0.0)(volume, labels)
    np.testing.assert_array_equal(marks, labels)
    both = V.Compose([V.RandomFlip(generator=1), V.CenterBox(2)])
    assert both(volume, labels)[0].shape == (2, 2, 2, 2)
    firsts = {int(V.RandomFlip(generator=seed)(volume, labels)[1][0, 0, 0]) for seed in range(20)}
    assert firsts == {0, 3}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: V.CenterBox((2, 3)), ValueError, r"size: expected a number or \(depth, height"),
        (lambda: V.RandomBox(0), ValueError, "size: expected numbers >= 1, got 0"),
        (lambda: V.RandomFlip(axes=(3,)), ValueError, r"axes: expected some of 0, 1, 2, got \(3"),
        (lambda: V.RandomFlip(2), ValueError, "p: expected a number from 0 to 1, got 2"),
        (lambda: V.RandomBox(2, generator="x"), TypeError, "generator: expected a numpy"),
        (lambda: V.CenterBox(2)(np.zeros((1, 2, 2, 2)), np.zeros((2, 2, 3))), ValueError,
         r"expected shapes \[C, D, H, W\] and \[D, H, W\], got \[1, 2, 2, 2\] and \[2, 2, 3\]"),
        (lambda: V.RandomTurn()(np.zeros(3)), ValueError, r"points: expected shape \[N, 3\]"),
    ],
)  # fmt: skip
def test_transforms_refuse(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_loads_in_batches() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    train = V.Compose([V.RandomBox(24, generator=0), V.RandomFlip(generator=1)])
    dataset = datasets.TumourVolumes(4, size=32, transforms=train)
    loader = torch.utils.data.DataLoader(dataset, batch_size=2)
    volumes, labels = next(iter(loader))
    assert (volumes.dtype, list(volumes.shape)) == (torch.float32, [2, 4, 24, 24, 24])
    assert (labels.dtype, list(labels.shape)) == (torch.int64, [2, 24, 24, 24])


def test_turns_are_even() -> None:
    turn = V.RandomTurn(generator=3)
    points = np.random.default_rng(0).normal(size=(50, 3))
    signs = set()
    directions = []
    for _ in range(200):
        moved = turn(points)
        np.testing.assert_allclose(moved @ moved.T, points @ points.T, atol=1e-9)
        matrix = np.linalg.lstsq(points, moved, rcond=None)[0]
        signs.add(round(float(np.linalg.det(matrix))))
        directions.append(matrix[1])
    assert signs == {-1, 1}
    np.testing.assert_allclose(np.mean(directions, axis=0), 0, atol=0.15)
    np.testing.assert_allclose(np.cov(np.array(directions).T), np.eye(3) / 3, atol=0.1)
