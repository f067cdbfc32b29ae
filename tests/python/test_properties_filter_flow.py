# SPDX-License-Identifier: Apache-2.0
"""Properties P6.1 to P6.7 and P7.1 (k = 11) to P7.5, filter flow and warps, on CPU and device.

P6.8 is in test_degrade.py. Nothing here is checked against the package's own plain-torch forms
(test_filter_flow.py and test_warp.py do that).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as mrf  # noqa: E402

close = torch.testing.assert_close
SIDES = pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 11])
PADDINGS = ("zeros", "replicate", "reflect")


def draw(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)


def offset(p: int, k: int) -> tuple[int, int]:
    """(u, v) of tap p, rows first; an even k reaches one further to the lower right."""
    return p // k - (k - 1) // 2, p % k - (k - 1) // 2


def deltas(p: int, k: int, size: tuple[int, int]) -> Any:
    filters = torch.zeros(1, k * k, *size, dtype=torch.float64)
    filters[:, p] = 1
    return filters


def bilinear(x: float, y: float, k: int, size: tuple[int, int]) -> Any:
    """Filters with the four weights of the point (x, y) between pixels."""
    filters = torch.zeros(1, k * k, *size, dtype=torch.float64)
    for p in range(k * k):
        u, v = offset(p, k)
        filters[:, p] = max(0.0, 1 - abs(v - x)) * max(0.0, 1 - abs(u - y))
    return filters


def outside(i: int, length: int, padding: str) -> int | None:
    """The pixel that stands for coordinate i; None: a zero."""
    if 0 <= i < length:
        return i
    if padding == "zeros":
        return None
    if padding == "replicate":
        return min(max(i, 0), length - 1)
    return -i if i < 0 else 2 * (length - 1) - i


# ---------------------------------------------------------------- P6.1 to P6.3


@SIDES
def test_p6_1_deltas_are_shifts(place: Any, k: int) -> None:
    image = draw(1, 2, 12, 14)
    for p in range(k * k):
        u, v = offset(p, k)
        out = mrf.filter_flow(place.put(image), place.put(deltas(p, k, (12, 14)))).cpu()
        rows, columns = slice(max(0, -u), 12 - max(0, u)), slice(max(0, -v), 14 - max(0, v))
        moved = image.roll((-u, -v), (2, 3))
        assert torch.equal(out[:, :, rows, columns], moved[:, :, rows, columns])
        assert (u, v) != (0, 0) or torch.equal(out, image)


@pytest.mark.parametrize("k", [3, 4, 11])
@pytest.mark.parametrize("channels", [1, 3, 21])
def test_p6_2_equal_filters_are_a_convolution(place: Any, channels: int, k: int) -> None:
    image, kernel = draw(2, channels, 13, 17), draw(k, k, seed=1)
    before, after = (k - 1) // 2, k // 2
    padded = torch.nn.functional.pad(image, (before, after, before, after))
    weight = kernel.expand(channels, 1, k, k)
    want = torch.nn.functional.conv2d(padded, weight, groups=channels)
    filters = kernel.reshape(1, k * k, 1, 1).expand(2, -1, 13, 17)
    close(mrf.filter_flow(place.put(image), place.put(filters)).cpu(), want)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("k", [2, 3, 5, 11])
def test_p6_3_it_is_a_sparse_matrix(place: Any, k: int, padding: str) -> None:
    height, width = 6, 7
    image, other = draw(1, 1, height, width), draw(1, 1, height, width, seed=2)
    filters = draw(1, k * k, height, width, seed=1)
    matrix = np.zeros((height, width, height, width))
    for y, x, p in np.ndindex(height, width, k * k):
        u, v = offset(p, k)
        row, column = outside(y + u, height, padding), outside(x + v, width, padding)
        if row is not None and column is not None:
            matrix[y, x, row, column] += filters[0, p, y, x]
    t = torch.tensor(matrix).reshape(height * width, height * width)
    on_device = place.put(filters)
    out = mrf.filter_flow(place.put(image), on_device, padding=padding).cpu()
    back = mrf.filter_flow_transpose(place.put(other), on_device, padding=padding).cpu()
    close(out.flatten(), t @ image.flatten())
    close(back.flatten(), t.T @ other.flatten())
    close((out * other).sum(), (image * back).sum())


# ---------------------------------------------------------------- P6.4 to P6.7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [3, 4, 11])
def test_p6_4_softmax_weights(place: Any, k: int, dtype: Any) -> None:
    logits = place.put(3 * draw(1, k * k, 12, 15, dtype=dtype))
    image = draw(1, 2, 12, 15, seed=1, dtype=torch.float32)
    ones = mrf.filter_flow(place.put(torch.ones_like(image)), logits, "softmax", "replicate")
    close(ones.cpu(), torch.ones_like(image), rtol=0, atol=1e-6)
    bare = mrf.filter_flow(place.put(torch.ones_like(image)), logits, "softmax").cpu()
    r = k // 2
    close(bare[..., r : 12 - r, r : 15 - r], ones.cpu()[..., r : 12 - r, r : 15 - r])
    assert float(bare.max()) <= 1 + 1e-6
    out = mrf.filter_flow(place.put(image), logits, "softmax", "replicate").cpu()
    before, after = (k - 1) // 2, k // 2
    around = torch.nn.functional.pad(image, (before, after, before, after), mode="replicate")
    highest = torch.nn.functional.max_pool2d(around, k, stride=1)
    lowest = -torch.nn.functional.max_pool2d(-around, k, stride=1)
    assert ((out <= highest + 1e-6) & (out >= lowest - 1e-6)).all()
    # Weights themselves, by images that are one in one pixel: none is negative.
    spread = mrf.filter_flow_transpose(place.put(deltas(0, 1, (12, 15)).float()), logits, "softmax")
    assert float(spread.cpu().min()) >= 0


@pytest.mark.parametrize("normalize", [None, "softmax"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("k", [2, 3, 11])
def test_p6_5_finite_differences(place: Any, k: int, channels: int, normalize: str | None) -> None:
    image = place.put(draw(1, channels, 3, 4)).requires_grad_()
    filters = place.put(draw(1, k * k, 3, 4, seed=1)).requires_grad_()
    for function in (
        lambda i, f: mrf.filter_flow(i, f, normalize, return_flow=True),
        lambda i, f: mrf.filter_flow_transpose(i, f, normalize),
    ):
        fast = place.emulated or k > 3
        assert torch.autograd.gradcheck(function, (image, filters), fast_mode=fast)


@pytest.mark.parametrize("k", [3, 4])
def test_p6_5_the_fused_softmax_has_the_gradient_of_two_steps(place: Any, k: int) -> None:
    image, logits = draw(2, 3, 6, 8), draw(2, k * k, 6, 8, seed=1)
    probes = place.put(draw(2, 3, 6, 8, seed=2)), place.put(draw(2, 2, 6, 8, seed=3))
    found = []
    for fused in (True, False):
        leaves = [place.put(image).requires_grad_(), place.put(logits).requires_grad_()]
        filters = leaves[1] if fused else leaves[1].softmax(1)
        how = "softmax" if fused else None
        outputs = mrf.filter_flow(leaves[0], filters, how, return_flow=True)
        found.append((*outputs, *torch.autograd.grad(outputs, leaves, probes)))
    close(found[0], found[1])


@SIDES
def test_p6_6_expected_flow(place: Any, k: int) -> None:
    for p in range(k * k):
        u, v = offset(p, k)
        flow = mrf.expected_flow(place.put(deltas(p, k, (2, 3)))).cpu()
        assert torch.equal(flow[0, :, 1, 1], torch.tensor([v, u], dtype=torch.float64))
    uniform = mrf.expected_flow(place.put(torch.zeros(1, k * k, 2, 3)), "softmax").cpu()
    # The mean offset of an even side is half a pixel, for it is not centred.
    close(uniform, torch.full_like(uniform, 0.0 if k % 2 else 0.5), rtol=0, atol=1e-6)
    flow = mrf.expected_flow(place.put(9 * draw(1, k * k, 8, 9)), "softmax").cpu()
    assert float(flow.max()) <= k // 2
    assert float(flow.min()) >= -((k - 1) // 2)
    if k >= 4:
        flow = mrf.expected_flow(place.put(bilinear(1.25, -0.5, k, (2, 3)))).cpu()
        close(flow[0, :, 0, 0], torch.tensor([1.25, -0.5], dtype=torch.float64))


@pytest.mark.parametrize("k", [3, 11])
def test_p6_7_tiles_are_the_whole(place: Any, k: int) -> None:
    """For fixed filters, away from the tiles' borders: to the bit."""
    image, filters = draw(1, 3, 40, 50).float(), draw(1, k * k, 40, 50, seed=1).float()
    whole = mrf.filter_flow(place.put(image), place.put(filters)).cpu()
    part = (slice(None), slice(None), slice(7, 33), slice(11, 44))
    tile = mrf.filter_flow(
        place.put(image[part].contiguous()), place.put(filters[part].contiguous())
    ).cpu()
    r = k // 2
    assert torch.equal(tile[..., r:-r, r:-r], whole[part][..., r:-r, r:-r])


