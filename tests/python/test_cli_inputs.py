# SPDX-License-Identifier: Apache-2.0
"""What the command line says about the files it reads: bits and transparency lost, odd masks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli_cases import command, one_line_about, rendered_pair, write_pair, write_picture
from mrfcore import io, metrics, restore, stereo
from mrfcore.cli import main


@pytest.fixture
def picture(tmp_path: Path) -> dict[str, Path]:
    return write_picture(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_pair(rendered_pair(), tmp_path)


def denoise(image: Path, *more: object) -> int:
    out = image.with_name("restored.png")
    fast = ["--sigma", "5", "--iterations", "1", "--no-bound"]
    return main(["denoise", *map(str, (image, "-o", out, *fast, *more))])


# --- notes --------------------------------------------------------------------------------------


def deep_colour_png(path: Path) -> None:
    """16 bits per channel, which Pillow reads, as RGB, but does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    rows = b"".join(b"\0" + bytes(range(8 * 6)) for _ in range(8))  # 8 x 8 pixels
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def deep_colour_ppm(path: Path) -> None:
    path.write_bytes(b"P6 8 8 65535\n" + bytes(range(48)) * 8)


def deep_grey(path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(path)


def with_alpha(mode: str) -> Any:
    return lambda path: Image.new(mode, (8, 8), 77).save(path)


def clear_palette(path: Path) -> None:
    Image.new("P", (8, 8), 3).save(path, transparency=3)


@pytest.mark.parametrize(
    ("name", "write", "losses"),
    [
        ("grey.png", deep_grey, "16 bits per channel reduced to 8"),
        ("grey.tif", deep_grey, "16 bits per channel reduced to 8"),
        ("colour.png", deep_colour_png, "16 bits per channel reduced to 8"),
        ("colour.ppm", deep_colour_ppm, "16 bits per channel reduced to 8"),
        ("alpha.png", with_alpha("RGBA"), "transparency dropped"),
        ("alpha.png", with_alpha("LA"), "transparency dropped"),
        ("palette.png", clear_palette, "transparency dropped"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_reading_loses_is_told_once(name, write, losses, tmp_path, capsys) -> None:
    path = tmp_path / name
    write(path)
    assert denoise(path) == 0
    assert capsys.readouterr().err == f"note: {path}: {losses}\n"
    assert denoise(path, "-q") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["plain.png", "plain.jpg", "plain.ppm", "plain.tif", "plain.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_nothing_is_told_of_ordinary_images(name, mode, tmp_path, capsys) -> None:
    Image.new(mode, (8, 8), 77).save(tmp_path / name)
    assert denoise(tmp_path / name) == 0
    assert capsys.readouterr().err == ""


def test_both_images_of_a_pair_are_told(files, tmp_path, capsys) -> None:
    for side in ("left", "right"):
        Image.open(files[side]).convert("RGBA").save(files[side])
    assert main(command(files, "-o", tmp_path / "out.npy", "--iterations", "1")) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes == [f"note: {files[side]}: transparency dropped" for side in ("left", "right")]


# --- masks --------------------------------------------------------------------------------------


def test_a_photograph_is_no_mask(files, picture, tmp_path, capsys) -> None:
    out = tmp_path / "out.npy"
    assert main(command(files, "-o", out, "-g", files["truth"], "--mask", files["left"])) == 2
    one_line_about(capsys, files["left"], "colours", "black and white")
    assert not out.exists()
    assert denoise(picture["noisy"], "--mask", picture["clean"]) == 2
    one_line_about(capsys, picture["clean"], "threshold")


def test_a_mask_blurred_by_jpeg_is_refused(picture, tmp_path, capsys) -> None:
    Image.open(picture["mask"]).save(tmp_path / "mask.jpg", quality=30)
    assert denoise(picture["noisy"], "--mask", tmp_path / "mask.jpg") == 2
    one_line_about(capsys, "mask.jpg", ".png")


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: Image.fromarray((mask > 0).astype(np.uint8)),  # 0 and 1
        lambda mask: Image.fromarray(mask > 0),  # one bit
        lambda mask: Image.fromarray(mask).convert("RGB"),
        lambda mask: Image.fromarray(np.where(mask[::-1] > 0, mask, mask // 255 * 254)),
    ],
    ids=["0 and 1", "bilevel", "colour", "254 among 255"],
)
def test_masks_may_be_stored_in_many_ways(change, picture, tmp_path) -> None:
    mask = io.read_image(picture["mask"])
    change(mask).save(tmp_path / "other.png")
    assert denoise(picture["noisy"], "--mask", tmp_path / "other.png", "-q") == 0
    noisy = io.read_image(picture["noisy"])
    expected = restore.denoise(noisy, sigma=5, iterations=1, mask=mask).image
    np.testing.assert_array_equal(io.read_image(tmp_path / "restored.png"), expected)


def test_grey_128_means_occluded(files, tmp_path, capsys) -> None:
    """As in the masks of Middlebury 2014 and ETH3D: 0 unknown, 128 occluded, 255 visible."""
    pair = rendered_pair()
    three = np.where(pair.nonocc, 255, 128).astype(np.uint8)
    three[:4] = 0
    io.write_image(files["mask"], three)
    options = ["-g", files["truth"], "--mask", files["mask"]]
    assert main(command(files, "-o", tmp_path / "out.npy", *options)) == 0
    found = stereo.match(pair.left, pair.right, 16)
    expected = metrics.bad_pixels(found.disparity, pair.disparity, 1.0, three == 255)
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.strip().startswith("non-occ"))
    assert float(line.split()[2]) == pytest.approx(expected, abs=0.006)
