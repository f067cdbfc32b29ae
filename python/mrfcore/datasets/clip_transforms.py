# SPDX-License-Identifier: Apache-2.0
"""Changes of a clip, for `transform=` of the data sets; without torch.

>>> from mrfcore.datasets import clip_transforms as C
>>> train = C.Compose([C.RandomSquare(112, generator=0), C.ToArray()])
>>> train(clip)  # uint8 [16, 240, 320, 3] to float32 [3, 16, 112, 112]

Random ones draw from `generator`: see `mrfcore.datasets.segmentation_transforms`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore._scalars import _checked, _integer
from mrfcore.datasets._colour_scale import ColourScale
from mrfcore.datasets.clips import Clip
from mrfcore.datasets.segmentation_pairs import Draws, Generator

__all__ = ["CenterSquare", "Compose", "RandomSquare", "ToArray"]


def _as_clip(clip: Any) -> Clip:
    frames = np.asarray(clip)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(
            f"clip: expected uint8 [T, H, W, 3], got {frames.dtype} of shape {list(frames.shape)}"
        )
    return frames


def _side(size: object) -> int:
    number = _integer("size", size)
    if number < 1:
        raise ValueError(f"size: expected a number >= 1, got {number}")
    return number


def _resized(clip: Clip, size: int) -> Clip:
    """Square frames, resized (bilinear, averaged where they shrink)."""
    if clip.shape[1:3] == (size, size):
        return np.ascontiguousarray(clip)
    bilinear = Image.Resampling.BILINEAR
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((size, size), bilinear)) for frame in clip]
    )


class Compose:
    """One after the other.

    Args:
        transforms: each is called with what the one before gave.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        for number, one in enumerate(self.transforms):
            if isinstance(one, type) or not callable(one):
                raise TypeError(
                    f"transforms[{number}]: expected a transform such as ToArray(), got {one!r}"
                )

    def __call__(self, clip: Any) -> Any:
        """The clip after all of them."""
        for transform in self.transforms:
            clip = transform(clip)
        return clip


class CenterSquare:
    """The largest square in the middle of the frames, resized.

    Args:
        size: rows and columns, >= 1.

    Raises:
        ValueError, TypeError: not such a number.
    """

    def __init__(self, size: int = 112) -> None:
        self.size = _side(size)

    def __call__(self, clip: Any) -> Clip:
        """uint8 `[T, size, size, 3]`."""
        frames = _as_clip(clip)
        height, width = frames.shape[1:3]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resized(frames[:, top : top + side, left : left + side], self.size)


class RandomSquare(Draws):
    """A square from anywhere in the frames, the same in all, resized and maybe mirrored.

    Args:
        size: rows and columns, >= 1.
        smallest: the square's side is at least this share of the frames' shorter one, > 0 to 1.
        p: probability of mirroring left to right, 0 to 1; 0 where directions are the classes.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self,
        size: int = 112,
        smallest: float = 0.7,
        p: float = 0.5,
        generator: Generator = None,
    ) -> None:
        super().__init__(generator)
        self.size = _side(size)
        self.smallest = _checked(
            "smallest", smallest, lambda v: 0 < v <= 1, "a number above 0, up to 1"
        )
        self.p = _checked("p", p, lambda v: 0 <= v <= 1, "a number from 0 to 1")

    def __call__(self, clip: Any) -> Clip:
        """uint8 `[T, size, size, 3]`."""
        frames = _as_clip(clip)
        height, width = frames.shape[1:3]
        share, down, right, mirror = self.draw(4)
        shorter = min(height, width)
        side = max(1, round(shorter * (self.smallest + (1.0 - self.smallest) * share)))
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        square = _resized(frames[:, top : top + side, left : left + side], self.size)
        return np.ascontiguousarray(square[:, :, ::-1]) if mirror < self.p else square


class ToArray(ColourScale):
    """float32 `[3, T, H, W]` for a network: colours shifted and scaled.

    Args:
        mean: of red, green and blue on the 0..1 scale; the default is that of ImageNet.
        std: standard deviations on that scale, > 0.

    Raises:
        ValueError: not three such numbers.
    """

    def __call__(self, clip: Any) -> npt.NDArray[np.float32]:
        """(clip / 255 - mean) / std."""
        colours = self.scaled(_as_clip(clip))
        return np.ascontiguousarray(colours.transpose(3, 0, 1, 2), np.float32)
