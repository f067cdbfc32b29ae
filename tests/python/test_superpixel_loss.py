# SPDX-License-Identifier: Apache-2.0
"""The loss of soft superpixels (Eq 4.1) and associations across the border, against plain torch."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import (  # noqa: E402
    soft_superpixel_pool,
    soft_superpixel_unpool,
    superpixel_ids,
    superpixel_loss,
)
from mrfcore.ops import soft_superpixel_reference as reference  # noqa: E402

borders = pytest.mark.parametrize("border", ["zero", "renorm"])
distances = pytest.mark.parametrize("distance", ["cross_entropy", "l2"])
SIZES = [(2, 3, 32, 48, 16), (1, 4, 11, 13, 4), (1, 2, 1, 1, 3), (1, 2, 4, 4, 9)]


def case(shape: tuple[int, ...], dtype: Any = torch.float64) -> tuple[Any, Any, int]:
    """Distributions over labels, associations and the side of cells."""
    batch, labels, height, width, cell = shape
    draw = torch.Generator().manual_seed(height)
    f = torch.rand(batch, labels, height, width, generator=draw, dtype=torch.float64)
    q = torch.randn(batch, 9, height, width, generator=draw, dtype=torch.float64).softmax(1)
    f = f / f.sum(1, keepdim=True)
    return f.to(dtype).requires_grad_(), q.to(dtype).requires_grad_(), cell


def compare(got: Any, want: Any, leaves: list[Any]) -> None:
    limit = 2e-5 if got.dtype == torch.float32 else 1e-11
    torch.testing.assert_close(got, want, rtol=limit, atol=limit)
    draw = torch.Generator().manual_seed(9)
    probe = torch.randn(got.shape, generator=draw, dtype=got.dtype)
    found, wanted = (torch.autograd.grad(y, leaves, probe) for y in (got, want))
    torch.testing.assert_close(found, wanted, rtol=10 * limit, atol=10 * limit)


# ---------------------------------------------------------------- the border


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_renormalised_borders(shape: tuple[int, ...]) -> None:
    f, q, cell = case(shape)
    pooled = soft_superpixel_pool(f, q, cell, border="renorm")
    compare(pooled, reference.soft_superpixel_pool(f, q, cell, border="renorm"), [f, q])
    z = pooled.detach().requires_grad_()
    back = soft_superpixel_unpool(z, q, cell, border="renorm")
    compare(back, reference.soft_superpixel_unpool(z, q, cell, border="renorm"), [z, q])


def test_renormalising_is_masking_the_logits() -> None:
    """The same as a softmax over those slots alone whose cells exist."""
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 9, 12, 15, generator=draw, dtype=torch.float64)
    number, inside, _ = reference._targets(12, 15, 4)
    masked = logits.masked_fill(~inside.view(1, 9, 12, 15), -torch.inf).softmax(1)
    f = torch.rand(1, 3, 12, 15, generator=draw, dtype=torch.float64)
    z = torch.rand(1, 3, int(number.max()) + 1, generator=draw, dtype=torch.float64)
    q = logits.softmax(1)
    torch.testing.assert_close(
        soft_superpixel_pool(f, q, 4, border="renorm"), soft_superpixel_pool(f, masked, 4)
    )
    torch.testing.assert_close(
        soft_superpixel_unpool(z, q, 4, border="renorm"), soft_superpixel_unpool(z, masked, 4)
    )


def test_renormalised_ones_stay_ones_at_the_border() -> None:
    _, q, cell = case(SIZES[1])
    z = torch.ones(1, 1, 12, dtype=torch.float64)
    back = soft_superpixel_unpool(z, q, cell, border="renorm")
    torch.testing.assert_close(back, torch.ones_like(back))


def test_a_pixel_all_of_whose_cells_are_outside() -> None:
    f, q, cell = case(SIZES[1])
    gone = q.detach().clone()
    gone[:, :, 0, 0] = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0, 0])
    gone.requires_grad_()
    back = soft_superpixel_unpool(
        soft_superpixel_pool(f, gone, cell, border="renorm"), gone, cell, border="renorm"
    )
    assert not back[:, :, 0, 0].any()
    assert all(g.isfinite().all() for g in torch.autograd.grad(back.sin().sum(), [f, gone]))


@borders
def test_gradcheck_of_pooling(border: str) -> None:
    f, q, cell = case((1, 2, 5, 7, 3))
    z = torch.rand(1, 2, 6, dtype=torch.float64).requires_grad_()
    for function, inputs in ((soft_superpixel_pool, (f, q)), (soft_superpixel_unpool, (z, q))):

        def f(a: Any, b: Any, function: Any = function) -> Any:
            return function(a, b, cell, border=border)

        assert torch.autograd.gradcheck(f, inputs)
        assert torch.autograd.gradgradcheck(f, inputs)


# ---------------------------------------------------------------- the loss


@borders
@distances
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SIZES[:2], ids=str)
def test_against_the_reference(
    shape: tuple[int, ...], dtype: Any, distance: str, border: str
) -> None:
    f, q, cell = case(shape, dtype)
    options: dict[str, Any] = {"distance": distance, "compactness": 0.4, "border": border}
    got = superpixel_loss(f, q, cell, **options, reduction="none")
    want = reference.superpixel_loss(f, q, cell, **options)
    assert got.dtype == dtype
    compare(got, want, [f, q])
    torch.testing.assert_close(superpixel_loss(f, q, cell, **options), want.mean())
    total = superpixel_loss(f, q, cell, **options, reduction="sum")
    torch.testing.assert_close(total, want.sum())


@borders
@distances
def test_gradcheck(distance: str, border: str) -> None:
    f, q, cell = case((1, 2, 5, 6, 3))

    def loss(f: Any, q: Any) -> Any:
        return superpixel_loss(f, q, cell, distance=distance, compactness=0.4, border=border)

    assert torch.autograd.gradcheck(loss, (f, q))
    assert torch.autograd.gradgradcheck(loss, (f, q))


def test_cells_that_are_uniform_cost_nothing() -> None:
    """q one-hot at the centre, features constant in every cell: only the positions cost."""
    q = torch.zeros(1, 9, 32, 48, dtype=torch.float64)
    q[:, 4] = 1
    labels = torch.arange(6).view(1, 2, 3).repeat_interleave(16, 1).repeat_interleave(16, 2)
    f = torch.nn.functional.one_hot(labels, 6).movedim(3, 1).double()
    assert torch.equal(superpixel_ids(q), labels)
    for distance in ("cross_entropy", "l2"):
        loss = superpixel_loss(f, q, distance=distance, compactness=0, reduction="none")
        assert float(loss.abs().max()) < 3e-8
    away = torch.arange(16, dtype=torch.float64) - 7.5
    want = (away[:, None] ** 2 + away**2).sqrt().repeat(2, 3) * 0.5 / 16
    loss = superpixel_loss(f, q, compactness=0.5, reduction="none")[0]
    torch.testing.assert_close(loss, want, rtol=1e-6, atol=1e-6)


def test_invalid_pixels() -> None:
    f, q, cell = case(SIZES[0])
    valid = torch.rand(2, 32, 48, generator=torch.Generator().manual_seed(1)) > 0.4
    each = superpixel_loss(f, q, cell, reduction="none")
    for reduction, want in (
        ("none", each * valid),
        ("sum", each[valid].sum()),
        ("mean", each[valid].mean()),
    ):
        got = superpixel_loss(f, q, cell, valid=valid, reduction=reduction)
        torch.testing.assert_close(got, want)
    nothing = superpixel_loss(f, q, cell, valid=torch.zeros_like(valid))
    assert nothing == 0
    assert not torch.autograd.grad(nothing, q)[0].any()


def test_it_moves_superpixels_to_the_boundary() -> None:
    """Two half planes off the grid (spec section 7): fewer pixels on the wrong side."""
    side = torch.arange(64) >= 37
    labels = side.long().expand(1, 64, 64)
    f = torch.nn.functional.one_hot(labels, 2).movedim(3, 1).float()
    logits = torch.zeros(1, 9, 64, 64)
    logits[:, 4] = 1
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)

    def strays() -> int:
        """Pixels that are not of their superpixel's majority."""
        found = torch.zeros(16, 2, dtype=torch.int64)
        found.index_put_((superpixel_ids(logits)[0], labels[0]), torch.tensor(1), accumulate=True)
        return int(found.min(1).values.sum())

    before = strays()
    assert before > 100
    for _ in range(60):
        optimiser.zero_grad()
        superpixel_loss(f, logits.softmax(1)).backward()
        optimiser.step()
    assert strays() < before / 4


