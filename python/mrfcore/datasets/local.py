# SPDX-License-Identifier: Apache-2.0
"""One pair by its name, from a folder or from scikit-image's wheel."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mrfcore._files import PathLike
from mrfcore.datasets.layouts import SceneFiles, kitti_scene, middlebury_scene, read_pair, unhidden
from mrfcore.datasets.pair import StereoPair

# Folders of scene folders, as the data sets' classes expect them or as people keep them.
_SCENE_FOLDERS = (
    ".",
    "middlebury",
    "Middlebury",
    "Middlebury2001",
    "Middlebury2003",
    "Middlebury2014/train",
    "Middlebury2014/additional",
    "Middlebury2014/test",
    "eth3d/training",
    "ETH3D/two_view_training",
    "ETH3D/two_view_test",
)
_KITTI_FOLDERS = (
    ".",
    "kitti2015",
    "Kitti2015/training",
    "Kitti2015/testing",
    "training",
    "testing",
)
_KITTI_NAME = re.compile(r"\d{6}_\d{2}")
_MOTORCYCLE_DISPARITIES = 64  # the calibration bounds them by 70, the ground truth by 61


def load_pair(
    name: str, root: PathLike | None = None, *, num_disparities: int | None = None
) -> StereoPair:
    """Load one stereo pair by name, with its ground truth where the files hold one.

    Args:
        name: a scene's folder ("teddy", "Adirondack-perfect", "facade_1s"), a KITTI image
            ("000119_10"), either with folders before it ("eth3d/training/facade_1s"), or
            "motorcycle" (see `motorcycle`).
        root: folder to look in: scene folders themselves, or any of the data sets' usual folders.
            None takes the environment variable MRFCORE_DATA.
        num_disparities: the search range; None takes the customary one of the scene, its
            calibration's, or what the ground truth needs (96 for KITTI and 32 for ETH3D without).

    Returns:
        StereoPair; the scale of 8-bit ground truths is known for Middlebury 2001 and 2003.

    Raises:
        FileNotFoundError: no such pair; the message tells where it was looked for.
        ValueError: neither root nor MRFCORE_DATA is given, or files that cannot be read.
        ImportError: "motorcycle" without scikit-image.
    """
    if name == "motorcycle":
        return motorcycle()
    if root is None and not os.environ.get("MRFCORE_DATA"):
        raise ValueError(
            f"root is None, expected the folder that holds {name!r} (or set MRFCORE_DATA to it)"
        )
    folder = Path(root if root is not None else os.environ["MRFCORE_DATA"])
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder} (looked for the pair {name!r} in it)")
    files = next(_candidates(folder, name), None)
    if files is None:
        raise FileNotFoundError(
            f"found no stereo pair {name!r} in {folder}; looked for its images in "
            + ", ".join(str(path) for path in _looked_for(folder, name))
            + "; mrfcore.datasets.Middlebury2003Stereo(root, download=True) and its siblings "
            "fetch what can be verified"
        )
    return read_pair(files, num_disparities)


def _looked_for(root: Path, name: str) -> list[Path]:
    prefix, _, stem = name.rpartition("/")
    if _KITTI_NAME.fullmatch(stem):
        return [root / prefix / folder / "image_2" / f"{stem}.png" for folder in _KITTI_FOLDERS]
    return [root / prefix / folder / stem for folder in _SCENE_FOLDERS]


def _candidates(root: Path, name: str) -> Iterator[SceneFiles]:
    for path in _looked_for(root, name):
        files = (
            kitti_scene(path.parents[1], path.stem)
            if path.suffix == ".png"
            else middlebury_scene(path)
        )
        if files is not None:
            yield files


def motorcycle() -> StereoPair:
    """The Middlebury 2014 motorcycle at a quarter of its size, carried by scikit-image's wheel.

    500 x 741 RGB with sub-pixel ground truth (Scharstein et al., GCPR 2014). There is no right
    ground truth in the wheel: `nonocc` is derived from the left one by a z-buffer.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        images: Any = importlib.import_module("skimage.data")
    except ImportError:
        raise ImportError(
            "the motorcycle pair comes with scikit-image: pip install scikit-image"
        ) from None
    left, right, disparity = images.stereo_motorcycle()
    valid = np.isfinite(disparity)
    disparity = np.where(valid, disparity, np.nan).astype(np.float32)
    return StereoPair(
        left=np.ascontiguousarray(left),
        right=np.ascontiguousarray(right),
        disparity=disparity,
        valid=valid,
        nonocc=unhidden(disparity),
        num_disparities=_MOTORCYCLE_DISPARITIES,
        name="motorcycle",
    )
