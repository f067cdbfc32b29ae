# SPDX-License-Identifier: Apache-2.0
"""Message passing in plain torch, written to be read. Autograd supplies every gradient.

It is the specification of `mrfcore.ops.message_passing`, the oracle of its tests, and the baseline
of its benchmark; the op is what to use. Equation numbers are those of the thesis chapter that the
library implements (docs/architecture.md).

Vocabulary. Inside, volumes are [B, H, W, L]. A direction r is a step (dy, dx); the message
m^r_i(l) arrives at node i = (y, x) from its predecessor p = (y - dy, x - dx) and is zero where p
lies outside the image: there a scanline has its head. Even directions run along the canonical
pairs, odd ones against them, so the opposite of r is r ^ 1, the pair of r is r // 2. Every message
of a direction obeys one recursion,

    m_i(l) = min_m( h_p(m) + w V(m, l) ) - constant,    h_p = base_p + gain m_p,          (*)

and methods differ in base, gain and constant. All is differentiable almost everywhere; where
several labels attain a minimum, the gradient flows through the lowest of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from mrfcore.potentials import Potential

__all__ = ["message_passing"]

PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))
DIRECTIONS = tuple((s * dy, s * dx) for dy, dx in PAIRS for s in (1, -1))


def message_passing(
    unary: Tensor,
    pairwise: Potential | Tensor,
    weights: Tensor | float = 1.0,
    *,
    solver: str = "trwp",
    connectivity: int = 4,
    iterations: int = 5,
    rho: float | None = None,
    damping: float = 0.0,
    head: str = "unary",
    normalise: str | None = None,
    temperature: float = 0.0,
) -> Tensor:
    """Costs after message passing.

    Args:
        unary: costs [B, L, H, W], finite.
        pairwise: V, a potential or a table [L, L] with V[label of the edge's owner, other label].
        weights: number, tensor [], [P, H, W] or [B or 1, P, H, W], P = connectivity / 2; entry
            [p, y, x] belongs to the edge from its owner (y, x) to (y, x) + PAIRS[p].
        solver: "sgm", "isgmr", "trwp", "bp" or "mean_field".
        connectivity: directions in use: the first 4, 8 or 16.
        iterations: 0 returns the unaries.
        rho: trwp: share of the belief that is passed on (default 2 / connectivity).
        damping: isgmr, trwp, bp: message = (1 - damping) new + damping old.
        head: sgm: the first path cost of a scanline is its "unary" or "zero".
        normalise: mean_field: "directions" divides the neighbours' sum by the connectivity.
        temperature: isgmr, trwp, bp: above 0, soft minima replace the minima of (*).

    Returns:
        Costs [B, L, H, W]. Differentiable in unary, weights and a table.
    """
    theta = unary.movedim(1, -1)
    model = _model(pairwise, weights, theta, connectivity, temperature)
    if solver == "sgm":
        costs = _sgm(theta, model, iterations, head)
    elif solver == "isgmr":
        costs = _isgmr(theta, model, iterations, damping)
    elif solver == "trwp":
        share = 2.0 / connectivity if rho is None else rho
        costs = _trwp(theta, model, iterations, share, damping)
    elif solver == "bp":
        costs = _trwp(theta, model, iterations, 1.0, damping)
    elif solver == "mean_field":
        costs = _mean_field(theta, model, iterations, normalise)
    else:
        raise ValueError(f"solver: expected sgm, isgmr, trwp, bp or mean_field, got {solver!r}")
    return costs.movedim(-1, 1)


# ---------------------------------------------------------------- pairwise terms


@dataclass(frozen=True)
class _Model:
    """Edges: w V. A weight common to all edges is part of the table."""

    table: Tensor  # [L, L]
    weights: Tensor | None  # [B or 1, P, H, W], or None: one
    connectivity: int
    temperature: float

    @property
    def directions(self) -> range:
        return range(self.connectivity)

    def minimum(self, h: Tensor, r: int, weight: Tensor | None) -> Tensor:
        """min_m( h(m) + w V(m, l) ) for h [..., L], weight [...].

        With a temperature T the soft minimum -T log sum_m exp( -(h(m) + w V(m, l)) / T ), Eq 3.44.
        """
        # [m, l], m the label of the predecessor, who owns the edge if r is even.
        pairwise = self.table if r % 2 == 0 else self.table.T
        if weight is not None:
            pairwise = weight[..., None, None] * pairwise
        terms = h[..., :, None] + pairwise
        if self.temperature > 0:
            return -self.temperature * torch.logsumexp(-terms / self.temperature, dim=-2)
        return terms.min(dim=-2).values


def _model(
    pairwise: Potential | Tensor,
    weights: Tensor | float,
    theta: Tensor,
    connectivity: int,
    temperature: float,
) -> _Model:
    given: Any = pairwise.table(theta.shape[-1]) if isinstance(pairwise, Potential) else pairwise
    table = torch.as_tensor(given, dtype=theta.dtype, device=theta.device)
    weight = torch.as_tensor(weights, dtype=theta.dtype, device=theta.device)
    if weight.dim() == 0:
        return _Model(weight * table, None, connectivity, temperature)
    per_edge = weight if weight.dim() == 4 else weight[None]
    return _Model(table, per_edge, connectivity, temperature)


# ---------------------------------------------------------------- the recursion (*)


def _sweep(
    base: Tensor,
    gain: float,
    r: int,
    model: _Model,
    old: Tensor | None = None,
    damping: float = 0.0,
    path_costs: bool = False,
) -> Tensor:
    """Messages [B, H, W, L] of direction r by (*), a line of the image after the other.

    Lines are rows, or columns for the horizontal directions; their pixels are independent. The
    constant is the message's own minimum (Eq 3.5) or, for path costs, that of h (Eq 3.3).
    """
    dy, dx = DIRECTIONS[r]
    axis, step, shift = (1, dy, dx) if dy else (2, dx, 0)  # a step moves by `shift` within the line
    bases = base.unbind(axis)
    olds = None if old is None else old.unbind(axis)
    weights = None if model.weights is None else model.weights[:, r // 2].unbind(axis)
    count, length = len(bases), bases[0].shape[1]
    inside = slice(max(shift, 0), length + min(shift, 0))  # nodes that have a predecessor
    before = slice(max(-shift, 0), length - max(shift, 0))  # their predecessors

    messages = [torch.zeros_like(bases[0])] * count
    for i in range(count) if step > 0 else reversed(range(count)):
        p = i - step
        if not 0 <= p < count or abs(shift) >= length:
            continue  # heads of scanlines
        h = (bases[p] + gain * messages[p])[:, before]
        weight = None
        if weights is not None:
            weight = weights[p][:, before] if r % 2 == 0 else weights[i][:, inside]
        if path_costs:
            message = model.minimum(_less_minimum(h), r, weight)
        else:
            message = _less_minimum(model.minimum(h, r, weight))
        if olds is not None and damping > 0:
            message = message + damping * (olds[i][:, inside] - message)
        messages[i] = pad(message, (0, 0, inside.start, length - inside.stop))
    return torch.stack(messages, axis)


def _less_minimum(costs: Tensor) -> Tensor:
    return costs - costs.min(dim=-1, keepdim=True).values


# ---------------------------------------------------------------- methods


def _sgm(theta: Tensor, model: _Model, iterations: int, head: str) -> Tensor:
    """Eq 3.3: path costs L_r = theta + m^r; Eq 3.6: the cost is their sum over r.

    From the second iteration on the cost is the next unary. It and the weights are divided by the
    number of directions (a power of two: no label changes, nothing overflows), and minima over
    labels are taken off unaries and path costs.
    """
    costs, scale = theta, 1.0
    for k in range(iterations):
        if k > 0:
            # A weight must not vanish, or ties that it alone decides would stay undecided.
            share = 1.0 / model.connectivity if scale > 2.0**-64 else 1.0
            theta, scale = _less_minimum(costs) * share, scale * share
        scaled = replace(model, table=model.table * scale)
        paths = []
        for r in model.directions:
            # head="zero" leaves the unary out at nodes without a predecessor.
            base = theta if head == "unary" else theta * _moved(torch.ones_like(theta), r)
            path = base + _sweep(base, 1.0, r, scaled, path_costs=True)
            paths.append(path if k == 0 else _less_minimum(path))
        costs = sum(paths[1:], paths[0])
    return costs


def _isgmr(theta: Tensor, model: _Model, iterations: int, damping: float) -> Tensor:
    """Eq 3.9, Algorithm 1: h = theta + own new message + previous messages of the other pairs."""
    messages = [torch.zeros_like(theta)] * model.connectivity
    for _ in range(iterations):
        old = messages
        messages = []
        for r in model.directions:
            cavity = _belief(theta, [old[d] for d in model.directions if d // 2 != r // 2])
            messages.append(_sweep(cavity, 1.0, r, model, old[r], damping))
    return _belief(theta, messages)


def _trwp(theta: Tensor, model: _Model, iterations: int, rho: float, damping: float) -> Tensor:
    """Eq 3.10, Algorithm 2: h = rho (theta + newest messages) - message of the opposite direction.

    Line 7 of the printed algorithm has m^r there. rho = 1 is loopy belief propagation.
    """
    messages = [torch.zeros_like(theta)] * model.connectivity
    for _ in range(iterations):
        for r in model.directions:
            others = _belief(theta, [messages[d] for d in model.directions if d != r])
            base = rho * others - messages[r ^ 1]
            messages[r] = _sweep(base, rho, r, model, messages[r], damping)
    return _belief(theta, messages)


def _belief(theta: Tensor, messages: list[Tensor]) -> Tensor:
    """Eq 3.7: theta + sum of messages, in canonical order."""
    return sum(messages, theta)


def _mean_field(theta: Tensor, model: _Model, iterations: int, normalise: str | None) -> Tensor:
    """All nodes at once: Q = softmax(-c), c_i(l) = theta_i(l) + s sum_r sum_m w V(m, l) Q_p(m)."""
    s = 1.0 / model.connectivity if normalise == "directions" else 1.0
    costs = theta
    for _ in range(iterations):
        beliefs = torch.softmax(-costs, dim=-1)
        expected = torch.zeros_like(theta)
        for r in model.directions:
            seen = beliefs @ (model.table if r % 2 == 0 else model.table.T)
            if model.weights is None:
                expected = expected + _moved(seen, r)
            elif r % 2 == 0:  # the predecessor owns the edge
                expected = expected + _moved(model.weights[:, r // 2, ..., None] * seen, r)
            else:
                expected = expected + model.weights[:, r // 2, ..., None] * _moved(seen, r)
        costs = theta + s * expected
    return costs


def _moved(volume: Tensor, r: int) -> Tensor:
    """The volume [B, H, W, L] one step along r, zeros where it came from outside."""
    (dy, dx), (height, width) = DIRECTIONS[r], volume.shape[1:3]
    if abs(dy) >= height or abs(dx) >= width:
        return torch.zeros_like(volume)
    # A negative amount of padding crops.
    return pad(volume, (0, 0, dx, -dx, dy, -dy))
