# SPDX-License-Identifier: Apache-2.0
"""PFM, .flo, disparities, calib.txt: hand-built bytes, round trips, broken files."""

from __future__ import annotations

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

# --- PFM --------------------------------------------------------------------------------------

ROWS = np.array([[1.0, -2.5, 3.25], [4.0, 5.0, np.inf]], np.float32)  # top row first


@pytest.mark.parametrize(("order", "scale"), [("<", b"-1.0"), (">", b"1.0")])
def test_pfm_bytes(tmp_path: Path, order: str, scale: bytes) -> None:
    # Bottom row first, by the format's definition.
    golden = b"Pf\n3 2\n" + scale + b"\n" + struct.pack(order + "6f", *ROWS[1], *ROWS[0])
    path = tmp_path / "map.pfm"
    path.write_bytes(golden)
    np.testing.assert_array_equal(io.read_pfm(path), ROWS)
    assert io.read_pfm(path).dtype == np.dtype("=f4")
    io.write_pfm(path, ROWS, byteorder="little" if order == "<" else "big")
    assert path.read_bytes() == golden


def test_colour_pfm_bytes(tmp_path: Path) -> None:
    golden = b"PF\n1 2\n-1.0\n" + struct.pack("<6f", 4, 5, 6, 1, 2, 3)
    path = tmp_path / "colour.pfm"
    path.write_bytes(golden)
    np.testing.assert_array_equal(io.read_pfm(path), [[[1, 2, 3]], [[4, 5, 6]]])
    io.write_pfm(path, [[[1, 2, 3]], [[4, 5, 6]]], byteorder="little")
    assert path.read_bytes() == golden


def test_pfm_header_variants(tmp_path: Path) -> None:
    path = tmp_path / "map.pfm"
    # Middlebury's files carry -0.003922 = -1/255: a unit for display, not a factor.
    path.write_bytes(b"Pf 2\t1\n-0.003922\n" + struct.pack("<2f", 7, 8))
    np.testing.assert_array_equal(io.read_pfm(path), [[7, 8]])
    # The first data byte may look like white space or like a digit.
    path.write_bytes(b"Pf\n1 1\n1e0\n" + b"\x0a\x30\x30\x30")
    assert io.read_pfm(path)[0, 0] == struct.unpack(">f", b"\x0a\x30\x30\x30")[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PFM file"),
        (b"P6\n1 1\n255\n\0\0\0", "not a PFM file"),
        (b"Pf\n2 2\n", "not a PFM file"),
        (b"Pf\n2 -2\n-1.0\n", "not a PFM file"),
        (b"Pf\n0 2\n-1.0\n", "expected a positive size"),
        (b"Pf\n1 1\n0.0\n\0\0\0\0", "not 0"),
        (b"Pf\n1 1\n1.0.0\n\0\0\0\0", "scale that is finite"),
        (b"Pf\n2 2\n-1.0\n" + bytes(15), "truncated: it has 15 bytes of PFM data, expected 16"),
        (b"PF\n2 2\n-1.0\n" + bytes(16), "truncated: it has 16 bytes of PFM data, expected 48"),
        (b"Pf\n2 2\n-1.0\n" + bytes(17), "has 17 bytes of PFM data, expected 16"),
        (b"Pf\n99999999 99999999\n-1.0\n" + bytes(8), "truncated"),
    ],
)
def test_broken_pfm_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.pfm"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        io.read_pfm(path)
    assert "broken.pfm" in str(error.value)


@given(
    image=hnp.arrays(
        np.float32,
        st.one_of(
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
            st.tuples(st.integers(1, 7), st.integers(1, 7), st.just(3)),
        ),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    ),
    order=st.sampled_from(["native", "little", "big"]),
)
def test_pfm_round_trip(
    tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, order: str
) -> None:
    path = tmp_path_factory.mktemp("pfm") / "map.pfm"
    io.write_pfm(path, image, byteorder=order)  # type: ignore[arg-type]
    np.testing.assert_array_equal(io.read_pfm(path), image)


def test_write_pfm_refuses_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        io.write_pfm(tmp_path / "a.pfm", np.zeros(3))
    with pytest.raises(ValueError, match="complex"):
        io.write_pfm(tmp_path / "a.pfm", np.zeros((2, 2), complex))
    with pytest.raises(ValueError, match="byteorder is 'middle'"):
        io.write_pfm(tmp_path / "a.pfm", np.zeros((2, 2)), byteorder="middle")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# --- .flo -------------------------------------------------------------------------------------


