# SPDX-License-Identifier: Apache-2.0
"""BSDS500: images that several people have each cut into regions."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore._files import PathLike, existing_file
from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.datasets import download as dl
from mrfcore.datasets.layouts import first_folder
from mrfcore.datasets.segmentation import SegmentationDataset, Transform, Transforms
from mrfcore.datasets.segmentation_files import by_name, paired, read_rgb, require_size

__all__ = ["BSDS500", "read_regions"]

_SETS = ("train", "val", "test")
_FOLDERS = ("BSDS500/data", "BSR/BSDS500/data", "data", "bsds500", ".")


def _loadmat(path: Path) -> Any:
    try:
        scipy: Any = importlib.import_module("scipy.io")
    except ImportError:
        raise ImportError("BSDS500's .mat files are read by SciPy: pip install scipy") from None
    try:
        return scipy.loadmat(path)["groundTruth"]
    except KeyError:
        raise ValueError(f"{path} holds no 'groundTruth', expected a file of BSDS500") from None
    except Exception as error:  # scipy raises ValueError, TypeError, zlib.error, OSError, ...
        raise ValueError(f"{path} is not a readable .mat file: {error}") from None


def read_regions(path: PathLike) -> list[npt.NDArray[np.int32]]:
    """The regions that each person drew: int32 [H, W] maps, numbered from 0.

    Args:
        path: a groundTruth/*.mat of BSDS500.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file.
        ImportError: SciPy is not installed.
    """
    file = existing_file(path)
    people = np.asarray(_loadmat(file)).ravel()
    maps = []
    for person in people:
        try:
            stored = np.asarray(person["Segmentation"][0, 0])
        except (ValueError, IndexError, KeyError, TypeError):
            raise ValueError(f"{file} holds no 'Segmentation' of each person") from None
        maps.append(stored.astype(np.int32) - 1)  # MATLAB counts from 1
    if not maps:
        raise ValueError(f"{file} holds no segmentations")
    return maps


class BSDS500(SegmentationDataset):
    """BSDS500 (Arbelaez et al., PAMI 2011): 500 images, each cut into regions by several people.

    Regions are no classes: their numbers mean nothing beyond one map, `num_labels` is None, and no
    pixel is void. An item is `(image, [map, map, ...])`, or `(image, map)` with `person`; a map is
    a PIL image of mode "I", `np.asarray(map)` int32 `[H, W]`, regions numbered from 0.

    Files lie in `root/BSDS500/data`, `root/BSR/BSDS500/data`, `root/data`, `root/bsds500` or
    `root`: images/{train,val,test}/*.jpg and groundTruth/{train,val,test}/*.mat, or, flat,
    images/*.jpg and groundTruth/*.mat.

    Args:
        root: where to look.
        image_set: "train" (200 images), "val" (100), "test" (200), "trainval", or "all": the
            three together, or what is in flat folders, which have no sets.
        download: not possible (no checksum is published): an error says what to fetch.
        transform: see `SegmentationDataset`.
        target_transform: see `SegmentationDataset`; gets the list, or the map with `person`.
        transforms: see `SegmentationDataset`.
        person: None, the number of a person from 0, or "each": an item for each map, images one
            after the other (every file is read once, some seconds for all 500).

    Attributes:
        void: -1, for what transforms pad maps with; 255 may be a region.

    Raises:
        FileNotFoundError: no such folder or file; the message tells what was looked for.
        ValueError: an unknown image set or person, or download=True.
        ImportError: SciPy is not installed (from the first item on, or at once with "each").
    """

    void = -1
    _url = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"

    def __init__(
        self,
        root: PathLike,
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
        *,
        person: int | str | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = _choice("image_set", image_set, (*_SETS, "trainval", "all"))
        self.person = _checked_person(person)
        if _flag("download", download):
            raise dl.manual_instructions("BSDS500", self._url, self.root)
        self._take(self._find())
        single = self.person if isinstance(self.person, int) else None
        self._people: list[int | None] = [single] * len(self.images)
        if self.person == "each":
            self._spread()

    def _find(self) -> list[tuple[Path, Path]]:
        """Image and .mat file of each name."""
        folders = [f"{folder}/images" for folder in _FOLDERS]
        images = first_folder(self.root, folders, "images of BSDS500")
        truth = images.parent / "groundTruth"
        sets = [name for name in _SETS if (images / name).is_dir()]
        if not sets and self.image_set != "all":
            raise FileNotFoundError(
                f"found no {images / self.image_set}: the folder is flat, it has no sets; give "
                'image_set="all"'
            )
        if self.image_set != "all":
            sets = ["train", "val"] if self.image_set == "trainval" else [self.image_set]
        pairs = []
        for inner in sets or ["."]:
            found = by_name(images / inner, ".jpg")
            looked = f"{images / inner} and {truth / inner}"
            if not found:
                raise FileNotFoundError(f"found no images *.jpg in {images / inner}")
            pairs += paired(sorted(found), found, by_name(truth / inner, ".mat"), looked)
        return pairs

    def _spread(self) -> None:
        """Make an item of each person's map."""
        counts = [len(read_regions(path)) for path in self.masks]
        pairs = list(zip(self.images, self.masks, strict=True))
        self._take([pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)])
        self._people = [number for count in counts for number in range(count)]

    def _load(self, index: int) -> tuple[Any, Any]:
        path, person = self.masks[index], self._people[index]
        image = read_rgb(self.images[index])
        maps = [Image.fromarray(regions) for regions in read_regions(path)]
        for regions in maps:
            require_size(path, regions.size, self.images[index], image.size)
        if person is None:
            return image, maps
        if person >= len(maps):
            raise ValueError(
                f"person: expected a number below {len(maps)}, the people of {path}, got {person}"
            )
        return image, maps[person]


def _checked_person(person: int | str | None) -> int | str | None:
    if person is None or (isinstance(person, str) and person == "each"):
        return person
    if isinstance(person, str):
        raise ValueError(f"person: expected None, a number >= 0 or 'each', got {person!r}")
    number = _integer("person", person)
    if number < 0:
        raise ValueError(f"person: expected None, a number >= 0 or 'each', got {number}")
    return number
