# SPDX-License-Identifier: Apache-2.0
"""NIfTI files, and BraTS'18 on trees laid out as it is published."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mrfcore import datasets, io
from mrfcore.datasets.volumes import zscored

# --- NIfTI ------------------------------------------------------------------------------------


def nifti(
    values: np.ndarray, code: int, order: str = "<", slope: float = 0, shift: float = 0
) -> bytes:
    """A file of values [Z, Y, X], header by header field as the standard lists them."""
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    sizes = (values.ndim, *values.shape[::-1], *[1] * (7 - values.ndim))
    struct.pack_into(f"{order}8h", header, 40, *sizes)
    struct.pack_into(f"{order}hh", header, 70, code, 8 * values.dtype.itemsize)
    struct.pack_into(f"{order}fff", header, 108, 352, slope, shift)
    header[344:348] = b"n+1\0"
    return bytes(header) + values.astype(values.dtype.newbyteorder(order)).tobytes()


CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "uint16": 512}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", CODES)
def test_nifti(tmp_path: Path, kind: str, order: str) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    data = nifti(values, CODES[kind], order)
    for name, stored in (
        ("a.nii", data),
        ("a.nii.gz", gzip.compress(data)),
        ("odd", gzip.compress(data)),
    ):
        (tmp_path / name).write_bytes(stored)
        read = io.read_nifti(tmp_path / name)
        assert read.dtype == np.dtype(kind)
        np.testing.assert_array_equal(read, values)
    (tmp_path / "b.nii").write_bytes(nifti(values, CODES[kind], order, 2, -3))
    scaled = io.read_nifti(tmp_path / "b.nii")
    assert scaled.dtype == (np.float64 if kind == "float64" else np.float32)
    np.testing.assert_array_equal(scaled, values * 2.0 - 3)
    (tmp_path / "c.nii").write_bytes(nifti(values[None], CODES[kind], order, 1, 0))
    assert io.read_nifti(tmp_path / "c.nii").shape == (2, 3, 4)  # a last axis of size 1


def test_nifti_as_nibabel_writes_it(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    values = np.random.default_rng(0).integers(-500, 500, (5, 4, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(io.read_nifti(tmp_path / "a.nii.gz"), values.T)


def test_broken_nifti(tmp_path: Path) -> None:
    good = nifti(np.zeros((2, 3, 4), np.int16), 4)

    def patched(place: int, *bytes_: int) -> bytes:
        return good[:place] + bytes(bytes_) + good[place + len(bytes_) :]

    for data, message in (
        (b"", "is not a NIfTI-1 file"),
        (good[:200], "is not a NIfTI-1 file"),
        (patched(344, 0), "is not a NIfTI-1 file"),
        (good[:-1], r"is truncated: it has 47 bytes of voxels, expected 48 for \(2, 3, 4\)"),
        (patched(42, 255, 127, 255, 127, 255, 127), "is truncated: it has 48 bytes of voxels"),
        (patched(70, 128), "has voxels of NIfTI type 128, expected one of"),
        (patched(40, 9), "has a NIfTI header of sizes"),
        (patched(42, 0, 0), "has a NIfTI header of sizes"),
        (patched(108, 0, 0, 0, 0), r"has voxels from byte 0\.0 on, expected 348 or more"),
        (gzip.compress(good)[:-20], "is not a readable gzip file"),
    ):
        path = tmp_path / "a.nii.gz"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            io.read_nifti(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        io.read_nifti(tmp_path / "missing.nii")


# --- BraTS ------------------------------------------------------------------------------------

SHAPE = (4, 5, 6)


def save_case(folder: Path, number: int, suffix: str = ".nii.gz") -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(number)
    for k, what in enumerate(("flair", "t1", "t1ce", "t2")):
        values = random.integers(1, 900, SHAPE).astype(np.int16) + 1000 * k
        values[0] = 0
        data = nifti(values, 4)
        path = folder / f"{folder.name}_{what}{suffix}"
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    seg = np.zeros(SHAPE, np.uint8)
    seg[1, 0, :4] = 1, 2, 4, number % 3
    data = nifti(seg, 2)
    path = folder / f"{folder.name}_seg{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)


def brats(folder: Path, high: int = 10, low: int = 5, suffix: str = ".nii.gz") -> Path:
    for grade, count in (("HGG", high), ("LGG", low)):
        for number in range(count):
            save_case(folder / grade / f"Brats18_{grade[0]}{number:02d}_1", number, suffix)
    return folder


@pytest.mark.parametrize("place", ["MICCAI_BraTS_2018_Data_Training", "."])
def test_brats(tmp_path: Path, place: str) -> None:
    folder = brats(tmp_path / place, 2, 1, ".nii" if place == "." else ".nii.gz")
    dataset = datasets.BraTS18(tmp_path, "all", normalise=False)
    assert dataset.names == ["Brats18_H00_1", "Brats18_H01_1", "Brats18_L00_1"]
    assert dataset.grades == ["HGG", "HGG", "LGG"]
    volume, labels = dataset[1]
    assert (volume.dtype, volume.shape) == (np.float32, (4, *SHAPE))
    for number, what in enumerate(("flair", "t1", "t1ce", "t2")):
        stored = next((folder / "HGG" / "Brats18_H01_1").glob(f"*_{what}.nii*"))
        np.testing.assert_array_equal(volume[number], io.read_nifti(stored))
    expected = np.zeros(SHAPE, np.int64)
    expected[1, 0, :4] = 1, 2, 4, 1
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int64
    assert (dataset.num_labels, dataset.classes[3]) == (5, "unused")
    assert dataset.regions == {"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}
    compact = datasets.BraTS18(tmp_path, "all", compact=True)
    assert (compact.num_labels, compact.classes[3]) == (4, "enhancing tumour")
    assert compact.regions == {"ET": (3,), "TC": (1, 3), "WT": (1, 2, 3)}
    expected[expected == 4] = 3
    np.testing.assert_array_equal(compact[1][1], expected)
    scaled = compact[1][0]
    for raw, channel in zip(volume, scaled, strict=True):
        brain = raw[raw != 0].astype(np.float64)
        np.testing.assert_allclose(
            channel[raw != 0], (brain - brain.mean()) / brain.std(), atol=1e-5
        )
        assert (channel[raw == 0] == 0).all()


def test_brats_folds(tmp_path: Path) -> None:
    brats(tmp_path)
    seen: list[str] = []
    for fold in range(5):
        val = datasets.BraTS18(tmp_path, "val", fold=fold)
        train = datasets.BraTS18(tmp_path, "train", fold=fold)
        assert val.grades == ["HGG", "HGG", "LGG"]
        assert len(train) == 12
        assert not set(train.names) & set(val.names)
        seen += val.names
    assert sorted(seen) == sorted(datasets.BraTS18(tmp_path, "all").names)


def test_brats_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cases of BraTS'18; looked for .*Training/HGG"):
        datasets.BraTS18(tmp_path)
    brats(tmp_path, 1, 0)
    with pytest.raises(FileNotFoundError, match="no cases of image_set 'val', fold 1, in"):
        datasets.BraTS18(tmp_path, "val", fold=1)
    with pytest.raises(ValueError, match="asks for a registration"):
        datasets.BraTS18(tmp_path, download=True)
    with pytest.raises(ValueError, match="fold: expected one of 0, 1, 2, 3, 4, got 5"):
        datasets.BraTS18(tmp_path, fold=5)
    dataset = datasets.BraTS18(tmp_path, "all")
    case = tmp_path / "HGG" / "Brats18_H00_1"
    seg = case / f"{case.name}_seg.nii.gz"
    wrong = np.zeros(SHAPE, np.uint8)
    wrong[0, 0, 0] = 3
    seg.write_bytes(nifti(wrong, 2))
    with pytest.raises(
        ValueError, match=r"_seg\.nii\.gz holds the labels 3, expected 0, 1, 2 or 4"
    ):
        dataset[0]
    seg.write_bytes(nifti(wrong[:2], 2))
    with pytest.raises(
        ValueError, match=r"_seg.* has shape \[2, 5, 6\], expected three sizes, \[4, 5"
    ):
        dataset[0]
    (case / f"{case.name}_t1ce.nii.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no t1ce of Brats18_H00_1; looked for .*\.nii\.gz"
    ):
        datasets.BraTS18(tmp_path, "all")


def test_zscored_of_nothing() -> None:
    volume = np.zeros((2, 2, 2, 2), np.int16)
    volume[1, 0] = 5
    assert not zscored(volume).any()  # empty, and without spread
