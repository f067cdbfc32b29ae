# SPDX-License-Identifier: Apache-2.0
"""Voxels of NIfTI-1 files (.nii, .nii.gz), the format of most brain images.

Only voxels are read, not where they lie in space: data sets such as BraTS are aligned already.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mrfcore._files import PathLike, existing_file

__all__ = ["read_nifti"]

_HEADER = 348  # bytes, and the first number of the header
_MOST_DEFLATED = 1032  # bytes that one compressed byte can stand for, at most
# NIfTI's codes of types; complex numbers, colours and 128 bits are left out.
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip


class _Stream(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def read_nifti(path: PathLike) -> npt.NDArray[Any]:
    """Read the voxels of a NIfTI-1 file, compressed by gzip or not.

    The order of axes is that of the file's bytes, `[Z, Y, X]` (`[T, Z, Y, X]` of a series), the
    reverse of nibabel's. The header's slope and intercept are applied, as float32 (float64 where
    float64 is stored); without them values come in the type they are stored in.

    Args:
        path: of a single file; whether it is compressed is found from its contents.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no NIfTI-1 file, a broken one, or one of colours or complex numbers.
    """
    file = existing_file(path)
    size = file.stat().st_size
    with file.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            if compressed:
                with gzip.open(raw) as stream:
                    return _read(file, stream, _MOST_DEFLATED * size)
            return _read(file, raw, size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{file} is not a readable gzip file: {error}") from None


def _read(file: Path, stream: _Stream, most: int) -> npt.NDArray[Any]:
    header = stream.read(_HEADER)
    order = next(
        (
            o
            for o in "<>"
            if len(header) == _HEADER and struct.unpack(f"{o}i", header[:4])[0] == 348
        ),
        None,
    )
    if order is None or header[344:348] != b"n+1\0":
        raise ValueError(f"{file} is not a NIfTI-1 file (no header of 348 bytes with 'n+1')")
    shape = _shape(file, struct.unpack_from(f"{order}8h", header, 40))
    (code,) = struct.unpack_from(f"{order}h", header, 70)
    if code not in _TYPES:
        raise ValueError(f"{file} has voxels of NIfTI type {code}, expected one of {list(_TYPES)}")
    dtype = np.dtype(order + _TYPES[code])
    offset, slope, shift = struct.unpack_from(f"{order}3f", header, 108)
    if not _HEADER <= offset < 2**31:
        raise ValueError(f"{file} has voxels from byte {offset} on, expected 348 or more")
    expected = math.prod(shape) * dtype.itemsize
    stream.read(int(offset) - _HEADER)
    data = stream.read(min(expected, most))  # whatever the header says
    if len(data) != expected:
        raise ValueError(
            f"{file} is truncated: it has {len(data)} bytes of voxels, expected {expected} for "
            f"{shape} of {dtype}"
        )
    values = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if (
        slope == 0
        or not (math.isfinite(slope) and math.isfinite(shift))
        or (slope, shift) == (1, 0)
    ):
        return values
    real = np.float64 if dtype.itemsize == 8 and dtype.kind == "f" else np.float32
    return np.asarray(values.astype(real) * real(slope) + real(shift))


def _shape(file: Path, dim: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes, the slowest axis first, without the last axes of size 1 beyond three."""
    count = dim[0]
    if not 1 <= count <= 7 or any(size < 1 for size in dim[1 : count + 1]):
        raise ValueError(f"{file} has a NIfTI header of sizes {dim}, expected 1 to 7 positive ones")
    sizes = list(dim[1 : count + 1])
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes[::-1])
