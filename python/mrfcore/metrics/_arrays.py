# SPDX-License-Identifier: Apache-2.0
"""Arrays of real numbers: the checks, and messages that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["real", "same_shape"]


def real(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """Values as float64.

    Raises:
        TypeError: they are no real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array.astype(np.float64)


def same_shape(values: npt.NDArray[Any], name: str, other: npt.NDArray[Any], of: str) -> None:
    """Raise ValueError unless both have one shape."""
    if values.shape != other.shape:
        raise ValueError(f"{name} has shape {values.shape}, expected {other.shape}, that of {of}")
