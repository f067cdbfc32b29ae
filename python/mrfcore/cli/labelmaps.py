# SPDX-License-Identifier: Apache-2.0
"""Maps of labels as files: .npy holds any integers, .png up to 16 bits, .mat people's segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore import io
from mrfcore._files import atomic_file, existing_file

from . import outputs

_MOST = 1 << 16  # labels of a .png


def read_labels(path: Path) -> npt.NDArray[np.int64]:
    """Labels ``[H, W]``: the integers of a .npy, grey levels or palette entries, or colours.

    Raises:
        FileNotFoundError, ValueError: no such file, or nothing that can be meant as labels.
    """
    file = existing_file(path)
    if file.suffix.lower() == ".npy":
        return _read_array(file)
    with Image.open(file) as image:
        deep = image.mode.startswith("I") or image.mode == "P"
        if deep:
            return np.asarray(image).astype(np.int64)
    pixels = io.read_image(file).astype(np.int64)
    return pixels if pixels.ndim == 2 else pixels @ np.array([1 << 16, 1 << 8, 1])


def read_truths(path: Path) -> list[npt.NDArray[np.int64]]:
    """Label maps ``[H, W]``: one, or of a .mat of BSDS500 one of each person who drew.

    Raises:
        FileNotFoundError, ValueError: no such file, nothing that can be meant as labels, or a .mat
            and no SciPy to read it.
    """
    if path.suffix.lower() != ".mat":
        return [read_labels(path)]
    file = existing_file(path)
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(
            f"{file}: SciPy reads .mat, and is not installed: pip install scipy"
        ) from (error)
    try:
        drawn = loadmat(file)["groundTruth"][0]
        return [np.asarray(d["Segmentation"][0, 0]).astype(np.int64) for d in drawn]
    except Exception as error:  # SciPy's readers raise what they come across
        raise ValueError(f"{file} is no .mat of BSDS500 with groundTruth: {error}") from error


def _read_array(file: Path) -> npt.NDArray[np.int64]:
    try:
        labels: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is no array that can be read: {error}") from error
    if labels.ndim != 2 or labels.dtype.kind not in "biu":
        raise ValueError(
            f"{file} holds {labels.dtype} of shape {list(labels.shape)}, expected integers [H, W]"
        )
    return labels.astype(np.int64)


def check_labels(path: Path) -> None:
    """Refuse a path that cannot hold labels.

    Raises:
        ValueError: unknown suffix, or no such folder.
    """
    outputs.check_folder(path)
    if path.suffix.lower() not in (".npy", ".png"):
        raise ValueError(
            f"cannot write {path}: unknown suffix {path.suffix!r}, expected .npy, .png"
        )


def write_labels(path: Path, labels: npt.NDArray[np.int32]) -> None:
    """To .npy as they are, or to a 16-bit grey .png.

    Raises:
        ValueError: more labels than a .png holds.
    """
    if path.suffix.lower() == ".png" and labels.max() >= _MOST:
        raise ValueError(
            f"cannot write {path}: {labels.max() + 1} labels do not fit a 16-bit .png; write .npy"
        )
    with atomic_file(path) as file:
        if path.suffix.lower() == ".npy":
            np.save(file, labels)
        else:
            Image.fromarray(labels.astype(np.uint16)).save(file, format="PNG")
