# SPDX-License-Identifier: Apache-2.0
"""Segmentation data sets on trees laid out as they are published, and on real BSDS500 images."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import datasets
from mrfcore.datasets import segmentation, segmentation_voc
from mrfcore.datasets.segmentation_bsds import read_regions
from mrfcore.datasets.segmentation_names import CONTEXT_CLASSES, VOC_CLASSES, palette
from test_download import server  # noqa: F401  a fixture

H, W = 6, 10
# Colours that are no grey levels: read as RGB or grey, none of them is its index.
ODD_PALETTE = [(37 * k + 5) % 256 for k in range(768)]


def save_image(path: Path, value: int, size: tuple[int, int] = (H, W)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path, quality=100)


def save_labels(path: Path, labels: np.ndarray, mode: str = "P") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    if mode == "P":
        image.putpalette(ODD_PALETTE)
    image.save(path)


def labels_with(*values: int) -> np.ndarray:
    """[H, W] of 0 with other values along the first row."""
    labels = np.zeros((H, W), np.uint8)
    labels[0, : len(values)] = values
    return labels


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def voc_tree(folder: Path) -> Path:
    for number, name in enumerate(("2007_000032", "2008_000007", "2009_000001")):
        save_image(folder / "JPEGImages" / f"{name}.jpg", 10 * number)
        stored = labels_with(number + 1, 20, 255)
        save_labels(folder / "SegmentationClass" / f"{name}.png", stored)
    lists = folder / "ImageSets" / "Segmentation"
    write_list(lists / "train.txt", "2008_000007", "2007_000032")
    write_list(lists / "val.txt", "2009_000001")
    write_list(lists / "trainval.txt", "2007_000032", "2008_000007", "2009_000001")
    return folder


def check(item: tuple[Any, Any], value: int, expected: np.ndarray) -> None:
    image, labels = item
    assert isinstance(image, Image.Image)
    assert isinstance(labels, Image.Image)
    assert (image.mode, labels.mode) == ("RGB", "P")
    assert image.size == labels.size == (W, H)
    np.testing.assert_allclose(np.asarray(image), value, atol=2)  # JPEG
    array = np.asarray(labels)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, expected)


# --- PASCAL VOC -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2012", "VOC2012", "."])
def test_voc_layouts(tmp_path: Path, place: str) -> None:
    voc_tree(tmp_path / place)
    dataset = datasets.VOCSegmentation(tmp_path)
    assert dataset.names == ["2008_000007", "2007_000032"]  # as listed, not as sorted
    assert len(dataset) == len(list(dataset)) == 2
    check(dataset[0], 10, labels_with(2, 20, 255))
    check(dataset[1], 0, labels_with(1, 20, 255))
    check(dataset[-1], 0, labels_with(1, 20, 255))
    assert len(datasets.VOCSegmentation(tmp_path, image_set="trainval")) == 3
    assert datasets.VOCSegmentation(tmp_path, image_set="val").names == ["2009_000001"]
    assert (dataset.num_labels, dataset.void) == (21, 255)
    assert dataset.classes[0] == "background"
    assert dataset.classes[15] == "person"
    assert dataset.classes[20] == "tvmonitor"


def test_voc_years(tmp_path: Path) -> None:
    voc_tree(tmp_path / "TrainVal" / "VOCdevkit" / "VOC2011")
    folder = voc_tree(tmp_path / "VOCdevkit" / "VOC2007")
    write_list(folder / "ImageSets" / "Segmentation" / "test.txt", "2009_000001")
    assert len(datasets.VOCSegmentation(tmp_path, year="2011")) == 2
    assert len(datasets.VOCSegmentation(tmp_path, "2007", "test")) == 1
    with pytest.raises(FileNotFoundError, match=r"JPEGImages of VOC 2012; looked for .*VOC2012/"):
        datasets.VOCSegmentation(tmp_path)


@pytest.mark.parametrize("name", ["trainaug.txt", "train_aug.txt"])
def test_voc_with_additional_annotations(tmp_path: Path, name: str) -> None:
    folder = voc_tree(tmp_path / "VOCdevkit" / "VOC2012")
    with pytest.raises(FileNotFoundError, match=r"looked for .*trainaug\.txt and .*train_aug\.txt"):
        datasets.VOCSegmentation(tmp_path, image_set="trainaug")
    save_image(folder / "JPEGImages" / "2010_000002.jpg", 90)
    extra = folder / "SegmentationClassAug"
    save_labels(extra / "2010_000002.png", labels_with(7), "L")  # these have no palette
    save_labels(extra / "2008_000007.png", labels_with(9), "L")  # there, too: preferred
    lines = (
        "/JPEGImages/2010_000002.jpg /SegmentationClassAug/2010_000002.png",
        "",
        "2008_000007",
        "2007_000032",
    )
    write_list(folder / "ImageSets" / "Segmentation" / name, *lines)
    dataset = datasets.VOCSegmentation(tmp_path, image_set="trainaug")
    check(dataset[0], 90, labels_with(7))
    check(dataset[1], 10, labels_with(9))
    check(dataset[2], 0, labels_with(1, 20, 255))  # only in SegmentationClass
    # Other sets keep to VOC's own annotation.
    check(datasets.VOCSegmentation(tmp_path)[0], 10, labels_with(2, 20, 255))


def test_voc_arguments(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    for arguments, message in (
        ({"year": "2013"}, "year: expected one of '2012', .*, got '2013'"),
        ({"year": "2008", "image_set": "trainaug"}, "image_set: expected one of 'train', 'val', "),
        ({"image_set": "test"}, "image_set: expected one of .*'trainaug', got 'test'"),
    ):
        with pytest.raises(ValueError, match=message):
            datasets.VOCSegmentation(tmp_path, **arguments)  # type: ignore[arg-type]


def test_a_listed_name_without_files(tmp_path: Path) -> None:
    folder = voc_tree(tmp_path)
    (folder / "SegmentationClass" / "2007_000032.png").unlink()
    message = r"no label image of '2007_000032' \(1 of 2 listed are missing\); .*SegmentationClass"
    with pytest.raises(FileNotFoundError, match=message):
        datasets.VOCSegmentation(tmp_path)
    (folder / "JPEGImages" / "2008_000007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="no image of '2008_000007'"):
        datasets.VOCSegmentation(tmp_path)
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"train\.txt lists no images"):
        datasets.VOCSegmentation(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"looked for .*nowhere/VOCdevkit/VOC2012"):
        datasets.VOCSegmentation(tmp_path / "nowhere")
    (folder / "ImageSets" / "Segmentation" / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list of images .*Segmentation/train\.txt"):
        datasets.VOCSegmentation(tmp_path)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    folder = voc_tree(tmp_path)
    path = folder / "SegmentationClass" / "2008_000007.png"
    dataset = datasets.VOCSegmentation(tmp_path)
    save_labels(path, labels_with(21, 22, 255))
    message = r"2008_000007\.png holds the label numbers 21, 22, expected 0 to 20 or 255"
    with pytest.raises(ValueError, match=message):
        dataset[0]
    save_image(path, 3)  # the palette's colours instead of indices: a usual accident
    with pytest.raises(ValueError, match=r"2008_000007\.png has mode 'RGB', expected label"):
        dataset[0]
    save_labels(path, labels_with(1)[1:])
    with pytest.raises(ValueError, match=r"000007\.png has 10 x 5 pixels but its image .* 10 x 6"):
        dataset[0]
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"2008_000007\.png is not an image"):
        dataset[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"2008_000007\.png"):
        dataset[0]


def test_indices(tmp_path: Path) -> None:
    dataset = datasets.VOCSegmentation(voc_tree(tmp_path))
    assert dataset[np.int64(1)][0].size == (W, H)  # type: ignore[index]
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"index {index} .* 2 items of VOCSegmentation"):
            dataset[index]
    with pytest.raises(TypeError):
        dataset["0"]  # type: ignore[index]


def test_palette() -> None:
    colours = np.array(palette()).reshape(256, 3)
    # Of the development kit: aeroplane, bicycle, boat, chair, tvmonitor, void.
    for label, colour in (
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (4, (0, 0, 128)),
        (9, (192, 0, 0)),
        (20, (0, 64, 128)),
        (255, (224, 224, 192)),
    ):
        assert tuple(colours[label]) == colour
    assert len({tuple(colour) for colour in colours.tolist()}) == 256


def test_label_images_show_the_colours_of_voc(tmp_path: Path) -> None:
    labels = datasets.VOCSegmentation(voc_tree(tmp_path))[0][1]
    assert labels.convert("RGB").getpixel((1, 0)) == (0, 64, 128)
    # Pillow never blends such an image.
    small = np.asarray(labels.resize((7, 5), Image.Resampling.BICUBIC))
    assert set(np.unique(small)) <= {0, 2, 20, 255}


# --- transforms and loaders -------------------------------------------------------------------


def test_transforms_as_in_torchvision(tmp_path: Path) -> None:
    voc_tree(tmp_path)
    both = datasets.VOCSegmentation(tmp_path, transforms=lambda image, labels: (labels, image))
    assert [part.mode for part in both[0]] == ["P", "RGB"]
    apart = datasets.VOCSegmentation(
        tmp_path, transform=lambda image: image.size, target_transform=np.asarray
    )
    assert apart[0][0] == (W, H)
    np.testing.assert_array_equal(apart[0][1], labels_with(2, 20, 255))
    for one in ("transform", "target_transform"):
        with pytest.raises(ValueError, match="transforms: expected None together with transform"):
            datasets.VOCSegmentation(tmp_path, transforms=lambda a, b: (a, b), **{one: np.asarray})


def test_torch_loader(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from mrfcore.datasets import segmentation_transforms as transforms

    steps = transforms.Compose([transforms.RandomCrop(8, generator=0), transforms.ToArrays()])
    dataset = datasets.VOCSegmentation(voc_tree(tmp_path), image_set="trainval", transforms=steps)
    batches = list(torch.utils.data.DataLoader(dataset, batch_size=2, num_workers=0))
    assert [batch[0].shape for batch in batches] == [(2, 3, 8, 8), (1, 3, 8, 8)]
    assert batches[0][0].dtype == torch.float32
    assert batches[0][1].shape == (2, 8, 8)
    assert batches[0][1].dtype == torch.int64
    assert (batches[0][1][:, H:] == 255).all()  # padded rows
    assert set(batches[0][1][0].unique().tolist()) <= {0, 1, 20, 255}


def test_no_torch_needed() -> None:
    code = (
        "import sys; from mrfcore import datasets, scene; "
        "from mrfcore.datasets import segmentation_transforms; "
        "datasets.LabelledScenes(1, transforms=segmentation_transforms.ToArrays())[0]; "
        "bad = {'torch', 'torchvision', 'scipy'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- PASCAL Context ---------------------------------------------------------------------------


def context_tree(folder: Path) -> Path:
    for number, name in enumerate(("2008_000002", "2008_000003")):
        save_image(folder / "JPEGImages" / f"{name}.jpg", 100 + number)
        stored = labels_with(1, 59, 255)
        save_labels(folder / "SegmentationClassContext" / f"{name}.png", stored, "L")
    lists = folder / "ImageSets" / "SegmentationContext"
    write_list(lists / "train.txt", "2008_000003")
    write_list(lists / "val.txt", "2008_000002")
    return folder


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2010", "VOC2010", "."])
def test_context(tmp_path: Path, place: str) -> None:
    context_tree(tmp_path / place)
    dataset = datasets.PascalContext(tmp_path)
    expected = np.full((H, W), 255)
    expected[0, :2] = 0, 58
    check(dataset[0], 101, expected)
    assert (dataset.num_labels, dataset.void) == (59, 255)
    assert dataset.classes == CONTEXT_CLASSES
    assert dataset.classes[0] == "aeroplane"
    assert dataset.classes[58] == "wood"
    whole = datasets.PascalContext(tmp_path, "trainval", reduce_zero_label=False)
    assert whole.names == ["2008_000003", "2008_000002"]
    check(whole[0], 101, labels_with(1, 59, 255))
    assert whole.num_labels == 60
    assert whole.classes[:2] == ("background", "aeroplane")


def test_context_refuses_other_labellings(tmp_path: Path) -> None:
    folder = context_tree(tmp_path)
    path = folder / "SegmentationClassContext" / "2008_000003.png"
    save_labels(path, labels_with(60), "L")  # of the 400 and more classes of the annotation
    with pytest.raises(ValueError, match=r"holds the label numbers 60, expected 0 to 59 or 255"):
        datasets.PascalContext(tmp_path)[0]
    with pytest.raises(FileNotFoundError, match=r"no SegmentationClassContext of VOC 2010; looked"):
        datasets.PascalContext(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="image_set: expected one of 'train', 'val', 'trainval'"):
        datasets.PascalContext(tmp_path, "test")
    with pytest.raises(TypeError, match=r"reduce_zero_label|positional"):
        datasets.PascalContext(tmp_path, reduce_zero_label=1)  # type: ignore[arg-type]


def test_class_names_are_complete() -> None:
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 21
    assert len(CONTEXT_CLASSES) == len(set(CONTEXT_CLASSES)) == 59
    assert list(CONTEXT_CLASSES) == sorted(CONTEXT_CLASSES)
    # VOC's twenty are among Context's, the table under another name.
    assert set(VOC_CLASSES[1:]) - set(CONTEXT_CLASSES) == {"diningtable"}


# --- ADE20K -----------------------------------------------------------------------------------


def ade_tree(folder: Path) -> Path:
    for part, names in (("training", ("b", "a")), ("validation", ("c",))):
        for name in names:
            save_image(folder / "images" / part / f"{name}.jpg", ord(name))
            stored = labels_with(1, 150)
            save_labels(folder / "annotations" / part / f"{name}.png", stored, "L")
    return folder


@pytest.mark.parametrize("place", ["ADEChallengeData2016", "."])
def test_ade(tmp_path: Path, place: str) -> None:
    folder = ade_tree(tmp_path / place)
    dataset = datasets.ADE20K(tmp_path)
    assert dataset.names == ["a", "b"]
    expected = np.full((H, W), 255)
    expected[0, :2] = 0, 149
    check(dataset[0], ord("a"), expected)
    assert (dataset.num_labels, dataset.void, dataset.classes) == (150, 255, ())
    whole = datasets.ADE20K(tmp_path, "val", reduce_zero_label=False)
    check(whole[0], ord("c"), labels_with(1, 150))
    assert whole.num_labels == 151
    rows = [f"{k}\t0.1\t5\t5\tname {k}, other" for k in range(1, 151)]
    write_list(folder / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName", *rows)
    assert datasets.ADE20K(tmp_path).classes[149] == "name 150, other"
    named = datasets.ADE20K(tmp_path, reduce_zero_label=False).classes
    assert (named[0], named[1], len(named)) == ("other", "name 1, other", 151)


def test_ade_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images/training .*looked for .*Data2016/images"):
        datasets.ADE20K(tmp_path)
    folder = ade_tree(tmp_path)
    (folder / "annotations" / "training" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no label image of 'a' .*annotations/training"):
        datasets.ADE20K(tmp_path)
    save_labels(folder / "annotations" / "validation" / "c.png", labels_with(151), "L")
    with pytest.raises(ValueError, match=r"c\.png holds the label numbers 151, expected 0 to 150"):
        datasets.ADE20K(tmp_path, "val")[0]
    with pytest.raises(ValueError, match="image_set: expected one of 'train', 'val', got 'test'"):
        datasets.ADE20K(tmp_path, "test")
    for path in (folder / "images" / "validation").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no images \*\.jpg in .*validation"):
        datasets.ADE20K(tmp_path, "val")


# --- downloads --------------------------------------------------------------------------------


def test_voc_download(
    server: tuple[str, Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, served = server
    voc_tree(tmp_path / "made" / "VOCdevkit" / "VOC2012")
    (served / "voc2012").mkdir()
    with tarfile.open(served / "voc2012" / "voc.tar", "w") as archive:
        archive.add(tmp_path / "made" / "VOCdevkit", "VOCdevkit")
    digest = hashlib.md5((served / "voc2012" / "voc.tar").read_bytes()).hexdigest()
    monkeypatch.setattr(segmentation_voc, "_SITE", url)
    monkeypatch.setitem(segmentation_voc._ARCHIVES, "2012", ("voc.tar", f"md5:{digest}"))
    root = tmp_path / "root"
    other = context_tree(root / "VOCdevkit" / "VOC2010")
    dataset = datasets.VOCSegmentation(root, download=True)
    check(dataset[0], 10, labels_with(2, 20, 255))
    assert (other / "JPEGImages").is_dir()  # another year beside it stays
    assert sorted(path.name for path in root.iterdir()) == ["VOCdevkit"]  # no scratch left
    (served / "voc2012" / "voc.tar").unlink()
    assert len(datasets.VOCSegmentation(root, download=True)) == 2  # there: not fetched again
    for year, image_set in (("2012", "trainaug"), ("2007", "test")):
        with pytest.raises(ValueError, match=f"cannot fetch image set '{image_set}' of VOC {year}"):
            datasets.VOCSegmentation(root, year, image_set, download=True)


def test_an_archive_without_its_folder(
    server: tuple[str, Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, served = server
    with zipfile.ZipFile(served / "ade.zip", "w") as archive:
        archive.writestr("elsewhere/readme.txt", "nothing")
    digest = hashlib.sha1((served / "ade.zip").read_bytes()).hexdigest()
    monkeypatch.setattr(segmentation, "_ADE_ARCHIVE", f"{url}/ade.zip")
    monkeypatch.setattr(segmentation, "_ADE_CHECKSUM", f"sha1:{digest}")
    with pytest.raises(ValueError, match=r"ade\.zip holds no ADEChallengeData2016"):
        datasets.ADE20K(tmp_path / "root", download=True)
    assert list((tmp_path / "root").iterdir()) == []
    ade_tree(tmp_path / "ADEChallengeData2016")
    with zipfile.ZipFile(served / "ade.zip", "w") as archive:
        for path in sorted((tmp_path / "ADEChallengeData2016").rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    with pytest.raises(ValueError, match="is not the file that was expected"):
        datasets.ADE20K(tmp_path / "root", download=True)
    digest = hashlib.sha1((served / "ade.zip").read_bytes()).hexdigest()
    monkeypatch.setattr(segmentation, "_ADE_CHECKSUM", f"sha1:{digest}")
    assert len(datasets.ADE20K(tmp_path / "root", download=True)) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (datasets.PascalContext, r"roozbeh.*unpack it to .*VOC2010, labels as PNG files in Seg"),
        (datasets.BSDS500, r"BSR_bsds500\.tgz and unpack it to"),
    ],
)
def test_nothing_is_fetched_unverified(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


# --- BSDS500 ----------------------------------------------------------------------------------


def save_people(path: Path, *maps: np.ndarray) -> None:
    """A .mat file as BSDS500's: a cell of structs."""
    scipy = pytest.importorskip("scipy.io", reason="SciPy is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = np.empty((1, len(maps)), object)
    for number, regions in enumerate(maps):
        edges = np.zeros(regions.shape, np.uint8)
        cell[0, number] = {"Segmentation": regions.astype(np.uint16), "Boundaries": edges}
    scipy.savemat(path, {"groundTruth": cell})


def regions_of(count: int) -> np.ndarray:
    return np.arange(H * W).reshape(H, W) % count


def bsds_tree(folder: Path, *parts: str) -> Path:
    for part in parts or ("",):
        for number, name in enumerate(("8068", "100007")):
            save_image(folder / "images" / part / f"{part}{name}.jpg", 50 + number)
            people = [regions_of(2 + number + k) + 1 for k in range(2 + number)]
            save_people(folder / "groundTruth" / part / f"{part}{name}.mat", *people)
    return folder


@pytest.mark.parametrize("place", ["BSDS500/data", "BSR/BSDS500/data", "data"])
def test_bsds_official_layout(tmp_path: Path, place: str) -> None:
    bsds_tree(tmp_path / place, "train", "val", "test")
    dataset = datasets.BSDS500(tmp_path)
    assert dataset.names == ["train100007", "train8068"]
    image, maps = dataset[0]
    assert (image.mode, image.size) == ("RGB", (W, H))
    assert [regions.mode for regions in maps] == ["I"] * 3
    for count, regions in zip((3, 4, 5), maps, strict=True):
        array = np.asarray(regions)
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, regions_of(count))
    assert len(datasets.BSDS500(tmp_path, "trainval")) == 4
    names = datasets.BSDS500(tmp_path, "all").names
    assert [name.rstrip("0123456789") for name in names] == ["train"] * 2 + ["val"] * 2 + [
        "test"
    ] * 2
    assert (dataset.num_labels, dataset.void, dataset.classes) == (None, -1, ())


