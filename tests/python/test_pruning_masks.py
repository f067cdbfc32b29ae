# SPDX-License-Identifier: Apache-2.0
"""Masks: counts, ties, the rule for additions, and what a network can have."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from mrfcore import models, pruning  # noqa: E402
from pruning_nets import BLOCKS, example  # noqa: E402


def graph_of(block):
    model = BLOCKS[block]()
    return pruning.trace(model, example(model))


def some_scores(graph, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {one.name: torch.rand(one.out_channels, generator=generator) for one in graph.layers}


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.33, 0.5, 0.9, 1.0])
def test_count_kept(sparsity):
    graph = graph_of("chain-2d")
    scores = some_scores(graph)
    masks = pruning.top_masks(graph, scores, sparsity)
    count = int(graph.neurons * (1 - sparsity))
    ranked = sorted(
        ((-float(value), place, number, layer.name)
         for place, layer in enumerate(graph.layers)
         for number, value in enumerate(scores[layer.name]))
    )  # fmt: skip
    wanted = {name: set() for name in masks}
    for _, _, number, name in ranked[:count]:
        wanted[name].add(number)
    wanted["out"] = set(range(3))  # the last layer, in any case
    assert {name: set(mask.nonzero().flatten().tolist()) for name, mask in masks.items()} == wanted


def test_ties():
    graph = graph_of("chain-2d")
    scores = {one.name: torch.ones(one.out_channels) for one in graph.layers}
    exact = pruning.top_masks(graph, scores, 0.5)
    assert [int(exact[name].sum()) for name in ("a", "b", "h")] == [6, 4, 0]  # int(21 / 2) = 10
    kept = pruning.top_masks(graph, scores, 0.5, ties="keep")
    assert all(mask.all() for mask in kept.values())


def test_masks_are_nested_in_sparsity():
    graph = graph_of("residual")
    scores = some_scores(graph)
    before = pruning.full_masks(graph)
    for step in range(11):
        masks = pruning.clean_masks(graph, pruning.top_masks(graph, scores, step / 10), scores)
        assert all((before[name] | ~mask).all() for name, mask in masks.items())
        before = masks


def test_layerwise_keeps_the_ceiling():
    graph = graph_of("chain-2d")
    scores = some_scores(graph)
    masks = pruning.layerwise_masks(graph, 0.45, scores)
    assert [int(mask.sum()) for mask in masks.values()] == [4, 3, 4, 3]
    best = scores["a"].argsort(descending=True)[:4]
    assert masks["a"][best].all()
    whole = pruning.layerwise_masks(graph, 0.2)  # 5 * 0.8 is 4, whatever rounding says
    assert [int(mask.sum()) for mask in whole.values()] == [5, 4, 6, 3]


def test_random_is_numpys_legacy_choice():
    numpy = pytest.importorskip("numpy")
    graph = graph_of("chain-2d")
    numpy.random.seed(3)
    pruned = set(numpy.random.choice(numpy.arange(21), int(21 * 0.6), replace=False).tolist())
    masks = pruning.random_masks(graph, 0.6, seed=3)
    flat = graph.join(masks)[:18]  # the last layer's three stay
    assert {place for place in range(18) if not flat[place]} == {p for p in pruned if p < 18}


def test_added_layers_keep_the_larger_count_and_the_best_sums():
    graph = graph_of("residual")  # a, b and d are added
    masks = pruning.full_masks(graph)
    masks["a"] = torch.tensor([1, 0, 0, 0, 0, 0]).bool()
    masks["b"] = torch.tensor([0, 0, 0, 0, 1, 1]).bool()
    masks["d"] = torch.tensor([0, 0, 0, 0, 0, 0]).bool()
    scores = some_scores(graph)
    scores["a"] = torch.tensor([5.0, 0.0, 0.0, 3.0, 0.0, 0.0])
    scores["b"] = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 2.5])
    scores["d"] = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.0, 0.0])
    found = pruning.clean_masks(graph, masks, scores)
    for name in ("a", "b", "d"):
        assert found[name].tolist() == [True, False, False, True, False, False]
    voted = pruning.clean_masks(graph, masks)  # without scores: one vote each, the first two
    assert voted["d"].tolist() == [True, False, False, False, True, False]


def test_depthwise_masks_do_not_count():
    graph = graph_of("depthwise")
    masks = pruning.full_masks(graph)
    masks["expand"][2:] = False
    masks["deep"][:7] = False
    found = pruning.clean_masks(graph, masks)
    assert found["deep"].tolist() == found["expand"].tolist() == [True] * 2 + [False] * 6
    assert found["twice"].tolist() == [True] * 4 + [False] * 12


def test_round_to():
    graph = graph_of("chain-2d")
    masks = pruning.full_masks(graph)
    masks["a"][1:] = False
    masks["b"][4:] = False
    masks["h"][5:] = False
    scores = some_scores(graph)
    found = pruning.clean_masks(graph, masks, scores, round_to=4)
    assert [int(mask.sum()) for mask in found.values()] == [4, 4, 7, 3]
    assert found["a"][0]
    extra = scores["a"][1:].argsort(descending=True)[:3] + 1
    assert found["a"][extra].all()


def test_bad_masks():
    graph = graph_of("chain-2d")
    masks = pruning.full_masks(graph)
    for bad, message in (
        ({"a": masks["a"]}, "none for layer b"),
        ({**masks, "a": torch.ones(6)}, r"expected bool \[6\] for layer a, got torch.float32"),
        ({**masks, "a": masks["b"]}, r"expected bool \[6\] for layer a"),
    ):
        with pytest.raises(ValueError, match=f"masks: .*{message}"):
            pruning.clean_masks(graph, bad)
    empty = {**masks, "b": torch.zeros(5, dtype=torch.bool)}
    model = BLOCKS["chain-2d"]()
    with pytest.raises(ValueError, match="masks: nothing is left of b"):
        pruning.slim(model, pruning.trace(model, example(model)), empty)
    for sparsity in (-0.1, 1.1):
        with pytest.raises(ValueError, match="sparsity: expected a number from 0 to 1"):
            pruning.random_masks(graph, sparsity)
    with pytest.raises(ValueError, match="round_to"):
        pruning.clean_masks(graph, masks, round_to=0)
    scores = some_scores(graph)
    scores["a"][0] = float("nan")
    with pytest.raises(ValueError, match="scores: layer a has one that is not finite"):
        pruning.top_masks(graph, scores, 0.5)


# ---------------------------------------------------------------- what the tracer says


def test_unknown_operations_are_named():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(2, 4, 1)
            self.strange = Strange()
            self.b = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.b(self.strange(self.a(x)))

    class Strange(nn.Module):
        def forward(self, x):
            return torch.linalg.qr(x)[0] @ torch.ones(4, 4)

    x = torch.zeros(1, 2, 4, 4)
    with pytest.raises(ValueError, match=r"stopped at linalg_qr in strange"):
        pruning.trace(Odd(), x)
    graph = pruning.trace(Odd(), x, unknown="keep")
    assert graph.layer("a").fixed == "enters linalg_qr in strange, which the tracer does not know"
    assert list(graph.unknown) == ["linalg_qr"]


def test_control_flow_on_values_is_named():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 4)

        def forward(self, x):
            x = self.a(x)
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"stopped at _local_scalar_dense"):
        pruning.trace(Branching(), torch.zeros(1, 2))


class Layered(nn.Module):
    """What is computed between two layers decides whether the first can be pruned."""

    def __init__(self, between) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 1)
        self.b = nn.Conv2d(4, 2, 1)
        self.between = between

    def forward(self, x):
        return self.b(self.between(self.a(x)))


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda x: x.softmax(1), "taken together"),
        (lambda x: x - x.mean(1, keepdim=True), "taken together"),
        (lambda x: nn.functional.layer_norm(x.movedim(1, 3), (4,)).movedim(3, 1), "normalised"),
        (lambda x: nn.functional.group_norm(x, 2), "normalised"),
        (lambda x: torch.cat([x[:, 2:], x[:, :2]], 1), "cut at fixed places"),
        (lambda x: x + torch.arange(4.0).reshape(1, 4, 1, 1), "tensor of fixed size"),
        (lambda x: x[:, [1, 0, 3, 2]], "mixed with others"),
        (lambda x: nn.functional.pixel_shuffle(x, 2).repeat(1, 4, 1, 1)[:, :, :4, :4], "mixed"),
        (lambda x: x.reshape(1, 2, 2, 4, 4).transpose(1, 2).reshape(1, 4, 4, 4), "split into two"),
        (lambda x: x.cumsum(1), "taken together"),
    ],
)
def test_channels_that_have_to_stay(between, reason):
    graph = pruning.trace(Layered(between), torch.zeros(1, 2, 4, 4))
    assert reason in graph.layer("a").fixed


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x.softmax(3),
        lambda x: x.movedim(1, 3).relu().movedim(3, 1),
        lambda x: x.flatten(2).unflatten(2, (4, 4)),
        lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
        lambda x: nn.functional.instance_norm(x),
        lambda x: x * x.amax((2, 3), keepdim=True),
        lambda x: torch.stack([x, -x], 2).flatten(1, 2)[:, ::1].unflatten(1, (-1, 2)).sum(2),
        lambda x: nn.functional.pad(x, (1, 0, 0, 1), mode="reflect")[..., 1:, 1:],
        lambda x: torch.zeros_like(x).add_(x),
    ],
)
def test_channels_that_can_go(between):
    torch.manual_seed(0)
    model = Layered(between)
    x = torch.rand(1, 2, 4, 4)
    graph = pruning.trace(model, x)
    assert graph.layer("a").fixed is None
    masks = pruning.full_masks(graph)
    masks["a"][1] = masks["a"][3] = False
    slim = pruning.slim(model, graph, masks)
    assert slim.a.out_channels == 2
    torch.testing.assert_close(slim(x), pruning.masked(model, graph, masks)(x))


def test_sizes_written_in_a_forward_are_found():
    model = Layered(lambda x: x.reshape(-1, 4, 4, 4))
    graph = pruning.trace(model, torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="a number of channels written in its forward"):
        pruning.slim(model, graph, pruning.layerwise_masks(graph, 0.5))
    graph = pruning.trace(model, torch.zeros(1, 2, 4, 4), keep=["a"])
    assert graph.layer("a").fixed == "asked to be kept"
    with pytest.raises(ValueError, match="keep: no layer that is used is in 'z'"):
        pruning.trace(model, torch.zeros(1, 2, 4, 4), keep=["z"])


def test_layers_of_training_only_are_traced():
    class Helped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(1, 4, 1)
            self.out = nn.Conv2d(4, 2, 1)
            self.help = nn.Conv2d(4, 3, 1)

        def forward(self, x):
            x = self.a(x).relu()
            return (self.out(x), self.help(x)) if self.training else self.out(x)

    model = Helped().eval()
    graph = pruning.trace(model, torch.zeros(1, 1, 2, 2))
    assert [one.name for one in graph.layers] == ["a", "out", "help"]
    slim = pruning.slim(model, graph, pruning.layerwise_masks(graph, 0.5))
    assert slim.help.in_channels == 2
    assert not model.training


def test_layers_of_training_only_have_to_be_seen():
    """Unseen, they would go on reading channels that are gone."""

    class Helped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 4)
            self.n = nn.BatchNorm1d(3)
            self.help = nn.Linear(4, 3)
            self.out = nn.Linear(4, 2)

        def forward(self, x):
            x = self.a(x)
            return (self.out(x), self.n(self.help(x))) if self.training else self.out(x)

    with pytest.raises(ValueError, match=r"in n failed in training mode: Expected more than 1"):
        pruning.trace(Helped(), torch.zeros(1, 2))
    graph = pruning.trace(Helped(), torch.zeros(2, 2))
    assert graph.layer("help").in_channels == 4


def test_a_model_without_layers():
    with pytest.raises(ValueError, match="no convolution and no linear layer"):
        pruning.trace(nn.ReLU(), torch.zeros(1, 2))
    with pytest.raises(TypeError, match="model: expected a module, got int"):
        pruning.trace(3, torch.zeros(1, 2))


def test_unet_groups_are_layers():
    """No layer of a U-Net is tied to another: concatenations tie nothing."""
    with torch.device("meta"):
        model = models.create_model("unet3d-15", width=8)
        graph = pruning.trace(model, torch.empty(1, 1, 16, 16, 16))
    assert len(graph.segments) == 14
    assert all(len(segment.members) == 1 for segment in graph.segments)
