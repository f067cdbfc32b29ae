# SPDX-License-Identifier: Apache-2.0
"""mrfcore.nn: the modules around the op."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from mrfcore import nn, ops, stereo  # noqa: E402

POTTS = mrfcore.Potts()
PAIRS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))

LAYERS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "SGM": (nn.SGM, "sgm", {"iterations": 2, "connectivity": 8, "head": "zero"}),
    "ISGMR": (nn.ISGMR, "isgmr", {"iterations": 3, "connectivity": 8, "damping": 0.3}),
    "TRWP": (nn.TRWP, "trwp", {"iterations": 3, "connectivity": 4, "rho": 0.4}),
    "TRWP-soft": (nn.TRWP, "trwp", {"iterations": 3, "connectivity": 4, "temperature": 0.2}),
    "LoopyBP": (nn.LoopyBP, "bp", {"iterations": 2, "connectivity": 16, "damping": 0.5}),
    "MeanField": (
        nn.MeanField,
        "mean_field",
        {"iterations": 3, "connectivity": 4, "normalise": "directions"},
    ),
}


def seeded(*shape: int) -> Any:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def unary() -> Any:
    return seeded(2, 5, 6, 7)


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_the_op(name: str, unary: Any) -> None:
    module, solver, options = LAYERS[name]
    edges = seeded(2, options["connectivity"] // 2, 6, 7)
    table = seeded(5, 5)
    for pairwise in (mrfcore.TruncatedLinear(2), table, torch.nn.Parameter(table)):
        layer = module(pairwise, **options)
        for weights in (None, edges, edges[:1], edges[0]):
            want = ops.message_passing(
                unary, pairwise, 1.0 if weights is None else weights, solver=solver, **options
            )
            assert torch.equal(layer(unary, weights), want)
    layer = module(POTTS, weight=2.5, **options)
    want = ops.message_passing(unary, POTTS, edges * 2.5, solver=solver, **options)
    assert torch.equal(layer(unary, edges), want)


def test_defaults_are_those_of_the_text() -> None:
    made = {
        name: getattr(nn, name)(POTTS)._setup
        for name in ("SGM", "ISGMR", "TRWP", "LoopyBP", "MeanField")
    }
    assert {n: (s.iterations, s.connectivity) for n, s in made.items()} == {
        "SGM": (1, 8),
        "ISGMR": (5, 8),
        "TRWP": (5, 4),
        "LoopyBP": (5, 4),
        "MeanField": (5, 4),
    }


@pytest.mark.parametrize("name", LAYERS)
def test_learned_weight(name: str, unary: Any) -> None:
    module, solver, options = LAYERS[name]
    layer = module(POTTS, weight=0.7, learn_weight=True, **options)
    assert [n for n, _ in layer.named_parameters()] == ["log_weight"]
    weight = torch.tensor(0.7, requires_grad=True)
    want = ops.message_passing(unary, POTTS, weight, solver=solver, **options)
    costs = layer(unary)
    torch.testing.assert_close(costs, want)
    costs.square().sum().backward()
    want.square().sum().backward()
    torch.testing.assert_close(layer.log_weight.grad, 0.7 * weight.grad)
    with torch.no_grad():
        layer.log_weight -= 50.0  # a far too long step leaves a weight that solvers take
    assert 0 < float(layer.weight) < 1e-15
    layer(unary, torch.ones(options["connectivity"] // 2, 6, 7))


def test_one_learned_table_in_two_layers(unary: Any) -> None:
    table = nn.LearnedPairwise(5)
    net = torch.nn.ModuleList([nn.TRWP(table), nn.ISGMR(table)])
    assert len(list(net.parameters())) == 1
    (net[0](unary).sum() + net[1](unary).square().sum()).backward()
    assert torch.count_nonzero(table.table.grad) > 0


def train(layer: Any, unary: Any, target: Any, steps: int = 60) -> list[float]:
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(-layer(unary), target)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize("name", LAYERS)
def test_training_finds_which_labels_go_together(name: str) -> None:
    """Labels 0 and 1 are never neighbours: learning must raise V(0, 1) above V(0, 2)."""
    module, _, options = LAYERS[name]
    g = torch.Generator().manual_seed(3)
    stripes = torch.tensor([0, 0, 2, 2, 1, 1, 2, 2]).repeat(3)
    target = stripes.expand(2, 24, 24).contiguous()
    unary = -torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    unary = unary + 1.2 * torch.randn(unary.shape, generator=g)
    layer = module(nn.LearnedPairwise(3, init=0.3 * np.ones((3, 3))), **options)
    before = (layer(unary).argmin(1) != target).float().mean()
    losses = train(layer, unary, target)
    after = (layer(unary).argmin(1) != target).float().mean()
    assert losses[-1] < 0.8 * losses[0]
    assert after < 0.85 * before
    table = layer.pairwise().detach()
    assert table[0, 1] > table[0, 2]
    assert torch.equal(table, table.T)


# ---------------------------------------------------------------- being a module


@pytest.mark.parametrize("name", LAYERS)
def test_state_dict_pickle_deepcopy(name: str, unary: Any) -> None:
    module, _, options = LAYERS[name]
    for pairwise in (POTTS, seeded(5, 5), nn.LearnedPairwise(5, symmetric=False)):
        layer = module(pairwise, weight=0.3, learn_weight=True, **options)
        with torch.no_grad():
            for p in layer.parameters():
                p += seeded(*p.shape)
        want = layer(unary)
        assert torch.equal(copy.deepcopy(layer)(unary), want)
        assert torch.equal(pickle.loads(pickle.dumps(layer))(unary), want)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        fresh_pairwise = (
            nn.LearnedPairwise(5, False)
            if pairwise is layer._modules.get("pairwise")
            else (POTTS if pairwise is POTTS else torch.zeros(5, 5))
        )
        fresh = module(fresh_pairwise, learn_weight=True, **options)
        assert not torch.equal(fresh(unary), want)
        assert str(fresh.load_state_dict(torch.load(file))) == "<All keys matched successfully>"
        assert torch.equal(fresh(unary), want)


def test_repr_says_the_set_up() -> None:
    assert repr(nn.TRWP(mrfcore.TruncatedLinear(2), rho=0.5, damping=0.1)) == (
        "TRWP(TruncatedLinear(truncation=2), iterations=5, connectivity=4, rho=0.5, damping=0.1, "
        "weight=1)"
    )
    learned = repr(nn.ISGMR(nn.LearnedPairwise(21), temperature=0.5, learn_weight=True))
    assert "connectivity=8, temperature=0.5, weight=1 (learned)" in learned
    assert "(pairwise): LearnedPairwise(21, symmetric=True)" in learned
    assert repr(nn.MeanField(torch.zeros(3, 3), store_every=2)) == (
        "MeanField(Table(L=3), iterations=5, connectivity=4, store_every=2, weight=1)"
    )
    assert repr(nn.SGM(torch.nn.Parameter(torch.zeros(3, 3)), head="zero")) == (
        "SGM(Table(L=3) (learned), iterations=1, connectivity=8, head='zero', weight=1)"
    )
    assert repr(nn.EdgeWeights("canny", 8)) == (
        "EdgeWeights('canny', connectivity=8, sigma=1, low=0.1, high=0.2)"
    )


def test_module_dtypes(unary: Any) -> None:
    layer = nn.TRWP(nn.LearnedPairwise(5), learn_weight=True).double()
    costs = layer(unary.double())
    assert costs.dtype == torch.float64
    costs.sum().backward()
    assert layer.pairwise.table.grad.dtype == torch.float64
    half = nn.TRWP(seeded(5, 5), learn_weight=True).bfloat16()
    assert half(unary.bfloat16(), seeded(2, 6, 7).bfloat16()).dtype == torch.bfloat16


# ---------------------------------------------------------------- learned pairwise


def test_learned_pairwise_starts_where_told() -> None:
    for init in (None, POTTS, mrfcore.TruncatedLinear(2), mrfcore.Huber(1.0)):
        want = (init or POTTS).table(4)
        np.testing.assert_allclose(nn.LearnedPairwise(4, init=init)().detach(), want, rtol=1e-6)
    table = seeded(4, 4)
    assert torch.equal(nn.LearnedPairwise(4, symmetric=False, init=table)(), table)
    assert torch.equal(nn.LearnedPairwise(4, symmetric=False, init=table.numpy())(), table)


def test_symmetry_survives_any_step() -> None:
    pairwise = nn.LearnedPairwise(4)
    with torch.no_grad():
        pairwise.table += seeded(4, 4)
    assert torch.equal(pairwise(), pairwise().T)


# ---------------------------------------------------------------- edge weights


def by_hand(image: Any, weight: Any, connectivity: int) -> Any:
    """Edge by edge."""
    batch, _, height, width = image.shape
    out = torch.zeros(batch, connectivity // 2, height, width)
    for b, p, y, x in np.ndindex(*out.shape):
        qy, qx = y + PAIRS[p][0], x + PAIRS[p][1]
        if qy < height and 0 <= qx < width:
            out[b, p, y, x] = weight(image[b, :, y, x], image[b, :, qy, qx])
    return out


@pytest.mark.parametrize("connectivity", [4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_exponential_edge_weights(channels: int, connectivity: int) -> None:
    image = seeded(2, channels, 5, 6)
    got = nn.EdgeWeights("exponential", connectivity, scale=0.2, floor=0.1)(image)
    want = by_hand(
        image,
        lambda a, b: 0.1 + 0.9 * torch.exp(-((a - b) ** 2).mean().sqrt() / 0.2),
        connectivity,
    )
    torch.testing.assert_close(got, want)
    for b in range(2):
        theirs = stereo.exponential_weights(
            image[b].movedim(0, -1).numpy(), connectivity, scale=0.2, floor=0.1
        )
        np.testing.assert_allclose(got[b], theirs, rtol=1e-5)


def test_exponential_edge_weights_of_a_flat_image_have_a_gradient() -> None:
    image = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    nn.EdgeWeights()(image).sum().backward()
    assert torch.equal(image.grad, torch.zeros_like(image))


def test_exponential_edge_weights_gradcheck() -> None:
    image = seeded(1, 3, 4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(nn.EdgeWeights(connectivity=16, scale=0.5), (image,))


def test_integer_images_are_on_their_own_scale() -> None:
    image = (255 * seeded(1, 3, 5, 6)).to(torch.uint8)
    got = nn.EdgeWeights(scale=15.0, floor=0.2)(image)
    np.testing.assert_allclose(
        got[0], stereo.exponential_weights(image[0].movedim(0, -1).numpy()), rtol=1e-5
    )


def test_integer_images_on_a_scale_for_fractions_are_refused() -> None:
    image = (255 * seeded(1, 3, 5, 6)).to(torch.uint8)
    with pytest.raises(ValueError, match=r"image: got dtype torch.uint8 .* pass image / 255"):
        nn.EdgeWeights()(image)


def test_modules_that_give_no_table_are_refused() -> None:
    with pytest.raises(TypeError, match=r"pairwise: .*LearnedPairwise.*got Linear"):
        nn.TRWP(torch.nn.Linear(3, 3))


@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_constant_edge_weights(connectivity: int) -> None:
    image = seeded(2, 3, 4, 3)
    got = nn.EdgeWeights("constant", connectivity)(image)
    assert torch.equal(got, by_hand(image, lambda *_: 1.0, connectivity))
    assert nn.EdgeWeights("constant", 16)(image[:, :, :1, :1]).sum() == 0


@pytest.mark.parametrize("connectivity", [4, 8])
def test_canny_edge_weights(connectivity: int) -> None:
    """1 - |e_i - e_j| [T:1452], e of scikit-image on the luma."""
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed")
    image = torch.zeros(2, 3, 16, 20)
    image[0, :, :, 8:] = 1.0
    image[1, 0, 5:11, 4:15] = 1.0
    image += 0.05 * seeded(2, 3, 16, 20)
    luma = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
    edges = torch.stack([torch.from_numpy(feature.canny(x, 1.5, 0.05, 0.1)) for x in luma.numpy()])
    assert 0.02 < edges.float().mean() < 0.3
    got = nn.EdgeWeights("canny", connectivity, sigma=1.5, low=0.05, high=0.1)(image)
    want = by_hand(edges[:, None].float(), lambda a, b: 1 - (a - b).abs(), connectivity)
    assert torch.equal(got, want)


# ---------------------------------------------------------------- soft arg-min


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_soft_argmin(temperature: float) -> None:
    costs = seeded(2, 5, 3, 4).double().requires_grad_()
    values = torch.tensor([3.0, 4.0, 6.0, 7.5, -1.0])
    e = torch.exp(-costs / temperature)
    want = (values[:, None, None] * e).sum(1) / e.sum(1)
    torch.testing.assert_close(nn.soft_argmin(costs, temperature, values), want)
    assert nn.soft_argmin(costs).shape == (2, 3, 4)
    assert torch.autograd.gradcheck(lambda c: nn.soft_argmin(c, temperature), (costs,))


def test_soft_argmin_limits() -> None:
    costs = 1e4 * seeded(1, 5, 3, 4)
    costs[:, 2, 0] = torch.inf
    cold = nn.soft_argmin(costs, 1e-3)
    assert torch.equal(cold, costs.argmin(1).float())
    middle = nn.soft_argmin(torch.zeros(1, 5, 2, 2))
    torch.testing.assert_close(middle, torch.full((1, 2, 2), 2.0))
    assert nn.soft_argmin(costs.bfloat16()).dtype == torch.float32
    t = torch.tensor(2.0, requires_grad=True)
    nn.soft_argmin(seeded(1, 5, 2, 2), t).sum().backward()
    assert float(t.grad) != 0


# ---------------------------------------------------------------- without torch


@pytest.mark.parametrize("module", ["mrfcore.nn", "mrfcore.ops", "mrfcore.ops.reference"])
def test_a_missing_torch_is_said_kindly(module: str) -> None:
    code = f"""
    import importlib.util, sys
    class NoTorch:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *a: None if name == "torch" else find(name, *a)
    sys.meta_path.insert(0, NoTorch())
    import mrfcore
    mrfcore.minimize([[[0.0, 1.0]]], mrfcore.Potts())
    try:
        importlib.import_module({module!r})
    except ImportError as error:
        print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "pip install torch" in done.stdout
