# SPDX-License-Identifier: Apache-2.0
"""ShapeNet's part annotation (Yi et al. 2016, 2017), points made voxels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrfcore._files import PathLike
from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.datasets.segmentation import Transform, Transforms
from mrfcore.datasets.segmentation_files import by_name
from mrfcore.datasets.volumes import VolumeDataset, check_listed, read_numbers, voxelize

__all__ = ["SHAPENET_CATEGORIES", "ShapeNetParts"]

Points = npt.NDArray[np.float64]

# Folder and number of parts by category, in the order that numbers the 50 parts.
SHAPENET_CATEGORIES = {
    "Airplane": ("02691156", 4),
    "Bag": ("02773838", 2),
    "Cap": ("02954340", 2),
    "Car": ("02958343", 4),
    "Chair": ("03001627", 4),
    "Earphone": ("03261776", 3),
    "Guitar": ("03467517", 3),
    "Knife": ("03624134", 2),
    "Lamp": ("03636649", 4),
    "Laptop": ("03642806", 2),
    "Motorbike": ("03790512", 6),
    "Mug": ("03797390", 2),
    "Pistol": ("03948459", 3),
    "Rocket": ("04099429", 3),
    "Skateboard": ("04225987", 3),
    "Table": ("04379243", 3),
}
_NAMES = tuple(SHAPENET_CATEGORIES)
_COUNTS = [number for _, number in SHAPENET_CATEGORIES.values()]
_FIRST = {name: sum(_COUNTS[:k]) for k, name in enumerate(_NAMES)}
_BENCHMARKS = (
    "shapenetcore_partanno_segmentation_benchmark_v0",
    "shapenetcore_partanno_segmentation_benchmark_v0_normal",
)


class _Thing(NamedTuple):
    """Files of one shape; `labels` is `points` where one file holds both."""

    category: str
    points: Path
    labels: Path


class ShapeNetParts(VolumeDataset):
    """ShapeNet's 16 categories with 50 parts, as voxels of the points given.

    Points are scaled so that the farthest one from the origin has distance 1, as Graham et al.
    (2018) and the thesis do, and become voxels by `volumes.voxelize`. Items are float32
    `[1, S, S, S]` (axes as in the files; y is upward) and int64 `[S, S, S]`: parts 0 .. 49,
    numbered through the categories in alphabetical order, 255 where there is no point.

    Layouts: the benchmark of 2016, plain or with normals, in the folder of its name under `root`;
    the challenge of 2017 (`root/train_data`, `train_label`, ...), or that as SparseConvNet's script
    leaves it (`root/train_val`, `root/test`). They do not hold the same shapes.

    Args:
        root: where to look.
        image_set: "train", "val", "trainval" or "test".
        download: not possible (the site asks for a login): an error says what to fetch.
        transform: see `VolumeDataset`, as the next two.
        target_transform: called with the labels.
        transforms: called with both.
        size: S, 64 in the thesis.
        categories: names such as "Chair"; None: all 16.
        resplit: "train" and "val" of the challenge's layout are all its training and validation
            shapes, split by the MD5 of their files: a first digit of 0 to 7 is "train". This is
            the split of Graham et al. and of the thesis, 6955 and 7052 shapes. All files are read.
        point_transform: called with the scaled points float64 `[N, 3]` of each item, returns as
            many: `volume_transforms.RandomTurn` turns and mirrors them.

    Attributes:
        classes: "Airplane 1", ..., by part; parts have no official names.
        parts: labels of each category, a range by name.
        item_categories: the category of each item.

    Raises:
        FileNotFoundError: no such folder or file; the message tells what was looked for.
        ValueError, TypeError: an unknown set or category, a size below 1, or download=True.
    """

    num_labels = sum(number for _, number in SHAPENET_CATEGORIES.values())
    classes = tuple(f"{c} {k + 1}" for c, (_, n) in SHAPENET_CATEGORIES.items() for k in range(n))

    def __init__(
        self,
        root: PathLike,
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
        *,
        size: int = 64,
        categories: Sequence[str] | None = None,
        resplit: bool = False,
        point_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = _choice("image_set", image_set, ("train", "val", "trainval", "test"))
        self.size, self.resplit = _integer("size", size), _flag("resplit", resplit)
        if self.size < 1:
            raise ValueError(f"size: expected a number >= 1, got {size}")
        self.categories = check_listed("categories", categories, _NAMES)
        self.parts = {c: range(_FIRST[c], _FIRST[c] + SHAPENET_CATEGORIES[c][1]) for c in _NAMES}
        self.point_transform = point_transform
        if _flag("download", download):
            raise ValueError(
                "cannot fetch ShapeNet's parts: https://shapenet.org asks for a login. Fetch "
                f"{_BENCHMARKS[1]}.zip by hand and unpack it to {self.root}"
            )
        things = [t for t in self._find() if t.category in self.categories]
        if not things:
            raise FileNotFoundError(f"found no shapes of {', '.join(self.categories)} in {root}")
        self.images, self.masks = [t.points for t in things], [t.labels for t in things]
        self.item_categories = [t.category for t in things]

    @property
    def names(self) -> list[str]:
        """Names of the shapes, in order."""
        return [path.name.split(".")[0] for path in self.images]

    def points(self, index: int) -> tuple[Points, npt.NDArray[np.int64]]:
        """Points `[N, 3]`, scaled, and their parts `[N]` of an item.

        Raises:
            FileNotFoundError: a file has gone.
            ValueError: an unreadable file, or numbers that are no parts of the category.
        """
        category = self.item_categories[index]
        points, stored, first = self._read(index)
        known = self.parts[category]
        labels = stored - first + (known.start if first else 0)
        if not np.isin(labels, known).all():
            low = first or known.start
            wrong = ", ".join(f"{v:g}" for v in stored[~np.isin(labels, known)][:3])
            raise ValueError(
                f"{self.masks[index]} holds the parts {wrong}, expected {low} to "
                f"{low + len(known) - 1} for {category}"
            )
        far = np.sqrt((points * points).sum(axis=1).max())
        return points / (far if far > 0 else 1.0), labels.astype(np.int64)

    def _read(self, index: int) -> tuple[Points, Points, int]:
        """Points and parts as stored; the number of the first part: 1, or 0 for global ones."""
        points, labels = self.images[index], self.masks[index]
        if points == labels:  # x y z, normal, part of all 50
            table = read_numbers(points, 7)
            return table[:, :3], table[:, 6], 0
        place, stored = read_numbers(points, 3), read_numbers(labels, 1)[:, 0]
        if len(place) != len(stored):
            raise ValueError(
                f"{labels} has {len(stored)} parts, expected {len(place)}, the points of {points}"
            )
        return place, stored, 1

    def _load(self, index: int) -> tuple[Any, Any]:
        points, labels = self.points(index)
        if self.point_transform is not None:
            points = self.point_transform(points)
        return voxelize(points, labels, self.size, void=self.void)

    # --- layouts ------------------------------------------------------------------------------

    def _find(self) -> list[_Thing]:
        benchmarks = [self.root / name for name in _BENCHMARKS] + [self.root]
        for folder in benchmarks:
            if (folder / "train_test_split").is_dir():
                return self._benchmark(folder)
        for folder in (self.root, self.root / "ShapeNet"):
            if (folder / "train_val").is_dir():
                return self._prepared(folder)
            if (folder / "train_data").is_dir():
                return self._challenge(folder)
        looked = ", ".join(str(folder / "train_test_split") for folder in benchmarks)
        raise FileNotFoundError(
            f"found no ShapeNet parts; looked for {looked}, {self.root / 'train_val'} and "
            f"{self.root / 'train_data'}, and the last two in {self.root / 'ShapeNet'}"
        )

    def _sets(self) -> tuple[str, ...]:
        return ("train", "val") if self.image_set == "trainval" else (self.image_set,)

    def _benchmark(self, folder: Path) -> list[_Thing]:
        """2016: lists of "shape_data/<category's folder>/<name>"."""
        if self.resplit:
            raise ValueError(
                f"resplit: expected False for {folder}, whose shapes are not those of the challenge"
            )
        things = []
        for part in self._sets():
            path = folder / "train_test_split" / f"shuffled_{part}_file_list.json"
            if not path.is_file():
                raise FileNotFoundError(f"found no list of shapes {path}")
            try:
                entries = [str(entry).split("/")[-2:] for entry in json.loads(path.read_text())]
                things += [self._listed(folder, *entry) for entry in entries]
            except (TypeError, json.JSONDecodeError):
                raise ValueError(f"{path} is not a list of 'shape_data/<folder>/<name>'") from None
        return things

    def _listed(self, folder: Path, synset: str, name: str) -> _Thing:
        category = next((c for c in _NAMES if SHAPENET_CATEGORIES[c][0] == synset), None)
        if category is None:
            raise ValueError(
                f"{folder} lists a shape of {synset!r}, expected ShapeNet's 16 folders"
            )
        both = folder / synset / f"{name}.txt"
        points = folder / synset / "points" / f"{name}.pts"
        labels = folder / synset / "points_label" / f"{name}.seg"
        if both.is_file():
            return _Thing(category, both, both)
        if not (points.is_file() and labels.is_file()):
            raise FileNotFoundError(
                f"found no shape {name!r} of {category}; looked for {both}, and for {points} with "
                f"{labels}"
            )
        return _Thing(category, points, labels)

    def _challenge(self, folder: Path) -> list[_Thing]:
        """2017: <set>_data/<category's folder>/<number>.pts and <set>_label/.../<number>.seg."""
        resplit = self.resplit and self.image_set in ("train", "val")
        things = []
        for part in ("train", "val") if resplit else self._sets():
            for category in self.categories:
                synset = SHAPENET_CATEGORIES[category][0]
                data, label = (folder / f"{part}_{what}" / synset for what in ("data", "label"))
                things += self._paired(
                    category, by_name(data, ".pts"), by_name(label, ".seg"), label
                )
        if resplit:
            things = [t for t in things if self._is_train(t.points) == (self.image_set == "train")]
        return things

    def _prepared(self, folder: Path) -> list[_Thing]:
        """SparseConvNet's: train_val/<category's folder>/<number>.pts.train, .pts.valid, .seg."""
        suffixes = {"train": (".train",), "val": (".valid",), "trainval": (".train", ".valid")}
        top = folder / ("test" if self.image_set == "test" else "train_val")
        things = []
        for category in self.categories:
            inner = top / SHAPENET_CATEGORIES[category][0]
            found: dict[str, Path] = {}
            for suffix in suffixes.get(self.image_set, (".pts",)):
                files = by_name(inner, suffix)
                found |= {name.removesuffix(".pts"): path for name, path in files.items()}
            things += self._paired(category, found, by_name(inner, ".seg"), inner)
        return things

    @staticmethod
    def _paired(
        category: str, points: dict[str, Path], labels: dict[str, Path], looked: Path
    ) -> list[_Thing]:
        missing = sorted(set(points) - set(labels))
        if missing:
            raise FileNotFoundError(f"found no parts {missing[0]}.seg of {category} in {looked}")
        return [_Thing(category, points[name], labels[name]) for name in sorted(points)]

    @staticmethod
    def _is_train(path: Path) -> bool:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return digest[0] in "01234567"
