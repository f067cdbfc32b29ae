# SPDX-License-Identifier: Apache-2.0
"""Labelled scenes: exact labels, detailed outlines, and classes that colour does not give away."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrfcore import _labelled_shapes as shapes
from mrfcore import datasets, scene
from mrfcore._labelled_scene import MOST_LABELS, _kind, class_names

# Of the bytes of image and labels; changes only if the scenes are meant to change.
GOLDEN = {
    (0, 48, 64, 6): "86ac777f3e5c148326a5881031599f02780a39e1e4b8174408c8c388a51c9716",
    (7, 40, 40, 21): "9ef876351c0b0b7b02c9fb75379fc8d3838d699005b6b539a3e2276910d05ff1",
}


def digest(made: scene.LabelledScene) -> str:
    return hashlib.sha256(made.image.tobytes() + made.labels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[scene.LabelledScene]:
    return [scene.labelled_scene(seed) for seed in range(40)]


def test_types_and_defaults() -> None:
    image, labels = scene.labelled_scene(0)
    assert (image.shape, image.dtype) == ((128, 128, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((128, 128), np.uint8)
    made = scene.labelled_scene(1, height=40, width=72, num_labels=3)
    assert made.image.shape == (40, 72, 3)
    assert made.labels.shape == (40, 72)
    assert made.labels.max() <= 2


@pytest.mark.parametrize("arguments", GOLDEN)
def test_same_bytes_everywhere(arguments: tuple[int, int, int, int]) -> None:
    assert digest(scene.labelled_scene(*arguments)) == GOLDEN[arguments]


def test_seeds_differ() -> None:
    seeds = [-3, -1, 0, 1, 2, 1024, 2**22, 2**31 - 1]
    assert len({digest(scene.labelled_scene(seed, 32, 32)) for seed in seeds}) == len(seeds)


def test_every_class_occurs(scenes: list[scene.LabelledScene]) -> None:
    shares = np.zeros(6)
    for made in scenes:
        shares += np.bincount(made.labels.ravel(), minlength=256)[:6] / made.labels.size
    shares /= len(scenes)
    assert 0.4 < shares[0] < 0.85
    assert (shares[1:] > 0.015).all()
    several = [len(np.unique(made.labels)) >= 3 for made in scenes]
    assert np.mean(several) > 0.8


def test_all_twenty_one_labels() -> None:
    seen: set[int] = set()
    for seed in range(60):
        seen |= set(np.unique(scene.labelled_scene(seed, 48, 48, MOST_LABELS, objects=6).labels))
    assert seen == set(range(MOST_LABELS))


# --- labels are what is drawn -----------------------------------------------------------------


def boundary(labels: np.ndarray) -> np.ndarray:
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def gradient(image: np.ndarray) -> np.ndarray:
    """Largest difference of colour to the pixels two to the right and two below."""
    pixels = image.astype(float)
    steps = np.zeros(image.shape[:2])
    steps[:, :-2] = np.abs(pixels[:, 2:] - pixels[:, :-2]).max(axis=2)
    steps[:-2] = np.maximum(steps[:-2], np.abs(pixels[2:] - pixels[:-2]).max(axis=2))
    return steps


def test_colours_change_where_labels_do(scenes: list[scene.LabelledScene]) -> None:
    at, off = [], []
    for made in scenes:
        edge = boundary(made.labels)
        steps = np.roll(gradient(made.image), 1, (0, 1))  # centred on the boundary
        inside = np.s_[4:-4, 4:-4]
        at.append(steps[inside][edge[inside]])
        off.append(steps[inside][~edge[inside]])
    at_edges, elsewhere = np.concatenate(at), np.concatenate(off)
    assert np.median(at_edges) > 2.0 * np.median(elsewhere)
    # Most outlines can be seen, but edges are not only there.
    assert np.mean(at_edges > np.quantile(elsewhere, 0.75)) > 0.6
    assert np.mean(elsewhere > np.quantile(at_edges, 0.25)) > 0.05


def test_details_are_thin() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    lost = total = 0
    for seed in range(20):
        drawn = scene.labelled_scene(seed).labels > 0
        opened = ndimage.binary_opening(np.pad(drawn, 4, mode="edge"), np.ones((5, 5)))[4:-4, 4:-4]
        lost += int((drawn & ~opened).sum())
        total += int(drawn.sum())
    # Parts that no square of 5 x 5 pixels fits into: teeth, points, twigs, rings.
    assert 0.12 < lost / total < 0.6


def test_stride_16_cannot_draw_them(scenes: list[scene.LabelledScene]) -> None:
    # The best label of each 16 x 16 cell: what is left for outlines and superpixels to gain.
    right = total = 0
    for made in scenes:
        cells = made.labels.reshape(8, 16, 8, 16).swapaxes(1, 2).reshape(64, 256)
        right += sum(int(np.bincount(cell).max()) for cell in cells)
        total += cells.size
    assert right / total < 0.9


def test_void_band_against_loops() -> None:
    plain = scene.labelled_scene(3, 40, 52).labels
    for band in (1, 2, 5):
        labels = scene.labelled_scene(3, 40, 52, void_band=band).labels
        for y in range(40):
            for x in range(52):
                rows = slice(max(0, y - band), y + band + 1)
                near = plain[rows, max(0, x - band) : x + band + 1]
                expected = plain[y, x] if (near == plain[y, x]).all() else 255
                assert labels[y, x] == expected
    image = scene.labelled_scene(3, 40, 52).image
    np.testing.assert_array_equal(scene.labelled_scene(3, 40, 52, void_band=5).image, image)


# --- classes ----------------------------------------------------------------------------------


def test_kinds() -> None:
    kinds = [_kind(label) for label in range(1, MOST_LABELS)]
    assert len(set(kinds)) == MOST_LABELS - 1
    for first, second in itertools.pairwise(kinds):
        assert first[0] != second[0]
        assert first[1] != second[1]
    assert class_names(3) == ("background", "striped star", "checked comb")
    assert class_names(6) == class_names(21)[:6]  # a class is the same whatever their number


def test_colour_alone_does_not_tell_classes_apart(scenes: list[scene.LabelledScene]) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed")
    random = np.random.default_rng(0)

    def pixels(made: list[scene.LabelledScene]) -> tuple[np.ndarray, np.ndarray]:
        colours = np.concatenate([m.image[m.labels > 0] for m in made]).astype(float)
        labels = np.concatenate([m.labels[m.labels > 0] for m in made])
        chosen = np.concatenate(
            [random.choice(np.flatnonzero(labels == k), 600) for k in range(1, 6)]
        )
        return colours[chosen], labels[chosen]

    judge = neighbors.KNeighborsClassifier(25).fit(*pixels(scenes[:30]))
    accuracy = judge.score(*pixels(scenes[30:]))
    assert accuracy < 0.5  # of five classes, equally many pixels of each: chance is 0.2


def test_textures_tell_classes_apart() -> None:
    # Brightness within an object: stripes, checks, dots, speckles and plain differ in its spread.
    y, x = np.mgrid[:60, :60].astype(float)
    made = {name: texture(x, y, 6.0, 3) for name, texture in shapes.TEXTURES.items()}
    for name, values in made.items():
        assert np.abs(values).max() <= 1.0
        assert (values.std() > 0.3) == (name != "plain")
    rows, columns = (
        {name: np.abs(np.diff(values, axis=axis)).mean() for name, values in made.items()}
        for axis in (0, 1)
    )
    assert rows["stripes"] == 0 < columns["stripes"]  # one direction only
    assert abs(rows["checks"] - columns["checks"]) < 0.05


# --- shapes -----------------------------------------------------------------------------------


def test_polygon_against_brute_force() -> None:
    path = pytest.importorskip("matplotlib.path")
    random = np.random.default_rng(4)
    for _ in range(5):
        angles = np.sort(random.uniform(0, 2 * np.pi, 7))
        radii = random.uniform(3, 14, 7)
        corners = [(r * np.cos(a), r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]
        y, x = np.mgrid[-16:17, -16:17] + 0.25
        distance = shapes._polygon(x, y, corners)
        outline = np.array([*corners, corners[0]])
        inside = path.Path(outline).contains_points(np.stack([x.ravel(), y.ravel()], 1))
        np.testing.assert_array_equal(distance.ravel() < 0, inside)
        share = np.linspace(0, 1, 400)[:, None]
        dense = np.concatenate([a + (b - a) * share for a, b in itertools.pairwise(outline)])
        gaps = np.hypot(x.ravel()[:, None] - dense[:, 0], y.ravel()[:, None] - dense[:, 1])
        np.testing.assert_allclose(np.abs(distance).ravel(), gaps.min(axis=1), atol=0.03)


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shapes_are_distances(name: str) -> None:
    # A distance changes by one from pixel to pixel at most, and by about one across an outline:
    # the blurred outlines are as wide as they are said to be.
    y, x = np.mgrid[-90:91, -90:91].astype(float)
    for seed in range(8):
        distance = shapes.SHAPES[name](x, y, 60.0, shapes.Draw(seed))
        assert distance.min() < -1.0
        assert (distance[[0, -1]] > 20).all()  # within its radius
        slope = np.hypot(np.gradient(distance, axis=0), np.gradient(distance, axis=1))
        near = np.abs(distance) < 1.5
        assert np.median(slope[near]) == pytest.approx(1.0, abs=0.15)
        assert slope[near].max() < 1.6


def test_noise_field() -> None:
    noise = shapes.field(37, 53, 8.0, 5)
    assert noise.shape == (37, 53)
    assert 0 <= noise.min() < noise.max() < 1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2  # smooth: a period is eight pixels
    np.testing.assert_array_equal(shapes.field(20, 30, 8.0, 6), shapes.field(20, 30, 8.0, 6))
    # Lattice points have their own random number.
    lattice = shapes.hash01(np.arange((36 // 8 + 2) * (52 // 8 + 2)), 5).reshape(-1, 52 // 8 + 2)
    np.testing.assert_array_equal(noise[::8, ::8], lattice[:5, :7])


# --- as a data set ----------------------------------------------------------------------------


def test_data_set() -> None:
    dataset = datasets.LabelledScenes(3, seed=5, height=32, width=48, num_labels=4, void_band=1)
    assert len(dataset) == len(list(dataset)) == 3
    image, labels = dataset[2]
    assert isinstance(image, Image.Image)
    assert (image.mode, labels.mode, image.size, labels.size) == ("RGB", "P", (48, 32), (48, 32))
    made = scene.labelled_scene(7, 32, 48, 4, void_band=1)
    np.testing.assert_array_equal(np.asarray(image), made.image)
    np.testing.assert_array_equal(np.asarray(labels), made.labels)
    assert (dataset.num_labels, dataset.void, len(dataset.classes)) == (4, 255, 4)
    assert dataset.names == ["scene 5", "scene 6", "scene 7"]
    np.testing.assert_array_equal(np.asarray(dataset[-1][0]), np.asarray(dataset[2][0]))
    with pytest.raises(IndexError, match="index 3 is out of range for the 3 items of LabelledSc"):
        dataset[3]


def test_data_set_with_transforms() -> None:
    from mrfcore.datasets import segmentation_transforms as transforms

    steps = transforms.Compose([transforms.RandomCrop(24, generator=0), transforms.ToArrays()])
    dataset = datasets.LabelledScenes(2, height=32, width=32, transforms=steps)
    assert [part.shape for part in dataset[0]] == [(3, 24, 24), (24, 24)]
    shapes_only = datasets.LabelledScenes(2, height=32, width=32, transform=np.asarray)
    assert shapes_only[0][0].shape == (32, 32, 3)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 15}, "height: expected a number from 16 to 4096, got 15"),
        ({"width": 5000}, "width: expected a number from 16 to 4096, got 5000"),
        ({"num_labels": 1}, "num_labels: expected a number from 2 to 21, got 1"),
        ({"num_labels": 22}, "num_labels: expected a number from 2 to 21, got 22"),
        ({"objects": 0}, "objects: expected a number from 1 to 400, got 0"),
        ({"void_band": 17}, "void_band: expected a number from 0 to 16, got 17"),
    ],
)
def test_bad_numbers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene.labelled_scene(0, **arguments)
    with pytest.raises(ValueError, match=message):
        datasets.LabelledScenes(3, **arguments)


def test_bad_types() -> None:
    with pytest.raises(TypeError, match="seed: expected an integer, got float"):
        scene.labelled_scene(0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="height: expected an integer, got str"):
        scene.labelled_scene(0, "64")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count: expected a number >= 1, got 0"):
        datasets.LabelledScenes(0)
    with pytest.raises(TypeError, match="count: expected an integer"):
        datasets.LabelledScenes(2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (300, 17)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    made = scene.labelled_scene(1, *size, 21)
    assert made.image.shape == (*size, 3)
    assert made.image.std() > 5
