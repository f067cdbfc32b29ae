# SPDX-License-Identifier: Apache-2.0
"""The joint network: what flows where, that it learns, under autocast and over two processes."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import mrfcore  # noqa: E402
import mrfcore.nn as mrf  # noqa: E402
from mrfcore.models import JointSegmentation, create_model  # noqa: E402

LABELS = 3


class Tiny(nn.Module):
    """Logits at half the size."""

    def __init__(self, labels: int = LABELS) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.last = nn.Conv2d(8, labels, 1)

    def forward(self, image):
        return self.last(self.first(image).relu())


def joint(seed: int = 0, **options):
    torch.manual_seed(seed)
    return JointSegmentation(Tiny(), create_model("superpixel-fcn", width=2), LABELS, **options)


def scene(batch: int = 2, height: int = 40, width: int = 48, seed: int = 0):
    """A disc and a half-plane on a ground, with noise; labels with some void."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.arange(height)[:, None], torch.arange(width)
    labels = ((y - 18) ** 2 + (x - 20) ** 2 < 150).long() + 2 * (x > 38).long().expand(height, -1)
    labels = labels.clamp(max=2).expand(batch, -1, -1).clone()
    labels[:, :2] = 255
    colours = torch.tensor([[0.2, 0.5, 0.7], [0.8, 0.3, 0.3], [0.4, 0.8, 0.2]])
    image = colours[labels.where(labels < 3, 0)].movedim(3, 1)
    return image + 0.1 * torch.randn(image.shape, generator=generator), labels


# --- what flows where ---------------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary", ["interleaved", "single", None])
def test_at_first_it_is_the_segmentation_network_made_consistent(auxiliary) -> None:
    model = joint(auxiliary=auxiliary).eval()
    image, _ = scene()
    out = model(image)
    wanted = functional.interpolate(model.segmentation(image), image.shape[2:], mode="bilinear")
    assert torch.equal(out.coarse, wanted)
    expected = mrf.functional.logit_consistency(wanted, out.ids)
    assert torch.allclose(out.logits, expected, atol=1e-4)
    assert out.q.shape == (2, 9, 40, 48)
    assert torch.equal(out.ids, mrf.functional.superpixel_ids(out.q))


def test_without_any_extras_it_is_the_segmentation_network() -> None:
    model = JointSegmentation(Tiny(), None, LABELS, hidden=(), auxiliary=None, consistency=None)
    image, _ = scene()
    out = model(image)
    assert torch.equal(out.logits, out.coarse)
    assert out.q is None
    assert out.ids is None


def test_widths_of_the_text() -> None:
    """21 labels: 42 channels, hidden layers of 64."""
    model = JointSegmentation(Tiny(21), create_model("superpixel-fcn", width=1), 21)
    assert model.transparent.widths == (42, 64, 64, 42)


def test_each_channel_is_followed_by_the_ids() -> None:
    model = joint()
    seen = []
    model.transparent.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    out = model(scene()[0])
    assert torch.equal(seen[0][:, ::2], out.coarse)
    for channel in range(1, 2 * LABELS, 2):
        assert torch.allclose(seen[0][:, channel], out.ids / 9.0)  # 3 x 3 cells


def test_the_cross_entropy_does_not_reach_the_superpixels() -> None:
    model = joint()
    image, labels = scene()
    terms = model.loss(model(image), labels)
    terms["segmentation"].backward(retain_graph=True)
    assert all(p.grad is None for p in model.superpixels.parameters())
    assert all(p.grad is not None for p in model.segmentation.parameters())
    assert all(float(p.grad.abs().sum()) > 0 for p in model.transparent.parameters())
    before = [p.grad.clone() for p in model.segmentation.parameters()]
    terms["superpixels"].backward()
    assert all(p.grad is not None for p in model.superpixels.parameters())
    assert all(map(torch.equal, before, (p.grad for p in model.segmentation.parameters())))


@pytest.mark.parametrize("how", ["soft", "refine"])
def test_beyond_the_text_it_does(how) -> None:
    layer = mrf.TRWP(mrfcore.Potts(), iterations=2, connectivity=8)
    model = joint(consistency="soft") if how == "soft" else joint(refine=layer)
    image, labels = scene()
    model.loss(model(image), labels)["segmentation"].backward()
    assert sum(float(p.grad.abs().sum()) for p in model.superpixels.parameters()) > 0


