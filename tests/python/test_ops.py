# SPDX-License-Identifier: Apache-2.0
"""mrfcore.ops.message_passing against its plain-torch reference, finite differences, minimize()."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from layer_cases import (  # noqa: E402
    LAYER_SOLVERS,
    POTENTIALS,
    SETUPS,
    compare,
    gradients,
    inputs,
    probe,
)
from mrfcore.ops import _library, message_passing  # noqa: E402

setups = pytest.mark.parametrize("setup", SETUPS)
connectivities = pytest.mark.parametrize("connectivity", [4, 8, 16])


# ---------------------------------------------------------------- the reference


@setups
@connectivities
def test_learned_table_and_edge_weights(setup: str, connectivity: int) -> None:
    solver, options = SETUPS[setup]
    x = inputs(connectivity).require()
    wanted = [x.unary, x.table, x.edges]
    compare(x.unary, x.table, x.edges, wanted, solver=solver, connectivity=connectivity, **options)


@setups
@connectivities
def test_learned_table_and_scalar_weight(setup: str, connectivity: int) -> None:
    solver, options = SETUPS[setup]
    x = inputs(connectivity, seed=1).require()
    wanted = [x.unary, x.table, x.scalar]
    compare(x.unary, x.table, x.scalar, wanted, solver=solver, connectivity=connectivity, **options)


@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_potentials(potential: str, solver: str) -> None:
    x = inputs(8, seed=2).require()
    options = {"solver": solver, "connectivity": 8, "iterations": 2}
    compare(x.unary, POTENTIALS[potential], x.edges, [x.unary, x.edges], **options)
    compare(x.unary, POTENTIALS[potential], x.scalar, [x.unary, x.scalar], **options)


@pytest.mark.parametrize("potential", POTENTIALS)
def test_soft_minima_of_potentials(potential: str) -> None:
    x = inputs(4, seed=3).require()
    options = {"solver": "trwp", "iterations": 2, "temperature": 0.4}
    compare(x.unary, POTENTIALS[potential], x.edges, [x.unary, x.edges], **options)


@pytest.mark.parametrize("store_every", [2, 3, 7])
@setups
def test_store_every_changes_nothing(setup: str, store_every: int) -> None:
    solver, options = SETUPS[setup]
    options = {**options, "iterations": 5, "solver": solver}
    x = inputs(4, seed=4).require()
    compare(
        x.unary, x.table, x.edges, [x.unary, x.table, x.edges], store_every=store_every, **options
    )


@pytest.mark.parametrize("shape", [(1, 6, 1, 5), (2, 6, 5, 1), (1, 1, 3, 3), (1, 2, 1, 1)])
@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_small_shapes(solver: str, shape: tuple[int, int, int, int]) -> None:
    x = inputs(16, shape, seed=5).require()
    wanted = [x.unary, x.table, x.edges]
    compare(x.unary, x.table, x.edges, wanted, solver=solver, connectivity=16, iterations=2)


@pytest.mark.parametrize("labels", [255, 256, 257, 300])
@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_many_labels(solver: str, labels: int) -> None:
    """Arg-mins need a second byte beyond 256 labels."""
    x = inputs(4, (1, labels, 3, 4), seed=6).require()
    compare(x.unary, x.table, x.edges, [x.unary, x.table, x.edges], solver=solver, iterations=2)
    pairwise = mrfcore.TruncatedLinear(9)
    compare(x.unary, pairwise, x.edges, [x.unary, x.edges], solver=solver, iterations=2)


@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_weights_of_one_item_for_all(solver: str) -> None:
    x = inputs(8, seed=7)
    shared = x.edges[:1].clone().requires_grad_()
    x.unary.requires_grad_()
    options = {"solver": solver, "connectivity": 8, "iterations": 2}
    compare(x.unary, x.table, shared, [x.unary, shared], **options)
    plain = shared.detach()[0].requires_grad_()
    compare(x.unary, x.table, plain, [x.unary, plain], **options)


@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_float32(solver: str) -> None:
    x = inputs(4, dtype=torch.float32, seed=8).require()
    compare(x.unary, x.table, x.edges, [x.unary, x.table, x.edges], solver=solver, iterations=2)


@pytest.mark.parametrize("potential", ["linear", "quadratic", "sgm_penalty"])
def test_the_general_path_has_the_same_gradients(potential: str) -> None:
    x = inputs(4, seed=9).require()
    compare(
        x.unary,
        POTENTIALS[potential],
        x.edges,
        [x.unary, x.edges],
        min_convolution="general",
        iterations=2,
    )


# ---------------------------------------------------------------- independent checks


@setups
def test_gradcheck(setup: str) -> None:
    solver, options = SETUPS[setup]
    x = inputs(8, (1, 3, 3, 3), seed=10).require()

    def edges(unary: Any, table: Any, weights: Any) -> Any:
        return message_passing(unary, table, weights, solver=solver, connectivity=8, **options)

    assert torch.autograd.gradcheck(edges, (x.unary, x.table, x.edges), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradcheck(edges, (x.unary, x.table, x.scalar), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("solver", LAYER_SOLVERS)
def test_forward_gives_the_bits_of_minimize(solver: str, potential: str, dtype: Any) -> None:
    x = inputs(8, (2, 6, 7, 9), dtype, seed=11)
    options = {"solver": solver, "connectivity": 8, "iterations": 3}
    want = mrfcore.minimize(x.unary.movedim(1, -1), POTENTIALS[potential], x.edges, **options)
    x.unary.requires_grad_()
    for unary in (x.unary, x.unary.detach()):  # with and without a tape
        got = message_passing(unary, POTENTIALS[potential], x.edges, **options)
        assert torch.equal(got.detach().movedim(1, -1), want.costs)


@pytest.mark.parametrize("solver", ["isgmr", "trwp", "bp"])
def test_soft_minima_approach_the_hard_ones(solver: str) -> None:
    """Costs and gradients; the distance shrinks with the temperature."""
    x = inputs(4, seed=12).require()
    wanted = [x.unary, x.table, x.edges]

    def both(temperature: float) -> list[Any]:
        costs = message_passing(
            x.unary, x.table, x.edges, solver=solver, iterations=3, temperature=temperature
        )
        return [costs.detach(), *gradients(costs, wanted)]

    hard = both(0.0)
    distances = [
        max(float((a - b).abs().max()) for a, b in zip(both(t), hard, strict=True))
        for t in (1e-1, 1e-2, 1e-6)
    ]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-3


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_soft_minima_are_finite_at_any_scale(scale: float) -> None:
    x = inputs(4, dtype=torch.float32, seed=13)
    unary = (x.unary * scale).requires_grad_()
    costs = message_passing(unary, x.table, x.edges, temperature=1e-2)
    (grad,) = torch.autograd.grad(probe(costs), unary)
    assert torch.isfinite(costs).all()
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize("solver", ["isgmr", "trwp", "mean_field"])
def test_gradients_have_the_same_bits_for_any_number_of_threads(
    solver: str, temperature: float
) -> None:
    if solver == "mean_field" and temperature > 0:
        pytest.skip("mean field has no temperature")
    x = inputs(8, (1, 19, 40, 50), torch.float32, seed=14).require()
    results = []
    for threads in (1, 2, 5):
        costs = message_passing(
            x.unary,
            x.table,
            x.edges,
            solver=solver,
            connectivity=8,
            iterations=2,
            temperature=temperature,
            threads=threads,
        )
        results.append(gradients(costs, [x.unary, x.table, x.edges]))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_forbidden_label_has_finite_gradients() -> None:
    x = inputs(4, seed=15)
    unary = x.unary.clone()
    unary[:, 2, 1] = torch.inf
    unary.requires_grad_()
    costs = message_passing(unary, x.table, x.edges)
    assert not (costs.argmin(1)[:, 1] == 2).any()
    finite = torch.where(torch.isfinite(unary), costs, 0)
    (grad,) = torch.autograd.grad(probe(finite), unary)
    assert torch.isfinite(grad).all()


@pytest.fixture
def filled_memory() -> Iterator[None]:
    """torch.empty gives bytes 255 (floats: NaN) instead of what happens to lie there."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("filled_memory")
