# SPDX-License-Identifier: Apache-2.0
"""Flows in 16 bits: places in an image need more digits than a flow has."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from mrfcore.nn import functional as mrf  # noqa: E402

halves = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


def flow(dtype: Any, seed: int, size: float = 2.0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return (size * torch.randn(1, 2, 4, 600, generator=generator)).to(dtype)


@halves
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_composed_flows_of_a_wide_image(dtype: Any, mode: str) -> None:
    flows = [flow(dtype, 0), flow(dtype, 1)]
    found = mrf.compose_flows(flows, mode=mode)
    wanted = mrf.compose_flows([f.float() for f in flows], mode=mode)
    assert found.dtype == dtype
    assert torch.equal(found, wanted.to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mrf.compose_flows(flows, mode=mode), wanted)


def test_composed_flows_of_several_types() -> None:
    coarse, fine = flow(torch.float64, 0), flow(torch.bfloat16, 1)
    found = mrf.compose_flows([fine, coarse])
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, mrf.compose_flows([fine.double(), coarse]).bfloat16())


@halves
def test_consistency(dtype: Any) -> None:
    there, back = flow(dtype, 0, 50.0), flow(dtype, 1, 50.0)
    found = mrf.flow_consistency(there, back)
    wanted = mrf.flow_consistency(there.float(), back.float())
    assert found.dtype == dtype
    assert torch.equal(found, wanted.to(dtype))
    # |r|^2 does not fit float16.
    far = torch.full((1, 2, 2, 2), 300.0, dtype=dtype)
    assert mrf.flow_consistency(far, far).item() == pytest.approx(600 * 2**0.5, rel=4e-3)


@halves
def test_charbonnier(dtype: Any) -> None:
    residual = torch.tensor([300.0, -255.0, 0.0], dtype=dtype, requires_grad=True)
    loss = mrf.charbonnier(residual, 1e-4, reduction="none")
    assert loss.dtype == dtype
    torch.testing.assert_close(loss.detach().float(), torch.tensor([300.0, 255.0, 1e-4]), rtol=4e-3,
                               atol=0)  # fmt: skip
    (gradient,) = torch.autograd.grad(loss.sum(), residual)
    assert torch.equal(gradient, torch.tensor([1.0, -1.0, 0.0], dtype=dtype))


@halves
def test_smoothness(dtype: Any) -> None:
    big = torch.cat([flow(dtype, n) for n in range(40)], 2)
    found = mrf.flow_smoothness(big)
    assert found.dtype == dtype
    assert torch.equal(found, mrf.flow_smoothness(big.float()).to(dtype))