def test_void_pixels_count_in_nothing() -> None:
    model = joint().train()
    image, labels = scene()
    known = labels != 255
    out = model(image, valid=known)
    terms = model.loss(out, labels)
    wanted = functional.cross_entropy(out.logits, labels, ignore_index=255)
    assert torch.allclose(terms["segmentation"], wanted)
    other = model.loss(out, labels.where(known, 255), superpixel_weight=0)
    assert set(other) == {"loss", "segmentation"}
    assert torch.isfinite(model.loss(out, torch.full_like(labels, 255))["loss"])


def test_ids_from_elsewhere() -> None:
    model = JointSegmentation(Tiny(), None, LABELS)
    image, labels = scene(1)
    ids = torch.arange(40 * 48).reshape(1, 40, 48) // 97
    out = model(image, ids)
    assert out.q is None
    assert torch.equal(out.ids, ids)
    for one in range(int(ids.max()) + 1):
        assert len(torch.unique(out.logits[0, 0][ids[0] == one])) == 1
    assert set(model.loss(out, labels)) == {"loss", "segmentation"}


def test_dicts_of_torchvision() -> None:
    class Wrapped(Tiny):
        def forward(self, image):
            return {"out": super().forward(image), "aux": None}

    torch.manual_seed(0)
    model = JointSegmentation(Wrapped(), create_model("superpixel-fcn", width=2), LABELS)
    image, _ = scene()
    assert torch.equal(model(image).coarse, joint()(image).coarse)


# --- learning -----------------------------------------------------------------------------------


def test_boundaries_sharpen_with_superpixels() -> None:
    """A blurred network on a disc: superpixels that keep to it bring the labels back."""
    image, labels = scene(1)
    ids = (
        (labels.where(labels < 3, 0) * 100)
        + torch.arange(40)[:, None] // 8 * 6
        + torch.arange(48) // 8
    )

    class Blurred(nn.Module):
        def forward(self, _):
            ideal = functional.one_hot(labels.where(labels < 3, 0), LABELS).movedim(3, 1).float()
            return functional.avg_pool2d(ideal, 7, 1, 3)

    model = JointSegmentation(Blurred(), None, LABELS)
    out = model(image, ids)
    known = labels != 255
    before = (out.coarse.argmax(1) == labels)[known].float().mean()
    after = (out.logits.argmax(1) == labels)[known].float().mean()
    assert before < after > 0.999


def train(model, steps: int, rate: float = 1e-2) -> list[float]:
    image, labels = scene()
    groups = model.parameter_groups(rate, rate, 0.1 * rate, rate)
    optimiser = torch.optim.Adam(groups)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        terms = model.loss(model(image, valid=labels != 255), labels)
        terms["loss"].backward()
        optimiser.step()
        losses.append(float(terms["loss"].detach()))
    return losses


@pytest.mark.parametrize("refined", [False, True])
def test_it_learns(refined) -> None:
    layer = mrf.TRWP(mrfcore.Potts(), iterations=2, weight=0.1, learn_weight=True)
    losses = train(joint(refine=layer if refined else None), 30)
    assert losses[-1] < 0.7 * losses[0]


def test_groups_hold_each_parameter_once() -> None:
    model = joint(refine=mrf.TRWP(mrfcore.Potts(), learn_weight=True))
    groups = {group["name"]: group for group in model.parameter_groups()}
    assert [groups[name]["lr"] for name in ("segmentation", "superpixels", "transparent")] == [
        1e-6,
        1e-6,
        1e-7,
    ]
    found = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))


def test_autocast_learns_the_same() -> None:
    plain, mixed = joint(), joint()
    image, labels = scene()
    with torch.autocast("cpu", torch.bfloat16):
        out = mixed(image)
        terms = mixed.loss(out, labels)
    terms["loss"].backward()
    wanted = plain.loss(plain(image), labels)["loss"]
    assert terms["loss"].dtype == torch.float32
    assert float(terms["loss"].detach()) == pytest.approx(float(wanted.detach()), rel=0.02)
    assert all(torch.isfinite(p.grad).all() for p in mixed.parameters())
    assert all(p.grad.dtype == torch.float32 for p in mixed.parameters())


