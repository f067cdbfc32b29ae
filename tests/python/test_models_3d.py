# SPDX-License-Identifier: Apache-2.0
"""3D U-Nets, 3-D MobileNetV2, I3D and PSMNet: layers, shapes, training, files, bad input."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import models  # noqa: E402
from mrfcore.models.i3d import _padded  # noqa: E402
from mrfcore.models.psmnet import _volume  # noqa: E402

# Options of a toy, shapes of its inputs with the batch, and of what comes out.
SMALL: dict[str, tuple[dict[str, Any], list[tuple[int, ...]], tuple[int, ...]]] = {
    "unet3d-15": ({"width": 4, "num_labels": 3}, [(2, 1, 9, 10, 11)], (2, 3, 9, 10, 11)),
    "unet3d-15-brats": ({"width": 4}, [(2, 4, 8, 8, 16)], (2, 5, 8, 8, 16)),
    "unet3d-23": ({"width": 2, "num_labels": 3}, [(2, 1, 33, 34, 35)], (2, 3, 33, 34, 35)),
    "mobilenetv2-3d": ({"width": 4, "num_labels": 5}, [(2, 3, 7, 33, 20)], (2, 5)),
    "i3d": ({"width": 4, "num_labels": 5}, [(2, 3, 9, 33, 40)], (2, 5)),
    "psmnet": (
        {"width": 2, "max_disparity": 32, "pools": [8, 4, 2, 1]},
        [(2, 3, 32, 48), (2, 3, 32, 48)],
        (2, 32, 48),
    ),
}
every = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Toys are slower on several, and much slower where others are at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str) -> Any:
    torch.manual_seed(1)
    return models.create_model(name, **SMALL[name][0])


def inputs(name: str, seed: int = 2) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator) for shape in SMALL[name][1]]


def on_meta(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return models.create_model(name, **options)


def widths(name: str) -> list[int]:
    kinds = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.ConvTranspose3d, torch.nn.Linear)
    return [
        getattr(part, "out_channels", None) or part.out_features
        for part in on_meta(name).modules()
        if isinstance(part, kinds)
    ]


# ---------------------------------------------------------------- the networks of the thesis


def test_widths_of_the_unets() -> None:
    down = [32, 64, 64, 128, 128, 256, 256, 512]
    assert widths("unet3d-15") == [*down, 256, 256, 128, 128, 64, 64, 50]
    halves = [n // 2 for n in (*down, 256, 256, 128, 128, 64, 64)]
    assert widths("unet3d-15-brats") == [*halves, 5]
    deep = [512, 1024, 1024, 1024, 1024, 1024, 512, 512]
    assert widths("unet3d-23") == [*down, *deep, 256, 256, 128, 128, 64, 64, 50]


def test_layers_of_the_others() -> None:
    sizes = [
        part.kernel_size
        for part in on_meta("mobilenetv2-3d").modules()
        if isinstance(part, torch.nn.Conv3d)
    ]
    assert (len(sizes), sizes.count((3, 3, 3)), sizes.count((1, 1, 1))) == (52, 18, 34)
    sizes = [p.kernel_size for p in on_meta("i3d").modules() if isinstance(p, torch.nn.Conv3d)]
    # The last layer, of 1^3, is what the thesis calls linear.
    counts = [sizes.count((n, n, n)) for n in (7, 3, 1)]
    assert (len(sizes), counts) == (58, [1, 19, 38])
    parts = list(on_meta("psmnet").modules())
    flat = [p for p in parts if isinstance(p, torch.nn.Conv2d)]
    deep = [p for p in parts if isinstance(p, torch.nn.Conv3d | torch.nn.ConvTranspose3d)]
    assert (len(flat), sum(p.out_channels for p in flat)) == (61, 4352)
    assert (len(deep), sum(p.out_channels for p in deep)) == (28, 1283)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (
            "i3d",
            ["Conv3d_1a_7x7.conv3d.weight", "Mixed_4f.b2b.bn.running_var", "logits.conv3d.bias"],
        ),
        ("mobilenetv2-3d", ["features.0.0.weight", "features.17.conv.7.bias", "classifier.1.bias"]),
        (
            "psmnet",
            [
                "feature_extraction.firstconv.0.0.weight",
                "feature_extraction.layer2.0.downsample.1.weight",
                "feature_extraction.layer4.2.conv1.0.0.weight",
                "feature_extraction.branch4.1.0.weight",
                "feature_extraction.lastconv.2.weight",
                "dres0.2.1.running_mean",
                "dres3.conv1.0.0.weight",
                "dres4.conv6.0.weight",
                "classif3.2.weight",
            ],
        ),
    ],
)
def test_names_are_those_of_published_checkpoints(name: str, keys: list[str]) -> None:
    assert set(keys) <= set(on_meta(name).state_dict())


# ---------------------------------------------------------------- what any network must bear


@every
def test_shapes_and_a_training_step(name: str) -> None:
    model, xs, shape = small(name), inputs(name), SMALL[name][2]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    outputs = model(*xs)
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(several) == (3 if name == "psmnet" else 1)
    assert all(one.shape == shape for one in several)
    sum(one.square().mean() for one in several).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    optimizer.step()
    changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert sum(changed) > 0.9 * len(changed)
    model.eval()
    with torch.no_grad():
        one = model(*xs)
        assert one.shape == shape
        assert one.isfinite().all()
        # In eval mode items of a batch do not see each other.
        alone = model(*(x[:1] for x in xs))
        torch.testing.assert_close(alone, one[:1], rtol=1e-4, atol=1e-5)


@every
def test_copies_pickles_and_files(name: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    model, xs = small(name), inputs(name)
    model(*xs)  # moves the statistics
    model.eval()
    path = tmp_path / "model.safetensors"
    models.save_model(model, path)
    other = models.create_model(name, **SMALL[name][0])
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = model(*xs)
        for again in (
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            models.load_model(path),
            other,
        ):
            assert torch.equal(again.eval()(*xs), expected)


@every
@pytest.mark.parametrize("training", [False, True])
def test_torch_fx_follows_it(name: str, training: bool) -> None:
    model, xs = small(name).train(training), inputs(name)
    graph = torch.fx.symbolic_trace(copy.deepcopy(model))
    model.eval()
    graph.eval()
    with torch.no_grad():
        expected, found = model(*xs), graph(*xs)
        # A graph of the training mode has three disparities, and no softmax.
        found = found[-1] if isinstance(found, tuple) else found
        if training and getattr(model, "softmax", None) is not None:
            found = found.softmax(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_torch_export_follows_them() -> None:
    for name in ("unet3d-15", "i3d", "psmnet"):
        model, xs = small(name).eval(), inputs(name)
        exported = torch.export.export(model, tuple(xs)).module()
        torch.testing.assert_close(exported(*xs), model(*xs), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- what they compute


def test_probabilities_in_eval_mode_only() -> None:
    model = small("unet3d-15").eval()
    (x,) = inputs("unet3d-15")
    found = model(x)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 9, 10, 11))
    model.softmax = None
    torch.testing.assert_close(model(x).softmax(1), found)
    assert small("unet3d-15-brats").softmax is None


def test_skips_come_first() -> None:
    """Without what comes up, the first half of a decoder's input decides."""
    model = small("unet3d-15").eval()
    (x,) = inputs("unet3d-15")
    with torch.no_grad():
        for decoder in model.decoders[:-1]:
            decoder[1][0].weight.zero_()  # what it hands up is the same everywhere
        last = model.decoders[-1][0][0]
        last.weight[:, 4:] = 0  # nor is that looked at
        seen = model(x)
        skip = model.encoders[0](x)
        padded = torch.cat([skip, skip.new_zeros(2, 8, 9, 10, 11)], 1)
        expected = model.softmax(model.head(model.decoders[-1](padded)))
    torch.testing.assert_close(seen, expected)


