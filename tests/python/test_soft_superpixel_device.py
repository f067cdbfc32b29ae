# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels on a GPU against the CPU: on a GPU where there is one, else in the emulator."""

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

from test_superpixel import values  # noqa: E402 isort: skip
from test_superpixel_device import both  # noqa: E402 isort: skip

SOFT = [(1, 1, 1, 16), (20, 35, 3, 16), (33, 18, 21, 10), (9, 40, 64, 8), (5, 7, 2, 1)]


@pytest.mark.parametrize("border", ["zero", "renorm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SOFT)
def test_soft(device: Any, shape: Any, dtype: Any, border: str) -> None:
    height, width, channels, cell = shape
    x = values(2, channels, height, width, dtype=dtype)
    q = values(2, 9, height, width, dtype=dtype, seed=2).softmax(1)
    cells = -(-height // cell) * -(-width // cell)
    z = values(2, channels, cells, dtype=dtype, seed=3)
    both(device, lambda x, q: soft_superpixel_pool(x, q, cell, border=border), [x, q], exact=True)
    both(device, lambda z, q: soft_superpixel_unpool(z, q, cell, border=border), [z, q], exact=True)


@pytest.mark.parametrize("distance", ["cross_entropy", "l2"])
def test_loss(device: Any, distance: str) -> None:
    features = values(2, 4, 12, 20).softmax(1)
    q = values(2, 9, 12, 20, seed=2).softmax(1)
    both(
        device,
        lambda f, q: superpixel_loss(f, q, 5, distance=distance, reduction="none"),
        [features, q],
    )


def test_gradcheck(device: Any) -> None:
    x, q = values(2, 1, 3, 4), values(2, 9, 3, 4, seed=2).softmax(1)
    with device.active():
        x, q = device.put(x).requires_grad_(), device.put(q).requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x, q: soft_superpixel_pool(x, q, 2), (x, q))


def test_batches_in_parts(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mrfcore import _device

    x, q = values(5, 3, 12, 20), values(5, 9, 12, 20, seed=2).softmax(1)
    monkeypatch.setattr(_device, "_CHUNK_BYTES", 1)  # one image after the other
    both(device, lambda x, q: soft_superpixel_pool(x, q, 5), [x, q], exact=True)


def test_opcheck(device: Any) -> None:
    x, q, z = (values(2, c, 9, 11, dtype=torch.float32) for c in (3, 9, 3))
    z = z[:, :, 0, :9]
    with device.active():
        x, q, z = (device.put(t) for t in (x, q, z))
        torch.library.opcheck(torch.ops.mrfcore.soft_superpixel_pool, (q, x, 4, 0))
        torch.library.opcheck(torch.ops.mrfcore.soft_superpixel_unpool, (q, z, 4, 0))
        torch.library.opcheck(torch.ops.mrfcore.soft_superpixel_product, (x, z, 4, 0))


def test_compiled(device: Any) -> None:
    torch._dynamo.reset()
    x, q = values(2, 3, 12, 20), values(2, 9, 12, 20, seed=2)

    def f(x: Any, q: Any) -> Any:
        q = q.softmax(1)
        return soft_superpixel_unpool(soft_superpixel_pool(x, q, 5), q, 5)

    both(device, torch.compile(f, fullgraph=True, backend="aot_eager"), [x, q])


def test_ids(device: Any) -> None:
    q = values(2, 9, 20, 30).softmax(1)
    assert torch.equal(superpixel_ids(device.put(q), 4).cpu(), superpixel_ids(q, 4))


X, Q, Z = torch.zeros(2, 3, 4, 5), torch.zeros(2, 9, 4, 5), torch.zeros(2, 3, 1)

BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "q": (lambda put: soft_superpixel_pool(put(X), put(Q[:, :8])), ValueError, "q: expected shape"),
    "type": (lambda put: soft_superpixel_pool(put(X), put(Q.double())), TypeError, "q: expected d"),
    "cells": (lambda put: soft_superpixel_unpool(put(Z), put(Q), 2), ValueError, "2 x 3 cells"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(device: Any, bad: str) -> None:
    call, error, message = BAD[bad]
    with device.active(), pytest.raises(error, match=message):
        call(device.put)


def test_on_a_gpu_only(device: Any) -> None:
    """Two devices are refused by name; graphs replay."""
    if device.type != "cuda":
        pytest.skip("needs a GPU")
    with pytest.raises(TypeError, match="q: expected a tensor on cuda"):
        soft_superpixel_pool(X.cuda(), Q)
    x, q = values(2, 3, 30, 47).cuda(), values(2, 9, 30, 47).softmax(1).cuda()
    soft_superpixel_unpool(soft_superpixel_pool(x, q), q)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = soft_superpixel_unpool(soft_superpixel_pool(x, q), q)
    x.mul_(2)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, soft_superpixel_unpool(soft_superpixel_pool(x, q), q))
