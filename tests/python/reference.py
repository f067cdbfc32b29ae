# SPDX-License-Identifier: Apache-2.0
"""Plain NumPy float64 reference of every solver: slow, short, independent of the C++ engine.

Vocabulary: a direction ``r`` is (dy, dx); the message m[r, y, x] arrives at node i = (y, x) from
its predecessor p = (y - dy, x - dx) and is zero where p lies outside. Even directions run along the
canonical pairs, odd ones against them; the opposite of ``r`` is ``r ^ 1``. Equation numbers are
those of the thesis chapter the library implements (see docs). Ties go to the lowest label.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]

PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))
DIRECTIONS = tuple((s * dy, s * dx) for dy, dx in PAIRS for s in (1, -1))


@dataclass(frozen=True)
class Problem:
    """E(x) = sum_i unary[i, x_i] + sum_(pq) weights[pq] table[x_p, x_q]  (Eq 3.1)."""

    unary: Array  # [H, W, L]
    table: Array  # [L, L], first index: the label of the node that owns the edge
    weights: Array  # [P, H, W], entry [p, y, x] owned by (y, x), leading to (y, x) + PAIRS[p]
    connectivity: int = 4

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.unary.shape  # type: ignore[return-value]


@dataclass(frozen=True)
class Solution:
    """What a solver ends with. ``messages`` is zero where the method has none."""

    labels: Labels
    costs: Array
    messages: Array
    lower_bound: float


def problem(unary: Any, table: Any, weights: Any = 1.0, connectivity: int = 4) -> Problem:
    """Build a Problem in float64; a scalar weight is spread over all edges."""
    unary = np.asarray(unary, np.float64)
    shape = (connectivity // 2, *unary.shape[:2])
    spread = np.array(np.broadcast_to(np.asarray(weights, np.float64), shape))
    return Problem(unary, np.asarray(table, np.float64), spread, connectivity)


# ---------------------------------------------------------------- potentials: tables [L, L]


def _differences(num_labels: int) -> Array:
    labels = np.arange(num_labels, dtype=np.float64)
    return np.abs(labels[:, None] - labels[None, :])


def potts(num_labels: int) -> Array:
    return (_differences(num_labels) != 0).astype(np.float64)


def truncated_linear(num_labels: int, truncation: float) -> Array:
    return np.minimum(_differences(num_labels), truncation)


def truncated_quadratic(num_labels: int, truncation: float) -> Array:
    return np.minimum(_differences(num_labels) ** 2, truncation)


def sgm_penalty(num_labels: int, p1: float, p2: float) -> Array:
    """Eq 3.2."""
    d = _differences(num_labels)
    return np.select([d == 0, d == 1], [0.0, p1], p2)


def huber(num_labels: int, delta: float) -> Array:
    d = _differences(num_labels)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def cauchy(num_labels: int, scale: float) -> Array:
    return scale**2 / 2 * np.log1p((_differences(num_labels) / scale) ** 2)


# ---------------------------------------------------------------- geometry


def edges(pr: Problem, pair: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the first and of the second end of every edge of a pair."""
    height, width, _ = pr.shape
    dy, dx = PAIRS[pair]
    first = (slice(0, max(height - dy, 0)), slice(max(-dx, 0), max(width - max(dx, 0), 0)))
    second = (slice(dy, height), slice(max(dx, 0), max(width + min(dx, 0), 0)))
    return first, second


def fronts(pr: Problem, r: int) -> Iterator[tuple[tuple[Index, Index], tuple[Index, Index]]]:
    """Yield (nodes, predecessors) of direction r, predecessors always in an earlier front.

    A front is a whole row (or column, for horizontal directions); nodes without predecessor, the
    heads of the scanlines, are left out.
    """
    height, width, _ = pr.shape
    dy, dx = DIRECTIONS[r]
    steps, across = (height, width) if dy else (width, height)
    forward = (dy or dx) > 0
    for step in range(steps) if forward else reversed(range(steps)):
        line, other = np.full(across, step), np.arange(across)
        y, x = (line, other) if dy else (other, line)
        inside = (y >= dy) & (y - dy < height) & (x >= dx) & (x - dx < width)
        y, x = y[inside], x[inside]
        if y.size:
            yield (y, x), (y - dy, x - dx)


