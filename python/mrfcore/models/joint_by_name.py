# SPDX-License-Identifier: Apache-2.0
"""The joint network of two models by name."""

from __future__ import annotations

from collections.abc import Sequence

from mrfcore.models._registry import create_model, register
from mrfcore.models.joint import JointSegmentation

__all__ = ["joint_superpixels"]


@register(
    "joint-superpixels",
    summary="segmentation and superpixels, joined by transparent layers",
    input_shape=(3, 512, 512),
)
def joint_superpixels(
    *,
    segmentation: str = "deeplabv3plus-resnet50",
    num_labels: int = 21,
    width: int = 64,
    superpixel_width: int = 16,
    hidden: Sequence[int] | None = None,
    auxiliary: str | None = "interleaved",
    consistency: str | None = "hard",
) -> JointSegmentation:
    """A `JointSegmentation` of two models by name.

    Args:
        segmentation: name of a model with the options num_labels and width.
        num_labels: L, of both.
        width: of the segmentation network.
        superpixel_width: of the superpixel network.
        hidden: see `JointSegmentation`.
        auxiliary: see `JointSegmentation`.
        consistency: see `JointSegmentation`.
    """
    return JointSegmentation(
        create_model(segmentation, num_labels=num_labels, width=width),
        create_model("superpixel-fcn", width=superpixel_width),
        num_labels,
        hidden=hidden,
        auxiliary=auxiliary,
        consistency=consistency,
    )
