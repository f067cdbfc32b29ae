# SPDX-License-Identifier: Apache-2.0
"""What of an image file does not survive `io.read_image`, which gives 8-bit grey or RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["reading_losses"]


def reading_losses(path: Path) -> list[str]:
    """In words, what reading leaves out of a readable image; only its header is read."""
    with Image.open(path) as image:
        losses = ["16 bits per channel reduced to 8"] if _is_deep(image) else []
        return losses + (["transparency dropped"] if _has_alpha(image) else [])


def _is_deep(image: Image.Image) -> bool:
    if image.mode.startswith("I"):
        return True
    # Colour images of 16 bits are of mode RGB; how the bytes are unpacked tells.
    return any(_unpacks_16_bits(tile[0], tile[3]) for tile in getattr(image, "tile", ()))


def _unpacks_16_bits(decoder: str, arguments: Any) -> bool:
    parts = arguments if isinstance(arguments, tuple) else (arguments,)
    if decoder.startswith("ppm"):  # (mode, greatest value)
        return any(isinstance(part, int) and part > 255 for part in parts)
    return any(isinstance(part, str) and ";16" in part for part in parts)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
