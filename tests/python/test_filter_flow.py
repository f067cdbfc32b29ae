# SPDX-License-Identifier: Apache-2.0
"""Filter flow against its reference: gradients, dtypes, torch's machinery, errors."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as mrf  # noqa: E402
from mrfcore.ops import filter_flow_reference as reference  # noqa: E402

PADDINGS = ("zeros", "replicate", "reflect")
OPTIONS = list(itertools.product((None, "softmax"), PADDINGS))


def case(
    k: int, channels: int = 3, size: tuple[int, int] = (9, 21), dtype: Any = torch.float64
) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(k + 100 * channels)
    image = torch.rand(2, channels, *size, generator=generator, dtype=torch.float64)
    filters = torch.randn(2, k * k, *size, generator=generator, dtype=torch.float64)
    return image.to(dtype), filters.to(dtype)


# ---------------------------------------------------------------- against the reference


@pytest.mark.parametrize(("normalize", "padding"), OPTIONS)
@pytest.mark.parametrize(("k", "channels"), [(1, 1), (2, 3), (3, 6), (4, 1), (11, 5), (17, 2)])
def test_reference(k: int, channels: int, normalize: str | None, padding: str) -> None:
    image, filters = case(k, channels, (12, 37))
    leaves = [image.requires_grad_(), filters.requires_grad_()]
    out, flow = mrf.filter_flow(image, filters, normalize, padding, return_flow=True)
    expected = reference.filter_flow(image, filters, normalize, padding)
    expected_flow = reference.expected_flow(filters, normalize)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(flow, expected_flow)
    grads = [torch.rand_like(out), torch.rand_like(flow)]
    found = torch.autograd.grad((out, flow), leaves, grads)
    wanted = torch.autograd.grad((expected, expected_flow), leaves, grads)
    torch.testing.assert_close(found, wanted)

    spread = mrf.filter_flow_transpose(image, filters, normalize, padding)
    wanted_spread = reference.filter_flow_transpose(image, filters, normalize, padding)
    torch.testing.assert_close(spread, wanted_spread)
    found = torch.autograd.grad(spread, leaves, grads[0])
    torch.testing.assert_close(found, torch.autograd.grad(wanted_spread, leaves, grads[0]))


def test_the_largest_side_on_an_image_that_is_smaller() -> None:
    image, filters = case(31, 1, (5, 300), torch.float32)
    out = mrf.filter_flow(image, filters, "softmax", "replicate")
    expected = reference.filter_flow(image, filters, "softmax", "replicate")
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    image, filters = case(5, dtype=torch.float32)
    expected = mrf.filter_flow(image, filters, "softmax")
    assert torch.equal(mrf.filter_flow(image, filters, "softmax", threads=threads), expected)


def test_an_empty_batch() -> None:
    image, filters = case(3)
    assert mrf.filter_flow(image[:0], filters[:0], "softmax").shape == (0, 3, 9, 21)
    assert mrf.filter_flow_transpose(image[:0], filters[:0]).shape == (0, 3, 9, 21)


# ---------------------------------------------------------------- more properties: own file


@pytest.mark.parametrize(("normalize", "padding"), OPTIONS)
@pytest.mark.parametrize("k", [3, 4])
def test_p6_3_matrix_and_transpose(k: int, normalize: str | None, padding: str) -> None:
    image, filters = case(k, 1, (4, 5))
    basis = torch.eye(20, dtype=torch.float64).view(20, 1, 4, 5)
    repeated = filters[:1].expand(20, -1, -1, -1)
    forward = mrf.filter_flow(basis, repeated, normalize, padding).view(20, 20)
    backward = mrf.filter_flow_transpose(basis, repeated, normalize, padding).view(20, 20)
    torch.testing.assert_close(forward.T, backward)
    out = mrf.filter_flow(image[:1], filters[:1], normalize, padding)
    torch.testing.assert_close(image[:1].view(20) @ forward, out.view(20))


def test_forbidden_and_missing_logits() -> None:
    image, filters = case(3, dtype=torch.float32)
    filters[:, 1:] = -torch.inf
    shifted = mrf.filter_flow(image, filters, "softmax", "replicate")
    rows = (torch.arange(9) - 1).clamp(min=0)
    columns = (torch.arange(21) - 1).clamp(min=0)
    torch.testing.assert_close(shifted, image[:, :, rows][..., columns])
    filters[0, 0, 2, 3] = torch.nan
    out = mrf.filter_flow(image, filters, "softmax")
    assert out.isnan().sum() == 3
    assert out[0, :, 2, 3].isnan().all()


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(("normalize", "padding"), OPTIONS)
@pytest.mark.parametrize(("k", "channels"), [(2, 1), (3, 3)])
def test_p6_5_gradcheck(k: int, channels: int, normalize: str | None, padding: str) -> None:
    image, filters = case(k, channels, (3, 4))
    leaves = (image[:1].requires_grad_(), filters[:1].requires_grad_())

    def both(i: Any, f: Any) -> Any:
        return mrf.filter_flow(i, f, normalize, padding, return_flow=True)

    def transpose(i: Any, f: Any) -> Any:
        return mrf.filter_flow_transpose(i, f, normalize, padding)

    assert torch.autograd.gradcheck(both, leaves)
    assert torch.autograd.gradcheck(transpose, leaves)
    assert torch.autograd.gradgradcheck(both, leaves)
    assert torch.autograd.gradgradcheck(transpose, leaves)
    assert torch.autograd.gradcheck(lambda f: mrf.expected_flow(f, normalize), leaves[1:])


@pytest.mark.parametrize("normalize", [None, "softmax"])
def test_any_subset_of_gradients(normalize: str | None) -> None:
    image, filters = case(3)
    grads = {}
    for wanted in itertools.product((False, True), repeat=2):
        leaves = [
            image.clone().requires_grad_(wanted[0]),
            filters.clone().requires_grad_(wanted[1]),
        ]
        out = mrf.filter_flow(*leaves, normalize)
        if not any(wanted):
            assert not out.requires_grad
            continue
        out.square().sum().backward()
        grads[wanted] = [leaf.grad for leaf in leaves]
    assert grads[True, False][1] is None
    assert grads[False, True][0] is None
    assert torch.equal(grads[True, False][0], grads[True, True][0])
    assert torch.equal(grads[False, True][1], grads[True, True][1])


def test_gradient_of_the_flow_alone() -> None:
    image, filters = case(3)
    image.requires_grad_()
    filters.requires_grad_()
    _, flow = mrf.filter_flow(image, filters, "softmax", return_flow=True)
    flow.square().sum().backward()
    expected = filters.detach().clone().requires_grad_()
    reference.expected_flow(expected, "softmax").square().sum().backward()
    torch.testing.assert_close(filters.grad, expected.grad)
    assert image.grad is None


# ---------------------------------------------------------------- dtypes and torch's machinery


@pytest.mark.parametrize("normalize", [None, "softmax"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_filters_are_summed_in_float32(dtype: Any, normalize: str | None) -> None:
    image, filters = case(5, 4, dtype=torch.float32)
    half = (filters / 64).to(dtype)
    half[0, 0, 0, :4] = torch.tensor([6e-8, -3e-5, 0.0, 1.0], dtype=dtype)  # subnormal in float16
    half.requires_grad_()
    wide = half.detach().float().requires_grad_()
    out = mrf.filter_flow(image, half, normalize)
    expected = mrf.filter_flow(image, wide, normalize)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)
    grad = torch.rand_like(out)
    (found,) = torch.autograd.grad(out, half, grad)
    (wanted,) = torch.autograd.grad(expected, wide, grad)
    assert found.dtype == dtype
    assert torch.equal(found, wanted.to(dtype))


def test_every_float16_and_its_rounding() -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16).view(1, 1, 256, 256)
    ones = torch.ones(1, 1, 256, 256)
    found = mrf.filter_flow(ones, every)
    torch.testing.assert_close(found, every.float(), rtol=0, atol=0, equal_nan=True)
    values = torch.cat([torch.randn(4000), torch.randn(4000) * 1e-6, torch.randn(4000) * 4e4])
    special = [65519.0, 65520.0, 2.0**-25, 2.0**-24, 1e30, torch.inf, -torch.inf, torch.nan]
    grad = torch.cat([values, torch.tensor(special)]).view(1, 1, 1, -1)
    for dtype in (torch.float16, torch.bfloat16):
        filters = torch.zeros_like(grad, dtype=dtype).requires_grad_()
        (rounded,) = torch.autograd.grad(
            mrf.filter_flow(torch.ones_like(grad), filters), filters, grad
        )
        expected = grad.to(dtype)
        torch.testing.assert_close(rounded, expected, rtol=0, atol=0, equal_nan=True)


def test_dtypes_of_results() -> None:
    image, filters = case(3, dtype=torch.float32)
    assert mrf.filter_flow(image.bfloat16(), filters).dtype == torch.bfloat16
    assert mrf.filter_flow(image, filters.double()).dtype == torch.float32
    assert mrf.expected_flow(filters.half(), "softmax").dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        out = mrf.filter_flow(image.bfloat16(), filters.bfloat16(), "softmax")
    assert out.dtype == torch.float32


def test_channels_last_gives_the_same() -> None:
    image, filters = case(3)
    expected = mrf.filter_flow(image, filters)
    last = [x.to(memory_format=torch.channels_last) for x in (image, filters)]
    assert torch.equal(mrf.filter_flow(*last), expected)


@pytest.mark.parametrize("normalize", [None, "softmax"])
def test_compile(normalize: str | None) -> None:
    image, filters = case(3, dtype=torch.float32)
    leaves = [image.requires_grad_(), filters.requires_grad_()]

    def loss(i: Any, f: Any) -> Any:
        out, flow = mrf.filter_flow(i, f, normalize, "replicate", return_flow=True)
        return (out.square().sum() + flow.sum()) + mrf.filter_flow_transpose(i, f, normalize).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(*leaves), leaves)
    torch.testing.assert_close(found, torch.autograd.grad(loss(*leaves), leaves))


@pytest.mark.parametrize("softmax", [False, True])
def test_opcheck(softmax: bool) -> None:
    image, filters = case(3, dtype=torch.float32)
    setup = (softmax, "reflect", 0)
    ops = torch.ops.mrfcore
    torch.library.opcheck(ops.filter_flow.default, (image, filters, True, *setup))
    out, flow, peak, scale = ops.filter_flow(image, filters, True, *setup)
    tail = (peak, scale, *setup)
    torch.library.opcheck(ops.filter_flow_transpose.default, (image, filters, *tail))
    torch.library.opcheck(
        ops.filter_flow_filter_gradient.default,
        (image, filters, peak, scale, out, out, flow, flow, *setup),
    )


# ---------------------------------------------------------------- errors

IMAGE, FILTERS = torch.rand(1, 3, 4, 5), torch.rand(1, 9, 4, 5)
BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = {
    "no tensor": (TypeError, "image: expected a tensor, got list", ([1], FILTERS), {}),
    "no batch": (ValueError, r"image: .*\[3, 4, 5\]", (IMAGE[0], FILTERS), {}),
    "integers": (TypeError, "image: .*got dtype torch.int64", (IMAGE.long(), FILTERS), {}),
    "meta": (TypeError, "filters: .*on meta", (IMAGE, FILTERS.to("meta")), {}),
    "taps": (ValueError, "filters: .*k from 1 to 31, got 8 taps", (IMAGE, FILTERS[:, :8]), {}),
    "too large": (
        ValueError,
        "filters: .*k from 1 to 31, got 1024 taps",
        (IMAGE, torch.rand(1, 1024, 4, 5)),
        {},
    ),
    "other size": (
        ValueError,
        r"filters: .*image of shape \[1, 3, 4, 5\], got shape \[1, 9, 4, 4\]",
        (IMAGE, FILTERS[..., :4]),
        {},
    ),
    "no channels": (ValueError, "image: .*at least one channel", (IMAGE[:, :0], FILTERS), {}),
    "no pixels": (
        ValueError,
        "filters: .*at least one pixel",
        (IMAGE[..., :0], FILTERS[..., :0]),
        {},
    ),
    "normalize": (ValueError, "normalize: .*got 'sum'", (IMAGE, FILTERS), {"normalize": "sum"}),
    "padding": (ValueError, "padding: .*got 'wrap'", (IMAGE, FILTERS), {"padding": "wrap"}),
    "threads": (ValueError, "threads: .*got 0", (IMAGE, FILTERS), {"threads": 0}),
    "reflect": (
        ValueError,
        r"padding: 'reflect' needs .* k // 2 = 4; got an image of shape \[1, 3, 4, 5\]",
        (IMAGE, torch.rand(1, 81, 4, 5)),
        {"padding": "reflect"},
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [mrf.filter_flow, mrf.filter_flow_transpose])
def test_errors(function: Any, name: str) -> None:
    error, message, args, options = BAD[name]
    with pytest.raises(error, match=message):
        function(*args, **options)


def test_errors_of_the_flow() -> None:
    with pytest.raises(ValueError, match=r"filters: .*got 8 taps"):
        mrf.expected_flow(FILTERS[:, :8])
    with pytest.raises(TypeError, match="return_flow: expected True or False"):
        mrf.filter_flow(IMAGE, FILTERS, return_flow=1)
