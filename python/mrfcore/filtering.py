# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering and segmentation of images (Comaniciu & Meer 2002).

Every pixel climbs the density of places and colours around it; pixels of one surface end at one
colour, and edges stay.

>>> import mrfcore
>>> flat = mrfcore.mean_shift_filter(image, spatial_radius=10, color_radius=20)
>>> ids = mrfcore.mean_shift_segment(image, 10, 20, min_size=50)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore import _core
from mrfcore._arrays import like, on_device, to_numpy
from mrfcore._images import as_image, number, refuse_unit_scale
from mrfcore._scalars import _choice, _integer, _threads

__all__ = ["mean_shift_filter", "mean_shift_segment"]

_KERNELS = {"flat": _core.FilterKernel.flat, "gaussian": _core.FilterKernel.gaussian}
_SPACES = {"rgb": _core.FilterSpace.rgb, "luv": _core.FilterSpace.luv}


def mean_shift_filter(
    image: Any,
    spatial_radius: int = 10,
    color_radius: float = 20.0,
    *,
    kernel: str = "flat",
    iterations: int = 5,
    tolerance: float = 1.0,
    levels: int = 0,
    color_space: str = "rgb",
    threads: int | None = None,
) -> Any:
    """Flatten an image without blurring its edges, as OpenCV's pyrMeanShiftFiltering does.

    Each pixel's place and colour move to the mean of the pixels in the window around the place
    whose colours are at most `color_radius` away; the pixel gets the colour at the end of its way.
    Places are rounded to pixels after every move, halves to even. So are colours of uint8 images
    with the flat kernel in RGB: all sums are whole numbers, and with levels=0 the result is that of
    OpenCV, every pixel of it. Otherwise colours are float32, rounded once at the end for uint8.

    Args:
        image: [H, W], [H, W, 1] or [H, W, 3], or a batch [B, 1 or 3, H, W]; uint8, or floats on the
            0..255 scale, computed in float32. On a GPU it is filtered there.
        spatial_radius: 1 .. 1024 pixels; the window is a square of twice that and 1, cut off at
            the border.
        color_radius: > 0; Euclidean, in grey values, or in units of L* (0..100) for "luv", where
            about 8 does what 20 does in RGB.
        kernel: "flat" counts what is near; "gaussian" weights it by
            exp(-2 (pixels / spatial_radius)^2 - 2 (colour / color_radius)^2), half of each radius
            being a standard deviation.
        iterations: moves of a pixel at most, >= 0.
        tolerance: >= 0; a pixel also stops after a move that leaves its place, or after one with
            |dx| + |dy| + |dcolour|^2 <= tolerance.
        levels: 0..8, OpenCV's max_level: so often the image is halved. The smallest one is filtered
            first, with a window halved as often; the result is doubled, and filtered again, from
            the larger image, where it is not flat: around pixels that differ from one of their
            eight neighbours by more than `color_radius`. Faster, and close to OpenCV's, which
            chooses slightly fewer pixels.
        color_space: "rgb": channels as they are; "luv": CIE L*u*v* of sRGB, three channels.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default. The result does not depend on it.

    Returns:
        Array of the kind and shape of the image, uint8 for uint8, else float32.

    Raises:
        ValueError, TypeError: an argument is of the wrong shape, value or type; floats within 0..1
            with a `color_radius` above 1; a tensor that requires a gradient.
    """
    options = _options(
        spatial_radius, color_radius, kernel, iterations, tolerance, levels, color_space, threads
    )
    _refuse_gradient(image)
    if on_device(image):
        from mrfcore import _filtering_device as device

        tensor = device.images(image, options)
        return device.outputs(image, device.filtered(tensor, options))
    items = _items(image, options)
    filtered = [_filtered(item, options) for item in items]
    if np.ndim(image) == 4:
        out = np.ascontiguousarray(np.stack(filtered).transpose(0, 3, 1, 2))
    else:
        out = filtered[0].reshape(np.shape(image))
    return like(image)(out)


