# SPDX-License-Identifier: Apache-2.0
"""ResNets and DeepLabV3+: names and numbers of parameters, strides, sizes, and that they learn."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import models  # noqa: E402
from mrfcore.models import DeepLabV3Plus, ResNet  # noqa: E402

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
depths = pytest.mark.parametrize("depth", BLOCKS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors; threads that wait for each other on a busy machine take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def package(name: str) -> Any:
    """Skips also where it is there, but made for another torch."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        pytest.skip(f"{name} cannot be imported: {error}")


def norm(name: str) -> list[str]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.{part}" for part in parts]


def names_of(depth: int) -> set[str]:
    """As torchvision's ResNets have them."""
    names = ["conv1.weight", *norm("bn1"), "fc.weight", "fc.bias"]
    convolutions = 2 if depth < 50 else 3
    for stage, blocks in enumerate(BLOCKS[depth], 1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            for i in range(1, convolutions + 1):
                names += [f"{at}.conv{i}.weight", *norm(f"{at}.bn{i}")]
            if block == 0 and (stage > 1 or depth >= 50):
                names += [f"{at}.downsample.0.weight", *norm(f"{at}.downsample.1")]
    return set(names)


# ---------------------------------------------------------------- ResNet


@depths
def test_names_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        model = models.create_model(f"resnet{depth}")
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert set(shapes) == names_of(depth)
    assert shapes["conv1.weight"] == [64, 3, 7, 7]
    if depth < 50:
        assert shapes["layer4.0.conv1.weight"] == [512, 256, 3, 3]
        assert shapes["layer4.0.downsample.0.weight"] == [512, 256, 1, 1]
        assert shapes["fc.weight"] == [1000, 512]
    else:
        assert shapes["layer2.0.conv1.weight"] == [128, 256, 1, 1]
        assert shapes["layer2.0.conv2.weight"] == [128, 128, 3, 3]
        assert shapes["layer2.0.conv3.weight"] == [512, 128, 1, 1]
        assert shapes["layer1.0.downsample.0.weight"] == [256, 64, 1, 1]
        assert shapes["fc.weight"] == [1000, 2048]


@depths
def test_same_as_torchvision(depth: int) -> None:
    vision = package("torchvision")
    torch.manual_seed(0)
    theirs = vision.models.get_model(f"resnet{depth}", weights=None).eval()
    ours = models.create_model(f"resnet{depth}", weights=theirs.state_dict()).eval()
    image = torch.rand(1, 3, 65, 70)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image))


@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_as_torchvision(stride: int) -> None:
    vision = package("torchvision")
    theirs = vision.models.resnet50(replace_stride_with_dilation=[False, stride == 8, True]).eval()
    weights = theirs.state_dict()
    ours = models.create_model("resnet50", weights=weights, output_stride=stride).eval()
    image = torch.rand(1, 3, 65, 70)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image))


