# SPDX-License-Identifier: Apache-2.0
"""Numbers, flags and choices as arguments: the checks, and messages that name them."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "_checked",
    "_choice",
    "_flag",
    "_integer",
    "_optional_count",
    "_optional_number",
    "_threads",
]


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got bool")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if name == "iterations" and number < 0:
        raise ValueError(f"iterations: expected a number >= 0, got {number}")
    if number >= 2**31:
        raise ValueError(f"{name}: expected a number below 2**31, got {number}")
    return number


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def _threads(threads: int | None) -> int:
    if threads is None:
        return 0
    number = _integer("threads", threads)
    if number < 1:
        raise ValueError(f"threads: expected None or a number >= 1, got {threads}")
    return number


def _checked(name: str, value: object, good: Callable[[float], bool], expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    if not good(float(value)):
        raise ValueError(f"{name}: expected {expected}, got {value}")
    return float(value)


def _optional_number(name: str, value: object) -> float | None:
    return (
        None if value is None else _checked(name, value, lambda v: v >= 0, "None or a number >= 0")
    )


def _optional_count(name: str, value: object, most: int) -> int | None:
    if value is None:
        return None
    number = _integer(name, value)
    if not 0 <= number <= most:
        raise ValueError(f"{name}: expected None or a number from 0 to {most}, got {number}")
    return number


def _choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
