# SPDX-License-Identifier: Apache-2.0
"""BraTS'18: brain tumours in four MRI sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrfcore._files import PathLike
from mrfcore._nifti import read_nifti
from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.datasets.segmentation import Transform, Transforms
from mrfcore.datasets.volumes import Labels, VolumeDataset, zscored

__all__ = ["BRATS_REGIONS", "BRATS_SEQUENCES", "BraTS18"]

BRATS_SEQUENCES = ("flair", "t1", "t1ce", "t2")
# What scores are told for, by the numbers as stored.
BRATS_REGIONS = {"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}
_STORED = (0, 1, 2, 4)
_NAMES = ("background", "necrotic and non-enhancing core", "oedema", "unused", "enhancing tumour")
_FOLDS = 5
_SITE = "https://www.med.upenn.edu/sbia/brats2018/data.html"


class BraTS18(VolumeDataset):
    """BraTS'18's training cases: 210 of high grade (HGG), 75 of low grade (LGG).

    Files lie in `root/MICCAI_BraTS_2018_Data_Training` or `root`: {HGG,LGG}/<case>/ with
    <case>_<what>.nii.gz (or .nii), `what` one of flair, t1, t1ce, t2, seg. Items are float32
    `[4, D, H, W]`, sequences in this order, and int64 `[D, H, W]`; published cases have 155 x 240 x
    240 voxels (axial slices first, the reverse of nibabel's order).

    The challenge's own validation and test cases have no published labels. "train" and "val" here
    are four fifths and one fifth of the training cases, 228 and 57 as in the thesis: of each grade,
    in alphabetical order, every fifth case from number `fold` on is "val". (The thesis takes a
    split of Kao et al., whose list it does not print.)

    Args:
        root: where to look.
        image_set: "train", "val" or "all".
        download: not possible (the site asks for a registration): an error says what to fetch.
        transform: see `VolumeDataset`, as the next two.
        target_transform: called with the labels.
        transforms: called with both.
        fold: 0 to 4.
        normalise: True: each sequence has mean 0 and standard deviation 1 over its brain, voxels
            that are not 0. False: values as stored.
        compact: False: labels as stored, 0, 1, 2 and 4, which is 5 labels, one of them unused, as
            in the thesis. True: 4 labels, stored 4 is 3.

    Attributes:
        regions: labels of the regions scored, ET, TC and WT.

    Raises:
        FileNotFoundError: no such folder or file; the message tells what was looked for.
        ValueError, TypeError: an unknown set or fold, or download=True.
    """

    def __init__(
        self,
        root: PathLike,
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
        *,
        fold: int = 0,
        normalise: bool = True,
        compact: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = _choice("image_set", image_set, ("train", "val", "all"))
        self.fold = _choice("fold", _integer("fold", fold), tuple(range(_FOLDS)))
        self.normalise, self.compact = _flag("normalise", normalise), _flag("compact", compact)
        if _flag("download", download):
            raise ValueError(
                f"cannot fetch BraTS'18: {_SITE} asks for a registration. Unpack "
                f"MICCAI_BraTS_2018_Data_Training.zip to {self.root}"
            )
        becomes = {number: number for number in _STORED} | ({4: 3} if self.compact else {})
        self.classes = tuple(n for n in _NAMES if not (self.compact and n == "unused"))
        self.num_labels = len(self.classes)
        self.regions: Mapping[str, tuple[int, ...]] = {
            name: tuple(becomes[number] for number in numbers)
            for name, numbers in BRATS_REGIONS.items()
        }
        self._becomes = becomes
        self.cases = self._find()
        self.images = [self._file(case, BRATS_SEQUENCES[0]) for case in self.cases]
        self.masks = [self._file(case, "seg") for case in self.cases]
        for case in self.cases:
            for sequence in BRATS_SEQUENCES[1:]:
                self._file(case, sequence)

    @property
    def names(self) -> list[str]:
        """Names of the cases, in order."""
        return [case.name for case in self.cases]

    @property
    def grades(self) -> list[str]:
        """Grade of each case, "HGG" or "LGG"."""
        return [case.parent.name for case in self.cases]

    def _find(self) -> list[Path]:
        tops = (self.root / "MICCAI_BraTS_2018_Data_Training", self.root)
        top = next((t for t in tops if (t / "HGG").is_dir() or (t / "LGG").is_dir()), None)
        if top is None:
            looked = ", ".join(str(t / grade) for t in tops for grade in ("HGG", "LGG"))
            raise FileNotFoundError(f"found no cases of BraTS'18; looked for {looked}")
        chosen = []
        for grade in ("HGG", "LGG"):
            folder = top / grade
            cases = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
            for number, case in enumerate(cases):
                held_out = number % _FOLDS == self.fold
                if self.image_set == "all" or held_out == (self.image_set == "val"):
                    chosen.append(case)
        if not chosen:
            raise FileNotFoundError(
                f"found no cases of image_set {self.image_set!r}, fold {self.fold}, in {top}"
            )
        return chosen

    @staticmethod
    def _file(case: Path, what: str) -> Path:
        files = [case / f"{case.name}_{what}{suffix}" for suffix in (".nii.gz", ".nii")]
        for path in files:
            if path.is_file():
                return path
        raise FileNotFoundError(f"found no {what} of {case.name}; looked for {files[0]} and .nii")

    def _load(self, index: int) -> tuple[Any, Any]:
        case, first = self.cases[index], self.images[index]
        sequences = [read_nifti(self._file(case, sequence)) for sequence in BRATS_SEQUENCES]
        seg = read_nifti(self.masks[index])
        for what, values in zip((*BRATS_SEQUENCES, "seg"), (*sequences, seg), strict=True):
            if values.ndim != 3 or values.shape != sequences[0].shape:
                raise ValueError(
                    f"{self._file(case, what)} has shape {list(values.shape)}, expected "
                    f"three sizes, {list(sequences[0].shape)} as of {first}"
                )
        volume = np.stack(sequences)
        scaled = zscored(volume) if self.normalise else volume.astype(np.float32)
        return scaled, self._labels(seg, self.masks[index])

    def _labels(self, seg: Any, path: Path) -> Labels:
        labels = np.full(seg.shape, -1, np.int64)
        for stored, label in self._becomes.items():
            labels[seg == stored] = label
        if (labels < 0).any():
            wrong = ", ".join(f"{value:g}" for value in np.unique(seg[labels < 0])[:5])
            raise ValueError(f"{path} holds the labels {wrong}, expected 0, 1, 2 or 4")
        return labels
