# SPDX-License-Identifier: Apache-2.0
"""Files assembled byte by byte from their specifications."""

from __future__ import annotations

import struct
import zlib


def png(height: int, width: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG assembled from its specification; `rows` holds unfiltered pixel data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
