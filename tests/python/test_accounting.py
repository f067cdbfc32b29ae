# SPDX-License-Identifier: Apache-2.0
"""What networks cost: against the printed tables, loops that count, and small cases by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from mrfcore import models  # noqa: E402
from mrfcore.pruning.accounting import profile  # noqa: E402

# Name, batch, layers, neurons; MB, GFLOPs, MB as printed in Tables 5.2 and 5.6 of the thesis, and
# operations in units of 10^9 by (5.12a), from a count that was made apart from this one.
FULL: dict[str, tuple[int, int, int, tuple[float, float, float], float | None]] = {
    "unet3d-15": (1, 15, 2386, (62.26, 237.85, 997.00), 474.969),
    "unet3d-15-brats": (1, 15, 1173, (15.57, 478.13, 3628.00), 953.441),
    "unet3d-23": (1, 23, 9042, (791.31, 259.59, 1005.97), 518.455),
    "mobilenetv2-3d": (1, 53, 17157, (9.47, 0.58, 157.47), 1.023),
    "i3d": (1, 58, 7381, (47.27, 27.88, 201.28), 55.553),
    "psmnet": (3, 89, 5635, (19.93, 771.02, 7217.37), None),
}
NEURONS = ("conv", "deconv", "linear")


def on_meta(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return models.create_model(name, **options)


# ---------------------------------------------------------------- printed tables


@pytest.mark.parametrize("name", FULL)
def test_full_rows_as_printed(name: str) -> None:
    batch, layers, neurons, printed, flops = FULL[name]
    model, shapes = on_meta(name), models.model_entry(name).input_shapes
    found = profile(model, shapes, batch=batch)
    rows = [row for row in found.layers if row.kind in NEURONS]
    assert (len(rows), sum(row.out_channels or 0 for row in rows)) == (layers, neurons)
    ours = (found.parameters_mb, found.gflops, found.memory_mb)
    assert tuple(round(value, 2) for value in ours) == printed
    assert found.uncounted == ()
    if flops is not None:
        assert round(profile(model, shapes, "exact").gflops, 3) == flops


def test_a_pair_at_a_time_and_transposed_convolutions_by_their_inputs() -> None:
    """PSMNet: 771.02 takes three pairs, and 8 times the products of its six deconvolutions."""
    model, shapes = on_meta("psmnet"), models.model_entry("psmnet").input_shapes
    one, three = profile(model, shapes), profile(model, shapes, batch=3)
    assert one.gflops == pytest.approx(257.006, abs=5e-4)
    assert one.memory_mb == pytest.approx(2405.79, abs=5e-3)
    assert (one.flops * 3, one.memory * 3) == (three.flops, three.memory)
    counted = sum(row.flops for row in three.layers if row.kind == "deconv")
    assert counted / 1e9 == pytest.approx(244.61, abs=5e-3)
    assert (three.flops - counted * 7 / 8) / 1e9 == pytest.approx(556.98, abs=5e-3)
    exact = {row.name: row.flops for row in profile(model, shapes, "exact").layers}
    for row in one.layers:
        if row.kind == "deconv":
            assert exact[row.name] == 2 * row.flops / 8 - row.memory_elements


def test_tau_is_the_memory_of_a_convolution() -> None:
    rows = {row.name: row for row in profile(on_meta("unet3d-15"), (1, 64, 64, 64)).layers}
    first = rows["encoders.0.0.0"]
    assert (first.kind, first.out_channels, first.params) == ("conv", 32, 27 * 32)
    assert first.memory_elements == 32 * 64**3
    assert first.flops == 27 * 32 * 64**3
    assert rows["head"].flops == 65 * 50 * 64**3


# ---------------------------------------------------------------- loops


class Counter:
    """Multiplies and adds, and knows how often."""

    def __init__(self) -> None:
        self.operations = 0

    def total(self, terms: list[tuple[float, float]], bias: float | None) -> float:
        values = []
        for one, other in terms:
            values.append(one * other)
            self.operations += 1
        if bias is not None:
            values.append(bias)
        total = values[0]
        for value in values[1:]:
            total += value
            self.operations += 1
        return total


def loop_conv(layer: Any, x: Any, count: Counter) -> Any:
    """Of [1, C, *size], zeros around it added before; any number of dimensions."""
    pads = [n for p in reversed(layer.padding) for n in (p, p)]
    x = nn.functional.pad(x, pads)
    axes = x.dim() - 2
    sizes = [
        (x.shape[2 + a] - layer.dilation[a] * (layer.kernel_size[a] - 1) - 1) // layer.stride[a] + 1
        for a in range(axes)
    ]
    y = torch.empty(1, layer.out_channels, *sizes)
    share = layer.in_channels // layer.groups
    for out in range(layer.out_channels):
        start = out // (layer.out_channels // layer.groups) * share
        for place in itertools.product(*map(range, sizes)):
            terms = []
            for c in range(share):
                for tap in itertools.product(*map(range, layer.kernel_size)):
                    at = tuple(
                        place[a] * layer.stride[a] + tap[a] * layer.dilation[a] for a in range(axes)
                    )
                    weight = layer.weight[(out, c, *tap)].item()
                    terms.append((x[(0, start + c, *at)].item(), weight))
            bias = None if layer.bias is None else layer.bias[out].item()
            y[(0, out, *place)] = count.total(terms, bias)
    return y


def loop_deconv(layer: Any, x: Any, count: Counter) -> Any:
    """Every number of the input, times each of its weights, goes to one output; no padding."""
    axes = x.dim() - 2
    sizes = [(x.shape[2 + a] - 1) * layer.stride[a] + layer.kernel_size[a] for a in range(axes)]
    terms: dict[Any, list[tuple[float, float]]] = {}
    per_in = layer.in_channels // layer.groups
    per_out = layer.out_channels // layer.groups
    for c in range(layer.in_channels):
        for place in itertools.product(*(range(n) for n in x.shape[2:])):
            for o in range(per_out):
                for tap in itertools.product(*map(range, layer.kernel_size)):
                    at = tuple(place[a] * layer.stride[a] + tap[a] for a in range(axes))
                    key = (0, c // per_in * per_out + o, *at)
                    weight = layer.weight[(c, o, *tap)].item()
                    terms.setdefault(key, []).append((x[(0, c, *place)].item(), weight))
    y = torch.empty(1, layer.out_channels, *sizes)
    for key, products in terms.items():
        y[key] = count.total(products, None if layer.bias is None else layer.bias[key[1]].item())
    assert len(terms) == y.numel()
    return y


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 3, stride=2, bias=True), (2, 8)),
        (nn.Conv2d(4, 6, (3, 2), padding=(1, 0), groups=2, bias=False), (4, 4, 5)),
        (nn.Conv2d(3, 3, 3, padding=2, dilation=2, groups=3), (3, 4, 3)),
        (nn.Conv3d(2, 3, 2, stride=(1, 2, 1), bias=True), (2, 3, 4, 3)),
        (nn.Conv3d(2, 4, 1, bias=False), (2, 2, 3, 2)),
    ],
    ids=str,
)
def test_convolutions_by_loops(layer: Any, shape: tuple[int, ...]) -> None:
    x, count = torch.rand(1, *shape), Counter()
    torch.testing.assert_close(loop_conv(layer, x, count), layer(x))
    assert profile(layer, shape, "exact").flops == count.operations
    # The thesis counts an operation per product, and one per output with a bias.
    outputs = layer(x).numel()
    bias = layer.bias is not None
    assert profile(layer, shape).flops == (count.operations + outputs * (1 + bias)) // 2


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 4)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False), (4, 2, 3)),
        (nn.ConvTranspose3d(2, 3, 2, stride=(2, 1, 2), bias=True), (2, 2, 3, 2)),
        (nn.ConvTranspose3d(2, 2, 2, stride=2, bias=False), (2, 2, 2, 2)),
    ],
    ids=str,
)
def test_transposed_convolutions_by_loops(layer: Any, shape: tuple[int, ...]) -> None:
    x, count = torch.rand(1, *shape), Counter()
    torch.testing.assert_close(loop_deconv(layer, x, count), layer(x))
    assert profile(layer, shape, "exact").flops == count.operations


def test_products_of_matrices_by_loops() -> None:
    for bias in (True, False):
        layer, count = nn.Linear(5, 3, bias=bias), Counter()
        x = torch.rand(2, 4, 5)
        for row in x.reshape(-1, 5).tolist():
            for k, weights in enumerate(layer.weight.tolist()):
                terms = list(zip(row, weights, strict=True))
                count.total(terms, layer.bias[k].item() if bias else None)
        assert profile(layer, x, "exact").flops == count.operations
        assert profile(layer, x).flops == count.operations == 8 * 3 * (9 + bias)

    class Product(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x @ y

    found = profile(Product(), ((4, 5), (5, 3)), "exact", batch=2)
    assert found.flops == 2 * 4 * 3 * 9
    assert profile(Product(), ((4, 5), (5, 3)), batch=2).flops == 0


# ---------------------------------------------------------------- the thesis's rule, by hand


class Mixed(nn.Module):
    """All kinds of layers, one of them called twice, and functions that are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.average = nn.AvgPool2d(2)
        self.largest = nn.MaxPool2d(2)
        self.whole = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 2)
        self.softmax = nn.Softmax(1)

    def forward(self, x: Any) -> Any:
        x = self.relu(self.relu(self.norm(self.conv(x))))
        x = nn.functional.relu(torch.cat([self.average(x)[:, :2], self.largest(x)[:, :2]], 1))
        return self.softmax(self.last(self.drop(self.whole(x).flatten(1))))


