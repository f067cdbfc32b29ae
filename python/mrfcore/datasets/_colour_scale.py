# SPDX-License-Identifier: Apache-2.0
"""Colours as networks want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ColourScale"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ColourScale:
    """Shifts and scales 8-bit colours.

    Args:
        mean: of red, green and blue on the 0..1 scale; the default is that of ImageNet.
        std: standard deviations on that scale, > 0.

    Raises:
        ValueError: not three such numbers.
    """

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        self.mean, self.std = (np.asarray(values, np.float32) for values in (mean, std))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.shape != (3,) or not np.isfinite(values).all():
                raise ValueError(f"{name}: expected three finite numbers, got {values.tolist()}")
        if not (self.std > 0).all():
            raise ValueError(f"std: expected numbers > 0, got {self.std.tolist()}")

    def scaled(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(x / 255 - mean) / std of pixels [..., 3]."""
        return np.asarray((pixels.astype(np.float32) / 255 - self.mean) / self.std, np.float32)
