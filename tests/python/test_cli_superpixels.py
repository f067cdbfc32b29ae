# SPDX-License-Identifier: Apache-2.0
"""``mrfcore superpixels``: its files, its table, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli_cases import number_after, one_line_about
from mrfcore import io, superpixels
from mrfcore.cli import main


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A disc on a ramp, in colour, and its segments."""
    y, x = np.mgrid[:60, :80]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 20**2
    image = np.stack([np.where(disc, 220, 40 + x), 100 + y, np.where(disc, 30, 160)], -1)
    paths = {name: tmp_path / f"{name}.png" for name in ("image", "truth", "out")}
    io.write_image(paths["image"], image.astype(np.uint8))
    io.write_image(paths["truth"], np.where(disc, 255, 0).astype(np.uint8))
    return paths


def run(*arguments: object) -> int:
    return main(["superpixels", *map(str, arguments)])


def test_picture_numbers_and_table(files: dict[str, Path], capsys: Any) -> None:
    ids_path = files["out"].with_name("ids.npy")
    call = (files["image"], "-o", files["out"], "--num", 40, "--compactness", 20)
    assert run(*call, "--ids", ids_path) == 0
    text = capsys.readouterr().out
    image = io.read_image(files["image"])
    ids = np.load(ids_path)
    np.testing.assert_array_equal(ids, superpixels.slic(image, 40, compactness=20.0))
    sizes = np.bincount(ids.ravel())
    assert number_after(text, "superpixels") == len(sizes)
    assert number_after(text, "smallest") == sizes.min()
    assert number_after(text, "median") == round(np.median(sizes))
    assert number_after(text, "largest") == sizes.max()
    assert "recall" not in text
    picture, lines = io.read_image(files["out"]), superpixels.boundaries(ids)
    assert (picture[lines] == (255, 220, 0)).all()
    np.testing.assert_array_equal(picture[~lines], image[~lines])


def test_mean_colours(files: dict[str, Path]) -> None:
    assert run(files["image"], "-o", files["out"], "--num", 12, "--mean", "-q") == 0
    image = io.read_image(files["image"])
    ids = superpixels.slic(image, 12)
    lines = superpixels.boundaries(ids)
    painted = io.read_image(files["out"])
    for k in range(ids.max() + 1):
        inside = painted[(ids == k) & ~lines]
        assert (inside == np.rint(image[ids == k].mean(0))).all()


def test_mean_colours_alone(files: dict[str, Path]) -> None:
    call = (files["image"], "-o", files["out"], "--num", 12, "--mean", "--no-boundaries", "-q")
    assert run(*call) == 0
    image = io.read_image(files["image"])
    expected = superpixels.mean_colours(image, superpixels.slic(image, 12))
    np.testing.assert_array_equal(io.read_image(files["out"]), expected)