# ---------------------------------------------------------------- P7.2 to P7.5


def constant(x: float, y: float, height: int = 10, width: int = 12) -> Any:
    return torch.tensor([x, y], dtype=torch.float64).view(1, 2, 1, 1).repeat(1, 1, height, width)


@pytest.mark.parametrize(("x", "y"), [(1.25, -0.5), (-4.75, 4.5), (3.0, 0.0)])
def test_p7_2_bilinear_filters_are_warps(place: Any, x: float, y: float) -> None:
    image = draw(1, 3, 16, 18)
    filters = place.put(bilinear(x, y, 11, (16, 18)))
    flow = mrf.expected_flow(filters)
    close(flow.cpu(), constant(x, y, 16, 18))
    warped = mrf.warp(place.put(image), flow).cpu()
    filtered = mrf.filter_flow(place.put(image), filters).cpu()
    close(warped, filtered)  # also at the border: what is outside is zero in both


def test_p7_3_charbonnier() -> None:
    s = torch.tensor([-2.0, -1e-3, 0.0, 5e-4, 3.0], dtype=torch.float64, requires_grad=True)
    value = mrf.charbonnier(s, reduction="none")
    assert float(value[2].detach()) == 1e-3
    close(value, (s**2 + 1e-6).sqrt())
    (slope,) = torch.autograd.grad(value.sum(), s)
    close(slope, s / (s**2 + 1e-6).sqrt())
    close(mrf.charbonnier(s, 0.5), (s**2 + 0.25).sqrt().mean())
    close(mrf.charbonnier(s, 0.5, reduction="sum"), (s**2 + 0.25).sqrt().sum())
    assert torch.autograd.gradgradcheck(lambda s: mrf.charbonnier(s, 0.3), s)


