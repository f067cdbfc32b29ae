# SPDX-License-Identifier: Apache-2.0
"""Stereo data sets under torchvision's names, arguments and items, without torch.

An item is `(left, right, disparity, valid_mask)` as in torchvision: RGB PIL images, disparities
float32 `[1, H, W]` in pixels, a bool mask `[H, W]`; the last two are None on splits without ground
truth. Two points are the same for every set here where torchvision differs from set to set:
`valid_mask` is always there when the disparity is (torchvision leaves it None for KITTI), and the
disparity is 0 wherever the mask is False (torchvision leaves inf in ETH3D's).

`dataset.pair(i)` gives the same scene as a `StereoPair` of NumPy arrays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrfcore._files import PathLike
from mrfcore.datasets import download as dl
from mrfcore.datasets.layouts import (
    SceneFiles,
    first_folder,
    kitti_scene,
    middlebury_scene,
    read_pair,
    read_truth,
)
from mrfcore.datasets.pair import StereoPair

Disparity = npt.NDArray[np.float32] | None
Mask = npt.NDArray[np.bool_] | None
Item = tuple[Image.Image, Image.Image, Disparity, Mask]
Transforms = Callable[..., tuple[Any, Any, Any]]


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {choices}")


class StereoMatchingDataset:
    """A list of stereo pairs in files.

    Args:
        root: folder the data set lies in.
        transforms: called as `transforms((left, right), (disparity, right disparity),
            (mask, right mask))`, as torchvision does; returns the same three pairs, changed.
    """

    def __init__(self, root: PathLike, transforms: Transforms | None = None) -> None:
        self.root = Path(root)
        self.transforms = transforms
        self._scenes: list[SceneFiles] = []

    @property
    def names(self) -> list[str]:
        """Names of the scenes, in order."""
        return [scene.name for scene in self._scenes]

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Item:
        """The item `(left, right, disparity, valid_mask)`; see the module's description."""
        scene = self._scenes[index]
        images = (self._image(scene.left), self._image(self._right_view(scene)))
        truths = (self._truth(scene, scene.disparity), self._truth(scene, scene.right_disparity))
        disparities: Any = tuple(disparity for disparity, _ in truths)
        masks: Any = tuple(mask for _, mask in truths)
        if self.transforms is not None:
            images, disparities, masks = self.transforms(images, disparities, masks)
        return images[0], images[1], disparities[0], masks[0]

    def pair(self, index: int) -> StereoPair:
        """The scene as NumPy arrays, with the mask of non-occluded pixels where it is known."""
        return read_pair(self._scenes[index])

    def _right_view(self, scene: SceneFiles) -> Path:
        return scene.right

    @staticmethod
    def _image(path: Path) -> Image.Image:
        with Image.open(path) as image:
            rgb: Image.Image = image.convert("RGB")
        return rgb

    @staticmethod
    def _truth(scene: SceneFiles, path: Path | None) -> tuple[Disparity, Mask]:
        disparity = read_truth(scene, path)
        if disparity is None:
            return None, None
        valid = np.isfinite(disparity)
        # |d|, because some sets store the right view's disparities as negative numbers.
        return np.abs(np.where(valid, disparity, np.float32(0)))[None], valid

    def _take(self, folder: Path, scenes: list[SceneFiles | None], what: str) -> None:
        self._scenes = [scene for scene in scenes if scene is not None]
        if not self._scenes:
            raise FileNotFoundError(f"found no {what} in {folder}")


class _ClassicMiddlebury(StereoMatchingDataset):
    """Scenes one folder each, in `root/<year folder>` or in `root` itself."""

    _folder: str
    _names: tuple[str, ...]

    def __init__(
        self, root: PathLike, transforms: Transforms | None = None, download: bool = False
    ) -> None:
        super().__init__(root, transforms)
        if download:
            for name in self._names:
                if name in dl.known_scenes():
                    dl.fetch_scene(name, self.root / self._folder)
        folder = first_folder(
            self.root,
            (self._folder, "middlebury", "Middlebury", "."),
            f"{self._folder} data (download=True fetches what can be verified)",
        )
        found = [middlebury_scene(folder / name) for name in self._names]
        what = f"images of {', '.join(self._names)} (folders with imL, imR or im2, im6)"
        self._take(folder, [s for s in found if s and s.disparity], what)


