# SPDX-License-Identifier: Apache-2.0
"""SLIC in plain NumPy, with whole arrays and places counted from the corner of the image."""

from __future__ import annotations

from typing import Any

import numpy as np

UNIT = 32


def plain_lab(rgb: Any) -> Any:
    """CIE L*a*b* [..., 3] of sRGB [..., 3] in 0..1, float64, by the standards' formulas."""
    rgb = np.asarray(rgb, np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    t = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def plain_grid(height: int, width: int, num: int) -> tuple[int, int]:
    """Rows and columns of cells."""
    rows = min(max(int(np.floor(np.sqrt(num * height / width) + 0.5)), 1), min(height, num))
    return rows, min(max((num + rows // 2) // rows, 1), width)


def plain_cells(
    features: Any, num: int = 225, compactness: float = 10.0, iterations: int = 10
) -> tuple[Any, tuple[int, int]]:
    """The cell [H, W] of every pixel of features [C, H, W], and the grid."""
    f = np.asarray(features, np.int64)
    _, height, width = f.shape
    rows, columns = plain_grid(height, width, num)
    side = max(height / rows, width / columns)
    step = int(np.floor(compactness * UNIT / side * 65536.0 + 0.5))
    place = (np.arange(max(height, width)) * step + 32768) >> 16
    at = np.concatenate(
        [
            f,
            np.broadcast_to(place[:height, None], (1, height, width)),
            np.broadcast_to(place[:width], (1, height, width)),
        ]
    )
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    centres = plain_seeds(f, at, row, column)
    cells = row[:, None] * columns + column[None]
    for _ in range(iterations):
        cells = plain_nearest(at, centres, row, column, rows, columns)
        members = np.bincount(cells.ravel(), minlength=rows * columns)
        for c, plane in enumerate(at):
            sums = np.zeros(rows * columns, np.int64)
            np.add.at(sums, cells.ravel(), plane.ravel())
            n = np.maximum(members, 1)
            centres[c] = np.where(members > 0, (2 * sums + n) // (2 * n), centres[c])
    return cells, (rows, columns)


def plain_seeds(f: Any, at: Any, row: Any, column: Any) -> Any:
    """Centres [C + 2, cells] at the pixels of least gradient around the middles."""
    padded = np.pad(f, ((0, 0), (1, 1), (1, 1)), mode="edge")
    dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    gradient = (dx**2 + dy**2).sum(0)
    seeds = []
    for i in range(row[-1] + 1):
        for j in range(column[-1] + 1):
            ys, xs = np.flatnonzero(row == i), np.flatnonzero(column == j)
            y, x = (ys[0] + ys[-1]) // 2, (xs[0] + xs[-1]) // 2
            around = [(y, x)] + [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            inside = [(a, b) for a, b in around if a in ys and b in xs]
            best = min(inside, key=lambda p: gradient[p])  # the first of equals
            seeds.append(at[:, best[0], best[1]])
    return np.array(seeds).T.copy()


def plain_nearest(at: Any, centres: Any, row: Any, column: Any, rows: int, columns: int) -> Any:
    """The first of the nearest centres in the 3 x 3 cells around every pixel's."""
    best = np.full(at.shape[1:], np.iinfo(np.int64).max)
    cells = np.zeros(at.shape[1:], np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = (row + dy)[:, None], (column + dx)[None]
            valid = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
            cell = np.clip(i, 0, rows - 1) * columns + np.clip(j, 0, columns - 1)
            distance = ((at - centres[:, cell]) ** 2).sum(0)
            closer = valid & (distance < best)
            best, cells = np.where(closer, distance, best), np.where(closer, cell, cells)
    return cells


def flood(ids: Any, y: int, x: int) -> list[tuple[int, int]]:
    """The 4-connected part of a pixel."""
    height, width = ids.shape
    part, seen = [(y, x)], {(y, x)}
    for a, b in part:
        for p in ((a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1)):
            inside = 0 <= p[0] < height and 0 <= p[1] < width
            if inside and p not in seen and ids[p] == ids[y, x]:
                seen.add(p)
                part.append(p)
    return part


def plain_connect(ids: Any, features: Any, min_size: int) -> Any:
    """Small parts join neighbours that are large or before them, the most similar one.

    The largest part of a cell of `min_size` pixels counts as large.
    """
    parts, members = np.full(ids.shape, -1), []
    for y, x in np.ndindex(ids.shape):
        if parts[y, x] < 0:
            at = tuple(np.array(flood(ids, y, x)).T)
            parts[at] = len(members)
            members.append(at)
    sizes = np.array([at[0].size for at in members])
    sums = np.array([[plane[at].sum() for plane in features] for at in members], np.int64)
    means = (2 * sums + sizes[:, None]) // (2 * sizes[:, None])
    pairs = [(parts[:, :-1], parts[:, 1:]), (parts[:-1], parts[1:])]
    touching = {(a, b) for p, q in pairs for a, b in zip(p.ravel(), q.ravel(), strict=True)}
    touching |= {(b, a) for a, b in touching}
    large = sizes >= min_size
    large[0] = True
    cells = np.array([ids[at][0] for at in members])
    for cell in np.unique(cells):
        if sizes[cells == cell].sum() >= min_size:
            large[np.argmax(np.where(cells == cell, sizes, 0))] = True
    to = np.arange(len(members))
    for p in np.flatnonzero(~large):
        others = [b for a, b in touching if a == p and b != p and (large[b] or b < p)]
        nearest = min((((means[p] - means[b]) ** 2).sum(), b) for b in others)[1]
        to[p] = to[nearest]
    joined = to[parts]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].reshape(ids.shape)


def plain_slic(features: Any, num: int, min_size: int | None = None, **options: Any) -> Any:
    """Connected ids [H, W] of features [C, H, W]."""
    cells, (rows, columns) = plain_cells(features, num, **options)
    smallest = cells.size // (rows * columns) // 4 if min_size is None else min_size
    return plain_connect(cells, np.asarray(features, np.int64), smallest)