@pytest.mark.parametrize("place", ["bsds500", "."])
def test_bsds_flat_layout(tmp_path: Path, place: str) -> None:
    bsds_tree(tmp_path / place)
    dataset = datasets.BSDS500(tmp_path, "all", person=1)
    assert dataset.names == ["100007", "8068"]
    np.testing.assert_array_equal(np.asarray(dataset[1][1]), regions_of(3))
    with pytest.raises(
        FileNotFoundError, match=r'images/train: the folder is flat.*image_set="all'
    ):
        datasets.BSDS500(tmp_path)


def test_bsds_people(tmp_path: Path) -> None:
    bsds_tree(tmp_path, "train")
    each = datasets.BSDS500(tmp_path, person="each")
    assert each.names == ["train100007"] * 3 + ["train8068"] * 2
    counts = [int(np.asarray(regions).max()) + 1 for _, regions in each]
    assert counts == [3, 4, 5, 2, 3]
    third = datasets.BSDS500(tmp_path, person=2)
    assert np.asarray(third[0][1]).max() == 4
    with pytest.raises(ValueError, match=r"person: .* below 2, the people of .*8068\.mat, got 2"):
        third[1]
    for person in ("all", -1):
        with pytest.raises(ValueError, match="person: expected None, a number >= 0 or 'each', got"):
            datasets.BSDS500(tmp_path, person=person)
    with pytest.raises(TypeError, match="person: expected an integer, got float"):
        datasets.BSDS500(tmp_path, person=1.5)  # type: ignore[arg-type]


