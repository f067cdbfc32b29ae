# SPDX-License-Identifier: Apache-2.0
"""SceneFlow on trees that are made here; transforms of stereo pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import datasets, io
from mrfcore.datasets import stereo_transforms as S  # noqa: N812

H, W = 6, 16
TREES = {
    "FlyingThings3D": ["TRAIN/A/0000", "TRAIN/C/0001", "TEST/A/0000"],
    "Driving": ["15mm_focallength/scene_forwards/fast"],
    "Monkaa": ["a_rain_of_stones_x2"],
}


def save_pair(images: Path, truth: Path, inner: str, name: str, value: int) -> None:
    for side, number, sign in (("left", value, 1), ("right", value + 1, -1)):
        picture = images / inner / side / f"{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((H, W, 3), number, np.uint8)).save(picture)
        disparity = truth / inner / side / f"{name}.pfm"
        disparity.parent.mkdir(parents=True, exist_ok=True)
        columns = np.full((H, W), 2.0, np.float32)
        columns[:, 8:10] = 4.0 if side == "left" else 2.0  # a little box, hidden in the right view
        io.write_pfm(disparity, sign * columns if "Monkaa" in str(truth) else columns)


def tree(folder: Path, variant: str, frames: str = "frames_cleanpass", first: int = 10) -> None:
    for number, inner in enumerate(TREES[variant]):
        for name in ("0006", "0007"):
            value = first + 10 * number + (name == "0007") * 2
            save_pair(folder / frames, folder / "disparity", inner, name, value)


@pytest.mark.parametrize("place", ["SceneFlow/FlyingThings3D", "FlyingThings3D", "flyingthings3d"])
def test_flying_things(tmp_path: Path, place: str) -> None:
    tree(tmp_path / place, "FlyingThings3D")
    train = datasets.SceneFlowStereo(tmp_path)
    assert train.names == [
        f"FlyingThings3D/TRAIN/{scene}/{name}"
        for scene in ("A/0000", "C/0001")
        for name in ("0006", "0007")
    ]
    left, right, disparity, mask = train[3]
    assert (np.asarray(left)[0, 0, 0], np.asarray(right)[0, 0, 0]) == (22, 23)
    assert disparity.shape == (1, H, W)
    np.testing.assert_array_equal(disparity[0, 0, 7:11], [2, 4, 4, 2])
    assert mask.all()
    assert len(datasets.SceneFlowStereo(tmp_path, split="test")) == 2
    assert len(datasets.SceneFlowStereo(tmp_path, split=None)) == 6
    pair = train.pair(3)
    assert pair.num_disparities == 5
    seen = np.ones((H, W), bool)
    seen[:, :2] = False  # outside the right view
    seen[:, 8:10] = False  # not confirmed by it
    np.testing.assert_array_equal(pair.nonocc, seen)


def test_variants_and_passes(tmp_path: Path) -> None:
    for variant in TREES:
        tree(tmp_path / "SceneFlow" / variant, variant)
        tree(tmp_path / "SceneFlow" / variant, variant, "frames_finalpass", 100)
    assert len(datasets.SceneFlowStereo(tmp_path, "Driving")) == 2
    monkaa = datasets.SceneFlowStereo(tmp_path, "Monkaa", "both")
    assert [np.asarray(item[0])[0, 0, 0] for item in monkaa] == [10, 12, 100, 102]
    assert monkaa.names[0] == "Monkaa/a_rain_of_stones_x2/0006"
    nonocc = monkaa.pair(0).nonocc  # its right disparities are negative numbers here
    assert nonocc is not None
    assert nonocc[:, 2:8].all()
    assert not nonocc[:, 8:10].any()
    assert len(datasets.SceneFlowStereo(tmp_path, "all", "final")) == 8
    assert len(datasets.SceneFlowStereo(tmp_path, "all", split="test")) == 2
    assert len(datasets.SceneFlowStereo(tmp_path, "all", split=None)) == 10


def test_tree_of_psmnet(tmp_path: Path) -> None:
    for variant, frames, truth in (
        ("FlyingThings3D", "frames_cleanpass", "frames_disparity"),
        ("Driving", "driving_frames_cleanpass", "driving_disparity"),
        ("Monkaa", "monkaa_frames_cleanpass", "monkaa_disparity"),
    ):
        for inner in TREES[variant]:
            save_pair(tmp_path / frames, tmp_path / truth, inner, "0006", 50)
    assert len(datasets.SceneFlowStereo(tmp_path, "all")) == 4
    assert len(datasets.SceneFlowStereo(tmp_path, split="test")) == 1


def test_sceneflow_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no frames_cleanpass of SceneFlow's Driving; looked"
    ):
        datasets.SceneFlowStereo(tmp_path, "Driving")
    for call, message in (
        (lambda: datasets.SceneFlowStereo(tmp_path, "Sintel"), "variant: expected one of 'Flying"),
        (lambda: datasets.SceneFlowStereo(tmp_path, pass_name="x"), "pass_name: expected one of"),
        (lambda: datasets.SceneFlowStereo(tmp_path, "Monkaa", split="test"), "has no test set"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    tree(tmp_path / "Driving", "Driving")
    missing = next((tmp_path / "Driving" / "disparity").rglob("left/0006.pfm"))
    missing.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"found .*left/0006\.png, but not .*left/0006\.pfm"
    ):
        datasets.SceneFlowStereo(tmp_path, "Driving")
    (tmp_path / "Monkaa" / "frames_cleanpass").mkdir(parents=True)
    with pytest.raises(
        FileNotFoundError, match=r"no disparities of SceneFlow's Monkaa; looked for"
    ):
        datasets.SceneFlowStereo(tmp_path, "Monkaa")
    (tmp_path / "Monkaa" / "disparity").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"no pairs .* looked for .*cleanpass/\*/left/\*\.png"
    ):
        datasets.SceneFlowStereo(tmp_path, "Monkaa")


# --- transforms -------------------------------------------------------------------------------


def triple() -> Any:
    columns = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    left = Image.fromarray(np.stack([columns] * 3, axis=2))
    right = Image.fromarray(np.stack([columns + 100] * 3, axis=2))
    disparity = columns[None].astype(np.float32)
    return (left, right), (disparity, None), (columns % 2 == 0, None)


def test_crops() -> None:
    images, disparities, masks = S.CenterCrop((4, 10))(*triple())
    expected = np.arange(H * W).reshape(H, W)[1:5, 3:13]
    np.testing.assert_array_equal(np.asarray(images[0])[..., 2], expected)
    np.testing.assert_array_equal(np.asarray(images[1])[..., 0], expected + 100)
    np.testing.assert_array_equal(disparities[0][0], expected)
    np.testing.assert_array_equal(masks[0], expected % 2 == 0)
    assert disparities[1] is masks[1] is None
    crop, corners = S.RandomCrop((5, 14), generator=0), set()
    for _ in range(60):
        images, disparities, masks = crop(*triple())
        np.testing.assert_array_equal(np.asarray(images[0])[..., 0], disparities[0][0])
        np.testing.assert_array_equal(masks[0], disparities[0][0] % 2 == 0)
        corners.add(int(disparities[0][0, 0, 0]))
    assert corners == {row * W + column for row in (0, 1) for column in (0, 1, 2)}


def test_arrays() -> None:
    images, disparities, masks = triple()
    arrays, (near, far), (valid, _) = S.ToArrays((0, 0, 0), (1, 1, 0.5))(images, disparities, masks)
    for array, image in zip(arrays, images, strict=True):
        assert (array.dtype, array.shape) == (np.float32, (3, H, W))
        np.testing.assert_allclose(array[0], np.asarray(image)[..., 0] / 255, atol=1e-6)
        np.testing.assert_allclose(array[2], np.asarray(image)[..., 0] / 127.5, atol=1e-6)
    np.testing.assert_array_equal(near, disparities[0][0])
    assert (far, valid.shape) == (None, (H, W))


def test_bad_crops() -> None:
    with pytest.raises(ValueError, match=r"size: expected at most 6 x 16, .* got 7 x 16"):
        S.RandomCrop((7, 16))(*triple())
    with pytest.raises(ValueError, match="size: expected numbers >= 1"):
        S.CenterCrop(0)
    with pytest.raises(TypeError, match=r"transforms\[0\]: expected a transform such as ToArrays"):
        S.Compose([S.ToArrays])  # type: ignore[list-item]


def test_batches_of_drawn_pairs() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    changes = S.Compose([S.RandomCrop((32, 64), generator=0), S.ToArrays()])
    dataset = datasets.RenderedStereo(2, height=48, width=96, max_disparity=16, transforms=changes)
    left, right, disparity, mask = next(iter(torch.utils.data.DataLoader(dataset, batch_size=2)))
    assert list(left.shape) == list(right.shape) == [2, 3, 32, 64]
    assert list(disparity.shape) == list(mask.shape) == [2, 32, 64]
    np.testing.assert_array_equal(dataset.pair(0).disparity.shape, (48, 96))
