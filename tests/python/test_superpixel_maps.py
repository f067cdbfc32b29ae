# SPDX-License-Identifier: Apache-2.0
"""Maps of superpixels against loops over pixels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn.functional import (  # noqa: E402
    superpixel_adjacency,
    superpixel_boundaries,
    superpixel_pool,
    superpixel_relabel,
)

STEPS = {4: [(0, 1), (1, 0)], 8: [(0, 1), (1, 0), (1, 1), (1, -1)]}


def random_map(batch: int, height: int, width: int, num: int) -> Any:
    draw = torch.Generator().manual_seed(height * width)
    coarse = torch.randint(0, num, (batch, height // 3 + 1, width // 3 + 1), generator=draw)
    return coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width].contiguous()


def pairs(ids: Any, connectivity: int) -> Any:
    """(image, pixel, its neighbour) of every pair."""
    batch, height, width = ids.shape
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for dy, dx in STEPS[connectivity]:
                    if y + dy < height and 0 <= x + dx < width:
                        yield b, (y, x), (y + dy, x + dx)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (10, 13)])
def test_against_loops(size: tuple[int, int], connectivity: int) -> None:
    ids = random_map(2, *size, 6)
    both, first = torch.zeros(2, 2, *size, dtype=torch.bool)
    touching: Counter[tuple[int, int, int]] = Counter()
    for b, p, q in pairs(ids, connectivity):
        s, t = int(ids[b][p]), int(ids[b][q])
        if s != t:
            both[b][p] = both[b][q] = first[b][p] = True
            touching[b, min(s, t), max(s, t)] += 1
    assert torch.equal(superpixel_boundaries(ids, connectivity=connectivity), both)
    got = superpixel_boundaries(ids.int(), mode="first", connectivity=connectivity)
    assert torch.equal(got, first)
    edges, lengths = superpixel_adjacency(ids.int(), connectivity=connectivity)
    assert [tuple(e) for e in edges.tolist()] == sorted(touching)
    assert lengths.tolist() == [touching[e] for e in sorted(touching)]


def test_relabel() -> None:
    ids = torch.tensor([[[7, -3], [2**40, 7]], [[5, 5], [5, 1]]])
    new, num = superpixel_relabel(ids)
    assert new.tolist() == [[[1, 0], [2, 1]], [[1, 1], [1, 0]]]
    assert num == 3
    z = superpixel_pool(torch.ones(2, 1, 2, 2), new, num, "sum")
    assert z[:, 0].tolist() == [[1, 2, 1], [1, 3, 0]]


IDS = torch.zeros(1, 3, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: superpixel_relabel(IDS[0]), ValueError, r"ids: expected \[B, H, W\]"),
        (lambda: superpixel_relabel(IDS.float()), TypeError, "ids: expected integers"),
        (lambda: superpixel_relabel([[1]]), TypeError, "ids: expected a tensor"),
        (lambda: superpixel_boundaries(IDS, mode="thick"), ValueError, "mode: expected 'both'"),
        (lambda: superpixel_boundaries(IDS, connectivity=6), ValueError, "expected 4 or 8, got 6"),
        (lambda: superpixel_adjacency(IDS - 1), ValueError, "ids: expected 0 and above, got -1"),
        (lambda: superpixel_adjacency(IDS + 2**40), ValueError, "is too large for a graph"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