def test_bsds_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"images of BSDS500; looked for .*BSDS500/data"):
        datasets.BSDS500(tmp_path)
    folder = bsds_tree(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match=r"no images \*\.jpg in .*images/val"):
        datasets.BSDS500(tmp_path, "val")
    with pytest.raises(ValueError, match="image_set: expected one of 'train', 'val', 'test', "):
        datasets.BSDS500(tmp_path, "training")
    dataset = datasets.BSDS500(tmp_path)
    path = folder / "groundTruth" / "train" / "train8068.mat"
    save_people(path, regions_of(3)[1:] + 1)
    with pytest.raises(ValueError, match=r"8068\.mat has 10 x 5 pixels but its image .*8068\.jpg"):
        dataset[1]
    path.write_bytes(b"MATLAB? no")
    with pytest.raises(ValueError, match=r"8068\.mat is not a readable \.mat file"):
        dataset[1]
    scipy = pytest.importorskip("scipy.io", reason="SciPy is not installed")
    scipy.savemat(path, {"other": 1})
    with pytest.raises(ValueError, match=r"8068\.mat holds no 'groundTruth'"):
        dataset[1]
    scipy.savemat(path, {"groundTruth": np.ones((2, 2))})
    with pytest.raises(ValueError, match=r"8068\.mat holds no 'Segmentation'"):
        dataset[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no label image of 'train8068'"):
        datasets.BSDS500(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"read by SciPy: pip install scipy"):
        dataset[0]


def test_real_bsds(data: Path) -> None:
    if not (data / "bsds500").is_dir():
        pytest.skip(f"no bsds500 in {data}")
    pytest.importorskip("scipy", reason="SciPy is not installed")
    dataset = datasets.BSDS500(data, "all")
    assert len(dataset) == 12
    people = 0
    for path, (image, maps) in zip(dataset.masks, dataset, strict=True):
        assert sorted(image.size) == [321, 481]
        people += len(maps)
        assert 4 <= len(maps) <= 9
        for regions, stored in zip(maps, read_regions(path), strict=True):
            array = np.asarray(regions)
            assert array.shape == (image.height, image.width)
            np.testing.assert_array_equal(array, stored)
            values = np.unique(array)
            np.testing.assert_array_equal(values, np.arange(len(values)))
            assert len(values) >= 2
    assert len(datasets.BSDS500(data, "all", person="each")) == people
