# SPDX-License-Identifier: Apache-2.0
"""The network that draws superpixels (Yang et al. 2020, section 4.2 of the thesis)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.models._colours import lab_of
from mrfcore.models._images import check_batch, count_option
from mrfcore.models._one_hot import one_hot
from mrfcore.models._pieces import connected_ids
from mrfcore.models._registry import register
from mrfcore.ops.soft_superpixel import superpixel_ids
from mrfcore.ops.superpixel import check_mask
from mrfcore.ops.superpixel_loss import superpixel_loss

__all__ = ["SuperpixelFCN"]

CELL = 16  # four halvings: one pixel of the last features per cell
_LABEL_COMPACTNESS = 0.003  # m of the paper, for distributions over labels
_COLOUR_COMPACTNESS = 10.0  # SLIC's, for CIELAB


@register("superpixel-fcn", summary="superpixels", input_shape=(3, 512, 512))
class SuperpixelFCN(nn.Module):
    """An encoder and a decoder that associate each pixel with the nine cells around it.

    Cells are squares of 16 pixels. The encoder halves the image four times, from `width` channels
    to 16 times as many; the decoder goes the way back beside the encoder's features; a 3 x 3
    convolution and a softmax make nine associations. Parameters are named as in the authors' code,
    whose checkpoints load by name.

    Args:
        width: channels at full size, >= 1; 16 is the published network.
        in_channels: of the image, 1..8.

    Shape:
        images [B, in_channels, H, W] of any size to q [B, 9, H, W], the slots in raster order, for
        `mrfcore.nn.functional.soft_superpixel_pool` and its neighbours. Where H or W is no multiple
        of 16 the last row and column are repeated inside up to the next one, and q is cut back: the
        last cells are smaller, as those functions have them.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    cell = CELL
    colours = ((0.411, 0.432, 0.45), (1.0, 1.0, 1.0))
    """Mean and standard deviation, on a scale of 0..1, with which the authors' checkpoints were
    trained."""

    def __init__(self, *, width: int = 16, in_channels: int = 3) -> None:
        super().__init__()
        w = count_option("width", width)
        self.in_channels = count_option("in_channels", in_channels)
        if self.in_channels > 8:  # nine would look like associations
            raise ValueError(f"in_channels: expected 1..8, got {in_channels}")
        self.conv0a = _conv(self.in_channels, w)
        self.conv0b = _conv(w, w)
        self.conv1a = _conv(w, 2 * w, stride=2)
        self.conv1b = _conv(2 * w, 2 * w)
        self.conv2a = _conv(2 * w, 4 * w, stride=2)
        self.conv2b = _conv(4 * w, 4 * w)
        self.conv3a = _conv(4 * w, 8 * w, stride=2)
        self.conv3b = _conv(8 * w, 8 * w)
        self.conv4a = _conv(8 * w, 16 * w, stride=2)
        self.conv4b = _conv(16 * w, 16 * w)
        self.deconv3 = _deconv(16 * w, 8 * w)
        self.conv3_1 = _conv(16 * w, 8 * w)
        self.deconv2 = _deconv(8 * w, 4 * w)
        self.conv2_1 = _conv(8 * w, 4 * w)
        self.deconv1 = _deconv(4 * w, 2 * w)
        self.conv1_1 = _conv(4 * w, 2 * w)
        self.deconv0 = _deconv(2 * w, w)
        self.conv0_1 = _conv(2 * w, w)
        self.pred_mask0 = nn.Conv2d(w, 9, 3, padding=1)
        _initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Associations q [B, 9, H, W], float32 under autocast, too; they sum to 1."""
        check_batch("image", image, self.in_channels)
        height, width = image.shape[2:]
        more = (0, -width % CELL, 0, -height % CELL)
        whole = nn.functional.pad(image, more, mode="replicate") if any(more) else image
        x0 = self.conv0b(self.conv0a(whole))
        x1 = self.conv1b(self.conv1a(x0))
        x2 = self.conv2b(self.conv2a(x1))
        x3 = self.conv3b(self.conv3a(x2))
        x4 = self.conv4b(self.conv4a(x3))
        y = self.conv3_1(torch.cat([x3, self.deconv3(x4)], 1))
        y = self.conv2_1(torch.cat([x2, self.deconv2(y)], 1))
        y = self.conv1_1(torch.cat([x1, self.deconv1(y)], 1))
        y = self.conv0_1(torch.cat([x0, self.deconv0(y)], 1))
        y = self.pred_mask0(y)[:, :, :height, :width]
        return (y if y.dtype == torch.float64 else y.float()).softmax(1)

    def ids(
        self,
        x: torch.Tensor,
        *,
        enforce_connectivity: bool = False,
        min_size: int | None = None,
    ) -> torch.Tensor:
        """Hard superpixels: the cell that each pixel is associated with most.

        Args:
            x: q [B, 9, H, W], or images [B, in_channels, H, W], for which the network must be in
                eval mode: in training its statistics would change.
            enforce_connectivity: make every superpixel one 4-connected piece. A piece of less than
                `min_size` pixels joins the neighbour with which it has the longest border; other
                pieces count as superpixels of their own; where a superpixel has `min_size` pixels
                in all, its largest piece stays. Computed on the CPU.
            min_size: pixels of a piece that stays, >= 1; None: 64, a quarter of a cell.

        Returns:
            [B, H, W] int64: numbers of cells, of which some may be missing; or, connected, 0, 1,
            ... in the order of first pixels.

        Raises:
            ValueError, TypeError: wrong shapes or options; images in training mode.
        """
        least = CELL * CELL // 4 if min_size is None else _integer("min_size", min_size)
        if least < 1:
            raise ValueError(f"min_size: expected None or a number >= 1, got {min_size}")
        connect = _flag("enforce_connectivity", enforce_connectivity)
        with torch.no_grad():
            found = superpixel_ids(self._associations(x), CELL)
            return connected_ids(found, least) if connect else found

    def loss(
        self,
        q: torch.Tensor,
        target: torch.Tensor,
        valid: torch.Tensor | None = None,
        *,
        compactness: float | None = None,
        color_space: str = "lab",
        void: int = 255,
        border: str = "zero",
        reduction: str = "mean",
    ) -> torch.Tensor:
        """What teaches the network: `mrfcore.nn.functional.superpixel_loss` (Eq 4.1).

        Args:
            q: what the network made of images, [B, 9, H, W].
            target: true labels [B, H, W], any integers: superpixels shall keep to them (the
                cross-entropy). Or properties [B, K, H, W], floats: they shall be uniform in them
                (the distance |f - f'|), such as the images.
            valid: [B, H, W] bool: pixels that count. None: all, but those whose label is `void`.
            compactness: m, >= 0; None: 0.003 for labels, 10 for properties, as in SLIC.
            color_space: of properties: "lab": they are sRGB in 0..1 (K = 3) and compared in CIE
                L*a*b*; "raw": as they are.
            void: a label that stands for none. Superpixels see it as one more label, so that they
                keep to its contour; its own pixels do not count.
            border: as for `superpixel_loss`.
            reduction: as for `superpixel_loss`.

        Returns:
            A number, or [B, H, W] with "none".

        Raises:
            ValueError, TypeError: the message names the argument and what was expected.
        """
        _choice("color_space", color_space, ("lab", "raw"))
        if not isinstance(target, torch.Tensor):
            raise TypeError(
                "target: expected labels [B, H, W] or a tensor [B, K, H, W], got "
                f"{type(target).__name__}"
            )
        labels = not target.is_floating_point()
        if labels:
            features, valid = _one_hot(target, void, valid)
        else:
            features = _properties(target, color_space)
        weight = _LABEL_COMPACTNESS if labels else _COLOUR_COMPACTNESS
        return superpixel_loss(
            features,
            q,
            CELL,
            distance="cross_entropy" if labels else "l2",
            compactness=weight if compactness is None else compactness,
            valid=valid,
            border=border,
            reduction=reduction,
        )

    def adapt_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights as this module has them: without the authors' three heads that nothing uses."""
        unused = ("pred_mask1.", "pred_mask2.", "pred_mask3.")
        return {key: value for key, value in state.items() if not key.startswith(unused)}

    def _associations(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(x, torch.Tensor) and x.dim() == 4 and x.shape[1] == 9:
            return x
        check_batch("x", x, self.in_channels)
        if self.training:
            raise ValueError(
                "x: expected q [B, 9, H, W] in training mode, got images of shape "
                f"{list(x.shape)}; call eval(), or ids(model(images))"
            )
        q: torch.Tensor = self(x)
        return q


# ---------------------------------------------------------------- targets


def _one_hot(
    labels: torch.Tensor, void: int, valid: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """[B, K, H, W] with K the number of labels that occur, and which pixels count."""
    if labels.dim() != 3 or 0 in labels.shape or labels.dtype == torch.bool or labels.is_complex():
        raise ValueError(
            f"target: expected integer labels [B, H, W] or floats [B, K, H, W], got "
            f"{labels.dtype} of shape {list(labels.shape)}"
        )
    known = labels != _integer("void", void)
    values, dense = torch.unique(labels, return_inverse=True)
    hot = one_hot(dense, len(values))
    # Void is a label like others for those around it, but its own pixels do not count.
    if valid is not None:
        check_mask(valid, hot)
    return hot, known if valid is None else valid & known


def _properties(target: torch.Tensor, color_space: str) -> torch.Tensor:
    if color_space == "raw":
        return target
    if target.dim() != 4 or target.shape[1] != 3:
        raise ValueError(
            "target: expected sRGB [B, 3, H, W] for color_space='lab', got shape "
            f"{list(target.shape)}"
        )
    if target.device.type == "cpu":  # nobody waits for a GPU
        low, high = float(target.min()), float(target.max())
        if not -0.01 <= low <= high <= 1.01:
            raise ValueError(
                "target: expected sRGB in 0..1 for color_space='lab', got values in "
                f"{low:.3g}..{high:.3g}; give the image before it was normalised"
            )
    return lab_of(target)


# ---------------------------------------------------------------- layers


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1),
    )


def _deconv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.1))


def _initialise(model: nn.Module) -> None:
    """He's initialisation for a leaky ReLU of slope 0.1, as the authors'; biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, 0.1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
