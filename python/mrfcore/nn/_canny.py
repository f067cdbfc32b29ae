# SPDX-License-Identifier: Apache-2.0
"""Canny edges by scikit-image, as a torch op so that compiled graphs need not break there."""

from __future__ import annotations

import torch

__all__ = ["canny_edges"]

torch.library.define(
    "mrfcore::canny_edges", "(Tensor grey, float sigma, float low, float high) -> Tensor"
)


def canny_edges(grey: torch.Tensor, sigma: float, low: float, high: float) -> torch.Tensor:
    """Edges of grey images [B, H, W], bool; computed on the CPU wherever the images are."""
    edges: torch.Tensor = torch.ops.mrfcore.canny_edges(grey.cpu(), sigma, low, high)
    return edges.to(grey.device)


@torch.library.impl("mrfcore::canny_edges", "CPU")
def _canny(grey: torch.Tensor, sigma: float, low: float, high: float) -> torch.Tensor:
    try:
        from skimage.feature import canny
    except ModuleNotFoundError as error:
        raise ImportError(
            "kind 'canny' needs scikit-image, which is not installed: pip install scikit-image",
            name="skimage",
        ) from error
    images = grey.to(torch.float64).numpy()
    maps = [torch.from_numpy(canny(image, sigma, low, high)) for image in images]
    return torch.stack(maps)


@torch.library.register_fake("mrfcore::canny_edges")
def _canny_fake(
    grey: torch.Tensor,
    sigma: float,  # noqa: ARG001
    low: float,  # noqa: ARG001
    high: float,  # noqa: ARG001
) -> torch.Tensor:
    return grey.new_empty(grey.shape, dtype=torch.bool)