@setups
def test_uninitialised_memory_is_not_read(setup: str) -> None:
    """Neither that of outputs and workspace, nor what the forward left unwritten in the tape."""
    solver, options = SETUPS[setup]
    options = {**options, "solver": solver, "connectivity": 16}
    assert torch.isnan(torch.empty(3)).all()
    for extra in ({}, {"store_every": 2}):
        x = inputs(16, seed=16).require()
        wanted = [x.unary, x.table, x.edges]
        compare(x.unary, x.table, x.edges, wanted, **options, **extra)


@pytest.mark.usefixtures("filled_memory")  # bytes of the tape that nobody writes: the same
def test_opcheck() -> None:
    from mrfcore.ops._setup import DEFAULTS, make_setup

    x = inputs(4, (2, 3, 4, 5))
    unary = x.unary.movedim(1, -1).contiguous()
    common: dict[str, Any] = {"connectivity": 4, "iterations": 2, "store_every": 1, "threads": None}
    for solver in LAYER_SOLVERS:
        table = make_setup("table", (), solver=solver, **common, **DEFAULTS)
        potts = make_setup("potts", (), solver=solver, **common, **DEFAULTS)
        for v, w, setup in (
            (x.table, x.edges, table),
            (None, x.scalar, potts),
            (None, None, potts),
        ):
            for keep in (False, True):
                args = (unary, v, w, 1.0, keep, *setup)
                torch.library.opcheck(torch.ops.mrfcore.message_passing.default, args)
            _, tape = _library.forward_op(*args)
            needs = (True, v is not None, w is not None)
            torch.library.opcheck(
                torch.ops.mrfcore.message_passing_backward.default,
                (unary, v, w, 1.0, tape, torch.rand_like(unary), *needs, *setup),
            )
