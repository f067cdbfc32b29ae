# SPDX-License-Identifier: Apache-2.0
"""Weights of networks that torchvision or timm have, where they are installed."""

from __future__ import annotations

import torch

__all__ = ["resnet_state"]


def resnet_state(source: str, depth: int) -> dict[str, torch.Tensor]:
    """State dict of a ResNet for ImageNet, its classifier included.

    Args:
        source: "torchvision" or "timm": its default weights, downloaded where they are not there.
        depth: 18, 34, 50, 101 or 152.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        if source == "torchvision":
            import torchvision

            network = torchvision.models.get_model(f"resnet{depth}", weights="DEFAULT")
        else:
            import timm

            network = timm.create_model(f"resnet{depth}", pretrained=True)
    except ModuleNotFoundError as error:
        if error.name != source:
            raise
        raise ImportError(
            f"weights={source!r} needs {source}, which is not installed: pip install {source} "
            "(a file of its weights needs nothing)",
            name=source,
        ) from error
    state: dict[str, torch.Tensor] = network.state_dict()
    return state