def test_modules_one_by_one() -> None:
    found = profile(Mixed(), (3, 8, 8), batch=2)
    rows = {
        row.name: (row.kind, row.params, row.flops, row.memory_elements) for row in found.layers
    }
    full = 2 * 4 * 64
    assert rows == {
        "conv": ("conv", 112, full * 28, full),
        "norm": ("norm", 8, full * 4, full),
        "relu": ("activation", 0, 0, 2 * full),
        "average": ("pool", 0, full // 4 * 5, full // 4),
        "largest": ("pool", 0, 0, full // 4),
        "whole": ("pool", 0, 8 * 17, 8),
        "drop": ("other", 0, 0, 8),
        "last": ("linear", 10, 4 * 8, 4),
        "softmax": ("activation", 0, 2 * 5, 4),
    }
    assert found.parameters == 130
    assert found.flops == sum(row[2] for row in rows.values())
    assert found.memory == sum(row[3] for row in rows.values())
    assert found.memory_mb == found.memory * 4 / 2**20
    assert found.parameters_mb == 130 * 4 / 2**20


def test_inputs_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.last(input=self.norm(input=x))

    found = profile(Named(), (4,), batch=3)
    assert [row.flops for row in found.layers] == [4 * 12, 6 * 8]


def test_shared_parameters_count_once() -> None:
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = one.weight
    found = profile(nn.Sequential(one, nn.ReLU(), other, one), (4,))
    assert [(row.name, row.params) for row in found.layers] == [("0", 20), ("1", 0), ("2", 4)]
    assert found.layers[0].flops == 2 * found.layers[2].flops
    assert found.parameters == 24


def test_nothing_is_missed_silently() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.unused = nn.Conv2d(3, 7, 1)
            self.mix = nn.Bilinear(3, 3, 2)

        def forward(self, x: Any) -> Any:
            return self.mix(x * self.scale, x)

    found = profile(Scaled(), (3,))
    assert found.uncounted == ("", "unused", "mix")
    assert [(row.name, row.params) for row in found.layers] == [
        ("", 3),
        ("unused", 28),
        ("mix", 20),
    ]
    assert found.parameters == models.count_parameters(Scaled())

    # By the exact rule only matrices have operations, and torch knows none of these.
    assert profile(Scaled(), (3,), "exact").uncounted == ("unused", "mix")


def test_layers_whose_weights_others_use() -> None:
    class Sequences(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(4, 4)
            self.attention = nn.MultiheadAttention(4, 2)

        def forward(self, x: Any) -> Any:
            y = self.recurrent(x)[0]
            return self.attention(y, y, y)[0]

    found = profile(Sequences(), (6, 4), batch=5)
    assert found.uncounted == ("recurrent", "attention", "attention.out_proj")
    exact = profile(Sequences(), (6, 4), "exact", batch=5)
    assert exact.uncounted == ("recurrent",)
    assert {row.name for row in exact.layers if row.flops} == {"attention"}


def test_values_that_decide() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(3, 2), nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            y = self.one(x)
            return self.other(y) if y.sum() > 1 else y

    model = Decides()
    nn.init.zeros_(model.one.weight)
    nn.init.ones_(model.one.bias)
    for rule, flops in (("thesis", 6 * 2 + 4 * 2), ("exact", 6 * 2 + 4 * 2)):
        assert profile(model, (3,), rule).flops == flops  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="model: goes on as values decide"):
        profile(Decides().to("meta"), (3,))


def test_a_parametrised_weight_belongs_to_its_convolution() -> None:
    plain = nn.Conv2d(3, 4, 3)
    expected = profile(plain, (3, 8, 8))
    found = profile(nn.utils.parametrizations.weight_norm(plain), (3, 8, 8))
    assert (found.flops, found.memory) == (expected.flops, expected.memory)
    assert found.parameters == expected.parameters + 4
    assert [row.kind for row in found.layers] == ["conv"]


# ---------------------------------------------------------------- memory by the exact rule


def memory_of(model: Any, shape: tuple[int, ...]) -> dict[str, int]:
    rows = profile(model, shape, "exact").layers
    return {row.name: row.memory_elements for row in rows if row.memory_elements}


def test_what_autograd_keeps() -> None:
    """A convolution keeps its input, ReLU its output, sums and views keep nothing."""
    conv, other = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
    assert memory_of(nn.Sequential(conv, other), (1, 4, 4)) == {"0": 32}
    assert memory_of(nn.Sequential(conv, nn.ReLU()), (1, 4, 4)) == {"1": 32}
    assert memory_of(nn.Sequential(conv, nn.ReLU(inplace=True)), (1, 4, 4)) == {"0": 32}
    assert memory_of(nn.Sequential(conv, nn.ReLU(True), other), (1, 4, 4)) == {"0": 32}
    assert memory_of(nn.Sequential(conv, nn.Flatten()), (1, 4, 4)) == {}

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            return self.other(torch.cat([y + 1, nn.functional.relu(y)], 1))

    # Of the function calls, the result of relu and of cat: 32 + 64; what cat joins is not needed.
    assert memory_of(Joined(), (1, 4, 4)) == {"": 96}


def test_frozen_layers_keep_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1))
    assert memory_of(model.requires_grad_(False), (1, 4, 4)) == {}