def test_a_volume_by_hand() -> None:
    left, right = torch.rand(2, 3, 2, 5) + 1, torch.rand(2, 3, 2, 5) + 1
    found = _volume(left, right, 4)
    assert found.shape == (2, 6, 4, 2, 5)
    for d in range(4):
        for x in range(5):
            if x < d:
                assert (found[:, :, d, :, x] == 0).all()
            else:
                assert torch.equal(found[:, :3, d, :, x], left[..., x])
                assert torch.equal(found[:, 3:, d, :, x], right[..., x - d])


def test_disparities_are_means_under_the_softmax() -> None:
    model = small("psmnet").eval()
    for wanted in (0, 3, 7):
        cost = torch.full((1, 1, 8, 4, 5), -1e4)
        cost[:, :, wanted] = 1e4
        found = model._disparity(cost)
        # Between voxels at 4 d + 1.5 costs are interpolated: the best are its neighbours.
        assert found.shape == (1, 16, 20)
        assert (found - (4 * wanted + 1.5)).abs().max() <= 2
    assert model._disparity(torch.zeros(1, 1, 8, 4, 5)).allclose(torch.tensor(15.5))


@pytest.mark.parametrize("size", [7, 8, 9, 10])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1)])
def test_same_padding(size: int, kernel: int, stride: int) -> None:
    """As TensorFlow says: ceil(n / stride) outputs, more zeros after than before."""
    x = torch.ones(1, 1, size, 4, 4)
    found = _padded(x, (kernel, 1, 1), (stride, 1, 1))
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    assert found.shape == (1, 1, size + total, 4, 4)
    assert (found.shape[2] - kernel) // stride + 1 == -(-size // stride)
    assert found[0, 0, :, 0, 0].nonzero()[0].item() == total // 2


