# SPDX-License-Identifier: Apache-2.0
"""Pruning of networks before they are trained; see docs/pruning.md.

>>> from mrfcore import pruning
>>> report = pruning.prune(model, torch.nn.functional.cross_entropy, batches, sparsity=0.78)
>>> print(report)
>>> pruning.save_slim(report.model, "slim.safetensors")
"""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.pruning")

from mrfcore.pruning.accounting import Profile, profile  # noqa: E402
from mrfcore.pruning.files import load_slim, save_slim  # noqa: E402
from mrfcore.pruning.graph import Graph, Layer  # noqa: E402
from mrfcore.pruning.initial import initialise  # noqa: E402
from mrfcore.pruning.masking import masked  # noqa: E402
from mrfcore.pruning.masks import (  # noqa: E402
    clean_masks,
    full_masks,
    layerwise_masks,
    random_masks,
    top_masks,
    vanished,
)
from mrfcore.pruning.plots import plot_reports  # noqa: E402
from mrfcore.pruning.pruner import prune  # noqa: E402
from mrfcore.pruning.report import Report  # noqa: E402
from mrfcore.pruning.scores import (  # noqa: E402
    MaskGradients,
    importance,
    mask_gradients,
    reweigh,
    weigh,
)
from mrfcore.pruning.search import (  # noqa: E402
    Budget,
    Infeasible,
    layer_resources,
    max_sparsity,
)
from mrfcore.pruning.slimming import slim  # noqa: E402
from mrfcore.pruning.snip import snip_masks  # noqa: E402
from mrfcore.pruning.tracing import trace  # noqa: E402

__all__ = [
    "Budget",
    "Graph",
    "Infeasible",
    "Layer",
    "MaskGradients",
    "Profile",
    "Report",
    "clean_masks",
    "full_masks",
    "importance",
    "initialise",
    "layer_resources",
    "layerwise_masks",
    "load_slim",
    "mask_gradients",
    "masked",
    "max_sparsity",
    "plot_reports",
    "profile",
    "prune",
    "random_masks",
    "reweigh",
    "save_slim",
    "slim",
    "snip_masks",
    "top_masks",
    "trace",
    "vanished",
    "weigh",
]
