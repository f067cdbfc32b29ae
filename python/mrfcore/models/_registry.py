# SPDX-License-Identifier: Apache-2.0
"""Models by name: which there are, what they are made of, and how one is made."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from mrfcore.models._weights import Weights, load_weights

__all__ = [
    "RECIPE",
    "ModelEntry",
    "Recipe",
    "Shape",
    "create_model",
    "input_shapes",
    "list_models",
    "model_entry",
    "register",
]

Build = TypeVar("Build", bound=Callable[..., torch.nn.Module])
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelEntry:
    """A model that `create_model` knows.

    Attributes:
        name: as in ``create_model(name)``.
        build: makes the module of its options, all of them keywords.
        summary: what it is, in a few words.
        input_shapes: of each input in turn, without the batch: ((3, 512, 512),) for an image,
            ((1, 64, 64, 64),) for a volume, two for a stereo pair.
        fixed: options that the name decides, such as the depth; they cannot be given.
        defaults: all other options of `build`, and what they are where not given.
        required: options that have no default.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    summary: str
    input_shapes: tuple[Shape, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How a model was made: what `save_model` writes beside its weights."""

    name: str
    options: Mapping[str, Any]


RECIPE = "_mrfcore_recipe"  # the attribute of a model that has it

_ENTRIES: dict[str, ModelEntry] = {}


def register(
    name: str,
    *,
    summary: str,
    input_shape: Shape | tuple[Shape, ...],
    fixed: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Callable[[Build], Build]:
    """A decorator: `create_model(name)` calls the class or function below from now on.

    >>> @register("unet3d-15", summary="3D U-Net", input_shape=(1, 64, 64, 64), num_labels=50)
    ... class UNet3d(torch.nn.Module): ...

    Args:
        name: not taken yet; of letters, digits, "-", "_" and ".".
        summary: what it is, in a few words.
        input_shape: (C, H, W), (C, D, H, W) or whatever it takes, without the batch; where it takes
            several inputs, a tuple of such.
        fixed: options that the name decides; users cannot give them.
        **defaults: of options, in place of those in the signature.

    Raises:
        ValueError: a name that is taken or has other characters, or a shape without sizes.
        TypeError: an option that the class or function does not have.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"name: expected letters, digits, '-', '_' and '.', got {name!r}")
    if name in _ENTRIES:
        raise ValueError(f"name: there is a model {name!r} already")
    shapes = input_shapes(input_shape)

    def decorate(build: Build) -> Build:
        decided = dict(fixed or {})
        known, required = _options_of(build)
        for option in (*decided, *defaults):
            if option not in known and option not in required:
                raise TypeError(f"{name}: {build.__name__} has no option {option!r}")
        merged = {**known, **defaults}
        _ENTRIES[name] = ModelEntry(
            name,
            build,
            summary,
            shapes,
            decided,
            {option: value for option, value in merged.items() if option not in decided},
            tuple(option for option in required if option not in {*decided, *defaults}),
        )
        return build

    return decorate


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match, resnet18 before resnet101.

    Args:
        pattern: as for file names: ``"deeplab*"``. Without wildcards a name, or a part of names.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern: expected a string, got {type(pattern).__name__}")
    whole = pattern in _ENTRIES or any(c in pattern for c in "*?[")
    wanted = pattern if whole else f"*{pattern}*"
    names = [name for name in _ENTRIES if fnmatch.fnmatchcase(name, wanted)]
    return sorted(names, key=_by_numbers)


def model_entry(name: str) -> ModelEntry:
    """What is known about a model without making it.

    Raises:
        ValueError: no such model; the message has names that are close.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string, got {type(name).__name__}")
    if name not in _ENTRIES:
        raise ValueError(
            f"name: no model {name!r}{_close(name, _ENTRIES)}; mrfcore.models.list_models() has all"
        )
    return _ENTRIES[name]


def create_model(name: str, *, weights: Weights | None = None, **options: Any) -> torch.nn.Module:
    """A new model, by name.

    It is in training mode, on the CPU in float32 (or as torch's defaults say), with weights drawn
    by torch's generator. It remembers its name and options, for `save_model`.

    Args:
        name: see `list_models`.
        weights: what to load into it: see `load_weights`. None: nothing.
        **options: of the model; `help(type(model))` has them, and `model_entry(name).defaults`.

    Raises:
        ValueError: no such model, or weights that do not fit; the message says which.
        TypeError: no such option; the message lists those there are.
    """
    entry = model_entry(name)
    _check_options(entry, options)
    chosen = {**entry.defaults, **options}
    model = entry.build(**entry.fixed, **chosen)
    setattr(model, RECIPE, Recipe(name, chosen))
    if weights is not None:
        load_weights(model, weights)
    return model


# ---------------------------------------------------------------- options and names


def _options_of(build: Callable[..., Any]) -> tuple[dict[str, Any], list[str]]:
    """Options with their defaults, and those without."""
    known: dict[str, Any] = {}
    required: list[str] = []
    for option, parameter in inspect.signature(build).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{build.__name__}: options of a model must be named, got {parameter}")
        if parameter.default is parameter.empty:
            required.append(option)
        else:
            known[option] = parameter.default
    return known, required


def _check_options(entry: ModelEntry, options: Mapping[str, Any]) -> None:
    allowed = [*entry.required, *entry.defaults]
    for option in options:
        if option in entry.fixed:
            raise TypeError(
                f"{option}: is {entry.fixed[option]!r} in every {entry.name!r}; choose another name"
            )
        if option not in allowed:
            raise TypeError(
                f"{option}: {entry.name!r} has no such option{_close(option, allowed)}; it has "
                f"{', '.join(allowed) or 'none'}"
            )
    missing = [option for option in entry.required if option not in options]
    if missing:
        raise TypeError(f"{missing[0]}: {entry.name!r} needs this option")


def input_shapes(shape: Any) -> tuple[Shape, ...]:
    """Always one for each input."""
    several = len(shape) > 0 and not isinstance(shape[0], int)
    shapes = tuple(tuple(one) for one in (shape if several else (shape,)))
    for one in shapes:
        if not one or any(not isinstance(n, int) or n < 1 for n in one):
            raise ValueError(f"input_shape: expected sizes >= 1 without the batch, got {one}")
    return shapes


def _close(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f", did you mean {' or '.join(map(repr, found))}?" if found else ""


def _by_numbers(name: str) -> list[tuple[int, int, str]]:
    """Numbers in a name count as such."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
