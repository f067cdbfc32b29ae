# SPDX-License-Identifier: Apache-2.0
"""Importance: against masks that are variables, finite differences and hand-worked numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.func import functional_call  # noqa: E402

from mrfcore import models, pruning  # noqa: E402
from mrfcore.pruning.scores import softmax_weights  # noqa: E402
from pruning_nets import BLOCKS, Chain, example  # noqa: E402


def loss(output, target):
    return (output - target).square().mean()


def set_up(block, batches=3):
    torch.manual_seed(1)
    model = (BLOCKS[block]() if isinstance(block, str) else block).double()
    inputs = tuple(x.double() for x in example(model))
    graph = pruning.trace(model, inputs)
    made = []
    for _ in range(batches):
        xs = tuple(torch.randn_like(x) for x in inputs)
        made.append((xs, torch.randn_like(model.eval()(*xs))))
    model.train()
    return model, graph, made


def brute_force(model, graph, batches):
    """dL/dc for an explicit mask c on each parameter, for each batch."""
    parameters = dict(model.named_parameters())
    names = [n for layer in graph.layers for n in (layer.weight, layer.bias) if n is not None]
    found = []
    for xs, target in batches:
        masks = {n: torch.ones_like(parameters[n], requires_grad=True) for n in names}
        state = {n: parameters[n].detach() * masks[n] for n in names}
        value = loss(functional_call(model, state, xs), target)
        grads = torch.autograd.grad(value, list(masks.values()))
        found.append(dict(zip(masks, grads, strict=True)))
    return found


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("block", ["chain-plain", "deconv", "grouped", "depthwise"])
def test_mpmg_is_brute_force(block, reduce):
    model, graph, batches = set_up(block)
    masks = brute_force(model, graph, batches)
    gradients = pruning.mask_gradients(model, graph, loss, batches)
    scores = pruning.importance(graph, gradients, "mpmg", reduce)
    for layer in graph.layers:
        weight = torch.stack([one[layer.weight].abs() for one in masks]).mean(0)
        outputs = layer.out_channels
        wanted = []
        for neuron in range(outputs):
            if layer.kind == "deconv":  # [in, out / groups]: rows of its group
                per = outputs // layer.groups
                group = neuron // per
                rows = layer.in_channels // layer.groups
                own = weight[group * rows : (group + 1) * rows, neuron % per].flatten()
            else:
                own = weight[neuron].flatten()
            if layer.bias is not None:
                bias = torch.stack([one[layer.bias].abs() for one in masks]).mean(0)
                own = torch.cat([own, bias[neuron : neuron + 1]])
            wanted.append({"sum": own.sum(), "mean": own.mean(), "max": own.max()}[reduce])
        torch.testing.assert_close(scores[layer.name], torch.stack(wanted), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("block", ["chain-2d", "concat", "residual", "deconv", "gated"])
def test_post_activation_mnmg_is_a_finite_difference(block):
    """The loss when one post-activation is scaled a little, by the network's own masks."""
    model, graph, batches = set_up(block, 2)
    gradients = pruning.mask_gradients(model, graph, loss, batches)
    scores = pruning.importance(graph, gradients, "mnmg")
    step = 1e-5

    def mean_loss(name, neuron, scale):
        c = {one.name: torch.ones(one.out_channels).double() for one in graph.layers}
        c[name][neuron] = scale
        with torch.no_grad():
            return sum(float(loss(model(*xs, c=c), target)) for xs, target in batches) / 2

    # Layers by whose name these networks look up masks. "a" of the gated one is put thrice, and
    # read by others than layers in between.
    checked = 0
    for name in {"residual": ("a", "inner"), "gated": ("squeeze",)}.get(
        block, [one.name for one in graph.layers if one.fixed is None and one.name != "each"]
    ):
        for neuron in range(0, graph.layer(name).out_channels, 2):
            up, down = (mean_loss(name, neuron, 1 + sign * step) for sign in (1, -1))
            wanted = abs(up - down) / (2 * step)
            if block == "residual" and name == "a":
                continue  # a mask at three places in turn is not one on a sum
            if block == "deconv" and name == "up":
                continue  # likewise: once before and once behind the depthwise layer
            assert float(scores[name][neuron]) == pytest.approx(wanted, rel=1e-5, abs=1e-9)
            checked += 1
    assert checked >= 2


def test_param_sum_vanishes_under_normalisation():
    """Section 4.1 of the errata: (5.8) does not hold right before batch normalisation."""
    torch.manual_seed(0)
    model, graph, batches = set_up(Chain(2, bias=False))
    gradients = pruning.mask_gradients(model, graph, loss, batches)
    signed = pruning.importance(graph, gradients, "mnmg", mnmg="param_sum")
    sizes = pruning.importance(graph, gradients, "mpmg")
    after = pruning.importance(graph, gradients, "mnmg")
    for name in ("a", "b"):
        # Not exactly 0: eps of the normalisation breaks the invariance a little.
        assert signed[name].mean() < 1e-3 * sizes[name].mean()
        assert after[name].mean() > 1e-2 * sizes[name].mean()


