# SPDX-License-Identifier: Apache-2.0
"""SLIC against plain NumPy to the pixel, and against scikit-image and fast-slic in quality."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrfcore import _core, io, superpixels
from plain_slic import UNIT, flood, plain_cells, plain_lab, plain_slic

ISAS = ["baseline", "avx2", "avx512"]


def blobs(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    """uint8 [H, W, C]: smooth colours, steps between them, and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, channels))
    for c in range(channels):
        phase, fy, fx = random.uniform(0.05, 0.3, 3)
        wave = np.sin(fy * y + 9 * phase) + np.cos(fx * x + 5 * phase)
        image[..., c] = 110 + 40 * wave + 40 * (wave > 0.5)
    return np.clip(image + 6 * random.standard_normal(image.shape), 0, 255).astype(np.uint8)


def features_of(image: Any, lab: bool = True, sigma: float = 0.0) -> Any:
    """[C, H, W] int16."""
    planes = image.transpose(2, 0, 1)[np.newaxis]
    out = np.empty(planes.shape, np.int16)
    _core.slic_features(planes, lab, sigma, 1, out)
    return out[0]


# ---------------------------------------------------------------- against plain NumPy


@pytest.mark.parametrize(
    ("height", "width", "num", "options"),
    [
        (48, 64, 12, {}),
        (61, 47, 30, {"compactness": 40.0, "iterations": 4}),
        (40, 90, 200, {"compactness": 1.0}),
        (37, 53, 37 * 53, {"iterations": 3}),
        (30, 44, 600, {"compactness": 100.0, "iterations": 5}),
        (5, 200, 7, {"compactness": 100.0}),
        (33, 35, 1, {}),
        (1, 70, 9, {}),
        (50, 1, 4, {"compactness": 0.0}),
        (45, 58, 20, {"iterations": 0}),
        (45, 58, 20, {"compactness": 0.0, "min_size": 0}),
        (45, 58, 20, {"compactness": 2.0, "min_size": 60}),
    ],
)
def test_plain_numpy(height: int, width: int, num: int, options: dict[str, Any]) -> None:
    image = blobs(height, width, seed=height)
    expected = plain_slic(features_of(image), num, **options)
    np.testing.assert_array_equal(superpixels.slic(image, num, **options), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_channels_as_they_are(channels: int) -> None:
    image = blobs(40, 50, channels)
    expected = plain_slic(np.rint(image.transpose(2, 0, 1) * (100 * UNIT / 255)), 15)
    np.testing.assert_array_equal(superpixels.slic(image, 15, color_space="rgb"), expected)


def test_without_connectivity() -> None:
    image = blobs(60, 80) // 100 * 100  # few colours: many ties, which the first centre wins
    cells, _ = plain_cells(features_of(image), 500, compactness=0.0)
    assert len(np.unique(cells)) < cells.max() + 1, "no empty cell: the test shows nothing"
    expected = np.unique(cells, return_inverse=True)[1].reshape(cells.shape)
    ids = superpixels.slic(image, 500, compactness=0.0, enforce_connectivity=False)
    np.testing.assert_array_equal(ids, expected)


def test_colours_are_those_of_the_standard() -> None:
    levels = np.linspace(0, 1, 33, dtype=np.float32)
    image = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(33, -1, 3)
    error = features_of(image) / UNIT - plain_lab(image).transpose(2, 0, 1)
    assert np.abs(error).max() <= 0.5 / UNIT + 1e-3


def test_grey_is_lightness() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    expected = plain_lab(np.repeat(grey, 3, 2) / 255)[..., 0]
    assert np.abs(features_of(grey)[0] / UNIT - expected).max() <= 0.5 / UNIT + 2e-3


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.7])
def test_blur(sigma: float) -> None:
    image = blobs(31, 44)
    radius = int(np.ceil(4 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    expected = features_of(image).astype(float)
    for axis in (1, 2):
        pad = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(expected, pad, mode="edge")
        expected = np.apply_along_axis(lambda v: np.convolve(v, taps, "valid"), axis, padded)
    blurred = features_of(image, sigma=sigma)
    assert np.abs(blurred - expected).max() <= 1.0 + 4095 * 1e-3
    assert np.abs(blurred - expected).mean() < 0.5
    ids = superpixels.slic(image, 20, sigma=sigma)
    np.testing.assert_array_equal(ids, plain_slic(blurred, 20))


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets_and_threads(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = blobs(120, 161)
    expected = superpixels.slic(image, 90, sigma=0.7, threads=1)
    floats = image.astype(np.float32) / 255
    monkeypatch.setenv("MRFCORE_CPU_ISA", isa)
    try:
        _core.cpu_isa()
    except ValueError:
        pytest.skip(f"no {isa} here")
    for threads in (1, 2, 5):
        for pixels in (image, floats, floats.astype(np.float64)):
            ids = superpixels.slic(pixels, 90, sigma=0.7, threads=threads)
            np.testing.assert_array_equal(ids, expected)


def test_layouts() -> None:
    image = blobs(50, 66)
    expected = superpixels.slic(image, 30)
    for view in (np.asfortranarray(image), np.repeat(image, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(superpixels.slic(view, 30), expected)
    flipped = superpixels.slic(image[::-1, ::-1], 30)
    np.testing.assert_array_equal(superpixels.slic(image[::-1, ::-1].copy(), 30), flipped)
    grey = image[..., 0]
    np.testing.assert_array_equal(superpixels.slic(grey, 9), superpixels.slic(grey[..., None], 9))


# ---------------------------------------------------------------- what superpixels are


@pytest.mark.parametrize("compactness", [0.5, 10.0])
def test_connected_and_numbered(compactness: float) -> None:
    ids = superpixels.slic(blobs(70, 90), 40, compactness=compactness, min_size=25)
    first = np.unique(ids, return_index=True)[1]
    assert ids.dtype == np.int32
    assert (np.diff(first) > 0).all(), "not in order of first pixels"
    np.testing.assert_array_equal(np.unique(ids), np.arange(ids.max() + 1))
    for k, at in enumerate(first):
        part = flood(ids, *np.unravel_index(at, ids.shape))
        assert len(part) == (ids == k).sum()
        assert len(part) >= 25 or k == 0


def test_flat_image_is_a_grid() -> None:
    ids = superpixels.slic(np.full((40, 60), 0.5), 24)
    rows, columns = np.arange(40) // 10, np.arange(60) // 10
    np.testing.assert_array_equal(ids, rows[:, None] * 6 + columns)


def test_edges_are_kept() -> None:
    y, x = np.mgrid[:80, :80]
    inside = (y - 38) ** 2 + (x - 42) ** 2 < 25**2
    ids = superpixels.slic(np.where(inside, 200, 60).astype(np.uint8), 40)
    assert superpixels.boundary_recall(ids, inside.astype(int), radius=0) == 1
    assert superpixels.undersegmentation_error(ids, inside.astype(int)) == 0


def real_images(data: Path) -> list[tuple[Any, list[Any]]]:
    """Images and the segments that people drew."""
    matlab = pytest.importorskip("scipy.io")
    folder = data / "bsds500"
    pairs = []
    for path in sorted((folder / "images").glob("*.jpg"))[:8]:
        truths = matlab.loadmat(folder / "groundTruth" / f"{path.stem}.mat")["groundTruth"][0]
        drawn = [t["Segmentation"][0, 0].astype(np.int64) for t in truths]
        pairs.append((io.read_image(path), drawn))
    if not pairs:
        pytest.skip(f"no images in {folder}")
    return pairs


def scores(pairs: list[tuple[Any, list[Any]]], segment: Any) -> dict[str, float]:
    """Means over images and people."""
    rows = []
    for image, truths in pairs:
        ids = segment(image)
        for truth in truths:
            recall = superpixels.boundary_recall(ids, truth)
            leak = superpixels.undersegmentation_error(ids, truth)
            rows.append((recall, leak, superpixels.compactness(ids), ids.max() + 1))
    return dict(zip(("recall", "leak", "compactness", "num"), np.mean(rows, 0), strict=True))


def assert_as_good(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert ours["num"] == pytest.approx(theirs["num"], rel=0.1)
    assert ours["recall"] > theirs["recall"] - 0.02
    assert ours["leak"] < theirs["leak"] + 0.01
    assert ours["compactness"] > 0.8 * theirs["compactness"]


def test_as_good_as_scikit_image(data: Path) -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    pairs = real_images(data)
    ours = scores(pairs, lambda i: superpixels.slic(i, 204))
    theirs = scores(pairs, lambda i: segmentation.slic(i, 265, start_label=0))
    assert_as_good(ours, theirs)


def test_as_good_as_fast_slic(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "int", int, raising=False)  # gone from NumPy, not from fast-slic
    fast = pytest.importorskip("fast_slic")
    pairs = real_images(data)

    def theirs(image: Any) -> Any:
        return fast.Slic(num_components=225, compactness=10).iterate(image).astype(np.int64)

    assert_as_good(scores(pairs, lambda i: superpixels.slic(i, 204)), scores(pairs, theirs))


def test_noise_keeps_cells() -> None:
    """Pieces of a torn cell do not all join others: the largest of them stays."""
    image = (255 * np.random.default_rng(0).random((64, 96, 3))).astype(np.uint8)
    ids = superpixels.slic(image, 60)
    np.testing.assert_array_equal(ids, plain_slic(features_of(image), 60))
    assert ids.max() + 1 == pytest.approx(60, abs=5)
    assert superpixels.slic(image, 60, min_size=200).max() == 0  # more than any cell has


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 4, 4), np.uint8)}, "image: expected 3 channels.*got 4"),
        ({"image": np.zeros((4, 4, 9)), "color_space": "rgb"}, "1 to 8 channels, got 9; .*layout"),
        ({"image": np.zeros((3, 8, 16))}, r"got 16; is the layout right\? NumPy .* \[H, W, C\]"),
        ({"image": np.zeros((1, 2, 4, 3))}, r"image: expected \[H, W\].*\[1, 2, 4, 3\]"),
        ({"image": np.zeros((0, 4))}, r"image: .*got shape \[0, 4\]"),
        ({"image": np.full((4, 5), 1.5)}, r"image is 1.5.* at \(0, 0\).*expected numbers in 0..1"),
        ({"image": np.where(np.eye(4) > 0, np.nan, 0)}, "image is nan"),
        ({"num": 0}, "num: expected a number >= 1, got 0"),
        ({"num": 101}, "num: expected at most .* 100, got 101"),
        ({"compactness": 101.0}, r"compactness: expected a number in 0\.\.100, got 101"),
        ({"compactness": float("nan")}, "compactness: .*nan"),
        ({"iterations": -1}, "iterations: expected a number >= 0, got -1"),
        ({"sigma": -1.0}, "sigma: .*got -1"),
        ({"min_size": -1}, "min_size: .*got -1"),
        ({"color_space": "hsv"}, "color_space: expected one of 'lab', 'rgb', got 'hsv'"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_values(change: dict[str, Any], message: str) -> None:
    arguments = {"image": np.zeros((10, 10)), "num": 4, **change}
    with pytest.raises(ValueError, match=message):
        superpixels.slic(**arguments)


def test_bad_types() -> None:
    with pytest.raises(TypeError, match=r"image: expected uint8 or floats .* got dtype int64"):
        superpixels.slic(np.zeros((5, 5), np.int64))
    with pytest.raises(TypeError, match="image: expected an array, got str"):
        superpixels.slic("image.png")
    with pytest.raises(TypeError, match="enforce_connectivity: expected True or False"):
        superpixels.slic(np.zeros((20, 20)), 4, enforce_connectivity=1)  # type: ignore[arg-type]


# ---------------------------------------------------------------- torch


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    from mrfcore.nn import functional

    images = [blobs(40, 50, seed=s) for s in range(3)]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    ids = functional.slic(batch, 30)
    assert ids.dtype == torch.int32
    for image, found in zip(images, ids, strict=True):
        np.testing.assert_array_equal(found.numpy(), superpixels.slic(image, 30))
    one = superpixels.slic(batch[1].double() / 255, 30)
    assert isinstance(one, torch.Tensor)
    assert torch.equal(one, ids[1])
    assert torch.equal(superpixels.slic((batch / 255).requires_grad_(), 30), ids)
    assert torch.equal(
        torch.compile(functional.slic, backend="eager", fullgraph=True)(batch, 30), ids
    )

    class Picture(torch.Tensor):
        """As the tensors of torchvision."""

    kind = batch.float().div(255).as_subclass(Picture)
    assert torch.equal(superpixels.slic(kind, 30).as_subclass(torch.Tensor), ids)
    pooled = functional.superpixel_pool(batch.float(), ids)
    assert pooled.shape == (3, 3, int(ids.max()) + 1)


@pytest.mark.filterwarnings("error")  # torch warns where a rule is missing
def test_vmap() -> None:
    torch = pytest.importorskip("torch")
    from mrfcore.nn import functional

    images = torch.from_numpy(np.stack([blobs(40, 50, seed=s) for s in range(4)]))
    batch = images.permute(0, 3, 1, 2)
    ids = functional.slic(batch, 30)
    assert torch.equal(torch.vmap(lambda x: superpixels.slic(x, 30))(batch), ids)
    pairs = batch.unflatten(0, (2, 2)).movedim(0, 2)
    found = torch.vmap(lambda x: functional.slic(x, 30), in_dims=2)(pairs)
    assert torch.equal(found.flatten(0, 1), ids)


def test_op() -> None:
    torch = pytest.importorskip("torch")
    import mrfcore.nn.functional  # noqa: F401

    image = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    options = (6, 10.0, 3, 2.0, True, -1, True, 0)
    torch.library.opcheck(torch.ops.mrfcore.slic.default, (image, *options))


def test_bad_tensors() -> None:
    torch = pytest.importorskip("torch")
    from mrfcore.nn import functional

    with pytest.raises(ValueError, match=r"image: expected \[B, C, H, W\], got shape \[3, 8, 8\]"):
        functional.slic(torch.zeros(3, 8, 8))
    with pytest.raises(TypeError, match="expected a tensor"):
        functional.slic(np.zeros((1, 3, 8, 8)))
    with pytest.raises(TypeError, match=r"got dtype torch\.int64"):
        functional.slic(torch.zeros(1, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\[C, H, W\] or \[B, C, H, W\].*\[8, 8\]"):
        superpixels.slic(torch.zeros(8, 8))


# ---------------------------------------------------------------- documentation


def test_page_runs() -> None:
    text = (Path(__file__).parents[2] / "docs/operators/slic.md").read_text()
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
