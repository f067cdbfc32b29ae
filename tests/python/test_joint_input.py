# SPDX-License-Identifier: Apache-2.0
"""The joint network: ids from elsewhere, void, labels of any kind, 16 bits, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor  # noqa: E402

import mrfcore  # noqa: E402
import mrfcore.nn as mrf  # noqa: E402
from mrfcore.models import (  # noqa: E402
    JointSegmentation,
    Normalised,
    SuperpixelFCN,
    count_flops,
    count_parameters,
    create_model,
    load_model,
    load_weights,
    measure_model,
    save_model,
)

LABELS, HEIGHT, WIDTH = 3, 40, 48


class Tiny(nn.Module):
    """Logits at the full size."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, LABELS, 3, 1, 1)

    def forward(self, image: Any) -> Any:
        return self.only(image)


def joint(seed: int = 0, drawn: bool = True, **options: Any) -> Any:
    torch.manual_seed(seed)
    net = create_model("superpixel-fcn", width=2) if drawn else None
    return JointSegmentation(Tiny(), net, LABELS, **options)


def image(batch: int = 1, seed: int = 0) -> Any:
    return torch.rand(batch, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def blocks(side: int) -> Any:
    """[1, HEIGHT, WIDTH]: squares, numbered from 0."""
    rows, columns = torch.arange(HEIGHT)[:, None] // side, torch.arange(WIDTH) // side
    return (rows * -(-WIDTH // side) + columns)[None]


def seen_by_layers(model: Any, *arguments: Any) -> Any:
    """What goes into the transparent layers."""
    seen: list[Any] = []
    model.transparent.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    model(*arguments)
    return seen[0]


# --- ids from elsewhere -------------------------------------------------------------------------


def test_given_ids_are_divided_by_their_number_where_cells_are_fewer() -> None:
    many, few = blocks(2), blocks(24)  # 480 and 4; there are 9 cells
    model = joint(drawn=False)
    both = torch.cat([many, few])
    planes = seen_by_layers(model, image(2), both)[:, 1]
    assert torch.allclose(planes[0], many[0] / 480)
    assert torch.allclose(planes[1], few[0] / 9.0)  # whatever else is in the batch
    assert torch.equal(planes[1:], seen_by_layers(joint(drawn=False), image(2)[1:], few)[:, 1])


@pytest.mark.parametrize("auxiliary", ["interleaved", "single"])
def test_ids_stay_distinct_in_sixteen_bits(auxiliary: str) -> None:
    ids = blocks(2)
    model = joint(drawn=False, auxiliary=auxiliary)
    with torch.autocast("cpu", torch.bfloat16):
        planes = seen_by_layers(model, image(), ids)
        out = model(image(), ids)
    assert len(torch.unique(planes[:, 1 if auxiliary == "interleaved" else -1])) == 480
    assert out.logits.dtype == out.coarse.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_ids_of_other_integers(kind: Any) -> None:
    model, ids = joint(drawn=False).eval(), blocks(8)
    assert torch.equal(model(image(), ids.to(kind)).logits, model(image(), ids).logits)


def test_network_of_superpixels_that_does_not_learn() -> None:
    model = joint()
    model.superpixels.requires_grad_(False)
    out = model(image())
    assert out.q.grad_fn is None
    labels = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
    model.loss(out, labels, superpixel_weight=0)["loss"].backward()
    learned = [p for group in model.parameter_groups() for p in group["params"]]
    assert all(p.grad is not None for p in learned)  # none that DistributedDataParallel would miss
    assert not {id(p) for p in learned} & {id(p) for p in model.superpixels.parameters()}


# --- void and labels ----------------------------------------------------------------------------


def with_void() -> Any:
    """Two labels on the left and on the right of a void band, none of them 0 beside it."""
    labels = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.long)
    labels[:, :, 16:] = 1
    labels[:, 20:, 16:] = 2
    labels[:, :, 13:18] = 255
    labels[1] = labels[1].flip(0)
    return labels


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0), (1, 0, 2)])
def test_which_label_is_called_0_does_not_matter(order: tuple[int, ...]) -> None:
    model, labels = joint(), with_void()
    out = model(image(2))
    renamed = torch.tensor([*order, *[0] * 252, 255])[labels]
    one, other = (model.loss(out, found)["superpixels"] for found in (labels, renamed))
    assert float(one.detach()) == pytest.approx(float(other.detach()), rel=1e-6)