def test_sizes_through_i3d() -> None:
    """The published features are 2 x 7 x 7, which its pooling of 2 x 7 x 7 averages."""
    seen = {}
    model = on_meta("i3d").eval()
    model.avg_pool.register_forward_pre_hook(lambda _, x: seen.update(shape=x[0].shape))
    model(torch.empty(1, 3, 16, 224, 224, device="meta"))
    assert seen["shape"] == (1, 1024, 2, 7, 7)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet3d-15", {"width": 1}, "width, max_channels: expected numbers >= 2, got 1 and 1024"),
        ("unet3d-15", {"num_labels": 0}, "num_labels: expected a number >= 1, got 0"),
        ("mobilenetv2-3d", {"width": 0}, "width: expected a number >= 1, got 0"),
        ("mobilenetv2-3d", {"dropout": 1.0}, "dropout: expected a number in 0..1, below 1"),
        ("i3d", {"in_channels": 0}, "in_channels: expected a number >= 1, got 0"),
        ("psmnet", {"max_disparity": 40}, "max_disparity: expected a multiple of 16, got 40"),
        ("psmnet", {"pools": [4, 2]}, "pools: expected four sizes of windows, got 2"),
        ("psmnet", {"pools": [4, 2, 1, 0]}, "pools: expected a number >= 1, got 0"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.create_model(name, **options)


def test_other_options() -> None:
    with pytest.raises(TypeError, match="levels: is 4 in every 'unet3d-15'"):
        models.create_model("unet3d-15", levels=5)
    with pytest.raises(ValueError, match=r"levels: expected 2\.\.8, got 9"):
        models.UNet3d(levels=9)
    with pytest.raises(TypeError, match="softmax: expected True or False, got 1"):
        models.UNet3d(softmax=1)  # type: ignore[arg-type]


def test_bad_tensors() -> None:
    unet, i3d, psm = small("unet3d-15"), small("i3d"), small("psmnet")
    expected = r"volume: expected \[B, 1, D, H, W\] with D, H, W of at least 8, 8, 8, got shape "
    for shape in ((1, 1, 8, 8), (1, 2, 8, 8, 8), (1, 1, 8, 7, 8), (0, 1, 8, 8, 8)):
        with pytest.raises(ValueError, match=expected):
            unet(torch.rand(shape))
    with pytest.raises(TypeError, match=r"volume: expected floats, got dtype torch\.int64"):
        unet(torch.zeros(1, 1, 8, 8, 8, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"clip: expected a tensor \[B, 3, D, H, W\], got list"):
        i3d([])
    x = torch.rand(1, 3, 32, 48)
    with pytest.raises(ValueError, match=r"left: expected \[B, 3, H, W\]"):
        psm(x[:, :2], x)
    with pytest.raises(ValueError, match=r"right: expected the shape of left, \[1, 3, 32, 48\]"):
        psm(x, x[..., :32])
    for height, width in ((32, 40), (16, 48), (32, 16)):
        y = torch.rand(1, 3, height, width)
        with pytest.raises(ValueError, match=f"left, right: .* at least 32 .* {height} x {width}$"):
            psm(y, y)
