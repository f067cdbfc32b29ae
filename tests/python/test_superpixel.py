# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling, unpooling and logit consistency against dense matrices, and their rules."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import _core  # noqa: E402
from mrfcore.nn.functional import (  # noqa: E402
    logit_consistency,
    superpixel_pool,
    superpixel_unpool,
)
from mrfcore.ops import superpixel_reference as reference  # noqa: E402
from mrfcore.ops._superpixel_library import (  # noqa: E402
    consistency_op,
    maximum_op,
    pool_op,
    unpool_op,
)

REDUCTIONS = ["mean", "sum", "max"]
SIZES = [(1, 1), (1, 40), (40, 1), (7, 9), (32, 66)]  # the reference is dense


def blocks(batch: int, height: int, width: int, side: int, seed: int = 0) -> Any:
    """Squares with ragged borders, another start in every image; some ids stay empty."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(height).view(1, -1, 1) + torch.randint(0, 3, (batch, 1, width), generator=draw)
    x = torch.arange(width).view(1, 1, -1) + torch.randint(0, 3, (batch, height, 1), generator=draw)
    across = (width + 2) // side + 1
    return y // side * across + x // side


def noise(batch: int, height: int, width: int, num: int, seed: int = 0) -> Any:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, num, (batch, height, width), generator=draw)


def maps(height: int, width: int) -> dict[str, Any]:
    """Long runs (interleaved sums), short ones, one superpixel, one a pixel."""
    pixels = height * width
    found = {
        "blocks": blocks(2, height, width, 16),
        "small": blocks(2, height, width, 3),
        "noise": noise(2, height, width, max(1, pixels // 9)),
        "one": torch.zeros(2, height, width, dtype=torch.int64),
    }
    if pixels < 500:
        found["unique"] = torch.stack(
            [torch.randperm(pixels).view(height, width) for _ in range(2)]
        )
    return found


def values(*shape: int, dtype: Any = None, seed: int = 1) -> Any:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=dtype or torch.float64)


def tolerances(dtype: Any) -> dict[str, float]:
    # Single precision against a reference in double: sums of 2000 normal numbers at most.
    limit = 5e-5 if dtype == torch.float32 else 1e-12
    return {"rtol": limit, "atol": limit}


# ---------------------------------------------------------------- the reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_pool(reduce: str, size: tuple[int, int], dtype: Any) -> None:
    for name, ids in maps(*size).items():
        num = int(ids.max()) + 3  # some are empty
        for channels in (1, 3, 4, 9):
            x = values(2, channels, *size, dtype=dtype).requires_grad_()
            got = superpixel_pool(x, ids, num, reduce)
            want = reference.superpixel_pool(x.double(), ids, num, reduce)
            torch.testing.assert_close(got.double(), want, msg=name, **tolerances(dtype))
            probe = values(*got.shape, dtype=dtype, seed=2)
            torch.testing.assert_close(
                torch.autograd.grad(got, x, probe)[0],
                torch.autograd.grad(want, x, probe.double())[0],
                **tolerances(dtype),
            )


@pytest.mark.parametrize("id_type", [torch.int32, torch.int64])
@pytest.mark.parametrize("size", SIZES)
def test_unpool(size: tuple[int, int], id_type: Any) -> None:
    for ids in maps(*size).values():
        z = values(2, 5, int(ids.max()) + 2).requires_grad_()
        got = superpixel_unpool(z, ids.to(id_type))
        want = reference.superpixel_unpool(z, ids)
        assert torch.equal(got, want)
        probe = values(*got.shape, seed=2)
        torch.testing.assert_close(
            torch.autograd.grad(got, z, probe)[0], torch.autograd.grad(want, z, probe)[0]
        )


@pytest.mark.parametrize("empty", ["keep", "zero"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_consistency(size: tuple[int, int], masked: bool, empty: str) -> None:
    for ids in maps(*size).values():
        valid = None
        if masked:
            valid = noise(2, *size, 3).bool() & (ids % 4 != 0)  # whole superpixels without one
        x = values(2, 6, *size).requires_grad_()
        got = logit_consistency(x, ids, valid, empty=empty)
        want = reference.logit_consistency(x, ids, valid, empty)
        torch.testing.assert_close(got, want)
        probe = values(*got.shape, seed=2)
        torch.testing.assert_close(
            torch.autograd.grad(got, x, probe)[0], torch.autograd.grad(want, x, probe)[0]
        )


# ---------------------------------------------------------------- independent checks


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_gradcheck_pool(reduce: str) -> None:
    ids = blocks(2, 6, 7, 3)
    x = values(2, 2, 6, 7).requires_grad_()

    def pool(x: Any) -> Any:
        return superpixel_pool(x, ids, 20, reduce)

    assert torch.autograd.gradcheck(pool, x)
    assert torch.autograd.gradgradcheck(pool, x)


def test_gradcheck_unpool_and_consistency() -> None:
    ids = blocks(2, 6, 7, 3)
    z = values(2, 2, 20).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: superpixel_unpool(z, ids), z)
    assert torch.autograd.gradgradcheck(lambda z: superpixel_unpool(z, ids), z)
    x = values(2, 2, 6, 7).requires_grad_()
    valid = noise(2, 6, 7, 2).bool()
    for mask in (None, valid):
        assert torch.autograd.gradcheck(lambda x, m=mask: logit_consistency(x, ids, m), x)
        assert torch.autograd.gradgradcheck(lambda x, m=mask: logit_consistency(x, ids, m), x)


def test_limits() -> None:
    x = values(2, 3, 8, 9)
    one, unique = maps(8, 9)["one"], maps(8, 9)["unique"]
    assert torch.equal(logit_consistency(x, unique), x)
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(logit_consistency(x, one), mean)
    assert superpixel_pool(x, unique).shape == (2, 3, 72)  # num from the ids


@pytest.mark.parametrize("id_type", [torch.uint8, torch.int8, torch.int16])
def test_narrow_ids(id_type: Any) -> None:
    ids = noise(2, 9, 11, 100)
    x, z, narrow = values(2, 3, 9, 11), values(2, 3, 100), ids.to(id_type)
    assert torch.equal(superpixel_pool(x, narrow), superpixel_pool(x, ids))
    assert torch.equal(superpixel_unpool(z, narrow), superpixel_unpool(z, ids))
    assert torch.equal(logit_consistency(x, narrow), logit_consistency(x, ids))


def test_a_tie_of_maxima_goes_to_the_first_pixel() -> None:
    x = torch.zeros(1, 1, 40, 50).requires_grad_()
    ids = torch.ones(1, 40, 50, dtype=torch.int64)
    superpixel_pool(x, ids, 2, "max").sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 0, 0] == 1
    assert x.grad.sum() == 1


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("side", [3, 16])
def test_nan_spreads_to_its_superpixel_only(side: int, reduce: str) -> None:
    ids = blocks(1, 40, 50, side)
    x = values(1, 1, 40, 50)
    for y, column in ((0, 0), (17, 21), (39, 49)):
        bad = x.clone()
        bad[0, 0, y, column] = torch.nan
        z = superpixel_pool(bad, ids, reduce=reduce)
        assert z[0, 0].isnan().nonzero().flatten().tolist() == [int(ids[0, y, column])]


def test_rounding_of_large_superpixels() -> None:
    x = values(1, 2, 512, 512, dtype=torch.float32) + 100
    ids = torch.zeros(1, 512, 512, dtype=torch.int64)
    want = x.double().mean((2, 3))
    assert float((superpixel_pool(x, ids)[:, :, 0] - want).abs().max()) < 1e-4


SCRIPT = """
import sys, hashlib, torch
sys.path.insert(0, sys.argv[1])
from test_superpixel import blocks, noise, values
from mrfcore.nn.functional import logit_consistency, superpixel_pool
digest = hashlib.sha256()
for dtype in (torch.float32, torch.float64):
    x = values(2, 7, 61, 83, dtype=dtype)
    for ids in (blocks(2, 61, 83, 16), blocks(2, 61, 83, 3), noise(2, 61, 83, 50)):
        for threads in (1, 2, 5):
            parts = [superpixel_pool(x, ids, 900, r, threads=threads) for r in ("mean", "max")]
            parts.append(logit_consistency(x, ids, threads=threads))
            own = [p.numpy().tobytes() for p in parts]
            if threads == 1:
                first = own
                digest.update(b"".join(own))
            assert own == first, threads
