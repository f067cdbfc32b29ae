# SPDX-License-Identifier: Apache-2.0
"""Pairs of a blurred image and the sharp one: the task of filter_flow_deblur.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from mrfcore.degrade import motion_blur_kernel
from mrfcore.nn.functional import filter_flow
from mrfcore.scene import render_stereo_scene


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and what motion made of it, [1, 3, H, W] each, values from 0 to 1."""

    sharp: Tensor
    blurred: Tensor
    name: str


def pair(image: npt.NDArray[np.uint8], name: str, length: float) -> Pair:
    """Blur along rows, round to 8 bits, cut off the margin where the blur saw too little."""
    sharp = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    kernel = torch.from_numpy(motion_blur_kernel(length, 0.0)).float()
    reach = kernel.shape[0] // 2
    filters = kernel.reshape(1, -1, 1, 1).expand(1, -1, *sharp.shape[2:])
    blurred = filter_flow(sharp, filters, padding="replicate")
    assert isinstance(blurred, Tensor)
    blurred = (255 * blurred).round() / 255
    inside = (..., slice(reach, -reach or None))
    return Pair(sharp[inside].contiguous(), blurred[inside].contiguous(), name)


def real(folder: Path, length: float) -> list[Pair]:
    """The images of BSDS500 that lie in `folder`, at half size.

    Raises:
        FileNotFoundError: there are none.
    """
    pairs = []
    for path in sorted((folder / "bsds500" / "images").glob("*.jpg")):
        with Image.open(path) as file:
            pairs.append(pair(np.asarray(file.convert("RGB").reduce(2)), path.stem, length))
    if not pairs:
        raise FileNotFoundError(f"no bsds500/images/*.jpg in {folder}")
    return pairs


def rendered(count: int, length: float, height: int, width: int) -> list[Pair]:
    """Synthetic scenes, for where there are no images."""
    return [
        pair(render_stereo_scene(height, width, 16, seed=n).left, f"scene {n}", length)
        for n in range(count)
    ]


def crops(
    pairs: list[Pair], count: int, side: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(blurred, sharp), [count, 3, side, side] each, from anywhere."""
    found = []
    for _ in range(count):
        one = pairs[int(random.integers(len(pairs)))]
        height, width = one.sharp.shape[2:]
        y = int(random.integers(height - side + 1))
        x = int(random.integers(width - side + 1))
        window = (..., slice(y, y + side), slice(x, x + side))
        found.append((one.blurred[window], one.sharp[window]))
    return torch.cat([b for b, _ in found]), torch.cat([s for _, s in found])
