# SPDX-License-Identifier: Apache-2.0
"""Points made voxels, and ShapeNet's parts on trees laid out as they are published."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrfcore import datasets
from mrfcore.datasets.shapenet import SHAPENET_CATEGORIES
from mrfcore.datasets.volumes import voxelize

# --- voxels -----------------------------------------------------------------------------------


def test_voxelize_by_hand() -> None:
    points = [
        [-1, -1, -1],
        [0.9, -0.1, 0.1],
        [0.9, -0.2, 0.3],
        [0.6, -0.3, 0.2],
        [1, 1, 1],
        [2, 1, 1],
    ]
    volume, labels = voxelize(points, [7, 3, 2, 3, 1, 0], 2)
    expected = np.full((2, 2, 2), 255)
    expected[0, 0, 0], expected[1, 0, 1], expected[1, 1, 1] = 7, 3, 0  # the majority; 0 before 1
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(volume[0], expected != 255)
    assert (volume.dtype, labels.dtype, volume.shape) == (np.float32, np.int64, (1, 2, 2, 2))


def test_voxelize_against_a_loop() -> None:
    random = np.random.default_rng(0)
    points, labels = random.uniform(-1, 1, (400, 3)), random.integers(0, 4, 400)
    _, grid = voxelize(points, labels, 5, void=9)
    for cell in np.ndindex(5, 5, 5):
        low = np.array(cell) * 0.4 - 1
        inside = ((points >= low) & (points < low + 0.4)).all(axis=1)
        counts = np.bincount(labels[inside], minlength=4)
        assert grid[cell] == (np.argmax(counts) if counts.any() else 9)


@pytest.mark.parametrize(
    ("points", "labels", "size", "message"),
    [
        ([[0, 0]], [0], 4, r"points: expected finite numbers of shape \[N, 3\].* got \[1, 2\]"),
        (np.zeros((0, 3)), [], 4, r"points: .* got \[0, 3\]"),
        ([[0, 0, np.nan]], [0], 4, "points: .* with inf or NaN"),
        ([[0, 0, 0]], [0, 1], 4, r"labels: expected integers >= 0 of shape \[1\] .* \[2\]"),
        ([[0, 0, 0]], [-1], 4, "labels: expected integers >= 0"),
        ([[0, 0, 0]], [0], 0, "size: expected a number >= 1, got 0"),
    ],
)
def test_voxelize_refuses(points: Any, labels: Any, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        voxelize(points, labels, size)


# --- ShapeNet ---------------------------------------------------------------------------------

POINTS = [[0, 0, 2], [0, 0, -2], [1, 0, 0]]  # the farthest has distance 2


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def rows(values: Any) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in values)


def save_shape(points: Path, labels: Path, parts: list[int], moved: float = 0.0) -> None:
    write(points, rows(np.array(POINTS) + np.array([0, moved, 0])))
    write(labels, rows([[part] for part in parts]))


def save_lists(folder: Path, **lists: list[str]) -> None:
    for part, entries in lists.items():
        text = json.dumps([f"shape_data/{entry}" for entry in entries])
        write(folder / "train_test_split" / f"shuffled_{part}_file_list.json", text)


def benchmark(folder: Path) -> Path:
    for synset, name, parts in (
        ("03001627", "aa", [1, 2, 4]),  # Chair, parts 12 .. 15 of all
        ("02691156", "bb", [4, 1, 1]),  # Airplane, 0 .. 3
    ):
        shape = folder / synset
        save_shape(shape / "points" / f"{name}.pts", shape / "points_label" / f"{name}.seg", parts)
    save_lists(folder, train=["03001627/aa"], val=["02691156/bb"], test=[])
    return folder


def check_shape(item: Any, parts: list[int], size: int) -> None:
    volume, labels = item
    middle = size // 2
    cells = [(middle, middle, size - 1), (middle, middle, 0), (middle + size // 4, middle, middle)]
    expected = np.full((size,) * 3, 255)
    for cell, part in zip(cells, parts, strict=True):
        expected[cell] = part
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(volume, (expected != 255)[None])


@pytest.mark.parametrize("place", ["shapenetcore_partanno_segmentation_benchmark_v0", "."])
def test_shapenet_benchmark(tmp_path: Path, place: str) -> None:
    benchmark(tmp_path / place)
    train = datasets.ShapeNetParts(tmp_path, size=8)
    assert (len(train), train.names, train.item_categories) == (1, ["aa"], ["Chair"])
    check_shape(train[0], [12, 13, 15], 8)
    both = datasets.ShapeNetParts(tmp_path, "trainval", size=16)
    assert both.names == ["aa", "bb"]
    check_shape(both[1], [3, 0, 0], 16)
    only = datasets.ShapeNetParts(tmp_path, "trainval", categories=["Airplane"])
    assert only.item_categories == ["Airplane"]
    assert only[0][0].shape == (1, 64, 64, 64)
    points, parts = both.points(0)
    np.testing.assert_allclose(points, np.array(POINTS) / 2)
    np.testing.assert_array_equal(parts, [12, 13, 15])


def test_shapenet_parts_are_numbered_as_usual(tmp_path: Path) -> None:
    benchmark(tmp_path)
    dataset = datasets.ShapeNetParts(tmp_path)
    assert (dataset.num_labels, len(dataset.classes), dataset.void) == (50, 50, 255)
    # the table that goes around with the data set, first part by category
    first = {"Airplane": 0, "Bag": 4, "Cap": 6, "Car": 8, "Chair": 12, "Earphone": 16,
             "Guitar": 19, "Knife": 22, "Lamp": 24, "Laptop": 28, "Motorbike": 30, "Mug": 36,
             "Pistol": 38, "Rocket": 41, "Skateboard": 44, "Table": 47}  # fmt: skip
    assert {name: parts.start for name, parts in dataset.parts.items()} == first
    assert dataset.parts["Table"] == range(47, 50)
    assert dataset.classes[36] == "Mug 1"
    assert len(SHAPENET_CATEGORIES) == 16


def test_shapenet_with_normals(tmp_path: Path) -> None:
    folder = tmp_path / "shapenetcore_partanno_segmentation_benchmark_v0_normal"
    table = [
        [*point, 0, 1, 0, f"{part}.000000"]
        for point, part in zip(POINTS, (12, 13, 15), strict=True)
    ]
    write(folder / "03001627" / "aa.txt", rows(table))
    save_lists(folder, test=["03001627/aa"])
    dataset = datasets.ShapeNetParts(tmp_path, "test", size=8)
    check_shape(dataset[0], [12, 13, 15], 8)
    write(folder / "03001627" / "aa.txt", rows([[*row[:6], 3] for row in table]))
    with pytest.raises(ValueError, match=r"aa\.txt holds the parts 3, 3, 3, expected 12 to 15 for"):
        dataset[0]
    with pytest.raises(FileNotFoundError, match=r"no list of shapes .*shuffled_train_file_list"):
        datasets.ShapeNetParts(tmp_path)


def challenge(folder: Path) -> Path:
    for number in range(12):
        part = "train" if number < 8 else "val"
        data, label = (folder / f"{part}_{what}" / "03797390" for what in ("data", "label"))
        name = f"{number:06d}"
        save_shape(data / f"{name}.pts", label / f"{name}.seg", [1, 2, 1], number / 100)
    return folder


def test_shapenet_challenge_and_the_thesis_split(tmp_path: Path) -> None:
    challenge(tmp_path)
    assert len(datasets.ShapeNetParts(tmp_path)) == 8
    assert datasets.ShapeNetParts(tmp_path, "val").names == [f"{k:06d}" for k in range(8, 12)]
    check_shape(datasets.ShapeNetParts(tmp_path, size=8)[0], [36, 37, 36], 8)
    chosen: dict[str, list[str]] = {"train": [], "val": []}
    for path in sorted(tmp_path.glob("*_data/03797390/*.pts")):
        digit = int(hashlib.md5(path.read_bytes()).hexdigest()[0], 16)
        chosen["train" if digit < 8 else "val"].append(path.stem)
    for part, names in chosen.items():
        assert names  # of 12 shapes, none would be a strange accident
        assert datasets.ShapeNetParts(tmp_path, part, resplit=True).names == names
    assert len(datasets.ShapeNetParts(tmp_path, "trainval", resplit=True)) == 12
    # as the script of SparseConvNet leaves them
    prepared = tmp_path / "prepared"
    for part, names in chosen.items():
        for name in names:
            folder = prepared / "train_val" / "03797390"
            save_shape(folder / f"{name}.pts", folder / f"{name}.seg", [1, 2, 1])
            suffix = ".pts.train" if part == "train" else ".pts.valid"
            (folder / f"{name}.pts").rename(folder / f"{name}{suffix}")
    for part, names in chosen.items():
        dataset = datasets.ShapeNetParts(prepared, part, size=8)
        assert dataset.names == names
        check_shape(dataset[0], [36, 37, 36], 8)
    assert len(datasets.ShapeNetParts(prepared, "trainval")) == 12
    with pytest.raises(FileNotFoundError, match="no shapes of Airplane, Bag"):
        datasets.ShapeNetParts(prepared, "test")


def test_shapenet_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"looked for .*v0/train_test_split.*train_data"):
        datasets.ShapeNetParts(tmp_path)
    folder = benchmark(tmp_path)
    with pytest.raises(ValueError, match=r"shapenet\.org asks for a login"):
        datasets.ShapeNetParts(tmp_path, download=True)
    with pytest.raises(ValueError, match=r"categories: expected some of Airplane.*got \['Sofa'\]"):
        datasets.ShapeNetParts(tmp_path, categories=["Sofa"])
    with pytest.raises(TypeError, match="categories: expected None or a list of names, got 'Chair"):
        datasets.ShapeNetParts(tmp_path, categories="Chair")
    with pytest.raises(ValueError, match="resplit: expected False for"):
        datasets.ShapeNetParts(tmp_path, resplit=True)
    with pytest.raises(ValueError, match="image_set: expected one of 'train', 'val', 'trainval'"):
        datasets.ShapeNetParts(tmp_path, "all")
    with pytest.raises(ValueError, match="size: expected a number >= 1, got 0"):
        datasets.ShapeNetParts(tmp_path, size=0)
    dataset = datasets.ShapeNetParts(tmp_path, size=8)
    for text, message in (
        ("1\n2\n5\n", r"aa\.seg holds the parts 5, expected 1 to 4 for Chair"),
        ("1\n2\n1.5\n", r"aa\.seg holds the parts 1\.5, expected 1 to 4 for Chair"),
        ("1\n2\n", r"aa\.seg has 2 parts, expected 3, the points of .*aa\.pts"),
        ("1 2\n3 4\n", r"aa\.seg has shape \[2, 2\], expected lines of 1 finite numbers"),
        ("one\n", r"aa\.seg is not a table of numbers"),
    ):
        write(folder / "03001627" / "points_label" / "aa.seg", text)
        with pytest.raises(ValueError, match=message):
            dataset[0]
    (folder / "03001627" / "points" / "aa.pts").unlink()
    with pytest.raises(FileNotFoundError, match=r"no shape 'aa' of Chair; looked for .*aa\.txt"):
        datasets.ShapeNetParts(tmp_path)


def test_point_transform(tmp_path: Path) -> None:
    benchmark(tmp_path)
    turned = datasets.ShapeNetParts(tmp_path, size=8, point_transform=lambda p: p[:, [2, 0, 1]])
    plain = datasets.ShapeNetParts(tmp_path, size=8)
    np.testing.assert_array_equal(turned[0][1], plain[0][1].transpose(2, 0, 1))