print(digest.hexdigest())
"""


def test_same_bits_for_all_instruction_sets_and_threads() -> None:
    names = ["baseline", "avx2", "avx512"]
    best = names.index(_core.cpu_isa())
    digests = set()
    for isa in names[: best + 1]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)],  # noqa: PTH120
            env={**os.environ, "MRFCORE_CPU_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


# ---------------------------------------------------------------- torch


def test_opcheck() -> None:
    ids = blocks(2, 9, 11, 4)
    x = values(2, 3, 9, 11, dtype=torch.float32)
    z = values(2, 3, 40, dtype=torch.float32)
    valid = noise(2, 9, 11, 2).bool()
    torch.library.opcheck(pool_op, (x, ids, 40, True, 0))
    torch.library.opcheck(maximum_op, (x, ids, 40, 0))
    torch.library.opcheck(unpool_op, (z, ids, True, 0))
    torch.library.opcheck(consistency_op, (x, ids, valid, True, False, 0))
    torch.library.opcheck(consistency_op, (x, ids, None, False, True, 0))


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_compiled(reduce: str) -> None:
    torch._dynamo.reset()

    def f(x: Any, ids: Any) -> Any:
        z = superpixel_pool(2 * x, ids, 60, reduce)
        return superpixel_unpool(z.sin(), ids) + logit_consistency(x, ids)

    ids = blocks(2, 20, 24, 5)
    x = values(2, 3, 20, 24, dtype=torch.float32).requires_grad_()
    got, want = torch.compile(f, fullgraph=True, backend="aot_eager")(x, ids), f(x, ids)
    torch.testing.assert_close(got, want)
    probe = values(*got.shape, dtype=torch.float32, seed=4)
    torch.testing.assert_close(
        torch.autograd.grad(got, x, probe), torch.autograd.grad(want, x, probe)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_single(dtype: Any) -> None:
    ids = blocks(1, 40, 40, 16)
    x = (values(1, 3, 40, 40) + 50).to(dtype).requires_grad_()
    y = logit_consistency(x, ids)
    assert y.dtype == dtype
    torch.testing.assert_close(y, logit_consistency(x.float(), ids).to(dtype), rtol=0, atol=0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_autocast() -> None:
    conv = torch.nn.Conv2d(3, 4, 1)
    ids = blocks(1, 12, 12, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = logit_consistency(conv(torch.ones(1, 3, 12, 12)), ids).float().square().sum()
    loss.backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.isfinite().all()


def test_strided_inputs() -> None:
    ids = blocks(2, 20, 30, 8)
    x = values(2, 4, 20, 30, dtype=torch.float32)
    last = x.to(memory_format=torch.channels_last)
    assert torch.equal(logit_consistency(last, ids), logit_consistency(x, ids))
    turned = ids.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(superpixel_pool(x, turned), superpixel_pool(x, ids))


def test_too_many_superpixels_for_the_memory_there_is() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    program = """
import resource, torch
from mrfcore.nn.functional import superpixel_pool
x, ids = torch.ones(2, 1, 2, 2), torch.zeros(2, 2, 2, dtype=torch.int64)
superpixel_pool(x, ids, 4, threads=2)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 1_700_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    superpixel_pool(x, ids, 2**26, threads=2)  # the result and counts fit, partial sums do not
except MemoryError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


