# SPDX-License-Identifier: Apache-2.0
"""What can be made of maps of superpixels: ids from 0 on, boundaries, who touches whom."""

from __future__ import annotations

import torch

from mrfcore._scalars import _integer

__all__ = ["superpixel_adjacency", "superpixel_boundaries", "superpixel_relabel"]


def superpixel_relabel(ids: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Ids from 0 on without gaps, each image of its own, in the order of the old ones.

    Args:
        ids: [B, H, W] of any integers, on any device; sorted once, O(N log N). Waits for a GPU.

    Returns:
        The new ids [B, H, W] int64, and how many the image with the most has: `num`.

    Raises:
        ValueError, TypeError: not such a tensor.
    """
    _check_map(ids)
    found = [torch.unique(image, return_inverse=True) for image in ids]
    num = max(values.numel() for values, _ in found)
    return torch.stack([inverse for _, inverse in found]), num


def superpixel_boundaries(
    ids: torch.Tensor, *, mode: str = "both", connectivity: int = 4
) -> torch.Tensor:
    """Pixels that have a neighbour in another superpixel.

    Args:
        ids: [B, H, W] of any integers, on any device.
        mode: "both" marks both sides of a boundary; "first" only the pixel that comes first in the
            order of the image, which makes lines of one pixel.
        connectivity: 4 neighbours, or 8 with the diagonal ones.

    Returns:
        [B, H, W] bool.

    Raises:
        ValueError, TypeError: not such a tensor, mode or connectivity.
    """
    _check_map(ids)
    if mode not in ("both", "first"):
        raise ValueError(f"mode: expected 'both' or 'first', got {mode!r}")
    found = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
    for first, second in _neighbours(ids, connectivity):
        differ = ids[first] != ids[second]
        found[first] |= differ
        if mode == "both":
            found[second] |= differ
    return found


def superpixel_adjacency(
    ids: torch.Tensor, *, connectivity: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    """The graph of superpixels that touch each other.

    Args:
        ids: [B, H, W] of any integers, 0 and above, on any device. Waits for a GPU: how many edges
            there are depends on the ids.
        connectivity: 4 neighbours, or 8 with the diagonal ones.

    Returns:
        edges [E, 3] int64: (image, s, t) with s < t, sorted; and lengths [E] int64, how many pairs
        of neighbouring pixels lie on either side.

    Raises:
        ValueError, TypeError: not such a tensor or connectivity, negative ids.
    """
    _check_map(ids)
    ids = ids.long()
    if bool((ids < 0).any()):
        raise ValueError(f"ids: expected 0 and above, got {int(ids.min())}; relabel them first")
    num = int(ids.max()) + 1
    if num**2 * ids.shape[0] >= 2**63:
        raise ValueError(f"ids: {num - 1} is too large for a graph; relabel them first")
    image = torch.arange(ids.shape[0], device=ids.device).view(-1, 1, 1).expand_as(ids)
    keys = []
    for first, second in _neighbours(ids, connectivity):
        s, t = torch.minimum(ids[first], ids[second]), torch.maximum(ids[first], ids[second])
        keys.append(((image[first] * num + s) * num + t)[s != t])
    key, lengths = torch.unique(torch.cat(keys), return_counts=True)
    edges = torch.stack([key // (num * num), key // num % num, key % num], 1)
    return edges, lengths


# ---------------------------------------------------------------- neighbours and checks

_Place = tuple[slice, slice, slice]


def _neighbours(ids: torch.Tensor, connectivity: int) -> list[tuple[_Place, _Place]]:
    """Every pair of neighbours once: where the first and where the second ones are."""
    if _integer("connectivity", connectivity) not in (4, 8):
        raise ValueError(f"connectivity: expected 4 or 8, got {connectivity}")
    _, height, width = ids.shape
    pairs = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))[: connectivity // 2]:
        rows = slice(0, height - dy), slice(dy, height)
        left, right = slice(0, width - abs(dx)), slice(abs(dx), width)
        columns = (left, right) if dx >= 0 else (right, left)
        pairs.append(((slice(None), rows[0], columns[0]), (slice(None), rows[1], columns[1])))
    return pairs


def _check_map(ids: object) -> None:
    if not isinstance(ids, torch.Tensor):
        raise TypeError(f"ids: expected a tensor [B, H, W], got {type(ids).__name__}")
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"ids: expected integers, got dtype {ids.dtype}")
    if ids.dim() != 3 or 0 in ids.shape:
        raise ValueError(f"ids: expected [B, H, W], got shape {list(ids.shape)}")
