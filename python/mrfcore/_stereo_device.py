# SPDX-License-Identifier: Apache-2.0
"""Matching costs and SGM of images on a GPU. Torch gives the memory and the stream."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import on_device
from mrfcore._images import image_shape
from mrfcore._stereo_sgm import SGMSettings
from mrfcore._torch import require_torch

require_torch("stereo of images on a GPU")

import torch  # noqa: E402

from mrfcore import _device  # noqa: E402

__all__ = ["cost_volume", "sgm"]


class _Pairs(NamedTuple):
    """Images [B, H, W, C], kept alive, and the core's view of them."""

    left: torch.Tensor
    right: torch.Tensor
    core: Any


def cost_volume(left: Any, right: Any, options: Any, dtype: npt.DTypeLike) -> Any:
    """`mrfcore.stereo.cost_volume` with its options checked already."""
    pairs = _pairs(left, right, batches=False)
    shape = (*pairs.left.shape[1:3], options.num_disparities)
    volume = _device.empty(
        pairs.left, shape, torch.float32, f"a cost volume {list(shape)}", _device.FEWER_LABELS
    )
    workspace = _workspace("cuda_cost_volume_workspace_bytes", pairs, options)
    queue = _device.queue(pairs.left, workspace)
    with _device.current(pairs.left):
        _core.cuda_cost_volume(pairs.core, options, volume.data_ptr(), queue)
    return _device.like(left)(volume.double() if dtype == np.float64 else volume)


def sgm(left: Any, right: Any, settings: SGMSettings) -> tuple[Any, Any]:
    """(disparity, labels) of `mrfcore.stereo.sgm`."""
    pairs = _pairs(left, right, batches=True)
    settings.check_images(pairs.core.width, pairs.core.bytes)
    options = settings.core(pairs.core.channels)
    shape = pairs.left.shape[:3]
    labels = _device.empty(pairs.left, shape, torch.int32, "labels")
    disparity = _device.empty(pairs.left, shape, torch.float32, "disparities")
    workspace = _workspace("cuda_sgm_workspace_bytes", pairs, options)
    queue = _device.queue(pairs.left, workspace)
    with _device.current(pairs.left):
        _core.cuda_sgm(pairs.core, options, labels.data_ptr(), disparity.data_ptr(), queue)
    convert = _device.like(left)
    if left.ndim < 4:
        disparity, labels = disparity[0], labels[0]
    return convert(disparity), convert(labels)


def _workspace(function: str, pairs: _Pairs, options: Any) -> torch.Tensor:
    needed = getattr(_core, function)
    return _device.workspace(
        pairs.left, lambda items: needed(pairs.core, options, items), pairs.left.shape[0]
    )


def _pairs(left: Any, right: Any, *, batches: bool) -> _Pairs:
    """As `_images.as_pair`, with the same errors."""
    _device.require_back_end("left")
    first, second = _image("left", left, batches), _image("right", right, batches)
    if first.device != second.device:
        raise TypeError(
            f"right: expected an image on {first.device}, as left is, got one on {second.device}"
        )
    if first.shape != second.shape:
        raise ValueError(
            f"right: expected shape {list(left.shape)} as of left, got {list(right.shape)}"
        )
    if first.dtype != second.dtype:
        first, second = first.float(), second.float()
    core = _core.CudaPairs()
    core.left, core.right = first.data_ptr(), second.data_ptr()
    core.bytes = first.dtype == torch.uint8
    core.items = math.prod(first.shape[:-3])
    core.height, core.width, core.channels = first.shape[-3:]
    return _Pairs(first, second, core)


def _image(name: str, x: Any, batches: bool) -> torch.Tensor:
    """Contiguous [B, H, W, C], uint8 or float32. Looks at (waits for) float pixels only."""
    if getattr(x, "requires_grad", False):
        raise TypeError(f"{name}: requires a gradient, which stereo does not give; detach() it")
    if not on_device(x):
        raise TypeError(f"{name}: expected an image on a GPU, got a {type(x).__name__}")
    tensor = _device.as_tensor(name, x)
    tensor = tensor.reshape(image_shape(name, tensor.shape, batches=batches))
    if not batches:
        tensor = tensor[None]
    if tensor.dtype == torch.uint8:
        return tensor.contiguous()
    if not tensor.is_floating_point():
        raise TypeError(
            f"{name}: expected uint8 or floating-point pixels on the 0..255 scale, "
            f"got dtype {tensor.dtype}; rescale and convert it first"
        )
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name}: expected finite pixels, found NaN or infinity")
    return tensor.float().contiguous()
