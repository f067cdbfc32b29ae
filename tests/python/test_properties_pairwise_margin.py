# SPDX-License-Identifier: Apache-2.0
"""Properties P5.1 to P5.3 and P5.7 of the pairwise loss, on the CPU and on a device.

The statements are those of the specification, checked against NumPy in float64 or against what is
known, never against the package's own plain-torch references (test_pairwise_margin.py does that).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as mrf  # noqa: E402

close = torch.testing.assert_close


def draw(*shape: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def groups(count: int, points: int, seed: int = 0) -> Any:
    return torch.randint(0, count, (1, points), generator=torch.Generator().manual_seed(seed))


def unit(x: Any) -> Any:
    return torch.nn.functional.normalize(x, dim=1)


def by_definition(x: Any, labels: Any, alpha: float, positive: float, negative: float) -> float:
    """Eq 5.2 pair by pair, weights 1 / |group|, without 1 / N."""
    x = unit(x)[0].numpy()
    labels = labels[0].numpy()
    weight = 1 / np.array([(labels == label).sum() for label in labels])
    total = 0.0
    for i, j in np.ndindex(len(labels), len(labels)):
        s = 0.5 * (1 + x[:, i] @ x[:, j])
        cost = positive * (1 - s) if labels[i] == labels[j] else negative * max(s - alpha, 0)
        total += weight[i] * weight[j] * cost * (i != j)
    return total


@pytest.mark.parametrize("dims", [3, 8, 64])
def test_p5_1_finite_differences(place: Any, dims: int) -> None:
    x, labels = place.put(draw(1, dims, 7)).requires_grad_(), place.put(groups(3, 7))
    assert torch.autograd.gradcheck(
        lambda x: mrf.pairwise_margin_loss(x, labels, 0.45), x, fast_mode=place.emulated
    )


def test_p5_1_invariances(place: Any) -> None:
    x, labels = draw(1, 5, 90), groups(4, 90)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(2))
    turn = torch.linalg.qr(draw(5, 5, seed=3))[0]
    scales = draw(1, 1, 90, seed=4).exp()
    names = torch.tensor([9, -7, 3, 100])
    cases = [
        (x, labels),
        (x * scales, labels),
        (turn @ x, labels),
        (x, names[labels]),
        (x[..., order], labels[:, order]),
    ]
    found = [mrf.pairwise_margin_loss(place.put(a), place.put(b)).cpu() for a, b in cases]
    for other in found[1:]:
        close(other, found[0])


def test_p5_2_perfect_and_collapsed_embeddings(place: Any) -> None:
    labels = place.put(torch.arange(6).repeat(15)[None])
    axes = torch.cat([torch.eye(3), -torch.eye(3)], 1).double()  # antipodal on every axis
    assert mrf.pairwise_margin_loss(place.put(axes.repeat(1, 15)[None]), labels, 0.5) == 0
    orthogonal = torch.eye(6, dtype=torch.float64).repeat(1, 15)
    assert mrf.pairwise_margin_loss(place.put(orthogonal[None]), labels, 0.5) == 0
    same = place.put(torch.ones(1, 3, 90, dtype=torch.float64))
    assert abs(float(mrf.pairwise_margin_loss(same, labels, 1.0))) < 1e-15  # positive part
    negative = mrf.pairwise_margin_loss(same, labels, 0.3)
    assert float(negative) == pytest.approx((1 - 0.3) * 6 * 5 / 90)


def test_p5_2_positive_part_is_its_closed_form(place: Any) -> None:
    x, labels = draw(1, 4, 40), groups(5, 40)
    found = mrf.pairwise_margin_loss(place.put(x), place.put(labels), 1.0, neg_weight=0.0) * 40
    assert float(found) == pytest.approx(by_definition(x, labels, 1.0, 1.0, 0.0), rel=1e-11)
    means = [unit(x)[0][:, labels[0] == g].mean(1) for g in range(5)]
    want = sum(0.5 * (1 - float(m @ m)) for m in means)
    assert float(found) == pytest.approx(want, rel=1e-11)
    both = mrf.pairwise_margin_loss(place.put(x), place.put(labels), 0.4, neg_weight=3.0) * 40
    assert float(both) == pytest.approx(by_definition(x, labels, 0.4, 1.0, 3.0), rel=1e-11)


def test_p5_3_size_does_not_matter(place: Any) -> None:
    """Ten times the pixels of one instance: the same loss before it is divided by N."""
    x, labels = draw(1, 4, 30), groups(3, 30)
    inside = labels[0] == 1
    more_x = torch.cat([x, *[x[..., inside]] * 9], 2)
    more = torch.cat([labels, *[labels[:, inside]] * 9], 1)
    few = mrf.pairwise_margin_loss(place.put(x), place.put(labels)) * 30
    many = mrf.pairwise_margin_loss(place.put(more_x), place.put(more)) * more.shape[1]
    close(many, few)
    few = mrf.pairwise_margin_loss(place.put(x), place.put(labels), normalise="sum")
    many = mrf.pairwise_margin_loss(place.put(more_x), place.put(more), normalise="sum")
    close(many, few)


def test_small_instances(place: Any) -> None:
    """K3: one instance has no negatives, one point no positives; ignored points are not counted."""
    x = draw(1, 3, 20)
    alone = torch.zeros(1, 20, dtype=torch.int64)
    found = mrf.pairwise_margin_loss(place.put(x), place.put(alone), 0.0) * 20
    assert float(found) == pytest.approx(by_definition(x, alone, 0.0, 1.0, 0.0), rel=1e-11)
    each = torch.arange(20)[None]
    found = mrf.pairwise_margin_loss(place.put(x), place.put(each), 0.0) * 20
    assert float(found) == pytest.approx(by_definition(x, each, 0.0, 0.0, 1.0), rel=1e-11)
    labels = groups(3, 20) - 1  # -1 is ignored
    kept = labels[0] >= 0
    found = mrf.pairwise_margin_loss(place.put(x), place.put(labels))
    close(found, mrf.pairwise_margin_loss(place.put(x[..., kept]), place.put(labels[:, kept])))


def test_p5_7_margins() -> None:
    assert [round(mrf.margin_bound(n), 4) for n in (4, 5, 6, 7)] == [0.0931, 0.2745, 0.3954, 0.4818]
    assert mrf.margin_bound(2) == mrf.margin_bound(3) == 0
    assert [mrf.margin_capacity(d) for d in (1, 3, 64)] == [2, 6, 128]
    # A margin at the bound cannot be met, wherever the groups are.
    for seed in range(50):
        x = draw(1, 3, 6, seed=seed)
        assert mrf.pairwise_margin_loss(x, torch.arange(6)[None], mrf.margin_bound(6)) > 0
    # The corners of a regular simplex: as many groups as there is room for, and they cost nothing.
    for dims in (2, 3, 7):
        alpha = 0.5 - 0.5 / dims
        assert mrf.margin_capacity(dims, alpha) == dims + 1
        assert mrf.margin_capacity(dims, alpha - 0.01) < dims + 1
        corners = torch.eye(dims + 1, dtype=torch.float64) - 1 / (dims + 1)
        labels = torch.arange(dims + 1)[None]
        assert mrf.pairwise_margin_loss(corners[None], labels, alpha) < 1e-15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mrf.margin_bound(1), "groups: expected a number >= 2, got 1"),
        (lambda: mrf.margin_capacity(0), "dims: expected a number >= 1, got 0"),
        (lambda: mrf.margin_capacity(3, 0.6), r"alpha: expected a number in \[0, 0.5\], got 0.6"),
    ],
)
def test_bad_margins(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
