# SPDX-License-Identifier: Apache-2.0
"""The calib.txt of Middlebury 2014 and ETH3D two-view scenes (public as `mrfcore.io`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mrfcore._files import PathLike, existing_file


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration of a rectified pair.

    Attributes:
        cam0: left camera matrix `[3, 3]`, [f 0 cx; 0 f cy; 0 0 1], pixels.
        cam1: right camera matrix `[3, 3]`.
        doffs: difference of the principal points cx1 - cx0, pixels.
        baseline: distance of the cameras, in mm for both data sets.
        width: image width, pixels.
        height: image height, pixels.
        ndisp: a bound on the number of disparities: every one lies in [0, ndisp - 1].
        vmin: tight lower bound on the disparities for colour coding, where the file gives it.
        vmax: tight upper bound, likewise.
    """

    cam0: npt.NDArray[np.float64]
    cam1: npt.NDArray[np.float64]
    doffs: float
    baseline: float
    width: int
    height: int
    ndisp: int
    vmin: float | None = None
    vmax: float | None = None

    def depth(self, disparity: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Depth in the unit of the baseline, Z = baseline * f / (d + doffs); NaN stays NaN."""
        shifted = np.asarray(disparity, dtype=np.float64) + self.doffs
        with np.errstate(divide="ignore"):
            return np.asarray(self.baseline * self.cam0[0, 0] / shifted)


def read_calib(path: PathLike) -> Calibration:
    """Read a calib.txt: one `name=value` a line, matrices as `[a b c; d e f; g h i]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, or an entry is missing or malformed.
    """
    file = existing_file(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not a calibration file (it is not text)") from None
    entries = dict(line.split("=", 1) for line in lines if "=" in line)
    return Calibration(
        cam0=_matrix(entries, "cam0", file),
        cam1=_matrix(entries, "cam1", file),
        doffs=_number(entries, "doffs", file),
        baseline=_number(entries, "baseline", file),
        width=round(_number(entries, "width", file)),
        height=round(_number(entries, "height", file)),
        ndisp=round(_number(entries, "ndisp", file)),
        vmin=_number(entries, "vmin", file) if "vmin" in entries else None,
        vmax=_number(entries, "vmax", file) if "vmax" in entries else None,
    )


def _entry(entries: Mapping[str, str], name: str, file: Path) -> str:
    if name not in entries:
        raise ValueError(f"{file} is not a complete calibration file: it has no entry {name!r}")
    return entries[name].strip()


def _number(entries: Mapping[str, str], name: str, file: Path) -> float:
    text = _entry(entries, name, file)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{file}: {name} is {text!r}, expected a number") from None


def _matrix(entries: Mapping[str, str], name: str, file: Path) -> npt.NDArray[np.float64]:
    text = _entry(entries, name, file)
    try:
        rows = [[float(value) for value in row.split()] for row in text.strip("[]").split(";")]
        matrix = np.array(rows, dtype=np.float64)
    except ValueError:
        matrix = np.empty(0)
    if matrix.shape != (3, 3):
        raise ValueError(f"{file}: {name} is {text!r}, expected a 3 x 3 matrix [a b c; d e f; ...]")
    return matrix
