# SPDX-License-Identifier: Apache-2.0
"""Images and label images from files, and the lists of names that say which ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore.datasets.segmentation_names import palette
from mrfcore.io import _open_image

__all__ = [
    "by_name",
    "label_image",
    "paired",
    "read_labels",
    "read_list",
    "read_rgb",
    "require_size",
    "table",
]

_UNKNOWN = -1
_PALETTE = palette()


def table(num: int, void: int, *, first_is_void: bool) -> npt.NDArray[np.int16]:
    """What each stored number 0..255 becomes; -1: it must not occur.

    Args:
        num: labels in use, 0 .. num - 1.
        void: the label of pixels that do not count; stored `void` stays it.
        first_is_void: stored 0 is void, and stored k is label k - 1.
    """
    becomes = np.full(256, _UNKNOWN, np.int16)
    shift = int(first_is_void)
    becomes[shift : num + shift] = np.arange(num)
    if first_is_void:
        becomes[0] = void
    becomes[void] = void
    return becomes


def read_list(path: Path) -> list[str]:
    """Names in a list of images, one a line.

    A line may also hold the paths of an image and of its labels, as lists of VOC's additional
    annotations do ("/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png").

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: it is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"found no list of images {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [Path(line.split()[0]).stem for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{path} lists no images")
    return names


def by_name(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a folder by their names without suffix; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    files = (path for path in folder.iterdir() if path.suffix == suffix)
    return {path.stem: path for path in files if not path.name.startswith(".")}  # "._x": macOS


def paired(
    names: Sequence[str], images: Mapping[str, Path], labels: Mapping[str, Path], looked: str
) -> list[tuple[Path, Path]]:
    """The image and the labels of each name.

    Args:
        names: in the order wanted.
        images: files by name.
        labels: files by name.
        looked: where names were looked for, for messages.

    Raises:
        FileNotFoundError: the files of a name are not all there.
    """
    for kind, files in (("image", images), ("label image", labels)):
        missing = [name for name in names if name not in files]
        if missing:
            raise FileNotFoundError(
                f"found no {kind} of {missing[0]!r} ({len(missing)} of {len(names)} listed are "
                f"missing); looked in {looked}"
            )
    return [(images[name], labels[name]) for name in names]


def read_rgb(path: Path) -> Image.Image:
    """An image as RGB, its pixels as they are stored.

    A stored orientation (EXIF) is not applied: people labelled the pixels as stored, and the
    label images have no such mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image.
    """
    image = _open_image(path)
    image.info.pop("transparency", None)  # of a palette: Pillow would warn that it goes
    rgb: Image.Image = image.convert("RGB")
    return rgb


def read_labels(path: Path, becomes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """Label numbers uint8 [H, W] of a palette or grey image.

    Of a palette image the indices are read: its colours are for the eye only.

    Args:
        path: of a PNG.
        becomes: see `table`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no image, one of colours, or with numbers that are no labels.
    """
    image = _open_image(path)
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{path} has mode {image.mode!r}, expected label numbers: a palette or an 8-bit grey "
            "image (mode 'P' or 'L')"
        )
    stored = np.asarray(image)
    labels = becomes[stored]
    if (labels == _UNKNOWN).any():
        wrong = ", ".join(str(value) for value in np.unique(stored[labels == _UNKNOWN])[:5])
        good = np.flatnonzero(becomes != _UNKNOWN)
        raise ValueError(
            f"{path} holds the label numbers {wrong}, expected {good[0]} to {good[-2]} "
            f"or {good[-1]}"
        )
    return np.asarray(labels.astype(np.uint8))


def label_image(labels: npt.NDArray[np.uint8]) -> Image.Image:
    """A palette image of label numbers; viewers show it in VOC's colours.

    Pillow resizes such images by taking nearest pixels, whatever else it is asked for, so labels
    are never blended.
    """
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(_PALETTE)  # makes a grey image a palette one of the same numbers
    return image


def require_size(labels: Path, size: tuple[int, int], image: Path, wanted: tuple[int, int]) -> None:
    """Refuse labels (width, height) of another size than their image.

    Raises:
        ValueError: they are; names both files.
    """
    if size != wanted:
        raise ValueError(
            f"{labels} has {size[0]} x {size[1]} pixels but its image {image} has "
            f"{wanted[0]} x {wanted[1]}, expected the same"
        )
