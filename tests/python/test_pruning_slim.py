# SPDX-License-Identifier: Apache-2.0
"""Masked is slim: for every kind of block, and for the named networks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from mrfcore import models, pruning  # noqa: E402
from pruning_nets import BLOCKS, example, lively  # noqa: E402

SMALL = {
    "unet3d-15": ({"width": 8}, (16, 16, 16)),
    "unet3d-15-brats": ({"width": 8}, (16, 16, 16)),
    "unet3d-23": ({"width": 4, "max_channels": 32}, (32, 32, 32)),
    "mobilenetv2-3d": ({}, (8, 32, 32)),
    "i3d": ({}, (16, 32, 32)),
    "psmnet": ({"width": 8, "max_disparity": 16, "pools": (8, 4, 2, 1)}, (32, 48)),
    "resnet18": ({}, (32, 32)),
    "superpixel-fcn": ({}, (32, 32)),
    "deeplabv3plus-resnet18": ({"num_labels": 5}, (32, 32)),
}


def made(block: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, tuple]:
    torch.manual_seed(0)
    model = lively(BLOCKS[block]()).to(dtype)
    return model, tuple(x.to(dtype) for x in example(model))


def some_masks(graph: pruning.Graph, share: float, seed: int) -> dict:
    """Random, but no layer empty."""
    masks = pruning.random_masks(graph, share, seed)
    for mask in masks.values():
        mask[seed % len(mask)] = True
    return masks


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_slim_is_masked_is_the_definition(block, share):
    """The network's own forward with masks on post-activations is the independent reference."""
    model, inputs = made(block)
    graph = pruning.trace(model, inputs)
    shrunk = 0
    for seed in range(4):
        masks = pruning.clean_masks(graph, some_masks(graph, share, seed))
        slim = pruning.slim(model, graph, masks)
        with torch.no_grad():
            wanted = model(*inputs, c=masks)
            masked = pruning.masked(model, graph, masks)(*inputs)
            got = slim(*inputs)
        torch.testing.assert_close(masked, wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
        assert (wanted - model(*inputs)).abs().max() > 1e-6 or share < 0.5
        for layer in graph.layers:
            module = slim.get_submodule(layer.name)
            kept = int(masks[layer.name].sum())
            assert getattr(module, "out_channels", getattr(module, "out_features", None)) == kept
        shrunk += sum(p.numel() for p in slim.parameters())
    assert shrunk < 4 * sum(p.numel() for p in model.parameters())


def test_slim_in_training_mode_is_masked_without_normalisation_over_channels():
    """Batch statistics are each channel's own: also in training mode the outputs are equal."""
    model, inputs = made("concat")
    graph = pruning.trace(model, inputs)
    masks = pruning.clean_masks(graph, some_masks(graph, 0.5, 1))
    slim = pruning.slim(model, graph, masks).train()
    masked = pruning.masked(model, graph, masks).train()
    torch.testing.assert_close(slim(*inputs), masked(*inputs), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", SMALL)
def test_named_networks(name):
    options, sizes = SMALL[name]
    torch.manual_seed(0)
    model = lively(models.create_model(name, **options))
    shapes = [(1, shape[0], *sizes) for shape in models.model_entry(name).input_shapes]
    inputs = tuple(torch.rand(shape) for shape in shapes)
    graph = pruning.trace(model, inputs)
    masks = some_masks(graph, 0.4, 3)
    slim = pruning.slim(model, graph, masks).double()
    masked = pruning.masked(model, graph, masks).double()
    inputs = tuple(x.double() for x in inputs)
    with torch.no_grad():
        got, wanted = slim(*inputs), masked(*inputs)
    scale = wanted.abs().max()
    # Lively statistics let values grow over layers: relative to the largest.
    torch.testing.assert_close(got / scale, wanted / scale, rtol=1e-5, atol=1e-6)
    whole, left = (sum(p.numel() for p in one.parameters()) for one in (model, slim))
    assert left < 0.75 * whole
    statuses = {row.name for row in _rows(slim, graph)}
    assert statuses == {key for key, _ in model.named_parameters()}


def _rows(slim, graph):
    from mrfcore.pruning.report import Report

    empty = pruning.profile(nn.Conv1d(1, 1, 1), torch.zeros(1, 1, 1))
    report = Report(slim, graph, pruning.full_masks(graph), None, 0.4, "random", empty, empty)
    return report.parameters


@pytest.mark.parametrize(
    ("name", "layers", "neurons"),
    [
        ("unet3d-15", 15, 2386),
        ("unet3d-15-brats", 15, 1173),
        ("unet3d-23", 23, 9042),
        ("mobilenetv2-3d", 53, 17157),
        ("i3d", 58, 7381),
        ("psmnet", 89, 5635),
    ],
)
def test_neurons_of_the_thesis(name, layers, neurons):
    """K and N of the full-size networks; also traced without memory, on the meta device."""
    with torch.device("meta"):
        model = models.create_model(name)
        inputs = tuple(torch.empty(1, *shape) for shape in models.model_entry(name).input_shapes)
    graph = pruning.trace(model, inputs)
    assert (len(graph.layers), graph.neurons) == (layers, neurons)
    fixed = [layer for layer in graph.layers if layer.fixed is not None]
    assert all(layer.fixed == "output of the network" for layer in fixed)
    assert len(fixed) == (3 if name == "psmnet" else 1)


def test_shared_and_frozen_parameters_stay_so():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 6)
            self.b = nn.Linear(6, 6)
            self.again = self.b
            self.out = nn.Linear(6, 2)
            self.a.weight.requires_grad_(False)

        def forward(self, x):
            return self.out(torch.relu(self.again(torch.relu(self.b(torch.relu(self.a(x)))))))

    model = Tied()
    graph = pruning.trace(model, torch.zeros(1, 3))
    assert [layer.name for layer in graph.layers] == ["a", "b", "out"]
    masks = pruning.full_masks(graph)
    masks["a"][:3] = False
    masks["b"][2:] = False
    slim = pruning.slim(model, graph, masks)
    assert slim.b is slim.again
    assert slim.b.weight is slim.again.weight
    assert not slim.a.weight.requires_grad
    assert slim.b.weight.requires_grad
    # What b reads is what a and b itself put out: their counts are one, the larger.
    assert slim.b.weight.shape == (3, 3)
    x = torch.rand(4, 3)
    torch.testing.assert_close(slim(x), pruning.masked(model, graph, masks)(x))


def test_slim_of_slim():
    model, inputs = made("residual")
    graph = pruning.trace(model, inputs)
    once = pruning.slim(model, graph, pruning.layerwise_masks(graph, 0.3))
    again = pruning.trace(once, inputs)
    masks = pruning.layerwise_masks(again, 0.5)
    torch.testing.assert_close(
        pruning.slim(once, again, masks)(*inputs), pruning.masked(once, again, masks)(*inputs)
    )


def test_drawn_anew():
    model, inputs = made("chain-2d", torch.float32)
    graph = pruning.trace(model, inputs)
    masks = pruning.layerwise_masks(graph, 0.4)
    slim = pruning.slim(model, graph, masks, weights="orthogonal")
    rows = slim.a.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
    assert not slim.a.bias.any()
    assert (slim.an.weight == 1).all()
    assert not slim.an.running_mean.any()


def test_glorot_has_the_variance_of_the_text():
    torch.manual_seed(0)
    layer = nn.Conv3d(20, 30, 3)
    pruning.initialise(layer)
    wanted = (2 / (20 * 27 + 30 * 27)) ** 0.5
    assert layer.weight.std().item() == pytest.approx(wanted, rel=0.03)
