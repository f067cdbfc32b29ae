# SPDX-License-Identifier: Apache-2.0
"""SceneFlow (Mayer et al. 2016): rendered stereo pairs of FlyingThings3D, Driving and Monkaa."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mrfcore._files import PathLike
from mrfcore._scalars import _choice
from mrfcore.datasets.layouts import SceneFiles
from mrfcore.datasets.stereo import StereoMatchingDataset, Transforms

__all__ = ["SceneFlowStereo"]

_VARIANTS = ("FlyingThings3D", "Driving", "Monkaa")
_SUFFIXES = (".png", ".webp")  # lossless and, of the smaller archives, lossy images


class SceneFlowStereo(StereoMatchingDataset):
    """SceneFlow's pairs, with ground truth of both views, under torchvision's arguments.

    Images lie in `root/SceneFlow/<variant>/frames_cleanpass` (or frames_finalpass), disparities in
    `disparity` beside it, both in torchvision's tree: FlyingThings3D `TRAIN/A/0000/left/0006.png`,
    Driving `15mm_focallength/scene_forwards/fast/left/0001.png`, Monkaa `<scene>/left/0000.png`;
    disparities as .pfm. Also understood: `root/<variant>` in any case, and PSMNet's tree, folders
    `frames_cleanpass` and `frames_disparity`, `driving_frames_cleanpass` and `driving_disparity`,
    `monkaa_...` in `root`.

    Args:
        root: where to look.
        variant: "FlyingThings3D", "Driving", "Monkaa", or "all".
        pass_name: "clean", "final" (motion blur and depth of field), or "both".
        transforms: as torchvision's, see `mrfcore.datasets.stereo_transforms`.
        split: "train": FlyingThings3D's TRAIN, all of Driving and of Monkaa, 35,454 pairs a pass in
            all; "test": FlyingThings3D's TEST, 4370 pairs, and nothing of the others; None: every
            pair that is there, as torchvision.

    Raises:
        FileNotFoundError: no pair found; the message tells what was looked for.
        ValueError: an unknown variant, pass or split, or "test" of a variant that has none.
    """

    def __init__(
        self,
        root: PathLike,
        variant: str = "FlyingThings3D",
        pass_name: str = "clean",
        transforms: Transforms | None = None,
        *,
        split: str | None = "train",
    ) -> None:
        super().__init__(root, transforms)
        self.variant = _choice("variant", variant, (*_VARIANTS, "all"))
        self.pass_name = _choice("pass_name", pass_name, ("clean", "final", "both"))
        self.split = _choice("split", split, ("train", "test", None))
        if split == "test" and variant in ("Driving", "Monkaa"):
            raise ValueError(
                f"split: expected 'train' or None for {variant}, which has no test set"
            )
        passes = ("clean", "final") if pass_name == "both" else (pass_name,)
        variants = _VARIANTS if variant == "all" else (variant,)
        if split == "test":
            variants = ("FlyingThings3D",)
        self._scenes = [
            scene for one in variants for p in passes for scene in self._pairs(one, f"{p}pass")
        ]

    def _pairs(self, variant: str, pass_folder: str) -> list[SceneFiles]:
        images, truth = self._folders(variant, f"frames_{pass_folder}")
        inner = f"{self.split.upper()}/" if self.split and variant == "FlyingThings3D" else ""
        depth = {"FlyingThings3D": 3, "Driving": 3, "Monkaa": 1}[variant] - (1 if inner else 0)
        pattern = f"{inner}{'*/' * depth}left"
        scenes = [
            scene
            for left in sorted(images.glob(pattern))
            for scene in _scenes(left, images, truth, variant)
        ]
        if not scenes:
            raise FileNotFoundError(
                f"found no pairs of SceneFlow's {variant}; looked for {images / pattern}/*.png"
            )
        return scenes

    def _folders(self, variant: str, frames: str) -> tuple[Path, Path]:
        """Folders of images and of disparities."""
        names = (f"SceneFlow/{variant}", variant, variant.lower())
        short = "" if variant == "FlyingThings3D" else f"{variant.lower()}_"
        found = [(self.root / name / frames, self.root / name / "disparity") for name in names]
        other = "frames_disparity" if not short else f"{short}disparity"
        found.append((self.root / f"{short}{frames}", self.root / other))
        for images, truth in found:
            if images.is_dir():
                if not truth.is_dir():
                    raise FileNotFoundError(
                        f"found no disparities of SceneFlow's {variant}; looked for {truth}"
                    )
                return images, truth
        looked = ", ".join(str(images) for images, _ in found)
        raise FileNotFoundError(f"found no {frames} of SceneFlow's {variant}; looked for {looked}")


def _scenes(left: Path, images: Path, truth: Path, variant: str) -> Iterator[SceneFiles]:
    """The pairs of a folder `left`, with their disparities."""
    folder = truth / left.parent.relative_to(images)
    files = (path for path in left.iterdir() if path.suffix in _SUFFIXES)
    for path in sorted(p for p in files if not p.name.startswith(".")):
        right = left.parent / "right" / path.name
        disparities = [folder / side / f"{path.stem}.pfm" for side in ("left", "right")]
        for other in (right, disparities[0]):
            if not other.is_file():
                raise FileNotFoundError(f"found {path}, but not {other}")
        inner = path.relative_to(images)
        yield SceneFiles(
            name=f"{variant}/{inner.parent.parent.as_posix()}/{path.stem}",
            left=path,
            right=right,
            disparity=disparities[0],
            right_disparity=disparities[1] if disparities[1].is_file() else None,
        )