class Middlebury2001Stereo(_ClassicMiddlebury):
    """Middlebury 2001: tsukuba, venus, map, sawtooth, barn1, barn2, bull, poster.

    Scene folders lie in `root/Middlebury2001`, `root/middlebury` or `root`; both the official
    files (im2.ppm, im6.ppm, disp2.pgm, disp6.pgm; Tsukuba's scene1.row3.col3.ppm, ...) and
    imL, imR, gt are understood, as .ppm, .pgm or .png. Scenes that are not there are left out.

    Args:
        root: where to look.
        transforms: as torchvision's.
        download: first fetch tsukuba, venus and map, whose checksums are known, to
            `root/Middlebury2001`.

    Raises:
        FileNotFoundError: no scene found; the message tells what was looked for.
        RuntimeError: a download failed.
    """

    _folder = "Middlebury2001"
    _names = ("barn1", "barn2", "bull", "map", "poster", "sawtooth", "tsukuba", "venus")


class Middlebury2003Stereo(_ClassicMiddlebury):
    """Middlebury 2003: cones and teddy, at any of the three published sizes.

    Layout and arguments as `Middlebury2001Stereo`, with the folder `Middlebury2003`.
    """

    _folder = "Middlebury2003"
    _names = ("cones", "teddy")


class Middlebury2014Stereo(StereoMatchingDataset):
    """Middlebury 2014 in torchvision's layout `root/Middlebury2014/<split>/<scene>-perfect`.

    Args:
        root: where `Middlebury2014` lies.
        split: "train", "additional" or "test".
        calibration: "perfect", "imperfect" or "both"; None for the test split, which has none.
        use_ambient_views: take the right view at random from im1, im1E (exposure) and im1L
            (lighting) where they exist.
        transforms: as torchvision's.
        download: fetch the split's scenes from the official site. Their checksums are not
            published: they must be given in `checksums`, or an error names the address.
        checksums: SHA-256 by archive name, such as {"Motorcycle-perfect.zip": "..."}; only these
            archives are fetched.

    Raises:
        FileNotFoundError: no scene found; the message tells what was looked for.
        ValueError: an unknown split or calibration, or a download without checksums.
        RuntimeError: a download failed.
    """

    # fmt: off
    splits: Mapping[str, tuple[str, ...]] = {
        "train": (
            "Adirondack", "Jadeplant", "Motorcycle", "Piano", "Pipes", "Playroom",
            "Playtable", "Recycle", "Shelves", "Vintage",
        ),
        "additional": (
            "Backpack", "Bicycle1", "Cable", "Classroom1", "Couch", "Flowers", "Mask",
            "Shopvac", "Sticks", "Storage", "Sword1", "Sword2", "Umbrella",
        ),
        "test": (
            "Plants", "Classroom2E", "Classroom2", "Australia", "DjembeL", "CrusadeP",
            "Crusade", "Hoops", "Bicycle2", "Staircase", "Newkuba", "AustraliaP",
            "Djembe", "Livingroom", "Computer",
        ),
    }
    # fmt: on
    _url = "https://vision.middlebury.edu/stereo/data/scenes2014/zip"

    def __init__(
        self,
        root: PathLike,
        split: str = "train",
        calibration: str | None = "perfect",
        use_ambient_views: bool = False,
        transforms: Transforms | None = None,
        download: bool = False,
        *,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, transforms)
        _one_of("split", split, tuple(self.splits))
        allowed = (None,) if split == "test" else ("perfect", "imperfect", "both")
        _one_of(f"calibration of split {split!r}", calibration, allowed)
        self.split, self.use_ambient_views = split, use_ambient_views
        kinds = ("perfect", "imperfect") if calibration == "both" else (calibration,)
        scenes = [f"{s}-{kind}" if kind else s for kind in kinds for s in self.splits[split]]
        if download:
            self._download(scenes, checksums)
        folder = first_folder(
            self.root, (f"Middlebury2014/{split}",), f"split {split!r} of Middlebury 2014"
        )
        found = [middlebury_scene(folder / scene) for scene in scenes]
        if split != "test":
            found = [scene for scene in found if scene and scene.disparity]
        self._take(folder, found, f"scenes (im0.png, im1.png, disp0.pfm) such as {scenes[0]}")

    def _download(self, scenes: list[str], checksums: Mapping[str, str] | None) -> None:
        folder = self.root / "Middlebury2014" / self.split
        wanted = {f"{scene}.zip": scene for scene in scenes}
        known = [name for name in wanted if dl.checksum_of(checksums, name)]
        if not known:
            note = f", or pass their SHA-256 as checksums={{{next(iter(wanted))!r}: ...}}"
            what = f"split {self.split!r} of Middlebury 2014"
            raise dl.manual_instructions(what, f"{self._url}/{next(iter(wanted))}", folder, note)
        for name in known:
            if not (folder / wanted[name]).is_dir():
                checksum = dl.checksum_of(checksums, name) or ""
                dl.fetch_archive(f"{self._url}/{name}", checksum, folder)

    def _right_view(self, scene: SceneFiles) -> Path:
        if not self.use_ambient_views:
            return scene.right
        views = [scene.right.with_name(name) for name in ("im1E.png", "im1L.png")]
        return random.choice([scene.right, *(view for view in views if view.is_file())])


