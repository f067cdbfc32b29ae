# SPDX-License-Identifier: Apache-2.0
"""UCF101: 13,320 videos of 101 actions (Soomro et al. 2012), from .avi files or from frames."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._files import PathLike
from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.datasets.clips import Clip, ClipDataset
from mrfcore.datasets.layouts import first_folder
from mrfcore.datasets.segmentation import Transform
from mrfcore.datasets.segmentation_pairs import Draws, Generator
from mrfcore.io import _open_image

__all__ = ["UCF101"]

_LISTS = "ucfTrainTestlist"


class UCF101(ClipDataset):
    """One clip of each video of UCF101, and the number of its action.

    Videos lie in `root/UCF-101`, `root/UCF101` or `root` as `<Action>/v_<Action>_g01_c01.avi`
    (decoded by OpenCV), or as folders of frames: `<Action>/<video>/*.jpg`, or `<video>/*.jpg`, the
    frames in the order of their numbers. Items are `(clip, label)`, uint8 RGB `[T, H, W, 3]`, and
    0 .. 100.
    torchvision's class of this name gives all clips of each video, with sound, and has to read
    every video before its first item; arguments named alike mean the same.

    Args:
        root: where the videos lie.
        annotation_path: folder of classInd.txt, trainlist01.txt, testlist01.txt, ...; None: the
            folder `ucfTrainTestlist` in or beside `root`.
        frames_per_clip: T >= 1.
        fold: 1 to 3, the official splits; the thesis takes 1: 9537 videos to train, 3783 to test.
        train: whether those of the training or those of the test list.
        transform: called with the clip, see `mrfcore.datasets.clip_transforms`.
        target_transform: called with the label.
        step_between_frames: every how many frames one is taken, >= 1.
        generator: where clips begin: drawn from a NumPy Generator or a seed, for training; None:
            clips are the middle of their videos. Videos that are too short begin again.

    Attributes:
        classes: the actions, by label.
        videos: file or folder of each video.
        labels: label of each video.

    Raises:
        FileNotFoundError: no such folder, list or video; the message tells what was looked for.
        ValueError, TypeError: bad arguments, or lists that cannot be read.
    """

    def __init__(
        self,
        root: PathLike,
        annotation_path: PathLike | None = None,
        frames_per_clip: int = 16,
        fold: int = 1,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        step_between_frames: int = 1,
        generator: Generator = None,
    ) -> None:
        super().__init__(transform, target_transform)
        self.root = Path(root)
        self.frames_per_clip = _positive("frames_per_clip", frames_per_clip)
        self.step = _positive("step_between_frames", step_between_frames)
        self.fold = _choice("fold", _integer("fold", fold), (1, 2, 3))
        self.train = _flag("train", train)
        self._draws = None if generator is None else Draws(generator)
        lists = self._lists(annotation_path)
        self.classes = _read_classes(lists / "classInd.txt")
        number = {name: label for label, name in enumerate(self.classes)}
        listed = lists / f"{'train' if self.train else 'test'}list0{self.fold}.txt"
        self.videos, self.labels = [], []
        folders = [self.root / name for name in ("UCF-101", "UCF101", ".")]
        top = next((f for f in folders if any((f / name).is_dir() for name in self.classes)), None)
        for line in _lines(listed):
            action, _, file = line.split()[0].rpartition("/")
            if action not in number:
                raise ValueError(f"{listed} lists {line!r}, whose action is not in classInd.txt")
            self.videos.append(self._video(top or _flat(folders), action, file))
            self.labels.append(number[action])

    def _lists(self, given: PathLike | None) -> Path:
        if given is not None:
            return first_folder(Path(given), (".",), "lists of UCF101 (annotation_path)")
        places = (_LISTS, f"../{_LISTS}", f"UCF-101/{_LISTS}")
        return first_folder(self.root, places, "lists of UCF101")

    @staticmethod
    def _video(top: Path, action: str, file: str) -> Path:
        stem = Path(file).stem
        places = (top / action / file, top / action / stem, top / stem)
        for path in places:
            if path.is_file() if path == places[0] else path.is_dir():
                return path
        looked = ", ".join(str(path) for path in places)
        raise FileNotFoundError(f"found no video {file!r}; looked for {looked}")

    @property
    def names(self) -> list[str]:
        """Names of the videos, in order."""
        return [video.stem if video.suffix == ".avi" else video.name for video in self.videos]

    def _load(self, index: int) -> tuple[Clip, int]:
        video = self.videos[index]
        share = 0.5 if self._draws is None else self._draws.draw(1)[0]
        if video.is_dir():
            clip = _read_frames(video, self._times, share)
        else:
            clip = _read_video(video, self._times, share)
        return clip, self.labels[index]

    def _times(self, count: int, share: float) -> list[int]:
        """Numbers of the clip's frames among `count`; `share` of the room is before it."""
        span = (self.frames_per_clip - 1) * self.step + 1
        start = int(share * (max(0, count - span) + 1))
        return [(start + k * self.step) % count for k in range(self.frames_per_clip)]