def pair_cost(pr: Problem, r: int, nodes: tuple[Any, Any], preds: tuple[Any, Any]) -> Array:
    """w V as [..., m, l]: m the predecessor's label, l the node's. Odd directions transpose V."""
    along = r % 2 == 0  # the owner of the edge is the predecessor
    w = pr.weights[(r // 2, *(preds if along else nodes))]
    return np.asarray(w)[..., None, None] * (pr.table if along else pr.table.T)


# ---------------------------------------------------------------- energy and brute force


def energy(pr: Problem, labels: Any) -> float:
    """Eq 3.1; every undirected edge counts once."""
    labels = np.asarray(labels)
    total = float(np.take_along_axis(pr.unary, labels[..., None], 2).sum())
    for pair in range(pr.connectivity // 2):
        first, second = edges(pr, pair)
        total += float((pr.weights[(pair, *first)] * pr.table[labels[first], labels[second]]).sum())
    return total


def brute_force(pr: Problem) -> tuple[float, Labels]:
    """Optimal energy and the first optimal labelling, by trying all L^(H W) of them."""
    height, width, num = pr.shape
    every = np.array(list(itertools.product(range(num), repeat=height * width)))
    every = every.reshape(-1, height, width)
    total = np.take_along_axis(pr.unary[None], every[..., None], 3)[..., 0].sum((1, 2))
    for pair in range(pr.connectivity // 2):
        first, second = edges(pr, pair)
        term = pr.table[every[:, first[0], first[1]], every[:, second[0], second[1]]]
        total = total + (pr.weights[(pair, *first)] * term).sum((1, 2))
    best = int(total.argmin())
    return float(total[best]), every[best].astype(np.int32)


# ---------------------------------------------------------------- message passing


def _finish(pr: Problem, messages: Array) -> Solution:
    """Eq 3.7, 3.8: costs are the unary plus the messages in canonical order."""
    costs = pr.unary.copy()
    for message in messages:
        costs = costs + message
    return Solution(_argmin(costs), costs, messages, chain_bound(pr, messages))


def _argmin(costs: Array) -> Labels:
    return costs.argmin(2).astype(np.int32)


def _zeros(pr: Problem) -> Array:
    return np.zeros((pr.connectivity, *pr.shape))


def _sweep(
    pr: Problem, r: int, target: Array, h: Callable[[tuple[Index, Index]], Array], damping: float
) -> None:
    """target_i(l) = min_m(h_p(m) + w V(m, l)) minus its minimum (Eq 3.5), blended with the old."""
    for nodes, preds in fronts(pr, r):
        new = (h(preds)[:, :, None] + pair_cost(pr, r, nodes, preds)).min(1)
        new -= new.min(1, keepdims=True)
        target[nodes] = (1 - damping) * new + damping * target[nodes]


def sgm(pr: Problem, iterations: int = 1, head: str = "unary") -> Solution:
    """Eq 3.3, 3.6. Iterated: the cost is the next unary; both terms are then divided by D.

    After the first iteration minima over labels are taken off all path costs and unaries.
    head="zero" leaves the unary out at the first node of every scanline.
    """
    current, scale, costs = pr.unary, 1.0, pr.unary
    for k in range(iterations):
        scaled = Problem(current, pr.table, pr.weights * scale, pr.connectivity)
        paths = [_sgm_path(scaled, r, head) for r in range(pr.connectivity)]
        costs = sum((_above_minimum(p) if k else p for p in paths), np.zeros(1))
        current, scale = _above_minimum(costs) / pr.connectivity, scale / pr.connectivity
    return Solution(_argmin(costs), costs, _zeros(pr), chain_bound(pr, _zeros(pr)))


def _above_minimum(costs: Array) -> Array:
    """Costs less their minimum over labels; forbidden labels stay forbidden."""
    lowest = costs.min(2, keepdims=True)
    return np.asarray(costs - np.where(np.isfinite(lowest), lowest, 0))


def _sgm_path(pr: Problem, r: int, head: str) -> Array:
    path = pr.unary.copy() if head == "unary" else np.zeros(pr.shape)
    for nodes, preds in fronts(pr, r):
        before = path[preds]
        step = (before[:, :, None] + pair_cost(pr, r, nodes, preds)).min(1)
        path[nodes] = pr.unary[nodes] + step - before.min(1, keepdims=True)
    return path


def isgmr(pr: Problem, iterations: int, damping: float = 0.0) -> Solution:
    """Algorithm 1, Eq 3.9: all directions read the messages of the previous iteration."""
    old = _zeros(pr)
    for _ in range(iterations):
        new = old.copy()
        for r in range(pr.connectivity):
            others = [d for d in range(pr.connectivity) if d // 2 != r // 2]
            fixed = pr.unary + sum((old[d] for d in others), np.zeros(1))
            _sweep(pr, r, new[r], lambda p, f=fixed, m=new[r]: f[p] + m[p], damping)  # type: ignore[misc]
        old = new
    return _finish(pr, old)


def trwp(pr: Problem, iterations: int, rho: float | None = None, damping: float = 0.0) -> Solution:
    """Algorithm 2 with Eq 3.10 (its line 7 misprints the opposite message)."""
    rho = 2 / pr.connectivity if rho is None else rho
    messages = _zeros(pr)
    for _ in range(iterations):
        for r in range(pr.connectivity):

            def h(p: tuple[Index, Index], r: int = r) -> Array:
                total = pr.unary[p] + messages[(slice(None), *p)].sum(0)
                return np.asarray(rho * total - messages[(r ^ 1, *p)])

            _sweep(pr, r, messages[r], h, damping)
    return _finish(pr, messages)


def bp(pr: Problem, iterations: int, damping: float = 0.0) -> Solution:
    """Loopy belief propagation: TRWP with rho = 1."""
    return trwp(pr, iterations, 1.0, damping)


# ---------------------------------------------------------------- TRW-S (Kolmogorov 2006)


def _neighbours(pr: Problem, y: int, x: int, parity: int) -> list[tuple[int, tuple[int, int]]]:
    """(direction from (y, x) to the neighbour, neighbour); parity 0: ahead, 1: behind in raster."""
    height, width, _ = pr.shape
    found = []
    for r in range(parity, pr.connectivity, 2):
        ny, nx = y + DIRECTIONS[r][0], x + DIRECTIONS[r][1]
        if 0 <= ny < height and 0 <= nx < width:
            found.append((r, (ny, nx)))
    return found


def _chains_per_node(pr: Problem) -> int:
    """1 / gamma, the same at every node: the most neighbours that any node has ahead of it.

    Kolmogorov's max(ahead, behind) of each node is smaller in a few nodes of the border; there, the
    chains in excess hold that one node only. Bound and fixed points are as good.
    """
    height, width, _ = pr.shape
    ahead = PAIRS[: pr.connectivity // 2]
    return max(sum(dy < height and abs(dx) < width for dy, dx in ahead), 1)


def _trws_pass(pr: Problem, messages: Array, parity: int) -> float:
    """Send to all neighbours ahead (parity 0) or behind (1); return the sum of the constants."""
    height, width, _ = pr.shape
    nodes = list(itertools.product(range(height), range(width)))
    chains = _chains_per_node(pr)
    bound = 0.0
    for y, x in nodes if parity == 0 else reversed(nodes):
        targets = _neighbours(pr, y, x, parity)
        b = pr.unary[y, x] + messages[:, y, x].sum(0)
        bound += float(b.min())
        b = b - b.min()
        for r, j in targets:
            h = b / chains - messages[(r ^ 1, y, x)]
            new = (h[:, None] + pair_cost(pr, r, j, (y, x))).min(0)
            bound += float(new.min())
            messages[(r, *j)] = new - new.min()
    return bound


def trws_labels(pr: Problem, messages: Array) -> Labels:
    """In raster order: neighbours behind with their labels, neighbours ahead by their messages."""
    height, width, _ = pr.shape
    labels = np.zeros((height, width), np.int32)
    for y, x in itertools.product(range(height), range(width)):
        cost = pr.unary[y, x].copy()
        for r, _ in _neighbours(pr, y, x, 0):
            cost += messages[r ^ 1, y, x]
        for r, j in _neighbours(pr, y, x, 1):
            cost += pair_cost(pr, r ^ 1, (y, x), j)[labels[j]]
        labels[y, x] = cost.argmin()
    return labels


def trws(pr: Problem, iterations: int) -> Solution:
    """Eq 2.44. The bound is the sum of the constants of the last backward pass.

    After it every chain's tail is absorbed, so the constants are the minima of all chains.
    """
    messages, bound = _zeros(pr), float("-inf")
    for _ in range(iterations):
        _trws_pass(pr, messages, 0)
        bound = _trws_pass(pr, messages, 1)
    done = _finish(pr, messages)
    return Solution(trws_labels(pr, messages), done.costs, messages, bound)


# ---------------------------------------------------------------- local updates


def mean_field(pr: Problem, iterations: int, normalise: str | None = None) -> Solution:
    """Q = softmax(-c); c_i(l) = theta_i(l) + s sum_d sum_m w V(m, l) Q_{i-d}(m)."""
    s = 1 / pr.connectivity if normalise == "directions" else 1.0
    costs = pr.unary
    for _ in range(iterations):
        q = np.exp(costs.min(2, keepdims=True) - costs)
        q /= q.sum(2, keepdims=True)
        expected = np.zeros(pr.shape)
        for r in range(pr.connectivity):
            for nodes, preds in fronts(pr, r):
                expected[nodes] += np.einsum("nm,nml->nl", q[preds], pair_cost(pr, r, nodes, preds))
        costs = pr.unary + s * expected
    return Solution(_argmin(costs), costs, _zeros(pr), chain_bound(pr, _zeros(pr)))


def conditional_costs(pr: Problem, labels: Labels) -> Array:
    """[H, W, L]: energy terms that touch a node, for each label of it, all others fixed."""
    costs = pr.unary.copy()
    for r in range(pr.connectivity):
        for nodes, preds in fronts(pr, r):
            every = pair_cost(pr, r, nodes, preds)
            costs[nodes] += every[np.arange(len(nodes[0])), labels[preds]]
    return costs


def icm(pr: Problem, iterations: int, first_colour: int = 0) -> Labels:
    """Eq 2.29-2.32, checkerboard order (4-connected grids)."""
    height, width, _ = pr.shape
    colour = np.add.outer(np.arange(height), np.arange(width)) % 2
    labels = _argmin(pr.unary)
    for _ in range(iterations):
        for c in (first_colour, 1 - first_colour):
            labels = np.where(colour == c, _argmin(conditional_costs(pr, labels)), labels)
    return labels


# ---------------------------------------------------------------- chains and the lower bound


def chain_min_marginals(unary: Array, pair: Array) -> Array:
    """[N, L] min-marginals of a chain; unary [N, L], pair [N-1, L, L] as [m, l]. Plain DP."""
    left, right = np.zeros_like(unary), np.zeros_like(unary)
    for n in range(1, len(unary)):
        left[n] = ((unary[n - 1] + left[n - 1])[:, None] + pair[n - 1]).min(0)
    for n in reversed(range(len(unary) - 1)):
        right[n] = ((unary[n + 1] + right[n + 1])[None, :] + pair[n]).min(1)
    return unary + left + right


def chain(pr: Problem) -> Array:
    """Min-marginals [H, W, L] of a problem whose height or width is 1 (4-connected)."""
    height, width, num = pr.shape
    assert min(height, width) == 1
    assert pr.connectivity == 4
    weights = pr.weights[0 if height == 1 else 1].reshape(-1)[: height * width - 1]
    pair = weights[:, None, None] * pr.table
    return chain_min_marginals(pr.unary.reshape(-1, num), pair).reshape(pr.shape)


def chain_bound(pr: Problem, messages: Array) -> float:
    """Sum of the exact minima of all scanlines, each with its share of the reparametrised unary.

    theta_i + sum_r m^r_i and w V - (the two messages on the edge) describe the same energy, and
    every node lies on one scanline of each pair of directions that has edges in the image, hence
    the sum of their minima, each with an equal share, is a lower bound.
    """
    height, width, _ = pr.shape
    share = 1 / _chains_per_node(pr)
    unary = pr.unary + messages.sum(0)
    total = 0.0
    for r in range(0, pr.connectivity, 2):
        dy, dx = DIRECTIONS[r]
        if (dy >= height or abs(dx) >= width) and not (height == width == 1 and r == 0):
            continue
        tail = share * unary  # minimum over the part of the scanline up to here
        last = np.ones(pr.shape[:2], bool)
        for nodes, preds in fronts(pr, r):
            pair = pair_cost(pr, r, nodes, preds)
            pair = pair - messages[(r, *nodes)][:, None, :] - messages[(r ^ 1, *preds)][:, :, None]
            tail[nodes] += (tail[preds][:, :, None] + pair).min(1)
            last[preds] = False
        total += float(tail.min(2)[last].sum())
    return total
