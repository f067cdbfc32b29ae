# SPDX-License-Identifier: Apache-2.0
"""Where the files of a scene lie in the folder layouts of the public stereo benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore import io
from mrfcore.datasets.pair import StereoPair

_IMAGE_SUFFIXES = (".png", ".ppm", ".pgm")

# (left, right) image, (left, right) disparity, by stem. 2001 folders hold im0 ... im8 beside
# disp2 and disp6, so that (im2, im6) has to be asked for before (im0, im1).
_MIDDLEBURY_IMAGES = (
    ("imL", "imR"),
    ("im2", "im6"),
    ("scene1.row3.col3", "scene1.row3.col4"),  # Tsukuba as published
    ("im0", "im1"),  # 2014, ETH3D, and 2001's map
)
_MIDDLEBURY_TRUTH = {
    "imL": (("gt", None), ("disp2", "disp6"), ("disp0", "disp1")),
    "im2": (("disp2", "disp6"),),
    "scene1.row3.col3": (("truedisp.row3.col3", None),),
    "im0": (("disp0", "disp1"), ("disp0GT", "disp1GT")),
}

# Stored units per pixel of disparity in the 8-bit maps, and the customary search range.
_SCALES = {"tsukuba": 16.0, "cones": 4.0, "teddy": 4.0} | dict.fromkeys(
    ("barn1", "barn2", "bull", "map", "poster", "sawtooth", "venus"), 8.0
)
_NUM_DISPARITIES = {"tsukuba": 16, "venus": 20, "teddy": 60, "cones": 55, "map": 29}
_QUARTER_WIDTH = 450  # the 2003 scenes' scale 4, 2, 1 belongs to widths of 450, 900, 1800


@dataclass(frozen=True)
class SceneFiles:
    """The files of one pair; None where a layout has no such file or it is absent."""

    name: str
    left: Path
    right: Path
    disparity: Path | None = None
    right_disparity: Path | None = None
    nonocc: Path | None = None  # a mask, or KITTI's disparities of non-occluded pixels
    calib: Path | None = None
    scale: float | None = None  # of 8-bit disparity images


def _image(folder: Path, stem: str | None) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for suffix in _IMAGE_SUFFIXES)
    return next((path for path in candidates if stem and path.is_file()), None)


def _truth(folder: Path, stem: str | None) -> Path | None:
    pfm = folder / f"{stem}.pfm"
    return pfm if stem and pfm.is_file() else _image(folder, stem)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def middlebury_scene(folder: Path, truth_folder: Path | None = None) -> SceneFiles | None:
    """The pair in a Middlebury or ETH3D scene folder, or None if there is none.

    Args:
        folder: holds the images.
        truth_folder: holds disparities and masks, if another (ETH3D).
    """
    truth = truth_folder or folder
    for left_stem, right_stem in _MIDDLEBURY_IMAGES:
        left, right = _image(folder, left_stem), _image(folder, right_stem)
        if left is None or right is None:
            continue
        files = SceneFiles(
            name=folder.name,
            left=left,
            right=right,
            nonocc=_image(truth, "nonocc") or _image(truth, "mask0nocc"),
            calib=_existing(folder / "calib.txt"),
            scale=_SCALES.get(folder.name.lower()),
        )
        for left_map, right_map in _MIDDLEBURY_TRUTH[left_stem]:
            if disparity := _truth(truth, left_map):
                right_disparity = _truth(truth, right_map)
                return replace(files, disparity=disparity, right_disparity=right_disparity)
        return files
    return None


def kitti_scene(folder: Path, stem: str) -> SceneFiles | None:
    """The pair `image_2/<stem>.png`, `image_3/<stem>.png` of a KITTI folder, or None."""
    left, right = folder / "image_2" / f"{stem}.png", folder / "image_3" / f"{stem}.png"
    if not (left.is_file() and right.is_file()):
        return None
    return SceneFiles(
        name=stem,
        left=left,
        right=right,
        disparity=_existing(folder / "disp_occ_0" / f"{stem}.png"),
        right_disparity=_existing(folder / "disp_occ_1" / f"{stem}.png"),
        nonocc=_existing(folder / "disp_noc_0" / f"{stem}.png"),
    )


# --- reading ----------------------------------------------------------------------------------


def read_truth(files: SceneFiles, path: Path | None) -> npt.NDArray[np.float32] | None:
    """One of the scene's disparity maps, NaN = unknown; None for None."""
    if path is None:
        return None
    eight_bit = path.suffix in _IMAGE_SUFFIXES and not _is_deep(path)
    return io.read_disparity(path, _scale(files) if eight_bit else None)


def _is_deep(path: Path) -> bool:
    with Image.open(path) as image:
        return bool(image.mode.startswith("I"))


