# SPDX-License-Identifier: Apache-2.0
"""Filter flow and warps as modules: the last layer of networks that predict filters or flow."""

from __future__ import annotations

import torch

from mrfcore._scalars import _choice, _flag, _threads
from mrfcore.ops import filter_flow as _filter_flow
from mrfcore.ops import warp as _warp

__all__ = ["FilterFlow", "Warp"]


class FilterFlow(torch.nn.Module):
    """Apply to every pixel the filter that a network made for it; docs/operators/filter_flow.md.

    The side k of the filters comes from their number of channels, k * k, k from 1 to 31.

    Args:
        normalize: None: filters are the weights. "softmax": weights are their softmax over the
            taps, not negative and of sum 1, so that a constant image stays as it is.
        padding: what lies outside the image: "zeros", "replicate" or "reflect".
        return_flow: return the expected flow of the filters, too (Eq 7.6).
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        image [B, C, H, W] and filters [B, k * k, H, W] to [B, C, H, W]; with `return_flow` also
        [B, 2, H, W] in pixels, x first.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        normalize: str | None = None,
        padding: str = "zeros",
        *,
        return_flow: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        _threads(threads)
        self.normalize = _choice("normalize", normalize, (None, "softmax"))
        self.padding = _choice("padding", padding, ("zeros", "replicate", "reflect"))
        self.return_flow = _flag("return_flow", return_flow)
        self.threads = threads

    def forward(
        self, image: torch.Tensor, filters: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The filtered image, and the flow where asked for."""
        return _filter_flow.filter_flow(
            image,
            filters,
            self.normalize,
            self.padding,
            return_flow=self.return_flow,
            threads=self.threads,
        )

    def extra_repr(self) -> str:
        """What print() shows."""
        shown = f"normalize={self.normalize!r}, padding={self.padding!r}"
        return shown + (", return_flow=True" if self.return_flow else "")


class Warp(torch.nn.Module):
    """Sample an image where a flow points, bilinearly; see docs/operators/warp.md.

    Args:
        padding: outside the image "zeros", or the nearest pixel of the border, "replicate".
        return_mask: return also where all four taps lie inside the image.
        threads: None: MRFCORE_NUM_THREADS, else OpenMP's default.

    Shape:
        image [B, C, H, W] and flow [B, 2, H', W'] in pixels, x first, to [B, C, H', W']; with
        `return_mask` also [B, 1, H', W'] bool.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self, padding: str = "zeros", *, return_mask: bool = False, threads: int | None = None
    ) -> None:
        super().__init__()
        _threads(threads)
        self.padding = _choice("padding", padding, ("zeros", "replicate"))
        self.return_mask = _flag("return_mask", return_mask)
        self.threads = threads

    def forward(
        self, image: torch.Tensor, flow: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The warped image, and the mask where asked for."""
        return _warp.warp(
            image, flow, self.padding, return_mask=self.return_mask, threads=self.threads
        )

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"padding={self.padding!r}" + (", return_mask=True" if self.return_mask else "")
