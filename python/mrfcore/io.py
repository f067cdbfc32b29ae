# SPDX-License-Identifier: Apache-2.0
"""Images, disparity maps, flow fields, calibrations and volumes from and to files.

Disparity maps are float32 `[H, W]` in pixels; NaN marks a pixel without a disparity. Every writer
writes the file whole or not at all: it fills a temporary file beside the target and renames it.

Errors are the same everywhere: FileNotFoundError for a missing file or folder, PermissionError for
one that may not be opened, ValueError naming the file for everything that is wrong with its
contents (not an image, truncated, wrong type).
"""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mrfcore._calib import Calibration, read_calib
from mrfcore._files import PathLike, atomic_file, existing_file
from mrfcore._nifti import read_nifti

__all__ = [
    "Calibration",
    "picture_format",
    "read_calib",
    "read_disparity",
    "read_flo",
    "read_image",
    "read_nifti",
    "read_pfm",
    "write_disparity",
    "write_flo",
    "write_image",
    "write_pfm",
]

_KITTI_SCALE = 256.0  # stored = 256 * disparity, 0 = invalid (KITTI development kit, readme)
_FLO_MAGIC = 202021.25  # the bytes "PIEH" as a little-endian float32
_FLO_UNKNOWN = 1e10  # written for unknown flow; anything above the threshold reads as unknown
_FLO_UNKNOWN_THRESHOLD = 1e9


# --- images -----------------------------------------------------------------------------------


def _open_image(path: PathLike) -> Image.Image:
    """Open and fully decode an image, turning Pillow's many exceptions into one ValueError."""
    file = existing_file(path)
    try:
        image: Image.Image = Image.open(file)
        with image:
            image.load()
        return image
    except PermissionError:
        raise
    except UnidentifiedImageError:
        raise ValueError(f"{file} is not an image in a known format") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, EOFError, struct.error, ...
        raise ValueError(f"{file} is not a readable image (truncated or broken): {error}") from None


def _integer_pixels(image: Image.Image, path: PathLike) -> npt.NDArray[np.uint16]:
    """Pixels of a single-channel image with more than 8 bits, refusing what 16 bits cannot hold."""
    pixels = np.asarray(image)
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ValueError(
            f"{path} holds {image.mode!r} pixels from {pixels.min()} to {pixels.max()}, "
            "expected 8 or 16 bits per channel"
        )
    return pixels.astype(np.uint16)


def _is_deep(image: Image.Image) -> bool:
    """Whether Pillow holds the pixels as 16 bits or more ("I;16", "I;16B", or "I" of a PGM)."""
    return image.mode.startswith("I")


def read_image(path: PathLike) -> npt.NDArray[np.uint8]:
    """Read an image as 8-bit grey `[H, W]` or RGB `[H, W, 3]`.

    - A stored orientation (EXIF) is applied, so the array is what an image viewer shows.
    - 16-bit images lose half of their bits without a word (the command line tells): grey is scaled
      to round(value * 255 / 65535), of colour the upper bytes are kept. (A KITTI disparity PNG is
      not a picture: read it with `read_disparity`.)
    - Alpha is dropped, also without a word: the stored colours are kept as they are, nothing is
      blended over a background.
    - Palette, CMYK and other colour spaces become RGB; bilevel images become grey 0 / 255.
    - Of an animation or a multi-page file the first frame is read.

    Args:
        path: the file; its format is found from its contents, not from its name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an image, truncated, or with floating-point or more than 16-bit pixels.
    """
    image = _open_image(path)
    image = ImageOps.exif_transpose(image) or image
    if image.mode == "F":
        raise ValueError(f"{path} holds floating-point pixels, expected 8 or 16 bits per channel")
    if _is_deep(image):
        deep = _integer_pixels(image, path).astype(np.uint32)
        return np.asarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"), np.uint8)
    if image.mode == "LA":
        return np.array(image.getchannel("L"), np.uint8)
    image.info.pop("transparency", None)  # of a palette: Pillow would warn that it goes
    return np.array(image.convert("RGB"), np.uint8)


def picture_format(path: PathLike) -> str | None:
    """Pillow's name of the format that a picture of this suffix is written in; None: unknown.

    Pillow would write 8-bit PPM under the name of .pfm, which holds floats.
    """
    suffix = Path(path).suffix.lower()
    file_format = Image.registered_extensions().get(suffix)
    return file_format if suffix != ".pfm" and file_format in Image.SAVE else None


