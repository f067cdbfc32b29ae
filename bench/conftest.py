# SPDX-License-Identifier: Apache-2.0
"""Inputs of the Python benchmarks (pytest-benchmark)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mrfcore.datasets import StereoPair, load_pair


@pytest.fixture(scope="session")
def tsukuba() -> StereoPair:
    """384 x 288, 16 disparities; benchmarks that need it are skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MRFCORE_DATA", default))
    try:
        return load_pair("tsukuba", folder)
    except FileNotFoundError as error:
        pytest.skip(f"{error}; set MRFCORE_DATA to the folder of the images")