@depths
def test_same_names_as_timm(depth: int) -> None:
    timm = package("timm")
    with torch.device("meta"):
        theirs = timm.create_model(f"resnet{depth}").state_dict()
        ours = models.create_model(f"resnet{depth}").state_dict()
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 96), (65, 33), (1, 1)])
def test_strides(depth: int, stride: int, size: tuple[int, int]) -> None:
    model = ResNet(depth, num_labels=None, output_stride=stride, width=2, in_channels=1).eval()
    low, high = model.features(torch.rand(2, 1, *size))
    expansion = 1 if depth == 18 else 4
    assert low.shape == (2, 2 * expansion, *(-(-n // 4) for n in size))
    assert high.shape == (2, 16 * expansion, *(-(-n // stride) for n in size))
    assert (model.low_channels, model.high_channels) == (low.shape[1], high.shape[1])
    torch.testing.assert_close(model(torch.zeros(2, 1, *size)).shape, torch.Size(high.shape[:2]))


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_fills_in_between(depth: int, stride: int) -> None:
    """With the same weights, every second or fourth feature is one of stride 32."""
    torch.manual_seed(3)
    coarse = ResNet(depth, num_labels=None, width=4).eval().double()
    fine = ResNet(depth, num_labels=None, width=4, output_stride=stride).eval().double()
    fine.load_state_dict(coarse.state_dict())
    image = torch.rand(1, 3, 128, 96, dtype=torch.float64)
    with torch.no_grad():
        expected, found = coarse.features(image)[1], fine.features(image)[1]
    step = 32 // stride
    torch.testing.assert_close(found[:, :, ::step, ::step], expected)
    assert not torch.allclose(found[:, :, 1::step, 1::step], expected)


# ---------------------------------------------------------------- DeepLabV3+


@depths
def test_parameters_by_hand(depth: int) -> None:
    """A classifier's, but its last layer; five branches, one that joins, decoder, logits."""
    classifier = models.measure_model(f"resnet{depth}")[0]
    low, high = (64, 512) if depth < 50 else (256, 2048)
    point, norm_ = high * 256 + 512, 512
    aspp = 2 * point + 3 * (9 * high * 256 + norm_) + (5 * 256 * 256 + norm_)
    decoder = (low * 48 + 96) + (9 * 304 * 256 + norm_) + (9 * 256 * 256 + norm_)
    expected = classifier - 1001 * high - 1000 + high + aspp + decoder + (256 * 21 + 21)
    assert models.measure_model(f"deeplabv3plus-resnet{depth}")[0] == expected


@pytest.mark.parametrize("size", [(1, 1), (15, 33), (64, 48), (97, 130)])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_logits_have_the_size_of_the_image(size: tuple[int, int], stride: int) -> None:
    model = DeepLabV3Plus(18, num_labels=3, width=4, output_stride=stride).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_rates_keep_their_field_of_view() -> None:
    for stride, rates in ((8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))):
        with torch.device("meta"):
            model = DeepLabV3Plus(18, width=4, output_stride=stride)
        found = [branch[0].dilation for branch in model.aspp.around]
        assert found == [(rate, rate) for rate in rates]


def test_a_batch_of_one() -> None:
    image = torch.rand(1, 3, 32, 32)
    model = DeepLabV3Plus(18, num_labels=3, width=4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="image: expected a batch of two or more in training"):
        model(image)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert model.eval()(image).isfinite().all()
    free = DeepLabV3Plus(18, num_labels=3, width=4, norm_image_pooling=False)
    free(image).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in free.parameters())


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("num_labels", 0, ValueError),
        ("width", 0, ValueError),
        ("width", 2.5, TypeError),
        ("dropout", 1.0, ValueError),
        ("dropout", "much", TypeError),
        ("norm_image_pooling", 1, TypeError),
        ("output_stride", 64, ValueError),
        ("depth", 20, ValueError),
        ("in_channels", True, TypeError),
    ],
)
def test_options_are_checked(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{option}: "):
        DeepLabV3Plus(**{option: value})


def test_rates_of_learning() -> None:
    with torch.device("meta"):
        model = DeepLabV3Plus(18, width=4)
    backbone, head = model.parameter_groups(0.007, 0.07)
    assert (backbone["lr"], head["lr"]) == (0.007, 0.07)
    assert {id(p) for p in backbone["params"]} == {id(p) for p in model.backbone.parameters()}
    found = [id(p) for group in (backbone, head) for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_it_learns() -> None:
    """Each step lowers the loss on its batch, and a square of another colour is found."""
    torch.manual_seed(0)
    image = 0.1 * torch.rand(2, 3, 48, 64)
    labels = torch.zeros(2, 48, 64, dtype=torch.long)
    labels[0, 8:28, 20:50], labels[1, 24:40, 4:36] = 1, 1
    image[:, 0] += 0.6 * labels
    model = DeepLabV3Plus(18, num_labels=2, width=8, dropout=0.0)
    optimizer = torch.optim.SGD(model.parameter_groups(0.02, 0.05), momentum=0.9)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(model(image), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]
    assert losses[-1] < 0.3 * losses[0]
    model.train()
    found = model(image).argmax(1)
    assert (found == labels).float().mean() > 0.93