def write_image(path: PathLike, image: npt.ArrayLike) -> None:
    """Write an 8-bit grey `[H, W]` or RGB `[H, W, 3]` image; the suffix chooses the format.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: `image` is not uint8 of one of these shapes, or the suffix is unknown.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise ValueError(f"image has dtype {pixels.dtype}, expected uint8")
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)) or not pixels.size:
        raise ValueError(f"image has shape {pixels.shape}, expected [H, W] or [H, W, 3], not empty")
    suffix = Path(path).suffix.lower()
    file_format = picture_format(path)
    if file_format is None:
        raise ValueError(
            f"cannot write {path}: unknown image suffix {suffix!r}; "
            "expected one such as .png, .jpg, .tif, .bmp, .ppm or .pgm"
        )
    options = {"quality": 95} if file_format == "JPEG" else {}
    with atomic_file(path) as file:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format=file_format, **options)


# --- PFM --------------------------------------------------------------------------------------

# "Pf" or "PF", width, height, scale: separated by white space, exactly one byte of it at the end.
_PFM_HEADER = re.compile(rb"P([Ff])\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,40})\s")


def read_pfm(path: PathLike) -> npt.NDArray[np.float32]:
    """Read a portable float map: grey `[H, W]` or colour `[H, W, 3]`, top row first.

    Values come as they are stored, inf and NaN included (`read_disparity` turns both into NaN).
    The magnitude of the header's scale is a unit for display and is not applied, as in the
    Middlebury SDK; only its sign is used, which tells the byte order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a PFM file, or its data is shorter or longer than its header says.
    """
    file = existing_file(path)
    data = file.read_bytes()
    header = _PFM_HEADER.match(data)
    if header is None:
        raise ValueError(f"{file} is not a PFM file (no header 'Pf|PF width height scale')")
    width, height = int(header[2]), int(header[3])
    try:
        scale = float(header[4])
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale) or scale == 0 or width == 0 or height == 0:
        raise ValueError(
            f"{file} has the PFM header {header[0].decode()!r}, expected a positive size and a "
            "scale that is finite and not 0"
        )
    shape = (height, width) if header[1] == b"f" else (height, width, 3)
    _check_length(file, "PFM", shape, len(data) - header.end())
    values = np.frombuffer(data, "<f4" if scale < 0 else ">f4", offset=header.end())
    return np.array(values.reshape(shape)[::-1], dtype=np.float32, order="C")


def _check_length(file: Path, kind: str, shape: tuple[int, ...], length: int) -> None:
    expected = 4 * math.prod(shape)
    if length != expected:
        what = "is truncated: it" if length < expected else "is not a clean file: it"
        raise ValueError(
            f"{file} {what} has {length} bytes of {kind} data, expected {expected} for {shape}"
        )


def write_pfm(
    path: PathLike,
    image: npt.ArrayLike,
    byteorder: Literal["native", "little", "big"] = "native",
) -> None:
    """Write a float map `[H, W]` (grey) or `[H, W, 3]` (colour) as PFM, bottom row first.

    Values are stored as float32, inf and NaN as they are.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: a shape that PFM cannot hold, complex values, or an unknown byte order.
    """
    values = _real_array(image, "image")
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)) or not values.size:
        raise ValueError(f"image has shape {values.shape}, expected [H, W] or [H, W, 3], not empty")
    if byteorder not in ("native", "little", "big"):
        raise ValueError(f"byteorder is {byteorder!r}, expected 'native', 'little' or 'big'")
    little = (sys.byteorder if byteorder == "native" else byteorder) == "little"
    height, width = values.shape[:2]
    kind, scale = "Pf" if values.ndim == 2 else "PF", "-1.0" if little else "1.0"
    with atomic_file(path) as file:
        file.write(f"{kind}\n{width} {height}\n{scale}\n".encode())
        file.write(values[::-1].astype("<f4" if little else ">f4").tobytes())


def _real_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array


# --- Middlebury .flo --------------------------------------------------------------------------


def read_flo(path: PathLike) -> npt.NDArray[np.float32]:
    """Read a Middlebury .flo optical flow file: `[H, W, 2]`, (u, v) in pixels, NaN = unknown.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a .flo file, or its data is shorter or longer than its header says.
    """
    file = existing_file(path)
    data = file.read_bytes()
    if len(data) < 12 or struct.unpack_from("<f", data)[0] != _FLO_MAGIC:
        raise ValueError(f"{file} is not a .flo file (it does not begin with 'PIEH' and a size)")
    width, height = struct.unpack_from("<ii", data, 4)
    if width <= 0 or height <= 0:
        raise ValueError(f"{file} has a .flo header of size {width} x {height}, expected positive")
    _check_length(file, ".flo", (height, width, 2), len(data) - 12)
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    # Negated so that a stored NaN counts as unknown too.
    unknown = ~(np.abs(flow) <= _FLO_UNKNOWN_THRESHOLD).all(axis=2)
    flow[unknown] = np.nan
    return flow


def write_flo(path: PathLike, flow: npt.ArrayLike) -> None:
    """Write optical flow `[H, W, 2]`, (u, v) in pixels, as .flo; NaN or inf becomes "unknown".

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: another shape, or complex values.
    """
    values = _real_array(flow, "flow")
    if values.ndim != 3 or values.shape[2] != 2 or not values.size:
        raise ValueError(f"flow has shape {values.shape}, expected [H, W, 2], not empty")
    stored = values.astype("<f4")
    stored[~np.isfinite(stored).all(axis=2)] = _FLO_UNKNOWN
    with atomic_file(path) as file:
        file.write(struct.pack("<fii", _FLO_MAGIC, values.shape[1], values.shape[0]))
        file.write(stored.tobytes())


# --- disparity maps ---------------------------------------------------------------------------


def read_disparity(path: PathLike, scale: float | None = None) -> npt.NDArray[np.float32]:
    """Read a disparity map by file type: float32 `[H, W]` in pixels, NaN where there is none.

    | file | disparity | no disparity |
    |---|---|---|
    | .pfm (Middlebury 2014, ETH3D) | as stored | inf, NaN |
    | .npy | as stored | inf, NaN |
    | 16-bit grey .png (KITTI) | value / 256, or value / `scale` | 0 |
    | 8-bit grey .png, .pgm, ... (Middlebury 2001 and 2003) | value / `scale`, must be given | 0 |

    Args:
        path: the file.
        scale: stored units per pixel of disparity, for images only (Middlebury: 4, 8 or 16).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unreadable, truncated, not a single-channel map, or a scale that is missing,
            not positive, or given for a file that has none.
    """
    file = existing_file(path)
    suffix = file.suffix.lower()
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale}, expected a positive number (stored units per pixel)")
    if suffix in (".pfm", ".npy"):
        if scale is not None:
            raise ValueError(f"scale is {scale}, but {suffix} files hold pixels and take none")
        disparity = read_pfm(file) if suffix == ".pfm" else _read_npy(file)
        if disparity.ndim != 2:
            raise ValueError(f"{file} has shape {disparity.shape}, expected [H, W]")
        disparity[~np.isfinite(disparity)] = np.nan
        return disparity
    return _read_disparity_image(file, scale)


def _read_disparity_image(file: Path, scale: float | None) -> npt.NDArray[np.float32]:
    image = _open_image(file)
    if _is_deep(image):
        stored, scale = _integer_pixels(image, file), scale or _KITTI_SCALE
    elif image.mode in ("L", "P"):
        # Some tools save grey maps with a grey palette: the indices are the values then too, but
        # only the palette knows, so look the colours up.
        if image.mode == "P" and not _palette_is_grey(image):
            raise ValueError(f"{file} is a colour picture, expected a single-channel disparity map")
        stored = np.asarray(image.convert("L")).astype(np.uint16)
        if scale is None:
            raise ValueError(
                f"{file} holds 8 bits per pixel: give scale, its units per pixel of disparity "
                "(Middlebury: 4, 8 or 16), or use a 16-bit PNG, .pfm or .npy"
            )
    else:
        raise ValueError(
            f"{file} is an image of mode {image.mode!r}, expected a single-channel disparity map "
            "of 8 or 16 bits"
        )
    disparity: npt.NDArray[np.float32] = stored.astype(np.float32) / np.float32(scale)
    disparity[stored == 0] = np.nan
    return disparity


def _palette_is_grey(image: Image.Image) -> bool:
    rgb = np.asarray(image.convert("RGB"))
    return bool((rgb == rgb[..., :1]).all())


def _read_npy(file: Path) -> npt.NDArray[np.float32]:
    try:
        values = np.load(file, allow_pickle=False)
    except Exception as error:  # ValueError, EOFError, UnicodeDecodeError, ... by what is broken
        raise ValueError(f"{file} is not a readable .npy array: {error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise ValueError(f"{file} does not hold one array of real numbers")
    return values.astype(np.float32)


def write_disparity(path: PathLike, disparity: npt.ArrayLike) -> None:
    """Write a disparity map `[H, W]` in pixels by suffix; NaN or inf = no disparity.

    - `.png`: 16-bit KITTI, round(256 * disparity), 0 = none. Holds [0, 65535/256]; a disparity
      that would round to 0 is stored as 1/256, as KITTI's own writer does, since 0 means "none".
    - `.pfm`: float32, none = inf (the Middlebury convention).
    - `.npy`: float32, none = NaN.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: another suffix or shape, or for .png a disparity outside its range.
    """
    values = _real_array(disparity, "disparity").astype(np.float32)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"disparity has shape {values.shape}, expected [H, W], not empty")
    suffix, valid = Path(path).suffix.lower(), np.isfinite(values)
    if suffix == ".png":
        stored = _kitti_units(values, valid)
        with atomic_file(path) as file:
            Image.fromarray(stored).save(file, format="PNG")
    elif suffix == ".pfm":
        write_pfm(path, np.where(valid, values, np.float32(np.inf)))
    elif suffix == ".npy":
        with atomic_file(path) as file:
            np.save(file, np.where(valid, values, np.float32(np.nan)))
    else:
        raise ValueError(
            f"cannot write {path}: unknown disparity suffix {suffix!r}, expected .png, .pfm or .npy"
        )


def _kitti_units(
    values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint16]:
    units = np.rint(np.where(valid, values, 0).astype(np.float64) * _KITTI_SCALE)
    wrong = valid & ((values < 0) | (units > 65535))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise ValueError(
            f"disparity[{y}, {x}] is {values[y, x]}, outside the range [0, 255.996] of a 16-bit "
            "KITTI PNG; write .pfm or .npy instead"
        )
    return np.where(valid, np.maximum(units, 1), 0).astype(np.uint16)
