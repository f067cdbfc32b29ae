# SPDX-License-Identifier: Apache-2.0
"""Pruning of networks before they are trained; see docs/pruning.md."""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.pruning")

from mrfcore.pruning.graph import Graph, Layer, trace  # noqa: E402
from mrfcore.pruning.masks import (  # noqa: E402
    clean_masks,
    full_masks,
    layerwise_masks,
    random_masks,
    top_masks,
    vanished,
)
from mrfcore.pruning.slimming import masked, slim  # noqa: E402

__all__ = [
    "Graph",
    "Layer",
    "clean_masks",
    "full_masks",
    "layerwise_masks",
    "masked",
    "random_masks",
    "slim",
    "top_masks",
    "trace",
    "vanished",
]