def test_param_sum_is_post_activation_without_normalisation():
    """Proposition 1, with a homogeneous activation and the bias among the parameters."""
    model, graph, batches = set_up("chain-plain")
    gradients = pruning.mask_gradients(model, graph, loss, batches)
    signed = pruning.importance(graph, gradients, "mnmg", mnmg="param_sum")
    after = pruning.importance(graph, gradients, "mnmg")
    for name in ("a", "b", "h"):
        torch.testing.assert_close(signed[name], after[name], rtol=1e-9, atol=1e-12)


def test_model_is_as_before():
    model, graph, batches = set_up("chain-2d")
    model.an.eval()
    model.a.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    pruning.mask_gradients(model, graph, loss, batches)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert model.training
    assert not model.an.training
    assert not model.a.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_weighing_by_hand():
    scores = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([4.0, 8.0, 6.0])}
    found = pruning.weigh(scores)
    assert found["a"].tolist() == [3.0, 9.0]
    assert found["b"].tolist() == [4.0, 8.0, 6.0]
    with pytest.raises(ValueError, match="scores: all of layer b are 0"):
        pruning.weigh({"a": torch.ones(2), "b": torch.zeros(3)})


def test_reweighing_by_hand():
    scores = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0])}
    found = pruning.reweigh(scores, {"a": 2e9, "b": 1e9}, 10.0)
    e = 2.718281828459045
    a, b = e**-1, e**-0.5
    assert found["a"].item() == pytest.approx(1 + 10 * a / (a + b))
    assert found["b"].item() == pytest.approx(1 + 10 * b / (a + b))
    assert pruning.reweigh(scores, {"a": 2.0, "b": 1.0}, 0.0)["a"].item() == 1.0
    with pytest.raises(ValueError, match="lambda_"):
        pruning.reweigh(scores, {"a": 2.0, "b": 1.0}, -1.0)
    with pytest.raises(ValueError, match="resources: none for layer b"):
        pruning.reweigh(scores, {"a": 2.0}, 1.0)


def test_softmax_weights_of_shapenet():
    """RANP-f's, of the 15-layer network at 64^3, as worked out from the authors' rule."""
    with torch.device("meta"):
        model = models.create_model("unet3d-15")
        volume = torch.empty(1, 1, 64, 64, 64)
    graph = pruning.trace(model, volume)
    tau = pruning.layer_resources(model, graph, volume, "flops")
    weights = softmax_weights(tau)
    wanted = [
        0.0776, 0.0658, 0.0746, 0.0716, 0.0762, 0.0746, 0.0770, 0.0762, 0.0606, 0.0716, 0.0472,
        0.0658, 0.0286, 0.0557, 0.0770,
    ]  # fmt: skip
    assert list(weights.values()) == pytest.approx(wanted, abs=6e-5)
    assert sum(weights.values()) == pytest.approx(1)
    order = sorted(tau, key=tau.get)
    assert [weights[name] for name in order] == sorted(weights.values(), reverse=True)


def test_losses_that_will_not_do():
    model, graph, batches = set_up("chain-2d")
    for bad, message in (
        (lambda _, __: torch.zeros(2), r"expected a scalar tensor for batch 0, got \[2\]"),
        (lambda out, _: out.sum() * float("nan"), "is nan for batch 0"),
        (lambda _, __: torch.tensor(1.0), "does not depend"),
        (lambda _, __: 1.0, "got float"),
    ):
        with pytest.raises(ValueError, match=message):
            pruning.mask_gradients(model, graph, bad, batches)
    with pytest.raises(ValueError, match="batches: expected at least one"):
        pruning.mask_gradients(model, graph, loss, [])
    gradients = pruning.mask_gradients(model, graph, loss, batches)
    for key, value in (("kind", "mmpg"), ("reduce", "median"), ("mnmg", "pre")):
        with pytest.raises(ValueError, match=f"{key}: expected one of"):
            pruning.importance(graph, gradients, **{key: value})


def test_snip_by_hand():
    """Weights that survive alone, without one that reads them, go."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False),
                          nn.ReLU(), nn.Linear(3, 1, bias=False))  # fmt: skip
    graph = pruning.trace(model, torch.zeros(1, 2))
    absolute = {
        "0.weight": torch.tensor([[9.0, 0.0], [0.0, 8.0], [0.1, 0.0]]),
        # neuron 0 reads 0; neuron 1 reads the third of the layer before, which is gone; 2 nothing
        "2.weight": torch.tensor([[7.0, 0.0, 0.0], [0.0, 0.0, 6.0], [0.0, 0.0, 0.0]]),
        "4.weight": torch.zeros(1, 3),
    }
    gradients = pruning.MaskGradients(absolute, absolute, 1, 0.0)
    masks = pruning.snip_masks(graph, gradients, 1 - 4 / 18)  # 9, 8, 7, 6 are left
    assert masks["0"].tolist() == [True, False, False]
    assert masks["2"].tolist() == [True, False, False]
    assert masks["4"].tolist() == [True]