def test_flo_bytes(tmp_path: Path) -> None:
    golden = b"PIEH" + struct.pack("<ii", 2, 1) + struct.pack("<4f", 1.5, -2, 1e10, 1e10)
    path = tmp_path / "flow.flo"
    path.write_bytes(golden)
    flow = io.read_flo(path)
    np.testing.assert_array_equal(flow, [[[1.5, -2], [np.nan, np.nan]]])
    io.write_flo(path, flow)
    assert path.read_bytes() == golden


@given(
    flow=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(2)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    unknown=st.randoms(use_true_random=False),
)
def test_flo_round_trip(
    tmp_path_factory: pytest.TempPathFactory, flow: np.ndarray, unknown: object
) -> None:
    flow[np.random.default_rng(unknown.randrange(100)).random(flow.shape[:2]) < 0.2] = np.nan  # type: ignore[attr-defined]
    path = tmp_path_factory.mktemp("flo") / "flow.flo"
    io.write_flo(path, flow)
    np.testing.assert_array_equal(io.read_flo(path), flow)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PIE", "not a .flo file"),
        (b"HEIP" + struct.pack("<ii", 1, 1) + bytes(8), "not a .flo file"),
        (b"PIEH" + struct.pack("<ii", -1, 1), "size -1 x 1"),
        (b"PIEH" + struct.pack("<ii", 2, 2) + bytes(31), "has 31 bytes of .flo data, expected 32"),
    ],
)
def test_broken_flo_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.flo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        io.read_flo(path)


def test_write_flo_refuses_other_shapes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\), expected \[H, W, 2\]"):
        io.write_flo(tmp_path / "a.flo", np.zeros((2, 2, 3)))


# --- disparities ------------------------------------------------------------------------------


def test_kitti_png_bytes(tmp_path: Path) -> None:
    path = tmp_path / "disparity.png"
    path.write_bytes(png(2, 2, 16, 0, struct.pack(">4H", 0, 256, 640, 65535)))
    disparity = io.read_disparity(path)
    np.testing.assert_array_equal(disparity, [[np.nan, 1.0], [2.5, 65535 / 256]])
    assert disparity.dtype == np.float32
    io.write_disparity(path, disparity)
    with Image.open(path) as image:
        assert image.mode in ("I;16", "I")
        np.testing.assert_array_equal(np.asarray(image), [[0, 256], [640, 65535]])


def test_kitti_png_keeps_tiny_disparities_valid(tmp_path: Path) -> None:
    path = tmp_path / "disparity.png"
    io.write_disparity(path, [[0.0, 0.001, 0.5 / 256, np.nan]])
    np.testing.assert_array_equal(io.read_disparity(path), [[1 / 256, 1 / 256, 1 / 256, np.nan]])


@pytest.mark.parametrize("value", [-0.5, 256.0, 1e9])
def test_kitti_png_refuses_what_it_cannot_hold(tmp_path: Path, value: float) -> None:
    path = tmp_path / "disparity.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"disparity\[0, 1\] is .* outside the range"):
        io.write_disparity(path, [[1.0, value]])
    assert path.read_bytes() == b"old"


