# SPDX-License-Identifier: Apache-2.0
"""torch.func on the dense operators: vmap, grad, jacrev and their compositions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as F  # noqa: E402, N812
from mrfcore.ops import filter_flow as flow_module  # noqa: E402

ITEMS = 3
B, C, H, W = 2, 3, 5, 6
IDS = torch.randint(0, 7, (ITEMS, B, H, W), generator=torch.Generator().manual_seed(3))
VALID = torch.rand(ITEMS, B, H, W, generator=torch.Generator().manual_seed(4)) < 0.7
LABELS = torch.randint(0, 3, (ITEMS, B, H, W), generator=torch.Generator().manual_seed(5))


def draw(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def pool(reduce: str) -> Callable[..., Any]:
    return lambda x, ids: F.superpixel_pool(x, ids, 7, reduce)


def flow(normalize: str | None) -> Callable[..., Any]:
    def both(image: Any, filters: Any) -> Any:
        out, moved = F.filter_flow(image, filters, normalize, "replicate", return_flow=True)
        return torch.cat([out, moved], 1)

    return both


def warped(image: Any, moved: Any) -> Any:
    out, mask = F.warp(image, moved, return_mask=True)
    return out * mask


# name: (function, arguments with a dimension of ITEMS in front, which of them have gradients)
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]] = {
    "pool mean": (pool("mean"), (draw(ITEMS, B, C, H, W), IDS), (0,)),
    "pool max": (pool("max"), (draw(ITEMS, B, C, H, W), IDS), (0,)),
    "unpool": (F.superpixel_unpool, (draw(ITEMS, B, C, 7), IDS), (0,)),
    "consistency": (F.logit_consistency, (draw(ITEMS, B, C, H, W), IDS), (0,)),
    "consistency, valid": (F.logit_consistency, (draw(ITEMS, B, C, H, W), IDS, VALID), (0,)),
    "soft pool": (
        lambda x, q: F.soft_superpixel_pool(x, q, 2),
        (draw(ITEMS, B, C, H, W), draw(ITEMS, B, 9, H, W).softmax(2)),
        (0, 1),
    ),
    "soft unpool": (
        lambda z, q: F.soft_superpixel_unpool(z, q, 2),
        (draw(ITEMS, B, C, 9), draw(ITEMS, B, 9, H, W).softmax(2)),
        (0, 1),
    ),
    "superpixel loss": (
        lambda f, q: F.superpixel_loss(f, q, 2, border="renorm", reduction="none"),
        (draw(ITEMS, B, C, H, W).softmax(2), draw(ITEMS, B, 9, H, W).softmax(2)),
        (0, 1),
    ),
    "filter flow": (flow(None), (draw(ITEMS, B, C, H, W), draw(ITEMS, B, 9, H, W)), (0, 1)),
    "filter flow, softmax": (
        flow("softmax"),
        (draw(ITEMS, B, C, H, W), draw(ITEMS, B, 4, H, W)),
        (0, 1),
    ),
    "transpose": (
        lambda x, t: F.filter_flow_transpose(x, t, "softmax"),
        (draw(ITEMS, B, C, H, W), draw(ITEMS, B, 9, H, W)),
        (0, 1),
    ),
    "warp": (warped, (draw(ITEMS, B, C, H, W), draw(ITEMS, B, 2, 4, 7)), (0, 1)),
    "mean shift": (
        lambda x, kappa: F.mean_shift(x, kappa, 2),
        (draw(ITEMS, B, C, H, W), torch.tensor([1.0, 5.0, 9.0]).double()),
        (0, 1),
    ),
    "margin loss": (
        lambda x, labels: F.pairwise_margin_loss(x, labels, reduction="none"),
        (draw(ITEMS, B, C, H, W), LABELS),
        (0,),
    ),
}
TWICE = [name for name in CASES if name not in ("warp", "mean shift", "margin loss")]


def some(args: Sequence[Any], mapped: Sequence[bool]) -> tuple[list[Any], tuple[int | None, ...]]:
    """Arguments that are mapped as they are, of the others the first item; dimensions for vmap."""
    given = [x if m else x[0] for x, m in zip(args, mapped, strict=True)]
    return given, tuple(0 if m else None for m in mapped)


def one_by_one(f: Callable[..., Any], args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    rows = []
    for i in range(ITEMS):
        found = f(*(x if d is None else x[i] for x, d in zip(args, dims, strict=True)))
        rows.append(found if isinstance(found, tuple) else (found,))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def close(got: Any, want: Any) -> None:
    got = got if isinstance(got, tuple) else (got,)
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs)


def patterns(count: int) -> list[tuple[bool, ...]]:
    """All mapped, and each one alone."""
    return [(True,) * count, *(tuple(i == j for j in range(count)) for i in range(count))]


@pytest.mark.parametrize("name", CASES)
def test_vmap_and_grad(name: str) -> None:
    f, args, wanted = CASES[name]

    def loss(*inputs: Any) -> Any:
        return f(*inputs).sin().sum()

    for mapped in patterns(len(args)):
        given, dims = some(args, mapped)
        every = torch.vmap(f, in_dims=dims)
        close(every(*given), one_by_one(f, given, dims))
        gradient = torch.func.grad(loss, argnums=wanted)  # vmap of grad
        close(torch.vmap(gradient, in_dims=dims)(*given), one_by_one(gradient, given, dims))
        got = torch.func.grad(lambda *a, e=every: e(*a).sin().sum(), argnums=wanted)(*given)
        leaves = [x.clone().requires_grad_(i in wanted) for i, x in enumerate(given)]
        one_by_one(f, leaves, dims)[0].sin().sum().backward()
        close(got, [leaves[i].grad for i in wanted])  # grad of vmap


@pytest.mark.parametrize("name", CASES)
def test_on_a_device(name: str, device: Any) -> None:
    f, args, wanted = CASES[name]
    gradient = torch.vmap(torch.func.grad(lambda *a: f(*a).sin().sum(), argnums=wanted))
    want = gradient(*args)
    with device.active():
        got = gradient(*(device.put(x) for x in args))
    close(tuple(x.cpu() for x in got), want)


@pytest.mark.parametrize("name", CASES)
def test_an_inner_dimension_and_vmap_in_vmap(name: str) -> None:
    f, args, _ = CASES[name]
    want = one_by_one(f, args, [0] * len(args))
    inner = [x.movedim(0, -1) for x in args]
    close(torch.vmap(f, in_dims=-1, out_dims=0)(*inner), want)
    twice = [x.expand(2, *x.shape) for x in args]
    close(torch.vmap(torch.vmap(f))(*twice)[1], want)


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives_are_mapped(name: str) -> None:
    f, args, _ = CASES[name]

    def slope(*inputs: Any) -> Any:
        """The norm of a gradient's gradient."""
        inner = torch.func.grad(lambda *a: f(*a).square().sum())
        return torch.func.grad(lambda *a: inner(*a).square().sum())(*inputs)

    dims = [0] * len(args)
    close(torch.vmap(slope)(*args), one_by_one(slope, args, dims))