# ---------------------------------------------------------------- torch's machinery


def test_half_types_and_autocast() -> None:
    f, q, cell = case(SIZES[0], torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        half = q.detach().to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            got = superpixel_loss(f, half, cell)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, superpixel_loss(f, half.detach().float(), cell))
        assert torch.autograd.grad(got, half)[0].dtype == dtype
    assert superpixel_loss(f, q.double(), cell).dtype == torch.float64


@borders
@distances
def test_compile(distance: str, border: str) -> None:
    torch._dynamo.reset()
    f, q, cell = case(SIZES[1])

    def loss(f: Any, q: Any) -> Any:
        return superpixel_loss(f, q, cell, distance=distance, border=border)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    compare(compiled(f, q), loss(f, q), [f, q])


def test_strided_inputs() -> None:
    f, q, cell = case(SIZES[1])
    last = [x.to(memory_format=torch.channels_last) for x in (f, q)]
    assert torch.equal(superpixel_loss(*last, cell), superpixel_loss(f, q, cell))


# ---------------------------------------------------------------- errors

F, Q = torch.ones(1, 3, 4, 5), torch.ones(1, 9, 4, 5)
BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = {
    "labels": (
        TypeError,
        "features: expected float16, .* got dtype torch.int64",
        (F.long(), Q),
        {},
    ),
    "shape": (
        ValueError,
        r"features: expected \[B, K, H, W\].*got shape \[3, 4, 5\]",
        (F[0], Q),
        {},
    ),
    "no tensor": (TypeError, "q: expected a tensor", (F, None), {}),
    "q": (
        ValueError,
        r"q: expected shape \[1, 9, 4, 5\] with features .*\[1, 8, 4, 5\]",
        (F, Q[:, :8]),
        {},
    ),
    "cell": (ValueError, "cell: expected a number >= 1, got 0", (F, Q, 0), {}),
    "distance": (ValueError, "distance: expected one of .*'ce'", (F, Q), {"distance": "ce"}),
    "border": (ValueError, "border: expected one of .*'mask'", (F, Q), {"border": "mask"}),
    "reduction": (ValueError, "reduction: expected one of", (F, Q), {"reduction": "all"}),
    "eps": (ValueError, "eps: expected a finite number > 0, got 0", (F, Q), {"eps": 0}),
    "compactness": (ValueError, "compactness: .*got -1", (F, Q), {"compactness": -1}),
    "mask": (TypeError, "valid: expected a bool tensor", (F, Q), {"valid": F[:, 0]}),
    "mask's shape": (
        ValueError,
        r"valid: expected shape \[1, 4, 5\], got \[4, 5\]",
        (F, Q),
        {"valid": F[0, 0] > 0},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    error, message, args, options = BAD[name]
    with pytest.raises(error, match=message):
        superpixel_loss(*args, **options)


@pytest.mark.parametrize("function", [soft_superpixel_pool, soft_superpixel_unpool])
def test_bad_border(function: Any) -> None:
    tensor = F if function is soft_superpixel_pool else torch.ones(1, 3, 1)
    with pytest.raises(ValueError, match="border: expected one of 'zero', 'renorm', got 'mask'"):
        function(tensor, Q, border="mask")
