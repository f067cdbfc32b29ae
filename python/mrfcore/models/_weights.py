# SPDX-License-Identifier: Apache-2.0
"""Weights into models: from files, state dicts and other packages, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mrfcore._files import PathLike, existing_file

__all__ = ["Weights", "fit_weights", "load_weights", "read_safetensors", "require_safetensors"]

Weights = PathLike | Mapping[str, torch.Tensor]

SOURCES = ("torchvision", "timm")
# Under these, training scripts keep the weights beside an optimiser's state and the epoch.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # DistributedDataParallel's and torch.compile's
_SHOWN = 3  # keys of a kind in a message


def load_weights(model: torch.nn.Module, weights: Weights) -> None:
    """Load weights into a model, by name; the model stays as it was where they do not fit.

    Args:
        model: any module.
        weights: the path of a file (.safetensors; .pt, .pth or .tar, of which only tensors are
            read and no code is run), a state dict, or "torchvision" or "timm": the weights that an
            installed package has for this network, or for its backbone, and may have to download.
            A state dict below "state_dict" or "model" in a file is found, and prefixes that
            DistributedDataParallel and torch.compile add are taken off. Values are converted to the
            model's dtypes and devices.

    Raises:
        ValueError: not all names and shapes are the model's: the message has the first few that are
            missing, unexpected or of another shape; or a file that is damaged or of another kind.
        TypeError: weights of another type.
        FileNotFoundError: no such file.
        ImportError: the package that is needed is not installed.
    """
    if isinstance(weights, str) and weights in SOURCES:
        state, origin = _pretrained(model, weights), weights
    elif isinstance(weights, (str, os.PathLike)):
        state, origin = _read(existing_file(weights)), os.fspath(weights)
    elif isinstance(weights, Mapping):
        state, origin = dict(weights), "the state dict"
    else:
        raise TypeError(
            "weights: expected the path of a file, a state dict, 'torchvision' or 'timm', got "
            f"{type(weights).__name__}"
        )
    fit_weights(model, _plain(state, origin), origin)


def fit_weights(model: torch.nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """Load a state dict of bare names; messages say where it comes from.

    Raises:
        ValueError: as `load_weights`.
    """
    adapt = getattr(model, "adapt_state", None)
    if adapt is not None:
        state = adapt(state)
    _check_fits(model, state, origin)
    model.load_state_dict(state, strict=False)


def read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a file.

    Raises:
        ValueError: it is damaged or of another kind.
        ImportError: safetensors is not installed.
    """
    safetensors = require_safetensors()
    try:
        with safetensors.safe_open(file, framework="pt", device="cpu") as opened:
            names = list(opened.keys())
            return {name: opened.get_tensor(name) for name in names}, opened.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{file}: is damaged or no safetensors file ({error})") from None


def require_safetensors() -> Any:
    """The module, or an ImportError with the remedy."""
    try:
        import safetensors
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise ImportError(
            "weights in .safetensors files need safetensors, which is not installed: "
            "pip install safetensors",
            name="safetensors",
        ) from error
    return safetensors


# ---------------------------------------------------------------- where weights come from


def _pretrained(model: torch.nn.Module, source: str) -> dict[str, torch.Tensor]:
    find = getattr(model, "pretrained_state", None)
    if find is None:
        raise ValueError(f"weights: {source} has none for {type(model).__name__}")
    state: dict[str, torch.Tensor] = find(source)
    return state


def _read(file: Path) -> dict[str, Any]:
    if file.suffix == ".safetensors":
        return dict(read_safetensors(file)[0])
    if file.suffix not in (".pt", ".pth", ".tar"):
        raise ValueError(f"weights: expected a .safetensors, .pt, .pth or .tar file, got {file}")
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of a dozen types: pickle's, zipfile's, torch's
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{file}: is damaged, or holds more than tensors, which is not read for safety "
            f"({reason[0]})"
        ) from None
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{file}: expected a state dict, found {type(loaded).__name__}")
    return dict(loaded)


def _plain(state: Mapping[str, Any], origin: str) -> dict[str, torch.Tensor]:
    """Tensors by the names that the bare module has."""
    for wrapper in _WRAPPERS:
        inner = state.get(wrapper)
        if isinstance(inner, Mapping):
            state = inner
            break
    for prefix in _PREFIXES:
        if state and all(str(key).startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise TypeError(
                f"weights: {origin} has {type(value).__name__} at {key!r}, expected a tensor"
            )
    return dict(state)


# ---------------------------------------------------------------- do they fit?


def _check_fits(model: torch.nn.Module, state: Mapping[str, torch.Tensor], origin: str) -> None:
    own = model.state_dict()
    # Old files lack these counters, which nothing but a momentum of None reads.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} ({list(state[key].shape)} instead of {list(value.shape)})"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    parts = [
        _listed("missing", missing),
        _listed("unexpected", unexpected),
        _listed("of another shape", shapes),
    ]
    if any(parts):
        raise ValueError(
            f"weights: {origin} does not fit {type(model).__name__}: "
            + "; ".join(part for part in parts if part)
        )


def _listed(kind: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{kind}: {', '.join(keys[:_SHOWN])}{more}"
