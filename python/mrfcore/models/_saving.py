# SPDX-License-Identifier: Apache-2.0
"""Models as files: weights, and how the model was made, in one."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mrfcore._core import version
from mrfcore._files import PathLike, atomic_path, existing_file
from mrfcore.models._registry import RECIPE, Recipe, create_model
from mrfcore.models._weights import fit_weights, read_safetensors, require_safetensors

__all__ = ["load_model", "save_model"]

_NAME, _OPTIONS, _VERSION = "mrfcore.model", "mrfcore.options", "mrfcore.version"


def save_model(model: torch.nn.Module, path: PathLike) -> None:
    """Write a model to a .safetensors file, from which `load_model` makes it again.

    The file holds all parameters and buffers, and in its metadata the name and the options of the
    model. It is written whole or not at all.

    Args:
        model: made by `create_model` or `load_model`; trained and changed in its values since, but
            not in its layers.
        path: ends with .safetensors.

    Raises:
        ValueError: a path with another ending.
        TypeError: a model that was made otherwise, or of options that are not numbers, strings,
            flags or lists of such.
        ValueError: a model whose layers have changed since it was made.
        ImportError: safetensors is not installed.
    """
    file = Path(path)
    if file.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends with .safetensors, got {path}")
    metadata = _metadata(model)
    _check_layers(model)
    safetensors = require_safetensors()
    # Clones, because one file must not hold one memory twice: tied layers share theirs.
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in model.state_dict().items()
    }
    with atomic_path(file) as temporary:
        temporary.touch()
        permissions = temporary.stat().st_mode  # that the umask grants; safetensors' are narrower
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.chmod(permissions)


def load_model(path: PathLike) -> torch.nn.Module:
    """The model that `save_model` wrote, on the CPU, in training mode and float32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or has no model in its metadata (bare weights are for
            ``create_model(name, weights=path)``), or one that this version does not know.
        ImportError: safetensors is not installed.
    """
    file = existing_file(path)
    if file.suffix != ".safetensors":
        raise ValueError(
            f"path: expected a .safetensors file that save_model wrote, got {file}; "
            "create_model(name, weights=...) reads bare weights"
        )
    tensors, metadata = read_safetensors(file)
    if _NAME not in metadata:
        raise ValueError(
            f"{file}: its metadata names no model of mrfcore; create_model(name, weights=...) "
            "reads bare weights"
        )
    try:
        options = json.loads(metadata.get(_OPTIONS, "{}"))
        model = create_model(metadata[_NAME], **options)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: cannot be made again ({error}); it was written by mrfcore "
            f"{metadata.get(_VERSION, 'of unknown version')}, this is {version}"
        ) from error
    fit_weights(model, tensors, str(file))
    return model


def _check_layers(model: torch.nn.Module) -> None:
    """Refuse a model that its name and options do not make again; without drawing its weights."""
    recipe: Recipe = getattr(model, RECIPE)
    with torch.device("meta"):
        twin = create_model(recipe.name, **recipe.options)
    wanted = {key: value.shape for key, value in twin.state_dict().items()}
    found = {key: value.shape for key, value in model.state_dict().items()}
    changed = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if changed:
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        raise ValueError(
            f"model: its layers are no longer those of {recipe.name!r} ({changed[0]}{more}); write "
            "safetensors.torch.save_file(model.state_dict(), path), and read it with load_weights "
            "into a model that is changed in the same way"
        )


def _metadata(model: torch.nn.Module) -> dict[str, str]:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    recipe = getattr(model, RECIPE, None)
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"model: expected one of mrfcore.models.create_model, got {type(model).__name__}, "
            "which no name makes again; write safetensors.torch.save_file(model.state_dict(), "
            "path), and read it with load_weights"
        )
    for option, value in recipe.options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise TypeError(
                f"model: cannot be written, for its option {option} is {value!r}, no number, "
                "string, flag or list of such"
            ) from None
    options = json.dumps(dict(recipe.options))
    return {"format": "pt", _NAME: recipe.name, _OPTIONS: options, _VERSION: str(version)}
