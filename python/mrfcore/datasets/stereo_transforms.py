# SPDX-License-Identifier: Apache-2.0
"""Changes of a stereo pair and its disparities, for `transforms=` of the data sets; without torch.

>>> from mrfcore.datasets import stereo_transforms as S
>>> train = S.Compose([S.RandomCrop((256, 512), generator=0), S.ToArrays()])
>>> SceneFlowStereo("data", transforms=train)[0]  # float32 [3, 256, 512] twice, [256, 512], a mask

Each is called with pairs (left, right) of images, disparities and masks, as torchvision's, and
gives them changed; disparities and masks may be None. Cuts are the same in both views, so that
disparities keep their values. Random ones draw from `generator`: see
`mrfcore.datasets.segmentation_transforms`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mrfcore.datasets._colour_scale import IMAGENET_MEAN, IMAGENET_STD
from mrfcore.datasets.clip_transforms import ToArray
from mrfcore.datasets.segmentation_pairs import Draws, Generator, Size, as_size

__all__ = ["CenterCrop", "Compose", "RandomCrop", "ToArrays"]

Views = tuple[Any, Any]
Triple = tuple[Views, Views, Views]


class Compose:
    """One after the other.

    Args:
        transforms: called as `images, disparities, masks = t(images, disparities, masks)`.
    """

    def __init__(self, transforms: Sequence[Callable[..., Triple]]) -> None:
        self.transforms = list(transforms)
        for number, one in enumerate(self.transforms):
            if isinstance(one, type) or not callable(one):
                raise TypeError(
                    f"transforms[{number}]: expected a transform such as ToArrays(), got {one!r}"
                )

    def __call__(self, images: Views, disparities: Views, masks: Views) -> Triple:
        """All three after all of them."""
        for transform in self.transforms:
            images, disparities, masks = transform(images, disparities, masks)
        return images, disparities, masks


def _room(images: Views, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that a cut leaves out."""
    width, height = images[0].size
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"size: expected at most {height} x {width}, the rows and columns of the images, got "
            f"{size[0]} x {size[1]}"
        )
    return height - size[0], width - size[1]


def _cut(triple: Triple, top: int, left: int, size: tuple[int, int]) -> Triple:
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    box = (left, top, left + size[1], top + size[0])
    images, disparities, masks = triple
    first, second = (image.crop(box) for image in images)
    arrays = [
        None if array is None else np.ascontiguousarray(array[..., rows, columns])
        for array in (*disparities, *masks)
    ]
    return (first, second), (arrays[0], arrays[1]), (arrays[2], arrays[3])


class RandomCrop(Draws):
    """A rectangle of one size from anywhere.

    Args:
        size: (height, width), or one number for both; >= 1, at most that of the images.
        generator: see the module.

    Raises:
        ValueError, TypeError: not such numbers; also when called with smaller images.
    """

    def __init__(self, size: Size, generator: Generator = None) -> None:
        super().__init__(generator)
        self.size = as_size(size)

    def __call__(self, images: Views, disparities: Views, masks: Views) -> Triple:
        """All three, `size` pixels large."""
        rows, columns = _room(images, self.size)
        down, right = self.draw(2)
        top, left = int(down * (rows + 1)), int(right * (columns + 1))
        return _cut((images, disparities, masks), top, left, self.size)


class CenterCrop:
    """The rectangle in the middle.

    Args:
        size: see `RandomCrop`. 528 x 960 is the largest of SceneFlow's images that PSMNet takes.

    Raises:
        ValueError, TypeError: not such numbers; also when called with smaller images.
    """

    def __init__(self, size: Size) -> None:
        self.size = as_size(size)

    def __call__(self, images: Views, disparities: Views, masks: Views) -> Triple:
        """All three, `size` pixels large."""
        rows, columns = _room(images, self.size)
        return _cut((images, disparities, masks), rows // 2, columns // 2, self.size)


class ToArrays:
    """Arrays for a network: images float32 `[3, H, W]`, disparities float32 `[H, W]`.

    Args:
        mean: of red, green and blue on the 0..1 scale; the default is that of ImageNet.
        std: standard deviations on that scale, > 0.

    Raises:
        ValueError: not three such numbers.
    """

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        self._colours = ToArray(mean, std)

    def __call__(self, images: Views, disparities: Views, masks: Views) -> Triple:
        """All three; what is None stays None."""
        left, right = (self._colours(np.asarray(i, np.uint8)[None])[:, 0] for i in images)
        near, far = (None if d is None else np.array(d[0], np.float32) for d in disparities)
        return (np.ascontiguousarray(left), np.ascontiguousarray(right)), (near, far), masks
