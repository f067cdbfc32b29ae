# SPDX-License-Identifier: Apache-2.0
"""Soft superpixels against plain torch, and their rules."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import _core  # noqa: E402
from mrfcore.nn.functional import (  # noqa: E402
    soft_superpixel_pool,
    soft_superpixel_unpool,
    superpixel_ids,
)
from mrfcore.ops import soft_superpixel_reference as reference  # noqa: E402

SHAPES = [
    (2, 5, 32, 48, 16),
    (1, 4, 37, 51, 16),
    (2, 1, 5, 7, 2),
    (1, 9, 1, 1, 3),
    (1, 3, 6, 40, 9),
]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def values(*shape: int, dtype: Any = None, seed: int = 1) -> Any:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=dtype or torch.float64)


def case(shape: tuple[int, ...], dtype: Any = None) -> tuple[Any, Any, Any, int]:
    """x, q, z and the side of cells."""
    batch, channels, height, width, cell = shape
    cells = -(-height // cell) * -(-width // cell)
    x = values(batch, channels, height, width, dtype=dtype).requires_grad_()
    q = values(batch, 9, height, width, dtype=dtype, seed=2).softmax(1).detach().requires_grad_()
    z = values(batch, channels, cells, dtype=dtype, seed=3).requires_grad_()
    return x, q, z, cell


def compare(got: Any, want: Any, inputs: list[Any], dtype: Any) -> None:
    limit = 2e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(got, want, rtol=limit, atol=limit)
    probe = values(*got.shape, dtype=dtype, seed=4)
    mine, theirs = (torch.autograd.grad(y, inputs, probe) for y in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=limit, atol=limit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@shapes
def test_pool(shape: tuple[int, ...], dtype: Any) -> None:
    x, q, _, cell = case(shape, dtype)
    compare(
        soft_superpixel_pool(x, q, cell), reference.soft_superpixel_pool(x, q, cell), [x, q], dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@shapes
def test_unpool(shape: tuple[int, ...], dtype: Any) -> None:
    _, q, z, cell = case(shape, dtype)
    compare(
        soft_superpixel_unpool(z, q, cell),
        reference.soft_superpixel_unpool(z, q, cell),
        [z, q],
        dtype,
    )


def test_gradcheck() -> None:
    x, q, z, cell = case((2, 2, 5, 7, 3))
    for f, inputs in ((soft_superpixel_pool, (x, q)), (soft_superpixel_unpool, (z, q))):
        assert torch.autograd.gradcheck(lambda a, b, f=f: f(a, b, cell), inputs)
        assert torch.autograd.gradgradcheck(lambda a, b, f=f: f(a, b, cell), inputs)


def test_any_subset_of_gradients() -> None:
    x, q, _, cell = case((1, 2, 6, 8, 4))
    both = torch.autograd.grad(soft_superpixel_pool(x, q, cell).square().sum(), [x, q])
    for i in range(2):
        inputs = [t.detach().clone().requires_grad_(k == i) for k, t in enumerate((x, q))]
        soft_superpixel_pool(*inputs, cell).square().sum().backward()
        torch.testing.assert_close(inputs[i].grad, both[i], rtol=0, atol=0)
        assert inputs[1 - i].grad is None


def test_ids_of_slots_outside_are_clamped_and_the_lowest_slot_wins() -> None:
    q = torch.zeros(1, 9, 4, 6)
    assert torch.equal(superpixel_ids(q, 2)[0, 3], torch.tensor([0, 0, 0, 0, 1, 1]))
    q[:, 8] = 1
    assert torch.equal(superpixel_ids(q, 2)[0, 0], torch.tensor([4, 4, 5, 5, 5, 5]))


SCRIPT = """
import sys, hashlib, torch
sys.path.insert(0, sys.argv[1])
from test_soft_superpixel import SHAPES, case
from mrfcore.ops._soft_superpixel_library import soft_pool_op, soft_product_op, soft_unpool_op
digest = hashlib.sha256()
for dtype in (torch.float32, torch.float64):
    for shape in SHAPES:
        *tensors, cell = case(shape, dtype)
        x, q, z = (t.detach() for t in tensors)
        runs = [
            b"".join(
                y.numpy().tobytes()
                for y in (
                    soft_pool_op(q, x, cell, threads),
                    soft_unpool_op(q, z, cell, threads),
                    soft_product_op(x, z, cell, threads),
                )
            )
            for threads in (1, 2, 5)
        ]
        assert runs[0] == runs[1] == runs[2]
        digest.update(runs[0])
