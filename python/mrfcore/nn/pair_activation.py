# SPDX-License-Identifier: Apache-2.0
"""Activations that can be seen through: which ones, and a form of any other one that can."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["PairActivation", "activation_of", "check_pairable", "odd_slope"]

_BY_NAME: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "logsigmoid": nn.LogSigmoid,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}
_SCALES = (0.01, 0.3, 1.0, 1.0, 3.0, 10.0, 30.0, 1e3)  # of the values that are tried
_TOLERANCE = 1e-8  # torch's softplus is the identity above 20, which is off by 2e-9


class PairActivation(nn.Module):
    """Any activation in a form that a subtraction undoes (Fig. 4.11(b) of Xu's thesis).

    Channels come as two halves (x_0, x_1) and go as (s(x_0), s(x_0) + x_1). Where x_1 = -x_0, as
    after a layer with the weights [A, -A], the difference of the two halves is x_0 again, whatever
    s is. Training is free to leave that.

    At first the difference is -x_1 whatever x_0 is, so the loss has no gradient in x_0: the half of
    the weights that makes x_0 starts to learn one step after all the others.

    Args:
        activation: s, a module that keeps the shape.
        dim: where the channels are: 1 for images, -1 behind `nn.Linear`.

    Shape:
        [..., 2 m, ...] to the same.

    Raises:
        TypeError: not a module.
        ValueError: in the forward pass, an odd number of channels.
    """

    def __init__(self, activation: nn.Module, dim: int = 1) -> None:
        super().__init__()
        if not isinstance(activation, nn.Module):
            raise TypeError(f"activation: expected a module, got {type(activation).__name__}")
        self.activation = activation
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """(s(x_0), s(x_0) + x_1)."""
        if x.shape[self.dim] % 2:
            raise ValueError(
                f"x: expected an even number of channels in dimension {self.dim}, got shape "
                f"{list(x.shape)}"
            )
        first, second = x.chunk(2, self.dim)
        if getattr(self.activation, "inplace", False):
            first = first.clone()  # a view of x: autograd forbids writing into it
        seen: Tensor = self.activation(first)
        return torch.cat([seen, seen + second], self.dim)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"dim={self.dim}"


def activation_of(activation: object) -> nn.Module | None:
    """A module of its own for a name or a module; None for None.

    Raises:
        ValueError: an unknown name.
        TypeError: neither of these.
    """
    if activation is None:
        return None
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)  # each place has parameters of its own
    if not isinstance(activation, str):
        raise TypeError(
            "activation: expected None, a name or a module (such as torch.nn.ReLU(), not the "
            f"class), got {activation!r}"
        )
    if activation not in _BY_NAME:
        raise ValueError(
            f"activation: expected one of {', '.join(map(repr, _BY_NAME))} or a module, got "
            f"{activation!r}"
        )
    return _BY_NAME[activation]()


def odd_slope(activation: nn.Module, channels: int, dims: int) -> Tensor | None:
    """The c of s(x) - s(-x) = c x (Eq 4.11), found by trying: [channels], or None if no c does.

    1 for ReLU, softplus, log-sigmoid, GELU and SiLU; 1 + slope for LeakyReLU and PReLU. What mixes
    channels or pixels has none. It is tried in training and in eval mode.

    Raises:
        ValueError: the activation is random, or fails on [N, channels, ...].
    """
    trained = _slope(activation, channels, dims, training=True)
    tested = _slope(activation, channels, dims, training=False)
    if trained is None or tested is None:
        return None
    if not torch.allclose(trained, tested):
        raise ValueError(
            f"activation: {type(activation).__name__} is another function in eval mode, and "
            "nothing undoes both"
        )
    return trained


def _slope(activation: nn.Module, channels: int, dims: int, *, training: bool) -> Tensor | None:
    generator = torch.Generator("cpu").manual_seed(0)
    size = (len(_SCALES), channels, *(3 for _ in range(dims)))
    x = 2 * torch.rand(size, generator=generator, dtype=torch.float64, device="cpu") - 1
    x *= torch.tensor(_SCALES, dtype=torch.float64, device="cpu").view(-1, *(1 for _ in size[1:]))
    odd = _tried(activation, x, training) - _tried(activation, -x, training)
    if not torch.equal(odd, _tried(activation, x, training) - _tried(activation, -x, training)):
        name = type(activation).__name__
        raise ValueError(f"activation: {name} is random while training, which nothing undoes")
    odd, flat = (y.transpose(0, 1).reshape(channels, -1) for y in (odd, x))
    near = flat.abs() <= 1.0  # a bounded function is told by its ends, not by its slope
    slope = (odd * flat * near).sum(1) / (flat.square() * near).sum(1)
    off = (odd - slope[:, None] * flat).abs() - 1e-12 * flat.abs()
    return slope if float(off.max()) <= _TOLERANCE and float(slope.abs().min()) > 1e-3 else None


def _tried(activation: nn.Module, x: Tensor, training: bool) -> Tensor:
    """s(x) of a copy, so that nothing is changed by trying."""
    name = type(activation).__name__
    if any(p.is_meta for p in activation.parameters()):
        raise ValueError(f"activation: the parameters of {name} are on the meta device, unknown")
    twin = copy.deepcopy(activation).to("cpu", torch.float64).train(training)
    try:
        with torch.no_grad():
            y = twin(x.clone())  # it may work in place
    except Exception as error:
        raise ValueError(
            f"activation: {name} fails on a tensor of shape {list(x.shape)}: {error}"
        ) from error
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"activation: {name} makes {got} of shape {list(x.shape)}")
    return y


def check_pairable(activation: nn.Module, channels: int, dims: int) -> None:
    """Raise unless an activation runs on so many channels, half of what a layer has."""
    size = (1, channels, *(3 for _ in range(dims)))
    x = torch.linspace(-1, 1, math.prod(size), dtype=torch.float64, device="cpu").reshape(size)
    for training in (True, False):
        if not torch.equal(_tried(activation, x, training), _tried(activation, x, training)):
            name = type(activation).__name__
            raise ValueError(f"activation: {name} is random while training, which nothing undoes")