# ---------------------------------------------------------------- manners


@pytest.mark.parametrize("rule", ["thesis", "exact"])
def test_the_model_stays_as_it_is(rule: Any) -> None:
    model = Mixed()
    model.norm.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    profile(model, (3, 8, 8), rule)
    with pytest.raises(RuntimeError):
        profile(model, (5, 8, 8), rule)
    assert [part.training for part in model.children()].count(False) == 1
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("rule", ["thesis", "exact"])
def test_the_same_with_data_and_without(rule: Any) -> None:
    options = {"width": 4, "num_labels": 3}
    with_data = models.create_model("unet3d-15", **options)
    without = on_meta("unet3d-15", **options)
    expected = profile(with_data, (1, 8, 16, 16), rule)
    for model, x in (
        (with_data, torch.rand(1, 1, 8, 16, 16)),
        (with_data, [torch.rand(1, 1, 8, 16, 16)]),
        (without, (1, 8, 16, 16)),
        (without, torch.empty(1, 1, 8, 16, 16, device="meta")),
    ):
        found = profile(model, x, rule)
        assert (found.parameters, found.flops) == (expected.parameters, expected.flops)
        assert found.memory == pytest.approx(expected.memory, rel=0 if rule == "thesis" else 0.01)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="model: expected a module, got str"):
        profile("unet3d-15", (1, 8, 8, 8))  # type: ignore[arg-type]
    model = nn.Conv2d(3, 4, 1)
    with pytest.raises(ValueError, match="rule: expected one of 'thesis', 'exact', got 'thop'"):
        profile(model, (3, 8, 8), "thop")  # type: ignore[arg-type]
    for wrong in ((), (3, 0, 8), "3x8x8", 3, ((3, 8, 8), "x")):
        with pytest.raises(ValueError, match="inputs: expected tensors"):
            profile(model, wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch: expected a number >= 1, got 0"):
        profile(model, (3, 8, 8), batch=0)
    with pytest.raises(ValueError, match=r"volume: expected \[B, 1, D, H, W\]"):
        profile(on_meta("unet3d-15"), (1, 4, 64, 64))