def test_small_image(files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    """Fewer pixels than superpixels by default."""
    io.write_image(tmp_path / "small.png", io.read_image(files["image"])[:8, :9])
    assert run(tmp_path / "small.png", "-o", files["out"]) == 0
    assert number_after(capsys.readouterr().out, "superpixels") == 72


def test_truth_of_several_people(files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    matlab = pytest.importorskip("scipy.io")
    disc = io.read_image(files["truth"]) > 0
    drawn = [disc + 1, np.ones_like(disc) + (np.arange(80) > 37)]
    people = np.empty((1, 2), object)
    for i, segments in enumerate(drawn):
        people[0, i] = {"Segmentation": segments.astype(np.uint16)}
    matlab.savemat(tmp_path / "truth.mat", {"groundTruth": people})
    call = (files["image"], "-o", files["out"], "--num", 40, "--truth", tmp_path / "truth.mat")
    assert run(*call) == 0
    ids = superpixels.slic(io.read_image(files["image"]), 40)
    mean = np.mean([superpixels.boundary_recall(ids, d.astype(int)) for d in drawn])
    found = number_after(capsys.readouterr().out, "boundary recall")
    assert found == pytest.approx(100 * mean, abs=5.1e-3)
    (tmp_path / "truth.mat").write_bytes(b"no matrix at all")
    assert run(*call) == 2
    one_line_about(capsys, "truth.mat", "BSDS500")


def test_photograph_as_truth(files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    io.write_image(tmp_path / "photo.png", photo)
    call = (files["image"], "-o", files["out"], "--num", 40, "--truth")
    assert run(*call, tmp_path / "photo.png") == 0
    assert "segments, each colour one: is it a photograph?" in capsys.readouterr().err
    assert run(*call, files["truth"]) == 0
    assert "photograph" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["grey", "colour", "palette", "deep", "npy"])
def test_truth(files: dict[str, Path], kind: str, capsys: Any, tmp_path: Path) -> None:
    disc = io.read_image(files["truth"]) > 0
    path = tmp_path / ("segments.npy" if kind == "npy" else "segments.png")
    if kind == "npy":
        np.save(path, disc.astype(np.int16) * 700 - 3)
    elif kind == "colour":
        io.write_image(path, np.where(disc[..., None], [9, 8, 7], [9, 8, 6]).astype(np.uint8))
    elif kind == "deep":
        Image.fromarray(np.where(disc, 65535, 65534).astype(np.uint16)).save(path)
    else:
        image = Image.fromarray(disc.astype(np.uint8))
        if kind == "palette":
            image.putpalette([5, 5, 5, 5, 5, 5])  # two entries of one colour
        image.save(path)
    assert run(files["image"], "-o", files["out"], "--num", 40, "--truth", path) == 0
    text = capsys.readouterr().out
    ids = superpixels.slic(io.read_image(files["image"]), 40)
    expected = disc.astype(int)
    assert number_after(text, "true segments") == 2
    for name, score in (
        ("boundary recall", superpixels.boundary_recall),
        ("undersegmentation error", superpixels.undersegmentation_error),
        ("achievable accuracy", superpixels.achievable_accuracy),
    ):
        assert number_after(text, name) == pytest.approx(100 * score(ids, expected), abs=5.1e-3)


def test_numbers_as_picture(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "ids.png"
    assert run(files["image"], "-o", files["out"], "--ids", path, "--num", 500, "-q") == 0
    ids = superpixels.slic(io.read_image(files["image"]), 500)
    assert ids.max() > 255
    np.testing.assert_array_equal(np.asarray(Image.open(path)), ids)


def test_default_name(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("image.png", "-q") == 0
    assert (tmp_path / "image-superpixels.png").is_file()
    assert files["image"].is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-boundaries"], "--no-boundaries: leaves nothing to draw without --mean"),
        (["--num", "4801"], "--num: expected at most one superpixel a pixel, 4800, got 4801"),
        (["--num", "0"], "--num: expected a number >= 1, got 0"),
        (["--compactness", "-1"], "--compactness: expected a number in 0..100"),
        (["--ids", "ids.txt"], "unknown suffix '.txt', expected .npy, .png"),
        (["--ids", "out.png"], "it is an input or an output already"),
        (["--truth", "small.npy"], "expected the same size"),
        (["--truth", "floats.npy"], "float64 of shape [60, 80], expected integers [H, W]"),
        (["--truth", "nothing.npy"], "no such file: nothing.npy"),
    ],
)
def test_refused(
    files: dict[str, Path],
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.zeros((5, 5), int))
    np.save("floats.npy", np.zeros((60, 80)))
    assert run("image.png", "-o", "out.png", *options) == 2
    assert message in capsys.readouterr().err
    assert not files["out"].exists()


# ---------------------------------------------------------------- scores


def test_scores_of_a_known_case() -> None:
    truth = np.zeros((4, 6), int)
    truth[:, 3:] = 1
    ids = np.zeros((4, 6), int)
    ids[:, 4:] = 1  # one column of the second segment leaks into the first superpixel
    assert superpixels.boundary_recall(ids, truth, radius=0) == 0
    assert superpixels.boundary_recall(ids, truth, radius=1) == 1
    assert superpixels.undersegmentation_error(ids, truth) == pytest.approx(8 / 24)
    assert superpixels.achievable_accuracy(ids, truth) == pytest.approx(20 / 24)
    assert superpixels.boundary_recall(ids, np.zeros_like(truth)) == 1
    assert superpixels.compactness(np.zeros((5, 5), int)) == pytest.approx(np.pi / 4)


def test_scores_without_void() -> None:
    truth = np.zeros((4, 6), int)
    truth[:, 3:] = 1
    truth[:, 3] = 255
    ids = np.zeros((4, 6), int)
    ids[:, 4:] = 1  # it leaks by column 3, which is void
    assert superpixels.undersegmentation_error(ids, truth) == pytest.approx(8 / 24)
    assert superpixels.undersegmentation_error(ids, truth, ignore=255) == 0
    assert superpixels.achievable_accuracy(ids, truth) == pytest.approx(20 / 24)
    assert superpixels.achievable_accuracy(ids, truth, ignore=255) == 1
    ids[:, 5] = 0  # column 5 of the second segment, of 20 pixels without void
    assert superpixels.undersegmentation_error(ids, truth, ignore=255) == pytest.approx(8 / 20)
    assert superpixels.achievable_accuracy(ids, truth, ignore=255) == pytest.approx(16 / 20)
    truth[0, :3] = 2  # the only step that is none onto void: row 0 to row 1, below nothing of ids
    assert superpixels.boundary_recall(ids, truth, radius=0) == pytest.approx(4 / 10)
    assert superpixels.boundary_recall(ids, truth, radius=0, ignore=255) == 0
    ids[0, :2] = 7
    assert superpixels.boundary_recall(ids, truth, radius=0, ignore=255) == pytest.approx(2 / 3)
    void = np.full_like(truth, 255)
    assert superpixels.boundary_recall(ids, void, ignore=255) == 1
    assert np.isnan(superpixels.undersegmentation_error(ids, void, ignore=255))
    assert np.isnan(superpixels.achievable_accuracy(ids, void, ignore=255))
    with pytest.raises(TypeError, match="ignore: expected an integer, got float"):
        superpixels.achievable_accuracy(ids, truth, ignore=2.5)  # type: ignore[arg-type]


def test_scores_refuse() -> None:
    ids = np.zeros((4, 6), int)
    with pytest.raises(ValueError, match=r"truth: expected \[H, W\] as ids \[4, 6\]"):
        superpixels.boundary_recall(ids, ids.T)
    with pytest.raises(TypeError, match="ids: expected integers, got dtype float64"):
        superpixels.achievable_accuracy(ids / 2, ids)
    with pytest.raises(ValueError, match="radius: expected a number >= 0, got -1"):
        superpixels.boundary_recall(ids, ids, radius=-1)
    with pytest.raises(ValueError, match=r"image: expected \[H, W\] or \[H, W, C\]"):
        superpixels.mean_colours(np.zeros((5, 5)), ids)
    with pytest.raises(ValueError, match=r"image: expected \[H, W\] or .*, 0\]"):
        superpixels.mean_colours(np.zeros((*ids.shape, 0)), ids)
