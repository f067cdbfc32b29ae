# SPDX-License-Identifier: Apache-2.0
"""Which file gets what: decided, and refused, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mrfcore import io, viz

_MAPS = (".pfm", ".npy")  # besides .png, hold disparities as numbers
_KITTI_LIMIT = 255  # largest whole disparity of a 16-bit KITTI PNG


def is_picture(path: Path) -> bool:
    """Whether Pillow can write a file of this suffix."""
    return io.picture_format(path) is not None


def check_folder(path: Path) -> None:
    """Refuse a path that cannot be written because of where it lies.

    Raises:
        ValueError: the folder does not exist, or the path is a folder.
    """
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: no such folder: {path.parent}")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")


def check_distinct(outputs: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Refuse to write a file twice, or over one that is read.

    Raises:
        ValueError: two outputs, or an output and an input, are the same file.
    """
    seen = {path.resolve() for path in inputs if path is not None}
    for path in outputs:
        if path.resolve() in seen:
            raise ValueError(f"cannot write {path}: it is an input or an output already")
        seen.add(path.resolve())


def check_new_folder(path: Path) -> None:
    """Refuse a folder that cannot be made.

    Raises:
        ValueError: something else is there, or there is no folder to make it in.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"cannot write into {path}: it is not a folder")
    if not path.exists() and not path.absolute().parent.is_dir():
        raise ValueError(f"cannot make {path}: no such folder: {path.absolute().parent}")


def check_picture(path: Path) -> None:
    """Refuse a path that cannot become a picture.

    Raises:
        ValueError: unknown suffix, or no such folder.
    """
    check_folder(path)
    if not is_picture(path):
        raise ValueError(
            f"cannot write {path}: unknown suffix {path.suffix!r}, expected .png, .jpg, .tif, ..."
        )


def check_disparity(path: Path, minimum: int, count: int) -> None:
    """Refuse a path that cannot hold disparities ``minimum .. minimum + count - 1``.

    Raises:
        ValueError: unknown suffix, no such folder, or a range that .png cannot hold.
    """
    check_folder(path)
    suffix = path.suffix.lower()
    if suffix not in _MAPS and not is_picture(path):
        raise ValueError(
            f"cannot write {path}: unknown suffix {suffix!r}; expected .png (16-bit KITTI), .pfm "
            "or .npy, or .jpg, .tif, ... for a coloured picture"
        )
    if suffix == ".png" and (minimum < 0 or minimum + count - 1 > _KITTI_LIMIT):
        raise ValueError(
            f"cannot write {path}: disparities {minimum} .. {minimum + count - 1} do not fit a "
            f"16-bit KITTI .png (0 .. {_KITTI_LIMIT}); write .pfm or .npy"
        )


def write_disparity(path: Path, disparity: npt.NDArray[Any]) -> None:
    """Numbers to .png (16-bit KITTI), .pfm and .npy; a coloured picture to any other suffix."""
    if path.suffix.lower() in (".png", *_MAPS):
        io.write_disparity(path, disparity)
    else:
        write_preview(path, disparity)


def write_preview(path: Path, disparity: npt.NDArray[Any]) -> None:
    """The disparities in turbo colours: blue is far, red is near, black has none."""
    io.write_image(path, viz.colorize_disparity(disparity))
