# SPDX-License-Identifier: Apache-2.0
"""Layers under torch.compile(fullgraph=True) and autocast, training steps included."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from layer_cases import inputs, probe  # noqa: E402
from mrfcore import nn  # noqa: E402
from mrfcore.ops import message_passing  # noqa: E402

HUBER = mrfcore.Huber(1.0)
LAYERS = [nn.SGM, nn.ISGMR, nn.TRWP, nn.LoopyBP, nn.MeanField]


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def compiled(f: Any, **options: Any) -> Any:
    return torch.compile(f, fullgraph=True, **options)


# ---------------------------------------------------------------- the op


@pytest.mark.parametrize("needs", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)])
@pytest.mark.parametrize("scalar", [False, True])
def test_compiled_op(scalar: bool, needs: tuple[int, ...]) -> None:
    x = inputs(4)
    weights = x.scalar if scalar else x.edges
    args = [
        t.requires_grad_(bool(n)) for t, n in zip((x.unary, x.table, weights), needs, strict=True)
    ]

    def f(unary: Any, table: Any, weights: Any) -> Any:
        return message_passing(2 * unary, table, weights, solver="isgmr", damping=0.5).sin()

    got, want = compiled(f)(*args), f(*args)
    torch.testing.assert_close(got, want)
    wanted = [a for a in args if a.requires_grad]
    if wanted:
        pairs = zip(
            torch.autograd.grad(probe(got), wanted),
            torch.autograd.grad(probe(want), wanted),
            strict=True,
        )
        for mine, theirs in pairs:
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    "pairwise",
    [mrfcore.TruncatedLinear(), mrfcore.SGMPenalty(1, 2), mrfcore.Table(torch.eye(6).numpy())],
    ids=str,
)
def test_compiled_potentials(pairwise: Any) -> None:
    x = inputs(4)
    f = lambda unary, weight: message_passing(unary, pairwise, weight)  # noqa: E731
    g = compiled(f)
    for weight in (0.5, 0.7, x.edges):
        torch.testing.assert_close(g(x.unary, weight), f(x.unary, weight))


def test_compiled_for_changing_sizes() -> None:
    f = lambda unary: message_passing(unary + 1, HUBER).sin()  # noqa: E731
    g = compiled(f, dynamic=True)
    for height in (4, 5, 7):
        unary = torch.rand(1, 3, height, 6, requires_grad=True)
        (mine,) = torch.autograd.grad(g(unary).sum(), unary)
        (theirs,) = torch.autograd.grad(f(unary).sum(), unary)
        torch.testing.assert_close(mine, theirs)


def test_one_graph_serves_many_sizes() -> None:
    f = lambda unary: message_passing(unary + 1, HUBER, solver="sgm").sin()  # noqa: E731
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    g = torch.compile(f, fullgraph=True, dynamic=True, backend=counter)
    for width in range(6, 18):  # more sizes than the compiler would recompile for
        unary = torch.rand(1, 3, 5, width, requires_grad=True)
        g(unary).sum().backward()
        (want,) = torch.autograd.grad(f(unary).sum(), unary)
        torch.testing.assert_close(unary.grad, want)
    assert counter.frame_count <= 2


def test_compiled_weights_after_changing_batches() -> None:
    """Weights with the size of the batch are known as such where the batch is symbolic."""
    x = inputs(4)
    g = compiled(nn.TRWP(HUBER))
    for items in (3, 4):  # now the compiler takes the batch for a symbol
        g(torch.rand(items, *x.unary.shape[1:]))
    want = nn.TRWP(HUBER)(x.unary, x.edges)
    assert x.edges.shape[0] == x.unary.shape[0] > 1
    torch.testing.assert_close(g(x.unary, x.edges), want)


def test_errors_under_compile_say_what_was_expected() -> None:
    f = compiled(lambda unary, table: message_passing(unary, table))
    with pytest.raises(Exception, match=r"pairwise: expected a table \[L, L\] with L = 3"):
        f(torch.rand(1, 3, 4, 5), torch.rand(4, 4))
    with pytest.raises(ValueError, match=r"unary: .*nan"):
        f(torch.rand(1, 3, 4, 5) * torch.nan, torch.rand(3, 3))


# ---------------------------------------------------------------- networks


class Network(torch.nn.Module):
    """Unaries by a convolution, edge weights from the image, a layer on both."""

    def __init__(self, layer: Any, channels_last: bool = True) -> None:
        super().__init__()
        self.unary = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.layer = layer(nn.LearnedPairwise(4), iterations=2, connectivity=4, learn_weight=True)
        self.edges = nn.EdgeWeights(scale=0.3)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, image: Any) -> Any:
        return self.layer(self.unary(image), self.edges(image))


def batch() -> tuple[Any, Any]:
    g = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 8, 9, generator=g).contiguous(memory_format=torch.channels_last)
    return image, (image.mean(1) * 4).long().clamp(0, 3)


def train(network: Any, run: Any, steps: int = 15, autocast: bool = False) -> list[float]:
    image, target = batch()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(-run(image), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_training_step(layer: Any, autocast: bool) -> None:
    """The same losses with and without torch.compile, in float32 and under autocast."""
    torch.manual_seed(0)
    plain = Network(layer)
    torch.manual_seed(0)
    network = Network(layer)
    want = train(plain, plain, autocast=autocast)
    got = train(network, compiled(network), autocast=autocast)
    assert want[-1] < 0.95 * want[0]
    # In bfloat16 the compiler fuses roundings away.
    assert got == pytest.approx(want, rel=0.05 if autocast else 1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_float32(dtype: Any) -> None:
    x = inputs(4, dtype=torch.float32)
    half = x.unary.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        costs = message_passing(half, HUBER, x.edges)
        assert message_passing(x.unary, HUBER).dtype == torch.float32
        assert message_passing(x.unary.double(), HUBER).dtype == torch.float64
    assert costs.dtype == torch.float32
    assert torch.equal(costs, message_passing(half.float(), HUBER, x.edges))
    (grad,) = torch.autograd.grad(probe(costs), half)
    assert grad.dtype == dtype


def test_compiled_canny() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    image = torch.zeros(1, 1, 12, 12)
    image[..., 6:] = 1
    edges = nn.EdgeWeights("canny")
    assert 0 < edges(image).mean() < 1
    assert torch.equal(compiled(edges)(image), edges(image))


def test_compiled_soft_argmin() -> None:
    costs = torch.rand(1, 5, 6, 7, requires_grad=True)
    f = lambda c: nn.soft_argmin(nn.SGM.forward(layer, c), 0.5)  # noqa: E731
    layer = nn.SGM(HUBER)
    torch.testing.assert_close(compiled(f)(costs), f(costs))


def test_export() -> None:
    """torch.export keeps the op; the loaded program gives the same costs."""
    network = Network(nn.TRWP).eval()
    image, _ = batch()
    program = torch.export.export(network, (image,))
    assert "mrfcore.message_passing" in str(program.graph)
    with torch.no_grad():
        assert torch.equal(program.module()(image), network(image))
