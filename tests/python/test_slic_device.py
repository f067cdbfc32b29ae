# SPDX-License-Identifier: Apache-2.0
"""SLIC on a GPU, or in the emulator: the CPU's superpixels to the pixel."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import _core, superpixels  # noqa: E402
from mrfcore.nn import functional  # noqa: E402

from devices import CPU_KERNELS  # noqa: E402 isort: skip


def images(batch: int = 2, channels: int = 3, height: int = 31, width: int = 44) -> Any:
    random = torch.Generator().manual_seed(batch + channels)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.sin(x / 6) + torch.cos((x + y) / 9)
    noise = torch.rand(batch, channels, height, width, generator=random)
    return ((waves + 2) / 5 + 0.2 * noise).clamp(0, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"num": 12},
        {"num": 40, "compactness": 2.0, "iterations": 3, "sigma": 0.8},
        {"num": 40, "enforce_connectivity": False},
        {"num": 9, "iterations": 0},
        {"num": 30, "min_size": 90, "color_space": "rgb"},
    ],
)
def test_the_cpus_pixels(device: Any, options: dict[str, Any]) -> None:
    x = images()
    for image in (x, (255 * x).to(torch.uint8), x.permute(0, 2, 3, 1).contiguous()):
        view = image.permute(0, 3, 1, 2) if image.shape[-1] == 3 else image
        expected = functional.slic(view, **options)
        with device.active():
            found = functional.slic(device.put(view), **options)
        assert found.device.type == device.type
        assert found.dtype == torch.int32
        assert torch.equal(found.cpu(), expected)


def test_one_image(device: Any) -> None:
    image = images()[0].double()
    with device.active():
        found = superpixels.slic(device.put(image), 20)
    assert torch.equal(found.cpu(), superpixels.slic(image, 20))


def test_nothing_is_computed_on_the_cpu(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CPU_KERNELS:
        monkeypatch.setattr(_core, name, None)
    with device.active():
        assert functional.slic(device.put(images()), 20).max() > 10


def test_odd_values_do_no_harm(device: Any) -> None:
    image = images()
    odd = image.clone()
    odd[0, 0, 3, 4], odd[0, 1, 5, 6], odd[1, 2, 7, 8] = float("nan"), 7.0, -float("inf")
    image[0, 0, 3, 4], image[0, 1, 5, 6], image[1, 2, 7, 8] = 0.0, 1.0, 0.0
    with device.active():
        found = functional.slic(device.put(odd), 20)
    assert torch.equal(found.cpu(), functional.slic(image, 20))


def test_refused(device: Any) -> None:
    with device.active():
        with pytest.raises(ValueError, match="image: expected 3 channels"):
            functional.slic(device.put(images(channels=2)))
        with pytest.raises(ValueError, match="num: expected at most one superpixel a pixel, 16"):
            functional.slic(device.put(torch.zeros(1, 3, 4, 4)), 17)


def test_graph(device: Any) -> None:
    """Calls can be captured: nothing waits for the GPU or allocates outside torch."""
    if device.type != "cuda":
        pytest.skip("the emulator has no graphs")
    image = device.put(images())
    expected = functional.slic(image, 20)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = functional.slic(image, 20)
    graph.replay()
    assert torch.equal(found, expected)
