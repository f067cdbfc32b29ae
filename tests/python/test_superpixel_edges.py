# SPDX-License-Identifier: Apache-2.0
"""Edge weights from superpixels, against a loop over pixels; and TRWP with them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mrfcore  # noqa: E402
import mrfcore.nn as mrf  # noqa: E402
from mrfcore.nn.functional import superpixel_ids  # noqa: E402

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))


def associations(batch: int, height: int, width: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 9, height, width, generator=generator, dtype=torch.float64)
    return logits.mul(2).softmax(1)


def chances(q, cell: int, pixel: tuple[int, int]) -> dict[tuple[int, int], float]:
    """By cell (which may lie outside), what a pixel gives to it."""
    y, x = pixel
    return {(y // cell + k // 3 - 1, x // cell + k % 3 - 1): float(q[k, y, x]) for k in range(9)}


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize(
    ("cell", "height", "width"), [(4, 9, 11), (1, 4, 5), (3, 2, 7), (16, 5, 6)]
)
def test_soft_ones_are_the_chance_of_meeting(cell, height, width, connectivity) -> None:
    q = associations(2, height, width)
    found = mrf.SuperpixelEdges(connectivity, cell=cell, floor=0.25)(q).numpy()
    wanted = np.zeros_like(found)
    for b in range(2):
        for p, (dy, dx) in enumerate(STEPS[: connectivity // 2]):
            for y, x in np.ndindex(height, width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    one = chances(q[b], cell, (y, x))
                    two = chances(q[b], cell, (y + dy, x + dx))
                    same = sum(one[s] * two.get(s, 0.0) for s in one)
                    wanted[b, p, y, x] = 0.25 + 0.75 * same
    assert np.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_hard_ones_are_one_inside_and_floor_across(dtype) -> None:
    ids = torch.tensor([[[0, 0, 1], [2, 0, 1]]]).to(dtype)
    found = mrf.SuperpixelEdges(4, floor=0.1)(ids)[0]
    assert torch.allclose(found[0], torch.tensor([[1, 0.1, 0], [0.1, 0.1, 0]]))
    assert torch.allclose(found[1], torch.tensor([[0.1, 1, 1], [0, 0, 0]]))


def test_certain_associations_give_the_weights_of_their_ids() -> None:
    q = torch.zeros(1, 9, 48, 64, dtype=torch.float64)
    slots = torch.randint(9, (48, 64), generator=torch.Generator().manual_seed(5))
    slots[:16], slots[32:], slots[:, :16], slots[:, 48:] = 4, 4, 4, 4  # none reaches outside
    q.scatter_(1, slots[None, None], 1.0)
    edges = mrf.SuperpixelEdges(16, floor=0)
    assert torch.equal(edges(q), edges(superpixel_ids(q)).double())


def test_gradients() -> None:
    q = associations(1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(mrf.SuperpixelEdges(16, cell=3, floor=0.2), (q,))


def test_labels_follow_the_contours() -> None:
    """A noisy half-plane: with the weights of its superpixels TRWP finds the exact contour."""
    generator = torch.Generator().manual_seed(3)
    truth = (torch.arange(32) > 18).long().expand(24, 32)
    ids = (torch.arange(24) // 8)[:, None] * 2 + truth
    unary = torch.nn.functional.one_hot(1 - truth, 2).movedim(2, 0)[None].float()
    unary = unary + 0.9 * torch.randn(unary.shape, generator=generator)
    layer = mrf.TRWP(mrfcore.Potts(), iterations=20, weight=1.0)
    plain = (layer(unary).argmin(1)[0] == truth).float().mean()
    guided = (
        (layer(unary, mrf.SuperpixelEdges(4, floor=0.05)(ids[None])).argmin(1)[0] == truth)
        .float()
        .mean()
    )
    assert guided == 1.0 > plain


def test_contours_learn_through_the_layer() -> None:
    q = associations(1, 8, 8).float().requires_grad_()
    layer = mrf.TRWP(mrfcore.Potts(), iterations=3, weight=0.5)
    unary = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    costs = layer(unary, mrf.SuperpixelEdges(4, cell=4)(q))
    torch.nn.functional.cross_entropy(-costs, torch.zeros(1, 8, 8, dtype=torch.long)).backward()
    assert float(q.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            torch.zeros(1, 8, 4, 4),
            ValueError,
            r"superpixels: expected q \[B, 9, H, W\].*\[1, 8, 4, 4\]",
        ),
        (
            torch.zeros(4, 4, dtype=torch.int64),
            ValueError,
            r"superpixels: expected ids \[B, H, W\]",
        ),
        (
            torch.zeros(1, 4, 4, dtype=torch.bool),
            TypeError,
            r"superpixels: .* got dtype torch.bool",
        ),
        (np.zeros((1, 4, 4)), TypeError, r"superpixels: expected a tensor .* got ndarray"),
    ],
)
def test_other_inputs_are_refused(value, error, message) -> None:
    with pytest.raises(error, match=message):
        mrf.SuperpixelEdges()(value)
    with pytest.raises(ValueError, match=r"connectivity: expected 4, 8 or 16, got 6"):
        mrf.SuperpixelEdges(6)
    with pytest.raises(ValueError, match=r"floor"):
        mrf.SuperpixelEdges(floor=2.0)
