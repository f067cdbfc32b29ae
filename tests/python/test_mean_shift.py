# SPDX-License-Identifier: Apache-2.0
"""mean_shift against its plain-torch reference, and finite differences."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import (  # noqa: E402
    kappa_from_margin,
    mean_shift,
    mean_shift_euclid,
)
from mrfcore.ops import mean_shift_reference as reference  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Name: (op, reference, whether it takes a gradient of the width, a width).
FORMS: dict[str, Any] = {
    "sphere": (mean_shift, reference.mean_shift, True, 7.0),
    "gaussian": (mean_shift_euclid, reference.mean_shift_euclid, True, 1.3),
    "epanechnikov": (
        lambda *a, **k: mean_shift_euclid(*a, kernel="epanechnikov", **k),
        lambda *a, **k: reference.mean_shift_euclid(*a, kernel="epanechnikov", **k),
        False,
        1.1,
    ),
}
forms = pytest.mark.parametrize("form", FORMS)
# Blocks have 64 points: less than one, one, more, an even and an odd number; rows of one and of
# several vectors.
SHAPES = [(1, 3, 5), (2, 3, 64), (1, 8, 65), (2, 20, 130), (1, 64, 200), (1, 2, 1)]


def draw(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- the reference


@forms
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("step_size", [1.0, 0.5])
def test_against_the_reference(form: str, shape: tuple[int, ...], step_size: float) -> None:
    ours, plain, width_learns, width = FORMS[form]
    x = draw(*shape).requires_grad_()
    width = torch.tensor(width, dtype=torch.float64, requires_grad=width_learns)
    got, want = ours(x, width, 3, step_size), plain(x, width, 3, step_size)
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)
    weights = draw(*shape, seed=1)
    leaves = [x, width] if width_learns else [x]
    mine = torch.autograd.grad((got * weights).sum(), leaves)
    theirs = torch.autograd.grad((want * weights).sum(), leaves, materialize_grads=True)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@forms
def test_float32(form: str) -> None:
    ours, plain, _, width = FORMS[form]
    x = draw(2, 16, 300, dtype=torch.float32).requires_grad_()
    got, want = ours(x, width, 4), plain(x, width, 4)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    mine, theirs = (torch.autograd.grad(y.sin().sum(), x)[0] for y in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@forms
@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradcheck(form: str, steps: int, step_size: float) -> None:
    ours, _, width_learns, width = FORMS[form]
    x = draw(2, 3, 7, seed=2).requires_grad_()
    width = torch.tensor(width / 2, dtype=torch.float64, requires_grad=width_learns)
    assert torch.autograd.gradcheck(lambda x, k: ours(x, k, steps, step_size), (x, width))


def test_the_printed_backward_is_not_ours() -> None:
    """E5.4: 2 X gS holds for a symmetric gS only, and is a quarter off here."""
    x = torch.nn.functional.normalize(draw(1, 8, 60), dim=1).requires_grad_()
    similarity = x[0].T.detach() @ x[0].detach()
    similarity.requires_grad_()
    kernel = torch.exp(5 * similarity)
    y = x[0].detach() @ (kernel / kernel.sum(0))
    weights = draw(8, 60, seed=3)
    (g,) = torch.autograd.grad((y / y.norm(dim=0) * weights).sum(), similarity)
    (true,) = torch.autograd.grad((mean_shift(x, 5.0, 1)[0] * weights).sum(), x)
    printed, right = 2 * x[0].detach() @ g, x[0].detach() @ (g + g.T)
    assert (printed - right).norm() > 0.05 * true.norm()


# ---------------------------------------------------------------- more properties: own file


def test_columns_are_unit_vectors() -> None:
    torch.testing.assert_close(
        mean_shift(3 * draw(2, 5, 90), 9.0, 2).norm(dim=1), torch.ones(2, 90).double()
    )


@forms
def test_permutations_and_rotations(form: str) -> None:
    ours, _, _, width = FORMS[form]
    x, order = draw(1, 6, 150), torch.randperm(150, generator=torch.Generator().manual_seed(1))
    turn = torch.linalg.qr(draw(6, 6, seed=4))[0]
    want = ours(x, width, 3)
    torch.testing.assert_close(ours(x[..., order], width, 3), want[..., order])
    torch.testing.assert_close(ours(turn @ x, width, 3), turn @ want)


@pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
def test_translations(kernel: str) -> None:
    """Far from the origin no digits are lost but those of the numbers themselves."""
    x = draw(1, 2, 100, dtype=torch.float32)
    far = mean_shift_euclid(x + 1000, 0.5, 2, kernel=kernel) - 1000
    torch.testing.assert_close(far, mean_shift_euclid(x, 0.5, 2, kernel=kernel), rtol=0, atol=2e-3)


def test_extreme_concentrations() -> None:
    x = torch.nn.functional.normalize(draw(1, 8, 100), dim=1)
    torch.testing.assert_close(mean_shift(x, 1e5, 1), x)
    mean = torch.nn.functional.normalize(x.mean(2, keepdim=True), dim=1)
    torch.testing.assert_close(mean_shift(x, 0.0, 1), mean.expand_as(x))


def test_duplicates_stay_duplicates_and_one_point_stays() -> None:
    x = draw(1, 4, 50).repeat(1, 1, 3)
    moved = mean_shift(x, 5.0, 3)
    torch.testing.assert_close(moved[..., :50], moved[..., 100:])
    alone = draw(1, 4, 1)
    torch.testing.assert_close(mean_shift(alone, 5.0, 3), alone / alone.norm())
    assert torch.equal(mean_shift(x, 5.0, 0), mean_shift(x, 9.0, 0))


def test_zero_vectors_and_balanced_points() -> None:
    x = draw(1, 3, 20)
    x[0, :, 4] = 0
    x.requires_grad_()
    moved = mean_shift(x, 500.0, 1)
    assert moved.isfinite().all()
    (gradient,) = torch.autograd.grad(moved.square().sum() + moved.sum(), x)
    assert gradient.isfinite().all()
    assert not gradient[0, :, 4].any()
    both = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]], requires_grad=True)
    stays = mean_shift(both, 0.0, 1)  # every mean is zero
    assert torch.equal(stays, both)
    assert not torch.autograd.grad(stays.sum(), both)[0].any()


def test_kappa_from_margin() -> None:
    assert kappa_from_margin(0.5) == 36
    assert kappa_from_margin(0.5, "delta") == 6


# ---------------------------------------------------------------- bits, torch's machinery


@forms
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits(form: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _, _, width = FORMS[form]
    x = draw(2, 10, 333, dtype=dtype).requires_grad_()
    found = []
    for isa in ("baseline", None):
        if isa:
            monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
        else:
            monkeypatch.delenv("MRFCORE_CPU_ISA")
        for threads in (1, 3):
            y = ours(x, width, 2, 0.7, threads=threads)
            found.append((y, *torch.autograd.grad(y.sin().sum(), x)))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_any_subset_of_gradients() -> None:
    x, kappa = draw(1, 4, 30), torch.tensor(3.0, dtype=torch.float64)
    both = [x.clone().requires_grad_(), kappa.clone().requires_grad_()]
    want = torch.autograd.grad(mean_shift(*both, 2).sin().sum(), both)
    for need in ([True, False], [False, True]):
        args = [t.clone().requires_grad_(n) for t, n in zip((x, kappa), need, strict=True)]
        (got,) = torch.autograd.grad(mean_shift(*args, 2).sin().sum(), args[not need[0]])
        assert torch.equal(got, want[not need[0]])
    assert not mean_shift(x, kappa).requires_grad


def test_images() -> None:
    x = draw(2, 5, 6, 7)
    want = mean_shift(x.flatten(2), 4.0).unflatten(2, (6, 7))
    assert torch.equal(mean_shift(x, 4.0), want)
    assert torch.equal(mean_shift(x.to(memory_format=torch.channels_last), 4.0), want)


def test_half_types_and_autocast() -> None:
    x = draw(1, 8, 40, dtype=torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        got = mean_shift(x.to(dtype), 9.0)
        assert got.dtype == dtype
        torch.testing.assert_close(
            got.float(), mean_shift(x.to(dtype).float(), 9.0).to(dtype).float()
        )
        with torch.autocast("cpu", torch.bfloat16):
            assert mean_shift(x.to(dtype), 9.0).dtype == torch.float32


def test_opcheck() -> None:
    kappa = torch.tensor(4.0)
    setup = ("sphere", 2, 0.8, 1)
    x = draw(2, 5, 70, dtype=torch.float32)
    for keep in (True, False):
        torch.library.opcheck(torch.ops.mrfcore.mean_shift.default, (x, kappa, keep, *setup))
    _, tape = torch.ops.mrfcore.mean_shift(x, kappa, True, *setup)
    for need in (True, False):
        torch.library.opcheck(
            torch.ops.mrfcore.mean_shift_backward.default, (kappa, tape, x, need, *setup)
        )


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic: bool) -> None:
    torch._dynamo.reset()

    def f(x: Any, kappa: Any) -> Any:
        return mean_shift(2 * x, kappa.exp(), 2).sin() + mean_shift_euclid(x, 0.8, 1)

    g = torch.compile(f, fullgraph=True, dynamic=dynamic)
    for points in (40, 70):
        x = draw(1, 4, points).requires_grad_()
        kappa = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
        got, want = g(x, kappa), f(x, kappa)
        torch.testing.assert_close(got, want)
        for a, b in zip(
            torch.autograd.grad(got.sum(), (x, kappa)),
            torch.autograd.grad(want.sum(), (x, kappa)),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def test_vmap_and_grad() -> None:
    x, kappa = draw(3, 1, 4, 20), torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)

    def loss(x: Any, kappa: Any) -> Any:
        return mean_shift(x, kappa, 2).sin().sum()

    got = torch.func.vmap(torch.func.grad(loss, (0, 1)))(x, kappa)
    want = [torch.func.grad(loss, (0, 1))(*item) for item in zip(x, kappa, strict=True)]
    for a, b in zip(got, zip(*want, strict=True), strict=True):
        torch.testing.assert_close(a, torch.stack(b))


def test_no_second_derivative() -> None:
    x = draw(1, 3, 9).requires_grad_()
    (g,) = torch.autograd.grad(mean_shift(x, 2.0).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="mean_shift: there are no second derivatives"):
        g.sum().backward()


# ---------------------------------------------------------------- errors


X = torch.ones(1, 2, 3)
BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...]]] = {
    "no tensor": (TypeError, "x: expected a tensor, got list", ([1.0], 2.0)),
    "dimensions": (ValueError, r"x: expected \[B, D, N\].*got shape \[2, 3\]", (X[0], 2.0)),
    "empty": (ValueError, r"x: .*got shape \[1, 2, 0\]", (X[..., :0], 2.0)),
    "integers": (TypeError, "x: expected float16.*got dtype torch.int64", (X.long(), 2.0)),
    "device": (
        TypeError,
        "x: expected a tensor on the CPU or a CUDA device, got one on meta",
        (X.to("meta"), 2.0),
    ),
    "NaN": (ValueError, r"x is .*nan at \[0, 0, 0\]", (X * torch.nan, 2.0)),
    "negative kappa": (ValueError, "kappa: expected a finite number >= 0, got -1", (X, -1)),
    "kappa tensor": (ValueError, "kappa is -1.0", (X, torch.tensor(-1.0))),
    "large kappa": (ValueError, "kappa: .*torch.float32 holds, got 1e", (X.float(), 1e39)),
    "kappa shape": (ValueError, r"kappa: .*shape \[1\]", (X, torch.ones(1))),
    "kappa type": (TypeError, "kappa: expected a finite number", (X, "2")),
    "steps": (ValueError, "steps: expected a number >= 0, got -1", (X, 2.0, -1)),
    "steps type": (TypeError, "steps: expected an integer, got float", (X, 2.0, 1.5)),
    "step size": (ValueError, r"step_size: expected a number in \(0, 1\], got 0", (X, 2.0, 1, 0)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    error, message, args = BAD[case]
    with pytest.raises(error, match=message):
        mean_shift(*args)


def test_bad_bandwidth_kernel_and_margin() -> None:
    for bad in (0, -1.0, 1e-200, float("nan"), torch.tensor(-2.0), torch.tensor(float("nan"))):
        with pytest.raises(
            ValueError, match=r"bandwidth: expected a number in \[1e-15, 1e15\], got"
        ):
            mean_shift_euclid(X, bad)
    with pytest.raises(ValueError, match="kernel: expected one of 'gaussian', 'epanechnikov'"):
        mean_shift_euclid(X, 1.0, kernel="flat")
    with pytest.raises(ValueError, match=r"alpha: expected a number in \[0, 1\), got 1"):
        kappa_from_margin(1)


def test_the_page() -> None:
    text = (ROOT / "docs" / "operators" / "mean_shift.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet, "snippet", "exec"), {})
