# SPDX-License-Identifier: Apache-2.0
"""Data sets on folders laid out as the benchmarks publish them, and on the real images."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import datasets, io, metrics
from mrfcore.datasets import layouts
from mrfcore.datasets.download import _SHA256

H, W = 12, 20


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def rgb(value: int, height: int = H, width: int = W) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def save_pair(folder: Path, left: str, right: str) -> None:
    save(folder / left, rgb(10))
    save(folder / right, rgb(20))


def write_pfm(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.write_pfm(path, values)


@pytest.fixture
def eight_bit() -> np.ndarray:
    disparity = np.full((H, W), 16, np.uint8)
    disparity[0, 0] = 0
    return disparity


def check_item(item: tuple[Any, ...], disparity: float) -> None:
    left, right, truth, mask = item
    for image, value in ((left, 10), (right, 20)):
        assert isinstance(image, Image.Image)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), rgb(value))
    assert truth.shape == (1, H, W)
    assert truth.dtype == np.float32
    assert mask.shape == (H, W)
    assert mask.dtype == bool
    assert not mask[0, 0]
    assert truth[0, 0, 0] == 0
    assert mask.sum() == H * W - 1
    np.testing.assert_array_equal(truth[0][mask], disparity)


# --- layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["Middlebury2001", "middlebury", "."])
def test_middlebury_2001_layouts(tmp_path: Path, eight_bit: np.ndarray, root: str) -> None:
    venus, tsukuba, map_ = (tmp_path / root / name for name in ("venus", "tsukuba", "map"))
    save_pair(venus, "im2.ppm", "im6.ppm")
    save_pair(venus, "im0.ppm", "im8.ppm")  # the official folder holds nine views
    save(venus / "disp2.pgm", eight_bit)
    save(venus / "disp6.pgm", eight_bit)
    save_pair(tsukuba, "scene1.row3.col3.ppm", "scene1.row3.col4.ppm")
    save(tsukuba / "truedisp.row3.col3.pgm", eight_bit)
    save(map_ / "im0.pgm", rgb(10)[..., 0])
    save(map_ / "im1.pgm", rgb(20)[..., 0])
    save(map_ / "disp0.pgm", eight_bit)
    dataset = datasets.Middlebury2001Stereo(tmp_path)
    assert dataset.names == ["map", "tsukuba", "venus"]
    assert len(dataset) == len(list(dataset)) == 3
    check_item(dataset[0], 2.0)  # scale 8
    check_item(dataset[1], 1.0)  # scale 16
    check_item(dataset[2], 2.0)
    assert dataset.pair(0).left.shape == (H, W)  # arrays keep grey images grey


@pytest.mark.parametrize(("width", "disparity"), [(450, 4.0), (900, 8.0), (1800, 16.0)])
def test_middlebury_2003_sizes(tmp_path: Path, width: int, disparity: float) -> None:
    folder = tmp_path / "Middlebury2003" / "cones"
    save(folder / "im2.png", rgb(10, H, width))
    save(folder / "im6.png", rgb(20, H, width))
    save(folder / "disp2.png", np.full((H, width), 16, np.uint8))
    save(folder / "disp6.png", np.full((H, width), 16, np.uint8))
    dataset = datasets.Middlebury2003Stereo(tmp_path)
    assert dataset.names == ["cones"]
    truth = dataset[0][2]
    assert truth is not None
    assert (truth == disparity).all()


@pytest.fixture
def middlebury_2014(tmp_path: Path) -> Path:
    disparity = np.full((H, W), 2.5, np.float32)
    disparity[0, 0] = np.inf
    for name in ("Adirondack-perfect", "Adirondack-imperfect", "Vintage-perfect"):
        folder = tmp_path / "Middlebury2014" / "train" / name
        save_pair(folder, "im0.png", "im1.png")
        save(folder / "im1E.png", rgb(30))
        write_pfm(folder / "disp0.pfm", disparity)
        write_pfm(folder / "disp1.pfm", disparity)
    save_pair(tmp_path / "Middlebury2014" / "test" / "Plants", "im0.png", "im1.png")
    return tmp_path


def test_middlebury_2014(middlebury_2014: Path) -> None:
    dataset = datasets.Middlebury2014Stereo(middlebury_2014)
    assert dataset.names == ["Adirondack-perfect", "Vintage-perfect"]
    check_item(dataset[0], 2.5)
    both = datasets.Middlebury2014Stereo(middlebury_2014, calibration="both")
    assert both.names == ["Adirondack-perfect", "Vintage-perfect", "Adirondack-imperfect"]
    test = datasets.Middlebury2014Stereo(middlebury_2014, "test", calibration=None)
    assert test.names == ["Plants"]
    assert test[0][2:] == (None, None)


def test_middlebury_2014_ambient_views(middlebury_2014: Path) -> None:
    dataset = datasets.Middlebury2014Stereo(middlebury_2014, use_ambient_views=True)
    seen = {int(np.asarray(dataset[0][1])[0, 0, 0]) for _ in range(60)}
    assert seen == {20, 30}


def test_middlebury_2014_arguments(middlebury_2014: Path) -> None:
    with pytest.raises(ValueError, match="split is 'val', expected one of"):
        datasets.Middlebury2014Stereo(middlebury_2014, "val")
    with pytest.raises(ValueError, match=r"calibration of split 'test' is 'perfect'"):
        datasets.Middlebury2014Stereo(middlebury_2014, "test")
    with pytest.raises(ValueError, match=r"calibration of split 'train' is None"):
        datasets.Middlebury2014Stereo(middlebury_2014, calibration=None)


@pytest.mark.parametrize("root", ["Kitti2015/training", "training", "kitti2015", "."])
def test_kitti_2015(tmp_path: Path, root: str) -> None:
    folder = tmp_path / root
    for name in ("000000_10", "000000_11", "000001_10"):
        save(folder / "image_2" / f"{name}.png", rgb(10))
        save(folder / "image_3" / f"{name}.png", rgb(20))
    stored = np.full((H, W), 640, np.uint16)
    stored[0, 0] = 0
    save(folder / "disp_occ_0" / "000000_10.png", stored)
    stored = stored.copy()
    stored[:, :5] = 0
    save(folder / "disp_noc_0" / "000000_10.png", stored)
    dataset = datasets.Kitti2015Stereo(tmp_path)
    assert dataset.names == ["000000_10"]  # the only one with ground truth
    check_item(dataset[0], 2.5)
    pair = dataset.pair(0)
    assert pair.nonocc is not None
    np.testing.assert_array_equal(pair.nonocc, stored > 0)
    if root in ("kitti2015", "."):
        assert len(datasets.Kitti2015Stereo(tmp_path, split="test")) == 3


def test_eth3d(tmp_path: Path) -> None:
    scene = tmp_path / "ETH3D" / "two_view_training" / "playground_1l"
    truth = tmp_path / "ETH3D" / "two_view_training_gt" / "playground_1l"
    save_pair(scene, "im0.png", "im1.png")
    disparity = np.full((H, W), 3.25, np.float32)
    disparity[0, 0] = np.inf
    write_pfm(truth / "disp0GT.pfm", disparity)
    mask = np.full((H, W), 255, np.uint8)
    mask[0, 0], mask[1] = 0, 128  # unknown, occluded
    save(truth / "mask0nocc.png", mask)
    dataset = datasets.ETH3DStereo(tmp_path)
    assert dataset.names == ["playground_1l"]
    check_item(dataset[0], 3.25)
    pair = dataset.pair(0)
    assert pair.nonocc is not None
    np.testing.assert_array_equal(pair.nonocc, mask == 255)


def test_transforms_get_what_torchvision_gives(middlebury_2014: Path) -> None:
    def transforms(images: Any, disparities: Any, masks: Any) -> tuple[Any, Any, Any]:
        assert [image.size for image in images] == [(W, H)] * 2
        assert [disparity.shape for disparity in disparities] == [(1, H, W)] * 2
        assert [mask.shape for mask in masks] == [(H, W)] * 2
        return images[::-1], [d + 1 for d in disparities], masks

    plain = datasets.Middlebury2014Stereo(middlebury_2014)[0]
    changed = datasets.Middlebury2014Stereo(middlebury_2014, transforms=transforms)[0]
    np.testing.assert_array_equal(np.asarray(changed[0]), np.asarray(plain[1]))
    assert changed[2] is not None
    assert plain[2] is not None
    np.testing.assert_array_equal(changed[2], plain[2] + 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (datasets.Middlebury2001Stereo, "imL, imR or im2, im6"),
        (datasets.Middlebury2014Stereo, "looked for .*Middlebury2014/train"),
        (datasets.Kitti2015Stereo, "looked for .*Kitti2015/training/image_2, .*training/image_2"),
        (datasets.ETH3DStereo, "looked for .*ETH3D/two_view_training, "),
    ],
)
def test_missing_root_says_what_was_looked_for(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        make(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make(tmp_path / "nowhere")


def test_images_without_truth_are_no_training_data(tmp_path: Path) -> None:
    save(tmp_path / "image_2" / "000000_10.png", rgb(10))
    save(tmp_path / "image_3" / "000000_10.png", rgb(20))
    with pytest.raises(FileNotFoundError, match=r"disp_occ_0/\*\.png \(split='test'"):
        datasets.Kitti2015Stereo(tmp_path)


# --- load_pair --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "num_disparities", "known", "largest", "visible"),
    [
        # Largest stored value over the scale of the manifest: 224/16, 158/8, 211/4, 220/4, 225/8.
        ("tsukuba", 16, 0.793, 14.0, 0.7726),
        ("venus", 20, 1.0, 19.75, 0.8874),
        ("teddy", 60, 0.980, 52.75, 0.8750),
        ("middlebury/cones", 55, 0.968, 55.0, 0.85),
        ("map", 29, 1.0, 28.125, 0.93),
    ],
)
def test_load_middlebury_pairs(
    data: Path, name: str, num_disparities: int, known: float, largest: float, visible: float
) -> None:
    pair = datasets.load_pair(name, data)
    assert pair.num_disparities == num_disparities
    assert pair.name == name.split("/")[-1]
    assert pair.left.shape == pair.right.shape
    assert pair.disparity is not None
    assert pair.valid is not None
    assert pair.nonocc is not None
    assert np.nanmax(pair.disparity) == largest
    np.testing.assert_array_equal(pair.valid, np.isfinite(pair.disparity))
    assert pair.valid.mean() == pytest.approx(known, abs=1e-3)
    assert not (pair.nonocc & ~pair.valid).any()
    assert pair.nonocc.mean() == pytest.approx(visible, abs=0.01)


@pytest.mark.parametrize("name", ["tsukuba", "venus", "teddy", "cones", "map"])
def test_ground_truth_explains_the_images(data: Path, name: str) -> None:
    """Scale and sign: the right image at x - d looks like the left one, better than nearby."""
    pair = datasets.load_pair(name, data)
    assert pair.disparity is not None
    assert pair.nonocc is not None
    grey = [view.reshape(*view.shape[:2], -1).mean(axis=2) for view in (pair.left, pair.right)]
    columns = np.arange(grey[0].shape[1])

    def difference(factor: float) -> float:
        assert pair.disparity is not None
        target = np.rint(columns - factor * np.nan_to_num(pair.disparity)).astype(int)
        warped = np.take_along_axis(grey[1], np.clip(target, 0, columns[-1]), axis=1)
        return float(np.mean(np.abs(warped - grey[0])[pair.nonocc]))

    assert difference(1.0) < 0.8 * min(difference(0.8), difference(1.25), difference(-1.0))


def test_load_pairs_without_truth(data: Path) -> None:
    kitti = datasets.load_pair("000119_10", data)
    eth3d = datasets.load_pair("eth3d/training/facade_1s", data)
    assert (kitti.left.shape, kitti.num_disparities) == ((375, 1242, 3), 96)
    assert (eth3d.left.shape, eth3d.num_disparities) == ((425, 707, 3), 32)
    for pair in (kitti, eth3d):
        assert pair.disparity is pair.valid is pair.nonocc is None
        assert pair.masks == {}
    assert datasets.load_pair("facade_1s", data, num_disparities=64).num_disparities == 64


def test_load_pair_takes_its_root_from_the_environment(
    middlebury_2014: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRFCORE_DATA", str(middlebury_2014))
    pair = datasets.load_pair("Adirondack-perfect")
    assert pair.num_disparities == 4  # ceil(2.5) + 1
    assert pair.nonocc is not None
    # Both views say 2.5 everywhere; only the first columns point outside the right one.
    assert pair.nonocc[1:, 2:].all()
    assert not pair.nonocc[:, :2].any()
    monkeypatch.delenv("MRFCORE_DATA")
    with pytest.raises(ValueError, match="root is None, expected the folder"):
        datasets.load_pair("teddy")


def test_load_pair_prefers_the_calibrated_range(middlebury_2014: Path) -> None:
    calib = middlebury_2014 / "Middlebury2014" / "train" / "Vintage-perfect" / "calib.txt"
    matrix = "[1 0 0; 0 1 0; 0 0 1]"
    text = f"cam0={matrix}\ncam1={matrix}\ndoffs=0\nbaseline=1\nwidth={W}\nheight={H}\nndisp="
    calib.write_text(text + "7\n")
    assert datasets.load_pair("Vintage-perfect", middlebury_2014).num_disparities == 7
    calib.write_text(text + f"{W}\n")  # as ETH3D's: no bound
    assert datasets.load_pair("Vintage-perfect", middlebury_2014).num_disparities == 4


def test_load_pair_errors(tmp_path: Path, eight_bit: np.ndarray) -> None:
    with pytest.raises(FileNotFoundError, match=r"no stereo pair 'nix' .* looked for .*/nix"):
        datasets.load_pair("nix", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*absent"):
        datasets.load_pair("nix", tmp_path / "absent")
    save(tmp_path / "odd" / "imL.png", rgb(1))
    save(tmp_path / "odd" / "imR.png", rgb(1)[:-1])
    with pytest.raises(ValueError, match=r"imL\.png has shape .* but .*imR\.png has shape"):
        datasets.load_pair("odd", tmp_path)
    save(tmp_path / "odd" / "imR.png", rgb(1))
    save(tmp_path / "odd" / "gt.png", eight_bit)
    with pytest.raises(ValueError, match=r"gt\.png holds 8 bits per pixel: give scale"):
        datasets.load_pair("odd", tmp_path)  # an unknown scene: the scale is not guessed
    save(tmp_path / "odd" / "gt.png", eight_bit.astype(np.uint16)[1:])
    with pytest.raises(ValueError, match=r"gt\.png has shape \(11, 20\), expected \(12, 20\)"):
        datasets.load_pair("odd", tmp_path)


# --- visibility -------------------------------------------------------------------------------


def test_visible_in_both_by_hand() -> None:
    # A foreground (disparity 3) of columns 4-5 hides background (1) at columns 2-3 of the left
    # image: they land on columns 1-2 of the right one, where the foreground is.
    left = np.array([[1, 1, 1, 1, 3, 3, 1, 1, np.nan]], np.float32)
    right = np.array([[1, 3, 3, 1, 1, 1, 1, np.nan, 1]], np.float32)
    expected = np.array([[0, 1, 0, 0, 1, 1, 1, 1, 0]], bool)
    np.testing.assert_array_equal(layouts.visible_in_both(left, right), expected)
    np.testing.assert_array_equal(layouts.unhidden(left), expected)


def test_visibility_from_one_view_agrees_with_the_published_mask(data: Path) -> None:
    for name in ("teddy", "venus"):
        pair = datasets.load_pair(name, data)
        assert pair.disparity is not None
        agree = layouts.unhidden(pair.disparity) == pair.nonocc
        assert agree[10:-10, 10:-10].mean() > 0.99  # Venus' mask leaves out a frame of 10 pixels


# --- the motorcycle ---------------------------------------------------------------------------


def test_motorcycle() -> None:
    pytest.importorskip("skimage")
    pair = datasets.motorcycle()
    assert pair.left.shape == pair.right.shape == (500, 741, 3)
    assert pair.left.dtype == np.uint8
    assert pair.disparity is not None
    assert pair.valid is not None
    assert pair.nonocc is not None
    assert pair.num_disparities > np.nanmax(pair.disparity)
    assert np.nanmin(pair.disparity) > 7
    assert pair.valid.mean() == pytest.approx(0.9265, abs=1e-3)
    assert 0.8 < pair.nonocc.mean() < pair.valid.mean()
    np.testing.assert_array_equal(datasets.load_pair("motorcycle").left, pair.left)
    errors = metrics.stereo_metrics(pair.disparity, pair.disparity, dict(pair.masks))
    assert errors["all"].count > errors["nonocc"].count > 0


def test_motorcycle_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"pip install scikit-image"):
        datasets.motorcycle()


def test_registry_matches_the_local_files(data: Path) -> None:
    for path, expected in _SHA256.items():
        local = data / "middlebury" / path
        assert hashlib.sha256(local.read_bytes()).hexdigest() == expected, path
