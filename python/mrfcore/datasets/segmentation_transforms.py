# SPDX-License-Identifier: Apache-2.0
"""Changes of an image and its labels together, for `transforms=` of the data sets; without torch.

>>> from mrfcore.datasets import segmentation_transforms as T
>>> train = T.Compose([T.RandomScale(generator=0), T.RandomCrop(512, generator=1), T.ToArrays()])
>>> image, labels = train(image, labels)  # float32 [3, 512, 512], int64 [512, 512]

Each takes and gives a PIL image and a PIL label image of the same size; NumPy arrays are taken,
too: uint8 `[H, W, 3]` and integers `[H, W]`. `ToArrays` ends the row with arrays, which torch's
default collate makes tensors of.

Random ones draw from `generator`: a NumPy Generator, which several of them may share, a seed, or
None for the system's entropy. Equal seeds give equal crops. The workers of a loader do not repeat
each other, see `segmentation_pairs.Draws`; give each rank of a distributed run its own seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore._scalars import _checked, _integer
from mrfcore.datasets._colour_scale import IMAGENET_MEAN, IMAGENET_STD, ColourScale
from mrfcore.datasets.segmentation_pairs import (
    FILL,
    Draws,
    Generator,
    Pair,
    Size,
    Window,
    as_pair,
    as_size,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "CenterCrop",
    "Compose",
    "PadToMultiple",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomScale",
    "ToArrays",
]


class Compose:
    """One after the other.

    Args:
        transforms: called as `image, labels = t(image, labels)`, in order.
    """

    def __init__(self, transforms: Sequence[Callable[[Any, Any], tuple[Any, Any]]]) -> None:
        self.transforms = list(transforms)
        for number, one in enumerate(self.transforms):
            if isinstance(one, type) or not callable(one):
                raise TypeError(
                    f"transforms[{number}]: expected a transform such as ToArrays(), got {one!r}"
                )

    def __call__(self, image: Any, labels: Any) -> tuple[Any, Any]:
        """Image and labels after all of them."""
        for transform in self.transforms:
            image, labels = transform(image, labels)
        return image, labels


class RandomScale(Draws):
    """Resize both by a factor drawn evenly from [low, high].

    The image is interpolated (bilinear, averaged where it shrinks), labels are taken from the
    nearest pixel.

    Args:
        low: smallest factor, > 0.
        high: largest one, >= low.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(self, low: float = 0.5, high: float = 2.0, generator: Generator = None) -> None:
        super().__init__(generator)
        self.low = _checked("low", low, lambda v: 0 < v < np.inf, "a finite number > 0")
        self.high = _checked(
            "high", high, lambda v: self.low <= v < np.inf, f"a finite number >= low = {low}"
        )

    def __call__(self, image: Any, labels: Any) -> Pair:
        """Both in the new size, at least one pixel wide and high."""
        picture, mask = as_pair(image, labels)
        factor = self.low + (self.high - self.low) * self.draw(1)[0]
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        return (
            picture.resize(size, Image.Resampling.BILINEAR),
            mask.resize(size, Image.Resampling.NEAREST),
        )


class RandomHorizontalFlip(Draws):
    """Mirror both, left to right, with a probability.

    Args:
        p: of mirroring, 0 to 1.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such a number.
    """

    def __init__(self, p: float = 0.5, generator: Generator = None) -> None:
        super().__init__(generator)
        self.p = _checked("p", p, lambda v: 0 <= v <= 1, "a number from 0 to 1")

    def __call__(self, image: Any, labels: Any) -> Pair:
        """Both, mirrored or as they are."""
        picture, mask = as_pair(image, labels)
        if self.draw(1)[0] >= self.p:
            return picture, mask
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        return picture.transpose(flip), mask.transpose(flip)


class RandomCrop(Draws, Window):
    """A rectangle of one size from anywhere; smaller images are padded, right and below.

    Args:
        size: (height, width), or one number for both; >= 1.
        void: label of padded pixels; -1 for region maps such as those of BSDS500.
        fill: colour of padded pixels, 0 to 255; the default is the mean of ImageNet.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(
        self,
        size: Size,
        void: int = 255,
        fill: Sequence[int] = FILL,
        generator: Generator = None,
    ) -> None:
        Draws.__init__(self, generator)
        Window.__init__(self, void, fill)
        self.size = as_size(size)

    def __call__(self, image: Any, labels: Any) -> Pair:
        """Both, `size` pixels large."""
        picture, mask = as_pair(image, labels)
        (height, width), (first, second) = self.size, self.draw(2)
        top = int(first * (max(0, picture.height - height) + 1))
        left = int(second * (max(0, picture.width - width) + 1))
        return self.cut((picture, mask), top, left, height, width)


class CenterCrop(Window):
    """The rectangle in the middle; smaller images are padded on all sides.

    Args:
        size: see `RandomCrop`.
        void: see `RandomCrop`.
        fill: see `RandomCrop`.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(self, size: Size, void: int = 255, fill: Sequence[int] = FILL) -> None:
        super().__init__(void, fill)
        self.size = as_size(size)

    def __call__(self, image: Any, labels: Any) -> Pair:
        """Both, `size` pixels large."""
        picture, mask = as_pair(image, labels)
        height, width = self.size
        top, left = (picture.height - height) // 2, (picture.width - width) // 2
        return self.cut((picture, mask), top, left, height, width)


class PadToMultiple(Window):
    """Pad, right and below, to the next multiple: what networks of a stride need.

    `output[..., :height, :width]` of a network is then the image's own part.

    Args:
        multiple: of height and width, >= 1.
        void: see `RandomCrop`.
        fill: see `RandomCrop`.

    Raises:
        ValueError, TypeError: not such numbers.
    """

    def __init__(self, multiple: int = 16, void: int = 255, fill: Sequence[int] = FILL) -> None:
        super().__init__(void, fill)
        self.multiple = _integer("multiple", multiple)
        if self.multiple < 1:
            raise ValueError(f"multiple: expected a number >= 1, got {multiple}")

    def __call__(self, image: Any, labels: Any) -> Pair:
        """Both, padded."""
        picture, mask = as_pair(image, labels)
        height, width = (-(-n // self.multiple) * self.multiple for n in mask.size[::-1])
        return self.cut((picture, mask), 0, 0, height, width)


class ToArrays(ColourScale):
    """Arrays for a network: colours shifted and scaled, label numbers.

    Args:
        mean: of red, green and blue on the 0..1 scale; the default is that of ImageNet.
        std: standard deviations on that scale, > 0.

    Raises:
        ValueError: not three such numbers.
    """

    def __call__(
        self, image: Any, labels: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Image (x / 255 - mean) / std, float32 `[3, H, W]`, and labels, int64 `[H, W]`."""
        picture, mask = as_pair(image, labels)
        colours = self.scaled(np.asarray(picture))
        pixels = np.ascontiguousarray(colours.transpose(2, 0, 1), np.float32)
        return pixels, np.array(mask, np.int64)
