# SPDX-License-Identifier: Apache-2.0
"""Growing a trained network without changing what it computes."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mrfcore._modes import evaluating
from mrfcore._scalars import _flag, _integer
from mrfcore.nn._full_precision import without_tf32
from mrfcore.nn.transparent import TransparentSequence, check_widths, hidden_width

__all__ = ["insert_transparent"]

_Model = TypeVar("_Model", bound=nn.Module)
_TOLERANCE = 1e-3  # relative to the largest output of the check: rounding, not a mistake


def insert_transparent(
    model: _Model,
    where: str | Sequence[str],
    widths: Sequence[int] | None = None,
    *,
    layers: int | None = None,
    channels: int | None = None,
    dims: int | None = None,
    activation: str | nn.Module | None = "relu",
    kernel_size: int = 1,
    example: Any = None,
    inplace: bool = False,
    generator: torch.Generator | None = None,
) -> _Model:
    """Put a `TransparentSequence` behind a module of a trained network; its output stays.

    Deeper networks learn on from what the shallow one knows (section 4.3.2 of Xu's thesis, 2022). A
    module `name` becomes an `nn.Sequential` of itself and the new layers: its parameters are called
    `name.0...` from then on, the new ones `name.1...`.

    Args:
        model: a network. Several insertions may follow one another.
        where: name of the module as in `model.named_modules()`, or several names.
        widths: m_0, ..., m_k = m_0 of the new layers. None: `layers` of them, with hidden widths of
            1.5 m_0, rounded up to a multiple of 8.
        layers: how many, where `widths` does not say; >= 2. None: 3.
        channels: m_0, where neither `widths` nor the module nor an example tells.
        dims: 0 for outputs [..., C], 1 to 3 for [B, C, ...]. None: as the module tells, which
            `nn.Linear`, convolutions and batch norms do, or its output for the example does.
        activation: of the new layers.
        kernel_size: of the new layers.
        example: an input of the model, or a tuple of its arguments. Then the model runs on it
            before and after, in eval mode, and an output that has changed by more than rounding is
            an error. It finds modules whose parents read their weights instead of calling them
            (`out_proj` of `nn.MultiheadAttention`): these cannot be followed by anything.
        inplace: change `model` itself, not a copy.
        generator: of the random numbers.

    Returns:
        The model that has grown.

    Raises:
        ValueError: no module of that name, one that does not tell its channels, widths that cannot
            work, outputs that have changed. The model is as it was.
        TypeError: arguments of other types.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    names = [where] if isinstance(where, str) else where
    if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
        raise TypeError(f"where: expected the name of a module or several, got {where!r}")
    _check_names(names)
    count = _layer_count(layers, widths)
    if channels is not None and _integer("channels", channels) < 1:
        raise ValueError(f"channels: expected a number >= 1, got {channels}")
    grown = model if _flag("inplace", inplace) else copy.deepcopy(model)
    modules = [(name, _find(grown, name)) for name in names]
    additions = []
    shapes = {} if example is None else _seen(grown, modules, example)
    for name, module in modules:
        found, rank = _output_of(module, shapes.get(name))
        if channels is not None and found is not None and channels != found:
            raise ValueError(f"channels: {name!r} has {found} outputs, got {channels}")
        width, rank = _shape(
            name, module, widths, channels or found, rank if dims is None else dims
        )
        sizes = widths if widths is not None else _widths(width, count)
        new = TransparentSequence(sizes, activation, kernel_size, rank, generator=generator)
        additions.append(_like(new, module))
    before = None if example is None else _run(grown, example)
    for (name, module), addition in zip(modules, additions, strict=True):
        _replace(grown, name, nn.Sequential(module, addition).train(module.training))
    if before is not None:
        try:
            _compare(before, _run_again(grown, example))
        except Exception:
            for name, module in modules:
                _replace(grown, name, module)
            raise
    return grown


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"where: expected each name once, got {list(names)}")
    for name in names:
        for other in names:
            if name.startswith(f"{other}."):
                raise ValueError(
                    f"where: {name!r} lies inside {other!r}, whose name changes; take two calls, "
                    "the inner one first"
                )


def _layer_count(layers: int | None, widths: Sequence[int] | None) -> int:
    if widths is not None:
        check_widths(widths)
    if layers is None:
        return 3
    if widths is not None:
        raise ValueError(f"layers: expected None beside widths = {list(widths)}, got {layers}")
    if _integer("layers", layers) < 2:
        raise ValueError(f"layers: expected a number >= 2, got {layers}")
    return layers


