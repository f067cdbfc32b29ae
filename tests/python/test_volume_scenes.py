# SPDX-License-Identifier: Apache-2.0
"""Drawn volumes, clips and stereo pairs: known labels, the same bytes, and worth learning from."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from mrfcore import datasets, scene
from mrfcore._labelled_volumes import PART_CATEGORIES
from mrfcore._moving_textures import clip_class_names
from mrfcore._volume_shapes import box, cone, ellipsoid, field3, grid, torus, tube, turned


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


# --- solids -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "volume"),
    [
        (lambda at: box(at, (0.125, 0, 0), (0.5, 0.3125, 0.375)), 8 * 0.5 * 0.3125 * 0.375),
        (lambda at: tube(at, (0, 0.1, 0), 0.5, 0.6), np.pi * 0.25 * 1.2),
        (lambda at: tube(at, (0, 0.1, 0), 0.5, 0.6, axis=2), np.pi * 0.25 * 1.2),
        (lambda at: cone(at, (0, 0, 0), 0.6, 0.2, 0.5), np.pi / 3 * (0.36 + 0.12 + 0.04)),
        (lambda at: ellipsoid(at, (0, 0, 0), (0.5, 0.7, 0.6)), 4 / 3 * np.pi * 0.21),
        (lambda at: torus(at, (0, 0, 0), 0.6, 0.2), 2 * np.pi**2 * 0.6 * 0.04),
    ],
)
def test_solids_have_their_volume(make: Any, volume: float) -> None:
    at = grid(64)
    inside = make(at) <= 0
    assert inside.shape == (64, 64, 64)
    assert 8 * inside.mean() == pytest.approx(volume, rel=0.02)
    turned_inside = make(turned(at, 0.17, 0.08)) <= 0  # whatever its direction
    assert 8 * turned_inside.mean() == pytest.approx(volume, rel=0.02)


def test_noise_is_smooth_and_interpolates() -> None:
    noise = field3(17, 4.0, 3)
    assert noise.shape == (17, 17, 17)
    assert 0 <= noise.min() < 0.3 < 0.7 < noise.max() < 1
    # halfway between two nodes lies their mean, whatever the direction
    np.testing.assert_allclose(noise[2, 4, 8], (noise[0, 4, 8] + noise[4, 4, 8]) / 2, atol=1e-12)
    np.testing.assert_allclose(noise[4, 8, 6], (noise[4, 8, 4] + noise[4, 8, 8]) / 2, atol=1e-12)
    assert np.abs(np.diff(noise, axis=1)).max() < 0.4


# --- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [24, 32, 64])
def test_every_part_is_there(size: int) -> None:
    dataset = datasets.PartVolumes(14, size=size, seed=100)
    for index, (volume, labels) in enumerate(dataset):
        assert volume.dtype == np.float32
        assert volume.shape == (1, size, size, size)
        assert labels.dtype == np.int64
        parts = dataset.parts[dataset.item_categories[index]]
        np.testing.assert_array_equal(np.unique(labels), [*parts, 255])
        np.testing.assert_array_equal(volume[0] == 1, labels != 255)
        np.testing.assert_array_equal(volume[0] == 0, labels == 255)
        assert 0.001 < volume.mean() < 0.2
        border = labels.copy()
        border[1:-1, 1:-1, 1:-1] = 255
        assert (border == 255).all()  # nothing is cut off


def test_part_volumes_stand_upright() -> None:
    for seed in range(0, 21):
        thing = scene.part_volume(seed, 32)
        names = list(PART_CATEGORIES)
        if names[thing.category] in ("table", "lamp"):
            first = sum(len(parts) for parts in list(PART_CATEGORIES.values())[: thing.category])
            heights = [np.nonzero(thing.labels == first + k)[1].mean() for k in (0, 1)]
            above = heights[0] > heights[1]  # a table's top above its legs
            assert above == (names[thing.category] == "table")  # a lamp's base below its pole


def test_parts_are_numbered_through() -> None:
    dataset = datasets.PartVolumes(2, size=24)
    assert dataset.num_labels == len(dataset.classes) == 18
    assert [*dataset.parts["table"], *dataset.parts["chair"]] == [0, 1, 2, 3, 4]
    assert dataset.parts["plane"] == range(15, 18)
    assert dataset.classes[15] == "plane body"
    assert dataset.item_categories == ["table", "chair"]
    assert dataset.names == ["volume 0", "volume 1"]
    assert dataset.void == 255


# --- tumours ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, 48])
def test_tumours(size: int) -> None:
    seen = np.zeros(5)
    for seed in range(6):
        head = scene.tumour_volume(seed, size)
        assert (head.volume.dtype, head.labels.dtype) == (np.int16, np.uint8)
        assert head.volume.shape == (4, size, size, size)
        assert set(np.unique(head.labels)) <= {0, 1, 2, 4}
        brain = head.volume[0] > 0
        np.testing.assert_array_equal((head.volume > 0).all(axis=0), brain)
        assert 0.2 < brain.mean() < 0.45
        assert not head.labels[~brain].any()
        assert 0.002 < (head.labels > 0).mean() < 0.12
        seen += np.bincount(head.labels.ravel(), minlength=5) > 0
    assert (seen[[0, 2]] == 6).all()
    assert seen[3] == 0
    assert (seen[[1, 4]] >= 4).all()


def test_sequences_show_what_they_should() -> None:
    means = np.zeros((4, 5))
    for volume, labels in datasets.TumourVolumes(4, size=48):
        for number, channel in enumerate(volume):
            brain = channel[channel != 0]
            assert abs(brain.mean()) < 1e-3
            assert brain.std() == pytest.approx(1, abs=1e-3)
            means[number] += [channel[labels == k].mean() if (labels == k).any() else 0
                              for k in range(5)]  # fmt: skip
    flair, t1, t1ce, t2 = means / 4
    assert flair[2] > 1 > flair[1]  # oedema
    assert t1ce[4] > 1 > t1ce[2]  # the enhancing rim
    assert t1[1] < t1[2] < 0  # dark in T1
    assert t2[1] > 0.8 < t2[2]


def test_one_sequence_is_not_enough() -> None:
    """No threshold of one sequence finds the tumours."""
    items = list(datasets.TumourVolumes(6, size=32, seed=7))
    for number in range(4):
        for level in np.linspace(-1, 3, 21):
            for sign in (-1, 1):
                scores = []
                for volume, labels in items:
                    found, true = (sign * volume[number] > level), labels > 0
                    scores.append((found & true).sum() / (found | true).sum())
                assert np.mean(scores) < 0.8


# --- clips ------------------------------------------------------------------------------------


def flow(clip: np.ndarray) -> np.ndarray:
    """Motion to the right and down, turn and growth of a clip's middle, by image gradients."""
    grey = clip[:, 28:84, 28:84].mean(axis=3).reshape(-1, 14, 4, 14, 4).mean(axis=(2, 4))
    middle = (grey[1:] + grey[:-1]) / 2
    gy, gx = np.gradient(middle, axis=(1, 2))
    y, x = np.mgrid[-7:7, -7:7] + 0.5
    turn = gx * -y + gy * x  # clockwise: from x to y, y downward
    columns = np.stack([a.ravel() for a in (gx, gy, turn, gx * x + gy * y)], axis=1)
    return np.linalg.lstsq(columns, -np.diff(grey, axis=0).ravel(), rcond=None)[0]


