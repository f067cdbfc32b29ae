# SPDX-License-Identifier: Apache-2.0
"""Errors of the layers: they name the argument, what it was, and what was expected."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import mrfcore  # noqa: E402
from layer_cases import inputs  # noqa: E402
from mrfcore import _core, nn  # noqa: E402
from mrfcore.ops import message_passing  # noqa: E402

POTTS = mrfcore.Potts()
UNARY = torch.rand(2, 3, 4, 5)


def nan(shape: tuple[int, ...]) -> Any:
    x = torch.rand(shape)
    x.view(-1)[3] = torch.nan
    return x


BAD_TENSORS: dict[str, tuple[type[Exception], str, tuple[Any, ...]]] = {
    "no tensor": (TypeError, "unary: expected a tensor, got list", ([[1.0]], POTTS)),
    "three dimensions": (
        ValueError,
        r"unary: expected \[B, L, H, W\], got shape \[3, 4, 5\]",
        (UNARY[0], POTTS),
    ),
    "empty": (ValueError, r"unary: .*at least one pixel.*\[2, 3, 0, 5\]", (UNARY[:, :, :0], POTTS)),
    "no batch": (ValueError, r"unary: .*got shape \[0, 3, 4, 5\]", (UNARY[:0], POTTS)),
    "integers": (
        TypeError,
        "unary: expected float16, bfloat16, float32 or float64, got dtype torch.int64",
        (UNARY.long(), POTTS),
    ),
    "complex": (TypeError, "unary: .*got dtype torch.complex64", (UNARY.cfloat(), POTTS)),
    "meta": (TypeError, "unary: expected a tensor with values.*meta", (UNARY.to("meta"), POTTS)),
    "too many labels": (
        ValueError,
        "unary: expected at most 65535 labels.*got L = 65536",
        (torch.zeros(1, 65536, 1, 1), POTTS),
    ),
    "NaN": (ValueError, "unary: .*nan", (nan((2, 3, 4, 5)), POTTS)),
    "negative infinity": (ValueError, "unary: .*-inf", (-torch.inf * (UNARY + 1), POTTS)),
    "table of another L": (
        ValueError,
        r"pairwise: expected a table \[L, L\] with L = 3 .*got shape \[4, 4\]",
        (UNARY, torch.rand(4, 4)),
    ),
    "Table of another L": (
        ValueError,
        r"pairwise: expected a table \[L, L\] with L = 3 .*got shape \[2, 2\]",
        (UNARY, mrfcore.Table([[0, 1], [1, 0]])),
    ),
    "table not square": (ValueError, r"pairwise: .*\[3, 4\]", (UNARY, torch.rand(3, 4))),
    "table of integers": (TypeError, "pairwise: .*int64", (UNARY, torch.ones(3, 3).long())),
    "table elsewhere": (TypeError, "pairwise: .*meta", (UNARY, torch.rand(3, 3, device="meta"))),
    "NaN in the table": (ValueError, "nan", (UNARY, nan((3, 3)))),
    "potential class": (TypeError, r"pairwise: .*write Potts\(\.\.\.\)", (UNARY, mrfcore.Potts)),
    "potential name": (TypeError, "pairwise: .*got str", (UNARY, "potts")),
    "weights of 8 neighbours": (
        ValueError,
        r"weights: expected .*\[2, 4, 5\].*P = connectivity / 2 = 2.*got shape \[2, 4, 4, 5\]",
        (UNARY, POTTS, torch.rand(2, 4, 4, 5)),
    ),
    "weights of another image": (
        ValueError,
        r"weights: .*got shape \[2, 2, 4, 6\]",
        (UNARY, POTTS, torch.rand(2, 2, 4, 6)),
    ),
    "weights of another batch": (
        ValueError,
        r"weights: .*got shape \[3, 2, 4, 5\]",
        (UNARY, POTTS, torch.rand(3, 2, 4, 5)),
    ),
    "weights flat": (ValueError, r"weights: .*got shape \[5\]", (UNARY, POTTS, torch.rand(5))),
    "weights of integers": (
        TypeError,
        "weights: .*got dtype torch.int64",
        (UNARY, POTTS, torch.ones(2, 4, 5).long()),
    ),
    "weights elsewhere": (
        TypeError,
        "weights: .*meta",
        (UNARY, POTTS, torch.rand(2, 4, 5, device="meta")),
    ),
    "weights no number": (TypeError, "weights: .*got str", (UNARY, POTTS, "1")),
    "negative weights": (ValueError, "weights: .*-1", (UNARY, POTTS, -torch.ones(2, 4, 5))),
    "negative weight": (ValueError, "weights: .*-2", (UNARY, POTTS, -2.0)),
    "negative learned weight": (ValueError, "weights: .*-3", (UNARY, POTTS, torch.tensor(-3.0))),
    "NaN in weights": (ValueError, "weights: .*nan", (UNARY, POTTS, nan((2, 4, 5)))),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_bad_tensors(case: str) -> None:
    error, message, args = BAD_TENSORS[case]
    with pytest.raises(error, match=message):
        message_passing(*args)


BAD_OPTIONS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, "solver: expected one of sgm, .*got 'magic'", {"solver": "magic"}),
    (ValueError, "solver: .*'trws', which only mrfcore.minimize has", {"solver": "trws"}),
    (TypeError, "solver: expected a name, got int", {"solver": 3}),
    (ValueError, "connectivity: expected 4, 8 or 16, got 6", {"connectivity": 6}),
    (ValueError, "iterations: expected a number >= 0, got -1", {"iterations": -1}),
    (TypeError, "iterations: expected an integer, got float", {"iterations": 2.0}),
    (ValueError, "rho: .*got 0", {"rho": 0.0}),
    (ValueError, "rho: .*got 1.5", {"rho": 1.5}),
    (TypeError, "rho: not an option of solver 'sgm'", {"solver": "sgm", "rho": 0.5}),
    (ValueError, r"damping: expected a number in \[0, 1\), got 1", {"damping": 1.0}),
    (TypeError, "damping: not an option of solver 'mean_field'",
     {"solver": "mean_field", "damping": 0.5}),
    (TypeError, "temperature: not an option of solver 'sgm', got 0.1",
     {"solver": "sgm", "temperature": 0.1}),
    (TypeError, "temperature: not an option of solver 'mean_field'",
     {"solver": "mean_field", "temperature": 1.0}),
    (ValueError, "temperature: expected 0 .*got -1", {"temperature": -1.0}),
    (ValueError, "temperature: .*got inf", {"temperature": float("inf")}),
    (TypeError, "head: not an option of solver 'trwp', got 'zero'", {"head": "zero"}),
    (ValueError, "head: expected one of 'unary', 'zero', got 'one'",
     {"solver": "sgm", "head": "one"}),
    (TypeError, "normalise: not an option of solver 'trwp'", {"normalise": "directions"}),
    (ValueError, "normalise: .*got 'all'", {"solver": "mean_field", "normalise": "all"}),
    (ValueError, "store_every: expected a number >= 1, got 0", {"store_every": 0}),
    (ValueError, "min_convolution: .*got 'fast'", {"min_convolution": "fast"}),
    (ValueError, "threads: expected None or a number >= 1, got 0", {"threads": 0}),
    (TypeError, "unexpected keyword", {"keep_best": True}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "options"), BAD_OPTIONS)
def test_bad_options(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        message_passing(UNARY, POTTS, **options)


def test_a_failed_call_leaves_nothing_behind() -> None:
    x = inputs(4).require()
    with pytest.raises(ValueError, match="unary"):
        message_passing(x.unary * torch.nan, x.table)
    message_passing(x.unary, x.table).sum().backward()
    assert torch.isfinite(x.unary.grad).all()


def test_a_gradient_of_another_shape_is_refused() -> None:
    x = inputs(4).require()
    with pytest.raises(RuntimeError, match="shape"):
        message_passing(x.unary, POTTS).backward(torch.ones(2, 6, 5))


def test_what_does_not_fit_says_so_before_allocating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "available_bytes", lambda: 1000)
    large = torch.zeros(1, 64, 300, 1000)
    with pytest.raises(MemoryError, match=r"unary of shape \[1, 64, 300, 1000\] needs .*1,000 are"):
        message_passing(large, POTTS)


# ---------------------------------------------------------------- modules


@pytest.mark.parametrize("layer", [nn.SGM, nn.ISGMR, nn.TRWP, nn.LoopyBP, nn.MeanField])
def test_bad_modules(layer: Any) -> None:
    with pytest.raises(ValueError, match="connectivity: expected 4, 8 or 16, got 5"):
        layer(POTTS, connectivity=5)
    with pytest.raises(ValueError, match="iterations: "):
        layer(POTTS, iterations=-1)
    with pytest.raises(ValueError, match=r"pairwise: expected a square table .*\[2, 3\]"):
        layer(torch.rand(2, 3))
    with pytest.raises(ValueError, match=r"weight: .*-1"):
        layer(POTTS, weight=-1.0)
    with pytest.raises(ValueError, match="weight: expected a number > 0 to learn"):
        layer(POTTS, weight=0.0, learn_weight=True)
    with pytest.raises(TypeError, match="learn_weight: expected True or False"):
        layer(POTTS, learn_weight="yes")
    with pytest.raises(ValueError, match=r"pairwise: .*L = 3 .*\[7, 7\]"):
        layer(nn.LearnedPairwise(7))(UNARY)


def test_bad_learned_pairwise() -> None:
    with pytest.raises(ValueError, match=r"num_labels: .*got 0"):
        nn.LearnedPairwise(0)
    with pytest.raises(TypeError, match="num_labels: expected an integer"):
        nn.LearnedPairwise(2.5)
    with pytest.raises(ValueError, match=r"init: expected a table \[L, L\] with L = 3"):
        nn.LearnedPairwise(3, init=torch.rand(4, 4))
    with pytest.raises(ValueError, match="init: expected a symmetric table"):
        nn.LearnedPairwise(2, init=[[0, 1], [2, 0]])
    with pytest.raises(TypeError, match="symmetric: "):
        nn.LearnedPairwise(2, symmetric=1)


def test_bad_edge_weights() -> None:
    with pytest.raises(ValueError, match=r"kind: expected one of 'constant', .*got 'sobel'"):
        nn.EdgeWeights("sobel")
    with pytest.raises(ValueError, match="scale: "):
        nn.EdgeWeights(scale=0.0)
    with pytest.raises(ValueError, match="high: expected at least low"):
        nn.EdgeWeights("canny", low=0.3, high=0.1)
    with pytest.raises(ValueError, match=r"image: expected \[B, C, H, W\], got shape \[3, 4, 5\]"):
        nn.EdgeWeights()(torch.rand(3, 4, 5))
    with pytest.raises(TypeError, match="image: expected a tensor"):
        nn.EdgeWeights()([1])
    with pytest.raises(ValueError, match=r"image: expected \[B, 3 or 1, H, W\]"):
        nn.EdgeWeights("canny")(torch.rand(1, 2, 4, 5))


def test_bad_soft_argmin() -> None:
    with pytest.raises(TypeError, match=r"costs: .*int64"):
        nn.soft_argmin(UNARY.long())
    with pytest.raises(ValueError, match="costs: "):
        nn.soft_argmin(torch.rand(3))
    with pytest.raises(ValueError, match=r"values: expected shape \[3\]"):
        nn.soft_argmin(UNARY, values=torch.arange(4))
    with pytest.raises(ValueError, match="temperature: expected a finite number > 0, got 0"):
        nn.soft_argmin(UNARY, temperature=0.0)
