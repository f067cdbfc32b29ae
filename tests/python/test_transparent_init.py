# SPDX-License-Identifier: Apache-2.0
"""transparent_init_ of existing layers, its rivals, growing a network, and the measures."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

import mrfcore.nn as mrf  # noqa: E402


def seeded(seed: int = 0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, scale: float = 10.0):
    return scale * (2 * torch.rand(shape, generator=seeded(7), dtype=torch.float64) - 1)


def parameters_of(modules):
    return [p.detach().clone() for m in modules for p in m.parameters()]


# --- layers that exist --------------------------------------------------------------------------


LAYERS = {
    "linear": (lambda: nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 7), nn.Linear(7, 4)), (5, 4)),
    "relu": (
        lambda: nn.Sequential(
            nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 14), nn.LeakyReLU(0.3), nn.Linear(14, 4)
        ),
        (5, 4),
    ),
    "some activations": (
        lambda: nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 10), nn.Softplus(), nn.Linear(10, 4)),
        (5, 4),
    ),
    "nested": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv1d(3, 8, 1), nn.GELU()), nn.Identity(), nn.Conv1d(8, 3, 1)
        ),
        (2, 3, 11),
    ),
    "pair": (
        lambda: nn.Sequential(
            nn.Conv3d(3, 8, 1), mrf.PairActivation(nn.Tanh()), nn.Conv3d(8, 3, 1)
        ),
        (2, 3, 4, 5, 6),
    ),
    "no bias in front": (
        lambda: nn.Sequential(nn.Linear(4, 10, bias=False), nn.ReLU(), nn.Linear(10, 4)),
        (5, 4),
    ),
    "no bias at the end": (
        lambda: nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 4, bias=False)),
        (5, 4),
    ),
}


@pytest.mark.parametrize("weights", ["normal", "orthogonal"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_become_the_identity(name, weights) -> None:
    make, shape = LAYERS[name]
    layers = make().double()
    report = mrf.transparent_init_(layers, weights=weights, generator=seeded())
    x = uniform(*shape)
    with torch.no_grad():
        assert (layers(x) - x).abs().max() < (1e-7 if "some" in name else 1e-10)
    assert 1 <= report.condition < 1e4
    assert report.exact_margin == (0,) * (len(shape) - 2)


def test_a_list_of_layers_with_the_activation_told() -> None:
    layers = [nn.Linear(4, 10), nn.Linear(10, 4)]
    mrf.transparent_init_(layers, "relu", generator=seeded())
    x = uniform(5, 4).float()
    assert torch.allclose(layers[1](layers[0](x).relu()), x, atol=1e-4)


@pytest.mark.parametrize(
    ("kernels", "mode", "dilation", "margin"),
    [
        ((3, 3), "zeros", 1, 1),
        ((3, 3), "circular", 1, 0),
        ((5, 5), "reflect", 1, 2),
        ((3, 3, 3), "zeros", 2, 4),
        ((3, 1, 3), "zeros", 1, 1),
        ((1, 3, 5), "replicate", 1, 3),
    ],
)
def test_convolutions_with_a_neighbourhood(kernels, mode, dilation, margin) -> None:
    widths = [3, *(12 for _ in kernels[1:]), 3]
    layers = nn.Sequential()
    for number, kernel in enumerate(kernels):
        if number:
            layers.append(nn.ReLU())
        pad = dilation * (kernel - 1) // 2
        layers.append(
            nn.Conv2d(*widths[number : number + 2], kernel, 1, pad, dilation, padding_mode=mode)
        )
    layers = layers.double()
    report = mrf.transparent_init_(layers, generator=seeded())
    assert report.exact_margin == (margin, margin)
    x = uniform(2, 3, 20, 23)
    with torch.no_grad():
        error = (layers(x) - x).abs().amax((0, 1))
    inside = error[margin:-margin, margin:-margin] if margin else error
    assert inside.max() < 1e-11
    assert all(
        (one.weight != 0).any((0, 1)).sum() > 1 for one in layers[::2] if one.kernel_size[0] > 1
    )


def test_a_sequence_is_drawn_anew() -> None:
    sequence = mrf.TransparentSequence([3, 5, 3], generator=seeded(1))
    with torch.no_grad():
        sequence.layers[0].weight.zero_()
    mrf.transparent_init_(sequence, generator=seeded(2))
    x = uniform(1, 3, 4, 4).float()
    assert torch.allclose(sequence(x), x, atol=1e-4)


BAD = {
    "one layer": ([nn.Linear(4, 4)], r"modules: expected two layers or more, got 1"),
    "odd": (
        [nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 4)],
        r"modules\[0\]: expected an even number, for y and -y, of outputs >= 2 x 4 .* got 9",
    ),
    "narrow with an activation": (
        [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)],
        r"modules\[0\]: .*outputs >= 2 x 4 .* got 6",
    ),
    "narrow": ([nn.Linear(4, 3), nn.Linear(3, 4)], r"modules\[0\]: .*outputs >= 1 x 4 .* got 3"),
    "other end": ([nn.Linear(4, 6), nn.Linear(6, 5)], r"modules\[1\]: expected 4 outputs.* got 5"),
    "gap": ([nn.Linear(4, 6), nn.Linear(7, 4)], r"modules\[1\]: expected 6 input channels.* got 7"),
    "tanh": (
        [nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)],
        r"activation: Tanh in front of modules\[2\] has no c .* PairActivation\(Tanh\(\), dim=-1\)",
    ),
    "norm": (
        [nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)],
        r"modules\[1\]: BatchNorm2d cannot be made transparent",
    ),
    "two activations": (
        [nn.Linear(4, 8), nn.ReLU(), nn.GELU(), nn.Linear(8, 4)],
        r"modules\[2\]: GELU directly behind the activation modules\[1\]",
    ),
    "behind": (
        [nn.Linear(4, 8), nn.Linear(8, 4), nn.ReLU()],
        r"modules\[2\]: an activation behind the last layer",
    ),
    "in front": ([nn.ReLU(), nn.Linear(4, 8), nn.Linear(8, 4)], r"modules\[0\]: ReLU in front of"),
    "mixed": (
        [nn.Conv2d(4, 8, 1), nn.Conv1d(8, 4, 1)],
        r"modules\[1\]: expected Conv2d like modules\[0\], got Conv1d",
    ),
    "stride": (
        [nn.Conv2d(4, 8, 1, stride=2), nn.Conv2d(8, 4, 1)],
        r"modules\[0\]: expected stride 1, got \(2, 2\)",
    ),
    "groups": (
        [nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 4, 1)],
        r"modules\[0\]: expected groups 1, got 2",
    ),
    "even": (
        [nn.Conv2d(4, 8, 2), nn.Conv2d(8, 4, 2)],
        r"modules\[0\]: expected an odd kernel_size, got \(2, 2\)",
    ),
    "padding": (
        [nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 3)],
        r"modules\[0\]: expected padding 1 .* got \(0, 0\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_layers_that_cannot_be_transparent_stay_as_they_are(name) -> None:
    layers, message = BAD[name]
    before = parameters_of(layers)
    with pytest.raises(ValueError, match=message):
        mrf.transparent_init_(layers)
    assert all(map(torch.equal, before, parameters_of(layers)))


def test_activation_may_not_be_told_twice() -> None:
    with pytest.raises(ValueError, match=r"activation: expected None, for modules\[1\]"):
        mrf.transparent_init_([nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)], "relu")
    with pytest.raises(TypeError, match=r"modules: expected an nn.Sequential.* got Linear"):
        mrf.transparent_init_(nn.Linear(4, 8))
    with pytest.raises(TypeError, match=r"modules\[1\]: expected a module, got type"):
        mrf.transparent_init_([nn.Linear(4, 8), nn.ReLU, nn.Linear(8, 4)])


class Hooked(nn.Linear):
    """A layer that does more than its weights say."""

    def forward(self, x):
        return super().forward(x) + 1


def pruned():
    return prune.l1_unstructured(nn.Linear(8, 16), "weight", 0.3)


def test_layers_whose_weights_are_not_theirs_are_refused() -> None:
    one = nn.Linear(8, 8)
    tied = nn.Linear(8, 8)
    tied.weight = one.weight
    weighed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 16))
    for layers, words in (
        ([one, one], r"modules\[1\]: shares its weight with modules\[0\]"),
        ([one, tied], r"modules\[1\]: shares its weight with modules\[0\]"),
        ([pruned(), nn.ReLU(), nn.Linear(16, 8)], r"modules\[0\]: its weight is computed"),
        ([weighed, nn.ReLU(), nn.Linear(16, 8)], r"modules\[0\]: its weight is computed"),
        ([nn.Linear(8, 16), nn.ReLU(), Hooked(16, 8)], r"modules\[2\]: expected Linear like"),
        ([Hooked(8, 16), nn.ReLU(), Hooked(16, 8)], r"modules: the layers do more than they say"),
        (
            [nn.Conv2d(8, 24, 1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 8, 1)],
            r"modules\[1\]: AdaptiveAvgPool2d cannot be made transparent",
        ),
    ):
        before = parameters_of(layers)
        with pytest.raises(ValueError, match=words):
            mrf.transparent_init_(layers)
        assert all(map(torch.equal, before, parameters_of(layers)))


def test_one_activation_in_several_places() -> None:
    act = nn.ReLU()
    layers = nn.Sequential(nn.Linear(8, 24), act, nn.Linear(24, 24), act, nn.Linear(24, 8))
    mrf.transparent_init_(layers)
    x = uniform(5, 8).float()
    assert torch.allclose(layers(x), x, atol=1e-3)


def test_pairs_must_be_of_the_right_axis() -> None:
    layers = [nn.Linear(4, 12), mrf.PairActivation(nn.Tanh()), nn.Linear(12, 4)]
    with pytest.raises(ValueError, match=r"activation: expected .* dim=-1 behind nn.Linear, got"):
        mrf.transparent_init_(layers)
    layers[1] = mrf.PairActivation(nn.Tanh(), dim=-1)
    mrf.transparent_init_(layers)
    x = uniform(3, 5, 4).float()
    assert torch.allclose(layers[2](layers[1](layers[0](x))), x, atol=1e-4)


def test_activations_that_work_in_place() -> None:
    layers = nn.Sequential(nn.Linear(4, 12), nn.ReLU(inplace=True), nn.Linear(12, 4))
    mrf.transparent_init_(layers)
    x = uniform(5, 4).float()
    assert torch.allclose(layers(x), x, atol=1e-4)
    pair = mrf.PairActivation(nn.ELU(inplace=True))
    y = uniform(2, 6, 3, 3).requires_grad_()
    before = y.detach().clone()
    assert torch.autograd.gradcheck(pair, (y,))
    assert torch.equal(y.detach(), before)


# --- rivals and measures ------------------------------------------------------------------------


def stack(activation=None):
    layers = [nn.Conv2d(42, 42, 1) for _ in range(3)]
    if activation is None:
        return nn.Sequential(*layers)
    return nn.Sequential(layers[0], activation, layers[1], activation, layers[2])


def test_rivals_by_their_definitions() -> None:
    layers = stack()
    mrf.random_init_(layers, generator=seeded())
    weights = torch.cat([one.weight.detach().flatten() for one in layers])
    assert weights.min() >= 0
    assert weights.max() < 1
    assert float(weights.mean()) == pytest.approx(0.5, abs=0.02)
    mrf.xavier_init_(layers, generator=seeded())
    assert float(layers[0].weight.detach().var()) == pytest.approx(2 / 84, rel=0.1)
    mrf.net2net_init_(layers)
    assert torch.equal(layers[1].weight[:, :, 0, 0], torch.eye(42))
    assert all((one.bias == 0).all() for one in layers)


def test_net2net_takes_square_layers_only() -> None:
    layers = [nn.Linear(4, 4), nn.Linear(4, 6)]
    before = parameters_of(layers)
    with pytest.raises(ValueError, match=r"modules\[1\]: expected as many outputs.* got 4 to 6"):
        mrf.net2net_init_(layers)
    assert all(map(torch.equal, before, parameters_of(layers)))


def test_net2net_loses_what_is_negative_and_we_do_not() -> None:
    x = uniform(1, 42, 32, 32).float()
    rival = stack(nn.ReLU())
    mrf.net2net_init_(rival)
    assert mrf.transparency_report(rival, x).recovery_rate == pytest.approx(
        100 * float((x > -1e-4).float().mean()), abs=0.01
    )
    ours = mrf.TransparentSequence([42, 64, 64, 42], generator=seeded())
    assert mrf.transparency_report(ours, x).recovery_rate == 100


def test_measures_by_hand() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.5]]))
        layer.bias.copy_(torch.tensor([0.0, 0.5]))
    report = mrf.transparency_report(layer, torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
    assert report.init_rate == 50  # 1, 1.5 and 0.5 of six
    assert report.recovery_rate == 75  # 1.5 (-1) + 0.5 = -1, too
    assert report.max_error == 1.5
    x = torch.tensor([[100.0, 300.0]])
    assert mrf.transparency_report(layer, x, eps=0.6, relative=True).recovery_rate == 100


def test_a_nan_is_not_recovered() -> None:
    report = mrf.transparency_report(nn.Identity(), torch.tensor([[1.0], [math.nan], [2.0]]))
    assert math.isnan(report.max_error)
    assert report.recovery_rate == pytest.approx(200 / 3)


def test_measures_refuse_what_has_no_meaning() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"module: expected outputs of shape \[1, 3\].* \[1, 4\]"):
        mrf.transparency_report(nn.Linear(3, 4), x)
    with pytest.raises(ValueError, match=r"eps: expected a finite number > 0, got 0"):
        mrf.transparency_report(nn.Linear(3, 3), x, eps=0)
    with pytest.raises(TypeError, match=r"x: expected a tensor of floating"):
        mrf.transparency_report(nn.Linear(3, 3), x.long())


# --- growing a network --------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return {"logits": self.head(self.body(x).mean((2, 3))), "features": self.body(x)}


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("head", {}),
        ("body.0", {"kernel_size": 3, "activation": "tanh"}),
        ("body.1", {"layers": 2}),
        ("body", {"channels": 6, "dims": 2}),
        (["head", "body.0"], {"activation": None}),
        ("head", {"widths": [4, 9, 7, 4]}),
        ("body", {}),  # whose last module, a ReLU, does not tell: the example does
        ("body.2", {"kernel_size": 3}),
    ],
)
def test_a_grown_network_computes_the_same(where, options) -> None:
    net = Net().eval()
    x = torch.rand(2, 3, 9, 8, generator=seeded())
    grown = mrf.insert_transparent(net, where, example=x, generator=seeded(), **options)
    assert len(list(grown.parameters())) > len(list(net.parameters()))
    for name, value in net(x).items():
        assert torch.allclose(grown(x)[name], value, atol=1e-4)


def test_growing_in_place_and_learning_on() -> None:
    """The first step after growing lowers the loss; with Xavier's weights it starts at chance."""
    torch.manual_seed(0)
    x = torch.randn(256, 8, generator=seeded())
    truth = (x[:, :4].sum(1) > 0).long() + 2 * (x[:, 4:].sum(1) > 0).long()
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        functional.cross_entropy(net(x), truth).backward()
        optimiser.step()

    def accuracy(model) -> float:
        return float((model(x).argmax(1) == truth).float().mean())

    trained = accuracy(net)
    assert trained > 0.95
    grown = mrf.insert_transparent(net, "2", inplace=True, example=x, generator=seeded())
    assert grown is net
    assert accuracy(grown) == trained
    rival = copy.deepcopy(grown)
    mrf.random_init_(rival[2][1], generator=seeded())
    assert accuracy(rival) < 0.6
    optimiser = torch.optim.SGD(grown.parameters(), 1e-3)
    before = functional.cross_entropy(grown(x), truth)
    before.backward()
    optimiser.step()
    assert functional.cross_entropy(grown(x), truth) < before


