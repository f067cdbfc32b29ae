# SPDX-License-Identifier: Apache-2.0
"""The modules around the dense operators: same results, state, compile, AMP, bad input."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import nn  # noqa: E402
from mrfcore.nn import functional as F  # noqa: E402, N812

B, C, H, W = 2, 3, 8, 10


def draw(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


IDS = torch.randint(0, 7, (B, H, W), generator=torch.Generator().manual_seed(1))
VALID = draw(B, H, W) > 0
X, Q = draw(B, C, H, W), draw(B, 9, H, W).softmax(1)
MASS = draw(B, H, W).abs()

# name: (module, its inputs, the function that it is)
CASES: dict[str, tuple[Callable[[], Any], tuple[Any, ...], Callable[..., Any]]] = {
    "SuperpixelPool": (
        lambda: nn.SuperpixelPool(9, "max"),
        (X, IDS),
        lambda x, ids: F.superpixel_pool(x, ids, 9, "max"),
    ),
    "SuperpixelUnpool": (nn.SuperpixelUnpool, (draw(B, C, 7), IDS), F.superpixel_unpool),
    "LogitConsistency": (
        lambda: nn.LogitConsistency("zero"),
        (X, IDS, VALID),
        lambda x, ids, valid: F.logit_consistency(x, ids, valid, empty="zero"),
    ),
    "SoftSuperpixelPool": (
        lambda: nn.SoftSuperpixelPool(4, border="renorm", eps=0.1),
        (X, Q),
        lambda x, q: F.soft_superpixel_pool(x, q, 4, border="renorm", eps=0.1),
    ),
    "SoftSuperpixelUnpool": (
        lambda: nn.SoftSuperpixelUnpool(4, border="renorm"),
        (draw(B, C, 6), Q),
        lambda z, q: F.soft_superpixel_unpool(z, q, 4, border="renorm"),
    ),
    "FilterFlow": (
        lambda: nn.FilterFlow("softmax", "reflect"),
        (X, draw(B, 25, H, W)),
        lambda x, t: F.filter_flow(x, t, "softmax", "reflect"),
    ),
    "FilterFlow with flow": (
        lambda: nn.FilterFlow("softmax", return_flow=True),
        (X, draw(B, 16, H, W)),
        lambda x, t: F.filter_flow(x, t, "softmax", return_flow=True),
    ),
    "Warp": (
        lambda: nn.Warp("replicate", return_mask=True),
        (X, draw(B, 2, 5, 6)),
        lambda x, f: F.warp(x, f, "replicate", return_mask=True),
    ),
    "MeanShift": (
        lambda: nn.MeanShift(9.0, 3, 0.5),
        (X,),
        lambda x: F.mean_shift(x, 9.0, 3, 0.5),
    ),
    "MeanShift learned": (
        lambda: nn.MeanShift(9.0, 2, learn_kappa=True),
        (X,),
        lambda x: F.mean_shift(x, torch.tensor(9.0).log().exp(), 2),
    ),
    "PairwiseMarginLoss": (
        lambda: nn.PairwiseMarginLoss(0.3, neg_weight=2.0, normalise="sum", ignore=0),
        (X, IDS, MASS),
        lambda x, labels, weights: F.pairwise_margin_loss(
            x, labels, 0.3, weights=weights, neg_weight=2.0, normalise="sum", ignore=0
        ),
    ),
}


def parts(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def same(got: Any, want: Any) -> None:
    assert len(parts(got)) == len(parts(want))
    assert all(torch.equal(a, b) for a, b in zip(parts(got), parts(want), strict=True))


def total(found: Any) -> Any:
    return sum(p.square().sum() for p in parts(found) if p.is_floating_point())


@pytest.mark.parametrize("name", CASES)
def test_modules_are_their_functions(name: str) -> None:
    make, inputs, function = CASES[name]
    same(make()(*inputs), function(*inputs))


@pytest.mark.parametrize("name", CASES)
def test_state_dict_pickle_deepcopy(name: str) -> None:
    make, inputs, _ = CASES[name]
    module = make()
    if name == "MeanShift learned":
        with torch.no_grad():
            module.log_kappa += 0.5
    want = module(*inputs)
    same(copy.deepcopy(module)(*inputs), want)
    same(pickle.loads(pickle.dumps(module))(*inputs), want)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh = make()
    assert str(fresh.load_state_dict(torch.load(file))) == "<All keys matched successfully>"
    same(fresh(*inputs), want)


@pytest.mark.parametrize("name", CASES)
def test_compiled(name: str) -> None:
    torch._dynamo.reset()
    make, inputs, _ = CASES[name]
    module = make()
    values, *rest = inputs
    leaf = values.clone().requires_grad_()
    wanted = [leaf, *module.parameters()]
    run = torch.compile(module, fullgraph=True, backend="aot_eager")
    got, want = run(leaf, *rest), module(leaf, *rest)
    for mine, theirs in zip(parts(got), parts(want), strict=True):
        torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        for mine, theirs in zip(parts(run(*inputs)), parts(module(*inputs)), strict=True):
            torch.testing.assert_close(mine, theirs)
    found = torch.autograd.grad(total(got), wanted)
    for mine, theirs in zip(found, torch.autograd.grad(total(want), wanted), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", CASES)
def test_behind_a_convolution_under_autocast(name: str) -> None:
    make, inputs, _ = CASES[name]
    module = make()
    values, *rest = inputs
    before = torch.nn.Conv1d(C, C, 1) if values.dim() == 3 else torch.nn.Conv2d(C, C, 1)
    with torch.autocast("cpu", torch.bfloat16):
        features = before(values)
        assert features.dtype == torch.bfloat16
        if name.startswith("Soft"):  # both of one dtype
            rest = [q.to(torch.bfloat16) for q in rest]
        loss = total(module(features, *rest)).float()
    loss.backward()
    assert before.weight.grad.isfinite().all()
    assert before.weight.grad.abs().sum() > 0


def test_repr_says_the_set_up() -> None:
    assert repr(nn.SuperpixelPool(9, "max")) == "SuperpixelPool(num=9, reduce='max')"
    assert repr(nn.SuperpixelUnpool()) == "SuperpixelUnpool()"
    assert repr(nn.LogitConsistency()) == "LogitConsistency(empty='keep')"
    soft = repr(nn.SoftSuperpixelPool(4))
    assert soft == "SoftSuperpixelPool(cell=4, border='zero', eps=1e-08)"
    assert repr(nn.SoftSuperpixelUnpool()) == "SoftSuperpixelUnpool(cell=16, border='zero')"
    flow = nn.FilterFlow("softmax", return_flow=True)
    assert repr(flow) == "FilterFlow(normalize='softmax', padding='zeros', return_flow=True)"
    assert repr(nn.Warp()) == "Warp(padding='zeros')"
    learned = repr(nn.MeanShift(36.0, learn_kappa=True))
    assert learned == "MeanShift(kappa=36 (learned), steps=5, step_size=1)"
    assert repr(nn.PairwiseMarginLoss(sample=50)) == (
        "PairwiseMarginLoss(alpha=0.5, sample=50, neg_weight=1, normalise='N', reduction='mean')"
    )


# ---------------------------------------------------------------- what only modules do


def test_valid_is_for_training() -> None:
    module, careless = nn.LogitConsistency(), nn.LogitConsistency(valid_in_eval=True)
    masked, plain = F.logit_consistency(X, IDS, VALID), F.logit_consistency(X, IDS)
    assert not torch.equal(masked, plain)
    assert torch.equal(module(X, IDS, VALID), masked)
    assert torch.equal(module.eval()(X, IDS, VALID), plain)
    assert torch.equal(careless.eval()(X, IDS, VALID), masked)


def test_all_steps_of_mean_shift() -> None:
    states = nn.MeanShift(9.0, 3, all_steps=True)(X)
    assert len(states) == 4
    for steps, state in enumerate(states):
        torch.testing.assert_close(state, F.mean_shift(X, 9.0, steps))


def test_learned_kappa() -> None:
    module = nn.MeanShift(9.0, 2, learn_kappa=True)
    assert [n for n, _ in module.named_parameters()] == ["log_kappa"]
    kappa = torch.tensor(9.0, requires_grad=True)
    weights = draw(*X.shape)
    (module(X) * weights).sum().backward()
    (F.mean_shift(X, kappa, 2) * weights).sum().backward()
    torch.testing.assert_close(module.log_kappa.grad, 9.0 * kappa.grad, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        module.log_kappa -= 50.0  # a far too long step
    assert 0 < module.kappa.item() < 1e-15
    assert module(X).isfinite().all()


def test_the_sample_is_drawn_anew_and_can_be_repeated() -> None:
    module = nn.PairwiseMarginLoss(sample=20)
    losses = {float(module(X, IDS, generator=torch.Generator().manual_seed(s))) for s in range(4)}
    assert len(losses) == 4
    again = [float(module(X, IDS, generator=torch.Generator().manual_seed(0))) for _ in range(2)]
    assert again[0] == again[1]


def test_a_network_learns_through_its_modules() -> None:
    """A shift of two pixels: filters by a convolution, the loss on what filter flow makes."""
    torch.manual_seed(0)
    image = draw(1, 1, 16, 18)
    head = torch.nn.Conv2d(1, 25, 1)
    layer = nn.FilterFlow("softmax", "replicate", return_flow=True)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    target = torch.roll(image, 2, 3)
    for _ in range(150):
        out, flow = layer(image, head(torch.ones_like(image)))
        loss = (out - target)[..., 2:].abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01
    torch.testing.assert_close(flow[0, :, 4, 4], torch.tensor([-2.0, 0.0]), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.SuperpixelPool(0), ValueError, "num: expected None or a number >= 1"),
        (lambda: nn.SuperpixelPool(1.5), TypeError, "num: expected an integer"),
        (lambda: nn.SuperpixelPool(reduce="min"), ValueError, "reduce: expected one of"),
        (lambda: nn.SuperpixelUnpool(threads=0), ValueError, "threads: expected None"),
        (lambda: nn.LogitConsistency("no"), ValueError, "empty: expected one of"),
        (lambda: nn.LogitConsistency(valid_in_eval=1), TypeError, "valid_in_eval: expected True"),
        (lambda: nn.SoftSuperpixelPool(0), ValueError, "cell: expected a number >= 1"),
        (lambda: nn.SoftSuperpixelPool(eps=-1.0), ValueError, "eps: expected a number >= 0"),
        (lambda: nn.SoftSuperpixelPool(border="no"), ValueError, "border: expected one of"),
        (lambda: nn.FilterFlow("sum"), ValueError, "normalize: expected one of"),
        (lambda: nn.FilterFlow(padding="wrap"), ValueError, "padding: expected one of"),
        (lambda: nn.Warp("reflect"), ValueError, "padding: expected one of"),
        (lambda: nn.MeanShift(-1.0), ValueError, "kappa: expected a finite number >= 0"),
        (lambda: nn.MeanShift(0.0, learn_kappa=True), ValueError, "kappa: .* > 0 to learn from"),
        (lambda: nn.MeanShift(steps=-1), ValueError, "steps: expected a number >= 0"),
        (lambda: nn.MeanShift(step_size=0.0), ValueError, r"step_size: .* \(0, 1\]"),
        (lambda: nn.PairwiseMarginLoss(2.0), ValueError, r"alpha: .* \[0, 1\]"),
        (lambda: nn.PairwiseMarginLoss(sample=0), ValueError, "sample: expected None or a number"),
        (lambda: nn.PairwiseMarginLoss(ignore=0.5), TypeError, "ignore: expected an integer"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
