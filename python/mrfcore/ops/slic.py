# SPDX-License-Identifier: Apache-2.0
"""SLIC superpixels of torch tensors."""

from __future__ import annotations

from typing import Any

import torch

from mrfcore import _device
from mrfcore.ops import _folding as fold
from mrfcore.ops import _slic_device
from mrfcore.ops._tensors import FLOATS
from mrfcore.superpixels import check_slic_image, slic_of_array, slic_options

__all__ = ["slic", "slic_of_tensor"]


def slic(
    image: torch.Tensor,
    num: int = 225,
    *,
    compactness: float = 10.0,
    iterations: int = 10,
    sigma: float = 0.0,
    enforce_connectivity: bool = True,
    min_size: int | None = None,
    color_space: str = "lab",
    threads: int | None = None,
) -> torch.Tensor:
    """SLIC superpixels of a batch: `mrfcore.superpixels.slic`, whose arguments these are.

    Args:
        image: [B, C, H, W]: uint8, or floats in 0..1.
        num: superpixels wanted in every image; there may be a few more.
        compactness: 0..100: the colour distance that is worth one cell.
        iterations: >= 0.
        sigma: standard deviation in pixels of a Gaussian that smooths the colours first.
        enforce_connectivity: make every superpixel one 4-connected piece.
        min_size: pixels of a piece that stays one; None: a quarter of a cell.
        color_space: "lab" (1 or 3 channels) or "rgb" (1 to 8, as they are).
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Returns:
        ids int32 [B, H, W], ready for `superpixel_pool`. They have no gradient.

    Raises:
        ValueError, TypeError: as `mrfcore.superpixels.slic`.
    """
    if isinstance(image, torch.Tensor) and image.dim() != 4:
        raise ValueError(f"image: expected [B, C, H, W], got shape {list(image.shape)}")
    options = slic_options(
        num,
        compactness,
        iterations,
        sigma,
        enforce_connectivity,
        min_size,
        color_space,
        threads,
    )
    return slic_of_tensor(image, options)


def slic_of_tensor(
    image: torch.Tensor, options: tuple[int, float, int, float, bool, int, bool, int]
) -> torch.Tensor:
    """Of [C, H, W] or [B, C, H, W].

    Raises:
        ValueError, TypeError: as `mrfcore.superpixels.slic`.
    """
    if not isinstance(image, torch.Tensor):
        raise TypeError(f"image: expected a tensor [B, C, H, W], got {type(image).__name__}")
    if image.dtype != torch.uint8 and image.dtype not in FLOATS:
        raise TypeError(f"image: expected uint8 or floats in 0..1, got dtype {image.dtype}")
    if image.dim() not in (3, 4) or 0 in image.shape:
        raise ValueError(
            f"image: expected [C, H, W] or [B, C, H, W], none of them 0, got shape "
            f"{list(image.shape)}"
        )
    check_slic_image(image.shape[-3:], options)
    if _device.on_device(image):
        _device.require_back_end("image")
    pixels = image.detach()
    if pixels.dtype != torch.uint8:
        pixels = pixels.float()
    if image.dim() == 3:
        ids: torch.Tensor = torch.ops.mrfcore.slic(pixels[None], *options)[0]
        return ids
    ids = torch.ops.mrfcore.slic(pixels, *options)
    return ids


# ---------------------------------------------------------------- op

torch.library.define(
    "mrfcore::slic",
    "(Tensor image, int num, float compactness, int iterations, float sigma, "
    "bool enforce_connectivity, int min_size, bool lab, int threads) -> Tensor",
)


@torch.library.impl("mrfcore::slic", ("cpu", "cuda"))
def _slic(image: torch.Tensor, *options: Any) -> torch.Tensor:
    if _device.on_device(image):
        return _slic_device.slic(image, options)
    return torch.from_numpy(slic_of_array(image.numpy(), options))


@torch.library.register_fake("mrfcore::slic")
def _slic_fake(image: torch.Tensor, *options: Any) -> torch.Tensor:  # noqa: ARG001
    return image.new_empty((image.shape[0], *image.shape[2:]), dtype=torch.int32)


def _slic_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
    return fold.batched(torch.ops.mrfcore.slic, info.batch_size, in_dims, args)


torch.library.register_vmap("mrfcore::slic", _slic_vmap)
