# SPDX-License-Identifier: Apache-2.0
"""Activations that can be seen through: which ones, and a form of any other one that can."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["PairActivation", "activation_of", "odd_slope"]

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
_PROBES = (-30.0, -7.3, -2.9, -1.0, -0.41, -0.013, 0.007, 0.3, 1.7, 5.1, 19.0)
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

    1 for ReLU, softplus, log-sigmoid, GELU and SiLU; 1 + slope for LeakyReLU and PReLU.

    Raises:
        ValueError: the activation is random, or fails on [N, channels, 1, ...].
    """
    twin = copy.deepcopy(activation).to("cpu", torch.float64)
    values = torch.tensor(_PROBES, dtype=torch.float64)
    x = (
        values[:, None]
        .expand(-1, channels)
        .reshape(len(_PROBES), channels, *(1 for _ in range(dims)))
    )
    name = type(activation).__name__
    try:
        with torch.no_grad():
            odd = twin(x) - twin(-x)
            again = twin(x) - twin(-x)
    except Exception as error:
        raise ValueError(
            f"activation: {name} fails on a tensor of shape {list(x.shape)}: {error}"
        ) from error
    if odd.shape != x.shape:
        raise ValueError(f"activation: {name} makes shape {list(odd.shape)} of {list(x.shape)}")
    if not torch.equal(odd, again):
        raise ValueError(f"activation: {name} is random while training, which nothing undoes")
    odd = odd.reshape(len(_PROBES), channels)
    slope = (odd * values[:, None]).sum(0) / values.square().sum()
    off = (odd - slope * values[:, None]).abs().max()
    return slope if float(off) <= _TOLERANCE and float(slope.abs().min()) > 1e-3 else None
