# SPDX-License-Identifier: Apache-2.0
"""Warps against grid_sample, composed flows, gradients, errors; properties have their own file."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as mrf  # noqa: E402

MODES = {"zeros": "zeros", "replicate": "border"}


def case(
    channels: int = 3, size: tuple[int, int] = (7, 9), out: tuple[int, int] = (5, 8)
) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(channels)
    image = torch.rand(2, channels, *size, generator=generator, dtype=torch.float64)
    flow = 4 * torch.randn(2, 2, *out, generator=generator, dtype=torch.float64)
    return image, flow


def sampled(image: Any, flow: Any, padding: str) -> Any:
    """The same by torch's grid_sample, which wants -1 .. 1 over the image."""
    height, width = image.shape[2:]
    rows, columns = flow.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    grid = torch.stack([x + flow[:, 0], y + flow[:, 1]], -1)
    grid = 2 * grid / torch.tensor([width - 1, height - 1], dtype=grid.dtype) - 1
    return torch.nn.functional.grid_sample(
        image, grid, padding_mode=MODES[padding], align_corners=True
    )


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_grid_sample(channels: int, padding: str) -> None:
    image, flow = case(channels)
    leaves = [image.requires_grad_(), flow.requires_grad_()]
    out, expected = mrf.warp(image, flow, padding), sampled(image, flow, padding)
    torch.testing.assert_close(out, expected)
    grad = torch.rand_like(out)
    found = torch.autograd.grad(out, leaves, grad)
    torch.testing.assert_close(found, torch.autograd.grad(expected, leaves, grad))


@pytest.mark.parametrize("padding", MODES)
def test_mask(padding: str) -> None:
    image, flow = case()
    flow[0, :, 0, 0] = 0
    flow[0, :, 1, 1] = torch.tensor([7.0, 5.0])  # the last pixel: its outer taps weigh nothing
    _, mask = mrf.warp(image, flow, padding, return_mask=True)
    x, y = torch.arange(8) + flow[:, 0], torch.arange(5)[:, None] + flow[:, 1]
    expected = (x >= 0) & (x <= 8) & (y >= 0) & (y <= 6)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, expected[:, None])
    assert mask[0, 0, 0, 0]
    assert mask[0, 0, 1, 1]


def test_right_derivative_at_integers() -> None:
    image = torch.tensor([1.0, 4.0, 9.0]).view(1, 1, 1, 3)
    flow = torch.zeros(1, 2, 1, 3, requires_grad=True)
    for padding, expected in (("zeros", [3.0, 5.0, -9.0]), ("replicate", [3.0, 5.0, 0.0])):
        (grad,) = torch.autograd.grad(mrf.warp(image, flow, padding).sum(), flow)
        assert grad[0, 0, 0].tolist() == expected
    outside = torch.tensor([-1.0, -3.0, 1.0]).view(1, 1, 1, 3)
    flow = torch.cat([outside, torch.zeros_like(outside)], 1).requires_grad_()
    (grad,) = torch.autograd.grad(mrf.warp(image, flow).sum(), flow)
    assert grad[0, 0, 0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("padding", MODES)
def test_gradcheck(padding: str) -> None:
    image, flow = case(2, (3, 4), (2, 3))
    leaves = (image.requires_grad_(), (flow / 3).requires_grad_())
    assert torch.autograd.gradcheck(lambda i, f: mrf.warp(i, f, padding), leaves)


def test_any_subset_of_gradients_and_none_of_second_order() -> None:
    image, flow = case()
    for wanted in itertools.product((False, True), repeat=2):
        leaves = [image.clone().requires_grad_(wanted[0]), flow.clone().requires_grad_(wanted[1])]
        out = mrf.warp(*leaves)
        assert out.requires_grad == any(wanted)
        if any(wanted):
            out.sum().backward()
        assert [leaf.grad is not None for leaf in leaves] == list(wanted)
    leaf = image.requires_grad_()
    (grad,) = torch.autograd.grad(mrf.warp(leaf, flow).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="warp: there are no second derivatives"):
        grad.sum().backward()


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("threads", [1, 3])
def test_same_bits(monkeypatch: pytest.MonkeyPatch, isa: str, threads: int) -> None:
    image, flow = (x.float() for x in case())
    leaves = [image.requires_grad_(), flow.requires_grad_()]
    expected = mrf.warp(*leaves)
    grads = torch.autograd.grad(expected.square().sum(), leaves)
    monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
    try:
        out = mrf.warp(*leaves, threads=threads)
    except ValueError:
        pytest.skip(f"no {isa} here")
    assert torch.equal(out, expected)
    again = torch.autograd.grad(out.square().sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(again, grads, strict=True))


def test_dtypes_and_missing_values() -> None:
    image, flow = (x.float() for x in case())
    assert mrf.warp(image.bfloat16(), flow).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert mrf.warp(image.bfloat16(), flow).dtype == torch.float32
    assert mrf.warp(image[:0], flow[:0]).shape == (0, 3, 5, 8)
    flow[0, 0, 1, 2] = torch.nan
    flow[0, 1, 2, 3] = torch.inf
    flow[0, 1, 3, 3] = 1e30
    out, mask = mrf.warp(image, flow, return_mask=True)
    missing = torch.zeros(2, 3, 5, 8, dtype=torch.bool)
    missing[0, :, 1, 2] = missing[0, :, 2, 3] = True
    assert torch.equal(out.isnan(), missing)
    assert not mask[missing[:, :1]].any()


def test_compile_and_opcheck() -> None:
    image, flow = (x.float() for x in case())
    leaves = [image.requires_grad_(), flow.requires_grad_()]

    def loss(i: Any, f: Any) -> Any:
        return mrf.warp(i, f).square().sum() + mrf.flow_consistency(f, -f)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(*leaves), leaves)
    torch.testing.assert_close(found, torch.autograd.grad(loss(*leaves), leaves))
    ops, image, flow = torch.ops.mrfcore, image.detach(), flow.detach()
    torch.library.opcheck(ops.warp.default, (image, flow, True, "zeros", 0))
    out, _ = ops.warp(image, flow, False, "zeros", 0)
    for needs in itertools.product((False, True), repeat=2):
        torch.library.opcheck(ops.warp_gradient.default, (image, flow, out, *needs, "replicate", 0))


