# SPDX-License-Identifier: Apache-2.0
"""Names of labels, and the colours that label images are shown in."""

from __future__ import annotations

__all__ = ["CONTEXT_CLASSES", "VOC_CLASSES", "palette"]

# fmt: off
VOC_CLASSES: tuple[str, ...] = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)
"""PASCAL VOC's 21, by label number."""

CONTEXT_CLASSES: tuple[str, ...] = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window", "wood",
)
"""PASCAL Context's 59 in alphabetical order, as files in SegmentationClassContext number them."""
# fmt: on


def palette() -> list[int]:
    """PASCAL VOC's colours: R, G, B of labels 0 to 255, one after the other (768 numbers).

    Bits 0, 1, 2 of a label become the highest bits of red, green and blue, bits 3, 4, 5 the next
    ones, and so on (the VOC development kit's VOClabelcolormap).
    """
    colours = []
    for label in range(256):
        for channel in range(3):
            bits = [(label >> (3 * place + channel)) & 1 for place in range(3)]
            colours.append(sum(bit << (7 - place) for place, bit in enumerate(bits)))
    return colours