@pytest.mark.parametrize("name", CASES)
def test_batched_gradients(name: str) -> None:
    """is_grads_batched: vmap over the backward pass alone."""
    f, args, wanted = CASES[name]
    leaves = [x[0].clone().requires_grad_(i in wanted) for i, x in enumerate(args)]
    inputs = [leaves[i] for i in wanted]
    out = f(*leaves)
    grads = draw(ITEMS, *out.shape)
    got = torch.autograd.grad(out, inputs, grads, is_grads_batched=True, retain_graph=True)
    rows = [torch.autograd.grad(out, inputs, grad, retain_graph=True) for grad in grads]
    close(got, tuple(torch.stack(column) for column in zip(*rows, strict=True)))


def test_jacobians() -> None:
    x = draw(1, 2, 3, 4)
    ids = IDS[0, :1, :3, :4] % 4
    got = torch.func.jacrev(lambda x: F.logit_consistency(x, ids))(x)
    want = torch.autograd.functional.jacobian(lambda x: F.logit_consistency(x, ids), x)
    torch.testing.assert_close(got, want)


def test_shared_filters_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call for all items, which become channels."""
    shapes = []
    real = flow_module.forward_op

    def counted(image: Any, filters: Any, *rest: Any) -> Any:
        shapes.append((tuple(image.shape), tuple(filters.shape)))
        return real(image, filters, *rest)

    monkeypatch.setattr(flow_module, "forward_op", counted)
    images, filters = draw(ITEMS, B, C, H, W), draw(B, 9, H, W)
    torch.vmap(lambda image: F.filter_flow(image, filters))(images)
    assert shapes == [((B, ITEMS * C, H, W), (B, 9, H, W))]
    shapes.clear()
    torch.vmap(F.filter_flow)(images, filters.expand(ITEMS, B, 9, H, W))
    assert shapes == [((ITEMS * B, C, H, W), (ITEMS * B, 9, H, W))]