def test_motions_go_where_their_names_say() -> None:
    wanted = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1)}
    wanted |= {"clockwise": (2, 1), "anticlockwise": (2, -1), "closer": (3, 1), "away": (3, -1)}
    names = clip_class_names(8)
    for label, name in enumerate(names):
        number, sign = wanted[name.split(", ")[1]]
        for seed in (label, label + 8, label + 16, label + 24):
            motion = flow(scene.moving_texture(seed).clip) * [1, 1, 7, 7]  # pixels at the rim
            assert np.argmax(np.abs(motion)) == number, (name, seed, motion)
            assert np.sign(motion[number]) == sign, (name, seed, motion)


def test_clip_classes_share_textures_not_motions() -> None:
    names = [name.split(", ") for name in clip_class_names(32)]
    assert len({tuple(name) for name in names}) == 32
    first = names[:8]
    assert len({motion for _, motion in first}) == 8
    assert [texture for texture, _ in first[:4]] == [texture for texture, _ in first[4:]]


def test_moving_textures() -> None:
    dataset = datasets.MovingTextures(9, seed=3, frames=8, height=24, width=32, num_labels=4)
    assert dataset.labels == [label for _, label in dataset] == [3, 0, 1, 2, 3, 0, 1, 2, 3]
    clip, _ = dataset[-1]
    assert (clip.dtype, clip.shape) == (np.uint8, (8, 24, 32, 3))
    assert dataset.num_labels == 4
    assert dataset.names[0] == "clip 3"
    assert len(dataset.classes) == 4
    changed = datasets.MovingTextures(
        2, transform=lambda c: c[:1], target_transform=lambda k: k + 10, frames=2
    )
    assert (changed[1][0].shape, changed[1][1]) == ((1, 112, 112, 3), 11)
    with pytest.raises(IndexError, match="index 9 is out of range for the 9 items of MovingText"):
        dataset[9]