# ---------------------------------------------------------------- bad input

X, IDS = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: superpixel_pool(X.int(), IDS), TypeError, "x: expected float16"),
        (lambda: superpixel_pool(X.numpy(), IDS), TypeError, "x: expected a tensor"),
        (lambda: superpixel_pool(X[0], IDS), ValueError, r"x: expected \[B, C, H, W\]"),
        (lambda: superpixel_pool(X[:, :0], IDS), ValueError, "all sizes at least 1"),
        (lambda: superpixel_pool(X, IDS.float()), TypeError, "ids: expected int32 or int64"),
        (lambda: superpixel_pool(X, IDS[:, :2]), ValueError, r"ids: expected shape \[2, 4, 5\]"),
        (lambda: superpixel_pool(X, IDS[:1]), ValueError, r"ids: expected shape \[2, 4, 5\]"),
        (lambda: superpixel_pool(X, IDS, 0), ValueError, "num: expected a number >= 1"),
        (lambda: superpixel_pool(X, IDS, 1.5), TypeError, "num: expected an integer"),
        (
            lambda: superpixel_pool(X, IDS + 4, 4),
            ValueError,
            r"ids: 4 is there, expected 0\.\.3 \(num, .*, must be at least 5\)",
        ),
        (
            lambda: superpixel_pool(X, IDS - 7, 4),
            ValueError,
            r"ids: -7 is there, expected 0\.\.3 \(negative ids: relabel",
        ),
        (lambda: superpixel_pool(X, IDS + 20, 4), ValueError, r"0\.\.3 \(ids that are sparse: re"),
        (lambda: superpixel_pool(X, IDS.bool(), 4), TypeError, "ids: expected int32 or int64"),
        (
            lambda: logit_consistency(X[:1], IDS[0].numpy()),
            TypeError,
            r"ids: .* got ndarray; pass torch\.from_numpy\(ids\)\[None\]$",
        ),
        (
            lambda: superpixel_unpool(X[..., 0], IDS.numpy()),
            TypeError,
            r"got ndarray; pass torch\.from_numpy\(ids\)$",
        ),
        (
            lambda: superpixel_pool(X, IDS - 1),
            ValueError,
            r"ids: -1 is there, expected 0\.\.1048575",
        ),
        (lambda: superpixel_pool(X, IDS + 2**20), ValueError, "ids: 1048576 is there, .*relabel"),
        (lambda: superpixel_pool(X, IDS + (2**63 - 1)), ValueError, "ids: 922.*807 is there"),
        (lambda: superpixel_pool(X, IDS, reduce="min"), ValueError, "reduce: expected one of"),
        (lambda: superpixel_pool(X, IDS, threads=0), ValueError, "threads: expected None"),
        (lambda: superpixel_unpool(X, IDS), ValueError, r"z: expected \[B, C, S\]"),
        (lambda: superpixel_unpool(X[..., 0], IDS + 4), ValueError, "ids: 4 is there"),
        (lambda: superpixel_unpool(X[..., 0], IDS[:1]), ValueError, r"shape \[2, 'H', 'W'\]"),
        (lambda: logit_consistency(X, IDS - 1), ValueError, "ids: -1 is there"),
        (lambda: logit_consistency(X, IDS + 2**40), ValueError, "relabel"),
        (lambda: logit_consistency(X, IDS, IDS), TypeError, "valid: expected a bool"),
        (lambda: logit_consistency(X, IDS, IDS[:1].bool()), ValueError, "valid: expected shape"),
        (lambda: logit_consistency(X, IDS, empty="no"), ValueError, "empty: expected one of"),
        (
            lambda: logit_consistency(X.to("meta"), IDS),
            TypeError,
            "x: expected a tensor on the CPU",
        ),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