def test_p7_4_constant_flows(place: Any) -> None:
    there, back = place.put(constant(1.25, -0.5)), place.put(constant(-1.25, 0.5))
    for border in (0, 2):
        loss = mrf.flow_consistency(there, back, border=border)
        assert float(loss) == pytest.approx(1e-3, rel=1e-12)
    assert mrf.flow_consistency(there, there) > 1
    assert mrf.flow_smoothness(there) == 0
    assert mrf.flow_smoothness(place.put(constant(1.0, 2.0, 1, 1))) == 0
    other = place.put(constant(1.75, 4.5))
    off = mrf.flow_consistency(there, other, epsilon=0.5, border=2, reduction="none").cpu()
    assert off.shape == (1, 6, 8)
    close(off, torch.full_like(off, (9 + 16 + 0.25) ** 0.5))


def test_p7_4_smoothness_is_the_mean_of_differences() -> None:
    flow = draw(2, 2, 4, 5).requires_grad_()
    field = flow.detach().numpy()
    steps = [np.abs(np.diff(field, axis=axis)).ravel() for axis in (2, 3)]
    close(mrf.flow_smoothness(flow).item(), float(np.concatenate(steps).mean()))
    close(mrf.flow_smoothness(flow, reduction="sum").item(), float(np.concatenate(steps).sum()))
    assert torch.autograd.gradcheck(mrf.flow_smoothness, flow)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_p7_5_constant_levels_add_up(place: Any, mode: str) -> None:
    a, b = constant(1.5, -1.0, 5, 6), constant(0.25, 2.0)
    total = mrf.compose_flows([place.put(b), place.put(a)], [1, 2], mode).cpu()
    close(total, 2 * constant(1.5, -1.0) + b)


def test_p7_5_composition_beats_the_sum(place: Any) -> None:
    y, x = torch.meshgrid(*[torch.arange(32, dtype=torch.float64) - 15.5] * 2, indexing="ij")
    p = torch.stack([x, y])
    for angle, stretch in itertools.product((0.1, 0.3), (0.95, 1.05)):
        turn = stretch * torch.tensor(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        once = (torch.einsum("ij,jyx->iyx", turn, p) - p)[None]
        twice = (torch.einsum("ij,jyx->iyx", turn @ turn, p) - p)[None]
        found = mrf.compose_flows([place.put(once), place.put(once)]).cpu()
        inside = (..., slice(9, 23), slice(9, 23))
        error, of_sum = ((f - twice)[inside].abs().max() for f in (found, 2 * once))
        assert error < 1e-12
        assert of_sum > 0.05


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mrf.charbonnier([1.0]), TypeError, "residual: expected a tensor, got list"),
        (lambda: mrf.charbonnier(torch.ones(1).long()), TypeError, "residual: .*torch.int64"),
        (lambda: mrf.charbonnier(torch.ones(1), 0), ValueError, "epsilon: .* > 0, got 0"),
        (lambda: mrf.charbonnier(torch.ones(1), reduction="l1"), ValueError, "reduction: .*'l1'"),
        (lambda: mrf.flow_smoothness(None), TypeError, "flow: expected a tensor, got NoneType"),
        (
            lambda: mrf.flow_smoothness(torch.ones(1, 3, 4, 5)),
            ValueError,
            r"flow: expected \[B, 2, H, W\], got shape \[1, 3, 4, 5\]",
        ),
        (lambda: mrf.flow_smoothness(torch.ones(1, 2, 4, 0)), ValueError, "flow: .*4, 0"),
        (
            lambda: mrf.flow_smoothness(torch.ones(1, 2, 4, 5).int()),
            TypeError,
            "flow: .*torch.int32",
        ),
        (
            lambda: mrf.flow_smoothness(torch.ones(1, 2, 4, 5), reduction="none"),
            ValueError,
            "reduction: expected one of 'mean', 'sum', got 'none'",
        ),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