@given(
    disparity=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.one_of(st.floats(0, 255.5, width=32), st.just(np.nan)),
    ),
    suffix=st.sampled_from([".png", ".pfm", ".npy"]),
)
def test_disparity_round_trip(
    tmp_path_factory: pytest.TempPathFactory, disparity: np.ndarray, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("disparity") / f"map{suffix}"
    io.write_disparity(path, disparity)
    back = io.read_disparity(path)
    # Half a unit, or a whole one where zero had to stay distinct from "none".
    tolerance = np.where(disparity < 0.5 / 256, 1, 0.5) / 256 if suffix == ".png" else 0
    np.testing.assert_array_equal(np.isnan(back), np.isnan(disparity))
    assert np.all((np.abs(back - disparity) <= tolerance) | np.isnan(disparity))


def test_pfm_disparity_uses_inf_for_none(tmp_path: Path) -> None:
    path = tmp_path / "disparity.pfm"
    io.write_disparity(path, [[1.0, np.nan, -3.0]])
    np.testing.assert_array_equal(io.read_pfm(path), [[1.0, np.inf, -3.0]])
    np.testing.assert_array_equal(io.read_disparity(path), [[1.0, np.nan, -3.0]])


def test_8_bit_disparity_needs_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "disparity.pgm"
    path.write_bytes(b"P5\n3 1\n255\n" + bytes([0, 6, 255]))
    np.testing.assert_array_equal(io.read_disparity(path, scale=4), [[np.nan, 1.5, 63.75]])
    with pytest.raises(ValueError, match="give scale"):
        io.read_disparity(path)
    for scale in (0, -4, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a positive number"):
            io.read_disparity(path, scale=scale)


def test_middlebury_ground_truth(data: Path) -> None:
    disparity = io.read_disparity(data / "middlebury/tsukuba/gt.pgm", scale=16)
    assert disparity.shape == (288, 384)
    known = disparity[np.isfinite(disparity)]
    assert set(np.unique(known)) == {5, 6, 7, 8, 10, 11, 14}  # the scene's integer disparities
    # Tsukuba's ground truth leaves out a frame of 18 pixels.
    assert np.isnan(disparity[:18]).all()
    assert np.isfinite(disparity[18:-18, 18:-18]).mean() > 0.99


def test_disparity_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "rgb.png")
    coloured = Image.new("P", (2, 2))
    coloured.putpalette([255, 0, 0])
    coloured.save(tmp_path / "palette.png")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.save(tmp_path / "object.npy", np.array([[None]]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cube.npy").read_bytes()[:-3])
    (tmp_path / "empty.npy").touch()
    io.write_pfm(tmp_path / "colour.pfm", np.zeros((2, 2, 3)))
    for name, message in {
        "rgb.png": "mode 'RGB'",
        "palette.png": "colour picture",
        "cube.npy": r"shape \(2, 2, 2\)",
        "text.npy": "real numbers",
        "object.npy": "not a readable .npy",
        "cut.npy": "not a readable .npy",
        "empty.npy": "not a readable .npy",
        "colour.pfm": r"shape \(2, 2, 3\)",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            io.read_disparity(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(ValueError, match="take none"):
        io.read_disparity(tmp_path / "cube.npy", scale=4)


def test_write_disparity_refuses_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix '\.jpg', expected \.png, \.pfm or \.npy"):
        io.write_disparity(tmp_path / "a.jpg", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2\)"):
        io.write_disparity(tmp_path / "a.pfm", np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="dtype"):
        io.write_disparity(tmp_path / "a.pfm", [["a"]])


# --- calib.txt --------------------------------------------------------------------------------

CALIB = """cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]
cam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]
doffs=31.086
baseline=193.001
width=741
height=497
ndisp=70
isint=0
vmin=5
vmax=61
"""


def test_calib(tmp_path: Path) -> None:
    path = tmp_path / "calib.txt"
    path.write_text(CALIB)
    calib = io.read_calib(path)
    np.testing.assert_array_equal(
        calib.cam1, [[994.978, 0, 342.279], [0, 994.978, 254.877], [0, 0, 1]]
    )
    assert (calib.width, calib.height, calib.ndisp) == (741, 497, 70)
    assert (calib.doffs, calib.baseline, calib.vmin, calib.vmax) == (31.086, 193.001, 5, 61)
    # Z = baseline * f / (d + doffs), worked by hand for d = 18.914: 193.001 * 994.978 / 50
    np.testing.assert_allclose(calib.depth([18.914, np.nan]), [3840.6349796, np.nan], rtol=1e-9)
    np.testing.assert_array_equal(calib.depth([-31.086]), [np.inf])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("doffs=31.086\n", "", "no entry 'doffs'"),
        ("ndisp=70", "ndisp=many", "ndisp is 'many', expected a number"),
        ("; 0 0 1]\ncam1", "]\ncam1", "cam0 is .* expected a 3 x 3 matrix"),
        ("[994.978 0 311.193", "[a 0 311.193", "cam0 is .* expected a 3 x 3 matrix"),
    ],
)
def test_broken_calib_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "calib.txt"
    assert old in CALIB
    path.write_text(CALIB.replace(old, new))
    with pytest.raises(ValueError, match=message):
        io.read_calib(path)


def test_binary_calib_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calib.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text"):
        io.read_calib(tmp_path / "calib.txt")
