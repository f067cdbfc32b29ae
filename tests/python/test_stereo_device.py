# SPDX-License-Identifier: Apache-2.0
"""Stereo of images on a GPU against the CPU: on a GPU where there is one, else in the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mrfcore  # noqa: E402
from mrfcore import _core, stereo  # noqa: E402
from mrfcore.datasets import load_pair  # noqa: E402
from mrfcore.scene import render_stereo_scene  # noqa: E402

RANDOM = np.random.default_rng(11)


def images(*shape: int, dtype: Any = np.uint8) -> tuple[Any, Any]:
    """Noise, the right one shifted by two pixels so that matches exist."""
    right = RANDOM.integers(0, 256, shape)
    left = np.roll(right, 2, axis=-2 if shape[-1] in (1, 3) else -1)
    left = np.clip(left + RANDOM.integers(-3, 4, shape), 0, 255)
    return torch.tensor(left.astype(dtype)), torch.tensor(right.astype(dtype))


def same(found: Any, expected: Any) -> None:
    """The same bits, NaN included; `found` is a tensor."""
    np.testing.assert_array_equal(found.cpu().numpy(), np.asarray(expected))


@pytest.fixture(scope="module")
def scene() -> Any:
    return render_stereo_scene(40, 56, 16)


# ---------------------------------------------------------------- cost_volume


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("cost", stereo.COSTS)
def test_volumes_are_those_of_the_cpu(
    device: Any, cost: str, channels: tuple[int, ...], dtype: Any
) -> None:
    left, right = images(5, 37, *channels, dtype=dtype)
    for options in (
        {},
        {"min_disparity": -4, "truncation": 30, "border": 7.5},
        {"window": (3, 5), "dtype": np.float64},
    ):
        expected = stereo.cost_volume(left, right, 9, cost, **options)
        assert isinstance(expected, np.ndarray)
        with device.active():
            found = stereo.cost_volume(device.put(left), device.put(right), 9, cost, **options)
        assert found.device.type == device.type
        assert str(found.dtype) == f"torch.{expected.dtype}"
        same(found, expected)


def test_one_float_image_makes_both_float(device: Any) -> None:
    left, right = images(4, 20, 3)
    expected = stereo.cost_volume(left.float() + 0.25, right, 5)
    with device.active():
        found = stereo.cost_volume(device.put(left.float() + 0.25), device.put(right), 5)
    same(found, expected)


def test_strided_images(device: Any) -> None:
    left, right = images(3, 12, 16)  # channels first
    expected = stereo.cost_volume(left.permute(1, 2, 0), right.permute(1, 2, 0), 6, "census")
    with device.active():
        placed = [device.put(x).permute(1, 2, 0) for x in (left, right)]
        same(stereo.cost_volume(*placed, 6, "census"), expected)


def test_minimize_follows_on_the_device(device: Any, scene: Any) -> None:
    left, right = torch.tensor(scene.left), torch.tensor(scene.right)
    pairwise = mrfcore.TruncatedLinear(2)
    volume = stereo.cost_volume(left, right, scene.num_disparities, truncation=40)
    expected = mrfcore.minimize(volume, pairwise, 10.0, iterations=3)
    with device.active():
        costs = stereo.cost_volume(
            device.put(left), device.put(right), scene.num_disparities, truncation=40
        )
        found = mrfcore.minimize(costs, pairwise, 10.0, iterations=3)
    assert found.labels.device.type == device.type
    same(found.labels, expected.labels)


# ---------------------------------------------------------------- sgm

SGM = [
    {},
    {"cost": "absolute"},
    {"cost": "birchfield_tomasi", "truncation": 37},
    {"window": 5, "paths": 4},
    {"p1": 3, "p2": 200},
    {"p1": 100, "p2": 5000, "cost": "absolute", "truncation": 1000},
    {"p1": 0, "p2": 0},
    {"min_disparity": -5},
    {"min_disparity": 3, "subpixel": False},
    {"uniqueness": 0.0, "left_right_check": False},
    {"uniqueness": 0.3, "max_difference": 0.0},
    {"uniqueness": 0.0, "max_difference": 2.5},
]


def agree(device: Any, left: Any, right: Any, labels: int, **options: Any) -> Any:
    """Results of the CPU after those of the device were found to be the same."""
    expected = stereo.sgm(left, right, labels, **options)
    with device.active():
        found = stereo.sgm(device.put(left), device.put(right), labels, **options)
    for name in ("labels", "disparity", "valid"):
        assert getattr(found, name).device.type == device.type
        assert getattr(found, name).dtype == getattr(expected, name).dtype
        same(getattr(found, name), getattr(expected, name))
    assert found.min_disparity == expected.min_disparity == options.get("min_disparity", 0)
    return expected


@pytest.mark.parametrize("options", SGM, ids=lambda o: ", ".join(f"{k}={o[k]}" for k in o) or "-")
def test_sgm_is_that_of_the_cpu(device: Any, scene: Any, options: dict[str, Any]) -> None:
    left, right = torch.tensor(scene.left), torch.tensor(scene.right)
    agree(device, left, right, scene.num_disparities, **options)


@pytest.mark.parametrize("labels", [1, 2, 3, 31, 33, 64, 65, 130, 256])
def test_numbers_of_labels(device: Any, labels: int) -> None:
    left, right = images(4, 45)
    agree(device, left, right, labels, min_disparity=-(labels // 3))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 66, 3)])
def test_small_images(device: Any, shape: tuple[int, ...]) -> None:
    left, right = images(*shape)
    agree(device, left, right, 5)


def test_float_images(device: Any) -> None:
    left, right = images(6, 20, 3, dtype=np.float32)
    agree(device, left + 0.3, right + 0.3, 7)


@pytest.mark.parametrize("cost", ["census", "absolute"])
def test_batches_are_their_images(device: Any, cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = images(3, 8, 21, 3)
    batch = agree(device, left, right, 6, cost=cost)
    assert batch.disparity.shape == batch.labels.shape == (3, 8, 21)
    for item in range(3):
        single = agree(device, left[item], right[item], 6, cost=cost)
        same(batch.disparity[item], single.disparity)
        same(batch.labels[item], single.labels)
    from mrfcore import _device

    monkeypatch.setattr(_device, "_CHUNK_BYTES", 20_000)  # room for two pairs
    agree(device, left, right, 6, cost=cost)
    monkeypatch.setattr(_device, "_CHUNK_BYTES", 1)  # one pair after the other
    agree(device, left, right, 6, cost=cost)


def test_tsukuba(device: Any, data: Path) -> None:
    pair = load_pair("tsukuba", data / "middlebury")
    rows = slice(None) if device.type == "cuda" else slice(120, 184)  # emulation takes its time
    left, right = torch.tensor(pair.left[rows]), torch.tensor(pair.right[rows])
    agree(device, left, right, pair.num_disparities)


def test_what_sgm_finds(scene: Any) -> None:
    """On the CPU, against the truth, and against the steps done one by one."""
    result = stereo.sgm(scene.left, scene.right, scene.num_disparities)
    wrong = ~(np.abs(result.disparity - scene.disparity) <= 1)
    assert wrong[scene.nonocc & result.valid].mean() < 0.2
    np.testing.assert_array_equal(result.valid, ~np.isnan(result.disparity))
    plain = stereo.sgm(
        scene.left,
        scene.right,
        scene.num_disparities,
        subpixel=False,
        uniqueness=0,
        left_right_check=False,
        cost="absolute",
    )
    volume = stereo.cost_volume(
        scene.left, scene.right, scene.num_disparities, "absolute", truncation=60
    )
    solved = mrfcore.minimize(
        volume, mrfcore.SGMPenalty(45, 90), solver="sgm", connectivity=8, iterations=1
    )
    np.testing.assert_array_equal(plain.labels, solved.labels)
    np.testing.assert_array_equal(plain.disparity, solved.labels)
    assert plain.valid.all()


def test_results_are_of_the_images_kind() -> None:
    left, right = images(4, 12)
    tensors = stereo.sgm(left, right, 3)
    arrays = stereo.sgm(left.numpy(), right.numpy(), 3)
    assert isinstance(tensors.disparity, torch.Tensor)
    assert isinstance(tensors.valid, torch.Tensor)
    assert isinstance(arrays.disparity, np.ndarray)
    same(tensors.disparity, arrays.disparity)
    assert repr(arrays) == "SGMResult(disparity=[4, 12], min_disparity=0)"


def test_workspace_is_what_the_documentation_says() -> None:
    """5 bytes a pixel and label with 8 paths, 4 bytes a pixel besides; 9 with large penalties."""
    if not _core.cuda_status()["built"]:
        pytest.skip("this build has no CUDA back-end")
    pairs = _core.CudaPairs()
    pairs.left = pairs.right = 64
    pairs.height, pairs.width = 480, 640
    options = _core.SgmOptions()
    costs = options.costs
    costs.cost, costs.num_disparities = _core.StereoCost.census, 128
    options.costs = costs
    pixels = 480 * 640
    for p2, bytes_per_cell in ((120, 5), (127, 5), (128, 9), (255, 9), (256, 9)):
        options.p2 = p2
        size = _core.cuda_sgm_workspace_bytes(pairs, options, 1)
        assert 0 <= size - (128 * bytes_per_cell + 4) * pixels < 256
    assert _core.cuda_sgm_workspace_bytes(pairs, options, 3) > 2.99 * size


# ---------------------------------------------------------------- errors

GREY = torch.zeros((6, 8), dtype=torch.uint8)

BAD_IMAGES: dict[str, tuple[type[Exception], str, Any, Any]] = {
    "rank": (ValueError, r"left: .*\[H, W\].*got shape \[8\]", GREY[0], GREY),
    "channels": (ValueError, r"right: .*\[6, 8, 2\]", GREY, torch.stack([GREY] * 2, 2)),
    "empty": (ValueError, r"left: expected at least one pixel", GREY[:0], GREY[:0]),
    "sizes": (ValueError, r"right: expected shape \[6, 8\].*\[6, 7\]", GREY, GREY[:, :7]),
    "integers": (TypeError, r"left: expected uint8.*int32", GREY.int(), GREY.int()),
    "nan": (ValueError, "left: expected finite", torch.full((6, 8), torch.nan), GREY),
    "infinity": (ValueError, "right: expected finite", GREY, torch.full((6, 8), torch.inf)),
    "gradient": (TypeError, "left: requires a grad", GREY.float().requires_grad_(), GREY),
}


@pytest.mark.parametrize("function", [stereo.cost_volume, stereo.sgm])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused_on_both(device: Any, function: Any, case: str) -> None:
    error, message, left, right = BAD_IMAGES[case]
    if case != "gradient":
        with pytest.raises(error, match=message):
            function(left, right, 4)
    placed = [device.put(x).requires_grad_(x.requires_grad) for x in (left, right)]
    with device.active(), pytest.raises(error, match=message):
        function(*placed, 4)


@pytest.mark.parametrize("function", [stereo.cost_volume, stereo.sgm])
def test_mixtures_are_refused(device: Any, function: Any) -> None:
    host = GREY.numpy()
    with device.active():
        with pytest.raises(TypeError, match=r"right: .*on the GPU, as left is, got a ndarray"):
            function(device.put(GREY), host, 4)
        with pytest.raises(TypeError, match=r"right: .*on the CPU, as left is, .*on a GPU"):
            function(host, device.put(GREY), 4)


BAD_OPTIONS: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "labels": (ValueError, "num_disparities: .*256, got 257", {"num_disparities": 257}),
    "no labels": (ValueError, "num_disparities: .*0", {"num_disparities": 0}),
    "range": (ValueError, "num_disparities, min_disparity: .*8 pixels", {"min_disparity": 8}),
    "cost": (ValueError, "cost: .*'squared'", {"cost": "squared"}),
    "paths": (ValueError, "paths: expected one of 4, 8, got 16", {"paths": 16}),
    "order": (ValueError, "p1, p2: .*got 9, 4", {"p1": 9, "p2": 4}),
    "large p2": (ValueError, "p1, p2: .*7936.*8000", {"p2": 8000}),
    "negative p1": (ValueError, "p1, p2: .*-1", {"p1": -1}),
    "p1": (TypeError, "p1: expected an integer", {"p1": 1.5}),
    "truncation": (ValueError, "truncation: expected a whole number", {"truncation": 3.5}),
    "window": (ValueError, "window", {"window": 4}),
    "subpixel": (TypeError, "subpixel", {"subpixel": "yes"}),
    "uniqueness": (ValueError, "uniqueness", {"uniqueness": -0.1}),
    "check": (TypeError, "left_right_check", {"left_right_check": "solve"}),
    "difference": (ValueError, "max_difference", {"max_difference": -1}),
    "threads": (ValueError, "threads", {"threads": 0}),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_refused_on_both(device: Any, case: str) -> None:
    error, message, options = BAD_OPTIONS[case]
    options = {"num_disparities": 4, **options}
    with pytest.raises(error, match=message):
        stereo.sgm(GREY, GREY, **options)
    with device.active(), pytest.raises(error, match=message):
        stereo.sgm(device.put(GREY), device.put(GREY), **options)


def test_float_images_need_census(device: Any) -> None:
    for cost in ("absolute", "birchfield_tomasi"):
        with pytest.raises(TypeError, match="left, right: expected uint8"):
            stereo.sgm(GREY.float(), GREY.float(), 4, cost=cost)
        with device.active(), pytest.raises(TypeError, match="left, right: expected uint8"):
            stereo.sgm(device.put(GREY.float()), device.put(GREY.float()), 4, cost=cost)


def test_sgm_in_a_graph(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("graphs need a GPU")
    left, right = (device.put(x) for x in images(12, 40, 3))
    stereo.sgm(left, right, 16)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = stereo.sgm(left, right, 16)
    left.copy_(right)
    graph.replay()
    torch.cuda.synchronize()
    same(captured.labels, stereo.sgm(left, right, 16).labels.cpu())
