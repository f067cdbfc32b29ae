# SPDX-License-Identifier: Apache-2.0
"""What the op copies, keeps and computes: layouts, dtypes, subsets of gradients."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from layer_cases import gradients, inputs, probe  # noqa: E402
from mrfcore import _core  # noqa: E402
from mrfcore.ops import _library, _setup, message_passing  # noqa: E402

POTTS = mrfcore.Potts()


class Spy:
    """Records the arguments of a function of the core."""

    def __init__(self, monkeypatch: Any, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        real = getattr(_core, name)

        def call(*args: Any) -> Any:
            self.calls.append(args)
            return real(*args)

        monkeypatch.setattr(_core, name, call)


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch, "layer_forward")


@pytest.fixture
def backward(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch, "layer_backward")


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_channels_last_is_used_in_place(forward: Spy, backward: Spy, dtype: Any) -> None:
    x = inputs(4, dtype=dtype).require()
    costs = message_passing(x.unary, x.table, x.edges)
    unary, _, _, edges, _, _, out, *_ = forward.calls[0]
    assert address(unary) == x.unary.data_ptr()
    assert address(edges) == x.edges.data_ptr()
    assert address(out) == costs.data_ptr()
    assert costs.is_contiguous(memory_format=torch.channels_last)
    upstream = torch.rand_like(costs)
    assert upstream.is_contiguous(memory_format=torch.channels_last)
    (grad,) = torch.autograd.grad(costs, x.unary, upstream)
    again, _, _, edges, _, _, _, grad_costs, grad_unary, *_ = backward.calls[0]
    assert address(again) == x.unary.data_ptr()
    assert address(edges) == x.edges.data_ptr()
    assert address(grad_costs) == upstream.data_ptr()
    assert address(grad_unary) == grad.data_ptr()


def layouts(x: Any) -> dict[str, Any]:
    wide = torch.full([2 * n for n in x.shape], torch.nan, dtype=x.dtype)
    every_second = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    every_second.copy_(x)
    return {
        "contiguous": x.contiguous(),
        "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
        "strided": every_second,
        "expanded": x[:1].expand(2, *x.shape[1:]),
    }


@pytest.mark.parametrize("name", ["contiguous", "transposed", "strided", "expanded"])
def test_any_layout(name: str) -> None:
    x = inputs(4)
    unary, edges = layouts(x.unary)[name], layouts(x.edges)[name]
    table = x.table.T.contiguous().T
    want = message_passing(
        unary.contiguous(memory_format=torch.channels_last), x.table, edges.contiguous()
    )
    got = message_passing(unary.requires_grad_(), table, edges)
    assert torch.equal(got, want)
    (grad,) = torch.autograd.grad(probe(got), unary)
    assert grad.shape == unary.shape


def test_conversion_is_one_copy(forward: Spy) -> None:
    """Of dtype and layout at once, and of an expanded gradient."""
    x = inputs(4, dtype=torch.float32)
    half = x.unary.contiguous().bfloat16().requires_grad_()
    with torch.autograd.profiler.profile() as trace:
        message_passing(half, POTTS)
    copies = [event for event in trace.function_events if event.name == "aten::copy_"]
    assert len(copies) == 2  # the unary in, the costs out in bfloat16
    message_passing(half, POTTS).sum().backward()
    assert len(forward.calls) == 2


def test_the_unary_is_not_written() -> None:
    x = inputs(4).require()
    before = x.unary.detach().clone()
    message_passing(x.unary, x.table, x.edges, solver="sgm", iterations=3).sum().backward()
    assert torch.equal(x.unary, before)


def test_changing_a_saved_input_is_noticed() -> None:
    unary = inputs(4).unary
    weights = torch.ones((), dtype=unary.dtype, requires_grad=True)
    costs = message_passing(unary, POTTS, weights)
    unary.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        costs.sum().backward()


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype: Any, forward: Spy) -> None:
    x = inputs(4, dtype=torch.float32)
    unary, edges = x.unary.to(dtype).requires_grad_(), x.edges.to(dtype).requires_grad_()
    table = x.table.to(dtype).requires_grad_()
    got = message_passing(unary, table, edges)
    assert forward.calls[0][0].dtype.name == "float32"
    full = [t.detach().float().requires_grad_() for t in (unary, table, edges)]
    want = message_passing(*full)
    assert got.dtype == dtype
    assert torch.equal(got, want.to(dtype))
    grads = torch.autograd.grad(probe(got), [unary, table, edges])
    upstream = torch.autograd.grad(probe(want.to(dtype)), full)
    for mine, theirs in zip(grads, upstream, strict=True):
        assert mine.dtype == dtype
        assert torch.equal(mine, theirs.to(dtype))


def test_weights_and_table_follow_the_dtype_of_the_unary() -> None:
    x = inputs(4).require()
    got = message_passing(x.unary.detach().float(), x.table, x.edges)
    assert got.dtype == torch.float32
    to_table, to_edges = gradients(got, [x.table, x.edges])
    assert to_table.dtype == to_edges.dtype == torch.float64


# ---------------------------------------------------------------- only what is needed


def test_no_tape_without_a_gradient(forward: Spy) -> None:
    x = inputs(4)
    message_passing(x.unary, x.table, x.edges)
    x.require()
    with torch.no_grad():
        message_passing(x.unary, x.table, x.edges)
    with torch.inference_mode():
        message_passing(x.unary, x.table, x.edges)
    assert [call[7] for call in forward.calls] == [None] * 3
    assert not message_passing(x.unary.detach(), POTTS).requires_grad
    message_passing(x.unary, POTTS)
    assert forward.calls[-1][7].size > 0


SUBSETS = list(itertools.product([False, True], repeat=3))[1:]


@pytest.mark.parametrize("needs", SUBSETS)
@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("solver", ["sgm", "trwp", "mean_field"])
def test_any_subset_of_gradients(
    solver: str, scalar: bool, needs: tuple[bool, ...], backward: Spy
) -> None:
    x = inputs(4)
    tensors = [x.unary, x.table, x.scalar if scalar else x.edges]
    everything = [t.clone().requires_grad_() for t in tensors]
    costs = message_passing(*everything, solver=solver)
    want = torch.autograd.grad(probe(costs), everything)
    some = [t.clone().requires_grad_(need) for t, need in zip(tensors, needs, strict=True)]
    probe(message_passing(*some, solver=solver)).backward()
    for mine, theirs, need in zip(some, want, needs, strict=True):
        assert (mine.grad is None) != need
        assert not need or torch.equal(mine.grad, theirs)
    grad_unary, grad_edges, grad_weight, grad_table = backward.calls[-1][8:12]
    assert (grad_unary is None, grad_table is None) == (not needs[0], not needs[1])
    assert (grad_edges is None) == (scalar or not needs[2])
    assert (grad_weight is None) == (not scalar or not needs[2])


def test_store_every_takes_less_memory(forward: Spy) -> None:
    x = inputs(4, (1, 16, 12, 12), torch.float32).require()
    sizes = []
    for n in (1, 10):
        message_passing(x.unary, POTTS, iterations=20, store_every=n)
        sizes.append(forward.calls[-1][7].size)
    assert sizes[1] < sizes[0] / 2


def test_the_tape_is_of_the_published_size(forward: Spy) -> None:
    """K * sum_r |E_r| * (L + 1) indices [T:1636], padded, and no more than a little header."""
    for labels, index_bytes in ((64, 1), (320, 2)):
        x = inputs(4, (2, labels, 16, 17), torch.float32).require()
        message_passing(x.unary, POTTS, iterations=3)
        published = 2 * 3 * 4 * 16 * 17 * (labels + 1) * index_bytes
        assert forward.calls[-1][7].size < 1.1 * published + 1024


@pytest.mark.parametrize("solver", ["sgm", "isgmr", "trwp", "bp"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 9, 5, 7), (1, 256, 3, 4), (3, 257, 2, 5)])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_size_of_the_tape_is_the_cores(
    solver: str, shape: tuple[int, int, int, int], iterations: int
) -> None:
    batch, labels, height, width = shape
    unary = torch.empty(batch, height, width, labels)
    name, parameters, _ = _setup.encode(mrfcore.Potts())
    options = {**_setup.DEFAULTS, "threads": 1}
    setup = _setup.make_setup(
        name,
        parameters,
        solver=solver,
        connectivity=8,
        iterations=iterations,
        store_every=1,
        **options,
    )
    potential = mrfcore.Potts()._to_core()
    core = _core.layer_tape_bytes_f32(
        batch, height, width, labels, potential, False, 8, _setup.core_options(setup)
    )
    assert _library._tape_bytes(unary, potential, False, setup) == core
