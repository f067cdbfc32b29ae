# SPDX-License-Identifier: Apache-2.0
"""Solvers and the options of each."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mrfcore import _core
from mrfcore._scalars import _checked, _choice, _flag, _optional_count

__all__ = ["SOLVERS", "check_options", "core_options"]

_MESSAGE_OPTIONS = ("keep_best", "min_convolution")

SOLVERS: Mapping[str, tuple[str, ...]] = {
    "sgm": ("head", *_MESSAGE_OPTIONS),
    "isgmr": ("damping", "message_dtype", "polish", *_MESSAGE_OPTIONS),
    "trwp": ("coarse", "damping", "message_dtype", "polish", "rho", *_MESSAGE_OPTIONS),
    "bp": ("coarse", "damping", "message_dtype", "polish", *_MESSAGE_OPTIONS),
    "trws": ("message_dtype", *_MESSAGE_OPTIONS),
    "mean_field": ("keep_best", "normalise"),
    "icm": ("init", "keep_best"),
    "chain": _MESSAGE_OPTIONS,
}
"""Solver names and the options that each takes."""

_STOPPING = ("tolerance", "gap_tolerance")
"""Parameters of `minimize` that the functions built on it pass on with the solver's options."""


def check_options(
    function: Callable[..., Any], solver: object, given: Iterable[str]
) -> tuple[str, ...]:
    """The names of a solver's options, all of `given` being among them.

    Args:
        function: what was called; its parameters, too, may be what a misspelt name meant.
        solver: as given.
        given: names of the keyword arguments that `function` does not have. `tolerance` and
            `gap_tolerance` may be among them.

    Raises:
        ValueError, TypeError: no such solver; a name that neither the function nor the solver has.
    """
    if not isinstance(solver, str):
        raise TypeError(f"solver: expected a name, got {type(solver).__name__}")
    if solver not in SOLVERS:
        raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    valid = SOLVERS[solver]
    for name in given:
        if name not in valid and name not in _STOPPING:
            raise TypeError(
                f"{name}: not an option of {function.__name__}() or of solver {solver!r}"
                f"{_others(name) or _suggestion(name, function, valid)}; "
                f"the solver's options are {', '.join(valid)}"
            )
    return valid


def _others(name: str) -> str:
    """Solvers that have the option."""
    solvers = [solver for solver, options in SOLVERS.items() if name in options]
    return f", but of {', '.join(solvers)}" if solvers else ""


def _suggestion(name: str, function: Callable[..., Any], options: Iterable[str]) -> str:
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    close = difflib.get_close_matches(name, [*options, *known, *_STOPPING], n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def core_options(solver: str, given: Mapping[str, Any]) -> _core.Options:
    """Checked values for the core; the names have passed :func:`check_options`."""
    options = _core.Options()
    options.solver = getattr(_core.Solver, solver)
    options.keep_best = _flag("keep_best", given.get("keep_best", False))
    options.polish = _optional_count("polish", given.get("polish"), 4)
    options.coarse = _optional_count("coarse", given.get("coarse"), 16)
    if given.get("rho") is not None:
        options.rho = _checked(
            "rho", given["rho"], lambda r: 1e-3 < r <= 1, "a number in (0.001, 1]"
        )
    options.damping = _checked(
        "damping", given.get("damping", 0.0), lambda d: 0 <= d < 1, "a number in [0, 1)"
    )
    options.head = getattr(
        _core.SGMHead, _choice("head", given.get("head", "unary"), ("unary", "zero"))
    )
    path = _choice("min_convolution", given.get("min_convolution", "auto"), ("auto", "general"))
    options.min_convolution = getattr(_core.MinConvolution, path)
    options.message_dtype = _message_dtype(given.get("message_dtype"))
    normalise = _choice("normalise", given.get("normalise"), (None, "directions"))
    options.normalise_directions = normalise == "directions"
    return options


def _message_dtype(dtype: object) -> _core.MessageDtype:
    """Of a name, or of NumPy's or torch's dtype of that name."""
    if dtype is not None and not isinstance(dtype, str):
        dtype = str(getattr(dtype, "__name__", dtype)).rpartition(".")[2]
    storages = {
        None: _core.MessageDtype.full,
        "float16": _core.MessageDtype.float16,
        "bfloat16": _core.MessageDtype.bfloat16,
    }
    return storages[_choice("message_dtype", dtype, tuple(storages))]
