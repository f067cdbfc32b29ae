# SPDX-License-Identifier: Apache-2.0
"""Dense differentiable operators as functions; one page each in docs/operators."""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.nn.functional")

from mrfcore.ops.filter_flow import (  # noqa: E402
    expected_flow,
    filter_flow,
    filter_flow_transpose,
)
from mrfcore.ops.flow_losses import charbonnier, flow_smoothness  # noqa: E402
from mrfcore.ops.group_points import group_points  # noqa: E402
from mrfcore.ops.margins import margin_bound, margin_capacity  # noqa: E402
from mrfcore.ops.mean_shift import (  # noqa: E402
    kappa_from_margin,
    mean_shift,
    mean_shift_euclid,
)
from mrfcore.ops.pairwise_margin import pairwise_margin_loss, sample_points  # noqa: E402
from mrfcore.ops.slic import slic  # noqa: E402
from mrfcore.ops.soft_superpixel import (  # noqa: E402
    soft_superpixel_pool,
    soft_superpixel_unpool,
    superpixel_ids,
)
from mrfcore.ops.superpixel import (  # noqa: E402
    logit_consistency,
    superpixel_pool,
    superpixel_unpool,
)
from mrfcore.ops.superpixel_loss import superpixel_loss  # noqa: E402
from mrfcore.ops.superpixel_maps import (  # noqa: E402
    superpixel_adjacency,
    superpixel_boundaries,
    superpixel_relabel,
)
from mrfcore.ops.warp import compose_flows, flow_consistency, warp  # noqa: E402

__all__ = [
    "charbonnier",
    "compose_flows",
    "expected_flow",
    "filter_flow",
    "filter_flow_transpose",
    "flow_consistency",
    "flow_smoothness",
    "group_points",
    "kappa_from_margin",
    "logit_consistency",
    "margin_bound",
    "margin_capacity",
    "mean_shift",
    "mean_shift_euclid",
    "pairwise_margin_loss",
    "sample_points",
    "slic",
    "soft_superpixel_pool",
    "soft_superpixel_unpool",
    "superpixel_adjacency",
    "superpixel_boundaries",
    "superpixel_ids",
    "superpixel_loss",
    "superpixel_pool",
    "superpixel_relabel",
    "superpixel_unpool",
    "warp",
]