# --- stereo -----------------------------------------------------------------------------------


def test_rendered_stereo() -> None:
    dataset = datasets.RenderedStereo(2, seed=5, height=48, width=96, max_disparity=16)
    left, right, disparity, mask = dataset[1]
    pair = scene.render_stereo_scene(48, 96, 16, seed=6)
    np.testing.assert_array_equal(np.asarray(left), pair.left)
    np.testing.assert_array_equal(np.asarray(right), pair.right)
    np.testing.assert_array_equal(disparity[0], pair.disparity)
    assert mask.all()
    np.testing.assert_array_equal(dataset.pair(1).nonocc, pair.nonocc)
    assert (len(dataset), dataset.names) == (2, ["pair 5", "pair 6"])
    assert len(list(dataset)) == 2
    seen = datasets.RenderedStereo(
        1, transforms=lambda i, d, m: (i, d, (m[0] & (d[0][0] < 20), None))
    )
    assert not seen[0][3].all()


# --- all --------------------------------------------------------------------------------------


def test_the_same_bytes_everywhere() -> None:
    thing, head = scene.part_volume(9, 32), scene.tumour_volume(2, 32)
    clip = scene.moving_texture(11, 4, 32, 40)
    assert digest(thing.volume, thing.labels)[:16] == "d41cf62fd0d89522"
    assert digest(head.volume, head.labels)[:16] == "b21e4f3116223831"
    assert digest(clip.clip)[:16] == "a60ddbb3b1e2ac26"
    volume, _ = datasets.TumourVolumes(1, seed=2, size=32)[0]
    assert digest(volume)[:16] == "0d23e4d2b64f59a9"


@pytest.mark.parametrize(
    "draw",
    [
        scene.part_volume,
        lambda s: scene.tumour_volume(s, 24),
        lambda s: scene.moving_texture(8 * s, 4, 32, 32),
    ],
)
def test_seeds_differ(draw: Any) -> None:
    assert len({digest(*draw(seed)[:1]) for seed in range(0, 35, 7)}) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scene.part_volume(0, 8), "size: expected a number from 24 to 256, got 8"),
        (lambda: scene.tumour_volume(0, 999), "size: expected a number from 16 to 256, got 999"),
        (lambda: scene.moving_texture(0, 1), "frames: expected a number from 2 to 256, got 1"),
        (lambda: scene.moving_texture(0, num_labels=33), "num_labels: .* from 2 to 32, got 33"),
        (lambda: scene.moving_texture(0, height=4), "height: expected a number from 16 to 1024"),
        (lambda: datasets.PartVolumes(0), "count: expected a number >= 1, got 0"),
        (lambda: datasets.TumourVolumes(1, size=8), "size: expected a number from 16"),
        (lambda: datasets.MovingTextures(2, seed=2**31 - 1), r"seed \+ count: .* below 2\*\*31"),
        (lambda: datasets.RenderedStereo(1, width=16), "width is 16, expected 32"),
    ],
)
def test_bad_numbers(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="seed: expected an integer, got float"):
        scene.part_volume(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="count: expected an integer, got str"):
        datasets.MovingTextures("3")  # type: ignore[arg-type]
