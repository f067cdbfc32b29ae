# SPDX-License-Identifier: Apache-2.0
"""``mrfcore meanshift``: pictures, table, names of files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrfcore
from cli_cases import number_after, one_line_about, write_picture
from mrfcore import io
from mrfcore.cli import main


@pytest.fixture
def colour(tmp_path: Path) -> Path:
    """Four rectangles with noise."""
    pixels = np.full((40, 56, 3), 60.0)
    pixels[20:] += 70
    pixels[:, 20:, 0] += 60
    pixels += np.random.default_rng(1).normal(0, 6, pixels.shape)
    path = tmp_path / "colour.png"
    io.write_image(path, np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return path


def run(*arguments: object) -> int:
    return main(["meanshift", *map(str, arguments)])


def test_the_filtered_picture(colour: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.png"
    assert run(colour, "-o", out, "--spatial", 6, "--color", 30) == 0
    pixels = io.read_image(colour)
    expected = mrfcore.mean_shift_filter(pixels, 6, 30)
    np.testing.assert_array_equal(io.read_image(out), expected)
    text = capsys.readouterr().out
    assert "56 x 40 x 3" in text
    assert f"written: {out}" in text
    assert number_after(text, "mean change") == pytest.approx(
        np.abs(expected.astype(float) - pixels).mean(), abs=0.006
    )
    colours = len(np.unique(expected.reshape(-1, 3), axis=0))
    assert f"-> {colours:,}" in text
    assert "regions" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["colour.png", "out.png"]


def test_regions_beside_it(colour: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.png"
    options = ["--spatial", 6, "--color", 30, "--kernel", "gaussian", "--space", "rgb"]
    assert run(colour, "-o", out, "--segment", "--min-size", 30, "--iterations", 8, *options) == 0
    pixels = io.read_image(colour)
    ids = mrfcore.mean_shift_segment(pixels, 6, 30, kernel="gaussian", iterations=8, min_size=30)
    assert number_after(capsys.readouterr().out, "regions") == ids.max() + 1 == 4
    drawn = io.read_image(tmp_path / "out-regions.png")
    inner = ids[5, 5] == ids
    np.testing.assert_array_equal(drawn[5, 5], np.rint(pixels[inner].mean(0)))
    assert drawn[5, 19].sum() < 0.3 * drawn[5, 5].sum()  # a dark line between two regions


def test_joining_and_its_hint(colour: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.png"
    options = ["--spatial", 6, "--color", 30, "--segment", "--min-size", 30]
    assert run(colour, "-o", out, *options) == 0
    assert "largest region has" not in capsys.readouterr().err
    assert run(colour, "-o", out, *options, "--join", 200) == 0
    said = capsys.readouterr()
    assert number_after(said.out, "regions") == 1
    assert "the largest region has 100.0 % of the image; a --join smaller than 200" in said.err
    assert run(colour, "-o", out, *options, "--join", 200, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_grey_levels_and_luv(colour: Path, tmp_path: Path) -> None:
    grey = write_picture(tmp_path)["noisy"]
    out = tmp_path / "grey.png"
    assert run(grey, "-o", out, "--levels", 1, "--segment", "-q") == 0
    expected = mrfcore.mean_shift_filter(io.read_image(grey), levels=1)
    np.testing.assert_array_equal(io.read_image(out), expected)
    assert io.read_image(tmp_path / "grey-regions.png").shape == (40, 56, 3)
    assert run(colour, "-o", out, "--space", "luv", "--color", 8, "-q", "--threads", 1) == 0
    expected = mrfcore.mean_shift_filter(io.read_image(colour), 10, 8, color_space="luv")
    np.testing.assert_array_equal(io.read_image(out), expected)


def test_a_name_of_its_own(colour: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(colour, "-q", "--segment") == 0
    assert capsys.readouterr().out == ""
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["colour-meanshift-regions.png", "colour-meanshift.png", "colour.png"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--spatial", "0"], "--spatial"),
        (["--color", "-1"], "--color"),
        (["--kernel", "box"], "--kernel"),
        (["--space", "lab"], "--space"),
        (["--levels", "20"], "--levels"),
        (["--segment", "--min-size", "0"], "--min-size"),
        (["--segment", "--join", "0"], "--join"),
        (["--min-size", "30"], "--min-size needs --segment"),
        (["--join", "5"], "--join needs --segment"),
        (["-o", "nowhere/out.png"], "nowhere"),
        (["-o", "out.xyz"], ".xyz"),
    ],
)
def test_what_is_refused(
    colour: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, options: list[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(colour, *options) == 2
    one_line_about(capsys, word)
    assert [p.name for p in tmp_path.iterdir()] == ["colour.png"]


def test_no_picture_is_overwritten(colour: Path, capsys: Any) -> None:
    assert run(colour, "-o", colour) == 2
    one_line_about(capsys, "colour.png")
    assert run(colour.with_name("missing.png"), "-o", colour.with_name("x.png")) == 2
    one_line_about(capsys, "missing.png")
