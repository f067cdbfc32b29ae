# SPDX-License-Identifier: Apache-2.0
"""The one type every source of stereo pairs returns: files, downloads, and the rendered scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class StereoPair:
    """A rectified stereo pair, with ground truth where it is known.

    The left image is the reference: the pixel (y, x) of the left image corresponds to
    (y, x - disparity[y, x]) of the right one.

    Attributes:
        left: uint8 `[H, W, 3]` or `[H, W]`.
        right: like `left`.
        disparity: true disparities of the left image, float32 `[H, W]`, pixels, NaN = unknown;
            None if there is no ground truth.
        valid: bool `[H, W]`, True where the disparity is known; None without ground truth.
        nonocc: bool `[H, W]`, True where it is known and the pixel is visible in both images;
            None if that is not known.
        num_disparities: a search range that holds the scene, disparities 0 ... num_disparities - 1.
        name: what to call the pair in tables and pictures.
    """

    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    disparity: npt.NDArray[np.float32] | None
    valid: npt.NDArray[np.bool_] | None
    nonocc: npt.NDArray[np.bool_] | None
    num_disparities: int
    name: str

    @property
    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The regions errors are told for, as `metrics.stereo_metrics` takes them.

        "all" (known disparity), and "nonocc" where that is known; empty without ground truth.
        """
        regions = {"all": self.valid, "nonocc": self.nonocc}
        return {name: mask for name, mask in regions.items() if mask is not None}