# ---------------------------------------------------------------- modules


def _find(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules(remove_duplicate=False))
    if name == "" or name not in modules:
        close = difflib.get_close_matches(name, [n for n in modules if n], 3, 0.4)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"where: {type(model).__name__} has no module named {name!r}{hint}")
    return modules[name]


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _output_of(module: nn.Module, shape: torch.Size | None = None) -> tuple[int | None, int | None]:
    """Channels and dims of the output, as far as the module tells, or the shape it had."""
    if isinstance(module, nn.Linear):
        return module.out_features, 0
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.out_channels, len(module.kernel_size)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        ranks = {nn.BatchNorm1d: None, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
        return module.num_features, ranks.get(type(module))
    if isinstance(module, TransparentSequence):
        return module.widths[-1], module.dims
    if isinstance(module, nn.Sequential) and len(module):
        found = _output_of(module[-1])
        if found != (None, None):
            return found
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[-1], 0
    if shape is None or len(shape) not in (2, 4, 5):
        return None, None  # of three axes nobody knows which one has the channels
    return (shape[-1], 0) if len(shape) == 2 else (shape[1], len(shape) - 2)


def _shape(
    name: str,
    module: nn.Module,
    widths: Sequence[int] | None,
    channels: int | None,
    dims: int | None,
) -> tuple[int, int]:
    width = channels if widths is None or not len(widths) else widths[0]
    if width is None or dims is None:
        missing = " and ".join(
            what for what, value in (("channels", width), ("dims", dims)) if value is None
        )
        raise ValueError(
            f"where: {type(module).__name__} {name!r} does not tell what it returns; give "
            f"{missing}, or an example"
        )
    if channels is not None and width != channels:
        raise ValueError(
            f"widths: expected widths[0] = {channels}, the outputs of {name!r}, got {width}"
        )
    return width, dims


def _widths(width: int, layers: int) -> list[int]:
    return [width, *[hidden_width(width)] * (layers - 1), width]


def _like(new: TransparentSequence, module: nn.Module) -> nn.Module:
    """On the device of the module it follows; in its dtype, but never in 16 bits."""
    known = next((p for p in module.parameters() if p.is_floating_point()), None)
    if known is None:
        return new
    wide = known.dtype if known.dtype == torch.float64 else torch.float32
    return new.to(known.device, wide)


# ---------------------------------------------------------------- the check


def _run(model: nn.Module, example: Any) -> list[Tensor]:
    """All tensors that the model returns."""
    leaves, _ = torch.utils._pytree.tree_flatten(_forward(model, example))
    found = [leaf.clone() for leaf in leaves if isinstance(leaf, Tensor)]
    if not found:
        raise ValueError(
            f"example: {type(model).__name__} returns no tensors that could be compared; leave the "
            "example out"
        )
    return found


def _forward(model: nn.Module, example: Any) -> Any:
    arguments = example if isinstance(example, tuple) else (example,)
    with evaluating(model), torch.no_grad(), without_tf32():
        return model(*arguments)


def _seen(
    model: nn.Module, modules: list[tuple[str, nn.Module]], example: Any
) -> dict[str, torch.Size]:
    """Shapes of what modules return for the example."""
    shapes: dict[str, torch.Size] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[name] = output.shape

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in modules]
    try:
        _forward(model, example)
    except Exception as error:
        raise ValueError(f"example: {type(model).__name__} fails on it: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _run_again(model: nn.Module, example: Any) -> list[Tensor]:
    try:
        return _run(model, example)
    except Exception as error:
        raise ValueError(
            "example: with the new layers the model fails; perhaps a module reads the weights of "
            f"the one that they follow: {error}"
        ) from error


def _compare(before: list[Tensor], after: list[Tensor]) -> None:
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.shape != new.shape:
            raise ValueError(
                f"example: output {number} had shape {list(old.shape)}, now {list(new.shape)}"
            )
        if not old.numel():
            continue
        old, new = old.double(), new.double()
        scale = max(1.0, float(old.abs().max()))
        off = float((new - old).abs().max())
        if not off <= _TOLERANCE * scale:
            raise ValueError(
                f"example: output {number} has changed by {off:.3g} (its largest value is "
                f"{scale:.3g}); the module may be called in more than one way"
            )
