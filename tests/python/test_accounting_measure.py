# SPDX-License-Identifier: Apache-2.0
"""Measured memory and time beside what is counted; nothing is changed by measuring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from mrfcore import models  # noqa: E402
from mrfcore.pruning.accounting import Measurement, measure, profile  # noqa: E402

SHAPE = (1, 16, 16, 16)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Toys are slower on several, and much slower where others are at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unet(**options: Any) -> Any:
    torch.manual_seed(1)
    return models.create_model("unet3d-15", width=8, num_labels=5, **options)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [2, 4])
def test_what_is_kept_is_what_is_counted(training: bool, batch: int) -> None:
    """Softmax keeps its output in eval mode, the loss that of the network in training mode."""
    model = unet().train(training)
    found = measure(model, SHAPE, batch=batch, repeats=1)
    counted = 4 * profile(model, SHAPE, "exact", batch=batch).memory
    assert found.kept_bytes == pytest.approx(counted, rel=2e-3)
    # Gradients are made while most of that is still there.
    parameters = 4 * models.count_parameters(model)
    assert found.peak_bytes > found.kept_bytes
    assert found.peak_bytes > parameters
    assert found.device == "cpu"
    assert 0 < found.forward_seconds < 60
    assert 0 < found.backward_seconds < 60


def test_a_pass_by_hand() -> None:
    """x * x * 1 keeps nothing but what a product needs: 64 numbers and their like."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1000, 64))

        def forward(self, x: Any) -> Any:
            return x * self.scale

    mib = 1000 * 64 * 4
    found = measure(Twice(), torch.rand(1000, 64), loss=lambda y: y.sum(), repeats=1)
    # The product; no one keeps it, but it lives until its sum is made.
    assert found.kept_bytes < 1000
    assert mib <= found.peak_bytes < 3 * mib
    squared = measure(Twice(), torch.rand(1000, 64), loss=lambda y: (y * y).sum(), repeats=1)
    assert mib <= squared.kept_bytes < mib + 1000
    assert squared.peak_bytes >= 2 * mib


def test_nothing_is_changed() -> None:
    model = unet().train()
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.random.get_rng_state()
    measure(model, SHAPE, batch=2, repeats=2)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    rest = [p for p in model.parameters() if p is not model.head.weight]
    assert all(parameter.grad is None for parameter in rest)

    def broken(_: Any) -> Any:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        measure(model, SHAPE, batch=2, loss=broken)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_several_outputs_and_the_loss() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Any, y: Any) -> Any:
            return {"a": self.layer(x), "b": [self.layer(y)]}

    seen = []

    def loss(outputs: Any) -> Any:
        seen.append(outputs["a"].shape)
        return outputs["b"][0].sum()

    shapes = ((4, 3), (5, 3))
    assert isinstance(measure(Two(), shapes, batch=2), Measurement)
    measure(Two(), shapes, batch=2, loss=loss, repeats=2)
    assert seen == [(2, 4, 2)] * 4  # to warm up, watched, and twice against the clock


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="model: expected a module, got str"):
        measure("unet3d-15", SHAPE)  # type: ignore[arg-type]
    with torch.device("meta"), pytest.raises(ValueError, match="model: is on the meta device"):
        measure(nn.Linear(3, 2), (3,))
    with pytest.raises(ValueError, match="model: expected parameters that require gradients"):
        measure(nn.Linear(3, 2).requires_grad_(False), (3,))
    with pytest.raises(ValueError, match="repeats: expected a number >= 1, got 0"):
        measure(nn.Linear(3, 2), (3,), repeats=0)
    with pytest.raises(ValueError, match="inputs: expected tensors"):
        measure(nn.Linear(3, 2), 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device() -> None:
    model = unet().to("cuda")
    found = measure(model, SHAPE, batch=4, repeats=1)
    counted = 4 * profile(model, SHAPE, "exact", batch=4).memory
    assert found.device.startswith("cuda")
    assert found.kept_bytes == pytest.approx(counted, rel=0.05)
    assert found.peak_bytes > found.kept_bytes
