# SPDX-License-Identifier: Apache-2.0
"""The joint network of two models by name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mrfcore.models._registry import create_model, register
from mrfcore.models.joint import JointSegmentation
from mrfcore.models.normalised import Normalised

__all__ = ["joint_superpixels"]

Colours = Sequence[Sequence[float]]  # mean and standard deviation, of three channels each


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
    segmentation_colours: Colours | None = None,
    superpixel_colours: Colours | None = None,
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
        segmentation_colours: mean and standard deviation by which images are normalised for the
            segmentation network: see `Normalised`. None: it gets images as they are.
        superpixel_colours: likewise, for the superpixel network.
    """
    net = create_model(segmentation, num_labels=num_labels, width=width)
    drawer = create_model("superpixel-fcn", width=superpixel_width)
    return JointSegmentation(
        _seeing("segmentation_colours", net, segmentation_colours),
        _seeing("superpixel_colours", drawer, superpixel_colours),
        num_labels,
        hidden=hidden,
        auxiliary=auxiliary,
        consistency=consistency,
    )


def _seeing(name: str, net: nn.Module, colours: Colours | None) -> nn.Module:
    """A network behind its normalisation."""
    if colours is None:
        return net
    if isinstance(colours, (str, bytes)) or not isinstance(colours, Sequence) or len(colours) != 2:
        raise ValueError(f"{name}: expected None or [mean, std], got {colours!r}")
    return Normalised(net, *colours)
