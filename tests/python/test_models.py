# SPDX-License-Identifier: Apache-2.0
"""Models by name: the registry, its errors, counts, and what any network must bear."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import models  # noqa: E402
from mrfcore.models import _registry  # noqa: E402

SMALL = {
    "resnet18": {"width": 4, "num_labels": 5},
    "resnet50": {"width": 4, "num_labels": 5},
    "deeplabv3plus-resnet18": {"width": 4, "num_labels": 5},
    "deeplabv3plus-resnet50": {"width": 4, "num_labels": 5},
    "superpixel-fcn": {"width": 2},
}
every = pytest.mark.parametrize("name", SMALL)


def small(name: str) -> Any:
    torch.manual_seed(1)
    return models.create_model(name, **SMALL[name])


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models registered in a test are gone after it."""
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))


class Volume(torch.nn.Module):
    """Neither two-dimensional nor a segmentation."""

    def __init__(self, channels: int, *, labels: int = 4, depth: int = 1) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, channels, 3, padding=1)
        self.last = torch.nn.Linear(channels, labels)
        self.depth = depth

    def forward(self, x: Any) -> Any:
        return self.last(self.first(x).mean((2, 3, 4)))


class Pair(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = torch.nn.Conv2d(3, 2, 3, bias=False)

    def forward(self, left: Any, right: Any) -> Any:
        return self.tower(left) * self.tower(right)


# ---------------------------------------------------------------- names and options


def test_names() -> None:
    names = models.list_models()
    assert set(SMALL) <= set(names)
    assert models.list_models("resnet*") == [f"resnet{d}" for d in (18, 34, 50, 101, 152)]
    assert models.list_models("deeplab") == [n for n in names if n.startswith("deeplab")]
    assert models.list_models("resnet18") == ["resnet18"]
    assert models.list_models("net18") == ["deeplabv3plus-resnet18", "resnet18"]
    assert models.list_models("nothing") == []


def test_unknown_names_and_options() -> None:
    with pytest.raises(ValueError, match=r"name: no model 'resnet5', did you mean 'resnet50'"):
        models.create_model("resnet5")
    with pytest.raises(ValueError, match="name: no model 'zzz'; "):
        models.create_model("zzz")
    with pytest.raises(TypeError, match="name: expected a string, got int"):
        models.create_model(50)  # type: ignore[arg-type]
    message = r"num_label: 'resnet50' has no such option, did you mean 'num_labels'\?; it has "
    with pytest.raises(TypeError, match=message + "num_labels, output_stride, width, in_channels$"):
        models.create_model("resnet50", num_label=3)
    with pytest.raises(TypeError, match="depth: is 50 in every 'resnet50'; choose another name"):
        models.create_model("resnet50", depth=18)
    with pytest.raises(ValueError, match="num_labels: expected a number >= 1, got 0"):
        models.create_model("deeplabv3plus-resnet18", num_labels=0)
    with pytest.raises(ValueError, match="output_stride: expected one of 8, 16, 32, got 4"):
        models.create_model("resnet18", output_stride=4)


@pytest.mark.usefixtures("registered")
def test_register() -> None:
    decorate = models.register(
        "volume-3", summary="a volume", input_shape=(1, 4, 5, 6), fixed={"depth": 3}, labels=7
    )
    assert decorate(Volume) is Volume
    assert models.list_models("volume*") == ["volume-3"]
    entry = models.model_entry("volume-3")
    assert entry.input_shapes == ((1, 4, 5, 6),)
    assert entry.defaults == {"labels": 7}
    assert entry.required == ("channels",)
    with pytest.raises(TypeError, match="channels: 'volume-3' needs this option"):
        models.create_model("volume-3")
    model = models.create_model("volume-3", channels=2)
    assert (model.last.out_features, model.depth) == (7, 3)
    parameters = 27 * 2 + 2 + 2 * 7 + 7
    assert models.measure_model("volume-3", channels=2) == (parameters, 2 * (120 * 54 + 14))
    models.register("pair", summary="two images", input_shape=((3, 5, 5), (3, 5, 5)))(Pair)
    assert models.measure_model("pair") == (54, 2 * 2 * 9 * 54)


@pytest.mark.usefixtures("registered")
def test_register_refuses() -> None:
    with pytest.raises(ValueError, match="name: there is a model 'resnet50' already"):
        models.register("resnet50", summary="", input_shape=(3, 4, 4))
    with pytest.raises(ValueError, match="name: expected letters, digits"):
        models.register("two words", summary="", input_shape=(3, 4, 4))
    with pytest.raises(ValueError, match="input_shape: expected sizes >= 1"):
        models.register("empty", summary="", input_shape=(3, 0))
    with pytest.raises(TypeError, match="v: Volume has no option 'deep'"):
        models.register("v", summary="", input_shape=(1, 4, 4, 4), deep=3)(Volume)
    with pytest.raises(TypeError, match="options of a model must be named"):
        models.register("v", summary="", input_shape=(1,))(lambda **kw: Volume(1))  # noqa: ARG005
    assert models.list_models("v") == [n for n in models.list_models() if "v" in n]
    assert "v" not in models.list_models()


# ---------------------------------------------------------------- counts


def test_published_parameters() -> None:
    """torchvision's documentation has these, and the multiply-adds at 224 x 224 in units of 1e9."""
    published = {
        "resnet18": (11_689_512, 1.81),
        "resnet34": (21_797_672, 3.66),
        "resnet50": (25_557_032, 4.09),
        "resnet101": (44_549_160, 7.80),
        "resnet152": (60_192_808, 11.51),
    }
    for name, (parameters, giga) in published.items():
        found, flops = models.measure_model(name)
        assert found == parameters
        assert round(flops / 2e9, 2) == giga


def test_counts_of_a_tiny_network() -> None:
    """By hand: outputs 5 x 6 of 27 products, inputs 5 x 6 spread over 4 x 4, a row of a matrix."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ConvTranspose2d(8, 4, 4, 2, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 5, bias=False),
    )
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    macs = 8 * 30 * 27 + 8 * 30 * 4 * 16 + 4 * 5
    assert models.count_flops(model, (3, 10, 12)) == 2 * macs
    assert [m.training for m in model] == [True, False, True, True, True, True]
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert models.count_parameters(model) == (8 * 27 + 8) + 16 + (8 * 4 * 16 + 4) + 20
    model[5].requires_grad_(False)
    assert models.count_parameters(model, trainable=True) == models.count_parameters(model) - 20
    with pytest.raises(TypeError, match="model: expected a module, got str"):
        models.count_parameters("resnet50")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_shape: expected sizes >= 1"):
        models.count_flops(model, (3, 0, 5))


@every
def test_measuring_is_counting(name: str) -> None:
    """By name, where no weights are drawn, as of a module that is there."""
    model = small(name)
    shape = (3, 40, 56)
    counted = models.count_parameters(model), models.count_flops(model, shape)
    assert models.measure_model(name, shape, **SMALL[name]) == counted
    assert counted[0] == sum(p.numel() for p in model.parameters())


# ---------------------------------------------------------------- any network


@every
def test_copies_and_pickles(name: str) -> None:
    model = small(name).eval()
    image = torch.rand(1, 3, 33, 47)
    expected = model(image)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other(image), expected, rtol=0, atol=0)
        assert getattr(other, _registry.RECIPE) == getattr(model, _registry.RECIPE)


@every
def test_autocast(name: str) -> None:
    model = small(name)
    image = torch.rand(2, 3, 32, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(image)
    out.float().square().mean().backward()
    assert out.isfinite().all()
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@every
@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (
            torch.zeros(2, 4, 32, 32),
            ValueError,
            r"image: expected \[B, 3, H, W\].*\[2, 4, 32, 32\]",
        ),
        (torch.zeros(3, 32, 32), ValueError, r"image: expected \[B, 3, H, W\]"),
        (torch.zeros(2, 3, 0, 32), ValueError, "all sizes at least 1"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), TypeError, "expected floats, got dtype"),
        ([1.0], TypeError, "expected a tensor .*, got list"),
    ],
)
def test_images_are_checked(name: str, image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(name)(image)


@pytest.mark.parametrize("name", ["deeplabv3plus-resnet18", "superpixel-fcn"])
def test_one_graph(name: str) -> None:
    """For torch.compile, of any size."""
    model = small(name).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for size in ((33, 50), (48, 41)):
        image = torch.rand(2, 3, *size)
        torch.testing.assert_close(compiled(image), model(image))


def test_seeds_decide() -> None:
    one, two = small("resnet18"), small("resnet18")
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=0, atol=0)
