# SPDX-License-Identifier: Apache-2.0
"""Device tensors against the CPU: on a GPU where there is one, else kernels run by the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mrfcore  # noqa: E402
from mrfcore import ops  # noqa: E402

POTENTIALS: dict[str, Any] = {
    "potts": mrfcore.Potts(),
    "linear": mrfcore.TruncatedLinear(2.5),
    "quadratic": mrfcore.TruncatedQuadratic(6.0),
    "sgm": mrfcore.SGMPenalty(0.5, 1.5),
    "huber": mrfcore.Huber(1.5),
    "table": mrfcore.Table(np.random.default_rng(3).uniform(0, 3, (5, 5))),
}
MESSAGE_SOLVERS = ("sgm", "isgmr", "trwp", "bp")


def instance(
    batch: int = 2,
    size: tuple[int, int] = (6, 7),
    labels: int = 5,
    connectivity: int = 4,
    dtype: Any = torch.float64,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Unaries [B, H, W, L] and weights [B, P, H, W] on the CPU."""
    random = np.random.default_rng(seed)
    unary = torch.tensor(random.uniform(0, 4, (batch, *size, labels)), dtype=dtype)
    weights = torch.tensor(random.uniform(0, 2, (batch, connectivity // 2, *size)), dtype=dtype)
    return unary, weights


def layout(unary: Any) -> Any:
    """[B, L, H, W] as layers take it."""
    return unary.permute(0, 3, 1, 2)


# ---------------------------------------------------------------- minimize


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize("solver", [*MESSAGE_SOLVERS, "trws", "mean_field", "icm"])
def test_minimize_is_that_of_the_cpu(device: Any, solver: str, connectivity: int) -> None:
    unary, weights = instance(connectivity=connectivity)
    for pairwise in (POTENTIALS["linear"], POTENTIALS["table"]):
        options = {
            "solver": solver,
            "connectivity": connectivity,
            "iterations": 3,
            "lower_bound": True,
        }
        expected = mrfcore.minimize(unary, pairwise, weights, **options)
        with device.active():
            found = mrfcore.minimize(device.put(unary), pairwise, device.put(weights), **options)
        assert found.labels.device.type == device.type
        assert torch.equal(found.labels.cpu(), expected.labels)
        torch.testing.assert_close(found.costs.cpu(), expected.costs, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-12)
        np.testing.assert_allclose(found.lower_bound, expected.lower_bound, rtol=1e-9)


@pytest.mark.parametrize("name", POTENTIALS)
def test_potentials(device: Any, name: str) -> None:
    unary, _ = instance(dtype=torch.float32)
    expected = mrfcore.minimize(unary, POTENTIALS[name], 0.75, iterations=4)
    with device.active():
        found = mrfcore.minimize(device.put(unary), POTENTIALS[name], 0.75, iterations=4)
    assert torch.equal(found.labels.cpu(), expected.labels)
    assert torch.equal(found.costs.cpu(), expected.costs)  # the same bits
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-12)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_coarser_grids_and_polish(device: Any, connectivity: int) -> None:
    unary, weights = instance(size=(33, 31), labels=3, connectivity=connectivity)
    options = {"connectivity": connectivity, "iterations": 1, "coarse": 1}
    for given in (0.75, weights):
        expected = mrfcore.minimize(unary, POTENTIALS["linear"], given, **options)
        with device.active():
            there = given if isinstance(given, float) else device.put(given)
            found = mrfcore.minimize(device.put(unary), POTENTIALS["linear"], there, **options)
        assert torch.equal(found.labels.cpu(), expected.labels)
        torch.testing.assert_close(found.costs.cpu(), expected.costs, rtol=1e-9, atol=1e-9)


def test_chain_is_exact(device: Any) -> None:
    unary, _ = instance(size=(1, 9), dtype=torch.float32)
    expected = mrfcore.minimize(unary, POTENTIALS["table"], 1.5, solver="chain")
    with device.active():
        found = mrfcore.minimize(device.put(unary), POTENTIALS["table"], 1.5, solver="chain")
    assert torch.equal(found.labels.cpu(), expected.labels)
    torch.testing.assert_close(found.costs.cpu(), expected.costs)


def test_watching_stops_each_item_when_it_should(device: Any) -> None:
    unary, weights = instance(batch=3)
    options = {"iterations": 30, "trace": True, "tolerance": 1e-3, "keep_best": True}
    expected = mrfcore.minimize(unary, POTENTIALS["linear"], weights, **options)
    with device.active():
        found = mrfcore.minimize(
            device.put(unary), POTENTIALS["linear"], device.put(weights), **options
        )
    assert np.array_equal(found.iterations, expected.iterations)
    np.testing.assert_allclose(found.trace.energy, expected.trace.energy, rtol=1e-12)
    assert torch.equal(found.labels.cpu(), expected.labels)


def test_callback_stops(device: Any) -> None:
    unary, _ = instance(batch=1)
    seen = []
    with device.active():
        result = mrfcore.minimize(
            device.put(unary),
            POTENTIALS["linear"],
            iterations=9,
            callback=lambda p: seen.append(p.energy) or p.iteration == 2,
        )
    assert len(seen) == 2
    assert int(result.iterations[0]) == 2


def test_no_iterations_and_forbidden_labels(device: Any) -> None:
    unary, _ = instance(batch=1)
    unary[0, 2, 3, :4] = torch.inf
    for iterations in (0, 3):
        expected = mrfcore.minimize(unary, POTENTIALS["linear"], 2.0, iterations=iterations)
        with device.active():
            found = mrfcore.minimize(
                device.put(unary), POTENTIALS["linear"], 2.0, iterations=iterations
            )
        assert torch.equal(found.labels.cpu(), expected.labels)
        assert torch.equal(found.costs.cpu(), expected.costs)
        assert int(found.labels[0, 2, 3]) == 4


def test_icm_starts_where_told(device: Any) -> None:
    unary, weights = instance()
    init = torch.randint(0, 5, unary.shape[:3], generator=torch.Generator().manual_seed(1))
    options = {"solver": "icm", "iterations": 2}
    expected = mrfcore.minimize(unary, POTENTIALS["sgm"], weights, init=init, **options)
    with device.active():
        found = mrfcore.minimize(
            device.put(unary),
            POTENTIALS["sgm"],
            device.put(weights),
            init=device.put(init),
            **options,
        )
        with pytest.raises(ValueError, match=r"init: expected labels 0\.\.4, got 1\.\.5"):
            mrfcore.minimize(
                device.put(unary),
                POTENTIALS["sgm"],
                init=device.put(init + 1).clamp(0, 5),
                **options,
            )
    assert torch.equal(found.labels.cpu(), expected.labels)


def test_energy(device: Any) -> None:
    unary, weights = instance(connectivity=8)
    labels = torch.randint(0, 5, unary.shape[:3], generator=torch.Generator().manual_seed(1))
    expected = mrfcore.energy(labels, unary, POTENTIALS["table"], weights, connectivity=8)
    with device.active():
        found = mrfcore.energy(
            device.put(labels),
            device.put(unary),
            POTENTIALS["table"],
            device.put(weights),
            connectivity=8,
        )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("value", "item"), [(float("nan"), 1), (-float("inf"), 0), (1e30, 1)])
def test_bad_unaries_are_refused(device: Any, value: float, item: int) -> None:
    unary, _ = instance(dtype=torch.float32)
    unary[item, 3, 2, 1] = value
    with device.active(), pytest.raises(ValueError, match=f"unary: .*in item {item}"):
        mrfcore.minimize(device.put(unary), mrfcore.Potts(), iterations=1)


def test_bad_weights_are_refused(device: Any) -> None:
    unary, weights = instance()
    weights[1, 0, 2, 2] = -1
    with device.active(), pytest.raises(ValueError, match=r"weights: .*in item 1"):
        mrfcore.minimize(device.put(unary), mrfcore.Potts(), device.put(weights), iterations=1)


def test_mixtures_are_refused(device: Any) -> None:
    unary, weights = instance()
    with device.active():
        if device.type == "cuda":
            with pytest.raises(TypeError, match="weights: expected an array on the GPU"):
                mrfcore.minimize(device.put(unary), mrfcore.Potts(), weights)
            with pytest.raises(TypeError, match="weights: expected an array on the CPU"):
                mrfcore.minimize(unary, mrfcore.Potts(), device.put(weights))
            with pytest.raises(TypeError, match="weights: expected a tensor on cuda"):
                ops.message_passing(device.put(layout(unary)), mrfcore.Potts(), weights)
        with pytest.raises(TypeError, match="weights: expected an array on the GPU"):
            mrfcore.minimize(device.put(unary), mrfcore.Potts(), weights.numpy())
        with pytest.raises(ValueError, match=r"weights: expected .*\[2, 2, 6, 7\]"):
            mrfcore.minimize(device.put(unary), mrfcore.Potts(), device.put(weights[:, :1]))


class OtherArray:
    """An array of a library that has nothing but DLPack."""

    def __init__(self, tensor: Any) -> None:
        self.tensor, self.shape, self.ndim = tensor, tuple(tensor.shape), tensor.ndim

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def test_arrays_of_any_library(device: Any) -> None:
    unary, _ = instance()
    table = torch.tensor(POTENTIALS["table"].table(5))
    expected = mrfcore.minimize(unary, POTENTIALS["table"], 0.75, iterations=2)
    with device.active():
        for weight in (OtherArray(device.put(torch.tensor(0.75))), np.float32(0.75)):
            for v in (OtherArray(device.put(table)), device.put(table), table.numpy()):
                found = mrfcore.minimize(device.put(unary), v, weight, iterations=2)
                assert torch.equal(found.labels.cpu(), expected.labels)


def test_arguments_are_refused_by_name(device: Any) -> None:
    unary, weights = instance()
    with device.active():
        unary, weights = device.put(unary), device.put(weights)
        scalar = weights[0, 0, 0, 0]
        for name, arguments in {
            "weights: requires a gradient": (unary, mrfcore.Potts(), scalar.requires_grad_()),
            "weights: expected .* got a bool": (unary, mrfcore.Potts(), weights[0, 0, 0, 0] > 0),
            "weights: expected real": (unary, mrfcore.Potts(), weights[0, 0, 0, 0] * 1j),
            "pairwise: requires a gradient": (unary, unary[0, 0, :5].requires_grad_()),
            "unary: expected a dense array": (unary.detach().to_sparse(), mrfcore.Potts()),
        }.items():
            with pytest.raises(TypeError, match=name):
                mrfcore.minimize(*arguments)
        with pytest.raises(TypeError, match="threads: expected"):
            mrfcore.energy(unary[..., 0].int(), unary.detach(), mrfcore.Potts(), threads="two")


def test_heads_of_long_rows_have_room(device: Any) -> None:
    unary = torch.tensor(np.random.default_rng(1).uniform(0, 4, (1, 2, 700)))
    options = {"solver": "sgm", "head": "zero", "iterations": 2}
    expected = mrfcore.minimize(unary, mrfcore.Potts(), **options)
    with device.active():
        found = mrfcore.minimize(device.put(unary), mrfcore.Potts(), **options)
    assert torch.equal(found.costs.cpu(), expected.costs)


@pytest.mark.parametrize("watch", [{"trace": True}, {"callback": lambda _: False}])
def test_one_by_one_takes_memory_of_one(
    device: Any, watch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mrfcore import _device

    asked = []
    original = _device.empty

    def empty(like: Any, shape: Any, dtype: Any, what: str, *remedy: str) -> Any:
        if what == "messages":
            asked.append(shape)
        return original(like, shape, dtype, what, *remedy)

    monkeypatch.setattr(_device, "empty", empty)
    with device.active():
        for batch in (1, 3):
            unary = device.put(instance(batch=batch)[0])
            mrfcore.minimize(unary, mrfcore.Potts(), iterations=1, **watch)
    assert asked[0] == asked[1]


def test_what_does_not_fit_is_done_in_parts(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mrfcore import _device

    refused = []
    original = _device.empty

    def empty(like: Any, shape: Any, dtype: Any, what: str, *remedy: str) -> Any:
        if what == "messages" and shape > limit:
            refused.append(shape)
            raise MemoryError(what)
        return original(like, shape, dtype, what, *remedy)

    unary, weights = instance(batch=5)
    expected = mrfcore.minimize(unary, mrfcore.Potts(), weights)
    monkeypatch.setattr(_device, "empty", empty)
    with device.active():
        limit = 40_000
        found = mrfcore.minimize(device.put(unary), mrfcore.Potts(), device.put(weights))
        assert refused
        limit = 100
        with pytest.raises(MemoryError, match="messages"):
            mrfcore.minimize(device.put(unary), mrfcore.Potts(), device.put(weights))
    assert torch.equal(found.labels.cpu(), expected.labels)


def test_the_driver_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from mrfcore import _core, _device

    asked = []

    def status() -> dict[str, Any]:
        asked.append(1)
        return {"available": False, "reason": "no driver"}

    _device._why_unavailable.cache_clear()
    monkeypatch.setattr(_core, "cuda_status", status)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"unary: is on a GPU, but .*: no driver"):
            _device.require_back_end("unary")
    _device._why_unavailable.cache_clear()
    assert len(asked) == 1


def test_the_loader_finds_a_library_that_is_not_beside(device: Any, tmp_path: Path) -> None:
    from mrfcore import _core

    name = "libmrfcore_cuda.so"
    if device.type == "cuda" or (Path(_core.__file__).parent / name).exists():
        pytest.skip("the package has a library of its own")
    (tmp_path / name).symlink_to(os.environ["MRFCORE_CUDA_LIBRARY"])
    environment = {k: v for k, v in os.environ.items() if k != "MRFCORE_CUDA_LIBRARY"}
    says = "import mrfcore.cuda; s = mrfcore.cuda.status(); print(s['emulated'], s['reason'])"
    for folder, expected in (("", "True"), ("none", "False this build of mrfcore has no CUDA")):
        done = subprocess.run(
            [sys.executable, "-c", says],
            env=environment | {"LD_LIBRARY_PATH": str(tmp_path / folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(expected)


# ---------------------------------------------------------------- layers


LAYERS = [
    *[(solver, {}) for solver in (*MESSAGE_SOLVERS, "mean_field")],
    ("isgmr", {"damping": 0.25}),
    ("trwp", {"damping": 0.25, "rho": 0.4}),
    ("sgm", {"head": "zero"}),
    ("mean_field", {"normalise": "directions"}),
    ("trwp", {"store_every": 2}),
    ("isgmr", {"store_every": 2}),
    ("sgm", {"store_every": 2}),
    ("mean_field", {"store_every": 2}),
    ("isgmr", {"temperature": 0.5}),
    ("trwp", {"temperature": 0.5}),
    ("bp", {"temperature": 0.5, "store_every": 2}),
]


def gradients(
    unary: Any, table: Any, weights: Any, grad: Any, place: Any, **options: Any
) -> tuple[Any, ...]:
    """(costs, gradients of unary, table, weights), computed where `place` puts tensors."""
    leaves = [
        place(x).requires_grad_() if isinstance(x, torch.Tensor) else x
        for x in (unary, table, weights)
    ]
    costs = ops.message_passing(*leaves, **options)
    costs.backward(place(grad))
    grads = [x.grad.cpu() if isinstance(x, torch.Tensor) else None for x in leaves]
    return costs.detach().cpu(), *grads


@pytest.mark.parametrize("weights_kind", ["per item", "shared", "scalar"])
@pytest.mark.parametrize(("solver", "options"), LAYERS)
def test_layers_and_their_gradients(
    device: Any, solver: str, options: dict[str, Any], weights_kind: str
) -> None:
    unary, weights = instance(size=(4, 5))
    table = torch.tensor(POTENTIALS["table"].table(5))
    given = {"per item": weights, "shared": weights[:1], "scalar": weights[0, 0, 0, 0]}
    grad = torch.tensor(np.random.default_rng(5).normal(size=tuple(layout(unary).shape)))
    arguments = (layout(unary), table, given[weights_kind], grad)
    options = {"solver": solver, "iterations": 3, **options}
    expected = gradients(*arguments, lambda x: x.clone(), **options)
    with device.active():
        found = gradients(*arguments, device.put, **options)
    for name, a, b in zip(("costs", "unary", "table", "weights"), found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", [n for n in POTENTIALS if n != "table"])
def test_layers_of_potentials(device: Any, name: str) -> None:
    unary, weights = instance(size=(4, 5), dtype=torch.float32)
    grad = torch.ones(tuple(layout(unary).shape))
    arguments = (layout(unary), POTENTIALS[name], weights, grad)
    expected = gradients(*arguments, lambda x: x.clone(), iterations=2)
    with device.active():
        found = gradients(*arguments, device.put, iterations=2)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[3], expected[3])


def test_only_what_is_wanted_is_computed(device: Any) -> None:
    unary, weights = instance(size=(4, 5))
    with device.active():
        placed = device.put(layout(unary))
        edges = device.put(weights).requires_grad_()
        ops.message_passing(placed, mrfcore.Potts(), edges).sum().backward()
        assert edges.grad is not None
        assert placed.grad is None
        with torch.no_grad():
            ops.message_passing(placed, mrfcore.Potts(), edges)


@pytest.mark.parametrize("what", ["unary", "weights", "table"])
def test_bad_values_give_nan_to_their_item(device: Any, what: str) -> None:
    unary, weights = instance(size=(4, 5))
    table = torch.tensor(POTENTIALS["table"].table(5))
    {"unary": unary[1, 0, 0], "weights": weights[1, 0, 0], "table": table[1]}[what][1] = torch.nan
    with device.active():
        costs = ops.message_passing(
            device.put(layout(unary)), device.put(table), device.put(weights)
        ).cpu()
    assert costs[1].isnan().all()
    assert costs[0].isnan().all() == (what == "table")


def test_rows_that_do_not_fit_are_refused_in_words(device: Any) -> None:
    with device.active():
        unary = device.put(torch.rand(1, 1, 3, 1100))
        with pytest.raises(ValueError, match="unary: L = 1100 labels are more than"):
            ops.message_passing(layout(unary), mrfcore.Potts(), temperature=1.0, iterations=1)
        ops.message_passing(layout(unary), mrfcore.Potts(), iterations=1)
        unary = device.put(torch.rand(1, 1, 2, 60000))
        with pytest.raises(ValueError, match="unary: L = 60000 labels are more than"):
            mrfcore.minimize(unary, mrfcore.Potts(), iterations=1)


def test_gradcheck(device: Any) -> None:
    unary, weights = instance(batch=1, size=(3, 3), labels=3)
    table = torch.tensor(np.random.default_rng(3).uniform(0, 3, (3, 3)))
    with device.active():
        leaves = [device.put(x).requires_grad_() for x in (layout(unary), table, weights)]
        assert torch.autograd.gradcheck(
            lambda *x: ops.message_passing(*x, iterations=2, temperature=0.5), leaves
        )


def test_compiled(device: Any) -> None:
    unary, weights = instance(size=(4, 5), dtype=torch.float32)
    layer = mrfcore.nn.TRWP(mrfcore.TruncatedLinear(2.0), iterations=2)

    def run(x: Any, w: Any) -> Any:
        return layer(2 * x, w).softmax(1)

    expected = run(layout(unary), weights)
    with device.active():
        torch._dynamo.reset()
        found = torch.compile(run, fullgraph=True, backend="aot_eager")(
            device.put(layout(unary)), device.put(weights)
        )
    torch.testing.assert_close(found.detach().cpu(), expected.detach())


def test_another_device_stays_current(device: Any) -> None:
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    unary, weights = instance(dtype=torch.float32)
    expected = mrfcore.minimize(unary, mrfcore.Potts(), weights)
    there = unary.to("cuda:1"), weights.to("cuda:1")
    found = mrfcore.minimize(there[0], mrfcore.Potts(), there[1])
    assert found.labels.device == there[0].device
    assert torch.equal(found.labels.cpu(), expected.labels)
    costs = ops.message_passing(layout(there[0]).requires_grad_(), mrfcore.Potts(), there[1])
    costs.sum().backward()
    assert torch.cuda.current_device() == 0


def test_streams_and_graphs(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("streams and graphs need a GPU")
    unary, weights = instance(dtype=torch.float32)
    placed, edges = device.put(layout(unary)), device.put(weights)
    expected = ops.message_passing(placed, mrfcore.TruncatedLinear(2.0), edges)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = ops.message_passing(placed, mrfcore.TruncatedLinear(2.0), edges)
    stream.synchronize()
    assert torch.equal(found, expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = ops.message_passing(placed, mrfcore.TruncatedLinear(2.0), edges)
    placed.copy_(placed.flip(-1).clone())
    again = ops.message_passing(placed, mrfcore.TruncatedLinear(2.0), edges)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, again)


def test_threads_work_side_by_side(device: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    if device.type != "cuda":
        pytest.skip("the emulator runs one kernel at a time")
    unary, weights = instance(dtype=torch.float32)
    expected = mrfcore.minimize(unary, mrfcore.Potts(), weights).labels

    def solve(_: int) -> Any:
        with torch.cuda.stream(torch.cuda.Stream()):
            result = mrfcore.minimize(device.put(unary), mrfcore.Potts(), device.put(weights))
            return result.labels.cpu()

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(solve, range(8)))


def test_too_large_says_how_much(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("the emulator's memory is the host's")
    unary = torch.zeros(1, 1, 1, 1, device="cuda").expand(1, 40000, 40000, 64)
    with pytest.raises((MemoryError, torch.OutOfMemoryError)):
        mrfcore.minimize(unary, mrfcore.Potts())