# ---------------------------------------------------------------- flows


def constant(x: float, y: float, height: int = 8, width: int = 8) -> Any:
    return torch.tensor([x, y], dtype=torch.float64).view(1, 2, 1, 1).repeat(1, 1, height, width)


def test_levels_meet_at_pixel_centres() -> None:
    coarse = torch.arange(4, dtype=torch.float64).expand(1, 2, 4, 4)  # x of its own pixels
    total = mrf.compose_flows([torch.zeros(1, 2, 8, 8, dtype=torch.float64), coarse], [1, 2])
    expected = 2 * ((torch.arange(8) + 0.5) / 2 - 0.5).clamp(0, 3)
    torch.testing.assert_close(total[0, 0, 0], expected.double())


def test_gradients_of_composition_and_consistency() -> None:
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn(1, 2, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    coarse = torch.randn(1, 2, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: mrf.compose_flows([a, b], [1, 2]), (fine, coarse))
    back = torch.randn(1, 2, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(mrf.flow_consistency, (fine, back))
    mrf.compose_flows([fine, coarse], [1, 2], "nearest").sum().backward()
    assert fine.grad is not None
    assert coarse.grad is not None


# ---------------------------------------------------------------- errors

IMAGE, FLOW = torch.rand(1, 3, 4, 5), torch.rand(1, 2, 4, 5)
BAD: dict[str, tuple[type[Exception], str, Any]] = {
    "no tensor": (TypeError, "image: expected a tensor, got list", lambda: mrf.warp([1], FLOW)),
    "dimensions": (ValueError, r"flow: .*\[2, 4, 5\]", lambda: mrf.warp(IMAGE, FLOW[0])),
    "components": (ValueError, r"flow: .*B = 1 .*\[1, 3, 4, 5\]", lambda: mrf.warp(IMAGE, IMAGE)),
    "integers": (TypeError, "flow: .*torch.int64", lambda: mrf.warp(IMAGE, FLOW.long())),
    "device": (TypeError, "image: .*on meta", lambda: mrf.warp(IMAGE.to("meta"), FLOW)),
    "no pixels": (ValueError, "image: .*one pixel", lambda: mrf.warp(IMAGE[..., :0], FLOW)),
    "padding": (ValueError, "padding: .*'wrap'", lambda: mrf.warp(IMAGE, FLOW, "wrap")),
    "no flows": (TypeError, "flows: expected a list", lambda: mrf.compose_flows([])),
    "sizes": (
        ValueError,
        r"scales: .*flows\[1\] has shape \[1, 2, 2, 5\]",
        lambda: mrf.compose_flows([FLOW, FLOW[:, :, :2]]),
    ),
    "scales": (ValueError, "scales: .*2 numbers", lambda: mrf.compose_flows([FLOW] * 2, [1])),
    "no list": (TypeError, "flows: .*got Tensor", lambda: mrf.compose_flows(FLOW)),
    "no scales": (
        TypeError,
        "scales: expected None or a list, got float",
        lambda: mrf.compose_flows([FLOW], 1.0),
    ),
    "scale": (ValueError, "scales: .*got 0", lambda: mrf.compose_flows([FLOW], [0])),
    "mode": (ValueError, "mode: .*'cubic'", lambda: mrf.compose_flows([FLOW], mode="cubic")),
    "pair": (
        ValueError,
        r"backward: .*\[1, 2, 2, 5\]",
        lambda: mrf.flow_consistency(FLOW, FLOW[:, :, :2]),
    ),
    "border": (
        ValueError,
        "border: .*side 4, got 2",
        lambda: mrf.flow_consistency(FLOW, FLOW, border=2),
    ),
    "epsilon": (
        ValueError,
        "epsilon: .*got 0",
        lambda: mrf.flow_consistency(FLOW, FLOW, epsilon=0.0),
    ),
    "reduction": (
        ValueError,
        "reduction: .*'sum'",
        lambda: mrf.flow_consistency(FLOW, FLOW, reduction="sum"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    error, message, call = BAD[name]
    with pytest.raises(error, match=message):
        call()