def test_superpixels_learn_as_alone() -> None:
    """The second term is what the superpixel network learns by itself."""
    model, labels = joint(), with_void()
    out = model(image(2))
    alone = model.superpixels.loss(out.q, labels)
    assert torch.allclose(model.loss(out, labels)["superpixels"], alone, rtol=1e-6)
    twice = model.loss(out, labels, superpixel_weight=2.0)
    assert torch.allclose(twice["superpixels"], 2 * alone, rtol=1e-6)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_other_integers(kind: Any) -> None:
    model, labels = joint(), with_void()
    out = model(image(2))
    assert torch.equal(model.loss(out, labels.to(kind))["loss"], model.loss(out, labels)["loss"])


# --- 16 bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_associations_have_32_bits(kind: Any) -> None:
    net = joint().superpixels.eval()
    with torch.autocast("cpu", kind):
        q = net(image())
    assert q.dtype == torch.float32
    assert torch.allclose(q.sum(1), torch.ones(1, HEIGHT, WIDTH), atol=1e-6)
    assert net.double()(image().double()).dtype == torch.float64


def test_float16_takes_a_step() -> None:
    model, labels = joint(), with_void()
    before = [p.detach().clone() for p in model.parameters()]
    groups = model.parameter_groups(1e-2, 1e-2, 1e-3)
    optimiser = torch.optim.SGD(groups, lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    with torch.autocast("cpu", torch.float16):
        loss = model.loss(model(image(2), valid=labels != 255), labels)["loss"]
    scaler.scale(loss).backward()
    scaler.step(optimiser)
    scaler.update()
    assert scaler.get_scale() == 64.0  # no step was skipped
    after = list(model.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    changed = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert sum(changed) > 0.9 * len(changed)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"hidden": 64}, TypeError, r"hidden: expected None or a list .* \[64, 64\], got 64"),
        ({"hidden": "64"}, TypeError, r"hidden: expected None or a list"),
        ({"hidden": [8.0, 8]}, TypeError, r"hidden\[0\]: expected an integer, got float"),
    ],
)
def test_what_cannot_be_built(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        joint(**options)


@pytest.mark.parametrize(
    ("picture", "arguments", "error", "message"),
    [
        (image().mul(255).byte(), {}, TypeError, r"image: expected floats, .*uint8; divide by"),
        (image()[0], {}, ValueError, r"image: expected \[B, C, H, W\], .* got shape \[3, 40, 48\]"),
        (image().numpy(), {}, TypeError, r"image: expected a tensor .* got ndarray"),
        (image(), {"ids": blocks(8).float()}, TypeError, r"ids: expected int32 or int64"),
        (image(), {"ids": blocks(8) > 3}, TypeError, r"ids: expected int32 or int64, .*bool"),
        (image(), {"ids": blocks(8).numpy()}, TypeError, r"ids: .*pass torch.from_numpy\(ids\)"),
        (image(), {"valid": blocks(8)}, TypeError, r"valid: expected a bool tensor"),
        (image(), {"valid": blocks(8)[0] > 3}, ValueError, r"valid: expected shape \[1, 40, 48\]"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("consistency", ["hard", None])
def test_what_does_not_fit(
    picture: Any,
    arguments: Any,
    error: type[Exception],
    message: str,
    training: bool,
    consistency: str | None,
) -> None:
    model = joint(consistency=consistency).train(training)
    with pytest.raises(error, match=message):
        model(picture, **arguments)


def test_soft_consistency_has_no_ids_from_elsewhere() -> None:
    with pytest.raises(ValueError, match=r"ids: expected None with consistency='soft'"):
        joint(consistency="soft")(image(), blocks(8))


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (with_void() > 0, {}, TypeError, r"labels: expected integers, got dtype torch.bool"),
        (with_void().float(), {}, TypeError, r"labels: expected integers, got .*float32"),
        (np.zeros((2, 40, 48), int), {}, TypeError, r"labels: .*ndarray; pass torch.from_numpy"),
        (with_void(), {"superpixel_weight": -1}, ValueError, r"superpixel_weight: .*got -1"),
        (with_void(), {"superpixel_weight": float("nan")}, ValueError, r"superpixel_weight: "),
        (with_void(), {"superpixel_weight": "1"}, TypeError, r"superpixel_weight: .*got str"),
        (with_void(), {"void": 2.5}, TypeError, r"void: expected an integer, got float"),
    ],
)
def test_what_is_no_truth(labels: Any, options: Any, error: type[Exception], message: str) -> None:
    model = joint()
    out = model(image(2))
    with pytest.raises(error, match=message):
        model.loss(out, labels, **options)


def test_consistency_layer_is_what_the_text_has() -> None:
    """Given ids: the network's logits, made consistent (Eq 4.13), while layers are transparent."""
    model, ids = joint(drawn=False).eval(), blocks(2)
    out = model(image(), ids)
    wanted = mrf.functional.logit_consistency(out.coarse, ids)
    assert torch.allclose(out.logits, wanted, atol=1e-4)


# --- colours ------------------------------------------------------------------------------------

COLOURS = {
    "segmentation_colours": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    "superpixel_colours": [[0.411, 0.432, 0.45], [1.0, 1.0, 1.0]],
}
SMALL = {
    "segmentation": "deeplabv3plus-resnet18",
    "num_labels": 4,
    "width": 4,
    "superpixel_width": 2,
}


def normal(name: str, picture: Any) -> Any:
    mean, std = (torch.tensor(values)[:, None, None] for values in COLOURS[name])
    return (picture - mean) / std


def test_each_network_sees_the_colours_it_was_trained_on(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    torch.manual_seed(0)
    model: Any = create_model("joint-superpixels", **SMALL, **COLOURS).eval()
    net, drawer = model.segmentation.net, model.superpixels.net
    with torch.no_grad():
        out = model(image())
        wanted = net(normal("segmentation_colours", image()))
        q = drawer(normal("superpixel_colours", image()))
    assert torch.allclose(out.coarse, wanted, atol=1e-5)
    assert torch.allclose(out.q, q, atol=1e-6)
    save_model(model, tmp_path / "joint.safetensors")
    again: Any = load_model(tmp_path / "joint.safetensors").eval()
    with torch.no_grad():
        assert torch.equal(again(image()).logits, out.logits)
    assert not any("mean" in key and "running" not in key for key in model.state_dict())


def test_colours_are_those_of_the_released_weights() -> None:
    assert [list(part) for part in SuperpixelFCN.colours] == COLOURS["superpixel_colours"]


@pytest.mark.parametrize(
    ("mean", "std", "error", "message"),
    [
        ("imagenet", [1, 1, 1], TypeError, r"mean: expected finite numbers, .* got 'imagenet'"),
        ([0, 0, float("nan")], [1, 1, 1], ValueError, r"mean: expected finite numbers"),
        ([0, 0, 0], [1, 1, 0], ValueError, r"std: expected numbers > 0, .* got \[1, 1, 0\]"),
        ([0, 0, 0], [1, 1], ValueError, r"std: expected 3 numbers as mean, got 2"),
    ],
)
def test_what_are_no_colours(mean: Any, std: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Normalised(nn.Identity(), mean, std)


def test_colours_by_name_are_two_lists() -> None:
    with pytest.raises(ValueError, match=r"segmentation_colours: expected None or \[mean, std\]"):
        create_model("joint-superpixels", **SMALL, segmentation_colours=[0.5])


def test_own_networks_are_written_as_weights(tmp_path: Path) -> None:
    """The message says how; so it goes."""
    safetensors = pytest.importorskip("safetensors.torch")
    model = joint(refine=mrf.TRWP(mrfcore.Potts(), learn_weight=True, weight=0.2))
    with pytest.raises(
        TypeError, match=r"model: .* got JointSegmentation, .*save_file\(.*load_weigh"
    ):
        save_model(model, tmp_path / "own.safetensors")
    safetensors.save_file(model.state_dict(), tmp_path / "own.safetensors")
    twin = joint(seed=1, refine=mrf.TRWP(mrfcore.Potts(), learn_weight=True))
    load_weights(twin, tmp_path / "own.safetensors")
    with torch.no_grad():
        assert torch.equal(twin.eval()(image()).logits, model.eval()(image()).logits)


def test_counting_takes_no_memory() -> None:
    """Transparent layers, which are drawn by what they must be, are no exception."""
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor) and not isinstance(found, FakeTensor):
                seen.append(0 if found.is_meta else found.numel())
            return found

    with Watch():
        parameters, flops = measure_model("joint-superpixels", (3, 64, 64))
    assert (parameters, max(seen) < 1_000_000) == (42_649_400, True)
    model = create_model("joint-superpixels")
    assert (parameters, flops) == (count_parameters(model), count_flops(model, (3, 64, 64)))
