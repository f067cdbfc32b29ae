# SPDX-License-Identifier: Apache-2.0
"""Segmentation, superpixels, and what makes one of the two (Fig. 4.2 of Xu's thesis, 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.models._joint_loss import joint_loss
from mrfcore.nn.superpixel_edges import SuperpixelEdges
from mrfcore.nn.transparent import TransparentSequence
from mrfcore.ops.soft_superpixel import (
    soft_superpixel_pool,
    soft_superpixel_unpool,
    superpixel_ids,
)
from mrfcore.ops.superpixel import logit_consistency

__all__ = ["JointOutput", "JointSegmentation"]

_WIDER = 1.5  # hidden channels over those of the input: 64 for 42, as in the thesis


class JointOutput(NamedTuple):
    """What a `JointSegmentation` returns."""

    logits: Tensor
    """[B, L, H, W], of the whole."""
    coarse: Tensor
    """[B, L, H, W], of the segmentation network alone."""
    q: Tensor | None
    """[B, 9, H, W], soft superpixels; None where ids were given."""
    ids: Tensor | None
    """[B, H, W], hard superpixels; None without any."""


class JointSegmentation(nn.Module):
    """A segmentation network whose labels keep to superpixels that are learned beside it.

    image -> logits of the segmentation network, soft superpixels q of the other one, ids by
    arg-max -> layers that start transparent, on logits and ids -> logits made consistent within
    superpixels (Eq 4.13) -> perhaps message passing with the superpixels' contours as edges.

    The cross-entropy of the logits reaches the layers and the segmentation network. It does not
    reach the superpixel network: ids have no gradient. That network learns from `loss`'s second
    term, or, beyond the thesis, through consistency="soft" and through `refine`.

    Args:
        segmentation: image [B, C, H, W] to logits [B, L, h, w], or to a dict with them as "out"
            (torchvision's way). Smaller ones are enlarged bilinearly.
        superpixels: image to q [B, 9, H, W], a softmax, such as `SuperpixelFCN`. None: ids are
            given to `forward`.
        num_labels: L.
        hidden: channels of the transparent layers without the doubling, each at least as many as
            they have inputs: 2 L, or with auxiliary="single" L + 1, or with None L. None: two of
            1.5 times that, rounded up to a multiple of 8. (): no such layers.
        activation: theirs, as for `TransparentSequence`.
        auxiliary: what they see beside the logits: "interleaved", the ids after each of the L
            channels, as in the thesis (42 channels for 21 labels); "single", the ids once; None,
            nothing. Ids are divided by their number, for large inputs cost digits of the identity.
        consistency: "hard", means over ids; "soft", means weighted by q; None.
        refine: a layer (unary, weights) -> costs such as `mrfcore.nn.TRWP`, on the negative logits.
        edges: its weights: of q where there is one, else of ids.
        valid_in_eval: heed `valid` in eval mode, too; see `LogitConsistency`.

    Shape:
        images [B, C, H, W], perhaps ids [B, H, W] of integers from 0 on, perhaps valid [B, H, W]
        bool, to `JointOutput`.

    Raises:
        ValueError, TypeError: the message names the argument and what was expected.
    """

    def __init__(
        self,
        segmentation: nn.Module,
        superpixels: nn.Module | None,
        num_labels: int,
        *,
        hidden: Sequence[int] | None = None,
        activation: str | nn.Module | None = "relu",
        auxiliary: str | None = "interleaved",
        consistency: str | None = "hard",
        refine: nn.Module | None = None,
        edges: SuperpixelEdges | None = None,
        valid_in_eval: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, module in (("segmentation", segmentation), ("superpixels", superpixels)):
            if not isinstance(module, nn.Module) and not (
                module is None and name != "segmentation"
            ):
                raise TypeError(f"{name}: expected a module, got {type(module).__name__}")
        self.num_labels = _integer("num_labels", num_labels)
        if self.num_labels < 1:
            raise ValueError(f"num_labels: expected a number >= 1, got {num_labels}")
        self.auxiliary = _choice("auxiliary", auxiliary, ("interleaved", "single", None))
        self.consistency = _choice("consistency", consistency, ("hard", "soft", None))
        if consistency == "soft" and superpixels is None:
            raise ValueError("consistency: 'soft' needs a network of superpixels, got None")
        self.valid_in_eval = _flag("valid_in_eval", valid_in_eval)
        self.segmentation, self.superpixels = segmentation, superpixels
        self.cell = int(getattr(superpixels, "cell", 16))
        self.transparent = self._layers(hidden, activation, generator)
        self.refine = refine
        self.edges = edges if edges is not None or refine is None else _edges(refine, self.cell)

    def _layers(
        self,
        hidden: Sequence[int] | None,
        activation: str | nn.Module | None,
        generator: torch.Generator | None,
    ) -> TransparentSequence | None:
        count = self.num_labels
        width = {"interleaved": 2 * count, "single": count + 1, None: count}[self.auxiliary]
        if hidden is None:
            wide = -(-int(_WIDER * width + 0.5) // 8) * 8
            hidden = (wide, wide)
        if not len(hidden):
            return None
        narrow = [m for m in hidden if m < width]
        if narrow:
            raise ValueError(
                f"hidden: expected numbers >= {width}, the channels of {count} labels with "
                f"auxiliary={self.auxiliary!r}, got {list(hidden)}"
            )
        return TransparentSequence([width, *hidden, width], activation, generator=generator)

    def forward(
        self, image: Tensor, ids: Tensor | None = None, valid: Tensor | None = None
    ) -> JointOutput:
        """Logits, and what they are made of.

        Args:
            image: [B, C, H, W].
            ids: [B, H, W], superpixels from elsewhere, such as `mrfcore.superpixels.slic`; then the
                network of superpixels does not run.
            valid: [B, H, W] bool: pixels that count in the means of a superpixel while training,
                those with a label as a rule. None: all.
        """
        coarse = self._logits(image)
        q, ids = self._superpixels(image, ids)
        logits = coarse
        if self.transparent is not None:
            logits = self._through(self.transparent, coarse, ids)
        logits = self._consistent(logits, q, ids, valid)
        if self.refine is not None:
            if q is None and ids is None:
                raise ValueError("ids: expected superpixels [B, H, W] for the edges of refine")
            assert self.edges is not None
            logits = -self.refine(-logits, self.edges(ids if q is None else q))
        return JointOutput(logits, coarse, q, ids)

    def _logits(self, image: Tensor) -> Tensor:
        found: Any = self.segmentation(image)
        if isinstance(found, dict):
            if "out" not in found:
                raise ValueError(
                    "segmentation: expected logits or a dict with 'out', got one with "
                    f"{sorted(found)}"
                )
            found = found["out"]
        if not isinstance(found, Tensor) or found.dim() != 4 or found.shape[1] != self.num_labels:
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"segmentation: expected logits [B, {self.num_labels}, h, w] for num_labels = "
                f"{self.num_labels}, got {got}"
            )
        size = image.shape[-2:]
        if found.shape[-2:] == size:
            return found
        return functional.interpolate(found, size, mode="bilinear", align_corners=False)

    def _superpixels(
        self, image: Tensor, ids: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        wanted = [image.shape[0], *image.shape[-2:]]
        if ids is not None:
            if not isinstance(ids, Tensor) or list(ids.shape) != wanted:
                got = list(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
                raise ValueError(f"ids: expected shape {wanted} of the image, got {got}")
            return None, ids
        if self.superpixels is None:
            if self.consistency is None and self.auxiliary is None:
                return None, None
            raise ValueError("ids: expected superpixels [B, H, W], for there is no network of them")
        q = self.superpixels(image)
        if list(q.shape) != [wanted[0], 9, *wanted[1:]]:
            raise ValueError(
                f"superpixels: expected q {[wanted[0], 9, *wanted[1:]]}, got shape {list(q.shape)}"
            )
        return q, superpixel_ids(q.detach(), self.cell)

    def _through(self, layers: TransparentSequence, coarse: Tensor, ids: Tensor | None) -> Tensor:
        """Logits after the transparent layers."""
        if self.auxiliary is None:
            found: Tensor = layers(coarse)
            return found
        assert ids is not None
        # One number for every batch, that no GPU is waited for: as many ids as there are cells.
        rows, columns = (-(-size // self.cell) for size in ids.shape[-2:])
        extra = (ids / (rows * columns)).to(coarse.dtype).unsqueeze(1)
        if self.auxiliary == "single":
            return layers(torch.cat([coarse, extra], 1))[:, :-1]
        pairs = torch.stack([coarse, extra.expand_as(coarse)], 2)  # [B, L, 2, H, W]
        return layers(pairs.flatten(1, 2))[:, ::2]

    def _consistent(
        self, logits: Tensor, q: Tensor | None, ids: Tensor | None, valid: Tensor | None
    ) -> Tensor:
        if self.consistency is None:
            return logits
        if self.consistency == "soft" and q is not None:
            weights = q.to(logits.dtype)
            means = soft_superpixel_pool(logits, weights, self.cell, border="renorm")
            return soft_superpixel_unpool(means, weights, self.cell, border="renorm")
        assert ids is not None
        heeded = valid if self.training or self.valid_in_eval else None
        return logit_consistency(logits, ids, heeded)

    def loss(
        self,
        output: JointOutput,
        labels: Tensor,
        *,
        superpixel_weight: float = 1.0,
        compactness: float = 0.003,
        void: int = 255,
    ) -> dict[str, Tensor]:
        """What joint training minimises: the cross-entropy of the logits and the loss of q.

        Args:
            output: of `forward`.
            labels: [B, H, W] int64 in 0..L-1, or `void`, which counts in neither term.
            superpixel_weight: of the second term; 0 leaves it out.
            compactness: m of Eq 4.1.
            void: the label that stands for none.

        Returns:
            "loss", their sum, and its terms "segmentation" and, where there is a q, "superpixels".
        """
        return joint_loss(
            output.logits,
            output.q,
            labels,
            self.cell,
            superpixel_weight=superpixel_weight,
            compactness=compactness,
            void=void,
        )

    def parameter_groups(
        self,
        segmentation: float = 1e-6,
        superpixels: float = 1e-6,
        transparent: float = 1e-7,
        refine: float = 1e-3,
    ) -> list[dict[str, Any]]:
        """For an optimiser, the learning rate of each part; the defaults are the thesis's.

        (Section 4.4.2, joint fine-tuning on PASCAL VOC: 20 epochs, rates that stay; on ADE20K and
        PASCAL Context 1e-9 for the transparent layers. Message passing is not in the thesis.)
        """
        parts = {
            "segmentation": (self.segmentation, segmentation),
            "superpixels": (self.superpixels, superpixels),
            "transparent": (self.transparent, transparent),
            "refine": (self.refine, refine),
        }
        groups = []
        for name, (module, rate) in parts.items():
            learned = [] if module is None else [p for p in module.parameters() if p.requires_grad]
            if learned:
                groups.append({"params": learned, "lr": rate, "name": name})
        return groups


def _edges(refine: nn.Module, cell: int) -> SuperpixelEdges:
    """With as many neighbours as the layer has."""
    return SuperpixelEdges(getattr(refine, "connectivity", 4), cell=cell)
