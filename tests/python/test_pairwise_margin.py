# SPDX-License-Identifier: Apache-2.0
"""pairwise_margin_loss against its plain-torch reference and finite differences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import pairwise_margin_loss, sample_points  # noqa: E402
from mrfcore.ops import pairwise_margin_reference as reference  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "margin": {"alpha": 0.7},
    "no margin": {"alpha": 0.0},
    "balance": {"neg_weight": 5.0},
    "sum": {"normalise": "sum"},
    "ignored": {"ignore": 2},
}


def draw(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def groups(*shape: int, count: int = 5, seed: int = 0) -> Any:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(seed)) * 7 - 5


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 3, 64), (2, 8, 65), (1, 64, 300), (1, 2, 1)])
def test_against_the_reference(shape: tuple[int, ...], options: str) -> None:
    x, labels = draw(*shape).requires_grad_(), groups(shape[0], shape[2])
    got = pairwise_margin_loss(x, labels, reduction="none", **OPTIONS[options])
    want = reference.pairwise_margin_loss(x, labels, **OPTIONS[options])
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-13)
    weights = torch.rand(shape[0], generator=torch.Generator().manual_seed(1)).double()
    mine, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)


def test_own_weights_and_reductions() -> None:
    x, labels = draw(3, 6, 100), groups(3, 100)
    weights = torch.rand(3, 100, generator=torch.Generator().manual_seed(2)).double()
    weights[:, ::7] = 0
    want = reference.pairwise_margin_loss(x, labels, weights=weights)
    got = [pairwise_margin_loss(x, labels, weights=weights, reduction=r) for r in ("none", "sum")]
    torch.testing.assert_close(got[0], want)
    torch.testing.assert_close(got[1], want.sum())
    torch.testing.assert_close(pairwise_margin_loss(x, labels, weights=weights), want.mean())


def test_float32() -> None:
    x, labels = draw(2, 16, 400, dtype=torch.float32).requires_grad_(), groups(2, 400)
    got = pairwise_margin_loss(x, labels, 0.4, reduction="none")
    want = reference.pairwise_margin_loss(x, labels, 0.4)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)
    mine, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("dims", [3, 8, 64])
def test_gradcheck(dims: int) -> None:
    x, labels = draw(2, dims, 9, seed=3).requires_grad_(), groups(2, 9, count=3)
    assert torch.autograd.gradcheck(
        lambda x: pairwise_margin_loss(x, labels, 0.45, reduction="none"), x
    )


# ---------------------------------------------------------------- properties


def test_zero_vectors_and_nothing_that_counts() -> None:
    x = draw(1, 3, 20)
    x[..., 3] = 0
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(pairwise_margin_loss(x, groups(1, 20)), x)
    assert gradient.isfinite().all()
    assert not gradient[..., 3].any()
    nothing = pairwise_margin_loss(x, torch.full((1, 20), -1))
    assert nothing == 0
    assert not torch.autograd.grad(nothing, x)[0].any()


def test_sampling() -> None:
    x, labels = draw(2, 4, 8, 8), groups(2, 8, 8)
    labels[0, :4] = -1
    at = sample_points(labels, 20, generator=torch.Generator().manual_seed(7))
    assert at.shape == (2, 20)
    assert all(len(set(row.tolist())) == 20 for row in at)
    assert (labels.flatten(1).gather(1, at) != -1).all()
    by_number = pairwise_margin_loss(
        x, labels, sample=20, generator=torch.Generator().manual_seed(7)
    )
    assert torch.equal(by_number, pairwise_margin_loss(x, labels, sample=at))
    picked = torch.stack([a[:, i] for a, i in zip(x.flatten(2), at, strict=True)])
    want = reference.pairwise_margin_loss(picked, labels.flatten(1).gather(1, at)).mean()
    torch.testing.assert_close(by_number, want)
    assert sample_points(labels, 99).shape == (2, 64)


# ---------------------------------------------------------------- bits, torch's machinery


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = draw(2, 10, 333, dtype=dtype).requires_grad_(), groups(2, 333)
    found = []
    for isa in ("baseline", None):
        if isa:
            monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
        else:
            monkeypatch.delenv("MRFCORE_CPU_ISA")
        for threads in (1, 3):
            y = pairwise_margin_loss(x, labels, threads=threads)
            found.append((y, *torch.autograd.grad(y, x)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_the_loss_does_not_depend_on_who_asks() -> None:
    x, labels = draw(1, 4, 90), groups(1, 90)
    plain = pairwise_margin_loss(x, labels)
    assert not plain.requires_grad
    assert torch.equal(plain, pairwise_margin_loss(x.requires_grad_(), labels).detach())


def test_half_types_and_autocast() -> None:
    x, labels = draw(1, 8, 40, dtype=torch.float32), groups(1, 40)
    for dtype in (torch.float16, torch.bfloat16):
        half = x.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            got = pairwise_margin_loss(half, labels)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, pairwise_margin_loss(half.float(), labels))
        assert torch.autograd.grad(got, half)[0].dtype == dtype


def test_opcheck() -> None:
    x, labels = draw(2, 5, 70, dtype=torch.float32), groups(2, 70)
    weights = torch.ones(2, 70)
    for need in (True, False):
        torch.library.opcheck(
            torch.ops.mrfcore.pairwise_margin.default, (x, labels, weights, need, 0.5, 1.0, 1)
        )


def test_compile() -> None:
    torch._dynamo.reset()

    def f(x: Any, labels: Any) -> Any:
        return pairwise_margin_loss(2 * x, labels, 0.4).sin()

    g = torch.compile(f, fullgraph=True)
    x, labels = draw(1, 4, 70).requires_grad_(), groups(1, 70)
    torch.testing.assert_close(g(x, labels), f(x, labels))
    for a, b in zip(
        torch.autograd.grad(g(x, labels), x), torch.autograd.grad(f(x, labels), x), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_vmap_and_grad() -> None:
    x, labels = draw(3, 1, 4, 20), groups(3, 1, 20)

    def loss(x: Any, labels: Any) -> Any:
        return pairwise_margin_loss(x, labels)

    got = torch.func.vmap(torch.func.grad(loss))(x, labels)
    want = [torch.func.grad(loss)(*item) for item in zip(x, labels, strict=True)]
    torch.testing.assert_close(got, torch.stack(want))


def test_no_second_derivative() -> None:
    x = draw(1, 3, 9).requires_grad_()
    (g,) = torch.autograd.grad(pairwise_margin_loss(x, groups(1, 9)), x, create_graph=True)
    with pytest.raises(RuntimeError, match="_loss: there are no second derivatives"):
        g.sum().backward()


# ---------------------------------------------------------------- errors

X, Y = torch.ones(1, 2, 3), torch.zeros(1, 3, dtype=torch.int64)
BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = {
    "no tensor": (TypeError, "x: expected a tensor, got list", ([1.0], Y), {}),
    "shape": (ValueError, r"x: expected \[B, D, N\].*got shape \[2, 3\]", (X[0], Y), {}),
    "dtype": (TypeError, "x: expected float16.*torch.int64", (X.long(), Y), {}),
    "device": (
        TypeError,
        "x: expected a tensor on the CPU or a CUDA device, got one on meta",
        (X.to("meta"), Y),
        {},
    ),
    "NaN": (ValueError, "x is .*nan", (X * torch.nan, Y), {}),
    "labels": (TypeError, "labels: expected a tensor of integer", (X, Y.float()), {}),
    "labels' shape": (ValueError, r"labels: expected shape \[1, 3\].*got \[3\]", (X, Y[0]), {}),
    "alpha": (ValueError, r"alpha: expected a number in \[0, 1\], got 2", (X, Y, 2), {}),
    "neg_weight": (ValueError, "neg_weight: .*got -1", (X, Y), {"neg_weight": -1}),
    "normalise": (ValueError, "normalise: expected one of 'N', 'sum'", (X, Y), {"normalise": "n"}),
    "reduction": (ValueError, "reduction: expected one of", (X, Y), {"reduction": "all"}),
    "weights": (ValueError, "weights is -1", (X, Y), {"weights": -torch.ones(1, 3)}),
    "learned weights": (
        TypeError,
        r"weights: requires a gradient.*pass weights\.detach\(\)",
        (X, Y),
        {"weights": torch.ones(1, 3, requires_grad=True)},
    ),
    "sample": (ValueError, "sample: expected None, a number >= 1 .*got 0", (X, Y), {"sample": 0}),
    "far index": (
        ValueError,
        r"sample: expected indices in 0\.\.2, got 3",
        (X, Y),
        {"sample": torch.tensor([[0, 3]])},
    ),
    "no index": (
        ValueError,
        r"sample: .*n >= 1, got torch.int64 of shape \[1, 0\]",
        (X, Y),
        {"sample": torch.zeros(1, 0, dtype=torch.int64)},
    ),
    "indices": (ValueError, r"sample: .*torch.float32 of shape \[3\]", (X, Y), {"sample": X[0, 0]}),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    error, message, args, options = BAD[case]
    with pytest.raises(error, match=message):
        pairwise_margin_loss(*args, **options)


def test_weights_of_a_network_without_gradients() -> None:
    weights = torch.full((1, 3), 2.0, requires_grad=True)
    with torch.no_grad():  # as in validation: nobody could miss them
        got = pairwise_margin_loss(X, Y, weights=weights)
    assert got == pairwise_margin_loss(X, Y, weights=weights.detach())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sample_points([0], 1), TypeError, "labels: expected a tensor, got list"),
        (lambda: sample_points(X[0], 1), TypeError, "labels: .*integers, got dtype torch.float32"),
        (lambda: sample_points(Y[0], 1), ValueError, r"labels: .*got shape \[3\]"),
        (lambda: sample_points(Y, 0), ValueError, "count: expected a number >= 1, got 0"),
        (lambda: sample_points(Y, 1, generator=7), TypeError, "generator: .*, got int"),
    ],
)
def test_bad_samples(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_page() -> None:
    text = (ROOT / "docs" / "operators" / "pairwise_margin_loss.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet, "snippet", "exec"), {})