print(digest.hexdigest())
"""


def test_same_bits_for_all_instruction_sets_and_threads() -> None:
    names = ["baseline", "avx2", "avx512"]
    digests = set()
    for isa in names[: names.index(_core.cpu_isa()) + 1]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)],  # noqa: PTH120
            env={**os.environ, "MRFCORE_CPU_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_opcheck() -> None:
    *tensors, cell = case((2, 3, 9, 11, 4), torch.float32)
    x, q, z = (t.detach() for t in tensors)
    ops = torch.ops.mrfcore
    torch.library.opcheck(ops.soft_superpixel_pool.default, (q, x, cell, 0))
    torch.library.opcheck(ops.soft_superpixel_unpool.default, (q, z, cell, 0))
    torch.library.opcheck(ops.soft_superpixel_product.default, (x, z, cell, 0))


def test_compiled() -> None:
    torch._dynamo.reset()

    def f(x: Any, logits: Any) -> Any:
        q = logits.softmax(1)
        return soft_superpixel_unpool(soft_superpixel_pool(x, q, 5), q, 5)

    x, logits = values(1, 3, 12, 16).requires_grad_(), values(1, 9, 12, 16).requires_grad_()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    compare(compiled(x, logits), f(x, logits), [x, logits], torch.float64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(dtype: Any) -> None:
    x, q, _, cell = case((1, 3, 20, 24, 8), torch.float32)
    u = soft_superpixel_pool(x.to(dtype), q.to(dtype), cell)
    assert u.dtype == dtype
    want = soft_superpixel_pool(x.to(dtype).float(), q.to(dtype).float(), cell).to(dtype)
    assert torch.equal(u, want)


X, Q, Z = torch.zeros(2, 3, 4, 5), torch.zeros(2, 9, 4, 5), torch.zeros(2, 3, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: soft_superpixel_pool(X[0], Q), ValueError, r"x: expected \[B, C, H, W\]"),
        (
            lambda: soft_superpixel_pool(X, Q[:, :8]),
            ValueError,
            r"q: expected shape \[2, 9, 4, 5\]",
        ),
        (lambda: soft_superpixel_pool(X, Q[:1]), ValueError, r"q: expected shape \[2, 9, 4, 5\]"),
        (lambda: soft_superpixel_pool(X, Q.double()), TypeError, "q: expected dtype torch.float32"),
        (lambda: soft_superpixel_pool(X, None), TypeError, "q: expected a tensor"),
        (lambda: soft_superpixel_pool(X, Q, 0), ValueError, "cell: expected a number >= 1"),
        (lambda: soft_superpixel_pool(X, Q, eps=-1), ValueError, "eps: expected a number >= 0"),
        (
            lambda: soft_superpixel_unpool(Z, Q, 2),
            ValueError,
            "z: expected 2 x 3 cells of 2 pixels",
        ),
        (lambda: soft_superpixel_unpool(X, Q), ValueError, r"z: expected \[B, C, S\]"),
        (
            lambda: soft_superpixel_unpool(Z, Q.to("meta")),
            TypeError,
            "q: expected a tensor on the CPU",
        ),
        (lambda: superpixel_ids(X), ValueError, r"q: expected \[B, 9, H, W\]"),
        (lambda: superpixel_ids(3), TypeError, "q: expected a tensor"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
