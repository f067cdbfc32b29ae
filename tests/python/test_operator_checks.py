# SPDX-License-Identifier: Apache-2.0
"""Every dense operator through the same checks: gradcheck, autocast, torch.compile, opcheck.

The tables below are complete: a new function or op without a row fails.
"""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as F  # noqa: E402, N812
from mrfcore.superpixels import slic_options  # noqa: E402
from operator_cases import (  # noqa: E402
    CASES,
    FLOW,
    IDS,
    KAPPA,
    LABELS,
    POINTS,
    VALID,
    B,
    C,
    H,
    Q,
    W,
    X,
    draw,
    gradients,
    leaves,
    several,
)

# Without gradients, or of numbers: their own tests are enough.
NOT_DIFFERENTIABLE = {
    "group_points",
    "kappa_from_margin",
    "margin_bound",
    "margin_capacity",
    "sample_points",
    "slic",
    "superpixel_adjacency",
    "superpixel_boundaries",
    "superpixel_ids",
    "superpixel_relabel",
}
# Autocast: results as they came, for these work on what networks make of labels and colours, and
# the others in float32.
AS_THEY_CAME = ("superpixel_pool", "superpixel_unpool", "logit_consistency", "soft_superpixel")
AS_THEY_CAME += ("charbonnier", "flow_smoothness")
every = pytest.mark.parametrize("name", CASES)


def test_no_function_is_missing() -> None:
    tested = {name.partition(",")[0] for name in CASES}
    assert set(F.__all__) <= tested | NOT_DIFFERENTIABLE
    assert tested <= set(F.__all__)


@every
def test_gradcheck(place: Any, name: str) -> None:
    function, tensors = CASES[name]
    small = tuple(x[:1, ..., :7] if x.dim() > 1 else x for x in tensors)
    if "mean_shift" not in name and "margin" not in name:
        small = tensors
    inputs = leaves(small, place.put)
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@every
def test_autocast(place: Any, name: str) -> None:
    """bfloat16 in: what the same numbers give in float32; gradients in the inputs' type."""
    function, tensors = CASES[name]
    half = leaves(tensors, place.put, torch.bfloat16)
    wide = leaves(tuple(x.detach() for x in half), place.put, torch.float32)
    with torch.autocast(place.type, torch.bfloat16):
        found = function(*half)
    wanted = function(*wide)
    came = name.startswith(AS_THEY_CAME)
    for y, want in zip(several(found), several(wanted), strict=True):
        assert y.dtype == (torch.bfloat16 if came else torch.float32)
        torch.testing.assert_close(y.float(), want, rtol=1.6e-2 if came else 2e-5, atol=1e-5)
    for g, want in zip(gradients(found, half), gradients(wanted, wide), strict=True):
        assert g.dtype == torch.bfloat16
        torch.testing.assert_close(g.float(), want, rtol=0.05, atol=0.05)


@every
def test_compile_with_sizes_left_open(name: str) -> None:
    """The harder case; fixed sizes are compiled in the operators' own tests."""
    torch._dynamo.reset()
    function, tensors = CASES[name]
    inputs = leaves(tensors, torch.clone)
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    found, wanted = compiled(*inputs), function(*inputs)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradients(found, inputs), gradients(wanted, inputs))


def test_superpixel_ids_and_boundaries_compile() -> None:
    torch._dynamo.reset()

    def both(q: Any) -> Any:
        return F.superpixel_boundaries(F.superpixel_ids(q, 3))

    assert torch.equal(torch.compile(both, fullgraph=True, backend="aot_eager")(Q), both(Q))


# ---------------------------------------------------------------- ops

X32, FILTERS, NO = X.float(), draw(B, 9, H, W).float(), torch.empty(0)
STATISTICS = draw(B, H, W).float().abs() + 4
SOFTMAX, PLAIN = (True, "reflect", 0), (False, "zeros", 0)
SPHERE = ("sphere", 2, 0.8, 1)
TAPE = torch.ops.mrfcore.mean_shift(POINTS.float(), KAPPA.float(), True, *SPHERE)[1]
OPS: dict[str, list[tuple[Any, ...]]] = {
    "superpixel_pool": [(X32, IDS, 9, mean, 0) for mean in (True, False)],
    "superpixel_maximum": [(X32, IDS, 9, 0)],
    "superpixel_unpool": [(draw(B, C, 7).float(), IDS, divide, 0) for divide in (True, False)],
    "logit_consistency": [
        (X32, IDS, None, False, True, 0),
        (X32, IDS, VALID, True, False, 0),
    ],
    "soft_superpixel_pool": [(Q.float(), X32, 3, 0)],
    "soft_superpixel_unpool": [(Q.float(), draw(B, C, 4).float(), 3, 0)],
    "soft_superpixel_product": [(X32, draw(B, C, 4).float(), 3, 0)],
    "filter_flow": [(X32, FILTERS, True, *SOFTMAX), (X32, FILTERS, False, *PLAIN)],
    "filter_flow_transpose": [
        (X32, FILTERS, STATISTICS, STATISTICS, *SOFTMAX),
        (X32, FILTERS, NO, NO, *PLAIN),
    ],
    "filter_flow_filter_gradient": [
        (X32, FILTERS, STATISTICS, STATISTICS, X32, X32, FLOW.float(), FLOW.float(), *SOFTMAX),
        (X32, FILTERS, NO, NO, NO, X32, NO, None, *PLAIN),
    ],
    "warp": [(X32, FLOW.float(), mask, "zeros", 0) for mask in (True, False)],
    "warp_gradient": [
        (X32, FLOW.float(), X32, image, flow, "replicate", 0)
        for image, flow in ((True, True), (True, False), (False, True))
    ],
    "mean_shift": [(POINTS.float(), KAPPA.float(), keep, *SPHERE) for keep in (True, False)],
    "mean_shift_backward": [
        (KAPPA.float(), TAPE, POINTS.float(), need, *SPHERE) for need in (True, False)
    ],
    "slic": [(X32.sigmoid(), *slic_options(4, 10.0, 3, 0.0, True, None, "lab", None))],
    "pairwise_margin": [
        (POINTS.float(), LABELS, torch.rand(B, 30), need, 0.5, 1.0, 1) for need in (True, False)
    ],
}
OF_LAYERS = {"canny_edges", "message_passing", "message_passing_backward"}  # test_ops.py has these


def test_no_op_is_missing() -> None:
    names = torch._C._dispatch_get_all_op_names()
    assert {n[9:] for n in names if n.startswith("mrfcore::")} - OF_LAYERS == set(OPS)


@pytest.mark.parametrize("name", OPS)
def test_opcheck(name: str) -> None:
    for args in OPS[name]:
        torch.library.opcheck(getattr(torch.ops.mrfcore, name).default, args)
