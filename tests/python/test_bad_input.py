# SPDX-License-Identifier: Apache-2.0
"""Bad input is refused with the right exception, naming argument, what came and what was expected.

Every case lists patterns that its message must contain; shapes match however they are bracketed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mrfcore

POTTS = mrfcore.Potts()
UNARY = np.random.default_rng(0).uniform(0, 5, (3, 4, 5)).astype(np.float32)
NAN, INF = float("nan"), float("inf")


def shape(*sizes: int) -> str:
    """Pattern of a shape, in whatever brackets."""
    return r"\b" + r"[ ,x]+".join(map(str, sizes)) + r"\b"


def spoiled(value: float, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    unary = UNARY.astype(dtype)
    unary[1, 2, 3] = value
    return unary


def minimize(unary: Any = UNARY, pairwise: Any = POTTS, weights: Any = 1.0, **options: Any) -> Any:
    options.setdefault("iterations", 1)
    return mrfcore.minimize(unary, pairwise, weights, **options)


def weights_with(value: float) -> np.ndarray[Any, Any]:
    weights = np.ones((2, 3, 4), np.float32)
    weights[0, 1, 1] = value
    return weights


def assert_refused(
    error: type[Exception], patterns: tuple[str, ...], call: Callable[[], Any]
) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for pattern in patterns:
        assert re.search(pattern, message, re.IGNORECASE), f"no /{pattern}/ in: {message}"


VALUE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    # unary
    "unary of rank 0": (("unary", r"H.*W.*L"), lambda: minimize(np.float32(1))),
    "unary of rank 2": (("unary", shape(3, 4), r"H.*W.*L"), lambda: minimize(UNARY[..., 0])),
    "unary of rank 5": (
        ("unary", shape(1, 1, 3, 4, 5), r"H.*W.*L"),
        lambda: minimize(UNARY[None, None]),
    ),
    "no rows": (("unary", shape(0, 4, 5)), lambda: minimize(UNARY[:0])),
    "no columns": (("unary", shape(3, 0, 5)), lambda: minimize(UNARY[:, :0])),
    "no labels": (("unary", shape(3, 4, 0)), lambda: minimize(UNARY[..., :0])),
    "no items": (("unary", shape(0, 3, 4, 5)), lambda: minimize(UNARY[None][:0])),
    "NaN in unary": (("unary", "nan"), lambda: minimize(spoiled(NAN))),
    "NaN in float64 unary": (("unary", "nan"), lambda: minimize(spoiled(NAN, np.float64))),
    "-inf in unary": (("unary", "-inf"), lambda: minimize(spoiled(-INF))),
    # weights
    "negative weight": (("weights", r"-0?\.?\d"), lambda: minimize(weights=-0.5)),
    "NaN weight": (("weights", "nan"), lambda: minimize(weights=NAN)),
    "infinite weight": (("weights", "inf"), lambda: minimize(weights=INF)),
    "negative edge weight": (
        ("weights", "negative|>= ?0|-1"),
        lambda: minimize(weights=weights_with(-1)),
    ),
    "NaN edge weight": (("weights", "nan"), lambda: minimize(weights=weights_with(NAN))),
    "infinite edge weight": (
        ("weights", "inf|finite"),
        lambda: minimize(weights=weights_with(INF)),
    ),
    "weights for other connectivity": (
        ("weights", shape(2, 3, 4), shape(4, 3, 4)),
        lambda: minimize(weights=np.ones((2, 3, 4)), connectivity=8),
    ),
    "weights for other image": (
        ("weights", shape(2, 4, 3), shape(2, 3, 4)),
        lambda: minimize(weights=np.ones((2, 4, 3))),
    ),
    "weights of rank 1": (
        ("weights", r"\b3\b", shape(2, 3, 4)),
        lambda: minimize(weights=np.ones(3)),
    ),
    "weights of rank 2": (("weights", shape(3, 4)), lambda: minimize(weights=np.ones((3, 4)))),
    "weights for other batch": (
        ("weights", shape(3, 2, 3, 4)),
        lambda: minimize(np.stack([UNARY, UNARY]), weights=np.ones((3, 2, 3, 4))),
    ),
    # problem and options
    "connectivity 5": (("connectivity", r"\b5\b", r"4.*8.*16"), lambda: minimize(connectivity=5)),
    "connectivity 0": (("connectivity", r"\b0\b", r"4.*8.*16"), lambda: minimize(connectivity=0)),
    "unknown solver": (
        ("solver", "magic", "trwp.*trws|trws.*trwp"),
        lambda: minimize(solver="magic"),
    ),
    "negative iterations": (("iterations", "-1"), lambda: minimize(iterations=-1)),
    "enormous iterations": (("iterations", str(2**70)), lambda: minimize(iterations=2**70)),
    "no threads": (("threads", r"\b0\b"), lambda: minimize(threads=0)),
    "negative threads": (("threads", "-2"), lambda: minimize(threads=-2)),
    "negative tolerance": (("tolerance", "-0.1"), lambda: minimize(tolerance=-0.1)),
    "NaN tolerance": (("tolerance", "nan"), lambda: minimize(tolerance=NAN)),
    "negative gap tolerance": (("gap_tolerance", "-0.1"), lambda: minimize(gap_tolerance=-0.1)),
    "NaN gap tolerance": (("gap_tolerance", "nan"), lambda: minimize(gap_tolerance=NAN)),
    "rho 0": (("rho", r"\b0"), lambda: minimize(solver="trwp", rho=0.0)),
    "negative rho": (("rho", "-0.5"), lambda: minimize(solver="trwp", rho=-0.5)),
    "NaN rho": (("rho", "nan"), lambda: minimize(solver="trwp", rho=NAN)),
    "damping 1": (("damping", r"\b1"), lambda: minimize(solver="isgmr", damping=1.0)),
    "negative damping": (("damping", "-0.1"), lambda: minimize(solver="trwp", damping=-0.1)),
    "NaN damping": (("damping", "nan"), lambda: minimize(solver="bp", damping=NAN)),
    "unknown head": (
        ("head", "neck", "unary.*zero|zero.*unary"),
        lambda: minimize(solver="sgm", head="neck"),
    ),
    "unknown normalisation": (
        ("normalise", "rows", "directions"),
        lambda: minimize(solver="mean_field", normalise="rows"),
    ),
    "unknown min-convolution": (
        ("min_convolution", "magic", "auto.*general|general.*auto"),
        lambda: minimize(min_convolution="magic"),
    ),
    "init of other shape": (
        ("init", shape(4, 3), shape(3, 4)),
        lambda: minimize(solver="icm", init=np.zeros((4, 3), np.int32)),
    ),
    "init out of range": (
        ("init", r"\b5\b"),
        lambda: minimize(solver="icm", init=np.full((3, 4), 5, np.int32)),
    ),
    "chain on a grid": (("chain", shape(3, 4), r"\b1\b"), lambda: minimize(solver="chain")),
    # potentials
    "negative truncation": (("truncation", "-1"), lambda: mrfcore.TruncatedLinear(-1)),
    "NaN truncation": (("truncation", "nan"), lambda: mrfcore.TruncatedLinear(NAN)),
    "negative quadratic truncation": (("truncation", "-2"), lambda: mrfcore.TruncatedQuadratic(-2)),
    "NaN quadratic truncation": (("truncation", "nan"), lambda: mrfcore.TruncatedQuadratic(NAN)),
    "p1 above p2": (("p1", "p2", r"\b2\b"), lambda: mrfcore.SGMPenalty(3, 2)),
    "negative p1": (("p1", "-1"), lambda: mrfcore.SGMPenalty(-1, 2)),
    "NaN p2": (("p2", "nan"), lambda: mrfcore.SGMPenalty(1, NAN)),
    "negative delta": (("delta", "-1"), lambda: mrfcore.Huber(-1)),
    "NaN delta": (("delta", "nan"), lambda: mrfcore.Huber(NAN)),
    "scale 0": (("scale", r"\b0"), lambda: mrfcore.Cauchy(0)),
    "NaN scale": (("scale", "nan"), lambda: mrfcore.Cauchy(NAN)),
    "table not square": ((r"\bV\b", shape(3, 4)), lambda: mrfcore.Table(np.zeros((3, 4)))),
    "table of rank 1": ((r"\bV\b", r"\b9\b"), lambda: mrfcore.Table(np.zeros(9))),
    "empty table": ((r"\bV\b", shape(0, 0)), lambda: mrfcore.Table(np.zeros((0, 0)))),
    "NaN in table": ((r"\bV\b", "nan"), lambda: mrfcore.Table([[0, 1], [NAN, 0]])),
    "infinite table": ((r"\bV\b", "inf|finite"), lambda: mrfcore.Table([[0, INF], [1, 0]])),
    "table for other labels": (
        ("table", shape(4, 4), r"\b5\b"),
        lambda: minimize(pairwise=mrfcore.Table(np.zeros((4, 4)))),
    ),
    "table() of no labels": (("num_labels", r"\b0\b"), lambda: POTTS.table(0)),
    # energy
    "label too large": (
        ("labels", r"\b5\b"),
        lambda: mrfcore.energy(np.full((3, 4), 5), UNARY, POTTS),
    ),
    "negative label": (
        ("labels", "-1"),
        lambda: mrfcore.energy(np.full((3, 4), -1), UNARY, POTTS),
    ),
    "label beyond 32 bits": (
        ("labels", str(2**32)),
        lambda: mrfcore.energy(np.full((3, 4), 2**32), UNARY, POTTS),
    ),
    "labels of other shape": (
        ("labels", shape(4, 3), shape(3, 4)),
        lambda: mrfcore.energy(np.zeros((4, 3), int), UNARY, POTTS),
    ),
    "labels of other batch": (
        ("labels", shape(2, 3, 4)),
        lambda: mrfcore.energy(np.zeros((2, 3, 4), int), UNARY, POTTS),
    ),
    "energy with connectivity 5": (
        ("connectivity", r"\b5\b"),
        lambda: mrfcore.energy(np.zeros((3, 4), int), UNARY, POTTS, connectivity=5),
    ),
    "energy with negative weight": (
        ("weights", "-1"),
        lambda: mrfcore.energy(np.zeros((3, 4), int), UNARY, POTTS, -1.0),
    ),
    "energy with NaN": (
        ("unary", "nan"),
        lambda: mrfcore.energy(np.full((3, 4), 3), spoiled(NAN), POTTS),
    ),
}

TYPE_ERRORS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "unary None": (("unary", "None"), lambda: minimize(None)),
    "unary text": (("unary", "str"), lambda: minimize("cost volume")),
    "unary array of text": (("unary", "<U|str"), lambda: minimize(np.full((3, 4, 5), "a"))),
    "unary complex": (("unary", "complex"), lambda: minimize(UNARY.astype(np.complex64))),
    "unary of objects": (("unary", "object"), lambda: minimize(UNARY.astype(object))),
    "unary of dates": (("unary", "datetime"), lambda: minimize(np.zeros((3, 4, 5), "M8[s]"))),
    "unary of records": (("unary",), lambda: minimize(np.zeros((3, 4, 5), [("a", "f4")]))),
    "pairwise text": (("pairwise", "str"), lambda: minimize(pairwise="potts")),
    "pairwise None": (("pairwise", "None"), lambda: minimize(pairwise=None)),
    "pairwise class": (("pairwise", "type|Potts"), lambda: minimize(pairwise=mrfcore.Potts)),
    "weights text": (("weights", "str"), lambda: minimize(weights="1")),
    "weights None": (("weights", "None"), lambda: minimize(weights=None)),
    "weights complex": (
        ("weights", "complex"),
        lambda: minimize(weights=np.ones((2, 3, 4), complex)),
    ),
    "complex weight": (("weights", "complex"), lambda: minimize(weights=1j)),
    "solver number": (("solver", "int"), lambda: minimize(solver=3)),
    "connectivity text": (("connectivity", "str"), lambda: minimize(connectivity="4")),
    "iterations fraction": (("iterations", "float"), lambda: minimize(iterations=2.5)),
    "iterations text": (("iterations", "str"), lambda: minimize(iterations="2")),
    "threads fraction": (("threads", "float"), lambda: minimize(threads=1.5)),
    "tolerance text": (("tolerance", "str"), lambda: minimize(tolerance="small")),
    "callback number": (("callback", "int"), lambda: minimize(callback=3)),
    "rho text": (("rho", "str"), lambda: minimize(solver="trwp", rho="half")),
    "init of fractions": (
        ("init", "float"),
        lambda: minimize(solver="icm", init=np.zeros((3, 4), np.float32)),
    ),
    "truncation text": (("truncation", "str"), lambda: mrfcore.TruncatedLinear("two")),
    "truncation None": (("truncation", "None"), lambda: mrfcore.TruncatedQuadratic(None)),
    "p1 text": (("p1", "str"), lambda: mrfcore.SGMPenalty("1", 2)),
    "table complex": ((r"\bV\b", "complex"), lambda: mrfcore.Table(np.zeros((2, 2), complex))),
    "table text": ((r"\bV\b", "str|<U"), lambda: mrfcore.Table("table")),
    "labels fractions": (
        ("labels", "float"),
        lambda: mrfcore.energy(np.zeros((3, 4)), UNARY, POTTS),
    ),
    "labels None": (("labels", "None"), lambda: mrfcore.energy(None, UNARY, POTTS)),
}


@pytest.mark.parametrize("name", VALUE_ERRORS)
def test_wrong_values(name: str) -> None:
    patterns, call = VALUE_ERRORS[name]
    assert_refused(ValueError, patterns, call)


@pytest.mark.parametrize("name", TYPE_ERRORS)
def test_wrong_types(name: str) -> None:
    patterns, call = TYPE_ERRORS[name]
    assert_refused(TypeError, patterns, call)


def test_nan_is_found_wherever_it_is() -> None:
    """Also in the remainder behind the last full vector."""
    for size in (1, 3, 8, 16, 17, 31, 33):
        for value in (NAN, -INF):
            for dtype in (np.float32, np.float64):
                unary = np.zeros((2, 2, size), dtype)
                unary[1, 1, size - 1] = value
                assert_refused(ValueError, ("unary",), lambda u=unary: minimize(u))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("solver", "valid"),
    [
        ("trwp", "rho"),
        ("trwp", "damping"),
        ("sgm", "head"),
        ("icm", "init"),
        ("mean_field", "normalise"),
    ],
)
def test_unknown_option_lists_the_valid_ones(solver: str, valid: str) -> None:
    with pytest.raises((TypeError, ValueError), match="roh") as caught:
        minimize(solver=solver, roh=1)
    assert solver in str(caught.value)
    assert valid in str(caught.value)


@pytest.mark.parametrize(
    ("solver", "option"),
    [
        ("sgm", {"rho": 0.5}),
        ("trws", {"damping": 0.1}),
        ("trwp", {"head": "zero"}),
        ("bp", {"rho": 1.0}),
    ],
)
def test_options_of_another_solver_are_refused(solver: str, option: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(option))):
        minimize(solver=solver, **option)


def test_inputs_are_left_alone() -> None:
    """Also by a call that fails."""
    unary, weights = UNARY.copy(), np.ones((2, 3, 4), np.float32)
    minimize(unary, weights=weights, iterations=3)
    with pytest.raises(ValueError, match="connectivity"):
        minimize(unary, weights=weights, connectivity=3)
    np.testing.assert_array_equal(unary, UNARY)
    np.testing.assert_array_equal(weights, 1)


# ---------------------------------------------------------------- huge sizes

# The array is one number seen through strides of 0: it takes no memory until somebody copies it.
# The address space is limited, so that a missing check shows as a bare MemoryError, not as a dead
# machine; only a check made beforehand can say how many bytes are needed.
_HUGE = """
import resource, sys
import numpy as np
import mrfcore
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
shape, dtype, solver, pairwise = {shape}, "{dtype}", "{solver}", mrfcore.{pairwise}
unary = np.broadcast_to(np.zeros((), dtype), shape)
try:
    mrfcore.minimize(unary, pairwise, solver=solver, iterations=1)
