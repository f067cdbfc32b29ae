# SPDX-License-Identifier: Apache-2.0
"""What `JointSegmentation` checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mrfcore._scalars import _integer
from mrfcore.nn.superpixel_edges import SuperpixelEdges

__all__ = ["check_hidden", "check_image", "check_modules", "check_refinement", "logits_of"]


def check_modules(segmentation: object, superpixels: object) -> None:
    """Both are modules, or the second is None."""
    for name, module in (("segmentation", segmentation), ("superpixels", superpixels)):
        if not isinstance(module, nn.Module) and not (module is None and name != "segmentation"):
            raise TypeError(f"{name}: expected a module, got {type(module).__name__}")


def check_refinement(refine: object, edges: object) -> None:
    """A layer of costs, perhaps; weights of its edges only beside it."""
    if refine is not None and not isinstance(refine, nn.Module):
        raise TypeError(
            "refine: expected None or a layer such as mrfcore.nn.TRWP(mrfcore.Potts()), got "
            f"{refine!r}"
        )
    if edges is None:
        return
    if refine is None:
        raise ValueError("edges: expected None without refine, the layer whose weights they are")
    if not isinstance(edges, SuperpixelEdges):
        raise TypeError(f"edges: expected SuperpixelEdges, got {type(edges).__name__}")


def check_hidden(hidden: Sequence[int], width: int, why: str) -> list[int]:
    """Channels, each at least `width`, and why that many."""
    if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Sequence):
        raise TypeError(
            f"hidden: expected None or a list of numbers such as [64, 64], got {hidden!r}"
        )
    found = [_integer(f"hidden[{n}]", m) for n, m in enumerate(hidden)]
    if found and min(found) < width:
        raise ValueError(f"hidden: expected numbers >= {width}, {why}, got {found}")
    return found


def check_image(image: object) -> None:
    """[B, C, H, W] of floats."""
    if not isinstance(image, Tensor):
        raise TypeError(f"image: expected a tensor [B, C, H, W], got {type(image).__name__}")
    if not image.is_floating_point():
        hint = "; divide by 255" if image.dtype == torch.uint8 else ""
        raise TypeError(f"image: expected floats, got dtype {image.dtype}{hint}")
    if image.dim() != 4 or 0 in image.shape:
        raise ValueError(
            f"image: expected [B, C, H, W], all sizes at least 1, got shape {list(image.shape)}"
        )


def logits_of(found: Any, num_labels: int) -> Tensor:
    """What a segmentation network has made: a tensor, or a dict with it as "out"."""
    if isinstance(found, dict):
        if "out" not in found:
            raise ValueError(
                f"segmentation: expected logits or a dict with 'out', got one with {sorted(found)}"
            )
        found = found["out"]
    if not isinstance(found, Tensor) or found.dim() != 4 or found.shape[1] != num_labels:
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"segmentation: expected logits [B, {num_labels}, h, w] for num_labels = "
            f"{num_labels}, got {got}"
        )
    return found
