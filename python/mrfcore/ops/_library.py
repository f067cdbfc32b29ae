# SPDX-License-Identifier: Apache-2.0
"""`mrfcore::message_passing` and its backward as torch.library ops.

They take and return memory as the core has it: unary and costs [B, H, W, L], contiguous. What is
above them (layout, dtypes, autograd, vmap) is in `message_passing.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mrfcore import _core, _device
from mrfcore.ops._device_call import DeviceCall
from mrfcore.ops._setup import Setup, core_options, core_potential

__all__ = ["backward_op", "forward_op"]

_SETUP = (
    "str potential, float[] parameters, str solver, int connectivity, int iterations, float rho, "
    "float damping, str head, bool normalise, float temperature, int store_every, "
    "str min_convolution, int threads"
)
_INPUTS = "Tensor unary, Tensor? table, Tensor? weights, float weight"

torch.library.define(
    "mrfcore::message_passing",
    f"({_INPUTS}, bool keep_tape, {_SETUP}) -> (Tensor costs, Tensor tape)",
)
torch.library.define(
    "mrfcore::message_passing_backward",
    f"({_INPUTS}, Tensor tape, Tensor grad_costs, bool need_unary, bool need_table, "
    f"bool need_weights, {_SETUP}) -> (Tensor grad_unary, Tensor grad_table, Tensor grad_weights)",
)

forward_op = torch.ops.mrfcore.message_passing
backward_op = torch.ops.mrfcore.message_passing_backward

_WORTH_ASKING = 1 << 26  # bytes; as in minimize()


class _Call:
    """Arguments that forward and backward share, as the core wants them."""

    def __init__(
        self,
        unary: torch.Tensor,
        table: torch.Tensor | None,
        weights: torch.Tensor | None,
        weight: float,
        setup: Setup,
    ) -> None:
        # Graph compilers may hand over other strides than those that were traced.
        self.unary = unary.detach().contiguous()
        self.potential = core_potential(setup.potential, list(setup.parameters), table)
        self.edges = None
        self.weight = float(weight)
        if weights is not None and weights.dim() == 0:
            self.weight = float(weights)
        elif weights is not None:
            self.edges = weights.detach().contiguous()
        self.connectivity = setup.connectivity
        self.options = core_options(setup)

    def core_arguments(self, *more: torch.Tensor | None) -> list[Any]:
        """The problem, the options, then `more`, tensors as NumPy arrays on the same memory."""
        edges = None if self.edges is None else self.edges.numpy()
        problem = [self.unary.numpy(), self.potential, self.weight, edges, self.connectivity]
        arrays = [None if x is None else x.detach().contiguous().numpy() for x in more]
        return [*problem, self.options, *arrays]

    def workspace(self, backward: bool, more_bytes: int) -> torch.Tensor:
        double = self.unary.dtype == torch.float64
        count = _core.layer_workspace_bytes_f64 if double else _core.layer_workspace_bytes_f32
        batch, height, width, labels = self.unary.shape
        size = count(
            batch,
            height,
            width,
            labels,
            self.potential,
            self.edges is not None,
            self.connectivity,
            self.options,
            backward,
        )
        _require_memory(self.unary, size + more_bytes)
        return torch.empty(size, dtype=torch.uint8)


def _require_memory(unary: torch.Tensor, needed: int) -> None:
    if needed < _WORTH_ASKING:
        return
    available = _core.available_bytes()
    if 0 <= available < needed:
        batch, height, width, labels = unary.shape
        raise MemoryError(
            f"unary of shape {[batch, labels, height, width]} needs {needed:,} bytes "
            f"({needed / 2**30:.1f} GiB) for outputs, messages and what backward needs, "
            f"{available:,} are available; store_every=n keeps every n-th iteration only"
        )


def _tape_bytes(unary: torch.Tensor, potential: Any, edges: bool, setup: Setup) -> int:
    """What the core's layer_tape_bytes says.

    For stored arg-mins the formula is repeated here, in operations that torch.compile can trace:
    graphs then serve all image sizes. Other tapes depend on the machine's vectors; their graphs are
    made for one size. A GPU works on all items at once: their rows follow each other in every part.
    """
    batch, height, width, labels = unary.shape
    if _device.on_device(unary):
        batch, height = 1, batch * height
    if setup.temperature == 0 and setup.solver != "mean_field" and setup.store_every == 1:
        item = 1 if labels <= _BYTE_LABELS else 2
        minima = _aligned(height * width * item)
        per_iteration = setup.connectivity * (_aligned(height * width * labels * item) + minima)
        per_iteration += minima if setup.solver == "sgm" else 0
        return _TAPE_HEADER + batch * setup.iterations * per_iteration
    if _device.on_device(unary):
        return _device_tape_bytes(int(height), int(width), int(labels), unary.dtype, setup)
    double = unary.dtype == torch.float64
    count = _core.layer_tape_bytes_f64 if double else _core.layer_tape_bytes_f32
    return count(
        int(batch),
        int(height),
        int(width),
        int(labels),
        potential,
        edges,
        setup.connectivity,
        core_options(setup),
    )


def _device_tape_bytes(
    height: int, width: int, labels: int, dtype: torch.dtype, setup: Setup
) -> int:
    """Of the core, for a batch as one tall image; no tensor is looked at."""
    p = _core.CudaProblem()
    p.height, p.width, p.labels, p.connectivity = height, width, labels, setup.connectivity
    p.unary = 1  # not null: nothing reads it
    count: int = _device.function("cuda_layer_tape_bytes", dtype)(p, core_options(setup))
    return count


_TAPE_HEADER, _BYTE_LABELS = 128, 256


def _aligned(size: int) -> int:
    return (size + 63) // 64 * 64


def _has_edges(weights: torch.Tensor | None) -> bool:
    return weights is not None and weights.dim() != 0


@torch.library.impl("mrfcore::message_passing", ("cpu", "cuda"))
def _forward(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: torch.Tensor | None,
    weight: float,
    keep_tape: bool,
    *setup_values: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    setup = Setup(*setup_values)
    if _device.on_device(unary):
        return DeviceCall(unary, table, weights, weight, setup).forward(keep_tape)
    call = _Call(unary, table, weights, weight, setup)
    tape_size = (
        _tape_bytes(unary, call.potential, call.edges is not None, setup) if keep_tape else 0
    )
    workspace = call.workspace(False, tape_size + unary.numel() * unary.element_size())
    costs = torch.empty(unary.shape, dtype=unary.dtype)
    tape = torch.empty(tape_size, dtype=torch.uint8)
    _core.layer_forward(*call.core_arguments(costs, tape if keep_tape else None, workspace))
    return costs, tape


@torch.library.register_fake("mrfcore::message_passing")
def _forward_fake(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: torch.Tensor | None,
    weight: float,  # noqa: ARG001
    keep_tape: bool,
    *setup_values: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    setup = Setup(*setup_values)
    size = 0
    if keep_tape:
        potential = (
            core_potential(setup.potential, list(setup.parameters), None)
            if table is None
            # The values of a fake table are not known, and the size does not depend on them.
            else _core.Potential.table(np.zeros([int(n) for n in table.shape]))
        )
        size = _tape_bytes(unary, potential, _has_edges(weights), setup)
    return unary.new_empty(unary.shape), unary.new_empty(size, dtype=torch.uint8)


@torch.library.impl("mrfcore::message_passing_backward", ("cpu", "cuda"))
def _backward(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: torch.Tensor | None,
    weight: float,
    tape: torch.Tensor,
    grad_costs: torch.Tensor,
    need_unary: bool,
    need_table: bool,
    need_weights: bool,
    *setup_values: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    grads = _empty_grads(unary, table, weights, need_unary, need_table, need_weights)
    grad_unary, grad_table, grad_weights = grads
    if _device.on_device(unary):
        DeviceCall(unary, table, weights, weight, Setup(*setup_values)).backward(
            tape,
            grad_costs,
            grad_unary if need_unary else None,
            grad_weights if need_weights else None,
            grad_table if need_table else None,
        )
        return grads
    call = _Call(unary, table, weights, weight, Setup(*setup_values))
    edges = call.edges is not None
    arguments = call.core_arguments(
        tape,
        grad_costs,
        grad_unary if need_unary else None,
        grad_weights if need_weights and edges else None,
        grad_weights.view(1) if need_weights and not edges else None,
        grad_table if need_table else None,
        call.workspace(True, sum(g.numel() * g.element_size() for g in grads)),
    )
    _core.layer_backward(*arguments)
    return grads


def _empty_grads(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: torch.Tensor | None,
    need_unary: bool,
    need_table: bool,
    need_weights: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Memory for the gradients; [0] for one that nobody needs."""
    return (
        unary.new_empty(unary.shape if need_unary else 0),
        unary.new_empty(table.shape if need_table and table is not None else 0),
        unary.new_empty(weights.shape if need_weights and weights is not None else 0),
    )


@torch.library.register_fake("mrfcore::message_passing_backward")
def _backward_fake(
    unary: torch.Tensor,
    table: torch.Tensor | None,
    weights: torch.Tensor | None,
    weight: float,  # noqa: ARG001
    tape: torch.Tensor,  # noqa: ARG001
    grad_costs: torch.Tensor,  # noqa: ARG001
    need_unary: bool,
    need_table: bool,
    need_weights: bool,
    *setup_values: Any,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _empty_grads(unary, table, weights, need_unary, need_table, need_weights)
