# SPDX-License-Identifier: Apache-2.0
"""torch.func.vmap, grad, jacrev and their compositions; double backward is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from layer_cases import SETUPS, inputs  # noqa: E402
from mrfcore import _core  # noqa: E402
from mrfcore.ops import message_passing  # noqa: E402

ITEMS = 3
B, L, P, H, W = 2, 4, 2, 3, 5


def draw(*shape: int) -> Any:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))).double() + 0.1


# (tensor, dimension of vmap)
UNARIES = {
    "first": (draw(ITEMS, B, L, H, W), 0),
    "inside": (draw(B, L, H, ITEMS, W), 3),
    "shared": (draw(B, L, H, W), None),
}
TABLES = {"own": (draw(ITEMS, L, L), 0), "shared": (draw(L, L), None)}
WEIGHTS = {
    "own": (draw(ITEMS, B, P, H, W), 0),
    "own, one for the batch": (draw(ITEMS, 1, P, H, W), 0),
    "own, no batch": (draw(P, H, ITEMS, W), 2),
    "own scalar": (draw(ITEMS), 0),
    "shared": (draw(B, P, H, W), None),
    "shared, one for the batch": (draw(1, P, H, W), None),
    "shared scalar": (draw(), None),
}


def solve(unary: Any, table: Any, weights: Any) -> Any:
    return message_passing(unary, table, weights, iterations=2)


def loss(unary: Any, table: Any, weights: Any) -> Any:
    return solve(unary, table, weights).sin().sum()


def one_by_one(f: Callable[..., Any], args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    rows = []
    for i in range(ITEMS):
        item = [x if d is None else x.select(d, i) for x, d in zip(args, dims, strict=True)]
        rows.append(f(*item))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("unary", UNARIES)
def test_vmap_and_grad(unary: str, table: str, weights: str) -> None:
    args, dims = zip(UNARIES[unary], TABLES[table], WEIGHTS[weights], strict=True)
    if dims == (None, None, None):
        pytest.skip("nothing is mapped")
    mapped = torch.vmap(solve, in_dims=dims)
    torch.testing.assert_close(mapped(*args), one_by_one(lambda *a: (solve(*a),), args, dims)[0])
    for wanted in ((0,), (1,), (2,), (0, 1, 2)):  # vmap of grad
        gradient = torch.func.grad(loss, argnums=wanted)
        got = torch.vmap(gradient, in_dims=dims)(*args)
        want = one_by_one(gradient, args, dims)
        for mine, theirs in zip(got, want, strict=True):
            torch.testing.assert_close(mine, theirs)
    # grad of vmap, by torch.func and by autograd
    got = torch.func.grad(lambda *a: mapped(*a).sin().sum(), argnums=(0, 1, 2))(*args)
    leaves = [x.clone().requires_grad_() for x in args]
    mapped(*leaves).sin().sum().backward()
    again = [x.clone().requires_grad_() for x in args]
    one_by_one(lambda *a: (solve(*a),), again, dims)[0].sin().sum().backward()
    for mine, leaf, other in zip(got, leaves, again, strict=True):
        torch.testing.assert_close(mine, other.grad)
        torch.testing.assert_close(leaf.grad, other.grad)


@pytest.mark.parametrize("setup", ["sgm-iterated", "isgmr-damped", "trwp-soft", "mean_field"])
def test_solvers(setup: str) -> None:
    solver, options = SETUPS[setup]

    def energy(unary: Any, weights: Any) -> Any:
        costs = message_passing(unary, mrfcore.Potts(), weights, solver=solver, **options)
        return costs.square().sum()

    args, dims = (UNARIES["first"][0], WEIGHTS["own"][0]), (0, 0)
    got = torch.vmap(torch.func.grad(energy, argnums=(0, 1)))(*args)
    want = one_by_one(torch.func.grad(energy, argnums=(0, 1)), args, dims)
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_vmap_is_one_call_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    real = _core.layer_forward

    def counted(unary: Any, *rest: Any) -> None:
        batches.append(unary.shape[0])
        real(unary, *rest)

    monkeypatch.setattr(_core, "layer_forward", counted)
    mapped = torch.vmap(solve, in_dims=(0, None, 0))
    mapped(UNARIES["first"][0], TABLES["shared"][0], WEIGHTS["own"][0])
    assert batches == [ITEMS * B]


def test_vmap_in_vmap() -> None:
    unary = draw(2, ITEMS, B, L, H, W)
    table, weights = TABLES["shared"][0], WEIGHTS["shared"][0]
    f = torch.func.grad(loss, argnums=(0, 1, 2))
    got = torch.vmap(torch.vmap(f, in_dims=(0, None, None)), in_dims=(0, None, None))(
        unary, table, weights
    )
    for i in range(2):
        want = one_by_one(f, (unary[i], table, weights), (0, None, None))
        for mine, theirs in zip(got, want, strict=True):
            torch.testing.assert_close(mine[i], theirs)


@pytest.mark.parametrize("argument", [0, 1, 2])
def test_jacrev(argument: int) -> None:
    args = (draw(1, 3, 2, 2), draw(3, 3), draw(1, P, 2, 2))
    got = torch.func.jacrev(solve, argnums=argument)(*args)
    want = torch.autograd.functional.jacobian(solve, args)[argument]
    torch.testing.assert_close(got, want)


def test_batched_gradients() -> None:
    """is_grads_batched, what gradcheck(check_batched_grad=True) uses."""
    x = inputs(4, (1, 3, 3, 3)).require()
    f = lambda *args: message_passing(*args, iterations=2)  # noqa: E731
    assert torch.autograd.gradcheck(f, (x.unary, x.table, x.edges), check_batched_grad=True)


# ---------------------------------------------------------------- double backward


@pytest.mark.parametrize("setup", ["sgm", "trwp", "trwp-soft", "mean_field"])
def test_double_backward_is_refused(setup: str) -> None:
    solver, options = SETUPS[setup]
    x = inputs(4).require()
    costs = message_passing(x.unary, x.table, x.edges, solver=solver, **options)
    (grad,) = torch.autograd.grad(costs.square().sum(), x.unary, create_graph=True)
    with pytest.raises(RuntimeError, match="message_passing: second derivatives"):
        grad.square().sum().backward()


def test_gradgradcheck_is_refused() -> None:
    x = inputs(4, (1, 3, 3, 3)).require()
    with pytest.raises(RuntimeError, match="message_passing: second derivatives"):
        torch.autograd.gradgradcheck(lambda u: message_passing(u, mrfcore.Potts()), (x.unary,))


def test_hessian_is_refused() -> None:
    with pytest.raises(RuntimeError, match="message_passing: second derivatives"):
        torch.func.jacrev(torch.func.jacrev(lambda u: loss(u, TABLES["shared"][0], 1.0)))(
            draw(1, L, 2, 2)
        )
