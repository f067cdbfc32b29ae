# SPDX-License-Identifier: Apache-2.0
"""Differentiable operations on torch tensors.

>>> from mrfcore import ops
>>> costs = ops.message_passing(unary, mrfcore.TruncatedLinear(2), weights, solver="trwp")

`mrfcore.ops.reference` has the same functions in plain torch, written to be read: slow, but the
specification. `mrfcore.nn` wraps them as modules.
"""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.ops")

from mrfcore.ops.message_passing import message_passing  # noqa: E402

__all__ = ["message_passing"]
