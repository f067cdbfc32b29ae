# SPDX-License-Identifier: Apache-2.0
"""Made-up batches for any input shape: enough to score neurons by where there is no data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from mrfcore._modes import evaluating

__all__ = ["IGNORED", "made_up_batches", "task_loss", "task_of", "trains_on"]

IGNORED = 255  # the label of empty voxels, as in ShapeNet's
_PARTS = 4
Shape = tuple[int, ...]
Batch = tuple[Any, Any]


def task_of(model: torch.nn.Module, shapes: Sequence[Shape]) -> tuple[str, int]:
    """What a network does, from the shape of its output, and how many labels it has.

    Args:
        model: any module.
        shapes: of its inputs, without the batch.

    Returns:
        "classification" (output [B, L]), "segmentation" ([B, L, ...]) or, of two inputs,
        "stereo" (one or several [B, ...]) with 0 labels.

    Raises:
        ValueError: an output of another kind.
    """
    like = next(model.parameters(), torch.empty(()))
    with evaluating(model), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty((2, *s), dtype=like.dtype, device=like.device) for s in shapes]
        out = model(*inputs)
    one = out[-1] if isinstance(out, (tuple, list)) and out else out
    if isinstance(one, torch.Tensor):
        if len(shapes) == 2 and one.shape[-2:] == torch.Size(shapes[0][-2:]):
            return "stereo", 0
        if len(shapes) == 1 and one.ndim == 2:
            return "classification", one.shape[1]
        if len(shapes) == 1 and one.shape[2:] == torch.Size(shapes[0][1:]):
            return "segmentation", one.shape[1]
    got = list(one.shape) if isinstance(one, torch.Tensor) else type(out).__name__
    raise ValueError(
        f"model: has an output {got} for inputs {[list(s) for s in shapes]}, for which no loss is "
        "known; mrfcore.pruning.prune takes one"
    )


def trains_on(model: torch.nn.Module, shapes: Sequence[Shape]) -> bool:
    """Whether a forward pass in training mode takes a batch of one of these shapes."""
    like = next(model.parameters(), torch.empty(()))
    with evaluating(model, training=True), torch.no_grad():
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        try:
            with fake:
                inputs = [
                    torch.empty((1, *s), dtype=like.dtype, device=like.device) for s in shapes
                ]
                model(*inputs)
        except (ValueError, RuntimeError):
            return False
    return True


def task_loss(task: str) -> Any:
    """``loss(output, target)`` for batches of `made_up_batches`."""
    if task == "stereo":
        return _stereo_loss
    return _label_loss


def made_up_batches(
    task: str, labels: int, shapes: Sequence[Shape], count: int, *, seed: int = 0
) -> list[Batch]:
    """Batches of one: solids, hollow where they are the only channel, with a label for each.

    Segmentation: four overlapping balls, boxes and tubes, of which each voxel shows the last one:
    occupied or not for one channel, as in voxelised shapes, else intensities with noise.
    Classification: the same, and a label. Stereo: such a picture, and one that sees it shifted.

    Args:
        task: "segmentation", "classification" or "stereo".
        labels: how many there are.
        shapes: of the inputs, without the batch.
        count: of batches, >= 1.
        seed: of the generator.
    """
    generator = torch.Generator().manual_seed(seed)
    batches: list[Batch] = []
    for _ in range(count):
        channels, *sizes = shapes[0]
        parts = _solids(sizes, generator)
        image = _painted(parts, channels, generator)
        if task == "stereo":
            batches.append(_pair(image, parts, generator))
            continue
        chosen = torch.randperm(max(labels, _PARTS + 1), generator=generator)
        if task == "classification":
            batches.append((image[None], chosen[:1] % labels))
            continue
        names = chosen[: _PARTS + 1] % labels
        target = names[parts]
        if channels == 1:
            target = torch.where(image[0] > 0, target, IGNORED)
        batches.append((image[None], target[None]))
    return batches


def _solids(sizes: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """0 for empty voxels, else which of the parts is there."""
    axes = [torch.linspace(-1, 1, size) for size in sizes]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    parts = torch.zeros(tuple(sizes), dtype=torch.int64)
    for number in range(1, _PARTS + 1):
        ones = [1] * len(sizes)
        centre = (torch.rand(len(sizes), generator=generator) - 0.5).reshape(-1, *ones)
        radius = (0.25 + 0.35 * torch.rand(len(sizes), generator=generator)).reshape(-1, *ones)
        offset = (grid - centre) / radius
        if number % 3 == 1:
            inside = offset.square().sum(0) <= 1  # a ball
        elif number % 3 == 2:
            inside = offset.abs().amax(0) <= 0.8  # a box
        else:  # a tube along the first axis
            inside = (offset[1:].square().sum(0) <= 0.6) & (offset[0].abs() <= 1.5)
        parts[inside] = number
    return parts


def _painted(parts: torch.Tensor, channels: int, generator: torch.Generator) -> torch.Tensor:
    if channels == 1:
        return _surface(parts).float()[None]
    colours = torch.randn(channels, _PARTS + 1, generator=generator)
    noise = torch.randn(channels, *parts.shape, generator=generator)
    return (colours[:, parts] + 0.1 * noise) * (parts > 0)  # nothing is black, as around a skull


def _surface(parts: torch.Tensor) -> torch.Tensor:
    """Voxels of a part that touch another or none: what a scan of a solid gives."""
    edge = torch.zeros_like(parts, dtype=torch.bool)
    for axis in range(parts.ndim):
        for step in (1, -1):
            edge |= parts.roll(step, axis) != parts
    return edge & (parts > 0)


def _pair(image: torch.Tensor, parts: torch.Tensor, generator: torch.Generator) -> Batch:
    """Parts at different depths; the right image takes each pixel from the left one."""
    most = max(2, min(48, image.shape[-1] // 5))
    depths = torch.randint(1, most, (_PARTS + 1,), generator=generator).float()
    disparity = depths[parts]
    columns = torch.arange(image.shape[-1]).expand(parts.shape)
    source = (columns + disparity.long()).clamp(max=image.shape[-1] - 1)
    right = image.gather(-1, source.expand_as(image))
    return (image[None], right[None]), disparity[None]


def _label_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, target, ignore_index=IGNORED)


def _stereo_loss(output: Any, target: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of all outputs, the last one counting most: PSMNet's for three."""
    outputs = list(output) if isinstance(output, (tuple, list)) else [output]
    weights = (0.5, 0.7, 1.0)[-len(outputs) :]
    total = torch.zeros((), device=target.device)
    for weight, one in zip(weights, outputs, strict=True):
        total = total + weight * functional.smooth_l1_loss(one.reshape(target.shape), target)
    return total
