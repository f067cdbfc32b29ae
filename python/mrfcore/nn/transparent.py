# SPDX-License-Identifier: Apache-2.0
"""Layers that hand their input on until training changes them (transparent initialisation)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.nn._full_precision import full_precision
from mrfcore.nn._transparent_plan import draw, join, write
from mrfcore.nn.pair_activation import activation_of

__all__ = ["TransparentSequence"]

BORDERS = ("exact", "zeros", "circular", "reflect", "replicate")
_LAYERS: tuple[Any, ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FORMS = ("auto", "duplicate", "see_through")


class TransparentSequence(nn.Module):
    """Affine layers with activations between, that are the identity until they are trained.

    All weights are random and dense, none are tied, all learn: x -> x at first, then anything. Put
    it behind a trained network to join it with others without losing what it has learned
    (Theorem 1 and Eq 4.4-4.12 of Xu's thesis, 2022; Xu et al. 2021, "Refining semantic segmentation
    with superpixels by transparent initialization and sparse encoder").

    Between layers the activation s meets both y and -y, and the next layer takes their difference:
    s(y) - s(-y) = c y. That is the form "duplicate", for ReLU, LeakyReLU (c = 1 + slope), softplus,
    log-sigmoid, GELU, SiLU and any other s with such a c, which is found by trying. Every other s
    (sigmoid, tanh) goes through `PairActivation`, the form "see_through". Both double the channels
    behind the hidden layers.

    Weights are made in float64 and kept in `dtype`, in which the layers compute, under autocast and
    without TF32, too: the identity of 16-bit weights is off by 0.04 (float16) to 0.3 (bfloat16) at
    |x| <= 10, that of TF32 by 0.03. In float32 it is off by 1e-7 |x| times `condition`.

    Args:
        widths: m_0, m_1, ..., m_k = m_0 (k >= 2), channels without the doubling; every m_i >= m_0.
            Errors grow with the condition of the product of the layers: some 20 with two hidden
            widths of 1.5 m_0, 100 with four, thousands where all widths are equal.
        activation: "relu", "leaky_relu", "softplus", "logsigmoid", "sigmoid", "tanh", "gelu",
            "silu", "elu", a module (every place gets a copy), or None for none.
        kernel_size: of the convolutions, a number or one for each dimension, which may be 1 and one
            other number. Beyond the thesis: exact too, see `border`.
        dims: 0 for `nn.Linear` on [..., C]; 1, 2 or 3 for convolutions on [B, C, ...].
        form: "duplicate", "see_through", or "auto": the first where it can.
        weights: "normal", variance 1 / m_i (Theorem 3), the last layer a right inverse; or
            "orthogonal", the best condition there is. Kernels larger than 1 are always orthogonal.
        border: what the convolutions see beyond the border. "exact": the input is padded with zeros
            once, hidden maps are larger than the image, and the output is the input up to the
            border. The others pad every layer, as torch's padding_mode: with "circular" all is
            exact, with the rest all but `exact_margin` pixels along the border.
        bias: whether layers have one; it starts random and is taken back by the last layer.
        generator: of the random numbers (a CPU generator). None: torch's.
        device, dtype: of the parameters.

    Shape:
        [..., m_0] for dims=0, [B, m_0, (D,) (H,) W] else, to the same; float.

    Raises:
        ValueError, TypeError: widths that cannot work, unknown names, inputs of another shape; the
            message names the argument and what was expected.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | nn.Module | None = "relu",
        kernel_size: int | Sequence[int] = 1,
        dims: int = 2,
        *,
        form: str = "auto",
        weights: str = "normal",
        border: str = "exact",
        bias: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.widths = check_widths(widths)
        self.dims = _integer("dims", dims)
        _choice("dims", self.dims, (0, 1, 2, 3))
        self.kernel_size = _kernel(kernel_size, self.dims)
        self.weights = _choice("weights", weights, ("normal", "orthogonal"))
        self.border = _choice("border", border, BORDERS)
        _choice("form", form, _FORMS)
        _flag("bias", bias)
        hidden = self.widths[1:-1]
        junctions = [join(activation_of(activation), m, self.dims, form) for m in hidden]
        modules = (j.module or nn.Identity() for j in junctions)
        self.activations = nn.ModuleList(modules).to(device=device, dtype=dtype)
        self._slopes = [j.slope for j in junctions]
        factor = 1 if activation is None else 2
        sizes = [self.widths[0], *(factor * width for width in hidden), self.widths[0]]
        options = {"bias": bias, "device": device, "dtype": dtype}
        kind = _LAYERS[self.dims]
        kernels: dict[str, Any] = {"kernel_size": self.kernel_size} if self.dims else {}
        self.layers = nn.ModuleList(
            kind(*pair, **kernels, **options) for pair in itertools.pairwise(sizes)
        )
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: the identity again."""
        maps, self.condition = draw(
            self.widths,
            [self.kernel_size] * len(self.layers),
            self._slopes,
            orthogonal=self.weights == "orthogonal",
            biases=[layer.bias is not None for layer in self.layers],
            generator=generator,
        )
        self._reach = [(map_.left, map_.right) for map_ in maps]
        write(self.layers, maps)

    @property
    def exact_margin(self) -> tuple[int, ...]:
        """Pixels along the border, for each dimension, where the output at first is not the input.

        The hidden maps are known inside the image only: every layer but the first takes something
        made up within its kernel's reach of the border.
        """
        if self.border in ("exact", "circular"):
            return (0,) * self.dims
        reach = [
            [max(sides) for sides in zip(left, right, strict=True)]
            for left, right in self._reach[1:]
        ]
        return tuple(sum(sides) for sides in zip(*reach, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """What the layers make of x, computed in the dtype of the weights, in the dtype of x."""
        self._check(x)
        with full_precision(x.device):
            y = x.to(next(self.layers.parameters()).dtype)
            for number, layer in enumerate(self.layers):
                if number:
                    y = self.activations[number - 1](y)
                y = layer(self._padded(y, number))
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """What print() shows."""
        shown = f"{list(self.widths)}" + (f", kernel_size={self.kernel_size}" if self.dims else "")
        return f"{shown}, border={self.border!r}" if max(self.kernel_size, default=1) > 1 else shown

    def _padded(self, x: Tensor, number: int) -> Tensor:
        """What layer `number` sees."""
        if self.border == "exact" and number:
            return x
        reach = self._reach if self.border == "exact" else self._reach[number : number + 1]
        sides = [
            (sum(left[axis] for left, _ in reach), sum(right[axis] for _, right in reach))
            for axis in range(self.dims)
        ]
        pads = [n for pair in reversed(sides) for n in pair]
        if not any(pads):
            return x
        mode = "constant" if self.border in ("exact", "zeros") else self.border
        return functional.pad(x, pads, mode=mode)

    def _check(self, x: object) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x: expected a tensor, got {type(x).__name__}")
        if not x.is_floating_point():
            raise TypeError(f"x: expected floating point, got dtype {x.dtype}")
        width = self.widths[0]
        if self.dims == 0:
            if x.dim() < 1 or x.shape[-1] != width:
                raise ValueError(f"x: expected [..., {width}], got shape {list(x.shape)}")
            return
        if x.dim() != self.dims + 2 or x.shape[1] != width:
            axes = ", ".join(["B", str(width), *"DHW"[-self.dims :]])
            hint = "" if x.dim() == self.dims + 2 else f" (these layers have dims={self.dims})"
            raise ValueError(f"x: expected [{axes}], got shape {list(x.shape)}{hint}")
        self._check_size(x)

    def _check_size(self, x: Tensor) -> None:
        """Own words: torch's message about padding names neither border nor kernel."""
        if self.border not in ("circular", "reflect"):
            return
        least = max(max(*left, *right) for left, right in self._reach)
        least += self.border == "reflect"
        if min(x.shape[2:]) < least:
            raise ValueError(
                f"x: expected {least} pixels or more in every dimension for border="
                f"{self.border!r} and kernel_size={self.kernel_size}, got shape {list(x.shape)}"
            )


# ---------------------------------------------------------------- arguments


def hidden_width(width: int) -> int:
    """1.5 times the input's channels, a multiple of 8: 64 for 42, as in the thesis.

    Narrower layers have a worse condition (see `widths`).
    """
    return -(-3 * width // 16) * 8


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Widths that Theorem 1 allows."""
    if isinstance(widths, (str, bytes)) or not isinstance(widths, Sequence):
        raise TypeError(f"widths: expected a list of numbers, got {type(widths).__name__}")
    found = tuple(_integer(f"widths[{n}]", width) for n, width in enumerate(widths))
    if len(found) < 3:
        raise ValueError(
            f"widths: expected 3 numbers or more, which is two layers, got {list(found)}"
        )
    if min(found) < 1:
        raise ValueError(f"widths: expected numbers >= 1, got {list(found)}")
    if found[-1] != found[0]:
        raise ValueError(
            f"widths: the last must be the first for output to equal input, got {list(found)}"
        )
    narrow = [f"widths[{n}] = {m}" for n, m in enumerate(found) if m < found[0]]
    if narrow:
        raise ValueError(
            f"widths: {', '.join(narrow)} below widths[0] = {found[0]}: a layer with fewer "
            "channels than the input loses some of it, and nothing brings it back"
        )
    return found


def _kernel(size: int | Sequence[int], dims: int) -> tuple[int, ...]:
    sizes = (size,) * max(dims, 1) if not isinstance(size, Sequence) else tuple(size)
    sizes = tuple(_integer("kernel_size", one) for one in sizes)
    if min(sizes, default=1) < 1 or len({one for one in sizes if one > 1}) > 1:
        raise ValueError(
            "kernel_size: expected a number >= 1, or for each dimension 1 or that number, got "
            f"{size}"
        )
    if dims == 0:
        if sizes != (1,):
            raise ValueError(f"kernel_size: expected 1 for dims=0 (nn.Linear), got {size}")
        return ()
    if len(sizes) != dims:
        raise ValueError(f"kernel_size: expected {dims} numbers for dims={dims}, got {size}")
    return sizes