class Kitti2015Stereo(StereoMatchingDataset):
    """KITTI 2015 in torchvision's layout `root/Kitti2015/training/image_2/000000_10.png`.

    Also understood: the official `root/training` and `root/testing`, and `root/kitti2015` or
    `root` with `image_2` and `image_3` directly inside. Disparities include occluded pixels
    (disp_occ_0); `pair()` takes the non-occluded ones from disp_noc_0.

    Args:
        root: where to look.
        split: "train" (images with ground truth) or "test" (all images).
        transforms: as torchvision's.
        download: not possible (the site asks for a registration): an error says what to fetch.

    Raises:
        FileNotFoundError: no pair found; the message tells what was looked for.
        ValueError: an unknown split, or download=True.
    """

    _url = "https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=stereo"

    def __init__(
        self,
        root: PathLike,
        split: str = "train",
        transforms: Transforms | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transforms)
        _one_of("split", split, ("train", "test"))
        if download:
            raise dl.manual_instructions("KITTI 2015", self._url, self.root / "Kitti2015")
        base = f"{split}ing"
        candidates = (f"Kitti2015/{base}", base, "kitti2015", ".")
        images = first_folder(
            self.root, [f"{c}/image_2" for c in candidates], f"split {split!r} of KITTI 2015"
        )
        folder = images.parent
        found = [kitti_scene(folder, path.stem) for path in sorted(images.glob("*.png"))]
        if split == "train":
            found = [scene for scene in found if scene and scene.disparity]
        what = "pairs image_2/*.png, image_3/*.png"
        truth = " with disp_occ_0/*.png (split='test' takes pairs without ground truth)"
        self._take(folder, found, what + (truth if split == "train" else ""))


class ETH3DStereo(StereoMatchingDataset):
    """ETH3D two-view in torchvision's layout `root/ETH3D/two_view_training/<scene>/im0.png`.

    Ground truth lies in `two_view_training_gt/<scene>` beside it, or in the scene's own folder.
    Also understood: the same folders directly in `root`, and `root/eth3d/training`. The mask of an
    item is True where a disparity is known; `pair()` takes the non-occluded pixels from
    mask0nocc.png.

    Args:
        root: where to look.
        split: "train" (scenes with ground truth) or "test" (all scenes of the split's folder).
        transforms: as torchvision's.
        download: not possible (7z archives without checksums): an error says what to fetch.

    Raises:
        FileNotFoundError: no pair found; the message tells what was looked for.
        ValueError: an unknown split, or download=True.
    """

    _url = "https://www.eth3d.net/datasets (two_view_training.7z, two_view_training_gt.7z)"

    def __init__(
        self,
        root: PathLike,
        split: str = "train",
        transforms: Transforms | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transforms)
        _one_of("split", split, ("train", "test"))
        if download:
            raise dl.manual_instructions("ETH3D", self._url, self.root / "ETH3D")
        inner = "two_view_training" if split == "train" else "two_view_test"
        other = "training" if split == "train" else "test"
        folder = first_folder(
            self.root,
            (f"ETH3D/{inner}", inner, f"eth3d/{other}", f"ETH3D/{inner}ing"),
            f"split {split!r} of ETH3D",
        )
        truth = folder.with_name("two_view_training_gt")
        found = [
            middlebury_scene(scene, truth / scene.name if truth.is_dir() else None)
            for scene in sorted(path for path in folder.iterdir() if path.is_dir())
        ]
        if split == "train":
            found = [scene for scene in found if scene and scene.disparity]
        self._take(folder, found, "scenes (im0.png, im1.png" + ", disp0GT.pfm)" * (split != "test"))