def mean_shift_segment(
    image: Any,
    spatial_radius: int = 10,
    color_radius: float = 20.0,
    *,
    kernel: str = "flat",
    iterations: int = 5,
    tolerance: float = 1.0,
    levels: int = 0,
    color_space: str = "rgb",
    join_radius: float | None = None,
    min_size: int = 20,
    threads: int | None = None,
) -> Any:
    """Regions of an image after `mean_shift_filter`.

    Neighbours (4) whose filtered colours are at most `join_radius` apart belong together. A region
    may drift: where colours change little from pixel to pixel, as along a soft edge, it runs on,
    the farther the larger that radius. Regions of fewer than `min_size` pixels join the neighbour
    with the nearest mean colour, smallest first.

    Args:
        image: see `mean_shift_filter`; on a GPU it is filtered there and joined on the CPU.
        spatial_radius: see `mean_shift_filter`.
        color_radius: see `mean_shift_filter`.
        kernel: see `mean_shift_filter`.
        iterations: see `mean_shift_filter`.
        tolerance: see `mean_shift_filter`.
        levels: see `mean_shift_filter`.
        color_space: see `mean_shift_filter`; colours are compared there.
        join_radius: > 0, in the units of `color_radius`; None: half of it, with which regions agree
            best with those that people see (measured: docs/operators/mean_shift_filter.md).
        min_size: pixels, >= 1.
        threads: see `mean_shift_filter`.

    Returns:
        ids: int32 [H, W], or [B, H, W] of a batch; of each image 0 .. number - 1 in the order of
        their first pixels, every one of them connected.

    Raises:
        ValueError, TypeError: see `mean_shift_filter`.
    """
    least = _integer("min_size", min_size)
    if least < 1:
        raise ValueError(f"min_size: expected a number of pixels >= 1, got {min_size}")
    options = _options(
        spatial_radius, color_radius, kernel, iterations, tolerance, levels, color_space, threads
    )
    if join_radius is None:
        reach = 0.5 * options.color_radius
    else:
        reach = number("join_radius", join_radius, strict=True)
    joining = (reach, least, options.space)
    _refuse_gradient(image)
    if on_device(image):
        return _segmented_on_device(image, options, joining)
    ids = [_regions(_filtered(item, options), *joining) for item in _items(image, options)]
    return like(image)(np.stack(ids) if np.ndim(image) == 4 else ids[0])


def _options(
    spatial_radius: int,
    color_radius: float,
    kernel: str,
    iterations: int,
    tolerance: float,
    levels: int,
    color_space: str,
    threads: int | None,
) -> Any:
    options = _core.MeanShiftFilterOptions()
    options.spatial_radius = _within("spatial_radius", spatial_radius, 1, 1024)
    options.color_radius = number("color_radius", color_radius, strict=True)
    options.kernel = _KERNELS[_choice("kernel", kernel, tuple(_KERNELS))]
    options.iterations = _integer("iterations", iterations)
    options.tolerance = number("tolerance", tolerance)
    options.levels = _within("levels", levels, 0, 8)
    options.space = _SPACES[_choice("color_space", color_space, tuple(_SPACES))]
    options.threads = _threads(threads)
    return options


def _within(name: str, value: object, least: int, most: int) -> int:
    found = _integer(name, value)
    if not least <= found <= most:
        raise ValueError(f"{name}: expected {least}..{most}, got {found}")
    return found


def _refuse_gradient(image: Any) -> None:
    if getattr(image, "requires_grad", False):
        raise TypeError(
            "image: requires a gradient, which mean-shift filtering does not give; pass "
            "image.detach()"
        )


def _items(image: Any, options: Any) -> list[npt.NDArray[Any]]:
    """Images [H, W, C], contiguous, uint8 or float32."""
    array = to_numpy("image", image)
    if array.ndim == 4:
        if array.shape[1] not in (1, 3) or array.size == 0:
            raise ValueError(
                "image: expected a batch [B, 1 or 3, H, W] without an empty axis, got shape "
                f"{list(array.shape)}"
            )
        items = [as_image("image", item.transpose(1, 2, 0)) for item in array]
    else:
        items = [as_image("image", array)]
    if options.color_radius > 1 or options.space == _core.FilterSpace.luv:
        refuse_unit_scale("image", *items)
    if options.space == _core.FilterSpace.luv and items[0].shape[2] != 3:
        raise ValueError(
            f"color_space: 'luv' needs three channels, got an image of {items[0].shape[2]}"
        )
    return items


def _segmented_on_device(image: Any, options: Any, joining: tuple[float, int, Any]) -> Any:
    """Filtered there, joined here: joining follows one region after the other."""
    import torch

    from mrfcore import _filtering_device as device

    tensor = device.images(image, options)
    items = device.filtered(tensor, options).cpu().numpy()
    ids = np.stack([_regions(item, *joining) for item in items])
    return device.outputs(image, torch.from_numpy(ids).to(tensor.device))


def _filtered(item: npt.NDArray[Any], options: Any) -> npt.NDArray[Any]:
    out = np.empty_like(item)
    _core.mean_shift_filter(item, options, out)
    return out


def _regions(
    item: npt.NDArray[Any], reach: float, min_size: int, space: Any
) -> npt.NDArray[np.int32]:
    ids = np.empty(item.shape[:2], np.int32)
    _core.mean_shift_regions(item, reach, min_size, space, ids)
    return ids
