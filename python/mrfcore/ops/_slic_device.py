# SPDX-License-Identifier: Apache-2.0
"""SLIC on the GPU: everything is enqueued on torch's current stream, nothing waits."""

from __future__ import annotations

import torch

from mrfcore import _core, _device

__all__ = ["slic"]


def slic(
    image: torch.Tensor, options: tuple[int, float, int, float, bool, int, bool, int]
) -> torch.Tensor:
    """Ids int32 [B, H, W] of an image [B, C, H, W], uint8 or float32, of any strides."""
    num, weight, iterations, sigma, connected, smallest, lab, _ = options
    shape = list(image.shape)
    batch, _, height, width = shape
    wanted = _core.CudaSlicOptions(shape, num, weight, iterations, connected, smallest)
    features = _device.empty(image, shape, torch.int16, "colours")
    ids = _device.empty(image, (batch, height, width), torch.int32, "superpixels")
    counts = _device.empty(image, batch, torch.int32, "numbers of superpixels")

    def blur_bytes(items: int) -> int:
        return _core.cuda_slic_features_workspace_bytes(shape, sigma, items)

    def bytes_of(items: int) -> int:
        return _core.cuda_slic_workspace_bytes(wanted, items)

    convert = (
        _core.cuda_slic_features_u8 if image.dtype == torch.uint8 else _core.cuda_slic_features_f32
    )
    between = _device.workspace(image, blur_bytes, batch)
    scratch = _device.workspace(image, bytes_of, batch)
    with _device.current(image):
        convert(
            image.data_ptr(),
            shape,
            list(image.stride()),
            lab,
            sigma,
            features.data_ptr(),
            _device.queue(image, between),
        )
        _core.cuda_slic(
            wanted,
            features.data_ptr(),
            ids.data_ptr(),
            counts.data_ptr(),
            _device.queue(image, scratch),
        )
    return ids
