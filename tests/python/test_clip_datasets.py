# SPDX-License-Identifier: Apache-2.0
"""UCF101 as videos and as frames, on trees that are made here; transforms of clips."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import datasets
from mrfcore.datasets import clip_transforms as C  # noqa: N812

H, W = 24, 32
VIDEOS = {"v_Archery_g01_c01": 20, "v_Archery_g02_c01": 3, "v_Biking_g01_c01": 9}


def level(video: str, number: int) -> int:
    """Grey level of a frame: tells which one it is, even after lossy compression."""
    return 10 * number + (5 if "Biking" in video else 0)


def frame(video: str, number: int) -> np.ndarray:
    return np.full((H, W, 3), level(video, number), np.uint8)


def action(video: str) -> str:
    return video.split("_")[1]


def save_lists(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    (folder / "trainlist01.txt").write_text(
        "Biking/v_Biking_g01_c01.avi 2\nArchery/v_Archery_g01_c01.avi 1\n"
    )
    (folder / "testlist01.txt").write_text("Archery/v_Archery_g02_c01.avi\r\n")
    return folder


def save_videos(folder: Path) -> None:
    cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
    for video, count in VIDEOS.items():
        path = folder / action(video) / f"{video}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (W, H))
        if not writer.isOpened():
            pytest.skip("this OpenCV writes no .avi")
        for number in range(count):
            writer.write(frame(video, number))
        writer.release()


def save_frames(folder: Path, name: str, flat: bool) -> None:
    for video, count in VIDEOS.items():
        place = folder / video if flat else folder / action(video) / video
        place.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(frame(video, number)).save(place / name.format(number + 1), quality=95)


def check(clip: np.ndarray, video: str, numbers: list[int]) -> None:
    assert (clip.dtype, clip.shape) == (np.uint8, (len(numbers), H, W, 3))
    for got, number in zip(clip, numbers, strict=True):
        np.testing.assert_allclose(got.astype(int), level(video, number), atol=3)


@pytest.mark.parametrize("place", ["UCF-101", "UCF101", "."])
@pytest.mark.parametrize("kind", ["avi", "image_{:05d}.jpg", "flat frame{:06d}.jpg", "{}.jpg"])
def test_ucf101(tmp_path: Path, place: str, kind: str) -> None:
    save_lists(tmp_path / "ucfTrainTestlist")
    if kind == "avi":
        save_videos(tmp_path / place)
    else:
        save_frames(tmp_path / place, kind.removeprefix("flat "), kind.startswith("flat"))
    train = datasets.UCF101(tmp_path, frames_per_clip=4)
    assert train.names == ["v_Biking_g01_c01", "v_Archery_g01_c01"]  # as listed
    assert (train.labels, train.classes, train.num_labels) == ([1, 0], ("Archery", "Biking"), 2)
    clip, label = train[0]
    check(clip, "v_Biking_g01_c01", [3, 4, 5, 6])  # (9 - 4 + 1) / 2
    assert label == 1
    check(train[1][0], "v_Archery_g01_c01", [8, 9, 10, 11])
    test = datasets.UCF101(tmp_path, frames_per_clip=7, train=False)
    check(test[0][0], "v_Archery_g02_c01", [0, 1, 2, 0, 1, 2, 0])  # too short: it begins again
    steps = datasets.UCF101(tmp_path, frames_per_clip=3, step_between_frames=4)
    check(steps[0][0], "v_Biking_g01_c01", [0, 4, 8])


def test_random_beginnings(tmp_path: Path) -> None:
    lists = save_lists(tmp_path / "lists")
    save_frames(tmp_path / "videos", "{:03d}.jpg", flat=False)
    dataset = datasets.UCF101(tmp_path / "videos", lists, 7, generator=0)
    starts = {round((float(dataset[0][0][0].mean()) - 5) / 10) for _ in range(40)}
    assert starts == {0, 1, 2}  # of 9 frames
    again = datasets.UCF101(tmp_path / "videos", lists, 7, generator=0)
    other = datasets.UCF101(tmp_path / "videos", lists, 7, generator=0)
    for _ in range(5):
        np.testing.assert_array_equal(again[1][0], other[1][0])


def test_a_header_that_promises_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_lists(tmp_path / "ucfTrainTestlist")
    save_videos(tmp_path)
    cv2 = importlib.import_module("cv2")

    class Liar:
        def __init__(self, path: str) -> None:
            self._real = real(path)

        def get(self, _: int) -> float:
            return 400.0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Liar)
    clip, _ = datasets.UCF101(tmp_path, frames_per_clip=4)[0]
    check(clip, "v_Biking_g01_c01", [3, 4, 5, 6])


def test_without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_lists(tmp_path / "ucfTrainTestlist")
    for video in VIDEOS:
        path = tmp_path / action(video) / f"{video}.avi"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no video")
    dataset = datasets.UCF101(tmp_path)
    if importlib.util.find_spec("cv2"):
        with pytest.raises(ValueError, match=r"c01\.avi is not a readable video: no frame"):
            dataset[0]
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ImportError, match="pip install opencv-python-headless"):
        dataset[0]


def test_ucf101_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no lists of UCF101; looked for .*ucfTrainTestli"):
        datasets.UCF101(tmp_path)
    lists = save_lists(tmp_path / "ucfTrainTestlist")
    with pytest.raises(
        FileNotFoundError, match=r"no video 'v_Biking_g01_c01.avi'; looked for .*avi"
    ):
        datasets.UCF101(tmp_path)
    save_frames(tmp_path, "{}.jpg", flat=False)
    with pytest.raises(FileNotFoundError, match=r"no list of UCF101 .*trainlist02\.txt"):
        datasets.UCF101(tmp_path, fold=2)
    for call, message in (
        (lambda: datasets.UCF101(tmp_path, fold=4), "fold: expected one of 1, 2, 3, got 4"),
        (lambda: datasets.UCF101(tmp_path, frames_per_clip=0), "frames_per_clip: .* >= 1, got 0"),
        (lambda: datasets.UCF101(tmp_path, step_between_frames=0), "step_between_frames: .* got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    odd = tmp_path / "Biking" / "v_Biking_g01_c01" / "5.jpg"
    Image.new("RGB", (8, 8)).save(odd)
    with pytest.raises(ValueError, match="has frames of several sizes"):
        datasets.UCF101(tmp_path)[0]
    (lists / "trainlist01.txt").write_text("Golf/v_Golf_g01_c01.avi 3\n")
    with pytest.raises(ValueError, match=r"lists 'Golf/.*' *, whose action is not in classInd"):
        datasets.UCF101(tmp_path)
    (lists / "trainlist01.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"trainlist01\.txt is empty"):
        datasets.UCF101(tmp_path)
    (lists / "classInd.txt").write_text("1 Archery\n3 Biking\n")
    with pytest.raises(ValueError, match=r"classInd\.txt is not a list of lines"):
        datasets.UCF101(tmp_path)


# --- transforms -------------------------------------------------------------------------------


def test_squares() -> None:
    clip = np.zeros((2, 8, 12, 3), np.uint8)
    clip[:, :, :, 0] = np.arange(12) * 20
    clip[1] += 5
    middle = C.CenterSquare(8)(clip)
    np.testing.assert_array_equal(middle, clip[:, :, 2:10])
    assert C.CenterSquare(4)(clip).shape == (2, 4, 4, 3)
    np.testing.assert_allclose(C.CenterSquare(4)(clip)[0, 2, :, 0], [50, 90, 130, 170], atol=8)
    square = C.RandomSquare(8, smallest=1.0, generator=0)
    found = set()
    for _ in range(100):
        part = square(clip)
        np.testing.assert_array_equal(part[1], part[0] + 5)  # the same place in all frames
        found.add((int(part[0, 0, 0, 0]), int(part[0, 0, -1, 0])))
    ends = {(20 * k, 20 * (k + 7)) for k in range(5)}
    assert found == ends | {(b, a) for a, b in ends}  # every place, either way round
    assert C.RandomSquare(5, smallest=0.1, p=0, generator=1)(clip).shape == (2, 5, 5, 3)


def test_arrays() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    array = C.Compose([C.ToArray(mean=(0, 0.5, 1), std=(1, 2, 4))])(clip)
    assert (array.dtype, array.shape) == (np.float32, (3, 2, 3, 4))
    assert array[1, 1, 2, 3] == pytest.approx((clip[1, 2, 3, 1] / 255 - 0.5) / 2)
    assert array[2, 0, 1, 2] == pytest.approx((clip[0, 1, 2, 2] / 255 - 1) / 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: C.CenterSquare(0), ValueError, "size: expected a number >= 1, got 0"),
        (lambda: C.RandomSquare(smallest=0), ValueError, "smallest: expected a number above 0"),
        (lambda: C.RandomSquare(p=-1), ValueError, "p: expected a number from 0 to 1"),
        (lambda: C.ToArray(std=(0, 1, 1)), ValueError, "std: expected numbers > 0"),
        (lambda: C.ToArray(mean=(0, 1)), ValueError, "mean: expected three finite numbers"),
        (lambda: C.ToArray()(np.zeros((2, 3, 4))), ValueError, r"clip: expected uint8 \[T, H, W"),
        (lambda: C.Compose([C.ToArray]), TypeError, r"transforms\[0\]: expected a transform"),
    ],
)
def test_transforms_refuse(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
