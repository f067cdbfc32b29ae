# SPDX-License-Identifier: Apache-2.0
"""Reading and writing pictures: every pixel type, and every kind of broken file."""

from __future__ import annotations

import io as stdio
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from handmade import png
from mrfcore import io


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = stdio.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def test_read_image_returns_grey_or_rgb(tmp_path: Path) -> None:
    grey, rgb = tmp_path / "grey.pgm", tmp_path / "rgb.ppm"
    grey.write_bytes(b"P5\n3 2\n255\n" + bytes([0, 1, 2, 253, 254, 255]))
    rgb.write_bytes(b"P6\n1 2\n255\n" + bytes([10, 20, 30, 40, 50, 60]))
    np.testing.assert_array_equal(io.read_image(grey), [[0, 1, 2], [253, 254, 255]])
    np.testing.assert_array_equal(io.read_image(rgb), [[[10, 20, 30]], [[40, 50, 60]]])
    assert io.read_image(grey).dtype == io.read_image(rgb).dtype == np.uint8
    assert io.read_image(grey).flags.writeable


def test_read_image_scales_16_bits_over_the_full_range(tmp_path: Path) -> None:
    values = [0, 128, 129, 257, 32896, 65535]
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 3, 16, 0, struct.pack(">6H", *values)))
    expected = np.array([0, 0, 1, 1, 128, 255]).reshape(2, 3)  # round(v / 257)
    np.testing.assert_array_equal(io.read_image(path), expected)
    pgm = tmp_path / "deep.pgm"
    pgm.write_bytes(b"P5\n3 2\n65535\n" + struct.pack(">6H", *values))
    np.testing.assert_array_equal(io.read_image(pgm), expected)


def test_read_image_drops_alpha_without_blending(tmp_path: Path) -> None:
    rgba, grey_alpha = tmp_path / "rgba.png", tmp_path / "la.png"
    rgba.write_bytes(png(1, 2, 8, 6, bytes([200, 100, 50, 0, 1, 2, 3, 128])))
    grey_alpha.write_bytes(png(1, 2, 8, 4, bytes([77, 0, 9, 255])))
    np.testing.assert_array_equal(io.read_image(rgba), [[[200, 100, 50], [1, 2, 3]]])
    np.testing.assert_array_equal(io.read_image(grey_alpha), [[77, 9]])


def test_read_image_converts_other_colour_spaces(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png")
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    Image.new("1", (2, 1), 1).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(io.read_image(tmp_path / "palette.png")[0, 1], [0, 0, 255])
    np.testing.assert_array_equal(io.read_image(tmp_path / "cmyk.tif")[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(io.read_image(tmp_path / "bilevel.png"), [[255, 255]])


def test_read_image_applies_the_stored_orientation(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    (tmp_path / "turned.png").write_bytes(encoded(image, "PNG", exif=exif))
    np.testing.assert_array_equal(io.read_image(tmp_path / "turned.png"), [[4, 1], [5, 2], [6, 3]])


def test_read_image_goes_by_contents_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(png(1, 1, 8, 0, b"\x2a"))
    np.testing.assert_array_equal(io.read_image(path), [[42]])


def test_missing_file_and_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: .*absent\.png"):
        io.read_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="not a regular file"):
        io.read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello, this is not an image", b"\x89PNG\r\n\x1a\n"])
def test_non_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png is not a"):
        io.read_image(path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "PPM", "TIFF", "BMP", "WEBP", "GIF"])
def test_truncated_image_is_refused_wherever_it_ends(tmp_path: Path, file_format: str) -> None:
    rng = np.random.default_rng(3)
    whole = encoded(Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)), file_format)
    path = tmp_path / "cut.img"
    # TIFF keeps its directory at either end; the last bytes of a JPEG or GIF are only a trailer.
    for share in (0.05, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"cut\.img"):
            io.read_image(path)


def test_float_and_32_bit_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"float\.tif holds floating-point pixels"):
        io.read_image(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"deep\.tif holds 'I.*70000"):
        io.read_image(tmp_path / "deep.tif")


@given(
    image=hnp.arrays(
        np.uint8,
        st.one_of(
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)),
        ),
    ),
    transposed=st.booleans(),
)
def test_image_round_trip(
    tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, transposed: bool
) -> None:
    path = tmp_path_factory.mktemp("image") / "image.png"
    written = image.swapaxes(0, 1) if transposed else image  # not contiguous
    io.write_image(path, written)
    np.testing.assert_array_equal(io.read_image(path), written)


def test_write_image_refuses_what_it_cannot_store(tmp_path: Path) -> None:
    grey = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="dtype float64, expected uint8"):
        io.write_image(tmp_path / "a.png", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(2, 2, 4\)"):
        io.write_image(tmp_path / "a.png", np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(ValueError, match="not empty"):
        io.write_image(tmp_path / "a.png", np.zeros((0, 2), np.uint8))
    with pytest.raises(ValueError, match=r"unknown image suffix '\.xyz'"):
        io.write_image(tmp_path / "a.xyz", grey)
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
        io.write_image(tmp_path / "nowhere" / "a.png", grey)
    assert list(tmp_path.iterdir()) == []
