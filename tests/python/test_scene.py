# SPDX-License-Identifier: Apache-2.0
"""The rendered stereo scene: its ground truth must explain its images."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mrfcore import scene
from mrfcore.datasets import StereoPair
from mrfcore.scene import render_stereo_scene

# Of the bytes of left, right, disparity and nonocc; changes only if the scene is meant to change.
GOLDEN = {
    (64, 96, 16, 0): "3eac34f058a555b904c25ae1f222722b8d7ad39d7f33ae54b4f1e29bcc5c46cf",
    (64, 96, 16, 5): "116d0608cec1ad395be419b462ade4b5cbbbf977a606aff90ff5fd78f0cdde08",
}


@pytest.fixture(scope="module")
def pair() -> StereoPair:
    return render_stereo_scene()


def digest(pair: StereoPair) -> str:
    sha = hashlib.sha256()
    for array in (pair.left, pair.right, pair.disparity, pair.nonocc):
        assert array is not None
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def near_edges(pair: StereoPair, radius: int) -> np.ndarray:
    """Pixels with a jump of disparity or of visibility within `radius` pixels of the row."""
    assert pair.disparity is not None
    assert pair.nonocc is not None
    edge = np.zeros(pair.disparity.shape, bool)
    # The floor slopes by less than 0.25 px a row and the objects by less than that.
    for axis in (0, 1):
        jump = np.abs(np.diff(pair.disparity, axis=axis)) > 0.4
        for side in (slice(None, -1), slice(1, None)):
            where = [slice(None)] * 2
            where[axis] = side
            edge[tuple(where)] |= jump
    edge |= ~pair.nonocc
    grown = edge.copy()
    for shift in range(-radius, radius + 1):
        grown |= np.roll(edge, shift, 0) | np.roll(edge, shift, 1)
    return grown


def warped_to_left(pair: StereoPair) -> np.ndarray:
    """The right image sampled at x - d, linearly: what the left camera should have seen."""
    assert pair.disparity is not None
    height, width = pair.disparity.shape
    target = np.clip(np.arange(width) - pair.disparity.astype(float), 0, width - 1.001)
    column = np.floor(target).astype(int)
    share = (target - column)[..., None]
    rows = np.arange(height)[:, None]
    right = pair.right.astype(float)
    return right[rows, column] * (1 - share) + right[rows, column + 1] * share


def test_types_and_defaults(pair: StereoPair) -> None:
    assert pair.left.shape == pair.right.shape == (384, 512, 3)
    assert pair.left.dtype == pair.right.dtype == np.uint8
    assert pair.disparity is not None
    assert pair.disparity.dtype == np.float32
    assert pair.num_disparities == 48
    assert pair.valid is not None
    assert pair.valid.all()
    assert set(pair.masks) == {"all", "nonocc"}


def test_warping_the_right_view_gives_the_left_one(pair: StereoPair) -> None:
    difference = warped_to_left(pair) - pair.left
    inside = ~near_edges(pair, 3)
    assert inside.mean() > 0.7
    # Noise of 1.6 in one view and of at most as much after interpolation in the other; what is
    # beyond comes from interpolating texture linearly.
    rms = np.sqrt(np.mean(difference[inside] ** 2))
    assert 1.6 < rms < 4.0
    assert abs(difference[inside].mean()) < 0.1  # no bias
    # The truth is the best explanation: half a pixel off is clearly worse, either way.
    for offset in (-0.5, 0.5):
        moved = StereoPair(**{**vars(pair), "disparity": pair.disparity + np.float32(offset)})
        worse = warped_to_left(moved) - pair.left
        assert np.sqrt(np.mean(worse[inside] ** 2)) > 1.25 * rms


def test_occluded_pixels_are_not_explained(pair: StereoPair) -> None:
    assert pair.nonocc is not None
    inside = pair.nonocc & (np.arange(pair.left.shape[1]) > 48)
    hidden = ~pair.nonocc & (np.arange(pair.left.shape[1]) > 48)
    assert hidden.mean() > 0.03
    error = np.abs(warped_to_left(pair) - pair.left).mean(axis=2)
    assert np.median(error[hidden]) > 5 * np.median(error[inside])


def test_occlusion_mask_against_marching_along_the_surfaces() -> None:
    # (x, y) is hidden if some surface point (u, y) before it, u - d(u) = x - d(x) and d(u) > d(x),
    # lies inside its outline. The renderer solves for u; here u runs along the row in small steps
    # and a change of sign shows the crossing.
    height, width, top = 48, 96, 20
    pair = render_stereo_scene(height, width, top, seed=3)
    surfaces = scene._scene(width, height, float(top - 1), 101 * 3)
    step = 1 / 64
    u = np.arange(-2 * top, width + 3 * top, step)
    assert pair.disparity is not None
    assert pair.nonocc is not None
    wrong = 0
    for y in range(0, height, 5):
        row = np.full_like(u, y)
        lines = []
        for surface in surfaces:
            d = surface.plane.disparity(u, row)
            shown = np.ones(u.shape, bool)
            if surface.shape is not None:
                shown = surface.shape(u, row) <= 0
            lines.append((u - d, d, shown))
        for x in range(width):
            d_here = float(pair.disparity[y, x])
            target = x - d_here
            visible = 0 <= target <= width - 1
            for landing, d, shown in lines:
                k = int(np.searchsorted(landing, target))  # landing increases, for a < 1
                if 0 < k < u.size and shown[k] and d[k] > d_here + 0.05:
                    visible = False
            wrong += visible != pair.nonocc[y, x]
    # An outline may fall within one step of a pixel's line of sight.
    assert wrong <= 3


def test_left_view_shows_the_nearest_surface() -> None:
    height, width, top = 40, 80, 12
    pair = render_stereo_scene(height, width, top, seed=1)
    surfaces = scene._scene(width, height, float(top - 1), 101)
    assert pair.disparity is not None
    for y in range(0, height, 7):
        for x in range(0, width, 3):
            at = np.array([float(x)]), np.array([float(y)])
            shown = [s.plane for s in surfaces if s.shape is None or s.shape(*at)[0] <= 0]
            nearest = max(p.a * x + p.b * y + p.c for p in shown)
            assert pair.disparity[y, x] == np.float32(nearest)


@pytest.mark.parametrize("arguments", GOLDEN)
def test_same_bytes_everywhere(arguments: tuple[int, int, int, int]) -> None:
    assert digest(render_stereo_scene(*arguments)) == GOLDEN[arguments]


def test_seeds_differ() -> None:
    digests = {digest(render_stereo_scene(48, 64, 12, seed)) for seed in range(-1, 4)}
    assert len(digests) == 5


@pytest.mark.parametrize("shape", [(32, 32, 4), (32, 96, 48), (96, 40, 20), (64, 512, 256)])
@pytest.mark.parametrize("seed", range(6))
def test_disparities_stay_inside_the_search_range(shape: tuple[int, int, int], seed: int) -> None:
    pair = render_stereo_scene(*shape, seed)
    assert pair.disparity is not None
    assert pair.disparity.min() >= 0
    assert pair.disparity.max() <= shape[2] - 1
    assert pair.nonocc is not None
    assert 0.05 < (~pair.nonocc).mean() < 0.6


def test_right_view_stays_inside_the_search_range_too() -> None:
    for seed in range(6):
        surfaces = scene._scene(96, 64, 31.0, 101 * seed)
        y, x = (axis.astype(float) for axis in np.mgrid[:64, :96])
        disparity = scene._look(surfaces, x, y, right=True).disparity
        assert 0 <= disparity.min() <= disparity.max() <= 31


def test_noise_is_what_it_says() -> None:
    flat = np.full((200, 200, 3), 0.25)
    exposed = scene._expose(flat, 7).astype(float)
    assert abs(exposed.mean() - 127.5) < 0.05
    # 1.6 of noise and the variance 1 / 12 of rounding
    assert exposed.std() == pytest.approx(np.sqrt(1.6**2 + 1 / 12), rel=0.02)
    other = scene._expose(flat, 11).astype(float)
    assert abs(np.corrcoef(exposed.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(exposed[:, 1:].ravel(), exposed[:, :-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 31}, "height is 31, expected 32 to 16384"),
        ({"width": 20000}, "width is 20000"),
        ({"max_disparity": 3}, "max_disparity is 3, expected 4 to 256"),
        ({"width": 90, "max_disparity": 48}, "expected 4 to 45 for a width of 90"),
    ],
)
def test_bad_sizes(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_stereo_scene(**arguments)


def test_sizes_must_be_integers() -> None:
    with pytest.raises(TypeError, match="integer"):
        render_stereo_scene(height=64.0)  # type: ignore[arg-type]
