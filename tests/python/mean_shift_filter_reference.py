# SPDX-License-Identifier: Apache-2.0
"""Mean-shift filtering and regions in plain NumPy: all pixels move at once, offset by offset."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def blocks(height: int = 30, width: int = 37, channels: int = 3, noise: float = 8) -> Array:
    """Rectangles of different colours, with noise."""
    random = np.random.default_rng(height * width)
    image = np.full((height, width, channels), 60.0)
    image[height // 2 :] += 70
    image[:, width // 3 :, 0] += 50
    image += noise * random.standard_normal(image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def filtered(
    image: Array,
    spatial: int,
    color: float,
    *,
    kernel: str = "flat",
    iterations: int = 5,
    tolerance: float = 1.0,
    whole: bool | None = None,
) -> Array:
    """[H, W, C] float64: the definition. whole: colours are rounded after every move."""
    height, width, channels = image.shape
    values = image.astype(np.float64)
    whole = image.dtype == np.uint8 and kernel == "flat" if whole is None else whole
    rows, columns = np.mgrid[:height, :width]
    y, x, c = rows.ravel(), columns.ravel(), values.reshape(-1, channels)
    live = np.ones(y.shape, bool)
    for _ in range(iterations):
        total, to_y, to_x, to_c = means(values, y, x, c, spatial, color, kernel)
        share = 1 / np.where(total > 0, total, 1)
        new_y, new_x = np.rint(to_y * share).astype(int), np.rint(to_x * share).astype(int)
        new_c = to_c * share[:, None]
        if whole:
            new_c = np.rint(new_c)
        live &= total > 0
        moved = np.abs(new_y - y) + np.abs(new_x - x) + ((new_c - c) ** 2).sum(1)
        through = ((new_y == y) & (new_x == x)) | (moved <= tolerance)
        y, x = np.where(live, new_y, y), np.where(live, new_x, x)
        c = np.where(live[:, None], new_c, c)
        live &= ~through
    return c.reshape(image.shape)


def means(
    values: Array, y: Array, x: Array, c: Array, spatial: int, color: float, kernel: str
) -> tuple[Array, Array, Array, Array]:
    """Sums of weights, weight * row, weight * column and weight * colour around every place."""
    height, width, _ = values.shape
    total, to_y, to_x = (np.zeros(y.shape) for _ in range(3))
    to_c = np.zeros(c.shape)
    for dy in range(-min(spatial, height), min(spatial, height) + 1):
        for dx in range(-min(spatial, width), min(spatial, width) + 1):
            v, u = y + dy, x + dx
            inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
            found = values[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)]
            square = ((found - c) ** 2).sum(1)
            weight = (inside & (square <= color**2)).astype(float)
            if kernel == "gaussian":
                place = (dy**2 + dx**2) / spatial**2
                weight *= np.exp(-2 * place - 2 * square / color**2)
            total += weight
            to_y += weight * v
            to_x += weight * u
            to_c += weight[:, None] * found
    return total, to_y, to_x, to_c


def regions(pixels: Array, color: float, min_size: int) -> Array:
    """[H, W, C] -> ids [H, W]: flood fill, then one join at a time."""
    ids = connected(pixels, color)
    while True:
        count = int(ids.max()) + 1
        sizes = np.bincount(ids.ravel(), minlength=count)
        small = [i for i in range(count) if 0 < sizes[i] < min_size]
        beside = neighbours(ids)
        small = [i for i in small if beside.get(i)]
        if not small:
            break
        joins = min(small, key=lambda i: (sizes[i], i))
        mean = [pixels[ids == i].mean(0) if sizes[i] else None for i in range(count)]
        to = min(beside[joins], key=lambda i: (((mean[i] - mean[joins]) ** 2).sum(), i))
        ids[(ids == joins) | (ids == to)] = min(joins, to)
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].reshape(ids.shape)


def neighbours(ids: Array) -> dict[int, set[int]]:
    """Regions that share an edge."""
    beside: dict[int, set[int]] = {}
    for a, b in ((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1])):
        for i, j in zip(a[a != b].tolist(), b[a != b].tolist(), strict=True):
            beside.setdefault(i, set()).add(j)
            beside.setdefault(j, set()).add(i)
    return beside


def connected(pixels: Array, color: float) -> Array:
    """Parts of neighbours (4) at most `color` apart, numbered in raster order."""
    height, width, _ = pixels.shape
    values = pixels.astype(float)
    ids = np.full((height, width), -1)
    count = 0
    for start in np.ndindex(height, width):
        if ids[start] >= 0:
            continue
        ids[start] = count
        queue = deque([start])
        while queue:
            y, x = queue.popleft()
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if not (0 <= v < height and 0 <= u < width) or ids[v, u] >= 0:
                    continue
                if ((values[v, u] - values[y, x]) ** 2).sum() <= color**2:
                    ids[v, u] = count
                    queue.append((v, u))
        count += 1
    return ids
