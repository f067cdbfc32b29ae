# SPDX-License-Identifier: Apache-2.0
"""Message passing and dense operators as layers of a network.

The operators are also functions: `mrfcore.nn.functional`.

>>> from mrfcore import nn as mrf
>>> layer = mrf.TRWP(mrf.LearnedPairwise(21), iterations=5)
>>> edges = mrf.EdgeWeights("exponential")
>>> costs = layer(-logits, edges(image))  # [B, 21, H, W]; -costs are logits again
"""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.nn")

from mrfcore.nn import functional  # noqa: E402
from mrfcore.nn.edge_weights import EdgeWeights  # noqa: E402
from mrfcore.nn.filter_flow import FilterFlow, Warp  # noqa: E402
from mrfcore.nn.insert_transparent import insert_transparent  # noqa: E402
from mrfcore.nn.layer_init import net2net_init_, random_init_, xavier_init_  # noqa: E402
from mrfcore.nn.layers import ISGMR, SGM, TRWP, LoopyBP, MeanField  # noqa: E402
from mrfcore.nn.learned_pairwise import LearnedPairwise  # noqa: E402
from mrfcore.nn.mean_shift import MeanShift, PairwiseMarginLoss  # noqa: E402
from mrfcore.nn.pair_activation import PairActivation  # noqa: E402
from mrfcore.nn.regression import soft_argmin  # noqa: E402
from mrfcore.nn.superpixel import (  # noqa: E402
    LogitConsistency,
    SoftSuperpixelPool,
    SoftSuperpixelUnpool,
    SuperpixelPool,
    SuperpixelUnpool,
)
from mrfcore.nn.superpixel_edges import SuperpixelEdges  # noqa: E402
from mrfcore.nn.transparency import TransparencyReport, transparency_report  # noqa: E402
from mrfcore.nn.transparent import TransparentSequence  # noqa: E402
from mrfcore.nn.transparent_init import Transparency, transparent_init_  # noqa: E402

__all__ = [
    "ISGMR",
    "SGM",
    "TRWP",
    "EdgeWeights",
    "FilterFlow",
    "LearnedPairwise",
    "LogitConsistency",
    "LoopyBP",
    "MeanField",
    "MeanShift",
    "PairActivation",
    "PairwiseMarginLoss",
    "SoftSuperpixelPool",
    "SoftSuperpixelUnpool",
    "SuperpixelEdges",
    "SuperpixelPool",
    "SuperpixelUnpool",
    "Transparency",
    "TransparencyReport",
    "TransparentSequence",
    "Warp",
    "functional",
    "insert_transparent",
    "net2net_init_",
    "random_init_",
    "soft_argmin",
    "transparency_report",
    "transparent_init_",
    "xavier_init_",
]
