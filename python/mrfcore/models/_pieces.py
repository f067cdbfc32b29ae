# SPDX-License-Identifier: Apache-2.0
"""Superpixels in one piece each: stray pieces join a neighbour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mrfcore import _core
from mrfcore.ops.superpixel_maps import superpixel_adjacency

__all__ = ["connected_ids"]

_Ints = npt.NDArray[np.int64]
_MOST_WHOLE = 1 << 24  # float32 has all integers up to here


def connected_ids(ids: torch.Tensor, min_size: int) -> torch.Tensor:
    """Every superpixel one 4-connected piece.

    A piece of less than `min_size` pixels joins, of the neighbours that stay, the one with which it
    has the longest border (of equals the one that begins first); those amid other small pieces
    wait until a neighbour has joined. Where a superpixel has `min_size` pixels in all, its largest
    piece stays whatever its size. If nothing would stay, the largest piece of the image does.

    Args:
        ids: [B, H, W] int64, 0 and above; computed on the CPU.
        min_size: pixels of a piece that stays, as a superpixel of its own.

    Returns:
        [B, H, W] int64 on the device of `ids`: in each image 0, 1, ... in the order of first
        pixels.
    """
    pieces = np.stack([_pieces(image) for image in ids.cpu().numpy()])
    edges, lengths = superpixel_adjacency(torch.from_numpy(pieces))
    joined = []
    for index, (image, own) in enumerate(zip(pieces, ids.cpu().numpy(), strict=True)):
        here = edges[:, 0] == index
        owner = _owners(image, own, min_size)
        _join(owner, edges[here, 1:].numpy(), lengths[here].numpy())
        joined.append(_pieces(owner[image]))  # in one piece each by now: numbers them
    return torch.from_numpy(np.stack(joined)).to(ids.device)


def _pieces(ids: _Ints) -> _Ints:
    """4-connected pixels of one id: [H, W], 0, 1, ... in the order of first pixels."""
    if int(ids.max()) >= _MOST_WHOLE:
        ids = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    colours = ids[..., np.newaxis].astype(np.float32)
    found = np.empty(ids.shape, np.int32)
    # The regions of mean-shift segmentation are the same thing: neighbours nearer than 1/2.
    _core.mean_shift_regions(colours, 0.5, 1, _core.FilterSpace.rgb, found)
    return found.astype(np.int64)


def _owners(pieces: _Ints, ids: _Ints, min_size: int) -> _Ints:
    """For each piece itself if it stays, else -1."""
    sizes = np.bincount(pieces.ravel())
    of = np.empty(len(sizes), np.int64)
    of[pieces.ravel()] = ids.ravel()  # all pixels of a piece write the same
    superpixel = np.unique(of, return_inverse=True)[1].ravel()
    stays = sizes >= min_size
    largest = np.lexsort((np.arange(len(sizes)), -sizes, superpixel))
    starts = np.unique(superpixel[largest], return_index=True)[1]
    stays[largest[starts]] |= np.bincount(superpixel, sizes) >= min_size
    if not stays.any():
        stays[sizes.argmax()] = True
    return np.where(stays, np.arange(len(sizes)), -1)


def _join(owner: _Ints, edges: _Ints, lengths: _Ints) -> None:
    """Give every piece an owner, from the ones that have theirs outwards."""
    both = np.concatenate([edges, edges[:, ::-1]])
    weight = np.concatenate([lengths, lengths])
    while (owner < 0).any():
        near = (owner[both[:, 0]] < 0) & (owner[both[:, 1]] >= 0)
        stray, to = both[near, 0], owner[both[near, 1]]
        key, place = np.unique(stray * len(owner) + to, return_inverse=True)
        border = np.bincount(place.ravel(), weight[near])
        stray, to = key // len(owner), key % len(owner)
        order = np.lexsort((to, -border, stray))
        best = order[np.unique(stray[order], return_index=True)[1]]
        owner[stray[best]] = to[best]