def test_copies_and_pickles() -> None:
    model = joint().eval()
    image, _ = scene(1)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(image).logits, model(image).logits)


def _process(rank: int, folder: str) -> None:
    """One of two: half of the batch each; writes its gradients."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    model = joint()
    for module in model.modules():  # statistics of a batch differ from those of its halves
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    parallel = nn.parallel.DistributedDataParallel(model)
    image, labels = scene(2)
    mine = slice(rank, rank + 1)
    model.loss(parallel(image[mine]), labels[mine])["loss"].backward()
    if rank == 0:
        torch.save([p.grad for p in model.parameters()], Path(folder) / "gradients.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_two_processes_learn_as_one(tmp_path) -> None:
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    model = joint()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    image, labels = scene(2)
    model.loss(model(image), labels)["loss"].backward()
    for ours, wanted in zip(found, model.parameters(), strict=True):
        assert torch.allclose(ours, wanted.grad, rtol=1e-3, atol=1e-6)


# --- by name, and bad input ---------------------------------------------------------------------


def test_by_name() -> None:
    model = create_model(
        "joint-superpixels",
        segmentation="deeplabv3plus-resnet18",
        num_labels=4,
        width=4,
        superpixel_width=2,
    ).eval()
    with torch.no_grad():
        out = model(torch.rand(1, 3, 50, 70))
    assert out.logits.shape == (1, 4, 50, 70)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_labels": 0}, r"num_labels: expected a number >= 1, got 0"),
        ({"hidden": [5, 8]}, r"hidden: expected numbers >= 6, .* got \[5, 8\]"),
        ({"auxiliary": "twice"}, r"auxiliary: expected one of .* got 'twice'"),
        ({"consistency": "firm"}, r"consistency: expected one of .* got 'firm'"),
        ({"superpixels": None, "consistency": "soft"}, r"consistency: 'soft' needs a network"),
    ],
)
def test_what_cannot_be_built(options, message) -> None:
    values = {"segmentation": Tiny(), "superpixels": nn.Identity(), "num_labels": LABELS, **options}
    with pytest.raises(ValueError, match=message):
        JointSegmentation(**values)


def test_what_cannot_refine() -> None:
    layer = mrf.TRWP(mrfcore.Potts())
    for options, error, message in (
        ({"refine": mrf.TRWP}, TypeError, r"refine: expected None or a layer such as"),
        ({"refine": mrfcore.minimize}, TypeError, r"refine: expected None or a layer such as"),
        ({"edges": mrf.SuperpixelEdges()}, ValueError, r"edges: expected None without refine"),
        (
            {"refine": layer, "edges": mrf.EdgeWeights()},
            TypeError,
            r"edges: expected SuperpixelEdges, got EdgeWeights",
        ),
    ):
        with pytest.raises(error, match=message):
            JointSegmentation(Tiny(), None, LABELS, **options)


def test_what_does_not_fit() -> None:
    image, labels = scene()
    with pytest.raises(ValueError, match=r"ids: expected shape \[2, 40, 48\] .* got \[2, 40, 47\]"):
        joint()(image, torch.zeros(2, 40, 47, dtype=torch.long))
    with pytest.raises(ValueError, match=r"ids: expected superpixels .* there is no network"):
        JointSegmentation(Tiny(), None, LABELS)(image)
    with pytest.raises(ValueError, match=r"segmentation: expected logits \[B, 4, h, w\].*\[2, 3"):
        JointSegmentation(Tiny(), None, 4)(image, torch.zeros(2, 40, 48, dtype=torch.long))
    with pytest.raises(ValueError, match=r"superpixels: expected q \[2, 9, 40, 48\], got"):
        JointSegmentation(Tiny(), nn.Identity(), LABELS)(image)
    with pytest.raises(TypeError, match=r"segmentation: expected a module, got str"):
        JointSegmentation("deeplab", None, LABELS)
    model = joint()
    out = model(image)
    with pytest.raises(ValueError, match=r"labels: expected shape \[2, 40, 48\], got \[2, 40\]"):
        model.loss(out, labels[:, :, 0])
    with pytest.raises(ValueError, match=r"labels: expected 0\.\.2 or 255, got 0\.\.7"):
        model.loss(out, labels.where(labels != 1, 7))
