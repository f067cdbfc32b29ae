# SPDX-License-Identifier: Apache-2.0
"""Filter flow on a GPU against the CPU: on a GPU where there is one, else in the emulator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mrfcore import _core  # noqa: E402
from mrfcore.nn import functional as mrf  # noqa: E402
from mrfcore.ops import filter_flow_reference as reference  # noqa: E402

PADDINGS = ("zeros", "replicate", "reflect")
OPTIONS = list(itertools.product((None, "softmax"), PADDINGS))


def case(
    k: int, channels: int = 3, size: tuple[int, int] = (9, 35), dtype: Any = torch.float64
) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(k + 100 * channels)
    image = torch.rand(2, channels, *size, generator=generator, dtype=torch.float64)
    filters = torch.randn(2, k * k, *size, generator=generator, dtype=torch.float64)
    return image.to(dtype), filters.to(dtype)


def everything(image: Any, filters: Any, normalize: str | None, padding: str) -> list[Any]:
    """All functions and their gradients."""
    leaves = [image.requires_grad_(), filters.requires_grad_()]
    out, flow = mrf.filter_flow(image, filters, normalize, padding, return_flow=True)
    spread = mrf.filter_flow_transpose(image, filters, normalize, padding)
    # From the inputs, so that differences of results do not show twice.
    grads = [image.detach() - 0.5, flow.detach().new_ones(flow.shape)]
    return [
        out.detach(),
        flow.detach(),
        spread.detach(),
        mrf.expected_flow(filters.detach(), normalize),
        *torch.autograd.grad((out, flow), leaves, grads),
        *torch.autograd.grad(spread, leaves, grads[0]),
    ]


def close(found: list[Any], expected: list[Any], device: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.device.type == device.type
        assert a.dtype == b.dtype
        if a.dtype in (torch.float16, torch.bfloat16):  # a last place of what was rounded
            torch.testing.assert_close(a.cpu(), b, rtol=1e-2, atol=1e-5)
        else:
            torch.testing.assert_close(a.cpu(), b)


@pytest.mark.parametrize(("normalize", "padding"), OPTIONS)
@pytest.mark.parametrize(
    ("k", "channels", "size"),
    [(1, 1, (3, 4)), (2, 6, (17, 33)), (3, 3, (9, 35)), (4, 9, (5, 70)), (17, 2, (20, 21))],
)
def test_results_are_those_of_the_cpu(
    device: Any,
    k: int,
    channels: int,
    size: tuple[int, int],
    normalize: str | None,
    padding: str,
) -> None:
    for dtype in (torch.float32, torch.float64):
        image, filters = case(k, channels, size, dtype)
        expected = everything(image.clone(), filters.clone(), normalize, padding)
        with device.active():
            found = everything(device.put(image), device.put(filters), normalize, padding)
        close(found, expected, device)


def test_the_references_numbers(device: Any) -> None:
    image, filters = case(5, 4)
    expected = reference.filter_flow(image, filters, "softmax", "reflect")
    with device.active():
        found = mrf.filter_flow(device.put(image), device.put(filters), "softmax", "reflect")
    torch.testing.assert_close(found.cpu(), expected)


def test_the_largest_side_on_an_image_that_is_smaller(device: Any) -> None:
    image, filters = case(31, 1, (5, 40), torch.float32)
    expected = everything(image.clone(), filters.clone(), "softmax", "replicate")
    with device.active():
        found = everything(device.put(image), device.put(filters), "softmax", "replicate")
    close(found, expected, device)


def test_plain_filters_give_the_same_bits(device: Any) -> None:
    image, filters = case(5, 7, dtype=torch.float32)
    expected = mrf.filter_flow(image, filters, padding="replicate")
    spread = mrf.filter_flow_transpose(image, filters, padding="replicate")
    with device.active():
        at = [device.put(x) for x in (image, filters)]
        assert torch.equal(mrf.filter_flow(*at, padding="replicate").cpu(), expected)
        assert torch.equal(mrf.filter_flow_transpose(*at, padding="replicate").cpu(), spread)


@pytest.mark.parametrize("normalize", [None, "softmax"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_filters(device: Any, dtype: Any, normalize: str | None) -> None:
    image, filters = case(5, 4, dtype=torch.float32)
    half = (filters / 64).to(dtype)
    half[0, 0, 0, :4] = torch.tensor([6e-8, -3e-5, 0.0, 1.0], dtype=dtype)  # subnormal in float16
    expected = everything(image.clone(), half.clone(), normalize, "zeros")
    with device.active():
        found = everything(device.put(image), device.put(half), normalize, "zeros")
        assert mrf.filter_flow(device.put(image).to(dtype), device.put(half)).dtype == dtype
    close(found, expected, device)


def test_every_float16_and_its_rounding(device: Any) -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16).view(1, 1, 256, 256)
    values = torch.cat([torch.randn(4000), torch.randn(4000) * 1e-6, torch.randn(4000) * 4e4])
    special = [65519.0, 65520.0, 2.0**-25, 2.0**-24, 1e30, torch.inf, -torch.inf, torch.nan]
    grad = torch.cat([values, torch.tensor(special)]).view(1, 1, 1, -1)
    with device.active():
        found = mrf.filter_flow(device.put(torch.ones(1, 1, 256, 256)), device.put(every))
        torch.testing.assert_close(found.cpu(), every.float(), rtol=0, atol=0, equal_nan=True)
        for dtype in (torch.float16, torch.bfloat16):
            filters = device.put(torch.zeros_like(grad, dtype=dtype)).requires_grad_()
            out = mrf.filter_flow(device.put(torch.ones_like(grad)), filters)
            (rounded,) = torch.autograd.grad(out, filters, device.put(grad))
            torch.testing.assert_close(
                rounded.cpu(), grad.to(dtype), rtol=0, atol=0, equal_nan=True
            )


@pytest.mark.parametrize(("normalize", "padding"), OPTIONS)
def test_gradcheck_to_second_order(device: Any, normalize: str | None, padding: str) -> None:
    image, filters = case(2, 2, (3, 4))

    def both(i: Any, f: Any) -> Any:
        return mrf.filter_flow(i, f, normalize, padding, return_flow=True)

    def transpose(i: Any, f: Any) -> Any:
        return mrf.filter_flow_transpose(i, f, normalize, padding)

    with device.active():
        leaves = [device.put(x[:1]).requires_grad_() for x in (image, filters)]
        for function in (both, transpose):
            assert torch.autograd.gradcheck(function, leaves)
            assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("normalize", [None, "softmax"])
def test_any_subset_of_gradients(device: Any, normalize: str | None) -> None:
    image, filters = case(3)
    grads = {}
    with device.active():
        for wanted in itertools.product((False, True), repeat=2):
            leaves = [
                device.put(x).requires_grad_(w)
                for x, w in zip((image, filters), wanted, strict=True)
            ]
            out = mrf.filter_flow(*leaves, normalize)
            if any(wanted):
                out.square().sum().backward()
            grads[wanted] = [leaf.grad for leaf in leaves]
    assert torch.equal(grads[True, False][0], grads[True, True][0])
    assert torch.equal(grads[False, True][1], grads[True, True][1])


def test_strides_empty_batches_and_missing_values(device: Any) -> None:
    image, filters = case(3, dtype=torch.float32)
    filters[:, 1:4] = -torch.inf
    filters[0, 0, 2, 3] = torch.nan
    expected = mrf.filter_flow(image, filters, "softmax")
    with device.active():
        i, f = device.put(image), device.put(filters)
        last = [x.to(memory_format=torch.channels_last) for x in (i, f)]
        found = mrf.filter_flow(*last, "softmax")
        torch.testing.assert_close(found.cpu(), expected, equal_nan=True)
        assert found.isnan().sum() == 3
        for function in (mrf.filter_flow, mrf.filter_flow_transpose):
            assert function(i[:0], f[:0], "softmax", "replicate").shape == (0, 3, 9, 35)


@pytest.mark.parametrize("softmax", [False, True])
def test_opcheck(device: Any, softmax: bool) -> None:
    ops, setup = torch.ops.mrfcore, (softmax, "reflect", 0)
    with device.active():
        image, filters = (device.put(x) for x in case(3, dtype=torch.float32))
        torch.library.opcheck(ops.filter_flow.default, (image, filters, True, *setup))
        out, flow, peak, scale = ops.filter_flow(image, filters, True, *setup)
        tail = (peak, scale, *setup)
        torch.library.opcheck(ops.filter_flow_transpose.default, (image, filters, *tail))
        torch.library.opcheck(
            ops.filter_flow_filter_gradient.default,
            (image, filters, peak, scale, out, out, flow, flow, *setup),
        )


def test_compile_and_autocast(device: Any) -> None:
    def loss(i: Any, f: Any) -> Any:
        out, flow = mrf.filter_flow(i, f, "softmax", "replicate", return_flow=True)
        return out.square().sum() + flow.sum() + mrf.filter_flow_transpose(i, f).sum()

    with device.active():
        leaves = [device.put(x).requires_grad_() for x in case(3, dtype=torch.float32)]
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        found = torch.autograd.grad(compiled(*leaves), leaves)
        torch.testing.assert_close(found, torch.autograd.grad(loss(*leaves), leaves))
        with torch.autocast(device.type, torch.bfloat16):
            out = mrf.filter_flow(leaves[0].bfloat16(), leaves[1].bfloat16(), "softmax")
        assert out.dtype == torch.float32


def test_vmap(device: Any) -> None:
    image, filters = case(3, dtype=torch.float32)
    with device.active():
        i, f = device.put(image), device.put(filters)
        found = torch.vmap(lambda a, b: mrf.filter_flow(a[None], b[None], "softmax")[0])(i, f)
        torch.testing.assert_close(found, mrf.filter_flow(i, f, "softmax"))


def test_work_goes_to_the_device(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's tensors are the CPU's: nothing else would tell."""
    calls = []
    names = [f"cuda_filter_flow{s}_f32" for s in ("", "_filter_gradient", "_transpose")]
    for name in names:
        original = getattr(_core, name)

        def counted(*args: Any, original: Any = original, name: str = name) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(_core, name, counted)
    with device.active():
        leaves = [device.put(x).requires_grad_() for x in case(3, dtype=torch.float32)]
        mrf.filter_flow(*leaves).sum().backward()
    assert sorted(calls) == names


def test_tensors_on_two_devices_are_refused(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("the emulator's tensors are on the CPU")
    image, filters = case(3)
    with pytest.raises(TypeError, match=r"filters: expected a tensor on cuda.* got one on cpu"):
        mrf.filter_flow(device.put(image), filters)
