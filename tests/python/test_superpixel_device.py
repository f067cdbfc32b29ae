# SPDX-License-Identifier: Apache-2.0
"""Superpixels on a GPU against the CPU: on a GPU where there is one, else in the emulator."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import (  # noqa: E402
    logit_consistency,
    superpixel_adjacency,
    superpixel_boundaries,
    superpixel_pool,
    superpixel_relabel,
    superpixel_unpool,
)
from mrfcore.ops import _superpixel_library as library  # noqa: E402

from test_superpixel import blocks, noise, values  # noqa: E402 isort: skip

REDUCTIONS = ["mean", "sum", "max"]
# Sizes, channels, superpixels: more than a piece of 2048 pixels, runs of one pixel, empty ones.
SHAPES = [(1, 1, 1, 1), (33, 65, 3, 1), (30, 47, 21, 40), (7, 70, 64, 12), (9, 31, 2, 1000)]


def case(shape: tuple[int, int, int, int], dtype: Any, id_type: Any = torch.int64) -> Any:
    """Two images with other maps: one of squares, one of noise."""
    height, width, channels, num = shape
    ids = torch.cat([blocks(1, height, width, 9) % num, noise(1, height, width, num)])
    return values(2, channels, height, width, dtype=dtype), ids.to(id_type), num


def close(found: Any, expected: Any) -> None:
    limit = 2e-4 if expected.dtype == torch.float32 else 1e-11
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found.cpu(), expected, rtol=limit, atol=limit)


def both(device: Any, function: Any, tensors: list[Any], exact: bool = False) -> Any:
    """Results and first gradients of `function` on the CPU and on the device agree."""
    host = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in tensors]
    expected = function(*host)
    probe = values(*expected.shape, dtype=expected.dtype, seed=4)
    inputs = [t for t in host if t.requires_grad]
    expected_grads = torch.autograd.grad(expected, inputs, probe)
    with device.active():
        placed = [device.put(t).requires_grad_(t.is_floating_point()) for t in tensors]
        found = function(*placed)
        assert found.device.type == device.type
        inputs = [t for t in placed if t.requires_grad]
        found_grads = torch.autograd.grad(found, inputs, device.put(probe))
    if exact:
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)
    close(found.detach(), expected.detach())
    for mine, theirs in zip(found_grads, expected_grads, strict=True):
        close(mine, theirs)
    return found.detach().cpu()


# ---------------------------------------------------------------- against the CPU


@pytest.mark.parametrize("id_type", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_pool(device: Any, shape: Any, dtype: Any, id_type: Any) -> None:
    x, ids, num = case(shape, dtype, id_type)
    for reduce in REDUCTIONS:
        both(device, lambda x, i, r=reduce: superpixel_pool(x, i, num, r), [x, ids])


@pytest.mark.parametrize("id_type", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_unpool(device: Any, shape: Any, dtype: Any, id_type: Any) -> None:
    _, ids, num = case(shape, dtype, id_type)
    z = values(2, shape[2], num, dtype=dtype, seed=3)
    both(device, superpixel_unpool, [z, ids], exact=True)


@pytest.mark.parametrize("empty", ["keep", "zero"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_consistency(device: Any, shape: Any, masked: bool, empty: str) -> None:
    x, ids, _ = case(shape, torch.float32 if masked else torch.float64)
    tensors = [x, ids]
    if masked:
        tensors.append(noise(2, *shape[:2], 3).bool() & (ids % 4 != 0))
    both(device, lambda *a: logit_consistency(*a, empty=empty), tensors)


def test_gradcheck(device: Any) -> None:
    x, ids, num = case((3, 4, 1, 4), torch.float64)
    z, valid = values(2, 1, 4, seed=3), noise(2, 3, 4, 2).bool()
    with device.active():
        x, ids, z, valid = (device.put(t) for t in (x, ids, z, valid))
        x, z = x.requires_grad_(), z.requires_grad_()
        for reduce in REDUCTIONS:
            assert torch.autograd.gradcheck(lambda x, r=reduce: superpixel_pool(x, ids, num, r), x)
        assert torch.autograd.gradgradcheck(lambda z: superpixel_unpool(z, ids), z)
        assert torch.autograd.gradgradcheck(lambda x: logit_consistency(x, ids, valid), x)


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_nan_spreads_to_its_superpixel_only(device: Any, reduce: str) -> None:
    ids, x = blocks(1, 60, 50, 16), values(1, 1, 60, 50)
    x[0, 0, 17, 21] = torch.nan
    with device.active():
        z = superpixel_pool(device.put(x), device.put(ids), reduce=reduce).cpu()
    assert z[0, 0].isnan().nonzero().flatten().tolist() == [int(ids[0, 17, 21])]


def test_ids_out_of_range_count_for_nothing(device: Any) -> None:
    x, ids, num = case((30, 47, 5, 20), torch.float64)
    outside = noise(2, 30, 47, 4) == 0
    bad = torch.where(outside, torch.tensor([-1, -(2**40), num, 2**40])[noise(2, 30, 47, 4)], ids)
    spare = torch.where(outside, num, ids)  # for the CPU: a superpixel that nobody looks at
    with device.active():
        placed = device.put(bad)
        for reduce in REDUCTIONS:
            found = superpixel_pool(device.put(x), placed, num, reduce)
            close(found, superpixel_pool(x, spare, num + 1, reduce)[:, :, :num])
        z = values(2, 5, num, seed=3)
        found = superpixel_unpool(device.put(z), placed)
        padded = torch.cat([z, torch.zeros(2, 5, 1, dtype=z.dtype)], 2)
        close(found, superpixel_unpool(padded, spare))
        far = torch.where(outside, -1, ids)
        found = logit_consistency(device.put(x), device.put(far)).cpu()
    expected = logit_consistency(x, spare)
    close(found, torch.where(outside[:, None], torch.zeros_like(x), expected))


def test_without_num_ids_are_looked_at(device: Any) -> None:
    x, ids, _ = case((8, 9, 2, 30), torch.float32)
    with device.active():
        found = superpixel_pool(device.put(x), device.put(ids))
        close(found, superpixel_pool(x, ids))
        with pytest.raises(ValueError, match="ids: -1 is there"):
            superpixel_pool(device.put(x), device.put(ids) - 1 - ids.min())


def test_same_bits_every_time_and_alone(device: Any) -> None:
    x, ids, num = case((64, 96, 5, 2), torch.float32)
    with device.active():
        x, ids = device.put(x), device.put(ids)
        first = superpixel_pool(x, ids, num)
        assert torch.equal(first, superpixel_pool(x, ids, num))
        assert torch.equal(first[1:], superpixel_pool(x[1:], ids[1:], num))
        y = logit_consistency(x, ids)
        assert torch.equal(y[:1], logit_consistency(x[:1], ids[:1]))
        for s in range(num):
            inside = y[1][:, ids[1] == s]
            assert torch.equal(inside, inside[:, :1].expand_as(inside))


def test_batches_in_parts(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mrfcore import _device

    x, ids, num = case((12, 20, 3, 6), torch.float32)
    x, ids = torch.cat([x, x + 1, x - 1])[:5], torch.cat([ids] * 3)[:5]
    valid = noise(5, 12, 20, 3).bool()
    monkeypatch.setattr(_device, "_CHUNK_BYTES", 1)  # one image after the other
    both(device, lambda x, i: superpixel_pool(x, i, num), [x, ids])
    both(device, logit_consistency, [x, ids, valid])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_single(device: Any, dtype: Any) -> None:
    x, ids, num = case((12, 20, 3, 6), torch.float32)
    x = (x + 50).to(dtype)
    with device.active():
        x, ids = device.put(x), device.put(ids)
        for function in (
            lambda x: superpixel_pool(x, ids, num),
            lambda x: logit_consistency(x, ids),
        ):
            y = function(x)
            assert y.dtype == dtype
            assert torch.equal(y, function(x.float()).to(dtype))


def test_strided_inputs(device: Any) -> None:
    x, ids, num = case((12, 20, 3, 6), torch.float32)
    with device.active():
        x, ids = device.put(x), device.put(ids)
        last = x.contiguous(memory_format=torch.channels_last)
        turned = ids.transpose(1, 2).contiguous().transpose(1, 2)
        assert torch.equal(superpixel_pool(last, turned, num), superpixel_pool(x, ids, num))
        assert torch.equal(logit_consistency(last, turned), logit_consistency(x, ids))


def test_opcheck(device: Any) -> None:
    x, ids, num = case((9, 11, 3, 12), torch.float32)
    z, valid = values(2, 3, num, dtype=torch.float32), noise(2, 9, 11, 2).bool()
    with device.active():
        x, ids, z, valid = (device.put(t) for t in (x, ids, z, valid))
        torch.library.opcheck(library.pool_op, (x, ids, num, True, 0))
        torch.library.opcheck(library.maximum_op, (x, ids, num, 0))
        torch.library.opcheck(library.unpool_op, (z, ids, True, 0))
        torch.library.opcheck(library.consistency_op, (x, ids, valid, True, False, 0))
        torch.library.opcheck(library.consistency_op, (x, ids, None, False, True, 0))


def test_compiled(device: Any) -> None:
    torch._dynamo.reset()
    x, ids, num = case((12, 20, 3, 6), torch.float32)

    def f(x: Any, ids: Any) -> Any:
        z = superpixel_pool(2 * x, ids, num, "max") + superpixel_pool(x, ids, num)
        return superpixel_unpool(z.sin(), ids) + logit_consistency(x, ids)

    both(device, torch.compile(f, fullgraph=True, backend="aot_eager"), [x, ids])


def test_maps(device: Any) -> None:
    """Plain torch: the same on any device."""
    ids = blocks(2, 20, 30, 7) * 3 + 5
    placed = device.put(ids)
    new, num = superpixel_relabel(placed)
    expected, expected_num = superpixel_relabel(ids)
    assert num == expected_num
    assert torch.equal(new.cpu(), expected)
    assert torch.equal(superpixel_boundaries(placed).cpu(), superpixel_boundaries(ids))
    for mine, theirs in zip(superpixel_adjacency(placed), superpixel_adjacency(ids), strict=True):
        assert torch.equal(mine.cpu(), theirs)


# ---------------------------------------------------------------- bad input

X, IDS = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64)
Z = torch.zeros(2, 3, 1)

BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "type": (lambda put: superpixel_pool(put(X.int()), put(IDS)), TypeError, "x: expected float"),
    "ids": (lambda put: superpixel_pool(put(X), put(IDS.float())), TypeError, "ids: expected int"),
    "map": (lambda put: superpixel_pool(put(X), put(IDS[:1])), ValueError, "ids: expected shape"),
    "num": (lambda put: superpixel_pool(put(X), put(IDS), 0), ValueError, "num: expected"),
    "many": (lambda put: superpixel_unpool(put(Z), put(IDS[:1])), ValueError, "ids: expected"),
    "mask": (
        lambda put: logit_consistency(put(X), put(IDS), put(IDS)),
        TypeError,
        "valid: expected a bool",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(device: Any, bad: str) -> None:
    call, error, message = BAD[bad]
    with device.active(), pytest.raises(error, match=message):
        call(device.put)


def test_tensors_on_different_devices(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("needs two devices")
    with pytest.raises(TypeError, match="ids: expected a tensor on cuda"):
        superpixel_pool(X.cuda(), IDS)
    with pytest.raises(TypeError, match="valid: expected a tensor on cuda"):
        logit_consistency(X.cuda(), IDS.cuda(), IDS.bool())


# ---------------------------------------------------------------- a GPU only


def test_in_a_graph(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("graphs need a GPU")
    x, ids, num = (
        device.put(t) if isinstance(t, torch.Tensor) else t for t in case(SHAPES[2], torch.float32)
    )

    def step() -> Any:
        z = superpixel_pool(x, ids, num)
        return superpixel_unpool(z, ids) + logit_consistency(x, ids)

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    x.mul_(2)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, step())


def test_deterministic_algorithms(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("torch's own rules about a GPU")
    x, ids, num = case(SHAPES[2], torch.float32)
    x, ids = device.put(x).requires_grad_(), device.put(ids)
    torch.use_deterministic_algorithms(True)
    try:
        loss = superpixel_pool(x, ids, num, "max").square().sum()
        loss = loss + logit_consistency(x, ids).square().sum()
        first = torch.autograd.grad(loss, x, retain_graph=True)[0]
        assert torch.equal(first, torch.autograd.grad(loss, x)[0])
    finally:
        torch.use_deterministic_algorithms(False)
