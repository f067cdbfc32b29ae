# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering of images on a GPU. Torch gives the memory and the stream."""

from __future__ import annotations

from typing import Any

from mrfcore import _core
from mrfcore._images import image_shape
from mrfcore._torch import require_torch

require_torch("filtering of images on a GPU")

import torch  # noqa: E402

from mrfcore import _device  # noqa: E402

__all__ = ["filtered", "images", "outputs"]


def images(image: Any, options: Any) -> torch.Tensor:
    """[B, H, W, C], contiguous, uint8 or float32. Looks at (waits for) float pixels only.

    Raises:
        ValueError, TypeError: as of an image on the CPU.
    """
    _device.require_back_end("image")
    tensor = _device.as_tensor("image", image)
    if tensor.ndim == 4:
        if tensor.shape[1] not in (1, 3) or tensor.numel() == 0:
            raise ValueError(
                "image: expected a batch [B, 1 or 3, H, W] without an empty axis, got shape "
                f"{list(tensor.shape)}"
            )
        tensor = tensor.permute(0, 2, 3, 1)
    else:
        tensor = tensor.reshape(image_shape("image", tensor.shape))[None]
    if options.space == _core.FilterSpace.luv and tensor.shape[3] != 3:
        raise ValueError(
            f"color_space: 'luv' needs three channels, got an image of {tensor.shape[3]}"
        )
    if tensor.dtype == torch.uint8:
        return tensor.contiguous()
    if not tensor.is_floating_point():
        raise TypeError(
            "image: expected uint8 or floating-point pixels on the 0..255 scale, got dtype "
            f"{tensor.dtype}; rescale and convert it first"
        )
    tensor = tensor.float().contiguous()
    _check_values(tensor, options)
    return tensor


def _check_values(tensor: torch.Tensor, options: Any) -> None:
    greatest = float(tensor.abs().max())  # NaN goes through max
    if not greatest < float("inf"):
        raise ValueError("image: expected finite pixels, found NaN or infinity")
    if not greatest < 1e15:
        raise ValueError(f"image: expected finite numbers below 1e15, got {greatest:g}")
    own_scale = options.color_radius <= 1 and options.space == _core.FilterSpace.rgb
    if 0 < greatest <= 1 and not own_scale:
        raise ValueError(
            "image: expected float pixels on the 0..255 scale, got values up to "
            f"{greatest:g}; multiply by 255"
        )


def filtered(tensor: torch.Tensor, options: Any) -> torch.Tensor:
    """Of `images`, in their layout."""
    core = _core.CudaImages()
    core.data = tensor.data_ptr()
    core.bytes = tensor.dtype == torch.uint8
    core.items, core.height, core.width, core.channels = tensor.shape
    out = _device.empty(tensor, tensor.shape, tensor.dtype, f"images {list(tensor.shape)}")
    workspace = _device.workspace(
        tensor,
        lambda items: _core.cuda_mean_shift_filter_workspace_bytes(core, options, items),
        core.items,
    )
    queue = _device.queue(tensor, workspace)
    with _device.current(tensor):
        _core.cuda_mean_shift_filter(core, options, out.data_ptr(), queue)
    return out


def outputs(image: Any, tensor: torch.Tensor) -> Any:
    """Tensor [B, H, W, C], or ids [B, H, W], as the kind and shape of array that `image` is."""
    if image.ndim != 4:
        tensor = tensor[0].reshape(image.shape) if tensor.ndim == 4 else tensor[0]
    elif tensor.ndim == 4:
        tensor = tensor.permute(0, 3, 1, 2).contiguous()
    return _device.like(image)(tensor)