except (MemoryError, ValueError) as error:
    print("refused:", error)
else:
    print("worked")
print("peak MiB:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

HUGE = {
    "more cells than 32 bits count": ((2**16, 2**16, 64), "float32", "trwp", "Potts()"),
    "of bytes": ((2**17, 2**17, 64), "uint8", "trwp", "TruncatedLinear(2)"),
    "for a solver without messages": ((2**17, 2**17, 64), "float64", "icm", "Potts()"),
    "for TRW-S": ((2**17, 2**17, 64), "float32", "trws", "Potts()"),
    "more bytes than 64 bits count": ((2**20, 2**20, 2**20), "float32", "isgmr", "Potts()"),
    "long row": ((1, 2**40, 2), "float32", "chain", "Potts()"),
    "more labels than 32 bits count": ((1, 2, 2**36), "float32", "sgm", "Potts()"),
    "large batch": ((2**30, 16, 16, 4), "float32", "trwp", "Potts()"),
}


def _run_huge(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"died with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
@pytest.mark.parametrize("name", HUGE)
def test_huge_problems_say_how_many_bytes_they_need(name: str) -> None:
    shape_, dtype, solver, pairwise = HUGE[name]
    out = _run_huge(_HUGE.format(shape=shape_, dtype=dtype, solver=solver, pairwise=pairwise))
    assert re.search(r"refused: .*\d ?(bytes|[KMGTPEZ]i?B)", out), out
    peak = int(out.rsplit(":", 1)[1])
    assert peak < 1024, f"refused only after taking {peak} MiB"


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
@pytest.mark.parametrize("pairwise", ["Potts()", "Huber(2)", "Cauchy(2)"])
def test_very_many_labels_work_or_say_how_many_bytes(pairwise: str) -> None:
    """A table of 50,000 x 50,000 would take 10 GB; a potential of |l - m| needs none."""
    out = _run_huge(
        _HUGE.format(shape=(1, 2, 50_000), dtype="float32", solver="trwp", pairwise=pairwise)
    )
    assert re.search(r"worked|refused: .*\d ?(bytes|[KMGTPEZ]i?B)", out), out
