# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering on a GPU against the CPU, to the bit; emulated where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mrfcore import mean_shift_filter, mean_shift_segment  # noqa: E402


def image(*shape: int, dtype: Any = np.uint8) -> Any:
    """Stripes with noise, channels last."""
    random = np.random.default_rng(5)
    pixels = 60 + 70 * (np.arange(shape[1])[:, None] // 9 % 2) + random.integers(0, 40, shape)
    return torch.tensor(pixels.astype(dtype))


def same(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.cpu().numpy(), np.asarray(expected))


OPTIONS = [
    {},
    {"iterations": 0},
    {"iterations": 12, "tolerance": 0.0},
    {"color_radius": 400.0},
    {"kernel": "gaussian"},
    {"color_space": "luv", "color_radius": 9.0},
    {"color_space": "luv", "kernel": "gaussian", "levels": 1},
    {"levels": 1},
    {"levels": 3},
    {"levels": 2, "kernel": "gaussian"},
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_filter_is_that_of_the_cpu(device: Any, options: dict[str, Any], dtype: Any) -> None:
    pixels = image(11, 30, 3, dtype=dtype)
    arguments: dict[str, Any] = {"spatial_radius": 4, "color_radius": 40.25, **options}
    expected = mean_shift_filter(pixels, **arguments)
    with device.active():
        found = mean_shift_filter(device.put(pixels), **arguments)
    assert found.device.type == device.type
    assert found.dtype == pixels.dtype
    same(found, expected)


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 35, 1), (20, 1, 1), (5, 70, 1), (6, 7, 3)])
def test_shapes(device: Any, shape: tuple[int, ...], levels: int) -> None:
    for pixels in (image(*shape), image(*shape, dtype=np.float32)):
        expected = mean_shift_filter(pixels, 3, 30, levels=levels)
        with device.active():
            same(mean_shift_filter(device.put(pixels), 3, 30, levels=levels), expected)
            if shape[2] == 1:
                grey = device.put(pixels[..., 0])
                same(mean_shift_filter(grey, 3, 30, levels=levels), expected[..., 0])


@pytest.mark.parametrize("options", [{}, {"levels": 2}, {"kernel": "gaussian"}], ids=str)
def test_batches(device: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    batch = torch.stack([image(7, 20, 3), image(7, 20, 3).flip(0), image(7, 20, 3).flip(1)])
    batch = batch.permute(0, 3, 1, 2)
    expected = mean_shift_filter(batch, 3, 40, **options)
    ids = mean_shift_segment(batch, 3, 40, min_size=4, **options)
    from mrfcore import _device

    for chunk in (None, 20_000, 1):
        if chunk is not None:
            monkeypatch.setattr(_device, "_CHUNK_BYTES", chunk)
        with device.active():
            same(mean_shift_filter(device.put(batch), 3, 40, **options), expected)
            found = mean_shift_segment(device.put(batch), 3, 40, min_size=4, **options)
        assert found.device.type == device.type
        assert found.dtype == torch.int32
        same(found, ids)


def test_wide_windows(device: Any) -> None:
    pixels = torch.full((2, 600, 3), 250, dtype=torch.uint8)
    pixels[:, ::3] = 244
    expected = mean_shift_filter(pixels, 290, 30, iterations=1)
    with device.active():
        same(mean_shift_filter(device.put(pixels), 290, 30, iterations=1), expected)


GREY = image(5, 8, 1)[..., 0]
REFUSED: dict[str, tuple[type[Exception], str, Any, dict[str, Any]]] = {
    "rank": (ValueError, r"image: .*\[H, W\]", GREY[0], {}),
    "batch": (ValueError, r"image: .*\[1, 5, 8, 3\]", image(5, 8, 3)[None], {}),
    "integers": (TypeError, "image: expected uint8.*int32", GREY.int(), {}),
    "nan": (ValueError, "image: expected finite", torch.full((3, 4), torch.nan), {}),
    "huge": (ValueError, "image.*1e15", torch.full((3, 4), 1e20), {}),
    "unit": (ValueError, "image: .*255", torch.full((3, 4), 0.5), {}),
    "gradient": (TypeError, "image: requires a grad", GREY.float().requires_grad_(), {}),
    "luv": (ValueError, "color_space: .*three", GREY, {"color_space": "luv"}),
    "radius": (ValueError, "spatial_radius", GREY, {"spatial_radius": 0}),
    "kernel": (ValueError, "kernel", GREY, {"kernel": "box"}),
}


@pytest.mark.parametrize("function", [mean_shift_filter, mean_shift_segment])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_on_both(device: Any, function: Any, case: str) -> None:
    error, message, pixels, options = REFUSED[case]
    with pytest.raises(error, match=message):
        function(pixels, **options)
    placed = device.put(pixels).requires_grad_(pixels.requires_grad)
    with device.active(), pytest.raises(error, match=message):
        function(placed, **options)


def test_filter_in_a_graph(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("graphs need a GPU")
    pixels = device.put(image(12, 40, 3))
    mean_shift_filter(pixels, levels=1)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = mean_shift_filter(pixels, levels=1)
    pixels.copy_(pixels.flip(0))
    graph.replay()
    torch.cuda.synchronize()
    same(captured, mean_shift_filter(pixels, levels=1).cpu())
