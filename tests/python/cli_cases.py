# SPDX-License-Identifier: Apache-2.0
"""Files to call the command line with, and what its output must look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from mrfcore import io, scene
from mrfcore.datasets import StereoPair

DISPARITIES = 16


def rendered_pair() -> StereoPair:
    return scene.render_stereo_scene(48, 64, DISPARITIES, seed=3)


def write_pair(pair: StereoPair, folder: Path) -> dict[str, Path]:
    """The pair as files: left, right, truth, mask."""
    paths = {name: folder / f"{name}.png" for name in ("left", "right", "mask")}
    io.write_image(paths["left"], pair.left)
    io.write_image(paths["right"], pair.right)
    assert pair.nonocc is not None
    io.write_image(paths["mask"], np.where(pair.nonocc, 255, 0).astype(np.uint8))
    paths["truth"] = folder / "truth.pfm"
    assert pair.disparity is not None
    io.write_disparity(paths["truth"], pair.disparity)
    return paths


def write_picture(folder: Path) -> dict[str, Path]:
    """A clean image, the same with noise and a hole, and the mask of the hole."""
    y, x = np.mgrid[:40, :56]
    clean = np.where((x - 28) ** 2 + (y - 20) ** 2 < 150, 200, 40 + x).astype(np.float64)
    noisy = clean + np.random.default_rng(0).normal(0, 12, clean.shape)
    mask = np.full(clean.shape, 255)
    mask[18:21, 5:20] = 0
    noisy[mask == 0] = 255
    paths = {}
    for name, image in (("clean", clean), ("noisy", noisy), ("mask", mask)):
        paths[name] = folder / f"{name}.png"
        io.write_image(paths[name], np.clip(np.rint(image), 0, 255).astype(np.uint8))
    return paths


def command(files: dict[str, Path], *more: object) -> list[str]:
    """Arguments of ``mrfcore stereo`` on a pair."""
    parts = ["stereo", files["left"], files["right"], "-n", DISPARITIES, *more]
    return [str(part) for part in parts]


def number_after(text: str, name: str) -> float:
    """The number of a printed line "name ... 1,234.5"."""
    found = re.search(rf"^\s*{re.escape(name)}\s+([\d,.]+)", text, re.MULTILINE)
    assert found, f"no {name!r} in:\n{text}"
    return float(found[1].replace(",", ""))


def one_line_about(capsys: Any, *words: object) -> None:
    """One line on stderr that names all words, no traceback."""
    err = capsys.readouterr().err
    assert err.startswith("mrfcore: ")
    assert len(err.splitlines()) == 1
    for word in words:
        assert str(word) in err
