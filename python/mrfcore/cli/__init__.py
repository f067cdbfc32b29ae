# SPDX-License-Identifier: Apache-2.0
"""The command line: ``mrfcore stereo | denoise | meanshift | info | demo | reproduce``.

A command reads its files, calls the library, and writes its results; it computes nothing itself.
Bad input ends with one line on stderr and exit code 2; ``--debug`` shows the traceback instead.
"""

from __future__ import annotations

from .app import app, main

__all__ = ["app", "main"]
