# SPDX-License-Identifier: Apache-2.0
"""Slim networks as files: weights, and which channels there are, in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mrfcore._core import version
from mrfcore._files import PathLike, atomic_path, existing_file
from mrfcore.models import create_model, load_weights
from mrfcore.models._registry import Recipe
from mrfcore.models._weights import read_safetensors, require_safetensors
from mrfcore.pruning.slimming import BASE, SLIM, ChannelSpec, apply_spec

__all__ = ["load_slim", "save_slim"]

_CHANNELS, _NAME, _OPTIONS = "mrfcore.channels", "mrfcore.model", "mrfcore.options"
_VERSION = "mrfcore.version"


def save_slim(model: torch.nn.Module, path: PathLike) -> None:
    """Write a slim network to a .safetensors file, from which `load_slim` makes it again.

    The file holds all parameters and buffers; its metadata say, as JSON, the new shapes and numbers
    of channels and, for a network that `create_model` made, its name and options. It is written
    whole or not at all.

    Args:
        model: of `slim`, `prune` or `load_slim`, trained since or not.
        path: ends with .safetensors.

    Raises:
        ValueError: a path with another ending.
        TypeError: a network that is not slim.
        ImportError: safetensors is not installed.
    """
    file = Path(path)
    if file.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends with .safetensors, got {path}")
    spec = getattr(model, SLIM, None)
    if not isinstance(spec, ChannelSpec):
        raise TypeError(f"model: expected one that slim or prune made, got {type(model).__name__}")
    metadata = {"format": "pt", _CHANNELS: _to_json(spec), _VERSION: str(version)}
    recipe = getattr(model, BASE, None)
    if isinstance(recipe, Recipe):
        metadata |= {_NAME: recipe.name, _OPTIONS: json.dumps(dict(recipe.options))}
    safetensors = require_safetensors()
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in model.state_dict().items()
    }
    with atomic_path(file) as temporary:
        temporary.touch()
        permissions = temporary.stat().st_mode  # that the umask grants; safetensors' are narrower
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.chmod(permissions)


def load_slim(path: PathLike, model: torch.nn.Module | None = None) -> torch.nn.Module:
    """The network that `save_slim` wrote.

    Args:
        path: of the file.
        model: the network before it was pruned, of which only the structure matters; it is changed.
            None: `create_model` makes it, where the file has a name for it.

    Returns:
        `model`, or a new one on the CPU in training mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, was not written by `save_slim`, names no model where none is
            given, or does not fit the model.
        ImportError: safetensors is not installed.
    """
    file = existing_file(path)
    tensors, metadata = read_safetensors(file)
    if _CHANNELS not in metadata:
        raise ValueError(f"{file}: has no channel specification; save_slim writes such files")
    if model is None and _NAME not in metadata:
        raise ValueError(f"{file}: names no model of mrfcore; give model")
    try:
        spec = _from_json(metadata[_CHANNELS])
        if model is None:
            name, options = metadata[_NAME], json.loads(metadata.get(_OPTIONS, "{}"))
            model = create_model(name, **options)
        apply_spec(model, spec)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{file}: cannot be made again ({error}); it was written by mrfcore "
            f"{metadata.get(_VERSION, 'of unknown version')}, this is {version}"
        ) from error
    load_weights(model, tensors)
    return model


def _to_json(spec: ChannelSpec) -> str:
    shapes = {name: list(shape) for name, shape in spec.shapes.items()}
    return json.dumps({"shapes": shapes, "attributes": spec.attributes})


def _from_json(text: str) -> ChannelSpec:
    found: dict[str, Any] = json.loads(text)
    shapes = {name: tuple(int(n) for n in shape) for name, shape in found["shapes"].items()}
    attributes = {
        module: {str(key): int(value) for key, value in values.items()}
        for module, values in found["attributes"].items()
    }
    return ChannelSpec(shapes, attributes)
