# SPDX-License-Identifier: Apache-2.0
"""PASCAL VOC and PASCAL Context, which share VOC's folders."""

from __future__ import annotations

from pathlib import Path

from mrfcore._files import PathLike
from mrfcore._scalars import _choice, _flag
from mrfcore.datasets import download as dl
from mrfcore.datasets.layouts import first_folder
from mrfcore.datasets.segmentation import SegmentationDataset, Transform, Transforms
from mrfcore.datasets.segmentation_files import by_name, paired, read_list
from mrfcore.datasets.segmentation_names import CONTEXT_CLASSES, VOC_CLASSES

__all__ = ["PascalContext", "VOCSegmentation"]

_SITE = "http://host.robots.ox.ac.uk/pascal/VOC"
# Archive by year, with the MD5 that torchvision publishes.
_ARCHIVES = {
    "2012": ("VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd"),
    "2011": ("VOCtrainval_25-May-2011.tar", "md5:6c3384ef61512963050cb5d687e5bf1e"),
    "2010": ("VOCtrainval_03-May-2010.tar", "md5:da459979d0c395079b5c75ee67908abb"),
    "2009": ("VOCtrainval_11-May-2009.tar", "md5:a3e00b113cfcfebf17e343f59da3caa1"),
    "2008": ("VOCtrainval_14-Jul-2008.tar", "md5:2629fa636546599198acfcfbfcf1904a"),
    "2007": ("VOCtrainval_06-Nov-2007.tar", "md5:c52e279531787c972589f7e41ab4ae64"),
}
_EXTRA_SETS = {"2012": ("trainaug",), "2007": ("test",)}


def _voc_folder(root: Path, year: str, inner: str) -> Path:
    """Where the folder `inner` of a year lies."""
    folders = (f"VOCdevkit/VOC{year}", f"TrainVal/VOCdevkit/VOC{year}", f"VOC{year}", ".")
    return first_folder(root, [f"{folder}/{inner}" for folder in folders], f"{inner} of VOC {year}")


