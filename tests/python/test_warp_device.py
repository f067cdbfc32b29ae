# SPDX-License-Identifier: Apache-2.0
"""Warps, composed flows and consistency on a GPU against the CPU: on a GPU, else emulated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from mrfcore import _core  # noqa: E402
from mrfcore.nn import functional as mrf  # noqa: E402

PADDINGS = ("zeros", "replicate")


def case(
    channels: int = 3, size: tuple[int, int] = (7, 9), out: tuple[int, int] = (5, 8)
) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(channels)
    image = torch.rand(2, channels, *size, generator=generator, dtype=torch.float64)
    flow = 4 * torch.randn(2, 2, *out, generator=generator, dtype=torch.float64)
    flow[:, :, ::3] = flow[:, :, ::3].round()  # derivatives at integers are those to the right
    return image, flow


def everything(image: Any, flow: Any, padding: str) -> list[Any]:
    leaves = [image.requires_grad_(), flow.requires_grad_()]
    out, mask = mrf.warp(image, flow, padding, return_mask=True)
    return [out.detach(), mask, *torch.autograd.grad(out.square().sum(), leaves)]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("channels", "size", "out"),
    [(3, (7, 9), (5, 8)), (1, (1, 1), (4, 40)), (5, (40, 33), (17, 65)), (2, (3, 4), (30, 31))],
)
def test_results_are_those_of_the_cpu(
    device: Any, channels: int, size: tuple[int, int], out: tuple[int, int], padding: str
) -> None:
    for dtype in (torch.float32, torch.float64):
        image, flow = (x.to(dtype) for x in case(channels, size, out))
        expected = everything(image.clone(), flow.clone(), padding)
        with device.active():
            found = everything(device.put(image), device.put(flow), padding)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.device.type == device.type
            if i == 2:  # the image's: exact sums, where the CPU rounds each of a hundred
                torch.testing.assert_close(a.cpu(), b, rtol=200 * torch.finfo(dtype).eps, atol=1e-5)
            else:
                assert torch.equal(a.cpu(), b)


def test_the_images_gradient_is_the_same_bits_every_time(device: Any) -> None:
    image, flow = (x.float() for x in case(3, (30, 40), (64, 64)))
    with device.active():
        first, again = (everything(device.put(image), device.put(flow), "zeros") for _ in range(2))
    assert torch.equal(first[2], again[2])


@pytest.mark.parametrize("padding", PADDINGS)
def test_gradcheck(device: Any, padding: str) -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 2, 3, 4, generator=generator, dtype=torch.float64)
    flow = torch.randn(2, 2, 2, 3, generator=generator, dtype=torch.float64)
    with device.active():
        leaves = (device.put(image).requires_grad_(), device.put(flow).requires_grad_())
        assert torch.autograd.gradcheck(lambda i, f: mrf.warp(i, f, padding), leaves)


def test_any_subset_of_gradients_and_none_of_second_order(device: Any) -> None:
    image, flow = case()
    grads = {}
    with device.active():
        for wanted in itertools.product((False, True), repeat=2):
            leaves = [
                device.put(x).requires_grad_(w) for x, w in zip((image, flow), wanted, strict=True)
            ]
            out = mrf.warp(*leaves)
            if any(wanted):
                out.square().sum().backward()
            grads[wanted] = [leaf.grad for leaf in leaves]
        leaf = device.put(image).requires_grad_()
        once = mrf.warp(leaf, device.put(flow)).sum()
        (grad,) = torch.autograd.grad(once, leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="warp: there are no second derivatives"):
            grad.sum().backward()
    assert torch.equal(grads[True, False][0], grads[True, True][0])
    assert torch.equal(grads[False, True][1], grads[True, True][1])


def test_dtypes_strides_and_missing_values(device: Any) -> None:
    image, flow = (x.float() for x in case())
    flow[0, 0, 1, 2] = torch.nan
    flow[0, 1, 2, 3] = torch.inf
    flow[0, 1, 3, 3] = 1e30
    expected, expected_mask = mrf.warp(image, flow, return_mask=True)
    with device.active():
        i, f = device.put(image), device.put(flow)
        last = [x.to(memory_format=torch.channels_last) for x in (i, f)]
        out, mask = mrf.warp(*last, return_mask=True)
        assert mrf.warp(i.bfloat16(), f).dtype == torch.bfloat16
        assert mrf.warp(i[:0], f[:0]).shape == (0, 3, 5, 8)
        with torch.autocast(device.type, torch.bfloat16):
            assert mrf.warp(i.bfloat16(), f).dtype == torch.float32
        i.requires_grad_()
        (grad,) = torch.autograd.grad(mrf.warp(i, f).sum(), i)
    torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(mask.cpu(), expected_mask)
    assert grad[0].isnan().all()
    assert grad[1].isfinite().all()


def test_compile_and_opcheck(device: Any) -> None:
    def loss(i: Any, f: Any) -> Any:
        return mrf.warp(i, f).square().sum() + mrf.flow_consistency(f, -f)

    with device.active():
        image, flow = (device.put(x.float()) for x in case())
        leaves = [image.requires_grad_(), flow.requires_grad_()]
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        found = torch.autograd.grad(compiled(*leaves), leaves)
        torch.testing.assert_close(found, torch.autograd.grad(loss(*leaves), leaves))
        ops, image, flow = torch.ops.mrfcore, image.detach(), flow.detach()
        torch.library.opcheck(ops.warp.default, (image, flow, True, "zeros", 0))
        out, _ = ops.warp(image, flow, False, "zeros", 0)
        for needs in itertools.product((False, True), repeat=2):
            arguments = (image, flow, out, *needs, "replicate", 0)
            torch.library.opcheck(ops.warp_gradient.default, arguments)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_composed_flows_and_their_consistency(device: Any, mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    flows = [torch.randn(2, 2, n, 2 * n, generator=generator) for n in (8, 4)]

    def results(fine: Any, coarse: Any) -> list[Any]:
        leaves = [fine.requires_grad_(), coarse.requires_grad_()]
        total = mrf.compose_flows(leaves, [1, 2], mode)
        loss = mrf.flow_consistency(fine, total, border=1)
        return [total.detach(), loss.detach(), *torch.autograd.grad(loss, leaves)]

    expected = results(*(x.clone() for x in flows))
    with device.active():
        found = results(*(device.put(x) for x in flows))
    assert all(x.device.type == device.type for x in found)
    torch.testing.assert_close([x.cpu() for x in found], expected)


def test_work_goes_to_the_device(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's tensors are the CPU's: nothing else would tell."""
    calls = []
    for name in ("cuda_warp_f32", "cuda_warp_gradient_f32"):
        original = getattr(_core, name)

        def counted(*args: Any, original: Any = original, name: str = name) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(_core, name, counted)
    with device.active():
        image, flow = (device.put(x.float()).requires_grad_() for x in case())
        mrf.warp(image, flow).sum().backward()
    assert calls == ["cuda_warp_f32", "cuda_warp_gradient_f32"]


def test_tensors_on_two_devices_are_refused(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("the emulator's tensors are on the CPU")
    image, flow = case()
    with pytest.raises(TypeError, match=r"flow: expected a tensor on cuda.* got one on cpu"):
        mrf.warp(device.put(image), flow)