def test_a_model_in_float16_grows_in_float32() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).half()
    x = torch.rand(5, 4, generator=seeded()).half()
    grown = mrf.insert_transparent(net, "0", generator=seeded())
    assert torch.allclose(grown(x), net(x), atol=2e-3)
    assert grown[0][1].layers[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("where", "options", "message"),
    [
        ("heads", {}, r"where: Net has no module named 'heads'; did you mean 'head'"),
        ("", {}, r"where: Net has no module named ''"),
        ("body", {}, r"where: Sequential 'body' does not tell .* channels and dims, or an example"),
        ("head", {"example": 3}, r"example: Net fails on it"),
        ("head", {"widths": [5, 8, 5]}, r"widths: expected widths\[0\] = 4, .* got 5"),
        ("head", {"widths": [4, 3, 4]}, r"widths: widths\[1\] = 3 below"),
        ("head", {"layers": 1}, r"layers: expected a number >= 2, got 1"),
        ("head", {"layers": 2, "widths": [4, 6, 4]}, r"layers: expected None beside widths"),
        ("head", {"channels": 8}, r"channels: 'head' has 4 outputs, got 8"),
        ("head", {"channels": 0}, r"channels: expected a number >= 1, got 0"),
        (["body.0", "body"], {}, r"where: 'body.0' lies inside 'body'"),
        (["head", "head"], {}, r"where: expected each name once"),
    ],
)
def test_growing_where_it_cannot_be(where, options, message) -> None:
    net = Net()
    names = list(net.state_dict())
    with pytest.raises(ValueError, match=message):
        mrf.insert_transparent(net, where, inplace=True, **options)
    assert list(net.state_dict()) == names


class Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return {"shape": self.inner(x).shape}


def test_a_check_that_fails_leaves_the_model_alone() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return x @ getattr(self.inner, "weight", torch.zeros(3, 3))

    net = Odd()
    names = list(net.state_dict())
    with pytest.raises(ValueError, match=r"example: output 0 has changed by"):
        mrf.insert_transparent(net, "inner", example=torch.ones(2, 3), inplace=True)
    assert list(net.state_dict()) == names
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(ValueError, match=r"example: with the new layers the model fails"):
        mrf.insert_transparent(attention, "self_attn.out_proj", example=torch.rand(1, 3, 8))
    with pytest.raises(ValueError, match=r"example: Silent returns no tensors"):
        mrf.insert_transparent(Silent(), "inner", example=torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"where: expected the name of a module"):
        mrf.insert_transparent(net, 3)