class VOCSegmentation(SegmentationDataset):
    """PASCAL VOC's semantic segmentation: 21 labels, 0 is the background.

    Files lie in `root/VOCdevkit/VOC2012`, `root/VOC2012` or `root`: JPEGImages/*.jpg,
    SegmentationClass/*.png, ImageSets/Segmentation/<image_set>.txt. The pixels around objects that
    people left open are void.

    Args:
        root: where to look.
        year: "2007" to "2012".
        image_set: "train", "val" or "trainval"; "test" of 2007; "trainaug" of 2012: the images of
            trainaug.txt (or train_aug.txt), mostly 10,582, with labels from SegmentationClassAug
            where it has them and from SegmentationClass otherwise (Hariharan et al., ICCV 2011;
            not part of VOC's archive).
        download: first fetch the year's archive, some 2 GB for 2012, unless its folder is there.
            It is verified by the MD5 that torchvision publishes.
        transform: see `SegmentationDataset`.
        target_transform: see `SegmentationDataset`.
        transforms: see `SegmentationDataset`.

    Raises:
        FileNotFoundError: no such folder, list or file; the message tells what was looked for.
        ValueError: an unknown year or image set, or a download that does not match.
        RuntimeError: a download failed.
    """

    num_labels = len(VOC_CLASSES)
    classes = VOC_CLASSES

    def __init__(
        self,
        root: PathLike,
        year: str = "2012",
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.year = _choice("year", str(year), tuple(_ARCHIVES))
        sets = ("train", "val", "trainval", *_EXTRA_SETS.get(self.year, ()))
        self.image_set = _choice("image_set", image_set, sets)
        if _flag("download", download):
            self._download()
        images = _voc_folder(self.root, self.year, "JPEGImages")
        names = read_list(self._list(images.parent / "ImageSets" / "Segmentation"))
        masks = images.parent / "SegmentationClass"
        labels, looked = by_name(masks, ".png"), f"{images} and {masks}"
        if self.image_set == "trainaug":
            more = images.parent / "SegmentationClassAug"
            labels, looked = labels | by_name(more, ".png"), f"{looked} and {more}"
        self._take(paired(names, by_name(images, ".jpg"), labels, looked))

    def _list(self, folder: Path) -> Path:
        """The list of the image set's names."""
        if self.image_set != "trainaug":
            return folder / f"{self.image_set}.txt"
        lists = [folder / "trainaug.txt", folder / "train_aug.txt"]
        for path in lists:
            if path.is_file():
                return path
        raise FileNotFoundError(
            f"found no list of the additional annotations; looked for {lists[0]} and {lists[1]} "
            "(they are not part of VOC's archive: see docs/segmentation_data.md)"
        )

    def _download(self) -> None:
        inner = f"VOCdevkit/VOC{self.year}"
        if self.year == "2011":
            inner = f"TrainVal/{inner}"
        if self.image_set in _EXTRA_SETS.get(self.year, ()):
            what = f"image set {self.image_set!r} of VOC {self.year}"
            raise dl.manual_instructions(what, f"{_SITE}/voc{self.year}", self.root / inner)
        if not (self.root / inner).is_dir():
            archive, checksum = _ARCHIVES[self.year]
            dl.fetch_archive(f"{_SITE}/voc{self.year}/{archive}", checksum, self.root, inner)


class PascalContext(SegmentationDataset):
    """PASCAL Context (Mottaghi et al., CVPR 2014), the 59 most frequent classes.

    Files lie in `root/VOCdevkit/VOC2010`, `root/VOC2010` or `root`: JPEGImages/*.jpg,
    SegmentationClassContext/*.png, ImageSets/SegmentationContext/{train,val}.txt. Stored numbers
    are 0 (none of the 59) and 1 to 59, the classes in alphabetical order, as converters of the
    original annotation write them. The PNGs of the authors' own archive 59_context_labels number
    the same classes otherwise: they can be read here, but `classes` does not name them.

    Args:
        root: where to look.
        image_set: "train" (4998 images), "val" (5105) or "trainval", one after the other.
        download: not possible (labels have to be converted): an error says what to fetch.
        transform: see `SegmentationDataset`.
        target_transform: see `SegmentationDataset`.
        transforms: see `SegmentationDataset`.
        reduce_zero_label: True: 59 labels, stored 0 is void, stored k is label k - 1. False: 60
            labels as stored, 0 is "background".

    Raises:
        FileNotFoundError: no such folder, list or file; the message tells what was looked for.
        ValueError: an unknown image set, or download=True.
    """

    num_labels = len(CONTEXT_CLASSES)
    classes = CONTEXT_CLASSES
    _url = f"https://cs.stanford.edu/~roozbeh/pascal-context/ (images from {_SITE}/voc2010)"

    def __init__(
        self,
        root: PathLike,
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transforms | None = None,
        *,
        reduce_zero_label: bool = True,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = _choice("image_set", image_set, ("train", "val", "trainval"))
        self.reduce_zero_label = _flag("reduce_zero_label", reduce_zero_label)
        if not self.reduce_zero_label:
            self.classes = ("background", *CONTEXT_CLASSES)
        self.num_labels = len(self.classes)
        if _flag("download", download):
            place = self.root / "VOCdevkit" / "VOC2010"
            note = ", labels as PNG files in SegmentationClassContext (docs/segmentation_data.md)"
            raise dl.manual_instructions("PASCAL Context", self._url, place, note)
        masks = _voc_folder(self.root, "2010", "SegmentationClassContext")
        images = masks.parent / "JPEGImages"
        lists = masks.parent / "ImageSets" / "SegmentationContext"
        parts = ("train", "val") if self.image_set == "trainval" else (self.image_set,)
        names = [name for part in parts for name in read_list(lists / f"{part}.txt")]
        looked = f"{images} and {masks}"
        self._take(paired(names, by_name(images, ".jpg"), by_name(masks, ".png"), looked))
