# SPDX-License-Identifier: Apache-2.0
"""The plain-torch reference of message passing: against the engine, finite differences, and chains
solved by trying all labellings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import mrfcore

torch = pytest.importorskip("torch")

from mrfcore.ops.reference import DIRECTIONS, PAIRS, message_passing  # noqa: E402

SOLVERS = ("sgm", "isgmr", "trwp", "bp", "mean_field")
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "sgm": ({}, {"head": "zero"}),
    "isgmr": ({}, {"damping": 0.3}),
    "trwp": ({}, {"damping": 0.3}, {"rho": 0.4}),
    "bp": ({}, {"damping": 0.3}),
    "mean_field": ({}, {"normalise": "directions"}),
}
CASES = [(solver, options) for solver in SOLVERS for options in OPTIONS[solver]]


def draw(
    shape: tuple[int, int, int, int], connectivity: int, seed: int = 0
) -> tuple[Any, Any, Any]:
    """Unary [B, L, H, W], asymmetric table [L, L], weights [B, P, H, W]: float64, no ties."""
    random = torch.Generator().manual_seed(seed)
    batch, labels, height, width = shape

    def uniform(low: float, high: float, *size: int) -> Any:
        drawn = torch.rand(size, generator=random, dtype=torch.float64)
        return low + (high - low) * drawn

    return (
        uniform(0, 6, *shape),
        uniform(-1, 4, labels, labels),
        uniform(0, 2, batch, connectivity // 2, height, width),
    )


# ---------------------------------------------------------------- against the engine


def assert_as_minimize(
    unary: Any, pairwise: Any, weights: Any, solver: str, iterations: int, **options: Any
) -> None:
    general = {} if solver == "mean_field" else {"min_convolution": "general"}
    engine = mrfcore.minimize(
        unary.movedim(1, -1).contiguous(), pairwise, weights, solver=solver, iterations=iterations,
        **general, **options,
    )  # fmt: skip
    costs = message_passing(
        unary, pairwise, weights, solver=solver, iterations=iterations, **options
    )
    assert costs.shape == unary.shape
    torch.testing.assert_close(costs, engine.costs.movedim(-1, 1), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize(("solver", "options"), CASES)
def test_costs_are_those_of_minimize(
    solver: str, options: dict[str, Any], connectivity: int
) -> None:
    unary, table, weights = draw((2, 5, 6, 7), connectivity)
    for iterations, w in itertools.product((0, 1, 3, 9), (weights, weights[0], 0.7)):
        assert_as_minimize(
            unary, table, w, solver, iterations, connectivity=connectivity, **options
        )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 1), (2, 3)])
def test_thin_images(solver: str, size: tuple[int, int]) -> None:
    unary, table, weights = draw((1, 3, *size), 16)
    assert_as_minimize(unary, table, weights, solver, 3, connectivity=16)


@pytest.mark.parametrize("solver", SOLVERS)
def test_potentials_and_one_label(solver: str) -> None:
    unary, _, weights = draw((1, 4, 5, 6), 4)
    for pairwise in (mrfcore.Potts(), mrfcore.TruncatedLinear(1.5), mrfcore.Huber(1.2)):
        assert_as_minimize(unary, pairwise, weights, solver, 2)
    assert_as_minimize(unary[:, :1], mrfcore.Potts(), weights, solver, 2)


def test_many_sgm_iterations_stay_finite() -> None:
    unary, table, weights = draw((1, 3, 5, 5), 16)
    assert_as_minimize(unary, table, weights, "sgm", 40, connectivity=16)


def test_unknown_solver() -> None:
    unary, table, weights = draw((1, 2, 2, 2), 4)
    with pytest.raises(ValueError, match=r"solver: expected sgm, .*got 'icm'"):
        message_passing(unary, table, weights, solver="icm")


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("connectivity", [4, 16])
@pytest.mark.parametrize(
    ("solver", "options"),
    [*CASES, *((s, {"temperature": 0.7}) for s in ("isgmr", "trwp", "bp"))],
)
def test_gradcheck(solver: str, options: dict[str, Any], connectivity: int) -> None:
    unary, table, weights = draw((1, 3, 3, 3), connectivity, seed=1)
    scalar = torch.tensor(0.8, dtype=torch.float64)

    def costs(unary: Any, table: Any, weights: Any) -> Any:
        return message_passing(
            unary, table, weights, solver=solver, connectivity=connectivity, iterations=2, **options
        )

    for w in (weights, scalar):
        inputs = tuple(t.clone().requires_grad_() for t in (unary, table, w))
        # Fast: along one random direction; the chains below check every entry (of ISGMR).
        assert torch.autograd.gradcheck(costs, inputs, fast_mode=True)


def test_gradient_of_a_tie_flows_through_the_lowest_label() -> None:
    # Two pixels, V = 0, equal unaries: the message is min(u_0, u_1) less the same for each label.
    unary = torch.zeros(1, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[0.0, 1, 1], [0, 1, 1], [0, 1, 1]], dtype=torch.float64)
    costs = message_passing(unary, table, solver="isgmr", iterations=1)
    costs[0, 1, 0, 1].backward()  # = u_1(1) + min_m(u_0(m) + V(m, 1)) - min_m(u_0(m) + V(m, 0))
    assert costs[0, :, 0, 1].tolist() == [0, 1, 1]
    assert unary.grad[0, :, 0, 1].tolist() == [0, 1, 0]
    assert unary.grad[0, :, 0, 0].tolist() == [0, 0, 0]  # label 0 both times: plus one, minus one


# ---------------------------------------------------------------- chains by enumeration


class Enumeration:
    """All labellings of a small image whose only edges are those of one pair: disjoint chains."""

    def __init__(self, pair: int, seed: int) -> None:
        # As thin as the pair allows, in pixels; 2 labels.
        self.size = (5, 2) if abs(PAIRS[pair][1]) < 2 else (2, 5)
        self.unary, self.table, weights = draw((1, 2, *self.size), 16, seed)
        self.weights = torch.zeros_like(weights)
        self.weights[:, pair] = weights[:, pair]
        self.pair = pair
        height, width = self.size
        self.labellings = [
            np.reshape(x, self.size) for x in itertools.product((0, 1), repeat=height * width)
        ]
        self.energies = np.array([self.energy(x) for x in self.labellings])

    def edges(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        (dy, dx), (height, width) = PAIRS[self.pair], self.size
        every = itertools.product(range(height), range(width))
        return [
            ((y, x), (y + dy, x + dx))
            for y, x in every
            if 0 <= y + dy < height and 0 <= x + dx < width
        ]

    def energy(self, labels: Any) -> float:
        nodes = np.ndindex(*self.size)
        total = sum(float(self.unary[(0, labels[i], *i)]) for i in nodes)
        for p, q in self.edges():
            w = float(self.weights[(0, self.pair, *p)])
            total += w * float(self.table[labels[p], labels[q]])
        return total

    def having(self, node: tuple[int, int], label: int) -> list[int]:
        return [k for k, x in enumerate(self.labellings) if x[node] == label]

    def costs(self, **options: Any) -> Any:
        return message_passing(
            self.unary, self.table, self.weights, connectivity=16, iterations=1, **options
        )


@pytest.mark.parametrize("pair", range(8))
def test_chains_have_exact_min_marginals(pair: int) -> None:
    """One ISGMR iteration, in each direction: Eq 2.38 and the text after it."""
    chains = Enumeration(pair, seed=pair)
    assert chains.edges()
    costs = chains.costs(solver="isgmr")
    for node in np.ndindex(*chains.size):
        want = [chains.energies[chains.having(node, label)].min() for label in (0, 1)]
        got = costs[(0, slice(None), *node)]
        assert float(got[1] - got[0]) == pytest.approx(want[1] - want[0], abs=1e-12)


@pytest.mark.parametrize("pair", range(8))
def test_soft_minima_on_chains_are_free_energies(pair: int) -> None:
    chains, temperature = Enumeration(pair, seed=pair), 1.3
    costs = chains.costs(solver="isgmr", temperature=temperature)
    for node in np.ndindex(*chains.size):
        likely = np.exp(-chains.energies / temperature)
        want = [-temperature * np.log(likely[chains.having(node, n)].sum()) for n in (0, 1)]
        got = costs[(0, slice(None), *node)]
        assert float(got[1] - got[0]) == pytest.approx(want[1] - want[0], abs=1e-12)


@pytest.mark.parametrize("pair", range(8))
def test_gradients_on_chains_count_the_best_labellings(pair: int) -> None:
    """d min-marginal = d energy at its labelling: which labels, weights and entries it uses."""
    chains = Enumeration(pair, seed=pair)
    for leaf in (chains.unary, chains.table, chains.weights):
        leaf.requires_grad_()
    costs = chains.costs(solver="isgmr")
    for node in np.ndindex(*chains.size):
        got = torch.autograd.grad(
            costs[(0, 1, *node)] - costs[(0, 0, *node)],
            (chains.unary, chains.table, chains.weights),
            retain_graph=True,
        )
        want = [torch.zeros_like(g) for g in got]
        for label, sign in ((1, 1.0), (0, -1.0)):
            best = min(chains.having(node, label), key=lambda k: chains.energies[k])
            x = chains.labellings[best]
            for i in np.ndindex(*chains.size):
                want[0][(0, x[i], *i)] += sign
            for p, q in chains.edges():
                want[1][x[p], x[q]] += sign * chains.weights[(0, pair, *p)].item()
                want[2][(0, pair, *p)] += sign * chains.table[x[p], x[q]].item()
        for g, w, name in zip(got[:2], want[:2], ("unary", "table"), strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=1e-12, msg=name)
        only = got[2][:, pair]  # weights of other pairs are 0, not without influence
        torch.testing.assert_close(only, want[2][:, pair], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- soft minima


@pytest.mark.parametrize("solver", ["isgmr", "trwp", "bp"])
def test_cold_soft_minima_are_minima(solver: str) -> None:
    unary, table, weights = draw((1, 4, 5, 6), 8)
    hard = message_passing(unary, table, weights, solver=solver, connectivity=8, iterations=3)
    errors = []
    for temperature in (1e-1, 1e-2, 1e-3):
        soft = message_passing(
            unary, table, weights,
            solver=solver, connectivity=8, iterations=3, temperature=temperature,
        )  # fmt: skip
        errors.append(float((soft - hard).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_soft_minima_are_finite_at_any_scale(scale: float) -> None:
    unary, table, weights = draw((1, 3, 4, 4), 4)
    unary = (scale * unary).float().requires_grad_()
    costs = message_passing(
        unary, scale * table, weights.float(), solver="trwp", iterations=3, temperature=0.5
    )
    (grad,) = torch.autograd.grad(costs.sum(), unary)
    assert torch.isfinite(costs).all()
    assert torch.isfinite(grad).all()


def test_directions_are_the_canonical_ones() -> None:
    assert DIRECTIONS[:6] == ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1))
    for r, (dy, dx) in enumerate(DIRECTIONS):
        assert DIRECTIONS[r ^ 1] == (-dy, -dx)