def _positive(name: str, value: object) -> int:
    number = _integer(name, value)
    if number < 1:
        raise ValueError(f"{name}: expected a number >= 1, got {number}")
    return number


def _flat(folders: Sequence[Path]) -> Path:
    """The folder of videos where actions have no folders of their own."""
    return next((folder for folder in folders if folder.is_dir()), folders[-1])


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"found no list of UCF101 {path}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if line]
    if not found:
        raise ValueError(f"{path} is empty")
    return found


def _read_classes(path: Path) -> tuple[str, ...]:
    """Lines "<number> <action>", numbers from 1 on."""
    rows = [line.split() for line in _lines(path)]
    good = all(len(row) == 2 and row[0].isdigit() for row in rows)
    ordered = sorted(rows, key=lambda row: int(row[0])) if good else []
    if [int(row[0]) for row in ordered] != list(range(1, len(rows) + 1)):
        raise ValueError(f"{path} is not a list of lines '<number> <action>' from 1 on")
    return tuple(row[1] for row in ordered)


def _read_frames(folder: Path, times: Any, share: float) -> Clip:
    """Frames of a folder; names are sorted by their last number, padded with zeros or not."""
    found = [p for p in folder.iterdir() if p.suffix == ".jpg" and not p.name.startswith(".")]
    files = sorted(found, key=lambda p: (int((re.findall(r"\d+", p.stem) or ["0"])[-1]), p.name))
    if not files:
        raise FileNotFoundError(f"found no frames *.jpg in {folder}")
    frames = {
        k: np.asarray(_open_image(files[k]).convert("RGB")) for k in set(times(len(files), share))
    }
    return _stacked([frames[k] for k in times(len(files), share)], folder)


def _read_video(path: Path, times: Any, share: float) -> Clip:
    """Frames of a video file. Its header may promise more frames than can be decoded."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError:
        raise ImportError(
            "videos are decoded by OpenCV: pip install opencv-python-headless (folders of frames "
            "*.jpg need nothing)"
        ) from None
    capture = cv2.VideoCapture(str(path))
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    count = promised if promised > 0 else 2**30
    for _ in range(2):
        wanted = times(count, share)
        frames, decoded = _decode(cv2, path, set(wanted))
        if all(k in frames for k in wanted):
            return _stacked([frames[k] for k in wanted], path)
        if decoded == 0:
            break
        count = decoded  # the header was wrong: once more, with the number that is true
    raise ValueError(f"{path} is not a readable video: no frame of it can be decoded")


def _decode(cv2: Any, path: Path, wanted: set[int]) -> tuple[dict[int, npt.NDArray[np.uint8]], int]:
    """The frames wanted, by number, and how many there were to the last of them.

    Frames are passed one by one: seeking is not exact in compressed videos.
    """
    capture = cv2.VideoCapture(str(path))
    frames: dict[int, npt.NDArray[np.uint8]] = {}
    number = 0
    try:
        while number <= max(wanted) and capture.grab():
            if number in wanted:
                good, frame = capture.retrieve()
                if not good:
                    break
                frames[number] = np.ascontiguousarray(frame[:, :, ::-1])
            number += 1
    finally:
        capture.release()
    return frames, number


def _stacked(frames: list[npt.NDArray[np.uint8]], where: Path) -> Clip:
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"{where} has frames of several sizes: {sorted(sizes)}")
    return np.stack(frames)
