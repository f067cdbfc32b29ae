# SPDX-License-Identifier: Apache-2.0
"""group_points: labels of converged points (P5.10), against the definition in plain loops."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import group_points, mean_shift  # noqa: E402


def draw(*shape: int, seed: int = 0) -> Any:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain_groups(x: Any, kappa: float, threshold: float, min_size: int) -> tuple[list[int], int]:
    """Of x [D, N]."""
    x = torch.nn.functional.normalize(x, dim=0)
    cosines = x.T @ x
    density = torch.exp(kappa * (cosines - 1)).sum(0)
    labels, left, groups = [-1] * x.shape[1], set(range(x.shape[1])), 0
    while left:
        founder = max(sorted(left), key=lambda j: float(density[j]))
        group = {i for i in left if float(cosines[founder, i]) > threshold} | {founder}
        if len(group) >= min_size:
            for i in group:
                labels[i] = groups
            groups += 1
        left -= group
    return labels, groups


@pytest.mark.parametrize("min_size", [1, 4])
@pytest.mark.parametrize("threshold", [0.5, -0.3, 0.9])
def test_against_plain_loops(threshold: float, min_size: int) -> None:
    x = draw(2, 4, 90)
    labels, counts = group_points(x, 5.0, threshold=threshold, min_size=min_size)
    for b in range(2):
        want = plain_groups(x[b], 5.0, threshold, min_size)
        assert (labels[b].tolist(), int(counts[b])) == want


def test_separated_clusters_are_recovered() -> None:
    truth = torch.arange(5).repeat_interleave(torch.tensor([300, 80, 60, 40, 20]))
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    truth = truth[order]
    x = torch.eye(64, dtype=torch.float64)[:, truth] + draw(64, 500) / 16
    labels, counts = group_points(mean_shift(x[None], 36.0, 5))
    assert counts.tolist() == [5]
    pairs = set(zip(labels[0].tolist(), truth.tolist(), strict=True))
    assert pairs == {(g, g) for g in range(5)}  # the densest, here the largest, first


def test_images_zero_vectors_and_threads() -> None:
    x = draw(1, 3, 6, 7).float()
    x[..., 2, 3] = 0
    labels, _ = group_points(x, threads=1)
    assert labels.shape == (1, 6, 7)
    assert labels[0, 2, 3] == -1
    assert (labels >= 0).sum() == 41
    assert torch.equal(labels, group_points(x, threads=3)[0])
    assert group_points(torch.zeros(2, 3, 4))[1].tolist() == [0, 0]


def test_bad_input() -> None:
    x = torch.ones(1, 2, 3)
    for message, options in {
        r"threshold: expected a number in \[-1, 1\), got 1": {"threshold": 1},
        "min_size: expected a number >= 1, got 0": {"min_size": 0},
        "kappa: expected a finite number >= 0, got -1": {"kappa": -1},
    }.items():
        with pytest.raises(ValueError, match=message):
            group_points(x, **options)
    with pytest.raises(ValueError, match=r"x: expected \[B, D, N\]"):
        group_points(x[0])