def _scale(files: SceneFiles) -> float | None:
    """The scale of 8-bit maps; the larger versions of the 2003 scenes store finer units."""
    if files.scale == 4.0:
        with Image.open(files.left) as image:
            width = int(image.width)
        return files.scale * _QUARTER_WIDTH / max(_QUARTER_WIDTH, width)
    return files.scale


def read_pair(files: SceneFiles, num_disparities: int | None = None) -> StereoPair:
    """Read a scene's images, ground truth and masks.

    Args:
        files: where they lie.
        num_disparities: the search range, if the caller knows it.

    Raises:
        ValueError: unreadable files, or sizes that differ.
    """
    left, right = io.read_image(files.left), io.read_image(files.right)
    if left.shape != right.shape:
        raise ValueError(
            f"{files.left} has shape {left.shape} but {files.right} has shape {right.shape}, "
            "expected the same"
        )
    disparity = read_truth(files, files.disparity)
    if disparity is not None and disparity.shape != left.shape[:2]:
        raise ValueError(
            f"{files.disparity} has shape {disparity.shape}, expected {left.shape[:2]}, that of "
            f"{files.left}"
        )
    valid = None if disparity is None else np.isfinite(disparity)
    return StereoPair(
        left=left,
        right=right,
        disparity=disparity,
        valid=valid,
        nonocc=_nonocc(files, disparity),
        num_disparities=num_disparities or _search_range(files, disparity, left.shape[1]),
        name=files.name,
    )


def _nonocc(
    files: SceneFiles, disparity: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.bool_] | None:
    if disparity is None:
        return None
    if files.nonocc is not None:
        if _is_deep(files.nonocc):  # KITTI
            return np.asarray(np.isfinite(disparity + io.read_disparity(files.nonocc)))
        # 255 = visible in both; ETH3D marks occluded pixels by 128.
        return np.asarray(np.isfinite(disparity) & (io.read_image(files.nonocc) == 255))
    right = read_truth(files, files.right_disparity)
    # |d|: some sets store the right view's disparities as negative numbers.
    return None if right is None else visible_in_both(disparity, np.abs(right))


def _search_range(files: SceneFiles, disparity: npt.NDArray[np.float32] | None, width: int) -> int:
    """Labels enough for the scene: customary, calibrated, or measured from the ground truth."""
    if files.name.lower() in _NUM_DISPARITIES:
        return _NUM_DISPARITIES[files.name.lower()]
    if files.calib is not None:
        ndisp = io.read_calib(files.calib).ndisp
        if ndisp < width // 2:  # ETH3D's files give the width: no bound at all
            return ndisp
    if disparity is not None and np.isfinite(disparity).any():
        return int(np.ceil(np.nanmax(disparity))) + 1
    # Nothing is known: what the literature uses for ETH3D's grey pairs and for KITTI.
    return 32 if files.calib is not None else 96


def visible_in_both(
    left: npt.NDArray[np.float32], right: npt.NDArray[np.float32], tolerance: float = 1.0
) -> npt.NDArray[np.bool_]:
    """Cross-check of two ground truths: True where the left disparity is known and confirmed.

    A pixel is visible in the right image if the right map has the same disparity, to `tolerance`
    pixels, at the place the left disparity points to.
    """
    columns = np.arange(left.shape[1], dtype=np.float32)
    target = np.rint(columns - left)
    inside = (target >= 0) & (target < left.shape[1])  # False for NaN
    index = np.where(inside, target, 0).astype(np.intp)
    found = np.take_along_axis(right, index, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(inside & (np.abs(found - left) <= tolerance))


def unhidden(disparity: npt.NDArray[np.float32], tolerance: float = 1.0) -> npt.NDArray[np.bool_]:
    """Visibility in the right image from the left ground truth alone, for want of a right one.

    Known pixels are projected into a z-buffer of the right image; a pixel is visible if it lands
    inside and nothing that lands there is nearer by more than `tolerance` pixels. Occluders that
    the left image does not show are missed.
    """
    height, width = disparity.shape
    target = np.rint(np.arange(width, dtype=np.float32) - disparity)
    inside = (target >= 0) & (target < width)
    rows = np.broadcast_to(np.arange(height)[:, None], disparity.shape)
    index = np.where(inside, target, 0).astype(np.intp)
    nearest = np.full(disparity.shape, -np.inf, np.float32)
    np.maximum.at(nearest, (rows[inside], index[inside]), disparity[inside])
    with np.errstate(invalid="ignore"):
        return np.asarray(inside & (disparity >= nearest[rows, index] - tolerance))


def first_folder(root: Path, candidates: Sequence[str], what: str) -> Path:
    """The first of `root / candidate` that is a folder.

    Raises:
        FileNotFoundError: none is; the message lists all that were looked for.
    """
    folders = [root / candidate for candidate in candidates]
    for folder in folders:
        if folder.is_dir():
            return folder
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"found no {what}; looked for {looked}")
