# SPDX-License-Identifier: Apache-2.0
"""The ops of `_library.py` on the GPU: everything is enqueued on torch's current stream.

Nothing waits for the GPU, reads from it or allocates outside torch, so that calls can be captured
in a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _device
from mrfcore.ops._setup import Setup, core_options, core_potential

__all__ = ["DeviceCall"]


class DeviceCall:
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
        self.table = None if table is None else table.detach().contiguous()
        self.weights = None if weights is None else weights.detach().contiguous()
        scalar = self.weights is not None and self.weights.dim() == 0
        self.edges = None if scalar else self.weights
        potential = (
            core_potential(setup.potential, list(setup.parameters), None) if table is None else None
        )
        number = self.weights if scalar and self.weights is not None else weight
        self.problem = _device.problem(
            self.unary, potential, self.table, number, self.edges, setup.connectivity
        )
        self.options = core_options(setup)

    def _function(self, stem: str) -> Any:
        return _device.function(f"cuda_layer_{stem}", self.unary.dtype)

    def _workspace(self, wanted: Any) -> torch.Tensor:
        size = self._function("workspace_bytes")(self.problem, self.options, wanted)
        return _device.empty(self.unary, size, torch.uint8, "messages", _device.STORE_LESS)

    def forward(self, keep_tape: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(costs, tape)."""
        size = self._function("tape_bytes")(self.problem, self.options) if keep_tape else 0
        costs = _device.empty(
            self.unary, self.unary.shape, self.unary.dtype, "costs", _device.FEWER_LABELS
        )
        tape = _device.empty(
            self.unary, size, torch.uint8, "what backward needs", _device.STORE_LESS
        )
        workspace = self._workspace(None)
        with _device.current(self.unary):
            self._function("forward")(
                self.problem,
                self.options,
                costs.data_ptr(),
                tape.data_ptr() if keep_tape else 0,
                _device.queue(self.unary, workspace),
            )
        return costs, tape

    def backward(
        self,
        tape: torch.Tensor,
        grad_costs: torch.Tensor,
        grad_unary: torch.Tensor | None,
        grad_weights: torch.Tensor | None,
        grad_table: torch.Tensor | None,
    ) -> None:
        """Writes the gradients that are given."""
        scalar = self.edges is None
        wanted = _device.gradients(
            grad_unary,
            None if scalar else grad_weights,
            grad_weights if scalar else None,
            grad_table,
        )
        grad = grad_costs.detach().contiguous()
        workspace = self._workspace(wanted)
        with _device.current(self.unary):
            self._function("backward")(
                self.problem,
                self.options,
                tape.data_ptr(),
                grad.data_ptr(),
                wanted,
                _device.queue(self.unary, workspace),
            )
