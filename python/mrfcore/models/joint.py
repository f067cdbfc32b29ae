# SPDX-License-Identifier: Apache-2.0
"""Segmentation, superpixels, and what makes one of the two (Fig. 4.2 of Xu's thesis, 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrfcore._scalars import _choice, _flag, _integer
from mrfcore.models._joint_checks import (
    check_hidden,
    check_image,
    check_modules,
    check_refinement,
    logits_of,
)
from mrfcore.models._joint_loss import joint_loss
from mrfcore.nn.superpixel_edges import SuperpixelEdges
from mrfcore.nn.transparent import TransparentSequence, hidden_width
from mrfcore.ops.soft_superpixel import (
    soft_superpixel_pool,
    soft_superpixel_unpool,
    superpixel_ids,
)
from mrfcore.ops.superpixel import _check_ids, check_mask, logit_consistency

__all__ = ["JointOutput", "JointSegmentation"]


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
    term, or, beyond the thesis, through consistency="soft" and through `refine`. Where it shall not
    learn (superpixel_weight=0), `model.superpixels.requires_grad_(False)` spares its graph, and
    DistributedDataParallel then misses no gradient.

    Both networks see the same image. Those that were trained on different colours go in as
    `Normalised`.

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
            nothing. Ids are divided by the number of cells (given ones that are more, by theirs),
            for large inputs cost digits of the identity.
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
        check_modules(segmentation, superpixels)
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
        check_refinement(refine, edges)
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
            hidden = (hidden_width(width),) * 2
        why = f"the channels of {count} labels with auxiliary={self.auxiliary!r}"
        between = check_hidden(hidden, width, why)
        if not between:
            return None
        return TransparentSequence([width, *between, width], activation, generator=generator)

    def forward(
        self, image: Tensor, ids: Tensor | None = None, valid: Tensor | None = None
    ) -> JointOutput:
        """Logits, and what they are made of.

        Args:
            image: [B, C, H, W], floats.
            ids: [B, H, W], superpixels from elsewhere, such as `mrfcore.superpixels.slic`: integers
                from 0 on, each image of its own. Then the network of superpixels does not run, and
                there is no consistency="soft".
            valid: [B, H, W] bool: pixels that count in the means of a superpixel while training,
                those with a label as a rule. None: all.

        Raises:
            ValueError, TypeError: the message names the argument and what was expected.
        """
        check_image(image)
        if valid is not None:
            check_mask(valid, image)
        given = ids is not None
        q, ids = self._superpixels(image, ids)
        coarse = self._logits(image)
        logits = coarse
        if self.transparent is not None:
            logits = self._through(self.transparent, coarse, ids, given)
        logits = self._consistent(logits, q, ids, valid)
        if self.refine is not None:
            if q is None and ids is None:
                raise ValueError("ids: expected superpixels [B, H, W] for the edges of refine")
            assert self.edges is not None
            logits = -self.refine(-logits, self.edges(ids if q is None else q))
        return JointOutput(logits, coarse, q, ids)

    def _logits(self, image: Tensor) -> Tensor:
        found = logits_of(self.segmentation(image), self.num_labels)
        size = image.shape[-2:]
        if found.shape[-2:] == size:
            return found
        return functional.interpolate(found, size, mode="bilinear", align_corners=False)

    def _superpixels(
        self, image: Tensor, ids: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        wanted = [image.shape[0], *image.shape[-2:]]
        if ids is not None:
            if self.consistency == "soft":
                raise ValueError("ids: expected None with consistency='soft', which needs q")
            return None, _check_ids(ids, image.shape[0], image.shape[2:], "image", image)
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

    def _through(
        self, layers: TransparentSequence, coarse: Tensor, ids: Tensor | None, given: bool
    ) -> Tensor:
        """Logits after the transparent layers, which see ids in 32 bits: in 16, many are one."""
        if self.auxiliary is None:
            found: Tensor = layers(coarse)
            return found
        assert ids is not None
        wide = torch.promote_types(coarse.dtype, torch.float32)
        extra = (ids / self._most(ids, given)).to(wide).unsqueeze(1)
        logits = coarse.to(wide)
        if self.auxiliary == "single":
            return layers(torch.cat([logits, extra], 1))[:, :-1].to(coarse.dtype)
        pairs = torch.stack([logits, extra.expand_as(logits)], 2)  # [B, L, 2, H, W]
        return layers(pairs.flatten(1, 2))[:, ::2].to(coarse.dtype)

    def _most(self, ids: Tensor, given: bool) -> Tensor | int:
        """How many ids there may be: of cells, one number for all images, and no GPU to wait for.

        Given ones may be more: then those of each image, whatever else is in the batch.
        """
        rows, columns = (-(-size // self.cell) for size in ids.shape[-2:])
        cells = rows * columns
        return (ids.amax((1, 2), keepdim=True) + 1).clamp(min=cells) if given else cells

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
            labels: [B, H, W], integers in 0..L-1, or `void`, whose pixels count in neither term.
                For the superpixels void is one more label: they keep to its contour.
            superpixel_weight: of the second term, >= 0; 0 leaves it out.
            compactness: m of Eq 4.1.
            void: the label that stands for none.

        Returns:
            "loss", their sum, and its terms "segmentation" and, where there is a q, "superpixels".

        Raises:
            ValueError, TypeError: the message names the argument and what was expected.
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
